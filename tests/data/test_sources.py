"""Arrays in .npz and IDX files: what is read from them, what is refused."""
import gzip
import io
import struct
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_data import examples, idx, mapped, plan_of, text

from mrdl.data.schema import Schema
from mrdl.data.sniff import sniff
from mrdl.data.sources import ArrayFile, DataError


def whole_file(schema: Schema) -> list[bytes]:
    return [b"%d\t0\t%d" % (i, count) for i, count in enumerate(schema.counts)]


@pytest.mark.parametrize("names, label", [
    (("x", "y"), None), (("x_train", "y_train"), None), (("x_test", "y_test"), "y_test"),
    (("images", "digit"), "digit"),
])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_arrays_are_found_by_name_and_read_by_ranges(tmp_path, names, label, save):
    x = np.arange(24, dtype="u1").reshape(6, 2, 2)
    save(tmp_path / "a.npz", **{names[0]: x, names[1]: np.arange(6)})
    schema = sniff([str(tmp_path / "a.npz")], label=label)
    assert (schema.shape, schema.target, schema.counts) == ([2, 2], [], [6])
    want = [(x[i].tolist(), i, None) for i in (2, 3, 4)]
    assert examples(plan_of(schema), [b"0\t2\t3", b"0\t3\t5"]) == sorted(want, key=str)


def test_npz_takes_any_number_type_vectors_as_targets_and_weights(tmp_path):
    for dtype in ("?", "i1", "u2", ">i4", "i8", "f2", "<f4", ">f8"):
        x, y = np.array([[0, 1]], dtype), np.array([[0.5, 1, 0]])
        np.savez(tmp_path / "a.npz", x=x, y=y, w=np.array([2.0]))
        schema = sniff([str(tmp_path / "a.npz")], weight="w")
        assert examples(plan_of(schema), whole_file(schema)) == [([0, 1], [0.5, 1, 0], 2.0)]


def test_bad_rows_of_arrays_are_counted_too(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([[1, np.nan], [2, 3], [4, 5]]), y=np.array([0, 1, 7]))
    schema = sniff([str(tmp_path / "a.npz")])
    _, facts = mapped(plan_of(schema, classes=3), whole_file(schema))
    assert facts["bad"] == {"not finite": 1, "label out of range": 1}
    assert [s["text"] for s in facts["samples"]] == ["row 0", "row 2"]
    assert {s["file"] for s in facts["samples"]} == {str(tmp_path / "a.npz")}


def damaged(data: bytes, flips: list[tuple[int, int]], cut: int | None) -> bytes:
    made = bytearray(data)
    for at, byte in flips:
        made[at % len(made)] = byte
    return bytes(made[:cut])


def npz(save, n: int) -> bytes:
    buffer = io.BytesIO()
    save(buffer, x=np.arange(2.0 * n).reshape(n, 2), y=np.arange(n))
    return buffer.getvalue()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from([
    (npz(np.savez, 3), "a.npz"), (npz(np.savez_compressed, 300), "a.npz"),
    (idx(np.zeros((3, 2, 2), "u1")), "a"), (gzip.compress(idx(np.zeros((3, 2), "f4"))), "a.gz")]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3),
    st.none() | st.integers(0, 900))
def test_damaged_files_are_read_or_refused_but_never_a_surprise(tmp_path_factory, file, flips, cut):
    data, name = file
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(damaged(data, flips, cut))
    with suppress(DataError):
        schema = sniff([str(path)])
        if schema.kind != "text":
            examples(plan_of(schema), whole_file(schema))


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("arrays, label, reason", [
    ({"x": np.zeros(2)}, "digit", "no array 'digit'; there are 'x'"),
    ({"a": np.zeros(2), "b": np.zeros(2)}, None, "no array 'x'; there are 'a', 'b'"),
    ({"x": np.zeros((2, 3)), "y": np.zeros(3)}, None, "do not fit each other"),
    ({"x": np.asfortranarray(np.zeros((2, 3)))}, None, "Fortran order; save np.asc"),
    ({"x": np.array(["a", "b"])}, None, "must be an array of numbers"),
    ({"x": np.float32(1)}, None, "0 axes"), ({"x": np.zeros((0, 3))}, None, "no rows"),
    ({"x": np.zeros((3, 0))}, None, "x has the shape"), ({"x": np.eye(3), "y": np.zeros((3, 0))}, None, "y has the shape"),
    ({"x": np.zeros(3, "c8")}, None, "complex64"),
])
def test_an_npz_that_cannot_be_used_is_refused_with_the_reason(tmp_path, arrays, label, reason):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=reason):
        sniff([str(tmp_path / "a.npz")], label=label)


@pytest.mark.parametrize("content, reason", [
    (b"no zip", "cannot be read .File is not a zip"), (npy(np.zeros((4, 4)))[:-1], "its header promises"),
    (npy(np.zeros(4))[:20], "cannot be read"), (b"\x93NUMPY\x09\x09" + b"x" * 80, "cannot be read"),
    (npy(np.array([{}], dtype=object)), "must be an array of numbers"),
])
def test_a_damaged_or_pickled_npz_is_refused_and_never_executed(tmp_path, content, reason):
    path = tmp_path / "a.npz"
    if content == b"no zip":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=reason):
        sniff([str(path)])


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_idx_files_are_paired_with_their_labels(tmp_path, end, dtype):
    x = np.arange(24).reshape(4, 2, 3).astype(dtype)
    images = text(tmp_path, idx(x), "train-images-idx3-ubyte" + end)
    labels = text(tmp_path, idx(np.arange(4).astype("u1")), "train-labels-idx1-ubyte" + end)
    want = sorted([(row.tolist(), i, None) for i, row in enumerate(x)], key=str)
    for inputs in ([images, labels], [labels, images], [images]):
        schema = sniff(inputs)
        assert (schema.kind, schema.shape, schema.target) == ("idx", [2, 3], [])
        assert examples(plan_of(schema), whole_file(schema)) == want


def test_several_pairs_of_idx_files_are_matched_by_name(tmp_path):
    paths = [text(tmp_path, idx(np.full((n, 2, 2)[:axes], n, "u1")), f"{part}-{kind}-ubyte")
             for part, n in (("t10k", 3), ("train", 5))
             for kind, axes in (("labels-idx1", 1), ("images-idx3", 3))]
    schema = sniff(paths)
    assert schema.counts == [3, 5]
    assert schema.files == [[paths[1], paths[0]], [paths[3], paths[2]]]
    assert sniff([paths[1]]).files == [[paths[1], paths[0]]]
    for name in "x.idx.gz", "x.idx":                    # one is not the labels of the other
        assert sniff([text(tmp_path, idx(np.zeros((3, 4), "u1")), name)]).label is None


def test_idx_files_that_cannot_be_used_are_refused_with_the_reason(tmp_path):
    labels = text(tmp_path, idx(np.zeros(3, "u1")), "b")
    short = text(tmp_path, idx(np.zeros((3, 4), "u1"))[:-1], "c")
    packed = text(tmp_path, idx(np.zeros((3, 4), "u1"))[:-1], "d.gz")
    odd = text(tmp_path, b"\0\0\x07\x01" + bytes(8), "e")
    deep = text(tmp_path, b"\0\0\x08\x21" + b"\0\0\0\1" * 33 + b"\0", "f")
    for path, reason in [(labels, "labels without their images"), (odd, "no IDX file"), (deep, "33 axes of uint8"),
                         (short, "27|its header promises"), (packed, "holds 11 bytes, but its header promises 12")]:
        with pytest.raises(DataError, match=reason):
            sniff([path])
    with pytest.raises(DataError, match="ends before row 3"):
        ArrayFile(packed).rows(0, 3)
    with pytest.raises(DataError, match="no columns"):
        sniff([short], label="0")


IMAGES = idx(np.zeros((40, 4, 4), "u1"))


@pytest.mark.parametrize("content, reason", [
    (gzip.compress(IMAGES)[:-6], "cannot be read .*ended before"),                           # cut off in its checksum
    (gzip.compress(IMAGES)[:-8] + b"\0" * 8, "cannot be read .CRC check failed"),
    (gzip.compress(IMAGES[:4] + b"\0\1\x86\xa0" + IMAGES[8:]), "holds 640 bytes, but its header promises 1,600,000"),
    (gzip.compress(IMAGES + bytes(100)), "holds more bytes, but its header promises 640"),
    (gzip.compress(IMAGES[:300]) + gzip.compress(IMAGES[300:]), None),
], ids=["cut off", "checksum", "more promised", "less promised", "two members"])
def test_a_packed_idx_file_is_read_to_its_end_before_anything_is_planned(tmp_path, content, reason):
    (tmp_path / "a.gz").write_bytes(content)
    if reason is None:
        assert sniff([str(tmp_path / "a.gz")]).counts == [40]
        return
    with pytest.raises(DataError, match=reason):
        sniff([str(tmp_path / "a.gz")])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_or_a_false_size_in_an_npz_is_refused(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, x=np.random.default_rng(0).random((300, 2)))
    whole = bytearray(path.read_bytes())
    bent = whole.copy()
    bent[len(bent) // 2] ^= 4
    lies = whole.copy()
    at = lies.rindex(b"PK\1\2") + 24                # the member's size in the directory
    lies[at:at + 4] = struct.pack("<I", 1 << 30)
    for data in (bent, lies):
        path.write_bytes(data)
        with pytest.raises(DataError, match="cannot be read|its header promises"):
            sniff([str(path)])


def test_a_truncated_gzip_is_a_data_error(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 1000)[:-12])
    (tmp_path / "b.csv.gz").write_bytes(b"1,2\n")
    for name in ("a.csv.gz", "b.csv.gz"):
        with pytest.raises(DataError, match="cannot be read"):
            sniff([str(tmp_path / name)])
