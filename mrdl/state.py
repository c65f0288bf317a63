"""Everything round r + 1 needs from round r, as one safetensors file; no pickle anywhere."""
import json
from dataclasses import dataclass, field

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mrdl import __version__, kernels


class StateError(ValueError):
    """A state that is damaged or belongs to something else."""


def profile() -> str:
    """What decides the bits of a run: mrdl's version, and whether multiply-adds are fused."""
    return f"mrdl {__version__}, {'fused' if kernels.FMA else 'separate'} multiply-add"


@dataclass
class State:
    """`vector` is the weights, then the updater's slots: [P (1 + slots)]."""
    vector: np.ndarray
    parameters: int                     # P
    round: int = 0                      # rounds done
    iterations: int = 0                 # updates done: what schedules and Adam's t count
    epoch: int = 0
    group: int = 0                      # the next group of the epoch
    part: int = 0                       # the next round of the group
    rate_scale: float = 1.0             # halved at each roll-back
    profile: str = field(default_factory=profile)

    @property
    def weights(self) -> np.ndarray:
        return self.vector[:self.parameters]

    @property
    def slots(self) -> np.ndarray:
        return self.vector[self.parameters:].reshape(-1, self.parameters)

    def dump(self) -> bytes:
        facts = {k: v for k, v in vars(self).items() if k != "vector"}
        return save({"vector": self.vector}, {"mrdl": json.dumps(facts)})

    @classmethod
    def parse(cls, data: bytes, source: str) -> "State":
        """StateError where `data` is no state; sizes are checked before memory is taken."""
        try:
            (length,) = np.frombuffer(data, "<u8", 1)
            facts = json.loads(json.loads(data[8:8 + int(length)])["__metadata__"]["mrdl"])
            vector = load(data)["vector"]
            state = cls(kernels.zeros(len(vector), vector.dtype), **facts)
            state.vector[:] = vector
            if state.parameters < 1 or len(state.vector) % state.parameters:
                raise ValueError("its vector does not fit its parameters")
        except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise StateError(f"{source} is no state of a run: {error}") from None
        return state
