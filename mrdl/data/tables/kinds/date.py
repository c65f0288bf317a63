"""A column of dates: its parts, those that come again as a point on a circle, or seconds."""
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mrdl.data.sources import DataError
from mrdl.data.tables.kinds.base import DATE, Filled
from mrdl.data.tables.statistics import PARTS, Statistics, calendar
from mrdl.data.tables.words import TIMES, Words
from mrdl.kernels import words as kernel

FIRST = {"month": 1, "day": 1}                  # parts that people count from 1
EXACT = 14                      # decimals of sines that are the same on every machine


@dataclass(frozen=True, kw_only=True)
class Date(Filled):
    """Days, and times of day, as seconds since 1970.

    Args:
        order: of year, month and day: "YMD", "DMY" or "MDY".
        parts: what becomes a feature.
        cyclic: whether month, day, weekday, hour and minute become a sine and a cosine each, or a number.
        deviation: of the seconds, which become (seconds - mean) / deviation."""
    kind = "date"
    order: Literal["YMD", "DMY", "MDY"] = "YMD"
    parts: tuple[Literal["year", "month", "day", "weekday", "hour", "minute", "seconds"], ...] = ("year", "month", "day", "weekday")
    cyclic: bool = True
    deviation: float | None = None

    def wrong(self) -> str:
        if "seconds" in self.parts and (self.mean is None or self.deviation is None):
            return "mean or deviation is not given, but parts have seconds"
        for name in ("mean", "median", "mode", "missing"):
            value = getattr(self, name)
            if isinstance(value, float) and not TIMES[0] <= value < TIMES[1]:
                return f"{name} is {value:g}; it must be seconds since 1970 of the years 1 to 9999"
        return super().wrong() if self.parts else "parts are empty"

    @classmethod
    def made(cls, statistics: Statistics, **given: Any) -> "Date":
        order = given.setdefault("order", best_order(statistics))
        dates = statistics.dates[order]
        if not dates.numbers.count:
            raise DataError(f"it has no dates that mrdl can read as {order}")
        return super().made(statistics, **{
            "parts": tuple(dates.varying()) or ("year",), "mean": dates.numbers.mean, "deviation": dates.numbers.deviation,
            "median": statistics.quantiles([0.5], order)[0], "mode": statistics.mode(order), **given})

    def scaled_by(self) -> tuple[str, ...]:
        return ("mean", "deviation") if "seconds" in self.parts else ()

    def features(self, name: str) -> list[str]:
        return [feature for part in self.parts for feature in (
            [f"{name}.{part}.sin", f"{name}.{part}.cos"] if self.cyclic and part in PARTS else [f"{name}.{part}"])
        ] + self.flags(name)

    def encode(self, words: Words, out: np.ndarray) -> np.ndarray:
        seconds, codes = words.dates(self.order)
        codes = np.where(codes == kernel.GOOD, 0, DATE).astype("u1")
        seconds[codes != 0] = 0
        missed = self.missed(words, codes != 0)
        codes[missed] = 0
        self.filled(seconds, missed, codes, out)
        found, place = calendar(seconds), 0
        for part in self.parts:
            if part == "seconds":
                out[:, place] = (seconds - self.mean) / (self.deviation or 1.0)
            elif self.cyclic and part in PARTS:
                for turns in CIRCLES[part]:
                    out[:, place] = turns[found[part]]
                    place += 1
                continue
            else:
                out[:, place] = found[part] + FIRST.get(part, 0)
            place += 1
        return codes

    def told(self) -> str:
        return f"date ({self.order}) as {', '.join(self.parts)}{self.missing_told()}"

    def missing_told(self) -> str:
        told = super().missing_told()
        if self.missing in ("drop", "refuse"):
            return told
        return told.replace(f"{self.filling:.4g}", str(np.datetime64(int(self.filling), "s").astype("M8[D]")))


def best_order(statistics: Statistics) -> str:
    """The order by which most words are dates, year first among equals."""
    return max(statistics.dates, key=lambda order: statistics.dates[order].numbers.count)


def _circle(size: int) -> np.ndarray:
    """Sines and cosines of the turns 0/size, 1/size.."""
    return np.array([[round(f(2 * math.pi * k / size), EXACT) + 0.0 for k in range(size)] for f in (math.sin, math.cos)])


CIRCLES = {part: _circle(size) for part, size in PARTS.items()}
