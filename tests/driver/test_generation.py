"""Text that models go on with, and what keeps a model and another vocabulary apart."""
import subprocess
import sys

import numpy as np
import pytest
from shards import rows
from texts import ENGLISH, prepared

import mrdl
from mrdl.cli import main
from mrdl.config import ConfigError
from mrdl.layers import GRU, LSTM, Bidirectional, CategoryEncoding, Conv1D, Dense, Embedding
from mrdl.runs.commits import RunError
from mrdl.training.time_step import sampled

WORDS = "the cat (a big one) sat, and the dog ran.\n" * 60


def model(symbols, *layers):
    made = mrdl.Sequential([mrdl.layers.CategoryEncoding(symbols, "one_hot"), *layers, mrdl.layers.Dense(symbols, "softmax")])
    made.compile(mrdl.optimizers.RMSprop(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


@pytest.fixture
def run(tmp_path, local):
    """A run whose model knows the alphabet."""
    data = prepared(tmp_path, local, "abcdefghijklmnopqrstuvwxyz\n" * 200, sequence_length=27)
    url = str(tmp_path / "run")
    result = mrdl.ParameterAveraging(workers=2, batch_size=8, tbptt=9, epochs=8, runner=local).fit(
        model(40, mrdl.layers.LSTM(24, return_sequences=True)), data.url, run=url)     # more than the 28 tokens
    assert result.metrics["accuracy"] > 0.95
    return url


def test_a_model_of_text_goes_on_with_it(run):
    assert mrdl.generate(run, "abc", length=10, temperature=0) == "abcdefghijklm"
    assert mrdl.generate(run, length=4, temperature=0) == "abcd"
    hot, again, other = (mrdl.generate(run, "a", 60, 30.0, seed) for seed in (1, 1, 2))
    assert hot == again != other and len(hot) == 61 and "[UNK]" not in hot
    cold = [mrdl.generate(run, "a", 25, 0.1, seed) for seed in range(5)]
    assert len(set(cold)) == 1


@pytest.mark.parametrize("more, reason", [
    ({"prompt": "aÉ1"}, "the prompt has '1', 'É', not in the "), ({"length": 0}, "length=0 must be 1 or more"),
    ({"temperature": -1.0}, "temperature=-1 must be 0 or more"),
])
def test_a_prompt_that_does_not_fit_is_refused(run, more, reason):
    with pytest.raises(ConfigError, match=reason):
        mrdl.generate(run, **more)


def test_other_runs_and_models_do_not_write(tmp_path, inline, made):
    numbers = mrdl.Sequential([mrdl.layers.Dense(3, "softmax")])
    numbers.compile("sgd", "sparse_categorical_crossentropy")
    mrdl.ParameterAveraging(runner=inline, rounds=1).fit(numbers, made(30).url, run=str(tmp_path / "numbers"))
    with pytest.raises(ConfigError, match="was not trained on text: prepare its data with --format text"):
        mrdl.generate(str(tmp_path / "numbers"))
    data = prepared(tmp_path, inline, ENGLISH, name="text", sequence_length=8)
    few = mrdl.Sequential([mrdl.layers.Embedding(40, 3), mrdl.layers.Dense(5, "softmax")])
    few.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match=r"distinguishes 5 classes, but the text of .* has \d+ tokens"):
        mrdl.ParameterAveraging(runner=inline, rounds=1).fit(few, data.url, run=str(tmp_path / "few"))
    assert not (tmp_path / "few").exists()


def trained(tmp_path, cluster, text, *layers, loss="sparse_categorical_crossentropy", end="softmax", name="run", rounds=1, **more):
    """A run on the text: few rounds, so that it knows little."""
    data = prepared(tmp_path, cluster, text, name=name + "-data", sequence_length=8, **more)
    made = mrdl.Sequential([CategoryEncoding(40, "one_hot"), *layers, Dense(40, end)])
    made.compile(mrdl.optimizers.Adam(0.03), loss)
    mrdl.ParameterAveraging(runner=cluster, rounds=rounds).fit(made, data.url, run=str(tmp_path / name))
    return str(tmp_path / name)


@pytest.fixture
def words(tmp_path, local):
    """A run that knows WORDS by heart."""
    data = prepared(tmp_path, local, WORDS, unit="word", sequence_length=14)
    mrdl.ParameterAveraging(workers=2, batch_size=4, epochs=40, runner=local).fit(
        model(20, LSTM(24, return_sequences=True)), data.url, run=str(tmp_path / "words"))
    return str(tmp_path / "words")


def test_words_go_on_as_they_are_written(words):
    lines = "the cat (a big one) sat, and the dog ran.\nthe cat"
    for begun in ("the cat", "the cat (a", "the cat (", "the cat (a big one) sat", "the cat (a big one) sat, and the dog ran.",
                  "the cat (a big one) sat, and the dog ran.\n"):
        assert mrdl.generate(words, begun, length=6, temperature=0).startswith(begun)
        assert lines.startswith(mrdl.generate(words, begun, length=2, temperature=0))
    assert mrdl.generate(words, length=2, temperature=0) == "the cat"
    assert mrdl.generate(words, "the cat ", length=2, temperature=0) in ("the cat (a", "the cat ( a")
    for blank in (" ", "\t"):
        assert mrdl.generate(words, blank, length=2, temperature=0) == blank + "the cat"


def test_unknown_tokens_never_come():
    p = np.array([0.0, 0.7, 0.3, 0.0])
    rng = np.random.default_rng(0)
    for temperature in (1e-310, 1e-6, 1.0, 1000.0, 1e300):
        drawn = [sampled(p, temperature, rng) for _ in range(300)]
        assert set(drawn) == ({1} if temperature < 0.01 else {1, 2})
    assert np.mean([sampled(p, 1.0, rng) == 1 for _ in range(4000)]) == pytest.approx(0.7, abs=0.03)


def test_a_text_without_new_lines_begins_with_its_commonest_token(tmp_path, inline):
    run = trained(tmp_path, inline, "aab" * 200, GRU(4, return_sequences=True))
    assert mrdl.generate(run, length=5, temperature=0) == mrdl.generate(run, "a", length=5, temperature=0)[1:]
    assert set(mrdl.generate(run, length=50)) == {"a", "b"}


def test_logits_are_probabilities_too(tmp_path, inline):
    loss = mrdl.losses.SparseCategoricalCrossentropy(from_logits=True)
    run = trained(tmp_path, inline, "abc\n" * 200, GRU(8, return_sequences=True), loss=loss, end=None, rounds=60)
    assert mrdl.generate(run, "a", length=7, temperature=0) == "abc\nabc\n"


@pytest.mark.parametrize("layer, reason", [
    (Bidirectional(GRU(4, return_sequences=True)), "^generate cannot be used with Bidirectional, which reads backwards"),
    (Conv1D(4, 2, padding="causal"), "^generate cannot be used with conv1d, which mixes steps")])
def test_models_that_do_not_go_on_step_by_step_are_refused(tmp_path, inline, layer, reason):
    with pytest.raises(ConfigError, match=reason):
        mrdl.generate(trained(tmp_path, inline, ENGLISH[:3000], layer))


@pytest.mark.parametrize("more, reason", [
    ({"prompt": "x"}, "the prompt has 'x', not in the vocabulary of .*run"),
    ({"prompt": None}, "prompt=None must be a string"), ({"length": "a"}, "length='a' must be a whole number"),
    ({"temperature": float("inf")}, "temperature=inf must be a finite number"),
    ({"temperature": float("nan")}, "temperature=nan must be a finite"), ({"seed": -1}, "seed must be from 0 to"),
])
def test_what_does_not_fit_is_refused(tmp_path, inline, more, reason):
    run = trained(tmp_path, inline, "ab" * 200 + "x", GRU(4, return_sequences=True), vocabulary=3)
    with pytest.raises(ConfigError, match=reason):
        mrdl.generate(run, **more)


def test_a_run_that_has_not_finished_says_how_to_go_on(tmp_path, inline, capsys):
    run = trained(tmp_path, inline, ENGLISH[:3000], GRU(4, return_sequences=True))
    (tmp_path / "run" / "model.json").unlink()
    for words in (["generate", run], ["evaluate", run, run + "-data", "-r", "inline"]):
        assert main(words) == 2
        assert f"has not finished: go on with mrdl resume {run}" in capsys.readouterr().err


# another vocabulary

def test_a_text_of_another_vocabulary_is_refused(tmp_path, inline):
    run = trained(tmp_path, inline, "abcdefgh\n" * 100, GRU(4, return_sequences=True))
    other = prepared(tmp_path, inline, "stuvwxyz\n" * 100, name="other", sequence_length=8)
    like = prepared(tmp_path, inline, "hgfe\n" * 50 + "abcd\n" * 50, name="like", like=run + "-data")
    made = mrdl.load_model(run)
    wanted = "other does not have the vocabulary of .*: prepare it with --like"
    for ask in (lambda data: mrdl.evaluate(run, data.url, runner=inline),
                lambda data: mrdl.predict(run, data.url, str(tmp_path / "out"), runner=inline),
                lambda data: mrdl.ParameterAveraging(runner=inline, rounds=1).fit(
                    made, run + "-data", data.url, run=str(tmp_path / "again"))):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(ConfigError, match=wanted):
            ask(other)
        assert sorted(tmp_path.iterdir()) == before
        ask(like)
    for data, status in ((other, 2), (like, 0)):
        assert main(["train", run, data.url, str(tmp_path / "warm"), "-r", "inline", "--rounds", "1"]) == status


@pytest.mark.parametrize("layer", [Embedding(5, 3), CategoryEncoding(5, "one_hot")])
def test_more_tokens_than_a_model_takes_are_refused_before_any_job(tmp_path, inline, layer):
    data = prepared(tmp_path, inline, ENGLISH[:3000], sequence_length=8)
    made = mrdl.Sequential([layer, Dense(100, "softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match=r"takes ids below 5, but the text of .* has \d+ tokens"):
        mrdl.ParameterAveraging(runner=inline, rounds=1).fit(made, data.url, run=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# the command line

def test_of_a_text_the_likeliest_tokens_are_predicted_and_all_probabilities_where_they_are_wanted(tmp_path, inline, capsys):
    run = trained(tmp_path, inline, ENGLISH[:3000], GRU(4, return_sequences=True))
    data = mrdl.data.dataset.load(run + "-data")
    x = np.concatenate([rows(shard)["x"] for shard in data.shards])
    p = mrdl.load_model(run).predict(x)
    n, steps, tokens = p.shape
    for more, names in ((), [f"{what}{i}" for what in ("class", "probability") for i in range(steps)]), (
            ["--probabilities"], [f"output{i}" for i in range(steps * tokens)]):
        out = tmp_path / f"out{len(more)}"
        assert main(["predict", run, data.url, str(out), "-r", "inline", *more]) == 0
        assert (out / "columns.csv").read_text().strip().split(",") == [f"target{i}" for i in range(steps)] + names
        got = np.concatenate([np.loadtxt(part, delimiter=",", ndmin=2) for part in sorted(out.glob("part-*"))])[:, steps:]
        wanted = p.reshape(n, -1) if more else np.concatenate([p.argmax(-1), p.max(-1)], 1)
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_what_the_command_line_tells_of_texts(tmp_path, inline, capsys):
    run = trained(tmp_path, inline, ENGLISH[:3000], GRU(4, return_sequences=True))
    data = run + "-data"
    (tmp_path / "b.txt").write_text("ЖЩ" * 100 + ENGLISH[:500])
    assert main(["prepare", str(tmp_path / "b.txt"), str(tmp_path / "b"), "--format", "text", "--like", data]) == 0
    assert "% of the tokens are not in the vocabulary ([UNK]): is it another" in capsys.readouterr().err
    assert main(["describe", data]) == 2 and f"mrdl show {data}" in capsys.readouterr().err
    assert main(["evaluate", run, data, "-r", "inline"]) == 0
    assert capsys.readouterr().out.startswith("loss ")
    (tmp_path / "model.py").write_text("import mrdl\nfrom mrdl.layers import *\nm = mrdl.Sequential([Embedding(40, 3), "
                                       "GRU(4, return_sequences=True), Dense(40, 'softmax')])\n"
                                       "m.compile('sgd', 'sparse_categorical_crossentropy')\nmodel = m\n")
    assert main(["train", str(tmp_path / "model.py"), data, str(tmp_path / "windows"), "-r", "inline", "--rounds", "1", "--tbptt",
                 "4", "--tbptt-backward", "2"]) == 0
    assert main(["show", str(tmp_path / "windows")]) == 0
    assert "in windows of 4 steps, gradients through the last 2" in capsys.readouterr().out


def test_the_command_line_prepares_and_writes(tmp_path, run, capsys):
    (tmp_path / "a.txt").write_text(ENGLISH)
    assert main(["prepare", str(tmp_path / "a.txt"), str(tmp_path / "words"), "--format", "text", "--unit", "word",
                 "--sequence-length", "10", "--vocabulary", "9"]) == 0
    assert "examples of shape (10,), 9 classes" in capsys.readouterr().err
    assert main(["generate", run, "--prompt", "xy", "--length", "3", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "xyz\na\n"
    assert main(["show", run]) == 0
    assert "averaging every shard, in windows of 9 steps" in capsys.readouterr().out
    assert main(["generate", run, "--prompt", "É"]) == 2
    assert "the prompt has 'É', not in the " in capsys.readouterr().err


@pytest.mark.parametrize("words, status, reason", [
    (["train", "m", "d", "r", "--rounds", "0"], 2, "rounds must be 1 or more, not 0"),
    (["train", "m", "d", "r", "--epochs", "-1"], 2, "epochs must be 1 or more, not -1"),
    (["train", "m", "d", "r", "--cores", "0"], 2, "--cores 0: must be 1 or more")])
def test_numbers_of_nothing_are_refused(words, status, reason, capsys, monkeypatch):
    monkeypatch.setattr("mrdl.cli.commands.load", lambda path: None)
    assert main(words) == status and reason in capsys.readouterr().err


def test_commands_without_jobs_take_no_runner(capsys):
    with pytest.raises(SystemExit):
        main(["generate", "run", "-r", "local"])
    assert "unrecognized arguments: -r local" in capsys.readouterr().err


def test_who_reads_may_leave(tmp_path, inline):
    data = prepared(tmp_path, inline, ENGLISH, sequence_length=8)
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {sys.executable} -m mrdl show {data.url} | true"],
                          capture_output=True, text=True, check=False)
    assert done.returncode in (0, 141) and done.stderr == ""


def test_rounds_of_nothing_are_an_error_in_python_too():
    with pytest.raises(RunError, match="epochs must be 1 or more, not 0"):
        mrdl.ParameterAveraging(epochs=0).options()
