"""Writes scikit-learn's handwritten digits as train.csv and test.csv into a folder."""
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
x, y = load_digits(return_X_y=True)
rows = np.column_stack([y, x]).astype(int)[np.random.default_rng(0).permutation(len(y))]
header = ",".join(["label", *(f"pixel{i}" for i in range(x.shape[1]))])
for name, part in (("train", rows[:-360]), ("test", rows[-360:])):
    np.savetxt(folder / f"{name}.csv", part, fmt="%d", delimiter=",", header=header, comments="")
print(f"{folder}: train.csv with {len(rows) - 360} digits, test.csv with 360")
