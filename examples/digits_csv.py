"""Writes handwritten digits of 8 x 8 pixels as train.csv and test.csv into a folder.

They are the test set of Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository
(1998), licence CC BY 4.0; scikit-learn's load_digits has the same.
"""
import sys
from pathlib import Path

import numpy as np

folder, source = Path(sys.argv[1]), Path(__file__).with_name("digits.csv.gz")
folder.mkdir(parents=True, exist_ok=True)
rows = np.loadtxt(source, int, delimiter=",", skiprows=1)
rows = rows[np.random.default_rng(0).permutation(len(rows))]
header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
for name, part in (("train", rows[:-360]), ("test", rows[-360:])):
    np.savetxt(folder / f"{name}.csv", part, fmt="%d", delimiter=",", header=header, comments="")
print(f"{folder}: train.csv with {len(rows) - 360} digits, test.csv with 360")
