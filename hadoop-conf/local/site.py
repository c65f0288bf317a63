"""The archive of mrdl for the nodes' Python, which jobs ship: built out here, as inside there is no network."""
import os
import re
import shutil
import subprocess
import sys

from local.jars import LISTS
from local.places import CONF

ASIDE = {"stdin": subprocess.DEVNULL, "text": True, "cwd": "/"}     # the user's folder is not where modules are from


def build() -> None:
    """Builds it where it is not there yet, by the Python that runs mrdl; where none does, nobody needs it. A failure
    costs only what ships mrdl, so it is said and no more."""
    path = ":".join(filter(None, [os.environ.get("MRDL_NODE_PATH"), "/usr/local/bin:/usr/bin:/bin"]))
    nodes, ours = shutil.which("python3", path=path), None if LISTS else python()
    if not nodes or not ours:
        return
    done = subprocess.run([ours, "-m", "mrdl.archive", nodes], env={**os.environ, "PYTHONSAFEPATH": "1"},
                          capture_output=True, check=False, **ASIDE)
    if done.returncode:
        why = done.stderr.strip().splitlines() or ["it said nothing"]
        print(f"cluster: no archive of mrdl for the nodes' {nodes} could be built, so `mrdl -r hadoop` will not run here: "
              f"{why[-1]}; where there is a network, run: {ours} -m mrdl.archive {nodes}", file=sys.stderr, flush=True)


def python() -> str | None:
    """The Python that runs mrdl: $MRDL_PYTHON, that of this checkout's virtual environment, that of the command `mrdl`,
    or this one; the first that has mrdl."""
    command = shutil.which("mrdl")
    head = ""
    if command:
        with open(command, "rb") as file:
            head = file.readline().decode(errors="replace")
    shebang = re.match(r"#!(\S*python\S*)\s*$", head)
    for found in (os.environ.get("MRDL_PYTHON"), str(CONF.parent / ".venv" / "bin" / "python"),
                  shebang and shebang[1], sys.executable):
        if found and shutil.which(found) and not subprocess.run(
                [found, "-c", "import mrdl.archive"], env={**os.environ, "PYTHONSAFEPATH": "1"}, check=False,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **ASIDE).returncode:
            return found
    return None
