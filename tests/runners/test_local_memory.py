"""What a local task holds in memory of the file that it reads."""
import re
from pathlib import Path

from mrdl.runners.local.task import read_splits


def held() -> int:
    """MB of files that are mapped into this process's memory."""
    return int(re.search(r"RssFile:\s+(\d+)", Path("/proc/self/status").read_text())[1]) >> 10


def test_of_a_file_of_long_lines_only_some_is_held(tmp_path):
    line = b"x" * ((1 << 20) + 7)
    (tmp_path / "shard").write_bytes((line + b"\n") * 40)
    before, found = held(), []
    for number, read in enumerate(read_splits([(str(tmp_path / "shard"), 0, None)])):
        assert read == line
        found.append(held())
    assert number == 39 and max(found) < before + 8
