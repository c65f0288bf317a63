"""The output of a job, and a job that runs in the background."""
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mrdl.runners.failures import JobFailed
from mrdl.storage import paths


class Output:
    """What a job wrote: part r comes from reducer r (from mapper r if the job has no reducers)."""

    def __init__(self, parts: list[str], clean: Callable[[], None], report: dict[str, Any]):
        self.parts, self._clean, self.report = parts, clean, report

    def lines(self, part: int) -> Iterator[bytes]:
        """The lines of a part, without their newlines."""
        store, name = paths.place(self.parts[part])
        with store.open(name) as file:
            for line in file:
                yield line.removesuffix(b"\n")

    def move(self, part: int, path: str) -> None:
        """Moves a part to `path`, replacing what is there: by renaming if both are in the same storage."""
        paths.move(self.parts[part], path)
        self.parts[part] = path

    def close(self) -> None:
        """Removes the parts that were not moved."""
        self._clean()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Background:
    """A job that runs in a thread of its own while the driver continues."""

    def __init__(self, runner):
        self.runner, self.error = runner, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # noqa: BLE001 - check() and output() raise it
            self.error = error

    def check(self) -> None:
        """Raises the job's error, or JobFailed, if the job has ended."""
        if not self.thread.is_alive():
            raise self.error or JobFailed("the job has ended before the driver asked it to")

    def output(self, meanwhile: Callable[[], None]) -> Output:
        """Waits for the job's end and returns its output; raises the job's error if it failed. Until then,
        `meanwhile` is called every second."""
        while self.thread.is_alive():
            meanwhile()
            self.thread.join(1)
        if self.error:
            self.runner.cleanup()
            raise self.error
        return output_of(self.runner)

    def cancel(self) -> None:
        """Cancels the job, and waits until it has ended."""
        self.runner.cancel()
        self.thread.join()
        self.runner.cleanup()


def output_of(runner) -> Output:
    return Output(runner.parts(), runner.cleanup, getattr(runner, "report", {}))
