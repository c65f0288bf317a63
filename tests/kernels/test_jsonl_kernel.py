"""Fields of lines of JSON, against Python's json."""
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mrdl.kernels import jsonl
from mrdl.kernels.reference import jsonl as twin

from mrdl.data.readers.json_paths import Tree, leaves, name_of, path_of

COLUMNS = ["a", "b", "b.c", "b.d", "t.0", "t.1", "t.0.a", r"e\.x", "\u00e9", "", 'q"\\\\', "a.b.c", "."]
TREE = Tree.of(COLUMNS, ["skip", "b.skip"])


def split(module, lines: bytes, tree: Tree = TREE, width: int = len(COLUMNS), rows: int | None = None):
    """What `split` finds: codes, other values, faults; of each row the fields, each with whether it is there and is a string."""
    buffer, rows = bytearray(lines), len(lines.split(b"\n")) if rows is None else rows
    starts, stops = np.full((2, rows, width), -7)
    codes, faults, others = np.full(rows, -7, np.intc), np.full(rows, -7), np.full(rows, 7, "u1")
    n = module.split(buffer, *tree, starts, stops, codes, faults, others)
    fields = [[(bytes(buffer[a:b]), a > 0, a > 0 and buffer[a - 1:a] == b'"') for a, b in zip(*places)]
              for places in zip(starts[:n].tolist(), stops[:n].tolist())]
    return codes[:n].tolist(), others[:n].tolist(), faults[:n].tolist(), fields


def one(line: bytes, columns, left_out=()):
    """The code of a line, whether it has other values, its fields as {column: (text, is a string)}."""
    codes, others, _, (fields,) = split(jsonl, line, Tree.of(columns, left_out), len(columns))
    return codes[0], others[0], {column: (text, string) for column, (text, there, string) in zip(columns, fields) if there}


def alike(lines: bytes) -> list[int]:
    found, expected = split(jsonl, lines), split(twin, lines)
    assert found[:2] == expected[:2] and found[3] == expected[3], lines
    return found[0]


@pytest.mark.parametrize("line, fields", [
    ('{"a": 1, "b": {"c": "x", "d": true}}', {"a": "1", "b.c": '"x', "b.d": "true"}),
    ('\t{ "b" : { } , "a" : -1.50E+3 } \r', {"a": "-1.50E+3"}), ("{}", {}), ('{"a": null, "b": []}', {}),
    ('{"a": NaN, "b": Infinity, "c": -Infinity}', {"a": "NaN", "b": "Infinity", "c": "-Infinity"}),
    ('{"t": [3, [], "x", {"a": 4}]}', {"t.0": "3", "t.2": '"x', "t.3.a": "4"}),
    ('{"a": " \\t x y\\t "}', {"a": '"x y'}), ('{"a": "  "}', {"a": '"'}), ('{"a": "\\n1\\n"}', {"a": '"\n1\n'}),
    (r'{"a": "\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00"}', {"a": '""\\/\b\f\n\r\tA\u00e9\u20ac\U0001f600'}),
    (r'{"a": "\ud83d", "b": "\ude00\ud83d", "c": "\ud83d\u0041\ud83dx"}', {"a": '"\ufffd', "b": '"\ufffd\ufffd', "c": '"\ufffdA\ufffdx'}),
    (r'{"\u0061": 1, "e.x": 2, "e\\x": 3}', {"a": "1", r"e\.x": "2", r"e\\x": "3"}),
    ('{"a": 1, "a": 2}', {"a": "2"}), ('{"a": 1, "a": null}', {}), ('{"a": {"b": 1}, "a": {"c": 2}}', {"a.c": "2"}),
    ('{"a": {"b": 1}, "a": 2}', {"a": "2"}), ('{"": {"": 1}, ".": 2}', {".": "1", r"\.": "2"}), ('{"a": {"0": 1}}', {"a.0": "1"}),
    ('{"a": "\u00e9\U0001f600"}', {"a": '"\u00e9\U0001f600'}), ('{"a": 12345678901234567890123, "b": 0}', {"a": "12345678901234567890123", "b": "0"}),
])
def test_values_are_found_by_their_paths(line, fields):
    columns = [*{*(name_of(keys) for keys, _ in leaves(json.loads(line))), *fields, "a", "a.b", "not there"}]
    expected = {column: (text.removeprefix('"').encode(), text.startswith('"')) for column, text in fields.items()}
    assert one(line.encode(), columns) == (jsonl.GOOD, 0, expected)
    assert one(line.encode() + b"\n", columns) == (jsonl.GOOD, 0, expected)


@pytest.mark.parametrize("line, code, fault", [
    (b"", jsonl.EMPTY, 0), (b" \t\r", jsonl.EMPTY, 3), (b"[1]", jsonl.OBJECT, 0), (b" a,b", jsonl.OBJECT, 1),
    (b'{"a": 1', jsonl.SYNTAX, 7), (b'{"a": 1}}', jsonl.SYNTAX, 8), (b'{"a": 1} x', jsonl.SYNTAX, 9), (b'{"a": 1}{"a": 2}', jsonl.SYNTAX, 8),
    (b'{"a": 01}', jsonl.SYNTAX, 6), (b'{"a": +1}', jsonl.SYNTAX, 6), (b'{"a": .5}', jsonl.SYNTAX, 6), (b'{"a": 5.}', jsonl.SYNTAX, 6),
    (b'{"a": 1e}', jsonl.SYNTAX, 6), (b'{"a": -}', jsonl.SYNTAX, 6), (b'{"a": -null}', jsonl.SYNTAX, 6), (b'{"a": tru}', jsonl.SYNTAX, 6),
    (b'{"a": 1,}', jsonl.SYNTAX, 8), (b'{,"a": 1}', jsonl.SYNTAX, 1), (b'{"a": [1,]}', jsonl.SYNTAX, 9), (b'{"a": [1}', jsonl.SYNTAX, 8),
    (b'{"a" 1}', jsonl.SYNTAX, 5), (b"{'a': 1}", jsonl.SYNTAX, 1), (b"{a: 1}", jsonl.SYNTAX, 1), (b'{"a": "x}', jsonl.SYNTAX, 9),
    (b'{"a": "\\x"}', jsonl.SYNTAX, 7), (b'{"a": "\\u00g0"}', jsonl.SYNTAX, 7), (b'{"a": "\\u00', jsonl.SYNTAX, 7), (b'{"a": "x\\', jsonl.SYNTAX, 8),
    (b'{"a": "a\tb"}', jsonl.SYNTAX, 8), (b'{"a": 1 2}', jsonl.SYNTAX, 8), (b'{"a":', jsonl.SYNTAX, 5), (b'{"a": [', jsonl.SYNTAX, 7),
    (b'{"a": "\xff"}', jsonl.UTF8, 7), (b'{"a": "\xed\xa0\x80"}', jsonl.UTF8, 7), (b'{"a": "\xc0\x80"}', jsonl.UTF8, 7),
    (b'{"a": "\xf4\x90\x80\x80"}', jsonl.UTF8, 7), (b'{"a": "\xe2\x82', jsonl.UTF8, 7), (b'{"a": ' + b"[" * 200, jsonl.DEEP, 105),
    (b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}", jsonl.GOOD, 205), (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", jsonl.DEEP, 105),
])
def test_a_line_gets_its_code_and_the_byte_that_went_wrong(line, code, fault):
    codes, others, faults, fields = split(jsonl, b'{"a": 1}\n' + line + b'\n{"a": 2}')
    assert (codes, faults[1]) == ([jsonl.GOOD, code, jsonl.GOOD], fault)
    assert [row[0] for row in fields] == [(b"1", True, False), (b"", False, False), (b"2", True, False)] and others == [0, 0, 0]


def test_values_of_no_column_are_noticed_unless_they_are_null_or_left_out():
    for line, other in (('{"x": 1}', 1), ('{"x": null}', 0), ('{"x": {"y": []}}', 0), ('{"x": {"a": 1}}', 1), ('{"a": {"x": 1}}', 1),
                        ('{"o": 5}', 1), ('{"o": null}', 0), ('{"o": {"p": 1}}', 0), ('{"skip": 5}', 0), ('{"skip": {"x": [1]}}', 0), ('{"t": [1, 2]}', 1)):
        assert one(line.encode(), ["a", "o.p", "t.0"], ["skip"])[:2] == (jsonl.GOOD, other), line


SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from([" x ", "\ud800", "\ude00\ud83d", '"', "\\"]))
KEYS = st.sampled_from(["a", "b", "c", "d", "t", "0", "e.x", "\u00e9", "", 'q"\\', "skip", "\ud800"]) | st.text(max_size=3)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
OBJECTS = st.builds(lambda value, ascii, gap: json.dumps(value, ensure_ascii=ascii, separators=gap).encode("utf-8", "replace"),
                    st.dictionaries(KEYS, VALUES, max_size=5), st.booleans(), st.sampled_from([(",", ":"), (" ,\t", " : ")]))
TOKENS = st.lists(st.sampled_from([*b'{}[]:,"\\\t \r0-1.eE', *b"anuf", b"\n", b'"a"', b'"b":{', b'"t":[', b"null", b"true", b"-Infinity", b"NaN", b"1.5",
                                   b"\\u00e9", b"\\ud83d", b"\\ude00", b"\xff", b"\xc3\xa9", b"\x1f", b'{"a":']), max_size=25).map(
    lambda parts: b"".join(bytes([part]) if isinstance(part, int) else part for part in parts))


@st.composite
def damaged(draw):
    lines = bytearray(b"\n".join(draw(st.lists(OBJECTS, max_size=3))))
    for _ in range(draw(st.integers(0, 3)) if lines else 0):
        at = draw(st.integers(0, len(lines) - 1))
        lines[at:at + draw(st.integers(0, 2))] = draw(st.sampled_from([b"", b'"', b"{", b"}", b",", b":", b"\\", b"\n", b"\xe9", b"0", b" "]))
    return bytes(lines)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(damaged() | TOKENS | TOKENS.map(lambda text: b'{"a":1,"b":{"c":2' + text + b"}}"))
def test_any_lines_are_read_as_by_json(lines):
    alike(lines)


def test_keys_that_come_twice_count_as_in_json():
    for inner in ("1", "null", '{"c": 1}', '{"skip": {"c": 1}, "d": 2}', "[1, 2]", '[{"a": 1}]', '{"x": 1}'):
        for other in ("1", "null", '{"c": 1}', '{"d": 2, "d": 3}', "[]", "[2]", '{"x": 1}'):
            for key in "abt":
                assert alike(f'{{"{key}": {inner}, "a": 7, "{key}": {other}}}'.encode()) == [jsonl.GOOD]


def test_numbers_keep_their_bits():
    values = np.random.default_rng(0).integers(0, 2 ** 64, 2000, np.uint64).view("f8")
    values = values[np.isfinite(values)].tolist()
    lines = "\n".join(json.dumps({"a": value}) for value in values).encode()
    assert [float(row[0][0]) for row in split(jsonl, lines)[3]] == values


def test_strings_of_any_length_end_where_they_end_wherever_the_buffer_does():
    for size in range(70):
        for text in ("x" * size, "x" * (size // 2) + '"\\' + "y" * (size // 2), "\u00e9" * size):
            line = json.dumps({text: text}, ensure_ascii=False).encode()
            assert one(line, [name_of((text,))])[2] == {name_of((text,)): (text.encode(), True)}


@given(st.lists(st.text(max_size=4) | st.text(".\\0", max_size=4), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_name_leads_back_to_its_path(keys):
    assert path_of(name_of(keys)) == tuple(keys)


def test_many_fields_are_found_among_thousands_in_any_order():
    names = [f"field {i}" for i in range(3000)]
    order = np.random.default_rng(0).permutation(3000).tolist()
    line = json.dumps({names[i]: i for i in order}).encode()
    code, others, found = one(line, names)
    assert (code, others) == (jsonl.GOOD, 0) and found == {names[i]: (b"%d" % i, False) for i in range(3000)}
    vector = json.dumps({"v": list(range(3000))}).encode()
    assert one(vector, [f"v.{i}" for i in range(3000)])[2] == {f"v.{i}": (b"%d" % i, False) for i in range(3000)}


def test_arguments_that_do_not_fit_are_refused():
    def call(lines=b"{}", rows=1, width=2, **changed):
        tree = Tree.of(["a", "b"])._replace(**{key: value for key, value in changed.items() if key in Tree._fields})
        arrays = {"starts": np.zeros((rows, width), int), "stops": np.zeros((rows, width), int), "codes": np.zeros(rows, np.intc),
                  "faults": np.zeros(rows, int), "others": np.zeros(rows, "u1")}
        arrays |= {key.removeprefix("of_"): value for key, value in changed.items() if key.startswith("of_")}
        return jsonl.split(bytearray(lines), *tree, *arrays.values())
    assert call() == 1 and call(b"") == 0 and call(b"", rows=0) == 0 and call(b"\n\n", rows=2) == 2
    int4, int8 = (lambda *values: np.array(values, "i4")), (lambda *values: np.array(values, "i8"))
    for reason, changed in (
            ("more lines", {"lines": b"\n\n"}), ("more lines", {"rows": 0}), ("do not fit", {"of_others": np.zeros(2, "u1")}),
            ("do not fit", {"of_stops": np.zeros((1, 3), int)}), ("do not fit", {"of_faults": np.zeros(0, int)}), ("those of a tree", {"width": 1}),
            ("a place for each", {"seen": int8(0)}), ("a place for each", {"ends": int4(3, 2)}), ("a place for each", {"columns": int4(-1)}),
            ("a place for each", {"parents": int4(0)}), ("a place for each", {"starts": int8()}), ("power of 2", {"slots": int4(*[-1] * 12)}),
            ("power of 2", {"slots": int4(-1, -1)}), ("those of a tree", {"slots": int4(*[1] * 8)}), ("those of a tree", {"slots": int4(*[3] * 8)}),
            ("those of a tree", {"slots": int4(*[-2] * 8)}), ("those of a tree", {"ends": int4(3, 2, 4)}), ("those of a tree", {"ends": int4(3, 1, 3)}),
            ("those of a tree", {"columns": int4(-1, 0, 2)}), ("those of a tree", {"columns": int4(-3, 0, 1)}),
            ("not within", {"starts": int8(0, 0, 3)}), ("not within", {"stops": int8(0, 1, 3)}), ("not within", {"starts": int8(-1, 0, 1)}),
            ("stands before", {"parents": int4(0, 1, 0)}), ("stands before", {"parents": int4(0, -1, 0)})):
        with pytest.raises(ValueError, match=reason):
            call(**changed)
    with pytest.raises(ValueError, match="one key"):
        jsonl.index(b"aa", int8(0, 0, 1), int8(0, 1, 2), int4(0, 0, 0), np.zeros(8, "i4"))
