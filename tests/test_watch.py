"""What is told of a job on YARN that failed, by what YARN and the task itself said."""
import pytest

from mrdl.watch import NEVER, headline, reason

PIPE = """Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 1
\tat org.apache.hadoop.streaming.PipeMapRed.waitOutputThreads(PipeMapRed.java:326)
"""
FULL = """reporter:status:reads hdfs:///data/part-00000
Traceback (most recent call last):
  File "site/mrdl/hdfs.py", line 57, in _ask
    return call(client)
mrdl.hdfs_clients.Refused: The DiskSpace quota of /models/a is exceeded

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "site/mrdl/meeting.py", line 207, in leave
    self.store.create(f"{number:06d}/{kind}-{worker:04d}", result.dump(values))
OSError: [Errno 122] The DiskSpace quota of /models/a is exceeded: 'hdfs:///models/a/resident/000001/done-0000'
"""
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
"""


@pytest.mark.parametrize("why, said, told, never", [
    (PIPE, FULL, ("OSError: [Errno 122] The DiskSpace quota of /models/a is exceeded: "
                  "'hdfs:///models/a/resident/000001/done-0000' (Error: java.lang.RuntimeException: "
                  "PipeMapRed.waitOutputThreads(): subprocess failed with code 1)"), True),
    (PIPE, "these are my last words\n",
     "Error: java.lang.RuntimeException: PipeMapRed.waitOutputThreads(): subprocess failed with code 1", False),
    (LAUNCH, "", "Unrecognized option: -Xfoo", True),
    (MISSING, "", 'java.io.IOException: Cannot run program "python9": error=2, No such file or directory', True),
    ("", "", "no reason was given", False)])
def test_the_cause_stands_in_the_first_line(why, said, told, never):
    assert headline(why, said) == told and bool(NEVER.search(told)) == never


def test_yarns_reason_is_told_without_stack_traces_and_twice_the_same():
    assert reason("The required MAP capability is too much.\nJob received Kill while in RUNNING state.\n"
                  "The required MAP capability is too much.\n") == "The required MAP capability is too much."
    assert reason("Job init failed : X: y\n\tat a.b(C.java:1)\n\t... 3 more\n") == "Job init failed : X: y"
    assert reason("Task failed task_1\nJob failed as tasks failed. failedMaps:1\n\n") == "YARN gives no reason"
