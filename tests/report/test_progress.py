"""What a user sees while jobs run: which rounds make a line, what stands in it, and how long it says that it takes."""
import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from contextlib import closing

import numpy as np
import pytest
from processes import Child

import mrdl
from mrdl.config import ConfigError
from mrdl.data.sources import about
from mrdl.layers import Dense
from mrdl.printing import written
from mrdl.report import progress
from mrdl.report.pace import Rounds
from mrdl.report.work import Work


def rounds(n, epoch=1, every=0, seconds=1.0, compute=0.1, left=None, limit=np.inf, resident=(), each=None):
    """The events of n rounds, `epoch` of them an epoch; each `every`th is scored, in the job of the next."""
    elapsed, score = 0.0, False
    for r in range(1, n + 1):
        spent = each(r) if each else seconds
        elapsed += spent
        yield "round", {
            "round": r, "epoch": (r - 1) // epoch + 1, "epochs": r // epoch, "progress": r / epoch, "loss": 1.0 * r,
            "accuracy": 0.5, "examples": 100 * r, "total": 100 * epoch, "elapsed": elapsed, "every": every,
            "seconds": {"round": spent, "compute": compute} | ({"answer": 1.0} if r in resident else {}),
            "scoring": score, "left": n - r if left is None else left, "limit": limit, "ends": r == n and left is None,
            "due": bool(every) and (r % every == 0 or r == n)}
        score = bool(every) and r % every == 0
        if score or (every and r == n):
            yield "scored", {"round": r, "score": {"val_loss": 1000.0 + r}, "ends": r == n and left is None}


def lines(events) -> list[str]:
    stream = io.StringIO()
    with closing(progress.Lines(stream)) as told:
        for event in events:
            told(*event)
    return stream.getvalue().splitlines()


def numbers(events) -> list[int]:
    return [int(re.match(r"round +(\d+)", line)[1]) for line in lines(events)]


def test_the_lines_of_a_run_are_few_and_the_last_round_has_one():
    assert numbers(rounds(7)) == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(rounds(47)) == [*range(1, 11), 20, 30, 40, 47]
    assert numbers(rounds(90, epoch=45)) == [*range(1, 11), 20, 30, 40, 45, 90]
    assert numbers(rounds(60, epoch=3)) == [*range(1, 11), 20, 30, 40, 50, 60]
    assert len(numbers(rounds(4321, seconds=0.1))) == 32
    assert numbers(rounds(30, every=4)) == [1, 4, 8, 12, 20, 30]
    assert numbers(rounds(30, seconds=100.0)) == [*range(1, 11), 16, 20, 26, 30]     # ten minutes without one


@pytest.mark.parametrize("epoch", [1, 3])
def test_the_epoch_is_in_each_line_of_a_run_or_in_none(epoch):
    assert {" epoch " in line for line in lines(rounds(9, epoch=epoch))} == {epoch > 1}


@pytest.mark.parametrize("every", [1, 3])
def test_a_rounds_own_score_stands_beside_its_loss(every):
    told = lines(rounds(9, every=every))
    for line in told[every > 1:]:
        r, loss, score = re.match(r"round (\d)  .*loss (\d)\.0000  val_loss 100(\d)\.0000", line).groups()
        assert r == loss == score and "[" not in line
    assert len(told) == 9 if every == 1 else 4


def test_a_round_that_was_stopped_in_has_its_line_without_a_score():
    *before, last = lines(list(rounds(12, every=1))[:5])
    assert len(before) == 2 and "round  3  loss 3.0000  accuracy" in last and " left" not in last


def left(events) -> list[float]:
    told = Rounds()
    return [told.newest["seconds_left"] for event, facts in events
            if event == "round" and (told.round(facts), True)[1]]


def test_the_time_left_is_that_of_rounds_like_those_to_come():
    # the first round starts all up; where little of it was computed, nothing is said
    assert left(rounds(4, each=lambda r: 60.0 if r == 1 else 2.0)) == [np.inf, 4.0, 2.0, 0.0]
    assert left(rounds(3, compute=6.0, each=lambda r: 9.0 if r == 1 else 7.0)) == [12.0, 7.0, 0.0]
    # a resident job starts up again, and is not compared with plain rounds
    took = {1: 60.0, 2: 20.0, 3: 30.0, 4: 0.5, 5: 0.7}
    assert left(rounds(5, each=took.get, resident=(3, 4, 5))) == pytest.approx([np.inf, 60.0, np.inf, 0.5, 0.0])
    # each fourth round scores besides
    assert left(rounds(12, left=100, every=4, each=lambda r: 5.0 if r % 4 == 1 else 1.0))[-1] == pytest.approx(200)
    # a rule of the clock knows it
    assert left(rounds(3, left=np.inf, limit=30.0)) == [30.0] * 3
    assert left(rounds(3, left=np.inf)) == [np.inf] * 3


@pytest.mark.parametrize("value, text", [(0.0, "0.0000"), (0.25, "0.2500"), (-12.5, "-12.5000"), (0.00012, "1.2000e-04"),
                                         (2.5e9, "2.5000e+09"), (float("nan"), "nan"), (float("inf"), "inf"),
                                         ([0.5, 1.0], "[0.5000 1.0000]"), ([0.5] * 11, "(11)")])
def test_numbers_are_written_so_that_they_say_something(value, text):
    assert written(value) == text


@pytest.mark.parametrize("seconds, text", [(5, "5 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"),
                                           (float("inf"), "?")])
def test_times_are_written_for_people(seconds, text):
    assert progress.clock(seconds) == text


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("columns, kept", [
    (45, ""), (62, "  accuracy 0.5000"), (90, "  accuracy 0.5000  1.00 s  100 of 100 examples"),
    (200, "  accuracy 0.5000  1.00 s  (0.10 computing)  2 s left  100 of 100 examples")])
def test_a_line_that_stays_loses_what_matters_least(monkeypatch, columns, kept):
    monkeypatch.setenv("COLUMNS", str(columns))
    with closing(progress.reporter(Terminal())) as bar:
        for event in list(rounds(12, every=1))[:20]:
            bar(*event)
    assert f"round 10  loss 10.0000  val_loss 1010.0000{kept}\n" in bar.stream.getvalue()


@pytest.mark.parametrize("columns, wanted", [
    (40, ["round 5/12", "loss 5.0000", "7 s left"]),
    (80, ["round 5/12", "loss 5.0000", "val_loss 1005.0000", "━━", "──", "7 s left"]),
    (200, ["round  5/12", "loss 5.0000", "val_loss 1005.0000", "accuracy 0.5000", "━━", "7 s left", "mapper 1/2"]),
])
def test_the_live_line_fits_and_its_numbers_are_of_one_round(monkeypatch, columns, wanted):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    with closing(progress.reporter(Terminal())) as bar:
        assert isinstance(bar, progress.Bar) and "starting" in str(bar.__rich__())
        for event in list(rounds(12, every=1))[:10]:
            bar(*event)
        bar("task", {"doing": "round 6", "task": ("mapper", 1, 2)})
        line = str(bar.__rich__())
        assert len(line) < columns and all(text.replace("  ", " ") in line.replace("  ", " ") for text in wanted)
        assert len(re.findall("round", line)) == 1
        bar("task", {"doing": "waits for containers"})          # what is not as ever comes first
        assert columns == 40 or "waits for containers" in str(bar.__rich__())
        assert len(str(bar.__rich__())) < columns
        for event in list(rounds(12, every=1))[10:11]:          # its score is to come: the numbers stay those of round 5
            bar(*event)
        assert "round  5/12" in str(bar.__rich__())
        assert "waits" not in str(bar.__rich__())               # that was of the round before
    stream = bar.stream.getvalue()
    # the cursor waits where the line begins, whatever a narrower terminal makes of it
    assert "\x1b[J\r\x1b[2Kround  4  loss 4.0000" in stream and " s left\r" in stream
    assert "round  6  loss 6.0000" in stream and type(progress.reporter(io.StringIO())) is progress.Lines


def test_nothing_that_is_said_is_taken_for_markup(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with closing(progress.reporter(Terminal())) as bar:
        bar("warning", {"text": "[red]/a/b[/red]:smile:" + "x" * 80})
        bar("resumed", {"round": 2})
        bar("rollback", {"round": 4, "rate_scale": 0.5, "left": 2})
        (event, facts), *_ = rounds(2)
        bar(event, facts | {"a[bold]c\n": 0.5})
        assert "a[bold]c? 0.5000" in str(bar.__rich__())
    told = bar.stream.getvalue()
    assert "warning: [red]/a/b[/red]:smile:" + "x" * 80 in told and "a[bold]c? 0.5000" in told
    assert "resumed after round 2" in told and "the weights of round 4 are not finite" in told


def test_a_terminal_of_80_columns_shows_a_run_whole(made, tmp_path):
    made(120, hold_out=0.2)
    (tmp_path / "model.py").write_text("""
import mrdl, warnings
from mrdl.layers import Dense
def model():
    warnings.warn("beware [red] of it")
    m = mrdl.Sequential([Dense(3, "softmax")])
    m.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return m
""")
    shell, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = Child([sys.executable, "-m", "mrdl", "train", "model.py", "data", "run", "-r", "inline", "--rounds", "5"],
                 cwd=tmp_path, stdout=terminal, stderr=terminal,
                 env=os.environ | {"TERM": "xterm", "COLUMNS": "30"})         # which is no more so
    os.close(terminal)
    shown = b""
    while more := read(shell):
        shown += more
    os.close(shell)
    assert done.wait(60) == 0
    texts = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", part) for part in re.split(r"[\r\n]+", shown.decode())]
    kept = [text for text in texts if re.match(r"round +\d+  loss", text)]
    assert len(kept) == 5 and all(" val_loss " in text and len(text) < 80 for text in kept)
    live = [text for text in texts if re.match(r"round +\d/5  ", text)]
    assert live and all(len(text) < 80 for text in live)
    assert any("beware [red] of it" in text for text in texts)


def read(shell: int) -> bytes:
    """What a terminal shows next; nothing once nobody has it any more."""
    try:
        return os.read(shell, 1 << 16)
    except OSError:
        return b""


def fitted(capsys, **options) -> str:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype("f4")
    model = mrdl.Sequential([Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, x[:, :3].argmax(1), batch_size=16, **options)
    return capsys.readouterr().out


def test_fit_prints_as_keras_does(capsys, monkeypatch):
    values = r"accuracy: 0\.\d{4} - loss: \d\.\d{4}"
    each = r"\d+s \d+[mu]?s/step - "
    assert re.fullmatch(rf"Epoch 1/2\n4/4 ━{{20}} {each}{values}\nEpoch 2/2\n4/4 ━{{20}} {each}{values}\n",
                        fitted(capsys, epochs=2))
    held = (np.ones((2, 4), "f4"), np.ones(2, "i4"))
    assert re.fullmatch(rf"4/4 - \d+s - \d+[mu]?s/step - {values} - val_accuracy: [01]\.0000 - val_loss: \d\.\d{{4}}\n",
                        fitted(capsys, verbose=2, validation_data=held))
    assert fitted(capsys, verbose=0) == ""
    with pytest.raises(ConfigError, match="verbose=3 must be one of 'auto', 0, 1, 2"):
        fitted(capsys, verbose=3)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)     # there the bar moves
    assert re.match(rf"\r1/4 ━{{5}}─{{15}} {each}{values}", fitted(capsys))


def test_a_run_from_python_prints_its_progress_unless_it_is_told(made, tmp_path, capsys):
    data = made(60, hold_out=0.2)

    def run(name, **options):
        model = mrdl.Sequential([Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        mrdl.ParameterAveraging(rounds=2, runner="inline").fit(model, data.url, run=str(tmp_path / name), **options)
        return capsys.readouterr()
    out, err = run("a")
    assert re.search(r"^round 2  .*loss \d.*val_loss", out, re.MULTILINE) and not err
    events = []
    assert not any(run("b", verbose=0)) and not any(run("c", told=lambda event, facts: events.append(event)))
    assert events.count("scored") == 2


def test_how_tasks_get_on_is_told_and_how_long_they_still_need():
    now = iter([0.0, 2.0, 4.0, 5.0, 6.0, 9.0, 9.0])
    work = Work(1000, lambda: 8_000_000, lambda: next(now))
    assert work.told("mapper", 1, 4) == ["250 rows", "1.0 MB/s", "6 s left"]
    assert work.told("mapper", 4, 4) == ["1,000 rows", "2.0 MB/s"]
    assert work.told("reducer", 1, 2) == [] and work.told("reducer", 2, 2) == []
    assert work.told("mapper", 1, 2) == ["500 rows", "1.3 MB/s", "3 s left"]           # another job, since the last one ended
    raw = Work(lambda: 3000, lambda: 8_000_000, now=iter([0.0, 2.0]).__next__)
    assert raw.told("mapper", 1, 3) == ["~1,000 rows", "1.3 MB/s", "4 s left"]
    bare = Work(now=lambda: 1.0)
    assert bare.told("mapper", 2, 2) == [] and bare.told("mapper", 0, 3) == []


def test_a_terminal_shows_how_tasks_get_on(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "100")
    with closing(progress.Bar(stream)) as bar:
        bar("task", {"doing": "prepares", "task": ("mapper", 3, 12), "work": ["41.5 MB/s", "2 min 05 s left"]})
        line = str(bar.__rich__())
    assert line.startswith("prepares mapper 3/12") and "41.5 MB/s  2 min 05 s left" in line


def test_about_how_many_rows_text_has_is_seen_in_its_first_lines(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"12345,789\n" * 50_000)
    (tmp_path / "b.csv").write_bytes(b"12345,789\n" * 1000)
    (tmp_path / "c.csv.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "d.parquet").write_bytes(b"PAR1\0\0")
    total = sum((tmp_path / name).stat().st_size for name in ("a.csv", "b.csv"))
    assert about(str(tmp_path / "a.csv"), total) == pytest.approx(51_000, rel=1e-3)
    assert about(str(tmp_path / "c.csv.gz"), 2) == about(str(tmp_path / "d.parquet"), 6) == 0


@pytest.mark.parametrize("where", ["terminal", "notebook", "pipe"])
def test_fit_shows_a_bar_as_keras_does(monkeypatch, where):
    """It moves on a terminal and in a notebook; elsewhere an epoch is a line."""
    stream = Terminal() if where == "terminal" else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr("mrdl.training.epochs.OFTEN", 0.0)
    if where == "notebook":
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    model = mrdl.Sequential([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((64, 2)), np.ones(64), batch_size=16, epochs=2)
    shown = stream.getvalue()
    assert shown.startswith("Epoch 1/2\n") and len(shown.splitlines()) >= 4
    lines = [line.rpartition("\r")[2].replace("\x1b[K", "").rstrip() for line in shown.split("\n")]
    assert [bool(re.fullmatch(r"4/4 .* - loss: [\d.e-]+", line)) for line in lines] == [False, True, False, True, False]
    assert shown.count("\r") == (0 if where == "pipe" else 10) and ("\x1b" in shown) == (where == "terminal")
