"""Every argument that a user can give has a line of its own: under Args, in the docstring of the function or class, or
of a class that it inherits from, or of the method that it overrides."""
import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import mrdl
from mrdl import places
from mrdl.config import Configured, Placed

MODULES = ["mrdl", "mrdl.blocks", "mrdl.callbacks", "mrdl.constraints", "mrdl.dataset", "mrdl.initializers", "mrdl.layers", "mrdl.losses",
           "mrdl.metrics", "mrdl.ops", "mrdl.optimizers", "mrdl.partial", "mrdl.regularizers", "mrdl.schedules", "mrdl.streaming", "mrdl.utils", "mrdl.activations"]
ARGS = re.compile(r"^Args:\n((?:(?: .*)?\n)*(?: .*)?)", re.MULTILINE)


def described(doc: str | None) -> set[str]:
    """The names that a docstring has lines for."""
    found = ARGS.search(inspect.cleandoc(doc or ""))
    return set(re.findall(r"^    \*{0,2}(\w+): \S", found[1], re.MULTILINE)) if found else set()


def lacking(thing) -> list[str]:
    """The arguments of a function or class that have no line."""
    docs = [home.__doc__ for home in thing.__mro__] if inspect.isclass(thing) else [inspect.getdoc(thing)]
    known = {name for doc in docs for name in described(doc)}
    idle = set(places.IGNORED) - {f.name for f in dataclasses.fields(thing)} if isinstance(thing, Placed) else set()
    return sorted(set(inspect.signature(thing).parameters) - {"self", "cls"} - known - idle)


def public(module) -> Iterator[tuple[str, object]]:
    """The functions and classes of a module that users import, and the methods of those that are no descriptions."""
    names = getattr(module, "__all__", [name for name, value in vars(module).items() if name[0] != "_"
                                        and f"{getattr(value, '__module__', '')}.".startswith(f"{module.__name__}.")])
    for name in names:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value) and value.__module__.startswith("mrdl.") and not issubclass(value, Exception):
            yield name, value
            inherited = {}
            for home in reversed(value.__mro__):
                inherited |= vars(home) if home.__module__.startswith("mrdl.") else {}
            for part, own in inherited.items():
                own = getattr(own, "__func__", own)
                if inspect.isfunction(own) and part[0] != "_" and not issubclass(value, Configured):
                    yield f"{name}.{part}", own


@pytest.mark.parametrize("module", MODULES)
def test_every_argument_of_what_users_import_is_documented(module):
    found = dict(public(import_module(module)))
    assert found
    assert {name: odd for name, thing in found.items() if (odd := lacking(thing))} == {}


def test_what_the_docs_call_is_there():
    root = Path(__file__).parents[1]
    called = {name for page in (root / "README.md", *(root / "docs").glob("*.md")) for name in re.findall(r"\bmrdl\.(\w+)\(", page.read_text("utf-8"))}
    assert "tabular" in called and [name for name in sorted(called) if not hasattr(mrdl, name)] == []
