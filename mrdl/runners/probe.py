"""Prints one line of JSON that describes the Python running this script.

It is sent to a node as a streaming mapper, so it must also run where mrdl cannot: it imports no packages, and works
with old versions of Python."""
import json
import platform
import sys
import sysconfig

# the same as in kernels/cpu.pyx
LEVELS = (("v2", ("sse4_2", "ssse3", "popcnt", "cx16")), ("v3", ("avx2", "fma", "bmi2")),
          ("v4", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")))


def cpu_level():
    """The highest x86-64 level that this CPU supports; None if the system does not tell."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = set(next(line for line in file if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return None
    level = "v1"
    for name, needed in LEVELS:
        if not flags.issuperset(needed):
            break
        level = name
    return level


if __name__ == "__main__":
    for _ in sys.stdin:         # streaming lets a mapper fail if it leaves input unread
        pass
    print(json.dumps({"python": platform.python_version(),
                      "soabi": sysconfig.get_config_var("SOABI"), "machine": platform.machine(),
                      "libc": " ".join(platform.libc_ver()), "cpu": cpu_level(),
                      "executable": sys.executable}, sort_keys=True))
