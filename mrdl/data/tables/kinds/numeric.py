"""A column of numbers: one feature."""
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from mrdl.data.tables.kinds.base import FINITE, Filled, Written
from mrdl.data.tables.statistics import Statistics
from mrdl.data.tables.words import Words
from mrdl.kernels import cells

NEAR = 2**-8                    # share by which an estimate may be wrong
GRID = [i / 100 for i in range(101)]            # shares of the quantiles that scale by them
SCALED = {"none": "", "standard": ", standardised", "minmax": ", scaled to 0..1", "log": ", as logarithm",
          "quantile": ", as its rank from 0 to 1"}


@dataclass(frozen=True, kw_only=True)
class Numeric(Written, Filled):
    """Numbers.

    Args:
        scale: "none": as they are; "standard": (x - mean) / deviation; "minmax": (x - least) / (largest - least); "log":
            log(1 + |x|) with the sign of x; "quantile": the share of numbers below, from `quantiles`.
        deviation: the sample's, of the numbers by which the schema was made.
        least: of them.
        largest: of them.
        quantiles: rising; the shares they stand for are equally spaced from 0 to 1."""
    kind = "numeric"
    scale: Literal["none", "standard", "minmax", "log", "quantile"] = "none"
    deviation: float | None = None
    least: float | None = None
    largest: float | None = None
    quantiles: tuple[float, ...] = ()

    def wrong(self) -> str:
        for name in self.scaled_by():
            if getattr(self, name) is None:
                return f"{name} is not given, but scale is {self.scale!r}"
        if (self.quantiles or self.scale == "quantile") and (len(self.quantiles) < 2 or list(self.quantiles) != sorted(self.quantiles)):
            return "quantiles must be two or more rising numbers where scale is 'quantile'"
        return super().wrong() or self._beyond()

    def _beyond(self) -> str:
        """Which number is beyond the least or the largest one; medians and modes may be estimates."""
        if None not in (self.least, self.largest) and self.least > self.largest:
            return f"least is {self.least:g}, and largest is {self.largest:g}"
        for name in ("mean", "median", "mode"):
            for bound, side, said in (("least", -1, "at least"), ("largest", 1, "at most")):
                value, end = getattr(self, name), getattr(self, bound)
                if None not in (value, end) and side * (value - end) > NEAR * max(abs(value), abs(end)):
                    return f"{name} is {value:g}; it must be {said} {end:g}, as {bound} is"
        return ""

    def scaled_by(self) -> tuple[str, ...]:
        return {"standard": ("mean", "deviation"), "minmax": ("least", "largest"), "quantile": ("quantiles",)}.get(self.scale, ())

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Numeric":
        numbers = statistics.numbers
        found = {"mean": 0.0, "median": 0.0, "mode": 0.0}
        if numbers.count:
            found = {"mean": numbers.mean, "deviation": numbers.deviation, "least": numbers.least, "largest": numbers.largest,
                     "median": statistics.quantiles([0.5])[0], "mode": statistics.mode()}
            if given.get("scale") == "quantile":
                found["quantiles"] = tuple(statistics.quantiles(GRID))
        return super().made(statistics, **{**found, **given})

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        if self._quick:
            filling, shift, by = self._quick
            values = words.filled(filling, self.notation)
            if values is not None and cells.scale(values[:, None], shift, by, out):
                return np.zeros(len(words), "u1")
        values, missed, codes = self.read(words)
        self.filled(values, missed, codes, out)
        with np.errstate(over="ignore", invalid="ignore"):
            out[:, 0] = self._scaled(values)
        if self.scale != "none":
            codes[(codes == 0) & ~np.isfinite(out[:, 0])] = FINITE
        return codes

    @property
    def line(self) -> tuple[float, float] | None:
        """The shift and the divisor, where numbers are scaled as (x - shift) / divisor."""
        if self.scale == "standard":
            return self.mean, self.deviation or 1.0
        if self.scale == "minmax":
            return self.least, self.largest - self.least or 1.0
        return (0.0, 1.0) if self.scale == "none" else None

    @property
    def affine(self) -> tuple[float, float] | None:
        """The same, where that is all there is to do: no number means a missing value, and no feature says that one is missing."""
        return None if self.missing == "indicator" or self.numeric_words else self.line

    @cached_property
    def _quick(self) -> tuple[float, np.ndarray, np.ndarray] | None:
        """What replaces an empty field, nan where it is not to be replaced; shift and divisor. None: there is more to do."""
        filled = "" in self.missing_words and self.missing not in ("drop", "refuse")
        return self.affine and (self.filling if filled else np.nan, *np.array(self.affine)[:, None])

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        if self.line:
            shift, by = self.line
            return (x - shift) / by
        return np.copysign(log1p(np.abs(x)), x) if self.scale == "log" else _rank(x, np.array(self.quantiles))

    def told(self) -> str:
        return f"numeric{self.as_written()}{SCALED[self.scale]}{self.missing_told()}"


def log1p(x: np.ndarray) -> np.ndarray:
    """log(1 + x) of x >= 0 by sums and products alone, the same bits on every CPU: NumPy's differ."""
    m, e = np.frexp(1.0 + x)
    low = m < 0.5 ** 0.5
    m, e = np.where(low, 2 * m, m), e - low
    s = np.where(e == 0, x / (x + 2.0), (m - 1.0) / (m + 1.0))
    square, sums = s * s, np.zeros_like(s)
    for k in range(23, 0, -2):                  # 2 atanh(s), |s| < 0.172
        sums = sums * square + 1.0 / k
    return e * 0.6931471805599453 + 2.0 * s * sums


def _rank(x: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Where x lies among the quantiles, 0 to 1, linear between them; in the middle of those that it equals."""
    last = len(quantiles) - 1
    left, right = np.searchsorted(quantiles, x, "left"), np.searchsorted(quantiles, x, "right")
    below = np.clip(left - 1, 0, last - 1)
    low, high = quantiles[below], quantiles[below + 1]
    between = below + (x - low) / np.where(high > low, high - low, 1.0)
    return np.where(left < right, (left + right - 1) / 2, np.clip(between, 0, last)) / last
