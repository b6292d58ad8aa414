"""The datasets: 2-D sets with exact densities where they exist, digits, and real images."""

from bench.datasets.base import Dataset
from bench.registry import register_dataset

__all__ = ["Dataset", "register_dataset"]
