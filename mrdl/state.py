"""Everything round r + 1 needs from round r, as one safetensors file; no pickle anywhere."""
import json
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from safetensors import SafetensorError, safe_open
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
        """The state in the bytes of a file; StateError where there is none."""
        with _refused(source):
            (length,) = np.frombuffer(data, "<u8", 1)
            facts = json.loads(data[8:8 + int(length)])["__metadata__"]["mrdl"]
            return cls._checked(json.loads(facts), load(data)["vector"])

    @classmethod
    def load(cls, path: str) -> "State":
        """The state in a local file, which is mapped and copied once; StateError where there is none."""
        with _refused(path), safe_open(path, "numpy") as file:
            return cls._checked(json.loads(file.metadata()["mrdl"]), file.get_tensor("vector"))

    @classmethod
    def _checked(cls, facts: dict, vector: np.ndarray) -> "State":
        state = cls(vector, **facts)
        if state.parameters < 1 or len(vector) % state.parameters:
            raise ValueError("its vector does not fit its parameters")
        return state


@contextmanager
def _refused(source: str):
    """Whatever is wrong with a file is one StateError; safetensors checks sizes before it takes memory."""
    try:
        yield
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise StateError(f"{source} is no state of a run: {error}") from None
