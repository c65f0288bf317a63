"""What is told of a job on YARN, and of a file of HDFS, that failed, by what these and the task itself said."""
import errno
from types import SimpleNamespace

import pytest

from mrdl.runners.failures import is_final
from mrdl.runners.hadoop.jvm import GatewayError
from mrdl.runners.hadoop.watch import NEVER, Watch, headline, reason
from mrdl.storage.hdfs.folder import _broken
from mrdl.storage.hdfs.native import DataNodesFailed

PIPE = """Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 1
\tat org.apache.hadoop.streaming.PipeMapRed.waitOutputThreads(PipeMapRed.java:326)
"""
QUOTA = """reporter:status:reads hdfs:///data/part-00000
Traceback (most recent call last):
  File "site/mrdl/storage/hdfs/folder.py", line 57, in _ask
    return call(client)
mrdl.storage.hdfs.common.Refused: The DiskSpace quota of /models/a is exceeded

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "site/mrdl/rounds/meeting.py", line 207, in leave
    self.store.create(f"{number:06d}/{kind}-{worker:04d}", result.dump(values))
OSError: [Errno 122] The DiskSpace quota of /models/a is exceeded: 'hdfs:///models/a/resident/000001/done-0000'
"""
NO_ROOM = ("File /runs/a/{} could only be written to 0 of the 1 minReplication nodes. There are 3 datanode(s) running and 3 "
           "node(s) are excluded in this operation.")
BAD = "All datanodes [DatanodeInfoWithStorage[127.0.0.1:9366,DS-7bd6c7cf,DISK]] are bad. Aborting..."
# a reducer's output that its JVM could not write: while Python still wrote to it, and as it ended; a worker's own file
WRITING, ENDING, WORKER = """Error: java.lang.RuntimeException: {0}
\tat org.apache.hadoop.streaming.PipeMapRed.waitOutputThreads(PipeMapRed.java:340)
Caused by: {0}
\tat org.apache.hadoop.hdfs.DataStreamer.run(DataStreamer.java:752)
""", """Error: {}
\tat org.apache.hadoop.ipc.Client.call(Client.java:1481)
""", """Traceback (most recent call last):
  File "site/mrdl/worker/resident.py", line 208, in _answer
    self.meeting.leave(self.number, self.place, result, values)
OSError: [Errno 28] is HDFS full? {}: 'hdfs://master:8020/runs/a/resident/000001/done-0000'
"""
REMOTE = f"org.apache.hadoop.ipc.RemoteException(java.io.IOException): {NO_ROOM}"
LAUNCH = """[2026-11-30 02:22:27.980]Exception from container-launch.
Container id: container_1_0008_01_000002
Exit code: 1

[2026-11-30 02:22:27.981]Container exited with a non-zero exit code 1. Error file: prelaunch.err.
Last 4096 bytes of prelaunch.err :
Last 4096 bytes of stderr :
Unrecognized option: -Xfoo
Error: Could not create the Java Virtual Machine.
"""
MISSING = """Error: java.lang.RuntimeException: Error in configuring object
\tat org.apache.hadoop.util.ReflectionUtils.setJobConf(ReflectionUtils.java:112)
Caused by: java.lang.reflect.InvocationTargetException
\t... 9 more
Caused by: java.io.IOException: Cannot run program "python9": error=2, No such file or directory
\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)
Caused by: java.io.IOException: error=2, No such file or directory
"""


@pytest.mark.parametrize("why, said, told, never", [
    (PIPE, QUOTA, ("OSError: [Errno 122] The DiskSpace quota of /models/a is exceeded: "
                   "'hdfs:///models/a/resident/000001/done-0000' (Error: java.lang.RuntimeException: "
                   "PipeMapRed.waitOutputThreads(): subprocess failed with code 1)"), True),
    (PIPE, "these are my last words\n",
     "Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 1", False),
    (LAUNCH, "", "Unrecognized option: -Xfoo", True),
    (MISSING, "", 'java.io.IOException: Cannot run program "python9": error=2, No such file or directory', True),
    ("", "", "no reason was given", False)])
def test_the_cause_stands_in_the_first_line(why, said, told, never):
    assert headline(why, said) == told and bool(NEVER.search(told)) == never


@pytest.mark.parametrize("why, said, full, name, history", [
    (WRITING.format(REMOTE.format("part-00000")), "", NO_ROOM.format("part-00000"), "/runs/a/part-00000", True),
    (ENDING.format(REMOTE.format("part-00000")), "", NO_ROOM.format("part-00000"), "/runs/a/part-00000", False),
    (WRITING.format(f"java.io.IOException: {BAD}"), "", BAD, "/", False),
    (PIPE, WORKER.format(NO_ROOM.format(".done-0000-6b7a")), NO_ROOM.format(".done-0000-6b7a"), "/runs/a/.done-0000-6b7a", True)])
def test_a_full_hdfs_is_all_that_is_told_of_a_job_and_another_attempt_is_none(why, said, full, name, history):
    """Whoever of it comes first to find no room; its master may have had none for the job's history, by which it is known."""
    told, attempt = [], "attempt_1_2_r_000000_3"

    def forgotten(*_):
        raise GatewayError("NullPointerException: ... because \"report\" is null")
    states = [{"state": "RUNNING", "map": 1.0, "reduce": 0.0, "events": [(attempt, False, "FAILED")]},
              {"state": "FAILED", "map": 1.0, "reduce": 0.0, "events": [], "failure": ""}]
    gateway = SimpleNamespace(poll=lambda job: states.pop(0) if history or len(states) > 1 else forgotten(),
                              diagnostics=lambda job, attempt: why, stderr=lambda job, attempt: said)
    with pytest.raises(OSError) as failed:
        Watch(gateway, "job_1_2", [], {"mapper": 0, "reducer": 1}, None, told.append, lambda text, seconds: None).run()
    assert failed.value.args == (errno.ENOSPC, f"is HDFS full? {full}") and failed.value.filename == f"hdfs://{name}"
    assert is_final(failed.value)
    assert told == [f"{attempt} failed: " + ("Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed "
                                             "with code 1" if said else f"is HDFS full? {full}")]


def test_yarns_reason_is_told_without_stack_traces_and_twice_the_same():
    assert reason("The required MAP capability is too much.\nJob received Kill while in RUNNING state.\n"
                  "The required MAP capability is too much.\n") == "The required MAP capability is too much."
    assert reason("Job init failed : X: y\n\tat a.b(C.java:1)\n\t... 3 more\n") == "Job init failed : X: y"
    assert reason("Task failed task_1\nJob failed as tasks failed. failedMaps:1\n\n") == "YARN gives no reason"


def test_a_lost_datanode_is_not_told_as_a_lost_namenode():
    nodes = ", ".join(f'DatanodeInfoProto {{ id: DatanodeIdProto {{ ip_addr: \\"10.0.0.{i}\\", host_name: \\"node{i}\\", '
                      'xfer_port: 9866 }, capacity: Some(8) }' for i in (1, 2))
    client = SimpleNamespace(addresses=["master:8020"])
    assert _broken(DataNodesFailed(f'DataTransferError("All DataNodes failed: [{nodes}]")'), client) == (
        "the NameNode answers, but none of the file's DataNodes (node1, node2) can be reached: "
        'DataTransferError("All DataNodes failed")')
    assert _broken(ConnectionResetError("reset"), client) == "the connection to HDFS (master:8020) failed: reset"
