"""benchmarks/convergence.py: its rounds without jobs have the bits of jobs, and what is done is not done again."""
import json
import subprocess
import sys
from pathlib import Path

LABORATORY = Path(__file__).parents[2] / "benchmarks" / "convergence.py"


def test_the_laboratory_has_the_bits_of_jobs_and_goes_on(tmp_path):
    def lines(name, *options):
        out = tmp_path / name
        subprocess.run([sys.executable, str(LABORATORY), "--out", str(out), "--inner", "adam", "--workers", "2", "--seeds", "1",
                        "--rounds", "2", "--hidden", "4", "--outer", "auto", *options], check=True, capture_output=True)
        return [json.loads(line) for line in out.read_text().splitlines()]
    (called,), (jobs,) = lines("called", "--compress", "topk"), lines("jobs", "--compress", "topk", "--inline")
    assert jobs["loss"] and {**called, "seconds": 0} == {**jobs, "seconds": 0}
    more = lines("called", "--compress", "topk", "none")
    assert more[0] == called and [run["compress"] for run in more] == ["topk", "none"]
