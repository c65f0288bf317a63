"""A Hadoop cluster for tests, by hadoop-conf/cluster; it lives in a folder and a network of its own."""
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from processes import Child

ROOT = Path(__file__).parents[2]
COMMAND = str(ROOT / "hadoop-conf" / "cluster")
LIB = os.environ.get("MRDL_HADOOP_LIB") or ROOT / "build" / "hadoop" / "lib"    # shared: it is large


class HadoopCluster:
    def __init__(self, home: Path):
        self.home = home
        self.env = {**os.environ, "MRDL_HADOOP": str(home), "MRDL_HADOOP_LIB": str(LIB), "MRDL_PYTHON": sys.executable,
                    "MRDL_NODE_PATH": os.path.dirname(os.path.realpath(sys.executable))}

    def run(self, *arguments, status=0, **more) -> subprocess.CompletedProcess:
        """hadoop-conf/cluster with these arguments; its exit status must be `status`, or any if None."""
        done = subprocess.run([COMMAND, *map(str, arguments)], env={**self.env, **more}, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert status in (None, done.returncode), f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def shell(self, script: str, **more) -> str:
        """What a shell script prints that runs inside."""
        return self.run("exec", "sh", "-c", script, **more).stdout

    def begin(self, script: str) -> Child:
        return Child([COMMAND, "exec", "sh", "-c", script], env=self.env, text=True, stdin=subprocess.DEVNULL,
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def processes(self, **variables) -> set[int]:
        """The living processes that have these variables and the cluster's folder in their environment."""
        wanted = {f"{name}={value}".encode()
                  for name, value in {"MRDL_HADOOP": self.home, **variables}.items()}
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if wanted <= set((folder / "environ").read_bytes().split(b"\0")) and alive(folder.name):
                    found.add(int(folder.name))
        return found

    def pid(self, name: str) -> int:
        return int((self.home / "run" / f"{name}.pid").read_text().split()[0])


def alive(pid: int | str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition, seconds=120):
    """What the condition gives, once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)
    return found


def job(mapper: str, *settings: str, reduces: int = 0) -> str:
    """A shell command: a streaming job from /words to /out, one mapper a file."""
    settings = (f"mapreduce.job.reduces={reduces}",
                f"mapreduce.input.fileinputformat.split.minsize={2**62}", *settings)
    return ("hadoop fs -rm -r -f /out >&2; exec mapred streaming "
            f"{' '.join(f'-D {setting}' for setting in settings)} "
            f"-input /words -output /out -mapper '{mapper}' -reducer cat")


def application(text: str) -> str:
    return re.search(r"application_\d+_\d+", text)[0]
