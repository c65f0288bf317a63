"""For jobs of your own: what a worker emits, and how it is averaged; see docs/streaming.md."""
from mrdl.rounds.partial import Partial, PartialProtocol, merge

__all__ = ["Partial", "PartialProtocol", "merge"]
