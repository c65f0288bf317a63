"""The options of a run, and their checks."""
import re
from dataclasses import dataclass, fields
from typing import Any

from mrdl.codings import coding
from mrdl.outer import updater
from mrdl.runs.commits import RunError
from mrdl.storage.sealed import check

EVERY = re.compile(r"every ([1-9]\d*)")      # of save_updater


KEPT = 3                        # how many of the last states stay in a run, if nobody says how many


@dataclass(slots=True)                  # slots, so that setting an unknown option is an error
class Options:
    """How a run trains. All options influence the bits, except `until` and `keep_rounds`."""
    workers: int = 2
    batch_size: int = 32
    averaging_frequency: int | str | None = None        # a text is a rule of mrdl.frequency
    seed: int = 0
    save_updater: bool | str = True                     # a text: "keep", or "every 8"
    outer: dict[str, Any] | None = None                 # of ParameterAveraging also a name, or an OuterUpdater
    compress: dict[str, Any] | None = None              # of ParameterAveraging also a name, or a Coding
    compress_broadcast: dict[str, Any] | None = None    # the same
    class_weight: dict[str, float] | None = None        # of ParameterAveraging also "balanced"
    validation_freq: int | None = None
    keep_rounds: int = KEPT
    retries: int = 3
    until: str | None = None
    recalibrate: bool = False
    tbptt: int | None = None
    tbptt_backward: int | None = None
    buckets: list[int] | None = None
    fragments: int | None = None
    warm_start: int | None = None
    turn: int | None = None
    straight: bool | None = None

    @property
    def cut(self) -> bool:
        """Is the network cut into fragments?"""
        return (self.fragments or 1) > 1

    def averages_updater(self, round: int) -> bool:
        """Is the updater's state averaged in this round?

        Args:
            round: its number, from 1."""
        if isinstance(self.save_updater, bool):
            return self.save_updater
        every = EVERY.fullmatch(self.save_updater)
        return round <= (self.warm_start or 0) or bool(every) and round % int(every[1]) == 0

    @property
    def keeping(self) -> list[str]:
        """What workers keep from round to round, in words."""
        kind = coding(self.compress)
        return ([f"what {kind} leaves out"] if kind and kind.feedback else []) + (
            ["the optimizer's state"] if isinstance(self.save_updater, str) else []) + (
            ["weights of their own"] if self.elastic else [])

    @property
    def weighs(self) -> bool:
        """Is each weight averaged by what workers know of it?"""
        rule = updater(self.outer)
        return rule is not None and rule.weighs

    @property
    def elastic(self) -> bool:
        """Do workers go on with weights of their own?"""
        rule = updater(self.outer)
        return rule is not None and bool(rule.pull)

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Options":
        """The options of a run; RunError if this version does not know one of them.

        Args:
            facts: the options by their names."""
        facts = {f.name: f.default for f in fields(cls)} | facts        # runs of before have fewer
        try:
            check(facts, cls, "options")
        except ValueError as error:
            raise RunError(f"run.json: {error}") from None
        return cls(**facts)

    def check(self) -> "Options":
        """Returns the options; RunError if one is out of its range."""
        self.positive("validation_freq", "fragments", "warm_start", "turn", *["averaging_frequency"] * (not isinstance(self.averaging_frequency, str)))
        for key in ("workers", "batch_size", "keep_rounds"):
            if getattr(self, key) < 1:
                raise RunError(f"{key} must be 1 or more, not {getattr(self, key)}")
        if self.workers % (self.fragments or 1):
            raise RunError(f"workers={self.workers} must be a multiple of fragments={self.fragments}, as each fragment has as many workers")
        if isinstance(self.save_updater, str) and self.save_updater != "keep" and not EVERY.fullmatch(self.save_updater):
            raise RunError(f"save_updater={self.save_updater!r} must be average, reset, keep, or every N, as in every 8")
        if self.cut and isinstance(self.save_updater, str):
            raise RunError("fragments: workers cannot keep the updater's state, as each round cuts the network anew; take average or reset")
        kind = coding(self.compress)
        if self.elastic and kind and kind.feedback:
            raise RunError(f"outer elastic: {kind} cannot be used with it, as what a worker is away from the centre comes again in each round; "
                           "take int8, bfloat16 or float16")
        sent = coding(self.compress_broadcast)
        if sent and sent.feedback:
            raise RunError(f"compress_broadcast: {type(sent).__name__.lower()} leaves most values out, and workers need all weights; take float16, "
                           "bfloat16 or int8")
        if self.weighs and not (self.save_updater is True and kind is sent is None):
            raise RunError("outer confidence needs what workers' updaters know in each round: it goes with the updater's state averaged, and "
                           "without compress or compress_broadcast")
        if self.cut and self.compress is not None:
            raise RunError("fragments: compress cannot be used with them, as what a worker leaves out would belong to weights that the next "
                           "round gives to another; leave one of them out")
        if self.cut and sent:
            raise RunError("fragments: compress_broadcast cannot be used with them yet; leave one of them out")
        if self.cut and (self.elastic or self.weighs):
            raise RunError(f"fragments: outer {updater(self.outer)} cannot be used with them, as it needs all weights of each worker; "
                           "take another, such as nesterov")
        if self.cut and self.warm_start:
            raise RunError("fragments: warm_start cannot be used with them, as one worker has only one of the fragments")
        if self.straight and (self.workers, self.averaging_frequency, self.outer, kind, sent, self.save_updater, self.cut) != (
                1, None, None, None, None, True, False):
            raise RunError("straight: needs workers=1, and nothing that is done once a round: averaging_frequency, outer, compress, "
                           "compress_broadcast, save_updater=False")
        if not 0 <= self.seed < 1 << 63:
            raise RunError(f"seed must be from 0 to 2^63 - 1, not {self.seed}")
        return self

    def positive(self, *keys: str) -> None:
        """Raises RunError if one of these options is given and is below 1.

        Args:
            keys: names of options."""
        for key in keys:
            if getattr(self, key) is not None and getattr(self, key) < 1:
                raise RunError(f"{key} must be 1 or more, not {getattr(self, key)}")
