"""A job whose mapper writes to stderr, then kills itself. It has its own file, as Hadoop starts a job by its script."""
import os
import signal
import sys

from mrdl.runners.streaming import Job


class Deadly(Job):
    def mapper(self, _, line):
        print("these are my last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        yield "never", line


if __name__ == "__main__":
    Deadly.run()
