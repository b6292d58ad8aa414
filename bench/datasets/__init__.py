"""The datasets: 2-D sets with exact densities where they exist, digits, and real images."""

from bench.config.registry import register_dataset
from bench.datasets.base import Dataset

__all__ = ["Dataset", "register_dataset"]
