"""README's snippets, run as a newcomer would: in an empty folder, one after the other; and what CONTRIBUTING.md names."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def snippets(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_snippets_run_as_they_stand(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    bin_path = os.path.dirname(sys.executable)
    environment = os.environ | {"PATH": bin_path + os.pathsep + os.environ["PATH"],
                                "PYTHONPATH": str(ROOT)}

    def run(command):
        done = subprocess.run(command, cwd=tmp_path, env=environment, text=True,
                              capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (example,) = re.findall("`python (examples/digits_csv.py [^`]*)`", README)
    run([sys.executable, *example.split()])
    (python,) = snippets("python")
    assert "accuracy" in run([sys.executable, "-c", python])
    commands = snippets("sh")[1].replace("mrdl ", f"{sys.executable} -m mrdl ").splitlines()
    told = [run(["bash", "-c", command]) for command in commands]
    assert "accuracy 0.9" in told[3].splitlines()[0]
    assert len(list((tmp_path / "predictions").glob("part-*"))) == 2


def test_the_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets) and "make demo" in README and "make test" in README


def test_the_files_tables_and_targets_that_contributing_names_are_there():
    words = re.findall(r"`([\w./-]+)`", CONTRIBUTING) + re.findall(r"tests/[\w./]+", CONTRIBUTING)
    files = {word for word in words if re.search(r"/|\w\.(py|md|toml)$", word) and "NAME" not in word}
    homes = ["", "tests/", "tests/*/", "mrdl/driver/preparation/"]
    assert len(files) > 60
    assert not [file for file in files if not any([*ROOT.glob(home + file.rstrip("/"))] for home in homes)]

    tables = re.findall(r"`(\w+)`(?: or `(\w+)`)? (?:in|of)\s+`([\w/]+\.(?:py|h))`", CONTRIBUTING)
    assert len(tables) > 30
    for *names, file in tables:
        (text,) = [path.read_text() for home in homes[::2] for path in ROOT.glob(home + file)]
        assert not [name for name in names if not re.search(rf"\b{name}\b", text)], file

    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make\s+((?:test|lint|install)[\w-]*)", CONTRIBUTING)) <= set(targets)


def test_the_floors_that_contributing_draws_are_those_of_the_contract():
    contract = re.search(r"^layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)[1]
    drawn = CONTRIBUTING.split("```")[1].strip().splitlines()
    floors = re.findall(r'"(.*?)"', contract)
    assert [line[:len(floor)] for line, floor in zip(drawn, floors, strict=True)] == floors
