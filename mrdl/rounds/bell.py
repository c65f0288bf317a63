"""Bells: how processes that meet in a folder of one machine wake each other, so that they need not look at it often."""
import os
import select
from contextlib import suppress

RINGS = 4096                    # rings that are taken at once


class Bell:
    """A named pipe of this process; who writes a byte into it ends this process' `wait`.

    A ring says nothing: who was woken looks at the folder. So a lost ring costs time only.

    Args:
        path: of the pipe, in the folder. One that is there is used.

    Raises:
        OSError: the folder's file system has no pipes."""

    def __init__(self, path: str):
        with suppress(FileExistsError):
            os.mkfifo(path)
        self.path, self.pipe = path, os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.poll = select.poll()
        self.poll.register(self.pipe, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Sleeps until somebody rings, and at most so long."""
        if self.poll.poll(1000 * seconds):
            with suppress(BlockingIOError):     # a process that uses the same pipe was faster
                os.read(self.pipe, RINGS)

    def close(self) -> None:
        os.close(self.pipe)


def ring(path: str) -> None:
    """Rings the bell at `path`; does nothing if nobody has it any more."""
    with suppress(OSError):
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        with suppress(OSError):
            os.write(pipe, b"!")
        os.close(pipe)
