"""A character model as DL4J's tutorials train it on Spark, by MapReduce rounds on text that every Python carries.

    python examples/char_lstm.py [FOLDER [EPOCHS]]      prepares, trains and samples in one go (tutorial 12)

or step by step, with this file as the model of the command line:

    python examples/char_lstm.py FOLDER 0               writes FOLDER/topics.txt alone
    mrdl prepare FOLDER/topics.txt FOLDER/data --format text --sequence-length 1000 --hold-out 0.05
    mrdl train examples/char_lstm.py FOLDER/data FOLDER/run --workers 2 --batch-size 16 --averaging-frequency 5 \\
        --tbptt 50 --seed 12345 --until 'epochs 12'
    mrdl generate FOLDER/run --prompt 'The ' --temperature 0.7
"""
import argparse
import sys
from math import log
from pathlib import Path
from pydoc_data.topics import topics

import mrdl
from mrdl.layers import CategoryEncoding, Dense, GravesLSTM
from mrdl.optimizers import RMSprop
from mrdl.regularizers import L2
from mrdl.schedules import ExponentialDecay

SYMBOLS = 128                           # more than the text has
WINDOW = 50
# DL4J's l2(0.001) is a penalty of 0.001 w^2 / 2 on the sum of a window's losses; here it is one on their mean
PENALTY = L2(0.001 / 2 / WINDOW)
WEIGHTS = {"kernel_initializer": "glorot_normal", "recurrent_initializer": "glorot_normal",      # nearest to XAVIER
           "kernel_regularizer": PENALTY, "recurrent_regularizer": PENALTY}

model = mrdl.Sequential([
    CategoryEncoding(SYMBOLS, "one_hot"),
    GravesLSTM(200, "tanh", return_sequences=True, **WEIGHTS),
    GravesLSTM(200, "tanh", return_sequences=True, **WEIGHTS),
    Dense(SYMBOLS, "softmax", kernel_initializer="glorot_normal", kernel_regularizer=PENALTY),
])
# DL4J's epsilon of 1e-8 stands beside the root, Keras's in it
model.compile(RMSprop(ExponentialDecay(0.005, 1000, 0.5), rho=0.95, epsilon=1e-16), "sparse_categorical_crossentropy")


def told(event, facts):
    """A line for each scored round."""
    if event == "scored":
        print(f"round {facts['round']}: {facts['score']['val_loss'] / log(2):.3f} bits a character", flush=True)


def parser():
    found = argparse.ArgumentParser(description="Trains a character model on the language reference of Python.")
    found.add_argument("folder", nargs="?", default="tutorial", help="for text, dataset and runs (tutorial)")
    found.add_argument("epochs", nargs="?", default=12, type=int, help="0: write the text alone (12)")
    return found


def main(arguments=None):
    a = parser().parse_args(arguments)
    if a.epochs < 0:
        parser().error(f"EPOCHS {a.epochs}: must be 0 or more")
    raw, data, run = Path(a.folder, "topics.txt"), f"{a.folder}/data", f"{a.folder}/run-{a.epochs}-epochs"
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_text("\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    if not a.epochs:
        return
    if not Path(data, "data.json").exists():
        mrdl.prepare(str(raw), data, format="text", sequence_length=1000, hold_out=0.05)
    training = mrdl.ParameterAveraging(workers=2, batch_size=16, averaging_frequency=5, tbptt=WINDOW, seed=12345, epochs=a.epochs)
    result = training.fit(model, data, run=run, told=told)
    print(f"{result.metrics['val_loss'] / log(2):.3f} bits a character after {result.rounds} rounds\n")
    print(mrdl.generate(run, "The ", length=400, temperature=0.7))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, RuntimeError, mrdl.JobFailed) as error:         # what mrdl's own errors are
        sys.exit(f"char_lstm: {error}")
