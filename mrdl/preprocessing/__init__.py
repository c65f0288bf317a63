"""The homes that helpers of mrdl.utils had in Keras before, and still have."""
from mrdl.preprocessing import sequence
from mrdl.utils import timeseries_dataset_from_array

__all__ = ["sequence", "timeseries_dataset_from_array"]
