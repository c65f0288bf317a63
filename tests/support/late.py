"""What a slow machine runs of the tests that need a cluster: another part at each commit, until its time is up."""
import hashlib
import os
import time

LEAST = 600             # seconds that they have however late it is

BEGUN = time.time()


def turned(names: set[str], seed: str) -> list[str]:
    """The names in an order that the seed decides, so that it is not always the same ones that come too late."""
    return sorted(names, key=lambda name: hashlib.sha256((seed + name).encode()).digest())


def late(now: float, begun: float = BEGUN) -> bool:
    """Is the time up that MRDL_UNTIL gives, in seconds since 1970? Without it there is no end."""
    until = os.environ.get("MRDL_UNTIL")
    return until is not None and now > max(float(until), begun + LEAST)
