"""The exception of a failed job, whether another attempt could succeed, and what an error may hide."""
import errno

from mrdl.runners.mrjob_imports import StepFailedException


class JobFailed(StepFailedException):
    """A task failed. The message says which task and which input, and ends with the task's traceback. `final` is True if
    another attempt would fail in the same way, or if somebody has killed the job."""
    final = False

    def __str__(self) -> str:
        return self.reason


def is_final(error: JobFailed | OSError) -> bool:
    """Would another attempt fail in the same way? It would if HDFS or a disk of this machine is full."""
    return getattr(error, "final", False) or getattr(error, "errno", None) == errno.ENOSPC


def unmask(error: BaseException) -> None:
    """Raises the Ctrl-C or signal in whose place an error came, if it did: where one interrupts shutil.rmtree, Python may close a
    descriptor twice, and raise an OSError instead."""
    if isinstance(error.__context__, KeyboardInterrupt):
        raise error.__context__
