"""The storage's promises: whole files, one winner, and errors that name the path."""
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mrdl.storage import Storage


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "run"))


def test_what_was_written_is_read(storage):
    storage.write("rounds/state", b"one")
    storage.write("rounds/state", b"\x00two\n")
    assert storage.read("rounds/state") == b"\x00two\n"
    assert Path(storage.path("rounds/state")).read_bytes() == b"\x00two\n"


def test_a_file_url_is_its_path(tmp_path):
    assert Storage(f"file://{tmp_path}").url == str(tmp_path) == Storage(tmp_path).url


def test_another_scheme_is_refused_by_name():
    with pytest.raises(ValueError, match="only local paths so far, no hdfs://"):
        Storage("hdfs://namenode/run")


def test_open_makes_the_folder_of_what_it_writes(storage):
    with storage.open("deep/log", "w") as file:
        file.write("x")
    with storage.open("deep/log", "a") as file:
        file.write("y")
    with storage.open("deep/log", "r") as file:
        assert file.read() == "xy"


def test_create_has_one_winner_and_never_overwrites(storage):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.create("commit", b"%d" % i), range(40)))
    assert won.count(True) == 1
    assert storage.read("commit") == b"%d" % won.index(True)
    assert storage.list("*") == ["commit"] and os.listdir(storage.url) == ["commit"]


def test_rename_has_one_winner(storage):
    storage.write("lease", b"x")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.rename("lease", f"old/{i}"), range(40)))
    assert won.count(True) == 1
    assert storage.list("**/*") == ["old", f"old/{won.index(True)}"]


def test_list_is_sorted_and_sees_no_file_in_the_making(storage):
    assert storage.list("*") == []
    for name in ("b-2", "b-10", "a-1"):
        storage.write(name, b"")
    Path(storage.path(".b-3-half")).write_bytes(b"")
    assert storage.list("*") == ["a-1", "b-10", "b-2"]
    assert storage.list("b-*") == ["b-10", "b-2"]


def test_remove_does_not_mind_a_missing_file(storage):
    storage.write("x", b"")
    storage.remove("x")
    storage.remove("x")
    assert not storage.exists("x")


def test_the_clock_is_that_of_the_files(storage):
    before = storage.now()
    storage.write("x", b"")
    assert before - 0.1 <= storage.modified("x") <= storage.now() + 0.1
    assert abs(storage.now() - time.time()) < 5
    assert storage.modified("missing") is None
    assert os.listdir(storage.url) == ["x"]


def test_touch_moves_the_time_of_a_file_and_makes_none(storage):
    storage.write("lease", b"token")
    os.utime(storage.path("lease"), (1, 1))
    storage.touch("lease")
    assert storage.modified("lease") >= storage.now() - 5 and storage.read("lease") == b"token"
    storage.touch("missing")
    assert storage.list("*") == ["lease"]


def test_a_missing_file_is_named(storage):
    with pytest.raises(FileNotFoundError, match="run/missing"):
        storage.read("missing")


def test_a_path_through_a_file_is_named(storage):
    storage.write("file", b"")
    for change in (storage.write, storage.create):
        with pytest.raises(OSError, match="file/below"):
            change("file/below", b"")


def test_a_full_disk_is_an_error_with_the_path_and_leaves_the_old_bytes(storage):
    storage.write("state", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="run/state"):
            storage.write("state", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert storage.read("state") == b"old" and os.listdir(storage.url) == ["state"]


def test_permission_denied_is_an_error_with_the_path(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    code = ("import os, sys; from mrdl.storage import Storage\n"
            "os.geteuid() or os.setuid(65534)\n"       # nothing is denied to root
            f"try: Storage({str(folder)!r}).write('state', b'')\n"
            "except PermissionError as error: print(error.filename)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parent.parent)
    assert done.stdout.strip().startswith(str(tmp_path)), done.stderr


def test_a_kill_during_writes_never_shows_half_a_file(storage):
    sizes = (10, 3_000_000)
    code = ("from mrdl.storage import Storage\n"
            f"storage = Storage({storage.url!r})\n"
            "print(flush=True)\n"
            f"while True:\n    for n in {sizes}: storage.write('state', bytes(n))")
    storage.write("state", bytes(10))
    for pause in (0.01, 0.03, 0.05):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                              cwd=Path(__file__).parent.parent) as writer:
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()
        assert len(storage.read("state")) in sizes
        assert storage.list("*") == ["state"]
