"""What a job ends with that fails."""
from mrdl.runners.mrjob_imports import StepFailedException


class JobFailed(StepFailedException):
    """A task failed: str() says which one, on what input, and ends with its own traceback. `final`: another attempt
    would fail alike, or somebody has ended the job."""
    final = False

    def __str__(self) -> str:
        return self.reason
