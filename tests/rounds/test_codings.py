"""Codings: each against a plain loop; messages survive the wire or are refused."""
import struct

import numpy as np
import pytest

from mrdl import codings
from mrdl.codings import CODINGS, KINDS, Exact, Int8, Threshold, TopK, Truncated, Zeros, coding
from mrdl.config import ConfigError, serialize
from mrdl.rounds import partial
from mrdl.rounds.coded import MOST, Coded, message, values_of
from mrdl.rounds.partial import Partial, PartialError, PartialProtocol

SIZES = [1, 2, 257, 4096, 5001]


def drawn(n):
    return np.random.default_rng(n).integers(0, 1 << 16, n, dtype="u2")


def plain(kind, values):
    """What arrives of the values: a loop over them."""
    found, name = [], type(kind).__name__
    top, draws = max(map(abs, values.tolist())), drawn(len(values))
    for i, v in enumerate(values.tolist()):
        word = struct.unpack("<I", struct.pack("<f", v))[0]
        if name == "Float16":
            scale = 1.0
            while top / scale >= 1 << 15:
                scale *= 2
            while top / scale < 1 << 14:
                scale /= 2
            found.append(struct.unpack("<e", struct.pack("<e", v / scale))[0] * scale)
        elif name in ("BFloat16", "Truncated"):
            below = word & 0xFFFF
            up = name == "BFloat16" and (below > 0x8000 or below == 0x8000 and word >> 16 & 1)
            found.append(struct.unpack("<f", struct.pack("<I", (word >> 16) + up << 16))[0])
        elif name == "Int8":
            row = values[i // 256 * 256:][:256]
            scale = np.float32(values.dtype.type(abs(row).max()) / values.dtype.type(127))
            share = values[i] / values.dtype.type(scale) + (draws[i] + values.dtype.type(0.5)) / values.dtype.type(65536)
            found.append(min(max(np.floor(share), -127), 127) * float(scale))
        elif name == "Threshold":
            pass
        elif name != "TopK":
            found.append(v)
    return largest(kind, values) if name == "TopK" else above(kind, values) if name == "Threshold" else np.array(found)


def above(kind, values):
    n, level = len(values), float(np.float32(kind.threshold))
    sizes = sorted(abs(values).tolist(), reverse=True)
    hits = sum(size >= level for size in sizes)
    least, most = max(1, int(kind.least * n + 0.5)), max(1, int(kind.most * n + 0.5))
    if hits > most or hits < least:
        level = sizes[(most if hits > most else least) - 1]
    return np.array([(level if v > 0 else -level) if abs(v) >= level else 0.0 for v in values.tolist()])


def largest(kind, values):
    found = np.zeros(len(values))
    for start in range(0, len(values), 4096):
        block = values[start:start + 4096].tolist()
        k = max(1, int(kind.share * len(block) + 0.5))
        chosen = sorted(sorted(range(len(block)), key=lambda i: (-abs(block[i]), i))[:k])
        sizes, top = [abs(block[i]) for i in chosen], max(map(abs, block))
        steps = [round(size / (top or 1) * (1 << 20)) for size in sizes]
        cut = sum(steps) / k
        for _ in range(3):
            upper = [step > cut for step in steps]
            high = sum(s for s, up in zip(steps, upper) if up) / max(1, sum(upper))
            low = sum(s for s, up in zip(steps, upper) if not up) / max(1, k - sum(upper))
            cut = (low + high) / 2
        for i, up in zip(chosen, upper):
            level = float(np.float32((high if up else low) * (top / (1 << 20))))
            found[start + i] = block[i] if kind.bits == 32 else -level if block[i] < 0 else level
    return found


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", [Exact(), Truncated(), *(kind() for kind in CODINGS), TopK(0.1, 32), TopK(1.0),
                                  Threshold(3.0), Threshold(1e-3, 0, 1), Threshold(0.5, 0.3, 0.4)], ids=str)
def test_a_coding_is_its_plain_loop(kind, n, dtype):
    values = (np.random.default_rng(n).standard_normal(n) * 1e-3).astype("f4").astype(dtype)
    data = np.frombuffer(kind.encode(values, drawn), np.uint8)
    found = kind.decode(data, n, values.dtype)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, plain(kind, values), rtol=1e-7, atol=0)
    for odd in (data[:-1], np.concatenate([data, data[:1]])):
        with pytest.raises(ValueError, match="bytes of coded values"):
            kind.decode(odd, n, values.dtype)


@pytest.mark.parametrize("kind, most", [("float16", 1 / 2), ("bfloat16", 1 / 2), ("int8", 0.26), ("topk", 1 / 50), ("topk 0.02", 1 / 150), ("threshold", 1 / 200)])
def test_a_coding_takes_as_few_bytes_as_it_says(kind, most):
    values = np.random.default_rng(0).standard_normal(100_000).astype("f4")
    sent = message(values, [(0, len(values), coding(kind))], 1)
    assert len(sent) <= most * values.nbytes + 50
    far = abs(values_of(sent, values.dtype) - values).max()
    assert far <= {"float16": 4 / 2048, "bfloat16": 4 / 256, "int8": 5 / 127}.get(kind, 3)


def test_int8_is_right_in_the_mean():
    values, total = np.array([0.3, -0.01, 0.001, -1.0, 0.0]), 0
    for i in range(10_000):
        total = total + values_of(message(values, [(0, 5, Int8())], i), values.dtype)
    np.testing.assert_allclose(total / 10_000, values, atol=4 * 0.5 / 127 / 100)


def test_truncation_never_turns_a_value_negative():
    rng = np.random.default_rng(0)
    before = rng.random(10_000) ** 8
    after = before * rng.choice([0, 1e-9, 0.003, 0.999, 1.0], 10_000)
    for dtype in ("f4", "f8"):
        change = after.astype(dtype) - before.astype(dtype)
        sent = values_of(message(change, [(0, 10_000, Truncated())]), change.dtype)
        assert (before.astype(dtype) + sent >= 0).all()
        assert (abs(sent) <= abs(change)).all() and (abs(sent) >= 0.99 * abs(change)).all()


@pytest.mark.parametrize("kind", CODINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e-38, 3e38, -1e-45])
def test_what_is_not_finite_arrives_so_and_extremes_do_no_harm(kind, value):
    values = np.array([1.0, value, 0.0], "f4")
    found = values_of(message(values, [(0, 3, kind())], 1), values.dtype)
    if np.isfinite(value):
        assert np.isfinite(found).all() and found[2] == 0
    else:
        assert found.tobytes() == values.tobytes()


def test_pieces_have_codings_of_their_own_and_zeros_take_no_bytes():
    values = np.arange(12, dtype="f4") - 3
    values[4:8] = 0
    cuts = [(0, 4, Exact()), (4, 8, Int8()), (8, 12, codings.BFloat16())]
    sent = message(values, cuts, 7)
    assert values_of(sent, values.dtype).tolist() == values.tolist() and sent.count == 12
    assert len(sent) == 4 + 3 * 12 + 16 + 0 + 8
    assert message(values, cuts, 7) == sent


def test_a_line_with_a_message_is_ascii_and_is_decoded():
    values = np.random.default_rng(0).standard_normal(300).astype("f4")
    sent, protocol = message(values, [(0, 300, codings.Float16())]), PartialProtocol()
    line = protocol.write("000001.a", Partial(2, 5, sent))
    assert line.isascii() and line.split(b"\t")[3].startswith(b"coded:") and line.count(b"\t") == 3
    chunk, read = protocol.read(line)
    assert (chunk, read.worker, read.n) == ("000001.a", 2, 5)
    assert read.values.tobytes() == values_of(sent, values.dtype).tobytes()
    others = [Partial(i, 5, read.values * i) for i in (3, 4)]
    ((_, mean),) = partial.merge("000001.a", [read, *others])
    np.testing.assert_allclose(mean.values, read.values * 8 / 3, rtol=1e-6)


@pytest.mark.parametrize("damage", [
    lambda data: data[:-1], lambda data: b"", lambda data: data[:3], lambda data: b"\xff" * 40,
    lambda data: b"\x09" + data[1:], lambda data: data[:4] + b"\x63" + data[5:],
    lambda data: struct.pack("<4I", 1, 0, MOST + 1, 0),
    # threshold: no place; one behind the end. topk: no head; more than there are; 3 bits a value; a place behind the end; one too many
    lambda data: struct.pack("<4I", 1, 6, 3, 9) + bytes(9), lambda data: struct.pack("<6I", 1, 6, 3, 11, 0, 1) + b"\x00\x80\x10",
    lambda data: struct.pack("<4I", 1, 5, 3, 0), lambda data: struct.pack("<4I3H", 1, 5, 3, 20, 2, 0, 4) + bytes(14),
    lambda data: struct.pack("<4I3H", 1, 5, 3, 16, 3, 0, 1) + bytes(9) + b"\x80",
    lambda data: struct.pack("<4I3H", 1, 5, 3, 17, 2, 0, 1) + bytes(9) + b"\x00\x10",
    lambda data: struct.pack("<4I3H", 1, 5, 3, 17, 2, 0, 1) + bytes(9) + b"\x00\xc0"])
def test_damaged_messages_are_refused(damage):
    sent = message(np.arange(5, dtype="f4"), [(0, 5, Int8())], 1)
    line = PartialProtocol().write("000001.a", Partial(0, 1, Coded(damage(sent))))
    with pytest.raises(PartialError, match="damaged partial"):
        PartialProtocol().read(line)


def test_all_public_codings_are_in_the_table_with_numbers_of_their_own():
    public = [kind for kind in vars(codings).values() if isinstance(kind, type) and issubclass(kind, codings.Coding)]
    assert {*public} - {codings.Coding, Truncated} == {*CODINGS, Zeros, Exact} == {*KINDS.values()}
    assert sorted(KINDS) == [*range(len(KINDS))]
    assert all(name in codings.GRAMMAR for name in (kind.__name__.lower() for kind in CODINGS))


@pytest.mark.parametrize("kind", CODINGS)
def test_a_coding_is_what_its_text_and_its_dict_say(kind):
    assert coding(str(kind())) == coding(serialize(kind())) == coding(kind()) == kind()
    assert coding("none") is coding(None) is None


@pytest.mark.parametrize("text, reason", [
    ("bfloat1", "did you mean BFloat16"), ("int8 rows 3", "rows=3 is not supported"), ("float16 2", "compress: '2' is no list"),
    ("topk 0", "share must be above 0"), ("topk 0.1 bits 3", "bits must be 2 or 32"), ("topk decay 2", "decay must be from 0 to 1"),
    ("threshold 0", "threshold must be above 0"), ("threshold least 0.5", "least not above most"),
    ("threshold decay 2", "decay must be from 0 to 1"), ("topk bits 2.5", "bits=2.5 must be a whole number"), ("", "unknown coding"), ("exact", "unknown coding 'exact'; there are none, Float16")])
def test_what_is_no_coding_is_refused(text, reason):
    with pytest.raises(ConfigError, match=reason):
        coding(text)


def test_of_equal_magnitudes_the_first_are_sent():
    values = np.array([1, -2, 2, 2, -2, 1, 3], "f4")
    sent = values_of(message(values, [(0, 7, TopK(3 / 7, 32))]), values.dtype)
    assert sent.tolist() == [0, -2, 2, 0, 0, 0, 3]
    assert values_of(message(values, [(0, 7, TopK(1.0, 32))]), values.dtype).tobytes() == values.tobytes()
    assert coding("topk 0.01 bits 32, decay=1") == TopK(0.01, 32)
