"""The record of a round: what its commit says of it."""
from typing import Any

from mrdl.metric import FACTS

# what a worker's seconds go into: resident ones wait for the round, and write the last one's result
PHASES = ("wait", "start", "read", "compute", "emit", "write")


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """The loss and metrics of a round's record."""
    return {name: value for name, value in record.items() if name not in FACTS}
