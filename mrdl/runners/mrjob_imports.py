"""All of the project's imports from mrjob go through here: mrjob 0.7.4 imports modules that Python dropped in 3.12 and 3.13."""
import re
import shlex
import shutil
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import total_ordering
from urllib.parse import quote


@total_ordering
class _LooseVersion:
    """Enough of distutils' LooseVersion for mrjob: numbers and words, compared in turn."""

    def __init__(self, text: str):
        self.parts = [(0, int(part), "") if part.isdigit() else (1, 0, part)
                      for part in re.findall(r"\d+|[a-z]+", text)]

    def __eq__(self, other) -> bool:
        return self.parts == other.parts

    def __lt__(self, other) -> bool:
        return self.parts < other.parts


def _urlopen(*arguments, **named):
    from urllib.request import urlopen
    return urlopen(*arguments, **named)


# urllib.request takes a task 30 ms to import, for a function that mrjob calls on EMR alone
_STAND_INS = {"urllib.request": {"pathname2url": quote, "urlopen": _urlopen}, "pipes": {"quote": shlex.quote}, "distutils": {},
              "distutils.spawn": {"find_executable": shutil.which},
              "distutils.version": {"LooseVersion": _LooseVersion}}


@contextmanager
def stand_ins() -> Iterator[None]:
    """Puts small modules where Python has none any more, or slow ones, or setuptools some that warn."""
    before = {name: sys.modules.get(name) for name in _STAND_INS}
    for name, names in _STAND_INS.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # mrjob's old escapes
        yield
    for name, module in before.items():
        if module:
            sys.modules[name] = module
        elif name != "pipes":       # for which mrjob's other runners ask later
            del sys.modules[name]


with stand_ins():
    from mrjob import protocol
    from mrjob.job import MRJob
    from mrjob.step import MRStep, StepFailedException

__all__ = ["MRJob", "MRStep", "StepFailedException", "protocol", "stand_ins"]
