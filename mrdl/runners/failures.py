"""The exception of a failed job."""
from mrdl.runners.mrjob_imports import StepFailedException


class JobFailed(StepFailedException):
    """A task failed. The message says which task and which input, and ends with the task's traceback. `final` is True if
    another attempt would fail in the same way, or if somebody has killed the job."""
    final = False

    def __str__(self) -> str:
        return self.reason
