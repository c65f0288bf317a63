"""What every storage promises: whole files, one winner, and errors that name the path.

A class of tests takes it as its base and gives the fixture `storage`, a folder that is not there yet."""
import errno
import gzip
import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from processes import Child

from mrdl.data import dataset
from mrdl.data.sources import ArrayFile, DataError, expand
from mrdl.layers import Dense
from mrdl.models.saving import load_model
from mrdl.models.sequential import Sequential
from mrdl.rounds.state import State
from mrdl.runs.commits import RunError
from mrdl.runs.lease import Lease
from mrdl.runs.run import Facts, Run
from mrdl.storage.base import Storage
from mrdl.storage.paths import move, opened, size
from mrdl.storage.schemes import store_at

ROOT = Path(__file__).parents[2]


class StorageContract:
    first = ""                  # Python code that a child process runs first, such as what hides a module

    def everything(self, storage: Storage) -> list[str]:
        """The names in the folder, hidden ones too."""
        return sorted(storage.list("*") + storage.list(".*"))

    def child(self, code: str, **keywords) -> Child:
        code = f"{self.first}\nfrom mrdl.storage.schemes import store_at\n{code}"
        return Child([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **keywords)

    def together(self, count: int, code: str) -> list[str]:
        """What as many processes print that run the code at the same time."""
        children = [self.child(f"print(flush=True); input(); me = {i}\n{code}") for i in range(count)]
        for child in children:
            child.stdout.readline()
        for child in children:
            child.stdin.write("go\n")
            child.stdin.flush()
        return [child.communicate(timeout=60)[0].strip() for child in children]

    # -- files

    @pytest.mark.parametrize("data", [b"", b"\x00two\n", bytes(range(256)) * 20_000])
    def test_what_was_written_is_read(self, storage, data):
        storage.write("rounds/state", b"one")
        storage.write("rounds/state", data)
        assert storage.read("rounds/state") == data and storage.size("rounds/state") == len(data)
        assert storage.list("rounds/*") == ["rounds/state"]
        assert storage.path("rounds/state") == f"{storage.url}/rounds/state"
        assert store_at(storage.path("rounds")).read("state") == data

    def test_a_local_file_is_put_whole_in_the_place_of_another(self, storage, tmp_path):
        (tmp_path / "big").write_bytes(os.urandom(5_000_000))
        storage.write("deep/big", b"old")
        storage.put("deep/big", str(tmp_path / "big"))
        assert storage.read("deep/big") == (tmp_path / "big").read_bytes()
        with pytest.raises(FileNotFoundError, match="nothing-here"):
            storage.put("deep/big", str(tmp_path / "nothing-here"))
        assert storage.list("deep/*") + storage.list("deep/.*") == ["deep/big"]

    def test_a_file_is_read_from_any_place(self, storage):
        lines = [b"%d\n" % i for i in range(500_000)]
        storage.write("lines", b"".join(lines))
        with storage.open("lines") as file:
            assert file.readline() == b"0\n" and file.tell() == 2
            assert file.seek(0, 2) == storage.size("lines") and file.read() == b""
            assert file.seek(-7, 1) == storage.size("lines") - 7 and file.read() == b"499999\n"
            assert file.seek(10**9) == 10**9 and file.read(5) == file.readline() == b""
            assert file.seek(3_000_000) and file.read(5) == b"".join(lines)[3_000_000:3_000_005]
            file.seek(0)
            assert list(file) == lines
        with pytest.raises(ValueError, match="closed"):
            file.read()

    def test_create_has_one_winner_and_never_overwrites(self, storage):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda i: storage.create("commit", b"%d" % i), range(40)))
        assert won.count(True) == 1
        assert storage.read("commit") == b"%d" % won.index(True)
        assert self.everything(storage) == ["commit"]

    def test_create_has_one_winner_among_processes(self, storage):
        told = self.together(4, f"storage = store_at({storage.url!r})\n"
                                "print([i for i in range(15) if storage.create(f'c{i}', b'%d' % me)])")
        won = [json.loads(text) for text in told]
        assert sorted(i for mine in won for i in mine) == list(range(15))
        assert all(storage.read(f"c{i}") == b"%d" % me for me, mine in enumerate(won) for i in mine)
        assert len(self.everything(storage)) == 15

    def test_rename_has_one_winner(self, storage):
        storage.write("lease", b"x")
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda i: storage.rename("lease", f"old/{i}"), range(40)))
        assert won.count(True) == 1
        assert storage.list("**/*") == ["old", f"old/{won.index(True)}"]

    def test_rename_has_one_winner_among_processes(self, storage):
        for i in range(10):
            storage.write(f"lease{i}", b"")
        told = self.together(4, f"storage = store_at({storage.url!r})\n"
                                "print([i for i in range(10) if storage.rename(f'lease{i}', f'{me}-{i}')])")
        won = [json.loads(text) for text in told]
        assert sorted(i for mine in won for i in mine) == list(range(10))
        assert storage.list() == sorted(f"{me}-{i}" for me, mine in enumerate(won) for i in mine)

    def test_rename_takes_the_place_of_what_is_there(self, storage):
        storage.write("a", b"new")
        storage.write("b", b"old")
        assert storage.rename("a", "b") and not storage.rename("a", "b")
        assert storage.read("b") == b"new" and storage.list() == ["b"]

    def test_readers_see_the_old_bytes_or_the_new_ones(self, storage):
        storage.write("state", b"0" * 300_000)
        with ThreadPoolExecutor(2) as pool:
            writer = pool.submit(lambda: [storage.write("state", b"%d" % (i % 10) * 300_000)
                                          for i in range(20)])
            seen = 0
            while not writer.done():
                data = storage.read("state")
                assert len(data) == 300_000 and len(set(data)) == 1
                seen += 1
            writer.result()
        assert seen > 5 and self.everything(storage) == ["state"]

    def test_a_reader_that_is_overtaken_sees_no_mixture(self, storage):
        storage.write("state", b"a" * 3_000_000)
        with storage.open("state") as file:
            data = file.read(5)
            storage.write("state", b"b" * 3_000_000)
            try:
                data += file.read()
            except OSError as error:
                assert error.errno == errno.ESTALE and error.filename == storage.path("state")
            else:
                assert data == b"a" * 3_000_000
        assert storage.read("state") == b"b" * 3_000_000

    def test_a_kill_during_writes_never_shows_half_a_file(self, storage):
        sizes = (10, 3_000_000)
        storage.write("state", bytes(10))
        for pause in (0.01, 0.05, 0.15):
            writer = self.child(f"storage = store_at({storage.url!r}); print(flush=True)\n"
                                f"while True:\n    for n in {sizes}: storage.write('state', bytes(n))")
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()
            writer.communicate()
            assert len(storage.read("state")) in sizes
            assert storage.list("*") == ["state"]

    def test_open_files_and_storages_work_in_a_forked_process(self, storage):
        storage.write("x", b"y")
        code = (f"import os\nstorage = store_at({storage.url!r}); storage.read('x')\n"
                "if not (child := os.fork()):\n"
                "    storage.write('z', storage.read('x')); os._exit(0)\n"
                "print(os.waitpid(child, 0)[1], storage.read('z'))")
        assert self.child(code).communicate(timeout=60)[0].strip() == "0 b'y'"

    # -- names

    def test_list_is_sorted_and_sees_no_file_in_the_making(self, storage):
        assert storage.list("*") == [] and storage.list("**/*") == []
        for name in ("b-2", "b-10", "a-1", ".b-3-half", "deep/er/b-9", "deep/b-7.json"):
            storage.write(name, b"")
        assert storage.list() == ["a-1", "b-10", "b-2", "deep"]
        assert storage.list("b-*") == ["b-10", "b-2"]
        assert storage.list("b-[0-9]") == storage.list("b-?") == ["b-2"]
        assert storage.list("deep/*") == ["deep/b-7.json", "deep/er"]
        assert storage.list("d*p/b-*.json") == storage.list("deep/b-7.json") == ["deep/b-7.json"]
        assert storage.list("**/b-*") == ["b-10", "b-2", "deep/b-7.json", "deep/er/b-9"]
        assert storage.list("deep/**/b-9") == ["deep/er/b-9"]
        assert storage.list("nothing/*") == storage.list("a-1/*") == storage.list("c*") == []
        assert store_at(storage.path("a-1")).list() == []

    def test_exists_and_is_folder(self, storage):
        assert not storage.is_folder() and not storage.exists("x")
        storage.write("x", b"")
        assert storage.is_folder() and storage.exists("x") and storage.exists(".")
        assert not storage.exists("y") and not storage.exists("x/below")
        assert not store_at(storage.path("x")).is_folder()

    def test_remove_does_not_mind_a_missing_file(self, storage):
        storage.write("x", b"")
        storage.remove("x")
        storage.remove("x")
        assert not storage.exists("x")

    def test_clear_takes_a_folder_with_all_in_it(self, storage):
        for name in ("a/b/c", "a/.d", "keep"):
            storage.write(name, b"x")
        storage.clear("a")
        storage.clear("a")
        assert self.everything(storage) == ["keep"]
        storage.clear("")
        assert not storage.is_folder()

    def test_move_goes_within_a_storage_and_between_two(self, storage, tmp_path):
        (tmp_path / "part").write_bytes(b"x" * 3_000_000)
        move(str(tmp_path / "part"), storage.path("in/part-0"))
        assert not (tmp_path / "part").exists() and storage.size("in/part-0") == 3_000_000
        storage.write("out/part-0", b"old")
        move(storage.path("in/part-0"), storage.path("out/part-0"))
        assert storage.list("**/part-*") == ["out/part-0"]
        move(storage.path("out/part-0"), str(tmp_path / "deep" / "part"))
        assert (tmp_path / "deep" / "part").stat().st_size == 3_000_000
        assert storage.list("**/part-*") == []
        with pytest.raises(FileNotFoundError, match="out/part-0"):
            move(storage.path("out/part-0"), storage.path("in/part-0"))

    # -- times

    def test_the_clock_is_that_of_the_files(self, storage):
        before = storage.now()
        storage.write("x", b"")
        assert before - 0.1 <= storage.modified("x") <= storage.now() + 0.1
        assert abs(storage.now() - time.time()) < 5
        assert storage.modified("missing") is None
        assert self.everything(storage) == ["x"]

    def test_touch_moves_the_time_of_a_file_and_makes_none(self, storage):
        storage.write("lease", b"token")
        then = storage.modified("lease")
        time.sleep(0.05)
        storage.touch("lease")
        assert then + 0.04 < storage.modified("lease") <= storage.now()
        assert storage.read("lease") == b"token"
        storage.touch("missing")
        assert self.everything(storage) == ["lease"]

    # -- errors

    def test_a_folder_is_claimed_by_one(self, storage):
        for name in "ab":
            storage.write(f"made-{name}/{name}", b"")
        assert storage.claim("made-a", "taken") and not storage.claim("made-b", "taken")
        assert storage.list("taken/*") == ["taken/a"] and storage.list("made-*") == ["made-b"]
        with pytest.raises(FileNotFoundError, match="made-c"):
            storage.claim("made-c", "other")

    def test_a_folder_is_vacated_where_nothing_is_in_it(self, storage):
        storage.write("x", b"")
        storage.vacate()
        assert storage.read("x") == b""
        storage.remove("x")
        for _ in range(2):
            storage.vacate()
            assert not storage.is_folder()

    def test_a_missing_file_is_named(self, storage):
        for ask in (storage.read, storage.size, storage.open):
            with pytest.raises(FileNotFoundError) as error:
                ask("missing")
            assert error.value.filename == storage.path("missing")

    def test_a_path_through_a_file_is_named(self, storage):
        storage.write("file", b"")
        for change in (storage.write, storage.create):
            with pytest.raises(OSError) as error:
                change("file/below", b"")
            assert error.value.filename == storage.path("file/below")
        with pytest.raises(OSError, match=storage.path("file")):
            storage.rename("file", "file/below")
        assert self.everything(storage) == ["file"]

    def test_a_folder_in_the_way_is_named_and_stays(self, storage):
        storage.write("folder/x", b"")
        for change in (lambda: storage.write("folder", b""), lambda: storage.remove("folder")):
            with pytest.raises(OSError) as error:
                change()
            assert error.value.filename == storage.path("folder")
        assert not storage.create("folder", b"") and storage.list("**/*") == ["folder", "folder/x"]

    # -- what is built on it

    def test_sources_are_read_from_it(self, storage, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.arange(200_000.0).reshape(-1, 2))
        storage.put("raw/a.npz", str(tmp_path / "a.npz"))
        storage.write("raw/b.csv.gz", gzip.compress(b"1,2\n3,4\n"))
        storage.write("raw/_SUCCESS", b"")
        paths = [storage.path("raw/a.npz"), storage.path("raw/b.csv.gz")]
        assert expand([storage.path("raw")]) == expand([storage.path("raw/*")]) == paths
        assert expand(paths) == paths and size(paths[0]) == (tmp_path / "a.npz").stat().st_size
        with pytest.raises(DataError, match="no such input"):
            expand([storage.path("raw/c*")])
        with opened(paths[1]) as file:
            assert file.readlines() == [b"1,2\n", b"3,4\n"]
        array = ArrayFile(paths[0], "x")
        assert array.rows(99_998, 100_000).tolist() == [[199_996, 199_997], [199_998, 199_999]]
        array.close()

    def test_a_dataset_is_loaded_from_it(self, storage, made):
        here = made(60, shards=3)
        for shard in here.shards:
            storage.put(shard.name, shard.path)
        with pytest.raises(DataError, match="no dataset"):
            dataset.load(storage.url)
        storage.put("data.json", f"{here.url}/data.json")
        there = dataset.load(storage.url + "/")
        assert (there.url, there.uid) == (storage.url, here.uid)
        assert [s.path for s in there.shards] == [storage.path(s.name) for s in here.shards]
        storage.remove(here.shards[1].name)
        with pytest.raises(DataError, match=f"{here.shards[1].name} is missing"):
            dataset.load(storage.url)

    def test_a_run_is_kept_on_it(self, storage):
        def record(r):
            return {"round": r, "epochs": 0, "progress": 0.0, "elapsed": 0.0}
        run = Run(storage.url)
        with Lease(run.store) as lease, pytest.raises(RunError, match="another driver works on it"):
            Lease(run.store).acquire()
        facts = dict.fromkeys(name for name in Facts.__required_keys__ if name not in ("format", "seal"))
        run.begin({**facts, "options": {}, "data": {"url": "here", "uid": "1", "digest": 64 * "0"}, "spec": "{}", "runner": "inline"})
        with Lease(run.store) as lease:
            for r in range(3):
                assert run.commit(State(np.full(1000, r, "f4"), 1000, round=r), record(r))
            assert not run.commit(State(np.zeros(1000, "f4"), 1000, round=2), record(2))
            lease.check()
        again = Run(storage.url)
        for _ in range(2):
            assert again.rounds() == [0, 1, 2] and [r["round"] for r in again.records()] == [0, 1, 2]
            assert again.state(1).vector.tolist() == [1] * 1000
            again.compact()
            assert storage.list("commit*") == ["commit-000002.json", "commits-000001.jsonl"]
        for name in ("000001-0000", "000000-0001", "000001-0002", "000002-0003"):
            storage.write(f"slot-{name}-{16 * 'a'}.safetensors", b"")
        named = {"0": [f"slot-000001-0000-{16 * 'a'}.safetensors", ""]}
        again.prune(1, 0, State(np.zeros(1, "f4"), 1, round=2, kept=named))
        assert storage.list("slot-*") == [f"slot-{name}-{16 * 'a'}.safetensors" for name in ("000001-0000", "000002-0003")]
        assert storage.list("state-*") == [f"state-{r:06d}.safetensors" for r in (0, 2)]
        with pytest.raises(RunError, match="round 1 is gone"):
            again.state(1)
        assert self.everything(storage) == storage.list() and not storage.exists("lease.json")

    def test_a_dead_drivers_lease_is_taken_over_and_a_driver_that_slept_sees_it(self, storage):
        code = ("import os; from mrdl.runs.lease import Lease\n"
                f"Lease(store_at({storage.url!r})).acquire(); os._exit(0)")
        self.child(code).communicate(timeout=60)
        assert storage.exists("lease.json")
        with Lease(storage) as lease:
            lease.check()
            storage.write("run.json", b"")          # the run is there
            storage.rename("lease.json", "stolen")
            storage.write("run.json", b"of a run that is still there")
            with pytest.raises(RunError, match="another driver"):
                lease.check()

    def test_a_model_is_saved_to_it_and_loaded(self, storage):
        model = Sequential([Dense(3)]).build(4)
        model.save(storage.path("model"))
        again = load_model(storage.path("model"))
        assert again.weights.tobytes() == model.weights.tobytes()

    def test_it_can_be_read_as_text(self, storage):
        storage.write("x.json", '{"a": "ä"}'.encode())
        with io.TextIOWrapper(storage.open("x.json"), "utf-8") as file:
            assert json.load(file) == {"a": "ä"}
