"""model.py, as users write it: what it imports, what it prints, the mistakes in it."""
import json
import os
import sys

import pytest

from mrdl.cli import main
from mrdl.cli.model_file import load
from mrdl.config import ConfigError

MODEL = """
import mrdl
from mrdl.layers import Dense
model = mrdl.Sequential([Dense(8, "tanh"), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_modules_beside_it_are_found_and_forgotten(here):
    (here / "nets/parts").mkdir(parents=True)
    (here / "nets/blocks.py").write_text("from mrdl.layers import Dense\nhead = [Dense(3)]\n")
    (here / "nets/parts/__init__.py").write_text("")
    (here / "nets/parts/tail.py").write_text("units = 4\n")
    (here / "nets/model.py").write_text(
        "import mrdl, blocks, sys\nsys.path.insert(0, 'more')\nfrom parts.tail import units\nfrom mrdl.layers import Dense\n"
        "def model():\n    import later\n    return mrdl.Sequential([*blocks.head, Dense(units)])\n")
    (here / "nets/later.py").write_text("")
    before, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    assert [layer.units for layer in load("nets/model.py").layers] == [3, 4]
    (here / "nets/blocks.py").write_text("from mrdl.layers import Dense\nhead = []\n")      # nothing is kept of it
    assert [layer.units for layer in load(f"{here}/nets/model.py").layers] == [4]
    assert not {"blocks", "parts", "parts.tail", "later"} & (set(sys.modules) - before)
    assert (sys.path, sys.meta_path) == (path, finders)


def test_they_do_not_stand_in_for_what_mrdl_runs_on(here):
    for name in "colorsys", "rich", "msvcrt":
        sys.modules.pop(name, None)
        (here / f"{name}.py").write_text("raise RuntimeError\n")
    (here / "model.py").write_text("import colorsys, rich\ntry:\n    import msvcrt\nexcept ImportError:\n    pass\n" + MODEL)
    load("model.py")
    assert sys.modules["colorsys"].__file__ != str(here / "colorsys.py")


@pytest.mark.parametrize("text, told", [
    ("import mrdl\n\nmodel = Dens(3)\n", "net.py line 3: NameError: name 'Dens' is not defined"),
    ("import mrdl\nx = 'one\n", r"net.py line 2: SyntaxError: unterminated string literal.*"),
    ("def inner():\n    1 / 0\ndef model():\n    inner()\n", "net.py line 2: ZeroDivisionError: division by zero"),
    ("from mrdl.layers import Dense\nmodel = Dense(0)\n", "net.py line 2: Dense: units=0 must be above 0"),
    ("import json\njson.loads('{')\n", "net.py line 2: JSONDecodeError: .*"),
    ("import broken\n", "broken.py line 2: SyntaxError: .*"),
    ("import failing\n", "failing.py line 1: ValueError: in two lines"),
    ("import nowhere\n", "net.py line 1: ModuleNotFoundError: No module named 'nowhere'"),
    ("import sys\nsys.exit(0)\n", "net.py line 2: SystemExit: 0"),
    ("def model(units):\n    pass\n", "net.py: TypeError: model\\(\\) missing 1 required positional argument: 'units'"),
    ("\0", "net.py: (SyntaxError|ValueError): source code .*"),
    ("model = 3\n", "net.py must define `model`: .*"),
])
def test_a_mistake_in_it_is_told_by_its_line(here, text, told):
    (here / "net.py").write_text(text)
    (here / "broken.py").write_text("x = 1\ny = (\n")
    (here / "failing.py").write_text("raise ValueError('in\\ntwo lines')\n")
    for path in "net.py", str(here / "net.py"):
        folder = os.path.join(os.path.dirname(path), "").replace(".", r"\.")
        with pytest.raises(ConfigError, match=f"^{folder}{told}$") as failed:
            load(path)
        assert "\n" not in str(failed.value)


def test_ctrl_c_in_it_is_no_mistake(here):
    (here / "net.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load("net.py")


def test_what_it_prints_goes_to_stderr(here, capfd):
    (here / "train.csv").write_text("a,b,y\n" + "".join(f"{i},{i % 5},{i % 3}\n" for i in range(60)))
    (here / "model.py").write_text("import os\nprint('building')\nos.system('echo a child')\n" + MODEL)
    assert main(["prepare", "train.csv", "data", "--label", "y", "-r", "inline"]) == 0
    capfd.readouterr()
    assert main(["train", "model.py", "data", "run", "--rounds", "1", "-r", "inline", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["rounds"] == 1 and "building\n" in err and "a child\n" in err
    (here / "own.py").write_text(MODEL.replace("Dense\n", "Dense\nclass Mine(Dense):\n    pass\n", 1).replace(
        "Dense(3", "Mine(3"))
    assert main(["train", "own.py", "data", "own", "--rounds", "1", "-r", "inline"]) == 2
    assert "cannot contain classes of your own: unknown layer 'Mine'" in capfd.readouterr().err
