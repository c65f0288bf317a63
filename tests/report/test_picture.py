"""history.png: what is in it, and when it is there."""
import time

import numpy as np
import pytest

import mrdl
from mrdl.layers import Dense
from mrdl.report import picture, plot
from mrdl.report.history import curves
from mrdl.runs.run import Run

pytestmark = pytest.mark.usefixtures("pictures")

HISTORY = [{"round": r, "loss": 1 / r, "val_loss": 1.1 / r, "accuracy": 0.5, "matrix": [[1]]} for r in (1, 2, 3)]


def test_the_picture_has_a_panel_for_each_metric():
    assert list(curves(HISTORY)) == ["loss", "val_loss", "accuracy"]
    assert plot.plot(HISTORY)[:8] == b"\x89PNG\r\n\x1a\n"
    assert plot.plot([])[:4] == b"\x89PNG"
    many = [{"round": 1} | {f"m{i}_$x^$": 0.5 for i in range(6)}]
    titles = [axes.get_title() for axes in plot.figure(many).axes]
    assert len(titles) == 8 and titles[5] == r"m5_\$x^\$" and plot.plot(many, "a$_$")


@pytest.mark.parametrize("rounds", [1, 3, 50])
def test_ticks_are_whole_rounds_and_the_restored_one_is_marked(rounds):
    history = [{"round": r, "loss": 1 / r} for r in range(1, rounds + 1)]
    axes, = plot.figure(history, marked=(1, "restored")).axes
    assert len(axes.get_xticks()) and (np.rint(axes.get_xticks()) == axes.get_xticks()).all()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "restored: round 1"]


def trained(data, run, told=None, **options):
    model = mrdl.Sequential([Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    training = mrdl.ParameterAveraging(runner="inline", until="rounds 3, loss patience 9", **options)
    return training.fit(model, data.url, run=str(run), told=told, verbose=0)


def test_it_is_there_while_the_run_goes_on(made, tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "EVERY", 0.0)
    there = []

    def told(event, facts):
        while event == "round" and facts["round"] == 2 and not there:
            there.extend((tmp_path / "run").glob("history.png"))
            time.sleep(0.01)
    trained(made(60), tmp_path / "run", told)
    assert there


def test_it_is_there_after_a_stop_and_renewed_at_the_end(made, tmp_path):
    def stop(event, facts):
        if event == "round" and facts["round"] == 2:
            raise KeyboardInterrupt
    data, run = made(60), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        trained(data, run, stop)
    stopped = (run / "history.png").read_bytes()
    trained(data, run)
    history = Run(str(run)).history()
    assert (run / "history.png").read_bytes() == plot.plot(
        history, str(run), (1 + int(np.argmin([line["loss"] for line in history])), "restored")) != stopped


def test_a_picture_that_cannot_be_written_ends_no_run(made, tmp_path):
    (tmp_path / "run").mkdir()
    data = made(60)

    def told(event, facts):
        (tmp_path / "run" / "history.png" / "x").mkdir(parents=True, exist_ok=True)
    assert trained(data, tmp_path / "run", told).rounds == 3
