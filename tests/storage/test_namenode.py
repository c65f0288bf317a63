"""Hadoop's settings files in, addresses out."""
import pytest

from mrdl.storage.hdfs.namenode import folder, service, settings

HA = {"fs.defaultFS": "hdfs://prod", "dfs.nameservices": "prod", "dfs.ha.namenodes.prod": "nn1, nn2",
      "dfs.namenode.rpc-address.prod.nn1": "m1:8020", "dfs.namenode.rpc-address.prod.nn2": "m2",
      "dfs.namenode.http-address.prod.nn1": "0.0.0.0:50070"}


def written(path, **files):
    for name, values in files.items():
        properties = "".join(f"<property><name>{k}</name><value>{v}</value></property>"
                             for k, v in values.items())
        (path / f"{name}-site.xml").write_text(
            f"<?xml version='1.0'?><!-- x --><configuration>{properties}</configuration>")
    return str(path)


def test_settings_are_filled_in_as_hadoop_does(tmp_path, monkeypatch):
    monkeypatch.setenv("SET", "value")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)
    found = settings(written(tmp_path, core={
        "a": "${env.SET}/x", "b": "${env.UNSET-d-e}", "c": "${env.UNSET:-d}", "d": "[${env.EMPTY-d}]",
        "e": "[${env.EMPTY:-d}]", "f": "${env.UNSET}", "g": "${h}", "h": "${i}!", "none": "${no.such}",
        "loop": "${loop}", "i": "core", "dash-ed": "1", "j": "${dash-ed}"}, hdfs={"i": "hdfs"}))
    assert {k: found[k] for k in "abcdefghij"} == {
        "a": "value/x", "b": "d-e", "c": "d", "d": "[]", "e": "[d]", "f": "${env.UNSET}",
        "g": "hdfs!", "h": "hdfs!", "i": "hdfs", "j": "1"}
    assert found["none"] == "${no.such}" and found["loop"] == "${loop}"


def test_files_that_are_no_xml_are_named_and_missing_ones_are_none(tmp_path):
    assert set(settings(str(tmp_path))) == {"user.name"}
    (tmp_path / "core-site.xml").write_text("<configuration>")
    with pytest.raises(OSError, match="core-site.xml is no XML"):
        settings(str(tmp_path))


def test_the_folder_is_the_one_hadoop_takes(monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", "/c")
    monkeypatch.setenv("HADOOP_HOME", "/h")
    assert folder() == "/c"
    monkeypatch.delenv("HADOOP_CONF_DIR")
    assert folder() == "/h/etc/hadoop"
    monkeypatch.delenv("HADOOP_HOME")
    assert folder() == "/etc/hadoop/conf"


@pytest.mark.parametrize("host, found, expected", [
    ("", {"fs.defaultFS": "hdfs://m:9000/"}, ("m:9000", ["m:9000"], ["http://m:9870"])),
    ("m", {}, ("m:8020", ["m:8020"], ["http://m:9870"])),
    ("m:1", {}, ("m:1", ["m:1"], ["http://m:9870"])),
    ("", {"fs.defaultFS": "hdfs://m", "dfs.namenode.http-address": "w:1"},
     ("m:8020", ["m:8020"], ["http://w:1"])),
    ("other", {"fs.defaultFS": "hdfs://m", "dfs.namenode.http-address": "w:1"},
     ("other:8020", ["other:8020"], ["http://other:9870"])),
    ("", {"fs.defaultFS": "hdfs://m", "dfs.http.policy": "HTTPS_ONLY",
          "dfs.namenode.https-address": "0.0.0.0:9999"}, ("m:8020", ["m:8020"], ["https://m:9999"])),
    ("", HA, ("prod", ["m1:8020", "m2:8020"], ["http://m1:50070", "http://m2:9870"])),
    ("fed", {"dfs.namenode.rpc-address.fed": "f:9"}, ("f:9", ["f:9"], ["http://f:9870"])),
])
def test_a_host_is_a_namenode_or_a_name_service(host, found, expected):
    assert tuple(service(host, found)) == expected


@pytest.mark.parametrize("found", [{}, {"fs.defaultFS": "file:///"}, {"fs.defaultFS": "s3a://b"}])
def test_without_a_default_hdfs_the_url_must_name_one(found):
    with pytest.raises(OSError, match="no default HDFS.*HADOOP_CONF_DIR"):
        service("", found)
