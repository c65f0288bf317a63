"""Small jobs for the tests of the runners."""
import json
import os
import signal
import sys
import time
from pathlib import Path

from mrdl.runners.mrjob_imports import protocol
from mrdl.runners.streaming import Job


class Raw:
    """A protocol of mrjob's: a line is key TAB value, both bytes."""

    def read(self, line: bytes) -> tuple[bytes, bytes]:
        key, _, value = line.partition(b"\t")
        return key, value

    def write(self, key: bytes, value: bytes) -> bytes:
        return key + b"\t" + value


class RawJob(Job):
    INPUT_PROTOCOL = protocol.BytesValueProtocol
    INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = Raw


class WordCount(Job):
    def configure_args(self):
        super().configure_args()
        self.add_passthru_arg("--times", type=int, default=1)

    def mapper(self, _, line):
        for word in line.split():
            yield word, self.options.times

    def reducer(self, word, counts):
        yield word, sum(counts)


class Order(RawJob):
    """Passes each line through: a reducer's part shows which lines it got, in what order."""

    def mapper(self, _, line):
        key, _, value = line.partition(b"\t")
        yield key, value

    def reducer(self, key, values):
        for value in values:
            yield key, value


class SortedOrder(Order):
    SORT_VALUES = True


class MapOnly(RawJob):
    """Each mapper writes one line: how many lines it got, what --state holds, and the beginning of its lines."""

    def configure_args(self):
        super().configure_args()
        self.add_file_arg("--state")

    def map_pairs(self, pairs, step_num=0):
        lines = [line for _, line in pairs]
        state = Path(self.options.state).read_bytes() if self.options.state else b""
        print("a stray print goes to the log")
        yield b"", b"%d %s %s" % (len(lines), state, b"".join(lines)[:20])


class Environment(Job):
    """The variables of a task, as mapper and as reducer."""
    NAMES = ("mapreduce_map_input_file", "mapreduce_map_input_start", "mapreduce_task_partition",
             "mapreduce_task_ismap", "mapreduce_job_name", "OPENBLAS_NUM_THREADS")

    def mapper_final(self):
        yield os.environ["mapreduce_task_partition"], {n: os.environ[n] for n in self.NAMES}

    def reducer(self, key, values):
        yield "mapper", list(values)
        yield "reducer", {name: os.environ.get(name) for name in self.NAMES}


class Faulty(RawJob):
    """A line says what goes wrong and how often: "kill 2" kills its mapper in the first two attempts. Each attempt adds a
    line `attempt TAB pid` to the file --notes."""

    def configure_args(self):
        super().configure_args()
        self.add_passthru_arg("--notes")

    def mapper(self, _, line):
        what, times = line.split()
        attempt = int(os.environ["mapreduce_task_attempt_id"].rpartition("_")[2])
        with open(self.options.notes, "a") as notes:
            notes.write(f"{attempt}\t{os.getpid()}\n")
        yield b"half a", b"part"
        if attempt < int(times):
            {b"kill": self.kill, b"server": self.server, b"raise": self.fail, b"exit": sys.exit,
             b"sleep": self.sleep}[what]()
        yield b"done", line

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def server(self):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    def sleep(self):
        time.sleep(60)

    def fail(self):
        raise ZeroDivisionError("row 3 is odd")


class Marks(RawJob):
    """Leaves marks on its process, and tells [pid, whether there were marks already]: does a task see what another one has
    left? Of a line that is a number it takes as many MB of memory."""
    INTERNAL_PROTOCOL = OUTPUT_PROTOCOL = protocol.BytesValueProtocol

    def mapper(self, _, line):
        marked = "MARK" in os.environ or "mark" in sys.path
        os.environ["MARK"] = "1"
        sys.path.append("mark")
        bytearray(b"x") * ((int(line) if line.isdigit() else 0) << 20)
        yield None, json.dumps([os.getpid(), marked]).encode()


class Loaded(RawJob):
    """Tells of the module that each line names whether it is imported already."""

    def mapper(self, _, line):
        yield line, str(line.decode() in sys.modules).encode()


class FaultyReducer(RawJob):
    def mapper(self, _, line):
        yield b"k", line

    def reducer(self, key, values):
        raise KeyError("no such chunk")


if __name__ == "__main__":
    WordCount.run()
