"""The share of training steps whose gradients were clipped (bench/training/clipping.py)."""

from bench.metrics.metric import Facts, declare

MEANING = "Share of the updates of the weights whose gradient was scaled down to the bound on its norm."

declare("clipped_steps", clipped_steps=Facts("Clipped steps", "share", "", "cost", MEANING, place=53))
