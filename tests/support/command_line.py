"""The command line, called in this process."""
from mrdl.cli import main

MODEL = """
import mrdl
from mrdl.layers import Dense
def model():
    m = mrdl.Sequential([Dense(8, "relu"), Dense(3, "softmax")])
    m.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return m
"""


def mrdl(capsys, *words):
    """(exit status, stdout, stderr) of `mrdl WORDS`, by default with `-r inline` where there are jobs."""
    status = main([*words, *([] if "-r" in words or words[0] in ("show", "export") else ["-r", "inline"])])
    out = capsys.readouterr()
    return status, out.out, out.err
