"""Text as a dataset: vocabulary, ranges and sequences, against a plain loop; and what is no text."""
import bz2
import gzip
import io
import itertools
import json
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from shards import rows
from texts import ENGLISH, prepared

from mrdl.data import blocks, corpus, dataset
from mrdl.data.sources import DataError
from mrdl.data.tokenizer import Tokenizer
from mrdl.driver.preparation.prepare import prepare
from mrdl.runners.cluster import Cluster

EVERYTHING = "naïve café — Ελλάδα 日本語 😀 \r\n\ttabs, \"quotes\" and 1,2,3;4\n" * 60
TEXTS = {"english": ENGLISH, "everything": EVERYTHING, "one symbol": "a" * 300, "no space": "日本語" * 200}


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
    data = prepared(tmp_path, inline, TEXTS[text], unit=unit, sequence_length=steps,
                    hold_out=0 if text == "one symbol" else 0.3)        # equal rows: all of them would be held out
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
    parts = tokens(data_bytes, unit, vocabulary)
    assert joined(own for own, _ in parts) == ids and all(following for _, following in parts[:-1])


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


def streamed(data):
    """Bytes as a stream."""
    stream = corpus.Stream(["a"], [len(data)], [0])
    stream.read = lambda start, stop: data[start:stop]
    return stream


def tokens(data, unit, vocabulary):
    """Of each range its own ids, and the one that follows, in a list."""
    parts = [corpus.Range(streamed(data), start, stop, unit).ids(Tokenizer(unit, vocabulary))
             for start, stop in corpus.ranges(len(data))]
    return [(found[:own].tolist(), found[own:].tolist()) for found, own in parts]


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("unit", ["char", "word"])
def test_ranges_of_any_text_with_marks_are_its_tokens(monkeypatch, unit, bad):
    """Random text, of few and many cut points, in tiny ranges and pieces; no word is too long to be kept whole."""
    draw = random.Random(5)
    for name, value in (("LOOK", 4), ("LONG", 64), ("PIECE", 16)):
        monkeypatch.setattr(corpus, name, value)
    for case in range(150):
        signs = draw.choice(["ab_1é日,", "日本語。、", "a\u0301b\u00a0\u3000", "x,", "ab \n", "é😀—", "\x00\x1c\u2028z"])
        text = b""
        while len(text) < 600:
            text += (draw.choice(signs) * draw.randint(1, 3)).encode()
            if len(re.split(r"\W", text.decode("utf-8", "replace"))[-1]) > 12:
                text += draw.choice([",", "。", "\u2028", "😀"]).encode()
            if bad and draw.random() < 0.1:
                text += draw.choice([b"\xe6\x97", b"\x80" * 5, b"\xf0\x9f", b"\xff", b"\xed\xa0\x80"])
        monkeypatch.setattr(corpus, "RANGE", draw.choice([40, 97, 211]))
        vocabulary, ids = plain(text.decode("utf-8", "replace"), unit)
        parts = tokens(text, unit, vocabulary)
        assert joined(own for own, _ in parts) == ids, (case, text)
        rest = len(ids)
        for own, following in reversed(parts):
            assert following == ids[rest:rest + 1]
            rest -= len(own)


@pytest.mark.parametrize("sign", ["a", "é", "日"])
def test_a_word_that_is_too_long_is_cut_at_a_character_and_nothing_is_lost(monkeypatch, sign):
    for name, value in (("RANGE", 1000), ("LOOK", 16), ("LONG", 200), ("PIECE", 64)):
        monkeypatch.setattr(corpus, name, value)
    text = "so, " * 50 + sign * 4000 + " it. " + "is " * 50
    data, found = text.encode(), []
    for start, stop in corpus.ranges(len(data)):
        part = corpus.Range(streamed(data), start, stop, "word")
        found.append((re.findall(r"\w+|[^\w\s]|\n", "".join(text + "\n" for text in part.texts())), part.follower()))
        assert not part.bad
    words = [[word for word in own if word != "\n"] for own, _ in found]
    assert [after for _, after in found] == [*(own[0] for own in words[1:]), ""]
    assert "".join(joined(words)) == text.replace(" ", "") and max(map(len, joined(words))) < 2 * 200 + 64


@pytest.mark.parametrize("text", [b"alpha,beta,", "日本語。".encode(), b"a", b" ", b"\x80"],
                         ids=["commas", "no ASCII", "one word", "blanks", "no character"])
@pytest.mark.parametrize("unit", ["char", "word"])
def test_memory_of_a_range_does_not_depend_on_the_text(tmp_path, monkeypatch, unit, text):
    for name, value in (("RANGE", 1 << 20), ("PIECE", 1 << 16), ("LONG", 1 << 16)):
        monkeypatch.setattr(corpus, name, value)
    path = tmp_path / "a.txt"
    path.write_bytes(text * ((8 << 20) // len(text)))
    stream = corpus.Stream([str(path)], *corpus.check([str(path)]))
    ranges = corpus.ranges(stream.starts[-1])
    assert all(0 <= stream.begin(start, unit) - start < 1 << 16 for start, _ in ranges)
    tracemalloc.start()
    try:
        part = corpus.Range(stream, *ranges[1], unit)
        characters = sum(map(len, part.texts()))
        part.follower()
        assert tracemalloc.get_traced_memory()[1] < 2 << 20 and characters == part.characters
    finally:
        tracemalloc.stop()


def test_every_runner_and_any_number_of_cores_gives_the_same_shards(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(corpus, "RANGE", 500)
    first = prepared(tmp_path, inline, ENGLISH, EVERYTHING, sequence_length=20, shards=3, hold_out=0.2)
    made = [[Path(s.path).read_bytes() for s in first.shards]]
    for cores in (1, 3):
        with Cluster("local", cores=cores) as cluster:
            data = prepare([str(tmp_path / f"data-{i}.txt") for i in range(2)], str(tmp_path / f"on-{cores}"),
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
    """What follows is longer, or further away, than a piece."""
    monkeypatch.setattr(corpus, "LOOK", 16)
    monkeypatch.setattr(corpus, "PIECE", 16)
    text = ("ab " * 40 + gap + "cd " * 40).encode()
    vocabulary, ids = plain(text.decode(), "word")
    tokenizer, seen = Tokenizer("word", vocabulary), []
    for middle in range(len(text)):
        part = corpus.Range(streamed(text), 0, middle, "word")
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
    with pytest.raises(DataError, match=r"8 of \d+ characters are bad .*: 8 not UTF-8; if the text has another encoding, "
                                        r"convert it, for example with: iconv -f LATIN1 -t UTF-8\n") as error:
        prepared(tmp_path, inline, dirty + b"\xff" * 6, name="worse", sequence_length=20)
    places = [2000, 2001, *range(len(dirty), len(dirty) + 6)]
    assert [re.search(r"0.txt, byte (\d+): not UTF-8: ", line)[1] for line in str(error.value).splitlines()[1:]] \
        == list(map(str, places))
    assert not (tmp_path / "worse").exists() or not list((tmp_path / "worse").iterdir())


@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_the_first_bad_characters_are_shown_in_the_order_of_the_text(tmp_path, inline, monkeypatch, piece):
    monkeypatch.setattr(corpus, "PIECE", piece)
    monkeypatch.setattr(corpus, "RANGE", 100)
    texts = [(b"ab\xff\xe6\x97" * 40, "z.txt"), (b"cd\xff" * 40, "a.txt")]
    for text, name in texts:
        (tmp_path / name).write_bytes(text)
    data = prepare([str(tmp_path / name) for _, name in texts], str(tmp_path / "data"), inline, format="text",
                           max_bad=1, sequence_length=5)
    assert data.bad["count"] == 120
    assert [(Path(s["file"]).name, s["offset"]) for s in data.bad["samples"]] == \
        [("z.txt", 5 * (i // 2) + 2 + i % 2) for i in range(corpus.SAMPLES)]


def test_a_byte_order_mark_is_no_token(tmp_path, inline):
    mark = b"\xef\xbb\xbf"
    data = prepared(tmp_path, inline, mark + b"abc, ", mark, mark + ENGLISH.encode(), sequence_length=8)
    vocabulary, ids = plain("abc, " + ENGLISH, "char")
    assert data.text["vocabulary"] == vocabulary and stored(data) == sequences(ids, 8)
    bad = prepared(tmp_path, inline, mark + ENGLISH.encode() + b"\xff", name="bad", sequence_length=8)
    assert bad.bad["samples"][0]["offset"] == 3 + len(ENGLISH)         # of the file


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_by_its_mark_before_any_job(tmp_path, encoding):
    name = encoding[:6].upper()
    with pytest.raises(DataError) as error:
        prepared(tmp_path, None, "fine", ("\ufeff" if encoding[6:] else "").encode(encoding) + ENGLISH.encode(encoding))
    path = tmp_path / "data-1.txt"
    assert str(error.value) == f"{path}: is {name}, and text must be UTF-8; convert it with: iconv -f {name} -t UTF-8 {path} > utf8.txt"


def test_the_uid_knows_the_content_and_the_order_of_the_files(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(corpus, "RANGE", len(ENGLISH))                  # a file each
    paths = [str(tmp_path / name) for name in ("a.txt", "b.txt")]

    def uid(name, *texts, turn=1, **more):
        for path, text in zip(paths, texts):
            Path(path).write_text(text)
        data = prepare(paths[::turn], str(tmp_path / name), inline, format="text", shards=3, **more)
        for shard in data.shards:
            with open(shard.path, "rb") as file:
                assert {blocks.unpack(line.rstrip(b"\n")).dataset for line in file} <= {data.uid}
        return data.uid

    first = uid("0", ENGLISH, ENGLISH.upper())
    assert first == uid("1", ENGLISH, ENGLISH.upper())
    assert first != uid("2", ENGLISH, ENGLISH.upper(), turn=-1)
    other = uid("3", ENGLISH.replace("w", "v"), ENGLISH.upper())
    assert first != other
    liked = [uid(f"like-{i}", text, ENGLISH, like=str(tmp_path / "0")) for i, text in enumerate([ENGLISH, ENGLISH[::-1]])]
    assert len({first, other, *liked}) == 4


def test_the_share_of_unknown_tokens_is_kept_and_told(tmp_path, inline):
    first = prepared(tmp_path, inline, "abcd" * 100, sequence_length=12)
    assert first.unknown == {"count": 0, "of": 400} and first.lacking() == ""
    few = prepared(tmp_path, inline, "abcd" * 95 + "xyz" * 4, name="few", like=first.url)
    assert few.unknown == {"count": 12, "of": 392} and dataset.load(few.url) == few
    assert few.lacking() == "3.06 % of the tokens are not in the vocabulary ([UNK])"
    many = prepared(tmp_path, inline, "абвг" * 100 + "a" * 100, name="many", like=first.url)
    assert many.lacking() == ("80 % of the tokens are not in the vocabulary ([UNK]): is it another language's, or too "
                              "small?")


def test_ranges_count_their_own_unknown_tokens_alone(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(corpus, "RANGE", 100)
    data = prepared(tmp_path, inline, "babc" * 100, sequence_length=5, vocabulary=2)
    assert data.unknown == {"count": 200, "of": 400}


@pytest.mark.parametrize("texts, more, reason", [
    (["abc"], {"label": "x"}, "text has no columns: leave out label, weight, classes"),
    (["abc"], {"classes": 3}, "text has no columns"), (["abc"], {"unit": "line"}, "unit line: must be char or word"),
    (["abc"], {"sequence_length": 0}, "sequence_length 0: must be from 1 to 32768"),
    (["abc"], {"vocabulary": 1}, "vocabulary 1: must be from 2 to 65536"), ([""], {}, "no text"),
    (["", ""], {}, "no text, nor in 1 more inputs"), (["a"], {}, "the text has 1 tokens, a sequence takes 101: give a smaller"),
    (["abc"], {"format": "json"}, "format json: must be text"), (["1,2"], {"format": None, "unit": "char"}, "unit: only possible with format"),
    (["abc"], {"like": "nowhere"}, "nowhere: no dataset"),
    ([" \t "], {"unit": "word"}, "the text has 0 tokens, a sequence takes 101"),
])
def test_what_cannot_be_prepared_is_said_in_one_line(tmp_path, inline, texts, more, reason):
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.txt").write_text(text)
    with pytest.raises(DataError, match=reason) as error:
        prepare([str(tmp_path / f"{i}.txt") for i in range(len(texts))], str(tmp_path / "data"), inline,
                        **{"format": "text", **more})
    assert "\n" not in str(error.value) and not (tmp_path / "data").exists()


def test_a_packed_file_and_another_kind_of_dataset_are_refused(tmp_path, inline, made):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", ENGLISH)
    for name, packed, tool in [("a.txt.gz", b"", ""), ("a.txt.gz", gzip.compress(b"a"), "gunzip"),
                               ("gz", gzip.compress(b"a"), "gunzip"), ("xz", lzma.compress(b"a"), "unxz"),
                               ("bz2", bz2.compress(b"a"), "bunzip2"), ("zip", buffer.getvalue(), "unzip")]:
        path = tmp_path / name
        path.write_bytes(packed)
        with pytest.raises(DataError) as error:
            prepare([str(path)], str(tmp_path / "data"), None, format="text", max_bad=1)
        assert str(error.value) == (f"{path}: text is read in ranges of bytes, so it must not be compressed: "
                                    "unpack it first" + (f", with: {tool} {path}" if tool else ""))
    prepared(tmp_path, inline, "BZh is no archive", name="text", sequence_length=3)
    with pytest.raises(DataError, match="is not a dataset of text"):
        prepared(tmp_path, inline, ENGLISH, name="test", like=made(30).url)
    first = prepared(tmp_path, inline, ENGLISH, name="first", sequence_length=12)
    with pytest.raises(DataError, match="leave these options out"):
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
    root = Path(__file__).parents[2]
    shutil.copytree(root / "examples", tmp_path / "examples")
    commands = re.search(r"```sh\n(.*?)```", (root / "docs" / "text.md").read_text(), re.DOTALL).group(1)
    commands = re.sub(r"^(python|mrdl) ", lambda m: sys.executable + {"python": " ", "mrdl": " -m mrdl "}[m.group(1)], commands,
                      flags=re.MULTILINE)
    done = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(root)}, text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "a text by char; its vocabulary has" in done.stdout and "\nThe " in done.stdout
