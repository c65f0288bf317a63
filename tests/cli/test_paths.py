"""Folders and files of any name: every command takes them, or the first one refuses them in a line."""
import ast
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import MODEL, mrdl
from mrdl.jobs.train import TrainRound

from mrdl.runners.hadoop import runner as hadoop

ALL = "a #?%20;&'\"ü[x]*,{y}~$HOME\\b\nc"        # to mrjob, shells, URLs, patterns, lists


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a,b,y\n" + "".join(f"{i},{i % 5},{i % 3}\n" for i in range(60)))
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path


def test_every_command_takes_any_character(here, capsys):
    os.mkdir(ALL)
    for name in "rows.csv", "model.py":
        os.rename(name, f"{ALL}/{ALL}{name}")
    rows, model, data, run = (f"{ALL}/{name}" for name in (f"{ALL}rows.csv", f"{ALL}model.py", "data", "run"))
    for words in (["prepare", rows, data, "--label", "y"], ["describe", data],
                  ["train", model, data, run, "--rounds", "2"], ["resume", run], ["evaluate", run, data],
                  ["predict", run, data, f"{ALL}/out"], ["show", run], ["train", run, data, f"{run}2", "--rounds", "1"]):
        status, _, err = mrdl(capsys, *words)
        assert status == 0, err
    os.rename(f"{run}/finished.json", f"{run}/was")
    status, out, _ = mrdl(capsys, "show", run)
    assert status == 0 and shlex.split(out.partition("go on with: ")[2]) == ["mrdl", "resume", run]


def test_what_is_not_utf8_is_refused_by_the_first_command(here, capsys):
    os.mkdir(b"x\xff")
    os.rename("rows.csv", b"x\xff/rows\xff.csv")
    for words in (["prepare", "x\udcff/rows\udcff.csv", "data", "--label", "y"],
                  ["prepare", "x\udcff", "data", "--label", "y"], ["show", "x\udcff"]):
        status, _, err = mrdl(capsys, *words)
        assert status == 2 and "the name is not UTF-8; rename it" in err and err.count("\n") == 1
    os.rename(b"x\xff", "plain")
    status, _, err = mrdl(capsys, "prepare", "plain", "data", "--label", "y")
    assert status == 2 and "rows\\udcff.csv': the name is not UTF-8" in err
    assert sorted(os.listdir()) == ["model.py", "plain"]


def test_a_link_to_nothing_is_called_so(here, capsys):
    for name in "gone.csv", "gone":
        os.symlink("nowhere", name)
    for words in (["prepare", "gone.csv", "data", "--label", "y"], ["prepare", "go*", "data", "--label", "y"],
                  ["prepare", "rows.csv", "gone", "--label", "y"], ["train", "model.py", "gone", "run"]):
        status, _, err = mrdl(capsys, *words)
        assert status == 2 and "a link to nowhere, which is not there\n" in err and err.count("\n") == 1


def test_streaming_is_told_paths_that_it_takes_for_themselves():
    job = TrainRound(["-r", "hadoop", "--state", "hdfs:///exp #2,a/state", "--plan", "/a b#/plan", "--no-conf"])
    runner = hadoop.HadoopRunner(**{**job._runner_kwargs(), "input_paths": ["hdfs:///exp #2/[x],*/part-00000"]})
    runner.hadoop = SimpleNamespace(upload=lambda path: path, python="python3")
    arguments = runner._hadoop_streaming_jar_args(0)
    files = arguments[arguments.index("-files") + 1].split(",")
    assert {"hdfs:///exp%20%232%2Ca/state#state", "/a%20b%23/plan#plan"} <= set(files) and len(files) == 3
    assert r"hdfs:///exp #2/\[x\]{\,}\*/part-00000" in arguments


HADOOP = """
import os, sys, jpype
from urllib.parse import quote
from mrdl.runners.hadoop import connection as hadoop, jars as hadoop_jars
jpype.startJVM(classpath=hadoop_jars.class_path(), convertStrings=True)
conf = jpype.JClass("org.apache.hadoop.mapred.JobConf")()
reader = jpype.JClass("org.apache.hadoop.mapred.TextInputFormat")()
jpype.JClass("org.apache.hadoop.mapred.FileInputFormat").addInputPaths(conf, "file://" + hadoop.literal(sys.argv[1]))
reader.configure(conf)
(split,) = reader.getSplits(conf, 1)
print(ascii(str(split.getPath().toString())))
uri = jpype.JClass("java.net.URI")("file://" + quote(sys.argv[1]) + "#name")
print(ascii(str(jpype.JClass("org.apache.hadoop.fs.Path")(uri).toUri().getPath())))
"""


@pytest.mark.hadoop
def test_hadoop_finds_them_by_that(here):
    for name in ALL, "a #?%20;&'\"ü[x]xx,{y}~$HOME\\b\nc", "x":        # like the pattern, were it one
        os.mkdir(name)
        (here / name / "part").write_text("x\n")
    path = str(here / ALL / "part")
    told = subprocess.run([sys.executable, "-c", HADOOP, path], check=True, capture_output=True, text=True).stdout
    assert list(map(ast.literal_eval, told.splitlines())) == ["file:" + path, path]


@pytest.mark.hadoop                     # as its cluster does, it takes a namespace
@pytest.mark.parametrize("runner", ["inline", "local"])
def test_a_full_temporary_folder_is_told_in_a_line(here, runner):
    (here / "rows.csv").write_text("a,y\n" + "".join(f"{i}.5,{i % 3}\n" for i in range(20000)))
    (here / "small").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs small && exec "$@"', "sh", sys.executable, "-m",
         "mrdl", "prepare", "rows.csv", "data", "--label", "y", "-r", runner], text=True, capture_output=True, check=False,
        env={**os.environ, "TMPDIR": str(here / "small"), "PYTHONPATH": str(Path(hadoop.__file__).parents[3])})
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2, f"mrdl: {here}/small: No space left on device; set TMPDIR to another folder for temporary files")
