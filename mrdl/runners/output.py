"""What a job gave: its parts, and a job in the background."""
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mrdl.runners.failures import JobFailed
from mrdl.storage import paths


class Output:
    """What a job wrote: part r is reducer r's (mapper r's where nothing is reduced)."""

    def __init__(self, parts: list[str], clean: Callable[[], None], report: dict[str, Any]):
        self.parts, self._clean, self.report = parts, clean, report

    def lines(self, part: int) -> Iterator[bytes]:
        """The lines of a part, without their newlines."""
        store, name = paths.place(self.parts[part])
        with store.open(name) as file:
            for line in file:
                yield line.removesuffix(b"\n")

    def move(self, part: int, path: str) -> None:
        """Puts a part at `path`, over what is there: renamed where both lie in one storage."""
        paths.move(self.parts[part], path)
        self.parts[part] = path

    def close(self) -> None:
        """Removes what was not moved."""
        self._clean()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Background:
    """A job that runs while its driver goes on."""

    def __init__(self, runner):
        self.runner, self.error = runner, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # noqa: BLE001 - raised where it is asked for
            self.error = error

    def check(self) -> None:
        """JobFailed where it has ended."""
        if not self.thread.is_alive():
            raise self.error or JobFailed("the job has ended, and nobody had asked it to")

    def output(self, meanwhile: Callable[[], None]) -> Output:
        """What it wrote, once it has ended well; raises what ended it otherwise. `meanwhile` is called every
        second until then."""
        while self.thread.is_alive():
            meanwhile()
            self.thread.join(1)
        if self.error:
            self.runner.cleanup()
            raise self.error
        return output_of(self.runner)

    def cancel(self) -> None:
        """Ends it, and waits for that."""
        self.runner.cancel()
        self.thread.join()
        self.runner.cleanup()


def output_of(runner) -> Output:
    return Output(runner.parts(), runner.cleanup, getattr(runner, "report", {}))
