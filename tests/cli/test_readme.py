"""README's snippets, run as a newcomer would: in an empty folder, one after the other."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


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
    assert '"accuracy": 0.9' in told[3]
    assert len(list((tmp_path / "predictions").glob("part-*"))) == 2


def test_the_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets) and "make demo" in README and "make test" in README
