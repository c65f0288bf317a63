"""Every Python that mrdl starts, started in a folder full of modules that nobody must import."""
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import sample_jobs

from mrdl import safe_path
from mrdl.runners import site
from mrdl.runners.cluster import Cluster
from mrdl.runners.hadoop import gateway, jvm

ROOT = Path(__file__).parents[2]
TRAP = "open({mark!r}, 'a').write(__file__ + '\\n')\n"
OTHERS = ("pip", "numpy", "mrjob", "fsspec", "rich", "safetensors", "jpype", "hdfs_native", "pyspark", "py4j",
          "matplotlib", "simplejson", "ujson", "yaml", "sitecustomize", "usercustomize", "test_isolation", "jobs",
          "kernels")
# what Python itself imports from the current folder for -m, before a line of ours
BEFORE = subprocess.run([sys.executable, "-I", "-c", "import importlib.util, pkgutil, runpy, sys; print(*sys.modules)"],
                        text=True, capture_output=True, check=True).stdout.split()
MODEL = """
import mrdl
from mrdl.layers import Dense
model = mrdl.Sequential([Dense(8, "tanh"), Dense(2, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
"""


@pytest.fixture
def trapped(tmp_path, monkeypatch):
    """trapped(folder=) sets traps in it and goes there; at the end none may have been executed."""
    mark = tmp_path / "executed"

    def trap(folder="traps", spared=()):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for name in {*sys.stdlib_module_names, *OTHERS}.difference(spared):
            (place / f"{name}.py").write_text(TRAP.format(mark=str(mark)))
        monkeypatch.chdir(place)
        return place

    yield trap
    assert not mark.exists(), mark.read_text()


def done(*words, **more) -> subprocess.CompletedProcess:
    found = subprocess.run(list(map(str, words)), text=True, capture_output=True, check=False,
                           env={**os.environ, "PYTHONPATH": str(ROOT), **more})
    assert found.returncode == 0, found.stderr
    return found


@pytest.mark.parametrize("command, spared", [
    ([sys.executable, Path(sys.executable).with_name("mrdl")], ()),
    ([sys.executable, "-m", "mrdl"], BEFORE),
], ids=["script", "module"])
def test_no_command_runs_what_lies_in_the_current_folder(command, spared, trapped, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60)))
    trapped(spared=spared)
    done(*command, "prepare", "../rows.csv", "../data", "--label", "y")
    Path("model.py").write_text(MODEL)
    done(*command, "train", "model.py", "../data", "../run", "--rounds", "1", "-r", "local")
    trapped("run", spared)              # a model from a stranger
    found = done(*command, "evaluate", ".", "../data", "--json")
    assert set(json.loads(found.stdout)) == {"loss", "accuracy", "report"}


@pytest.mark.parametrize("given", ["{root}:", ".:{root}", "{root}::/nowhere"])
def test_an_entry_of_the_path_that_stands_for_the_current_folder_is_left_out(given, trapped, tmp_path):
    here = trapped()
    for path in here.iterdir():         # Python, or an editable install, imports most others before a line of ours
        if path.stem not in ("json", "argparse", "mrjob"):
            path.unlink()
    code = "import sys, mrdl.runners.local.forkserver; mrdl.runners.local.forkserver.ForkServer('..').kill(); print(*sys.path)"
    (tmp_path / "mrdl").write_text(code)                    # as the command `mrdl`
    assert str(here) not in done(sys.executable, tmp_path / "mrdl",
                                 PYTHONPATH=given.format(root=ROOT)).stdout.split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", given.format(root=ROOT))
        assert {"", "."}.isdisjoint(safe_path.environment()["PYTHONPATH"].split(":"))


def test_the_folder_that_mrdl_itself_is_in_stays(monkeypatch):
    monkeypatch.chdir(ROOT)
    done(sys.executable, "-S", "-c", "import sys; from mrdl import safe_path; "
         "assert safe_path.HOME in safe_path.folders()", PYTHONPATH="")


def test_a_user_may_name_the_current_folder_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}")
    assert safe_path.environment()["PYTHONPATH"] == str(tmp_path)


def test_pip_and_the_compiler_of_the_archive_do_not(trapped, tmp_path):
    trapped()
    target = site.Target("3.11", sysconfig.get_config_var("SOABI"), "x86_64", "2.36")
    assert "nothing-of-this-name" in site._pip(target, tmp_path / "out", "--no-index", "nothing-of-this-name")
    jobs = tmp_path / "site/mrdl/jobs"
    jobs.mkdir(parents=True)
    for path in jobs / "__init__.py", jobs / "one.py":
        path.write_text("import json\n")
    site._compile(target, tmp_path / "site", ["mrdl.jobs.one"])
    assert {path.name.split(".")[0] for path in jobs.rglob("*.pyc")} == {"__init__", "one"}


def test_what_submits_jobs_does_not(trapped, tmp_path, monkeypatch):
    trapped()
    monkeypatch.setenv("HADOOP_HOME", "/nowhere")
    hadoop = gateway.Gateway(str(tmp_path))
    with pytest.raises(jvm.GatewayError, match="no Hadoop client|pip install"):
        hadoop.ready()
    hadoop.close()


def test_a_task_on_a_node_imports_the_archive_alone(trapped):
    here = trapped()
    (here / "task.py").unlink(missing_ok=True)
    for name, path in (("train.py", ROOT / "jobs/train.py"), ("site", ROOT)):
        Path(name).symlink_to(path)                         # as YARN does it
    assert "--state" in done(sys.executable, "train.py", "--step-num=0", "--mapper", "--help",
                             PYTHONPATH="site").stdout
    command, script = site.probe_command(sys.executable)
    Path("probe.py").symlink_to(script)
    site.parse_probe(done(*command.split(), PYTHONPATH="site").stdout)


@pytest.mark.hadoop
def test_nor_do_sparks_tasks(trapped, tmp_path):
    trapped()
    (tmp_path / "text").write_text("a b a\n")
    with Cluster("spark", cores=2) as cluster, cluster.run(sample_jobs.WordCount, ["../text"]) as output:
        assert sorted(output.lines(0)) == [b'"a"\t2', b'"b"\t1']
