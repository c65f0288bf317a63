"""Where the jars of a Hadoop client are looked for, as tarballs and packages lay them out."""
import os
import subprocess
from pathlib import Path

import pytest

from mrdl.runners.hadoop import jars as hadoop_jars
from mrdl.runners.hadoop.gateway import Gateway
from mrdl.runners.hadoop.jars import class_path, streaming_jar


@pytest.fixture
def laid_out(tmp_path, monkeypatch):
    """laid_out(class path, *files) -> a Hadoop's folder with these files, whose `hadoop classpath` says the first; H in it
    is the folder."""
    def make(path, *files):
        home = tmp_path / "hadoop-3.4.1"
        for name in ("bin/hadoop", *files):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).touch()
        (home / "bin" / "hadoop").write_text(f"#!/bin/sh\necho '{path.replace('H', str(home))}'\n")
        (home / "bin" / "hadoop").chmod(0o755)
        return home
    for name in hadoop_jars.HOMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hadoop_jars, "PACKAGES", (str(tmp_path / "usr/lib/hadoop-mapreduce"),))
    return make


STOCK = "H/etc/hadoop:H/share/hadoop/common/lib/*:H/share/hadoop/common/*:H/share/hadoop/mapreduce/*"
TOOLS = "share/hadoop/tools/lib/"


def test_a_tarballs_streaming_jar_lies_among_its_tools_and_goes_on_the_class_path(laid_out, monkeypatch):
    home = laid_out(STOCK, TOOLS + "hadoop-streaming-3.4.1-sources.jar", TOOLS + "hadoop-streaming-3.4.1.jar")
    jar = str(home / TOOLS / "hadoop-streaming-3.4.1.jar")
    monkeypatch.setenv("HADOOP_HOME", str(home))
    assert streaming_jar() == jar
    assert class_path() == [*STOCK.replace("H", str(home)).split(":"), jar]


def test_it_is_found_by_a_link_to_the_command(laid_out, tmp_path, monkeypatch):
    home = laid_out("/etc/hadoop:/elsewhere/*", TOOLS + "hadoop-streaming-3.4.1.jar")
    (tmp_path / "bin").mkdir()
    os.symlink(home / "bin" / "hadoop", tmp_path / "bin" / "hadoop")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert streaming_jar() == str(home / TOOLS / "hadoop-streaming-3.4.1.jar")


@pytest.mark.parametrize("entry", ["H/.//*", "H/*", "H/hadoop-streaming.jar"])
def test_one_on_the_class_path_stays_as_it_is(laid_out, monkeypatch, entry):
    home = laid_out("/etc/hadoop/conf:" + entry, "hadoop-streaming.jar", "hadoop-streaming-3.3.6-amzn-4.jar")
    monkeypatch.setenv("HADOOP_HOME", str(home))
    assert class_path() == ["/etc/hadoop/conf", entry.replace("H", str(home))]


def test_packages_have_it_in_a_folder_of_their_own(laid_out, monkeypatch):
    monkeypatch.setenv("HADOOP_HOME", str(laid_out("/etc/hadoop/conf:/usr/lib/hadoop/.//*")))
    folder = Path(hadoop_jars.PACKAGES[0])
    folder.mkdir(parents=True)
    (folder / "hadoop-streaming.jar").touch()
    assert streaming_jar() == class_path()[-1] == str(folder / "hadoop-streaming.jar")


def test_where_it_lies_nowhere_one_line_says_so(laid_out, monkeypatch):
    monkeypatch.setenv("HADOOP_HOME", str(laid_out(STOCK, TOOLS + "hadoop-streaming-3.4.1-sources.jar")))
    with pytest.raises(OSError, match=r"^Hadoop's client has no hadoop-streaming jar, .*export HADOOP_CLASSPATH=\S+$"):
        streaming_jar()


@pytest.mark.hadoop
def test_jobs_are_submitted_by_a_client_that_is_laid_out_as_a_tarball(laid_out, tmp_path, monkeypatch):
    told = subprocess.run(["hadoop", "classpath", "--glob"], check=True, capture_output=True, text=True).stdout
    jars = [path for path in map(Path, told.strip().split(":")) if path.suffix == ".jar"]
    home = laid_out(STOCK)
    for jar in jars:
        folder = home / (TOOLS if jar.name.startswith("hadoop-streaming") else "share/hadoop/common/lib")
        folder.mkdir(parents=True, exist_ok=True)
        os.symlink(jar, folder / jar.name)
    monkeypatch.setenv("HADOOP_HOME", str(home))
    gateway = Gateway(str(tmp_path))
    try:
        gateway.ready()
    finally:
        gateway.close()
