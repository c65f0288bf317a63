"""Everything of mrjob is imported through this module: mrjob 0.7.4 imports modules that Python removed in 3.12 and 3.13."""
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
    """As much of distutils' LooseVersion as mrjob needs: compares versions part by part."""

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


# importing urllib.request takes 30 ms in each task, and mrjob calls its urlopen only on EMR
_STAND_INS = {"urllib.request": {"pathname2url": quote, "urlopen": _urlopen}, "pipes": {"quote": shlex.quote}, "distutils": {},
              "distutils.spawn": {"find_executable": shutil.which},
              "distutils.version": {"LooseVersion": _LooseVersion}}


@contextmanager
def stand_ins() -> Iterator[None]:
    """While active, small modules replace those that Python has removed, that import slowly, or that setuptools
    provides with a warning."""
    before = {name: sys.modules.get(name) for name in _STAND_INS}
    for name, names in _STAND_INS.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # about invalid escapes in mrjob's strings
        yield
    for name, module in before.items():
        if module:
            sys.modules[name] = module
        elif name != "pipes":       # mrjob's other runners import it later
            del sys.modules[name]


with stand_ins():
    from mrjob import protocol
    from mrjob.job import MRJob
    from mrjob.step import MRStep, StepFailedException

__all__ = ["MRJob", "MRStep", "StepFailedException", "protocol", "stand_ins"]
