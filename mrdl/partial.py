"""What a worker of your own emits, and how it is averaged; see docs/streaming.md."""
from mrdl.rounds.partial import Partial, PartialProtocol, merge

__all__ = ["Partial", "PartialProtocol", "merge"]
