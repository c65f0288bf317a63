"""Bad records, kept whole: a task's go into a file of their own, a line of JSON each."""
import json
import os
import tempfile
from typing import Any

from mrdl.storage.schemes import store_at


class Quarantine:
    """Entered where a task begins to read. Where it has read all, its file gets its place, by renaming: a task that fails leaves
    none, and one that runs twice the same.

    Args:
        url: the folder of the files. None: nothing is kept."""

    def __init__(self, url: str | None):
        self.url, self.count, self.file = url, 0, None

    def __enter__(self):
        return self

    def add(self, file: str, unit: str, place: int, reason: str, detail: str, line: bytes) -> None:
        """Keeps a record, which is the byte or row `place` of its file. Bytes that are not UTF-8 become lone surrogates, as of Python's surrogateescape."""
        if self.url is None:
            return
        if self.file is None:
            handle, self.path = tempfile.mkstemp(prefix="bad-", dir=os.getcwd())     # the task's folder, which goes with it
            self.file = os.fdopen(handle, "w", encoding="ascii")
        found: dict[str, Any] = {"file": file, "offset" if unit == "byte" else unit: place, "reason": reason, "detail": detail,
                                 "line": line.decode("utf-8", "surrogateescape")}
        self.file.write(json.dumps(found) + "\n")
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        if self.file is None:
            return
        try:
            self.file.close()
            if kind is None:
                number = int(os.environ.get("mapreduce_task_partition", "0"))
                store_at(self.url).put(f"{number:05d}-{self.count}.jsonl", self.path)
        finally:
            os.remove(self.path)
