"""Keeps the modules of the current folder out of mrdl and of every Python that it starts.

A user who works in a stranger's folder must not run a json.py that lies there. Python puts the current
folder first in sys.path for -m and -c, and wherever PYTHONPATH has an empty entry. So `mrdl` imports this
module before all others."""
import os
import sys

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))     # the folder that mrdl was imported from


def leave() -> None:
    """Removes the current folder from sys.path, if the running program is mrdl.

    The folder stays if mrdl itself is imported from it, as in a checkout that is not installed."""
    try:
        here = os.getcwd()
    except OSError:                 # the current folder was deleted, so nothing can be imported from it
        return
    if here == HOME:
        return
    module = _module()
    if module and not getattr(sys.flags, "safe_path", sys.flags.isolated):
        del sys.path[0]
    given, kept = _python_path()
    if (module or os.path.basename(sys.argv[0]) == "mrdl") and given != kept and here not in kept \
            and here in sys.path:
        sys.path.remove(here)


def _module() -> bool:
    """Is this `python -m mrdl`, or a module of it? While Python looks for one, its name is not in sys.argv."""
    if getattr(sys, "argv", [])[:1] != ["-m"]:
        return False
    name = sys.orig_argv[-len(sys.argv)]
    return (name.partition("m")[2] if name[0] == "-" else name).split(".")[0] == "mrdl"


def _python_path() -> tuple[list[str], list[str]]:
    """All entries of PYTHONPATH; and those of them that do not mean the current folder ("" and "." do)."""
    set_to = os.environ.get("PYTHONPATH")
    given = set_to.split(os.pathsep) if set_to else []
    return given, [folder for folder in given
                   if os.path.isabs(folder) or os.path.abspath(folder) != os.getcwd()]


def folders() -> list[str]:
    """sys.path for a Python in any working directory, without entries that mean the current folder."""
    return [os.path.abspath(folder) for folder in sys.path if folder or os.getcwd() == HOME]


def environment() -> dict[str, str]:
    """The environment for a new Python process: its PYTHONPATH has no entry for the current folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(_python_path()[1])}


def command(code: str, *arguments: str) -> list[str]:
    """The command for a Python that can import what this one can, but nothing from the current folder.

    With -c, Python puts the current folder first in sys.path, so before setting the path the code imports only sys, which
    is built in."""
    return [sys.executable, "-c", f"import sys; sys.path[:] = {folders()!r}; {code}", *arguments]
