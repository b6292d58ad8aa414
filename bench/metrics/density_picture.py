"""Pictures of a density, which are no number and have no column (bench/evaluation/density.py)."""

from bench.metrics.metric import Facts, declare

PICTURE = "The model's log-density on a grid of the plane, at a time on the way from noise to data."

declare("density_picture", data="points", density_picture=Facts("Density picture", group="", meaning=PICTURE))
