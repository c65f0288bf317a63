"""docs/tables.md: its commands run as they stand, on a table like the one that it shows."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.passengers import passengers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tables.md").read_text()


def test_the_commands_of_the_page_run_and_print_what_it_shows(tmp_path):
    passengers(tmp_path)
    environment = os.environ | {"PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"], "COLUMNS": "96",
                                "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}

    def run(*words):
        done = subprocess.run(words, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first, *more = [command.replace("mrdl ", f"{sys.executable} -m mrdl ") for command in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]
    assert run("bash", "-c", first) == re.search(r"```\n\n```\n(.*?)```", PAGE, re.DOTALL)[1]
    for command in more:
        run("bash", "-ec", command)
    assert (tmp_path / "runs" / "passengers" / "model.safetensors").exists()
    shutil.move(tmp_path / "schema.json", tmp_path / "first.json")
    (python,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "age numeric, missing -> mean 39.4 12\n" in run(sys.executable, "-c", python)
    assert b'"kind": "id"' in (tmp_path / "schema.json").read_bytes()


def test_the_page_names_the_options_that_there_are():
    from mrdl.cli.arguments import parser
    words = sorted(set(re.findall(r"(--[a-z][a-z-]+)", PAGE)))
    known = {option for action in parser()._actions if action.dest == "command" for name, p in action.choices.items()
             if name in ("describe", "prepare", "train", "evaluate") for option in p._option_string_actions}
    assert not [word for word in words if word not in known]
