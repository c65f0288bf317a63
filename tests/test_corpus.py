"""Text as a dataset: vocabulary, ranges and sequences, against a plain loop; and what is no text."""
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import rows

import mrdl
from mrdl import corpus, dataset
from mrdl.cluster import Cluster
from mrdl.sources import DataError
from mrdl.tokenizer import Tokenizer

ENGLISH = "It was the best of times, it was the worst of times;\nit was the age of wisdom.\n" * 40
EVERYTHING = "naïve café — Ελλάδα 日本語 😀 \r\n\ttabs, \"quotes\" and 1,2,3;4\n" * 60
TEXTS = {"english": ENGLISH, "everything": EVERYTHING, "one symbol": "a" * 300, "no space": "日本語" * 200}


def prepared(tmp_path, cluster, *texts, name="data", **more):
    paths = []
    for i, text in enumerate(texts):
        paths.append(str(tmp_path / f"{name}-{i}.txt"))
        with open(paths[-1], "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
    return dataset.prepare(paths, str(tmp_path / name), cluster, format="text", **more)


def plain(text, unit, most=1 << 16):
    """Vocabulary and ids."""
    tokens = list(text) if unit == "char" else re.findall(r"\w+|[^\w\s]|\n", text)
    vocabulary = ["[UNK]", *(t for t, _ in sorted(Counter(tokens).items(), key=lambda p: (-p[1], p[0])))][:most]
    known = {token: i for i, token in enumerate(vocabulary) if i}
    return vocabulary, [known.get(token, 0) for token in tokens]


def sequences(ids, steps):
    """Every run of steps + 1 ids that begins at a multiple of steps, and the last one."""
    found = [ids[i:i + steps + 1] for i in range(0, len(ids) - steps, steps)]
    if (len(ids) - 1) % steps:
        found.append(ids[-steps - 1:])
    return sorted(found)


def stored(data):
    """(x and the last y of each row, sorted)."""
    parts = [rows(s) for s in data.shards if s.n]
    x, y = (np.concatenate([part[key] for part in parts]) for key in "xy")
    assert (x[:, 1:] == y[:, :-1]).all() and x.dtype == y.dtype == data.tokenizer().dtype
    return sorted(np.concatenate([x, y[:, -1:]], 1).tolist())


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("unit", ["char", "word"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_becomes_the_sequences_of_a_plain_loop(tmp_path, inline, text, unit, steps):
    vocabulary, ids = plain(TEXTS[text], unit)
    if len(ids) <= steps:
        with pytest.raises(DataError, match=f"the text has {len(ids)} tokens, a sequence takes {steps + 1}: give a smaller"):
            prepared(tmp_path, inline, TEXTS[text], unit=unit, sequence_length=steps)
        return
    data = prepared(tmp_path, inline, TEXTS[text], unit=unit, sequence_length=steps, hold_out=0.3)
    assert data.text == {"unit": unit, "vocabulary": vocabulary}
    assert data.shape == (steps,) == data.target.shape and data.target.classes == len(vocabulary)
    assert stored(data) == sequences(ids, steps)
    assert any(s.n for s in data.validation()) or len(set(map(tuple, stored(data)))) < 20


@pytest.mark.parametrize("unit", ["char", "word"])
@pytest.mark.parametrize("size, piece, look", [(97, 31, 16), (1000, 64, 16), (211, 1 << 20, 4096)])
def test_ranges_pieces_and_files_lose_no_token(tmp_path, inline, monkeypatch, unit, size, piece, look):
    """Characters of several bytes and words straddle every border; each token is the target of a step."""
    for name, value in (("RANGE", size), ("PIECE", piece), ("LOOK", look)):
        monkeypatch.setattr(corpus, name, value)
    text = EVERYTHING + ENGLISH
    data_bytes, cut = text.encode(), 1234
    vocabulary, ids = plain(text, unit)
    data = prepared(tmp_path, inline, data_bytes[:cut], data_bytes[cut:], unit=unit, sequence_length=5, shards=3)
    assert data.text["vocabulary"] == vocabulary
    whole = [tuple(ids[i:i + 6]) for i in range(len(ids) - 5)]
    assert set(map(tuple, stored(data))) <= set(whole)              # each is a run of the text
    stream = corpus.Stream(["a"], [0])
    stream.read = lambda start, stop: data_bytes[start:stop]
    stream.starts = [0, len(data_bytes)]
    tokenizer, seen, own = Tokenizer(unit, vocabulary), [], 0
    for start, stop in corpus.ranges(len(data_bytes)):
        found, n = corpus.Range(stream, start, stop, unit).ids(tokenizer)
        assert len(found) == n + (stop < len(data_bytes))           # and the one that follows
        seen += found[:n].tolist()
        own += n
    assert seen == ids


def test_every_runner_and_any_number_of_cores_gives_the_same_shards(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(corpus, "RANGE", 500)
    first = prepared(tmp_path, inline, ENGLISH, EVERYTHING, sequence_length=20, shards=3, hold_out=0.2)
    made = [[Path(s.path).read_bytes() for s in first.shards]]
    for cores in (1, 3):
        with Cluster("local", cores=cores) as cluster:
            data = dataset.prepare([str(tmp_path / f"data-{i}.txt") for i in range(2)], str(tmp_path / f"on-{cores}"),
                                   cluster, format="text", sequence_length=20, shards=3, hold_out=0.2)
        assert (data.text, data.uid) == (first.text, first.uid)
        made.append([Path(s.path).read_bytes() for s in data.shards])
    assert made[0] == made[1] == made[2] and all(made[0][:3])


def test_many_symbols_take_two_bytes_and_rare_ones_are_unknown(tmp_path, inline):
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 400))) * 3 + "aaab"
    data = prepared(tmp_path, inline, text, sequence_length=10)
    assert data.tokenizer().dtype == "u2" and len(data.text["vocabulary"]) == 403
    few = prepared(tmp_path, inline, text, name="few", sequence_length=10, vocabulary=3)
    assert few.text["vocabulary"] == ["[UNK]", "a", "\u4e00"] and few.tokenizer().dtype == "u1"
    assert stored(few) == sequences(plain(text, "char", 3)[1], 10)


def test_another_text_takes_the_vocabulary_and_length_of_the_first(tmp_path, inline):
    first = prepared(tmp_path, inline, ENGLISH, sequence_length=12)
    other = prepared(tmp_path, inline, "It was all the same: 42 times over, of wisdom. " * 9, name="test", like=first.url)
    assert other.text == first.text and other.shape == (12,)
    assert {0} < {i for row in stored(other) for i in row}          # '4' and 'v' are unknown


@pytest.mark.parametrize("gap", [" " * 300, " " * 40 + "\u3000" * 40, " " + "w" * 100 + " ", " " + "\u65e5" * 50 + "! "],
                         ids=["spaces", "wide spaces", "long word", "long characters"])
def test_the_token_after_a_range_is_found_behind_white_space_and_whole(monkeypatch, gap):
    """What follows is longer, or further away, than what is looked at first."""
    monkeypatch.setattr(corpus, "LOOK", 16)
    text = ("ab " * 40 + gap + "cd " * 40).encode()
    stream = corpus.Stream(["a"], [len(text)])
    stream.read = lambda start, stop: text[start:stop]
    vocabulary, ids = plain(text.decode(), "word")
    tokenizer, seen = Tokenizer("word", vocabulary), []
    for middle in range(len(text)):
        part = corpus.Range(stream, 0, middle, "word")
        found, own = part.ids(tokenizer)
        seen.append(found.tolist() == ids[:own + 1])
    assert all(seen)


def test_a_range_with_too_few_words_is_no_silent_loss(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(corpus, "RANGE", 100)
    with pytest.raises(DataError, match=r"text-0.txt, byte \d+: the 100 bytes or so from here have \d tokens, a sequence "
                                        "takes 11: give a smaller sequence length"):
        prepared(tmp_path, inline, "to be or not " * 30 + "w" * 90 + " " * 90 + "to be or not " * 30, name="text", unit="word",
                 sequence_length=10)
    assert not (tmp_path / "text").exists()


def test_empty_files_line_ends_and_tables_are_text_like_any_other(tmp_path, inline):
    texts = ["", "a,b,label\r\n1,2,0\r\n", "", "3,4,1\r\n" * 9, ""]
    data = prepared(tmp_path, inline, *texts, sequence_length=8)
    vocabulary, ids = plain("".join(texts), "char")
    assert data.text["vocabulary"] == vocabulary and "\r" in vocabulary and stored(data) == sequences(ids, 8)


def test_a_mark_of_replacement_in_the_text_itself_is_not_bad(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE", 7)                     # pieces end within characters
    data = prepared(tmp_path, inline, "\ufffd? \ufffd! no\ufffd " * 30, sequence_length=8)
    assert data.bad == {"count": 0, "of": 300, "reasons": {}, "samples": []}


@pytest.mark.parametrize("piece", [5, 64, 1 << 20])
def test_what_is_no_utf_8_is_shown_where_it_is(tmp_path, inline, monkeypatch, piece):
    monkeypatch.setattr(corpus, "PIECE", piece)
    clean = "日本語 \ufffd and more. ".encode() * 9
    second = clean[:72] + b"\xe6\x97" + clean[72:] + b"\xe6"
    data = prepared(tmp_path, inline, clean, second, sequence_length=8, unit="word", max_bad=0.1)
    assert data.bad["count"] == 2 and data.bad["of"] == len((clean + second).decode("utf-8", "replace"))
    assert data.bad["samples"][0]["offset"] == 72 and "\ufffd" in data.bad["samples"][0]["text"]
    assert {Path(sample["file"]).name for sample in data.bad["samples"]} == {"data-1.txt"}


def test_bytes_that_are_no_utf_8_are_counted_and_too_many_refused(tmp_path, inline):
    dirty = ENGLISH.encode()[:2000] + b"\xff\xfe" + ENGLISH.encode()[2000:]
    data = prepared(tmp_path, inline, dirty, sequence_length=20)
    assert data.bad["count"] == 2 and data.bad["reasons"] == {"not UTF-8": 2} and "\ufffd" in data.text["vocabulary"]
    with pytest.raises(DataError, match=r"8 of \d+ records are bad .*8 not UTF-8(.|\n)*cut.txt|8 not UTF-8"):
        prepared(tmp_path, inline, dirty + b"\xff" * 6, name="worse", sequence_length=20)
    assert not (tmp_path / "worse").exists() or not list((tmp_path / "worse").iterdir())


@pytest.mark.parametrize("texts, more, reason", [
    (["abc"], {"label": "x"}, "text has no columns: leave out label, weight, classes"),
    (["abc"], {"classes": 3}, "text has no columns"), (["abc"], {"unit": "line"}, "unit line: must be char or word"),
    (["abc"], {"sequence_length": 0}, "sequence_length 0: must be from 1 to 32768"),
    (["abc"], {"vocabulary": 1}, "vocabulary 1: must be from 2 to 65536"), ([""], {}, "no text"),
    (["", ""], {}, "no text, nor in 1 more inputs"), (["a"], {}, "the text has 1 tokens, a sequence takes 101: give a smaller"),
    (["abc"], {"format": "json"}, "format json: must be text"), (["1,2"], {"format": None, "unit": "char"}, "unit: for format"),
    (["abc"], {"like": "nowhere"}, "nowhere: no dataset"),
    ([" \t "], {"unit": "word"}, "the text has 0 tokens, a sequence takes 101"),
])
def test_what_cannot_be_prepared_is_said_in_one_line(tmp_path, inline, texts, more, reason):
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
    with pytest.raises(DataError, match=reason) as error:
        dataset.prepare([str(tmp_path / f"{i}.txt") for i in range(len(texts))], str(tmp_path / "data"), inline,
                        **{"format": "text", **more})
    assert "\n" not in str(error.value) and not (tmp_path / "data").exists()


def test_a_packed_file_and_another_kind_of_dataset_are_refused(tmp_path, inline, made):
    (tmp_path / "a.txt.gz").write_bytes(b"")
    with pytest.raises(DataError, match="which a compressed file has not: unpack it first"):
        dataset.prepare([str(tmp_path / "a.txt.gz")], str(tmp_path / "data"), inline, format="text")
    with pytest.raises(DataError, match="is no text: its vocabulary cannot be taken"):
        prepared(tmp_path, inline, ENGLISH, name="test", like=made(30).url)
    first = prepared(tmp_path, inline, ENGLISH, name="first", sequence_length=12)
    with pytest.raises(DataError, match="leave them out"):
        prepared(tmp_path, inline, ENGLISH, name="test", like=first.url, unit="char")


@pytest.mark.parametrize("text", TEXTS)
def test_ids_of_characters_are_the_text(text):
    tokenizer = Tokenizer("char", plain(TEXTS[text], "char")[0])
    assert tokenizer.decode(tokenizer.encode(TEXTS[text])) == TEXTS[text]
    assert Tokenizer("char", ["[UNK]", "a"]).decode(np.array([0, 1])) == "[UNK]a"


def test_ids_of_words_are_a_text_to_read():
    text = "It was, of course: the best!\nWas it? (No.)\n"
    tokenizer = Tokenizer("word", plain(text, "word")[0])
    assert tokenizer.decode(tokenizer.encode(text)) == text


# models of text

def model(symbols, *layers):
    made = mrdl.Sequential([mrdl.layers.CategoryEncoding(symbols, "one_hot"), *layers, mrdl.layers.Dense(symbols, "softmax")])
    made.compile(mrdl.optimizers.RMSprop(0.02), "sparse_categorical_crossentropy", ["accuracy"])
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
    ({"prompt": "aÉ1"}, "the prompt has '1', 'É', which the text"), ({"length": 0}, "length=0 must be 1 or more"),
    ({"temperature": -1.0}, "temperature=-1 must be 0 or more"),
])
def test_a_prompt_that_does_not_fit_is_refused(run, more, reason):
    with pytest.raises(mrdl.config.ConfigError, match=reason):
        mrdl.generate(run, **more)


def test_other_runs_and_models_do_not_write(tmp_path, inline, made):
    numbers = mrdl.Sequential([mrdl.layers.Dense(3, "softmax")])
    numbers.compile("sgd", "sparse_categorical_crossentropy")
    mrdl.ParameterAveraging(runner=inline, rounds=1).fit(numbers, made(30).url, run=str(tmp_path / "numbers"))
    with pytest.raises(mrdl.config.ConfigError, match="was not trained on text: prepare its data with --format text"):
        mrdl.generate(str(tmp_path / "numbers"))
    data = prepared(tmp_path, inline, ENGLISH, name="text", sequence_length=8)
    few = mrdl.Sequential([mrdl.layers.Embedding(40, 3), mrdl.layers.Dense(5, "softmax")])
    few.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(mrdl.config.ConfigError, match=r"tells 5 classes apart, the text of .* has \d+ tokens"):
        mrdl.ParameterAveraging(runner=inline, rounds=1).fit(few, data.url, run=str(tmp_path / "few"))
    assert not (tmp_path / "few").exists()


@pytest.mark.parametrize("unit", ["char", "word"])
def test_show_says_what_a_text_is(tmp_path, inline, capsys, unit):
    from mrdl.cli import main
    data = prepared(tmp_path, inline, ENGLISH, unit=unit, sequence_length=7, shards=3)
    assert main(["show", data.url]) == 0
    told = capsys.readouterr().out
    assert f"rows in 3 shards, examples of shape (7,), {len(data.text['vocabulary'])} classes" in told
    assert f"a text by {unit}; its vocabulary has {len(data.text['vocabulary'])} entries, the first are '[UNK]'" in told
    assert "arrays of a block: x uint8 (n, 7), y uint8 (n, 7)" in told
    assert main(["show", data.url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["first"]) == 3 and facts["vocabulary"] == data.text["vocabulary"] and facts["bad"] == 0
    assert all(text in ENGLISH and repr(text) in told for text in facts["first"])


def test_the_commands_of_the_page_run_as_they_stand(tmp_path):
    root = Path(__file__).parent.parent
    shutil.copytree(root / "examples", tmp_path / "examples")
    commands = re.search(r"```sh\n(.*?)```", (root / "docs" / "text.md").read_text(), re.DOTALL).group(1)
    commands = re.sub(r"^(python|mrdl) ", lambda m: sys.executable + {"python": " ", "mrdl": " -m mrdl "}[m.group(1)], commands,
                      flags=re.MULTILINE)
    done = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}, text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "a text by char; its vocabulary has" in done.stdout and "\nThe " in done.stdout


def test_the_command_line_prepares_and_writes(tmp_path, run, capsys):
    from mrdl.cli import main
    (tmp_path / "a.txt").write_text(ENGLISH)
    assert main(["prepare", str(tmp_path / "a.txt"), str(tmp_path / "words"), "--format", "text", "--unit", "word",
                 "--sequence-length", "10", "--vocabulary", "9"]) == 0
    assert "examples of shape (10,), 9 classes" in capsys.readouterr().err
    assert main(["generate", run, "--prompt", "xy", "--length", "3", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "xyz\na\n"
    assert main(["show", run]) == 0
    assert "averaging every shard, in windows of 9 steps" in capsys.readouterr().out
    assert main(["generate", run, "--prompt", "É"]) == 2
    assert "which the text that" in capsys.readouterr().err
