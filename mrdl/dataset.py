"""A prepared dataset, as `prepare` returns it."""
from mrdl.data.dataset import Dataset, load

__all__ = ["Dataset", "load"]
