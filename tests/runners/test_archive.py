"""The nodes' archive, built by pip as for a cluster and run by a Python that has nothing else."""
import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from mrdl import __version__
from mrdl.config import ConfigError
from mrdl.runners import probe
from mrdl.runners import site as archive
from mrdl.runners.site import Target

SOABI = sysconfig.get_config_var("SOABI")
NODE = {"python": "3.11.4", "soabi": "cpython-311-x86_64-linux-gnu", "machine": "x86_64",
        "libc": "glibc 2.28", "cpu": "v3", "executable": "/usr/bin/python3"}
UNBUILT = Target("3.99", "cpython-399-x86_64-linux-gnu", "x86_64", "2.28")
TREE = Path(__file__).parents[2]


def probed(python: str) -> Target:
    """What a streaming task would find: the command cut at its blanks, the script beside it."""
    command, script = archive.probe_command(python)
    done = subprocess.run(command.split(" "), input="probe\n" * 50000, text=True, check=True,
                          capture_output=True, cwd=Path(script).parent)
    return archive.parse_probe(done.stdout)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def packed(cache):
    return archive.build(probed(sys.executable), cache=cache)


@pytest.fixture(scope="session")
def site(packed, tmp_path_factory):
    return unpacked(packed, tmp_path_factory.mktemp("node"))


def unpacked(path: str, folder: Path) -> Path:
    """As YARN does it, into a folder that is not written to again."""
    (folder / "site").mkdir()
    subprocess.run(["tar", "-xzf", path, "-C", folder / "site"], check=True)
    return folder / "site"


def node(site: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess:
    """-S: without this Python's own packages."""
    return subprocess.run([python, "-S", "-B", *arguments], cwd=site.parent, text=True, check=False,
                          capture_output=True, env={"PYTHONPATH": site.name})


TRAIN = """
import numpy as np
from mrdl import Sequential
from mrdl.layers import Dense, Input
rng = np.random.default_rng(0)
x, y = rng.standard_normal((40, 5)).astype("f4"), rng.integers(0, 3, 40).astype("i4")
model = Sequential([Input((5,)), Dense(8, "relu"), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=8, verbose=0)
print(model.weights.tobytes().hex(), np.__file__)
"""


@pytest.fixture(scope="session")
def bits():
    """What TRAIN comes to on the driver."""
    done = subprocess.run([sys.executable, "-c", TRAIN], check=True, capture_output=True, text=True)
    return done.stdout.split()[0]


def test_the_probe_tells_what_this_python_is():
    here = probed(sys.executable)
    assert here.soabi == SOABI and here.machine == os.uname().machine
    assert here.version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert here.glibc == os.confstr("CS_GNU_LIBC_VERSION").split()[1]


def test_the_probe_runs_where_mrdl_does_not():
    ast.parse(Path(probe.__file__).read_text(), feature_version=(3, 4))


def test_a_line_that_streaming_ended_with_a_tab_is_read():
    assert archive.parse_probe(json.dumps(NODE) + "\t\n") == Target(
        "3.11", "cpython-311-x86_64-linux-gnu", "x86_64", "2.28")


@pytest.mark.parametrize("found, message", [
    ({"python": "3.6.8", "soabi": "cpython-36m-x86_64-linux-gnu"},
     r"nodes run Python 3\.6\.8 \(/usr/bin/python3\); mrdl needs 3\.10 or newer: install it, or n"),
    ({"python": "2.7.18", "soabi": None}, r"nodes run Python 2\.7\.18 .* mrdl needs 3\.10"),
    ({"soabi": "pypy310-pp73"}, "with the ABI pypy310-pp73"),
    ({"libc": ""}, "the C library unknown; mrdl needs CPython with glibc"),
    ({"cpu": "v1"}, "older than x86-64-v2"),
])
def test_a_node_that_cannot_run_mrdl_is_named(found, message):
    with pytest.raises(ConfigError, match=message):
        archive.parse_probe(json.dumps(NODE | found))


@pytest.mark.parametrize("line", ["", "python3: not found", "[]", '{"python": "new"}', "3"])
def test_a_line_that_no_probe_wrote_is_shown(line):
    with pytest.raises(ConfigError, match="asked to describe itself, but wrote"):
        archive.parse_probe(line)


def test_the_same_bits_come_out_of_a_python_that_has_only_the_archive(site, bits):
    done = node(site, "-c", TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [bits, str(site / "numpy" / "__init__.py")]


def test_the_jobs_start_from_the_archive(site):
    done = node(site, "-m", "mrdl.jobs.train", "--step-num=0", "--mapper", "--help")
    assert "--state" in done.stdout and not done.stderr


def test_nothing_that_a_task_imports_is_left_to_compile(site):
    done = node(site, "-v", "-c", "import mrdl.jobs.train, mrdl.jobs.prepare, mrdl.worker.answer, mrdl.storage.hdfs.folder")
    read = [line.strip("'") for line in done.stderr.splitlines()
            if f"# code object from '{site}" in line]
    assert any("/mrdl/worker/__pycache__/answer." in line for line in read)
    assert all(line.endswith(".pyc") for line in read)


def test_the_archive_has_what_runs_and_no_more(packed):
    with tarfile.open(packed) as file:
        entries = file.getmembers()
    names = {entry.name for entry in entries}
    kernels = {name for name in names if name.startswith("mrdl/kernels/") and name.endswith(".so")}
    assert kernels == {f"mrdl/{path.relative_to(TREE)}"
                       for path in TREE.glob(f"kernels/**/*.{SOABI}.so")}
    assert {"mrdl/jobs/train.py", "mrdl/layers/core.py", "numpy/__init__.py"} < names
    assert {name.split("/")[0] for name in names} <= {
        "mrdl", "numpy", "numpy.libs", "mrjob", "safetensors", "fsspec", "hdfs_native",
        "typing_extensions.py", "__pycache__"}
    assert not [name for name in names
                if "/tests/" in name or not name.endswith((".py", ".pyc")) and ".so" not in name]
    assert {(entry.mtime, entry.uid, entry.uname) for entry in entries} == {(0, 0, "")}
    assert Path(packed).stat().st_size < 30e6


def test_a_package_of_a_form_has_an_archive_of_its_own(tmp_path):
    packed = archive.build_package(probed(sys.executable), "fastavro", cache=str(tmp_path / "cache"))
    assert archive.build_package(probed(sys.executable), "fastavro", cache=str(tmp_path / "cache")) == packed
    done = node(unpacked(packed, tmp_path), "-c", "import fastavro, sys; print(fastavro.__file__, fastavro.__cached__, 'mrdl' in sys.modules)")
    assert done.returncode == 0, done.stderr
    file, cached, other = done.stdout.split()
    assert file.startswith(str(tmp_path)) and Path(cached).exists() and other == "False"


def test_what_was_built_is_found_at_once(packed, cache):
    target = probed(sys.executable)
    before, began = os.stat(packed).st_mtime_ns, time.perf_counter()
    assert archive.build(target, cache=cache) == packed and os.stat(packed).st_mtime_ns == before
    assert time.perf_counter() - began < 0.5
    left = [name for name in os.listdir(cache) if not name.startswith("packages-")]
    assert left == [Path(packed).parent.name]


def test_the_same_content_has_the_same_name_and_bytes_wherever_it_is_built(packed, tmp_path):
    code = f"from mrdl.runners import site as archive; print(archive.build(archive.{probed(sys.executable)!r}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                          umask=0o077, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path),
                                                         "PYTHONHASHSEED": "7"})
    again = Path(done.stdout.strip())
    assert again.name == Path(packed).name and again.is_relative_to(tmp_path / "mrdl")
    assert again.read_bytes() == Path(packed).read_bytes()


def test_kernels_that_nobody_built_are_asked_for(tmp_path):
    with pytest.raises(ConfigError, match="not built for the nodes' Python 3.99 .* run `python3.99 "
                       "-m pip wheel . --no-deps -w wheels`, then give --wheels wheels") as failed:
        archive.build(UNBUILT, wheels=str(tmp_path), cache=str(tmp_path))
    assert "\n" not in str(failed.value) and not os.listdir(tmp_path)


def wheel(folder: Path, tail: bytes = b"") -> None:
    """This mrdl as a wheel for UNBUILT, `tail` at the end of its kernels' sources."""
    code, sources, kernels = archive._own_files(SOABI)
    tag = f"cp399-cp399-linux_{UNBUILT.machine}"
    about = f"mrdl-{__version__}.dist-info"
    files = {name: path.read_bytes() for name, path in code.items()}
    files |= {name: path.read_bytes() + tail for name, path in sources.items()}
    files |= {name.replace(SOABI, UNBUILT.soabi): path.read_bytes()
              for name, path in kernels.items()}
    files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: mrdl\nVersion: {__version__}\n"
    files[f"{about}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(folder / f"mrdl-{__version__}-{tag}.whl", "w") as file:
        for name, data in files.items():
            file.writestr(name, data)


def test_the_kernels_of_another_python_come_out_of_a_wheel(tmp_path):
    _, sources, kernels = archive._own_files(SOABI)
    wheel(tmp_path)
    found = archive._wheel_kernels(UNBUILT, str(tmp_path), sources, tmp_path / "out")
    assert set(found) == {name.replace(SOABI, UNBUILT.soabi) for name in kernels}


def test_a_wheel_of_other_kernels_is_refused(tmp_path):
    wheel(tmp_path, b"\n")
    with pytest.raises(ConfigError, match=r"was built from another version of mrdl \(mrdl/kernels/"):
        archive.build(UNBUILT, wheels=str(tmp_path), cache=str(tmp_path / "cache"))


def test_versions_that_a_node_lacks_give_way_to_the_newest(monkeypatch, tmp_path):
    asked, told = [], []

    def pip(target, folder, *arguments):
        asked.append(arguments)
        return "none" if any(name in argument for argument in arguments
                             for name in ("numpy==", "hdfs-native")) else ""
    monkeypatch.setattr(archive, "_pip", pip)
    archive._install(UNBUILT, ["numpy==2", "mrjob==1", "hdfs-native==3"], [], tmp_path, told.append)
    assert asked == [("numpy==2", "mrjob==1", "hdfs-native==3"), ("numpy==2",), ("numpy",),
                     ("mrjob==1",), ("hdfs-native==3",), ("hdfs-native",)]
    assert len(told) == 1 and "tasks cannot open hdfs://" in told[0]
    monkeypatch.setattr(archive, "_pip", lambda *_: "No matching distribution")
    with pytest.raises(ConfigError, match=r"no numpy for the nodes' Python 3\.99 .*: No matching"):
        archive._install(UNBUILT, ["numpy==2"], [], tmp_path, told.append)


def test_an_archive_of_another_python_says_so_in_a_line(tmp_path):
    (tmp_path / "site/mrdl/kernels").mkdir(parents=True)
    for name in "__init__.py", "safe_path.py":
        shutil.copy(TREE / "mrdl" / name, tmp_path / "site/mrdl")
    shutil.copy(TREE / "kernels/__init__.py", tmp_path / "site/mrdl/kernels")
    (tmp_path / "site/mrdl/kernels/cpu.cpython-39-x86_64-linux-gnu.so").touch()
    done = node(tmp_path / "site", "-c", "import mrdl.kernels")
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: mrdl's kernels are not built for {sys.executable} "
        f"({sys.implementation.cache_tag}, {os.uname().machine}), "
        "found: cpython-39-x86_64-linux-gnu")
