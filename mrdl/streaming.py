"""For streaming jobs of your own; see docs/streaming.md."""
from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import WHOLE_FILES, Job

__all__ = ["WHOLE_FILES", "Job", "protocol"]
