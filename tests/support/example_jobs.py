"""The jobs of examples/ on rows of their own."""
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def average(runner, *arguments):
    """What a user's own job of examples/ writes."""
    ended = subprocess.run([sys.executable, str(ROOT / "examples" / "averaging_job.py"), "-q", "-r", runner, *arguments],
                           capture_output=True, check=True)
    return ended.stdout


def digits(folder):
    """Two files of digits as CSV."""
    rng = np.random.default_rng(0)
    for name, n in (("a.csv", 40), ("b.csv", 25)):
        rows = np.column_stack([rng.integers(0, 10, n), rng.integers(0, 17, (n, 64))])
        np.savetxt(folder / name, rows, fmt="%d", delimiter=",", header="label,...", comments="")
    return [str(folder / name) for name in ("a.csv", "b.csv")]
