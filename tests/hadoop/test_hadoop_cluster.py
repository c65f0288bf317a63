"""The local Hadoop cluster: it reaches nobody, does what a cluster does, dies as asked, leaves nothing.

From outside of any cluster or inside of one: make test-hadoop, or pytest -m hadoop tests/hadoop/test_hadoop_cluster.py"""
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hadoop_cluster import COMMAND, LIB, ROOT, HadoopCluster, alive, application, job, wait_for
from processes import Child

import mrdl

pytestmark = pytest.mark.hadoop

DAEMONS = ["namenode", "datanode1", "datanode2", "datanode3", "resourcemanager", "nodemanager1",
           "nodemanager2", "historyserver"]


@pytest.fixture(scope="module")
def hadoop():
    """A cluster in a folder of its own, so that nobody else's is killed or stopped."""
    cluster = HadoopCluster(ROOT / "build" / "hadoop-test")
    cluster.run("stop")
    try:
        cluster.run("start")
        cluster.shell("printf 'one\\ntwo\\n' | hadoop fs -put -f - /words/a; "
                      "printf 'three\\n' | hadoop fs -put -f - /words/b")
        yield cluster
    finally:
        cluster.run("stop")


def listeners(told: str) -> set[int]:
    return {int(pid) for pid in re.findall(r"pid=(\d+)", told)}


# ---------------------------------------------------------------- isolation

def test_nothing_of_it_listens_outside_of_its_network(hadoop):
    ours = {hadoop.pid(name) for name in DAEMONS}
    outside = subprocess.run(["ss", "-Hltunp"], text=True, capture_output=True, check=True).stdout
    inside = hadoop.shell("ss -Hltunp")
    assert ours <= listeners(inside)
    assert not ours & listeners(outside)
    assert "0.0.0.0:13562" in inside        # which is why there is a network of its own


def test_its_network_has_a_loopback_only_and_every_process_is_in_it(hadoop):
    devices = re.findall(r"^\s*([^\s:]+):", hadoop.shell("cat /proc/net/dev"), re.MULTILINE)
    assert devices == ["lo"]
    mine = os.readlink("/proc/self/ns/net")
    networks = {os.readlink(f"/proc/{pid}/ns/net") for pid in hadoop.processes()} - {mine}
    assert len(networks) == 1
    for name in DAEMONS:
        assert {os.readlink(f"/proc/{hadoop.pid(name)}/ns/net")} == networks


def test_a_client_outside_is_told_to_go_inside(hadoop):
    env = {**hadoop.env, "HADOOP_HOME": str(hadoop.home)}
    done = subprocess.run([hadoop.home / "bin" / "hadoop", "fs", "-ls", "/"], env=env, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 2
    assert "hadoop-conf/cluster exec" in done.stderr


# ---------------------------------------------------------------- commands

def test_start_again_changes_nothing(hadoop):
    before = [hadoop.pid(name) for name in DAEMONS]
    assert hadoop.run("start").stdout.startswith("ready")
    assert [hadoop.pid(name) for name in DAEMONS] == before
    told = hadoop.run("start", "--disk", 100, status=2).stderr
    assert "stop it first" in told


def test_start_builds_the_archive_for_the_nodes_or_says_where_to(hadoop, tmp_path):
    told = hadoop.run("start", XDG_CACHE_HOME=str(tmp_path), PIP_INDEX_URL="http://127.0.0.1:1/", PIP_RETRIES="0").stderr
    assert "no numpy for the nodes' Python" in told, told
    assert told.endswith(f"run: {sys.executable} -m mrdl.archive {shutil.which('python3', path=hadoop.env['MRDL_NODE_PATH'])}\n")
    assert hadoop.run("start").stderr == ""     # the cache has it


def test_a_killed_daemon_is_down_until_it_is_started(hadoop):
    assert hadoop.run("status").stdout.count(" up ") == len(DAEMONS)
    before = hadoop.pid("datanode3")
    hadoop.run("kill", "datanode3")
    assert not alive(before)
    assert re.search(r"datanode3 +down", hadoop.run("status", status=1).stdout)
    assert "not running" in hadoop.run("kill", "datanode3", status=1).stderr
    hadoop.run("start", "datanode3")
    hadoop.run("status")
    assert "Starting DataNode" in hadoop.run("logs", "datanode3").stdout


def test_exec_gives_status_folder_variables_and_signals_on(hadoop, tmp_path):
    assert hadoop.run("exec", "sh", "-c", "exit 7", status=7)
    assert hadoop.run("exec", "no-such-command", status=127)
    done = subprocess.run([COMMAND, "exec", "sh", "-c", "pwd; echo $MINE $MRDL_HADOOP"], text=True,
                          env={**hadoop.env, "MINE": "kept"}, cwd=tmp_path, capture_output=True,
                          check=True)
    assert done.stdout.split() == [str(tmp_path), "kept", str(hadoop.home)]
    for number in (signal.SIGINT, signal.SIGTERM):
        process = hadoop.begin(f"trap 'echo got it; exit 9' {int(number)}; echo ready; "
                               "while :; do sleep 0.1; done")
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.communicate()[0] == "got it\n"
        assert process.returncode == 9


def test_the_commands_of_the_stock_scripts_work(hadoop):
    told = hadoop.shell("hadoop version; hadoop classpath; hdfs dfsadmin -report; yarn node -list; "
                        "yarn application -list; hdfs getconf -confKey fs.defaultFS")
    assert "Hadoop 3." in told
    assert "Live datanodes (3)" in told
    assert "127.0.0.12:8041" in told
    assert "hdfs://127.0.0.1:8020" in told
    assert "/*" in hadoop.shell("hadoop classpath")
    streaming = [path for folder, _, names in os.walk(hadoop.home) for name in names
                 if re.match(r"hadoop-streaming.*\.jar", name) for path in [Path(folder, name)]]
    assert streaming        # where mrjob looks for it


def test_permissions_hold_on_hdfs(hadoop):
    hadoop.run("exec", "hadoop", "fs", "-touchz", "/tmp/of-anybody", HADOOP_USER_NAME="anybody")
    done = hadoop.run("exec", "hadoop", "fs", "-touchz", "/of-root", HADOOP_USER_NAME="anybody",
                      status=None)
    assert "Permission denied" in done.stderr


# ---------------------------------------------------------------- jobs

def test_a_streaming_job_runs_and_its_logs_are_kept(hadoop):
    done = hadoop.run("exec", "sh", "-c", job("sh -c \"cat; echo heard >&2\"", reduces=1))
    assert hadoop.shell("hadoop fs -cat /out/part-00000").split() == ["one", "three", "two"]
    ask = f"yarn logs -applicationId {application(done.stderr)} -log_files stderr"
    assert wait_for(lambda: "heard" in hadoop.shell(ask + " || true"))


def test_a_job_takes_the_queue_it_asks_for(hadoop):
    done = hadoop.run("exec", "sh", "-c", job("cat", "mapreduce.job.queuename=small"))
    report = hadoop.shell(f"yarn application -status {application(done.stderr)}")
    assert re.search(r"Queue : (root\.)?small\b", report)
    done = hadoop.run("exec", "sh", "-c", job("cat", "mapreduce.job.queuename=none"), status=None)
    assert done.returncode
    assert "unknown queue" in done.stderr


def test_tasks_have_the_nodes_environment_and_not_the_drivers(hadoop):
    hadoop.run("exec", "sh", "-c", job("env"), MINE="the driver's", PYTHONPATH="/of/the/driver")
    told = hadoop.shell("hadoop fs -cat /out/part-*")
    node = hadoop.env["MRDL_NODE_PATH"]
    assert f"PATH={node}:/usr/local/bin:/usr/bin:/bin" in told
    assert "the driver" not in told


def test_a_container_over_its_memory_is_killed(hadoop):
    hog = "python3 -c \"import time; x = bytes([1]) * (500 << 20); time.sleep(600)\""
    done = hadoop.run("exec", "sh", "-c", job(
        hog, "mapreduce.map.memory.mb=384", "mapreduce.map.maxattempts=2"), status=None)
    assert done.returncode
    assert "beyond the 'PHYSICAL' memory limit" in done.stderr


def test_a_label_sends_a_job_to_its_node(hadoop):
    hadoop.shell("yarn rmadmin -addToClusterNodeLabels big && "
                 "yarn rmadmin -replaceLabelsOnNode 127.0.0.12=big")
    try:
        hadoop.shell(job("printenv NM_HOST", "mapreduce.job.node-label-expression=big"))
        assert set(hadoop.shell("hadoop fs -cat /out/part-*").split()) == {"127.0.0.12"}
    finally:
        hadoop.shell("yarn rmadmin -replaceLabelsOnNode 127.0.0.12 && "
                     "yarn rmadmin -removeFromClusterNodeLabels big")


# ---------------------------------------------------------------- faults

@pytest.fixture
def sleepers(hadoop):
    """A job whose mappers sleep, each with a child that hides from its parents' environment."""
    process = hadoop.begin(job("sh -c \"env -i setsid sleep 3611 & exec sleep 3612\""))
    yield wait_for(lambda: sleeping("3611") if len(sleeping("3612")) == 2 else None)
    process.kill()
    process.communicate()
    hadoop.shell("yarn application -list 2>&1 | grep -o '^application_[0-9_]*' | "
                 "xargs -r yarn application -kill")


def sleeping(seconds: str) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.add(int(path.parent.name))
        except OSError:
            pass
    return found


def test_a_lost_node_takes_its_containers_along(hadoop, sleepers):
    views = {f"node{n}": os.readlink(f"/proc/{hadoop.pid(f'node{n}')}/ns/mnt") for n in (1, 2)}
    where = {pid: os.readlink(f"/proc/{pid}/ns/mnt") for pid in sleepers}
    node = next(name for name, view in views.items() if view in where.values())
    daemons = [hadoop.pid(f"datanode{node[-1]}"), hadoop.pid(f"nodemanager{node[-1]}")]
    tasks = hadoop.processes(MRDL_NODE=node[-1])
    assert len(tasks) > len(daemons)
    hadoop.run("kill", node)
    gone = tasks | {pid for pid, view in where.items() if view == views[node]}
    assert not [pid for pid in {*gone, *daemons} if alive(pid)]
    assert all(alive(pid) for pid, view in where.items() if view != views[node])
    status = hadoop.run("status", status=1).stdout
    assert status.count(" down") == 2
    hadoop.run("start", node)
    hadoop.run("status")


def test_a_job_outlives_the_daemons_of_yarn(hadoop):
    """They are killed and started again in the middle: no task has to run twice."""
    go = hadoop.home / "go"
    process = hadoop.begin(job(f"sh -c \"cat; until test -e {go}; do sleep 0.2; done\"",
                               "mapreduce.map.speculative=false"))
    try:
        wait_for(lambda: len([pid for pid in hadoop.processes() if command(pid).startswith("sh\0-c")
                              and f"until test -e {go}" in command(pid)]) == 2)
        for name in ("resourcemanager", "nodemanager1", "nodemanager2"):
            hadoop.run("kill", name)
        hadoop.run("start")
        go.touch()
        told = process.communicate(timeout=300)[0]
    finally:
        process.kill()
        go.unlink(missing_ok=True)
    assert process.returncode == 0, told
    assert re.search(r"Launched map tasks=2\b", told), told
    assert sorted(hadoop.shell("hadoop fs -cat /out/part-*").split()) == ["one", "three", "two"]


def command(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
    return re.sub(r"^[^\0]*/", "", line)


# ---------------------------------------------------------------- what does not work is said

@pytest.fixture
def nowhere(tmp_path):
    """A cluster that was never started, with Hadoop's jars at hand."""
    return HadoopCluster(tmp_path / "home")


def refused(cluster, *arguments, **env) -> str:
    done = cluster.run(*arguments, status=2, **env)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert not cluster.processes()
    assert not list(cluster.home.glob("run/*.pid"))
    return done.stderr


def tools(folder: Path, *names: str) -> str:
    """A PATH with these tools and Python only."""
    folder.mkdir()
    for name in (*names, "env", "sh", "sleep"):
        (folder / name).symlink_to(shutil.which(name))
    (folder / "python3").symlink_to(sys.executable)
    return str(folder)


def test_without_java_or_maven_or_namespaces_nothing_is_started(hadoop, nowhere, tmp_path):
    path = tools(tmp_path / "1", "mvn", "unshare", "nsenter")
    assert "install Java 17" in refused(nowhere, "start", PATH=path, JAVA_HOME="")
    path = tools(tmp_path / "2", "java", "nsenter")
    assert "install util-linux" in refused(nowhere, "start", PATH=path)
    path = tools(tmp_path / "3", "java", "unshare", "nsenter")
    assert "install Maven" in refused(nowhere, "install", PATH=path,
                                      MRDL_HADOOP_LIB=str(tmp_path / "empty"))


def test_where_no_namespace_may_be_made_nothing_is_started(hadoop, nowhere, tmp_path):
    path = tools(tmp_path / "bin", "java", "nsenter")
    fake = tmp_path / "bin" / "unshare"
    fake.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n")
    fake.chmod(0o755)
    told = refused(nowhere, "start", PATH=path)
    assert "Operation not permitted" in told
    assert "max_user_namespaces" in told


@pytest.mark.parametrize("buffered", ["", "1"])
def test_help_ends_quietly_where_its_reader_has_enough(buffered):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([COMMAND, "help"], check=False, stdout=write, stderr=subprocess.PIPE,
                          env={**os.environ, "PYTHONUNBUFFERED": buffered})
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_what_needs_a_cluster_says_that_none_runs(nowhere):
    for arguments in (["exec", "true"], ["kill", "namenode"], ["start", "datanode1"]):
        assert "no cluster is running" in refused(nowhere, *arguments)
    assert "there is no namenode7" in refused(nowhere, "kill", "namenode7")
    assert nowhere.run("status", status=1).stdout.count(" down") == len(DAEMONS)
    assert nowhere.run("stop").stdout == "stopped\n"


def test_an_archive_of_classes_that_a_kill_cut_off_is_made_anew(tmp_path):
    for jar in Path(LIB).glob("*.jar"):
        (tmp_path / jar.name).symlink_to(jar.resolve())
    (tmp_path / "classes.lst").write_text("java/lang/Object\norg/apache/hadoop/util/VersionInfo\n")
    script = "from local import jars; import subprocess; assert jars.dump(lambda *java: not subprocess.call(java))"
    call = {"args": [sys.executable, "-c", script],
            "env": {**os.environ, "PYTHONPATH": str(ROOT / "hadoop-conf"), "MRDL_HADOOP_LIB": str(tmp_path)}}
    killed = Child(**call, start_new_session=True)
    wait_for((tmp_path / "hadoop.jsa.new").exists)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert (tmp_path / "hadoop.jsa.new").exists() and not (tmp_path / "hadoop.jsa").exists()
    subprocess.run(**call, check=True)
    assert (tmp_path / "hadoop.jsa").stat().st_size > 0 and not (tmp_path / "hadoop.jsa.new").exists()


# ---------------------------------------------------------------- a second one, and the end

@pytest.fixture(scope="module")
def small(hadoop, tmp_path_factory):
    """A cluster beside the other one, with disks of 128 MB; its nodes do not see the folder `secret`."""
    home = tmp_path_factory.mktemp("small")
    (home / "secret").mkdir()
    (home / "secret" / "file").touch()
    cluster = HadoopCluster(home / "hadoop")
    try:
        cluster.run("start", "--hide", home / "secret", "--disk", 128)
        yield cluster
    finally:
        cluster.run("stop")
    assert not cluster.processes()
    assert "mrdl-" not in Path("/proc/mounts").read_text()


@pytest.fixture
def room_again(small):
    """For tests that fill the small cluster's HDFS: its DataNodes remove blocks some seconds after their file."""
    yield
    wait_for(lambda: small.run("exec", "sh", "-c", "head -c 40000000 /dev/zero | hadoop fs -put -f - /room && "
                               "hadoop fs -rm -skipTrash /room", status=None).returncode == 0)


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_an_hdfs_without_room_for_a_state_ends_the_run_in_a_line_and_its_job_with_it(small, room_again, tmp_path, mode):
    (tmp_path / "rows.csv").write_text("a,y\n" + "".join(f"{i}.5,{i % 3}\n" for i in range(60)))
    (tmp_path / "model.py").write_text("""
import mrdl
from mrdl.layers import Dense
model = mrdl.Sequential([Dense(12_000_000), Dense(1)])      # 144 MB
model.compile("sgd", "mse")
""")
    mrdl.prepare(str(tmp_path / "rows.csv"), str(tmp_path / "data"), label="y", shards=2, runner="inline")
    told = small.run("exec", sys.executable, "-m", "mrdl", "train", tmp_path / "model.py", tmp_path / "data",
                     f"hdfs:///full-{mode}", "-r", "hadoop", "--resident", mode, status=2).stderr
    assert re.fullmatch(rf"mrdl: hdfs:///full-{mode}/state-000000.safetensors: is HDFS full\? File .*", told.splitlines()[-1])
    assert "Traceback" not in told
    assert "states: [SUBMITTED, ACCEPTED, RUNNING] and tags: []):0" in small.shell(
        "yarn application -list")


def test_a_reducer_that_still_writes_as_its_jvm_finds_no_room_is_told_as_that(small, room_again, tmp_path):
    """Not as the broken pipe that it ends by."""
    (tmp_path / "line").write_text("x\n")
    told = small.run("exec", sys.executable, ROOT / "tests" / "support" / "flood_job.py", "-r", "hadoop", "-q",
                     "-D", "mapreduce.reduce.maxattempts=1", tmp_path / "line", status=1).stderr
    assert re.match(r"OSError: \[Errno 28\] is HDFS full\? (File|All datanodes) ", told.splitlines()[-1]), told
    assert "BrokenPipe" not in told and "subprocess failed" not in told


def test_hidden_folders_and_small_disks_in_a_cluster_beside_another(hadoop, small):
    folder = small.home.parent / "secret"
    small.shell("echo here | hadoop fs -put - /words")
    small.shell(job(f"sh -c \"cat; ls -A {folder}\""))
    assert small.shell("hadoop fs -cat /out/part-*").split() == ["here"]
    assert small.shell(f"ls {folder}") == "file\n"
    done = small.run("exec", "sh", "-c", "head -c 300000000 /dev/zero | hadoop fs -put - /big", status=None)
    assert done.returncode
    assert "could only be written to 0 of the 1" in done.stderr or "are bad. Aborting" in done.stderr
    assert hadoop.shell("hadoop fs -ls -C /words").split() == ["/words/a", "/words/b"]


def test_stop_leaves_nothing_even_after_a_crash_and_files_stay(hadoop):
    hadoop.shell("echo kept | hadoop fs -put -f - /kept")
    everything = hadoop.processes() | {hadoop.pid(name) for name in [*DAEMONS, "network", "node1"]}
    for name in ("network", "node2", "namenode"):
        os.kill(hadoop.pid(name), signal.SIGKILL)
    assert hadoop.run("stop").stdout == "stopped\n"
    assert not hadoop.processes()
    assert not [pid for pid in everything if alive(pid)]
    assert not (hadoop.home / "run").exists()
    hadoop.run("start")
    assert hadoop.shell("hadoop fs -cat /kept") == "kept\n"
