"""What a task keeps of the memory that it frees."""
import subprocess
import sys

TWICE = """
import resource, sys
from mrdl.kernels import memory
known = memory.keep(64 << 20) if sys.argv[1] == "keep" else True
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    some = [b"x" * (4 << 20) for _ in range(4)]
    del some
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(known), faults[-1])
"""


def faults(how: str) -> tuple[bool, int]:
    known, last = subprocess.run([sys.executable, "-c", TWICE, how], check=True, capture_output=True, text=True).stdout.split()
    return bool(int(known)), int(last)


def test_memory_that_was_freed_is_used_again_without_asking_for_it():
    known, kept = faults("keep")
    assert not known or kept < faults("not")[1] / 4
