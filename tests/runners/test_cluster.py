"""What a job's inputs, reducers and files become on the embedded runners, and what a kill does."""
import bz2
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sample_jobs
from processes import Child

from mrdl.config import ConfigError
from mrdl.runners.cluster import Cluster
from mrdl.runners.failures import JobFailed
from mrdl.runners.local import runner
from mrdl.runners.local.children import MOST_KEPT
from mrdl.runners.partitioning import partition

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["inline", "local"])
def cluster(request):
    with Cluster(request.param, cores=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local():
    with Cluster("local", cores=2) as cluster:
        yield cluster


def write(folder: Path, **texts) -> list[str]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in texts]


def parts(output) -> list[list[bytes]]:
    with output:
        return [list(output.lines(part)) for part in range(len(output.parts))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# ---- mappers and reducers

def test_an_input_is_one_mapper_and_read_where_it_lies(cluster, tmp_path):
    inputs = write(tmp_path, a="1\n2\n3\n", b="4\n", c="")
    assert parts(cluster.run(sample_jobs.MapOnly, inputs)) == [
        [b"\t3  123"], [b"\t1  4"], [b"\t0  "]]


def test_a_list_of_inputs_is_one_mapper_that_reads_them_in_turn(cluster, tmp_path):
    a, b, c = write(tmp_path, a="1\n2", b="3\n", c="4\n")
    assert parts(cluster.run(sample_jobs.MapOnly, [[c, a, b], b])) == [[b"\t4  4123"], [b"\t1  3"]]


def test_compressed_inputs_are_read_whole(cluster, tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"1\n2\n"))
    (tmp_path / "b.bz2").write_bytes(bz2.compress(b"3\n"))
    inputs = [tmp_path / "a.gz", f"file://{tmp_path / 'b.bz2'}"]
    assert parts(cluster.run(sample_jobs.MapOnly, inputs, split=True)) == [[b"\t2  12"], [b"\t1  3"]]


def test_splits_cut_at_line_ends_and_lose_nothing(cluster, tmp_path, monkeypatch):
    rng = random.Random(0)
    lines = [b"%d" % rng.randrange(10 ** rng.randrange(1, 9)) for _ in range(500)]
    (tmp_path / "long").write_bytes(b"\n".join(lines))     # the last line has no newline
    (tmp_path / "short").write_bytes(b"77\n")
    inputs = [str(tmp_path / "long"), str(tmp_path / "short")]
    for smallest in (1, 7, 100, 1000):
        monkeypatch.setattr("mrdl.runners.splits.SMALLEST_SPLIT", smallest)
        monkeypatch.setattr(cluster, "cores", 9)
        found = parts(cluster.run(sample_jobs.Order, inputs, reducers=0, split=True))
        assert len(found) > 3 or smallest == 1000
        assert [line.rstrip(b"\t") for part in found for line in part] == [*lines, b"77"]
    assert len(parts(cluster.run(sample_jobs.Order, inputs, reducers=0, split=False))) == 2


@pytest.mark.parametrize("smallest", range(1, 12))
def test_every_way_to_cut_a_small_file_gives_each_line_once(smallest, tmp_path, monkeypatch):
    path, = write(tmp_path, text="a\n\nbcd\ne\n\n\nfghijk\nl")
    monkeypatch.setattr("mrdl.runners.splits.SMALLEST_SPLIT", smallest)
    with Cluster("inline", cores=100) as cluster:
        found = parts(cluster.run(sample_jobs.Order, [path], reducers=0, split=True))
    assert [line[:-1] for part in found for line in part] == Path(path).read_bytes().split(b"\n")


def test_reducer_r_gets_the_keys_that_hadoop_would_give_it(cluster, tmp_path):
    keys = [f"k{i}" for i in range(40)]
    inputs = write(tmp_path, a="".join(f"{k}\tv\n" for k in keys[:25]),
                   b="".join(f"{k}\tw\n" for k in keys[15:]))
    for job, reducers in [(sample_jobs.Order, 1), (sample_jobs.Order, 7),
                          (sample_jobs.SortedOrder, 7), (sample_jobs.Order, 100)]:
        found = parts(cluster.run(job, inputs, reducers=reducers))
        assert len(found) == reducers       # empty ones too
        for number, lines in enumerate(found):
            assert lines == sorted(lines)
            assert {partition(line.split(b"\t")[0], reducers, bool(job.SORT_VALUES))
                    for line in lines} <= {number}
        assert sum(map(len, found)) == 50


@pytest.mark.parametrize("job", [sample_jobs.Order, sample_jobs.SortedOrder])
def test_small_and_large_reducers_sort_alike_and_as_hadoop(job, cluster, tmp_path, monkeypatch):
    rng = random.Random(1)
    letters = "\x01 ab~\u00e9"
    lines = ["".join(rng.choices(letters, k=rng.randrange(1, 4))) + "\t"
             + "".join(rng.choices(letters, k=rng.randrange(3))) + f"\t{i}" for i in range(3000)]
    inputs = write(tmp_path, a="\n".join(lines[:1000]) + "\n", b="\n".join(lines[1000:]))
    fields = 2 if job.SORT_VALUES else 1
    expected = sorted((line.encode() for line in lines),
                      key=lambda line: b"\t".join(line.split(b"\t")[:fields]))
    assert parts(cluster.run(job, inputs)) == [expected]
    monkeypatch.setattr(runner.InlineRunner, "sort_memory", 1 << 12)      # GNU sort, from disk
    assert parts(cluster.run(job, inputs)) == [expected]


def test_a_shuffle_larger_than_its_memory_is_whole(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("mrdl.runners.local.shuffle.SHUFFLE_MEMORY", 1000)       # inline; a child keeps its own
    inputs = write(tmp_path, a="".join(f"{i}\t{'x' * 90}\n" for i in range(300)))
    found = parts(cluster.run(sample_jobs.Order, inputs, reducers=3))
    assert sorted(int(line.split(b"\t")[0]) for part in found for line in part) == list(range(300))


def test_tasks_see_what_hadoop_would_tell_them(cluster, tmp_path):
    inputs = write(tmp_path, a="1\n", b="2\n")
    found = parts(cluster.run(sample_jobs.Environment, inputs, name="mrdl run round 7"))
    rows = [json.loads(line.split(b"\t")[1]) for line in found[0]]
    for number in (0, 1):
        assert rows[2 * number] == [{
            "mapreduce_map_input_file": f"file://{inputs[number]}",
            "mapreduce_map_input_start": "0", "mapreduce_task_partition": str(number),
            "mapreduce_task_ismap": "true", "mapreduce_job_name": "mrdl run round 7",
            "OPENBLAS_NUM_THREADS": "1"}]
    assert rows[1]["mapreduce_task_ismap"] == "false" and rows[1]["mapreduce_task_partition"] == "0"


def test_a_file_argument_is_in_the_tasks_own_directory(cluster, tmp_path, monkeypatch):
    state, text = write(tmp_path, state="weights", text="x\n")
    monkeypatch.chdir(tmp_path)
    for given in (state, "state"):
        found = parts(cluster.run(sample_jobs.MapOnly, [text], args=["--state", given]))
        assert found == [[b"\t1 weights x"]]


def test_progress_is_told_task_by_task(cluster, tmp_path):
    told = []
    inputs = write(tmp_path, a="x\n", b="y\n", c="z\n")
    cluster.run(sample_jobs.WordCount, inputs, reducers=2,
                on_task=lambda *told_now: told.append(told_now)).close()
    assert told == [("mapper", 1, 3), ("mapper", 2, 3), ("mapper", 3, 3),
                    ("reducer", 1, 2), ("reducer", 2, 2)]


def test_a_part_can_be_moved_away_before_the_rest_goes(cluster, tmp_path):
    inputs = write(tmp_path, a="x y\n")
    output = cluster.run(sample_jobs.WordCount, inputs)
    temporary = output.parts[0]
    output.move(0, str(tmp_path / "kept" / "part"))
    output.close()
    assert (tmp_path / "kept" / "part").read_bytes() == b'"x"\t1\n"y"\t1\n'
    assert list(output.lines(0)) == [b'"x"\t1', b'"y"\t1']
    assert not os.path.exists(os.path.dirname(temporary))


def test_no_inputs_give_empty_parts(cluster):
    assert parts(cluster.run(sample_jobs.WordCount, [], reducers=2)) == [[], []]


def test_a_missing_input_or_file_argument_is_named(cluster, tmp_path):
    text, = write(tmp_path, text="x\n")
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        cluster.run(sample_jobs.WordCount, [text, str(tmp_path / "nothing-here")])
    with pytest.raises(FileNotFoundError, match="no-state"):
        cluster.run(sample_jobs.MapOnly, [text], args=["--state", str(tmp_path / "no-state")])


def test_inputs_and_file_arguments_on_hdfs_are_refused_on_this_machine(cluster, tmp_path):
    (here,) = write(tmp_path, a="1\n")
    told = "hdfs://nowhere/x: .* read only this machine's files: use -r hadoop"
    with pytest.raises(ConfigError, match=told):
        cluster.run(sample_jobs.MapOnly, [[here, "hdfs://nowhere/x"]])
    with pytest.raises(ConfigError, match=told):
        cluster.run(sample_jobs.MapOnly, [here], ["--state", "hdfs://nowhere/x"])


def test_an_unknown_runner_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="no runner 'yarn'; choose one of inline, local, hadoop"):
        Cluster("yarn")


def test_nothing_is_left_of_a_cluster(cluster, tmp_path):
    with Cluster(cluster.runner, tmp=str(tmp_path)) as other:
        inputs = write(tmp_path, a="x\n")
        other.run(sample_jobs.WordCount, inputs).close()
        server = other.backend.server
        pid = server.process.pid if server else None
        assert len(os.listdir(other.tmp)) == (1 if server else 0)     # the server's log
    assert os.listdir(tmp_path) == ["a"]
    assert not pid or not alive(pid)


def test_an_interrupt_while_a_job_cleans_up_is_not_lost(cluster, tmp_path, monkeypatch):
    """shutil.rmtree closes a descriptor twice where it is interrupted behind the first time, and an OSError comes instead."""
    close, interrupts = os.close, [KeyboardInterrupt]

    def interrupted(descriptor):
        close(descriptor)
        if interrupts and sys._getframe(1).f_code.co_filename == shutil.__file__:
            raise interrupts.pop()
    output = cluster.run(sample_jobs.WordCount, write(tmp_path, a="x\n"))
    monkeypatch.setattr(os, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        output.close()


# ---- faults

def faulty(tmp_path, *lines: str):
    inputs = write(tmp_path, **{f"input-{i}": line + "\n" for i, line in enumerate(lines)})
    return inputs, ["--notes", str(tmp_path / "notes")]


def notes(tmp_path) -> list[list[int]]:
    return [[int(word) for word in line.split()]
            for line in (tmp_path / "notes").read_text().splitlines()]


def test_inline_surfaces_the_jobs_own_exception(tmp_path):
    inputs, args = faulty(tmp_path, "raise 9")
    here, environment = os.getcwd(), dict(os.environ)
    with Cluster("inline") as cluster:
        with pytest.raises(ZeroDivisionError, match="row 3 is odd"):
            cluster.run(sample_jobs.Faulty, inputs, args)
        assert os.listdir(cluster.tmp) == []
    assert (os.getcwd(), dict(os.environ)) == (here, environment)


def test_an_exception_fails_the_job_with_its_traceback_and_is_not_tried_again(local, tmp_path):
    inputs, args = faulty(tmp_path, "raise 0", "raise 9", "sleep 9")
    with pytest.raises(JobFailed) as failure:
        local.run(sample_jobs.Faulty, inputs, args)
    text = str(failure.value)
    assert "mapper 1 (input" in text and "input-1" in text
    assert "in fail" in text and text.endswith("ZeroDivisionError: row 3 is odd")
    pids = [pid for _, pid in notes(tmp_path)]
    assert not any(map(alive, pids)) and len(pids) <= 3
    inputs, _ = faulty(tmp_path, "raise 0")     # and the cluster goes on
    assert parts(local.run(sample_jobs.Faulty, inputs, args)) == [[b"half a\tpart", b"done\traise 0"]]


def test_a_failing_reducer_and_an_exit_are_told_too(local, tmp_path):
    inputs, args = faulty(tmp_path, "exit 9")
    with pytest.raises(JobFailed, match=r"reducer 0 of FaultyReducer(.|\n)*no such chunk"):
        local.run(sample_jobs.FaultyReducer, inputs)
    assert parts(local.run(sample_jobs.Faulty, inputs, args)) == [[b"half a\tpart"]]    # exit(0)


def test_a_killed_task_is_run_again_and_leaves_nothing_of_its_first_attempt(local, tmp_path):
    inputs, args = faulty(tmp_path, "kill 2", "kill 0", "kill 3")
    assert parts(local.run(sample_jobs.Faulty, inputs, args)) == [
        [b"half a\tpart", b"done\tkill 2"], [b"half a\tpart", b"done\tkill 0"],
        [b"half a\tpart", b"done\tkill 3"]]
    assert sorted(attempt for attempt, _ in notes(tmp_path)) == [0, 0, 0, 1, 1, 2, 2, 3]


def test_a_task_killed_four_times_fails_the_job(local, tmp_path):
    inputs, args = faulty(tmp_path, "kill 9")
    with pytest.raises(JobFailed, match=r"mapper 0 .*input-0.* was killed by SIGKILL, after 4"):
        local.run(sample_jobs.Faulty, inputs, args)
    assert len(notes(tmp_path)) == 4


def test_the_servers_own_death_is_survived(local, tmp_path):
    inputs, args = faulty(tmp_path, "server 1", "kill 0", "kill 1")
    assert parts(local.run(sample_jobs.Faulty, inputs, args)) == [
        [b"half a\tpart", b"done\tserver 1"], [b"half a\tpart", b"done\tkill 0"],
        [b"half a\tpart", b"done\tkill 1"]]
    wait_for(lambda: all(pid in children(local.backend.server.process.pid)
                         for _, pid in notes(tmp_path) if alive(pid)))


def test_a_process_does_task_after_task_and_leaves_nothing_to_the_next(tmp_path):
    inputs = write(tmp_path, **{f"f{i}": "x" for i in range(5)})
    with Cluster("local", cores=1) as cluster:
        found = [json.loads(line) for lines in parts(cluster.run(sample_jobs.Marks, inputs))
                 for line in lines]
    assert len({pid for pid, _ in found}) == 1
    assert [marked for _, marked in found] == [False] * 5


def test_a_process_that_took_much_memory_does_no_other_task(tmp_path):
    inputs = write(tmp_path, small="1", large=str(MOST_KEPT + 50), last="1")
    with Cluster("local", cores=1) as cluster:
        pids = [json.loads(line)[0] for lines in parts(cluster.run(sample_jobs.Marks, inputs))
                for line in lines]
    assert pids[0] == pids[1] != pids[2]


def test_a_server_killed_between_jobs_is_started_again(local, tmp_path):
    inputs = write(tmp_path, a="x\n")
    local.run(sample_jobs.WordCount, inputs).close()
    local.backend.server.process.kill()
    local.backend.server.process.wait()
    assert parts(local.run(sample_jobs.WordCount, inputs)) == [[b'"x"\t1']]


def test_random_kills_of_tasks_and_server_do_not_change_the_result(tmp_path):
    rng = random.Random(2)
    inputs = write(tmp_path, **{f"f{i}": "".join(f"{rng.randrange(50)}\n" for _ in range(2000))
                                for i in range(6)})
    code = ("import json, sys\nfrom mrdl.runners.cluster import Cluster\nfrom sample_jobs import WordCount\n"
            "with Cluster('local', cores=2) as cluster:\n"
            "    print(cluster.backend.server.process.pid, flush=True)\n"
            "    for _ in range(6):\n"
            "        with cluster.run(WordCount, sys.argv[1:], reducers=2) as out:\n"
            "            print(json.dumps([list(map(bytes.decode, out.lines(r))) for r in (0, 1)]),"
            " cluster.backend.server.process.pid, flush=True)\n")
    with driver(code, *inputs) as process:
        server = int(process.stdout.readline())
        rounds = []
        for line in process.stdout:
            text, _, pid = line.rpartition(" ")
            rounds.append(text)
            server = int(pid)
            for target in (children(server)[:1], [server])[len(rounds) % 2]:
                kill(target)
    assert process.returncode == 0 and len(rounds) == 6 and len(set(rounds)) == 1


def driver(code: str, *args: str) -> Child:
    return Child(
        [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}"})


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


SLEEPER = ("import sys\nfrom mrdl.runners.cluster import Cluster\nfrom sample_jobs import Faulty\n"
           "with Cluster('local', cores=2, tmp=sys.argv[1]) as cluster:\n"
           "    print(cluster.backend.server.process.pid, flush=True)\n"
           "    cluster.run(Faulty, sys.argv[2:4], ['--notes', sys.argv[4]])\n")


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_driver(death, tmp_path):
    (tmp_path / "tmp").mkdir()
    inputs, args = faulty(tmp_path, "sleep 9", "sleep 9")
    with driver(SLEEPER, str(tmp_path / "tmp"), *inputs, args[1]) as process:
        server = int(process.stdout.readline())
        wait_for(lambda: (tmp_path / "notes").exists() and len(notes(tmp_path)) == 2)
        process.send_signal(death)
        process.wait(10)
        complaint = process.stderr.read()
    assert complaint.count("Traceback") == (death == signal.SIGINT)     # only the driver's own
    pids = [server, *(pid for _, pid in notes(tmp_path))]
    wait_for(lambda: not any(map(alive, pids)))
    wait_for(lambda: os.listdir(tmp_path / "tmp") == [])


def test_a_sort_dies_with_its_task(tmp_path):
    sort, = write(tmp_path, sort=f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    os.chmod(sort, 0o755)
    inputs = write(tmp_path, a="x\n")
    code = ("import os, sys\nfrom mrdl.runners.cluster import Cluster\nfrom mrdl.runners.local.runner import InlineRunner\n"
            "from sample_jobs import Order\nInlineRunner.sort_memory = 0\n"
            "with Cluster('local') as cluster:\n"
            "    os.environ['PATH'] = sys.argv[1] + ':' + os.environ['PATH']\n"
            "    cluster.run(Order, sys.argv[2:])\n")
    with driver(code, str(tmp_path), *inputs) as process:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
        process.kill()
    wait_for(lambda: not alive(pid))


def test_nothing_outlives_a_driver_that_dies_while_the_server_starts(tmp_path):
    code = ("import os, sys\nfrom mrdl.runners.cluster import Cluster\n"
            "print(Cluster('local', tmp=sys.argv[1]).backend.server.process.pid, flush=True)\n"
            "os.kill(os.getpid(), 9)")
    with driver(code, str(tmp_path)) as process:
        server = int(process.stdout.readline())
    wait_for(lambda: not alive(server) and os.listdir(tmp_path) == [])


def test_tasks_die_with_a_killed_server(local, tmp_path):
    inputs, args = faulty(tmp_path, "sleep 9", "sleep 9")
    (tmp_path / "tmp").mkdir()
    with driver(SLEEPER, str(tmp_path / "tmp"), *inputs, args[1]) as process:
        server = int(process.stdout.readline())
        wait_for(lambda: (tmp_path / "notes").exists() and len(notes(tmp_path)) == 2)
        process.send_signal(signal.SIGSTOP)     # so that it starts no other
        kill(server)
        wait_for(lambda: not any(alive(pid) for _, pid in notes(tmp_path)))
        process.kill()


def test_children_begin_with_the_modules_that_tasks_import(tmp_path, local):
    found, = parts(local.run(sample_jobs.Loaded, write(tmp_path, a="mrdl.worker.answer\nmrdl.jobs.train\nmrdl.driver.loop\n"), reducers=0))
    assert found == [b"mrdl.worker.answer\tTrue", b"mrdl.jobs.train\tTrue", b"mrdl.driver.loop\tFalse"]


def test_a_server_that_cannot_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr("mrdl.runners.local.forkserver.START", "raise SystemExit('no such module')")
    inputs = write(tmp_path, a="x\n")
    with Cluster("local") as cluster, pytest.raises(
            RuntimeError, match="did not start:\n.*no such module"):
        cluster.run(sample_jobs.WordCount, inputs)


def test_a_plain_script_without_a_main_guard_works(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from mrdl.runners.cluster import Cluster\nfrom sample_jobs import WordCount\nprint('once')\n"
        "with Cluster('local') as cluster, cluster.run(WordCount, [__file__]) as out:\n"
        "    print(len(list(out.lines(0))) > 5)\n")
    done = subprocess.run(
        [sys.executable, str(script)], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}"})
    assert done.stdout == "once\nTrue\n"


def test_a_job_class_of_the_main_script_is_found_by_its_file(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from mrdl.runners.cluster import Cluster\nfrom mrdl.runners.streaming import Job\n"
        "class Length(Job):\n"
        "    def mapper(self, _, line): yield 'n', len(line)\n"
        "    def reducer(self, key, values): yield key, sum(values)\n"
        "if __name__ == '__main__':\n"
        "    with Cluster('local') as cluster, cluster.run(Length, ['text']) as out:\n"
        "        print(list(out.lines(0)))\n")
    write(tmp_path, text="abc\nde\n")
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True,
                          cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout == "[b'\"n\"\\t5']\n"


def test_no_more_tasks_run_at_once_than_there_are_cores(tmp_path):
    inputs = write(tmp_path, **{f"f{i}": "x\n" for i in range(5)})
    most = 0
    with Cluster("local", cores=2) as cluster:
        start = cluster.backend.server.start

        def counted(task):
            nonlocal most
            ticket = start(task)
            most = max(most, len(cluster.backend.server.running))
            return ticket

        cluster.backend.server.start = counted
        cluster.run(sample_jobs.WordCount, inputs).close()
    assert most == 2


def test_a_warm_local_job_costs_a_fraction_of_mrjobs(local, tmp_path):
    inputs = write(tmp_path, a="x\n", b="y\n")
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        local.run(sample_jobs.WordCount, inputs).close()
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.2     # 0.03 on a quiet machine; mrjob's local runner: 0.5
