"""FragmentTraining: trains a network in rounds whose workers each train a fragment of it, from Python."""
from dataclasses import dataclass, replace

from mrdl.driver.averaging import ParameterAveraging
from mrdl.driver.options import Options


@dataclass(slots=True)
class FragmentTraining(ParameterAveraging):
    """Trains a network cut into fragments, each by workers of its own.

    Independent subnet training (Yuan et al., VLDB 2022): in each round the hidden units are dealt
    out anew to `fragments` smaller networks of the same layers; of a graph its residual blocks are
    (ResIST: Dun et al., UAI 2022). A worker receives, trains and
    returns one of them, so its memory, time and bytes are those of the smaller network. What only
    one fragment has is joined, what all have is averaged. Worker w trains fragment w mod
    `fragments`; where there are more workers than fragments, those of a fragment are averaged.

    The other arguments, and fit: see ParameterAveraging.

    Args:
        workers: shards trained at a time, a multiple of `fragments`. None: as many as fragments.
        fragments: how many, 1 or more, and at most the units of each hidden layer; of a graph, more
            fragments than blocks share blocks. 1: ParameterAveraging."""
    workers: int | None = None
    fragments: int = 2

    def options(self) -> Options:
        """What decides the run, checked, as of ParameterAveraging.

        Raises:
            RunError: an option is out of its range.
            RuleError: `until` is no rule.
            ConfigError: `averaging_frequency`, `class_weight`, `tbptt` or `buckets` are of another form."""
        return ParameterAveraging.options(replace(self, workers=self.fragments if self.workers is None else self.workers))
