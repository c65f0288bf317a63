"""The contract on local disks, and what is special to them."""
import os
import resource
import sys
from pathlib import Path

import pytest
from storage_contract import StorageContract

from mrdl.storage.schemes import store_at


@pytest.fixture
def storage(tmp_path):
    return store_at(str(tmp_path / "run"))


class TestLocal(StorageContract):
    def test_a_full_disk_is_an_error_with_the_path_and_leaves_the_old_bytes(self, storage):
        storage.write("state", b"old")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(OSError, match="run/state"):
                storage.write("state", bytes(5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert storage.read("state") == b"old" and os.listdir(storage.url) == ["state"]

    def test_permission_denied_is_an_error_with_the_path(self, tmp_path):
        folder = tmp_path / "closed"
        folder.mkdir()
        folder.chmod(0o500)
        done = self.child("import os, mrdl.storage.local; os.geteuid() or os.setuid(65534)\n"   # nothing is denied to root
                          f"try: store_at({str(folder)!r}).write('state', b'')\n"
                          "except PermissionError as error: print(error.filename)")
        assert done.communicate()[0].strip().startswith(str(tmp_path))


def test_a_file_url_is_its_path(tmp_path):
    assert store_at(f"file://{tmp_path}").url == str(tmp_path) == store_at(tmp_path).url


@pytest.mark.parametrize("url, scheme", [("s3://bucket/run", "s3"), ("s3a://b", "s3a"),
                                         ("gs-x+y.z://b/r", "gs-x+y.z"), ("HTTP://h/r", "HTTP")])
def test_another_scheme_is_refused_by_name(url, scheme):
    with pytest.raises(ValueError, match="can read local paths and hdfs://, but not") as error:
        store_at(url)
    assert str(error.value).endswith(f"not {scheme}://")


@pytest.mark.parametrize("given, url, name", [
    ("hdfs:///a/b", "hdfs:///a/b", "hdfs:///a/b/c"), ("hdfs:/a", "hdfs:///a", "hdfs:///a/c"),
    (Path("hdfs:///a/b"), "hdfs:///a/b", "hdfs:///a/b/c"),
    ("hdfs://nn:8020/a//b/", "hdfs://nn:8020/a/b", "hdfs://nn:8020/a/b/c"),
    ("hdfs://ns", "hdfs://ns/", "hdfs://ns/c"), ("hdfs://", "hdfs:///", "hdfs:///c"),
    ("hdfs://ns/a/./b/../d", "hdfs://ns/a/d", "hdfs://ns/a/d/c"),
    ("hdfs:///a%20b?c#d e", "hdfs:///a%20b?c#d e", "hdfs:///a%20b?c#d e/c"),
])
def test_a_url_of_hdfs_has_one_form(given, url, name):
    assert store_at(given).url == url and store_at(given).path("c") == name
    assert store_at(url).url == url


def test_a_relative_path_of_hdfs_is_refused():
    with pytest.raises(ValueError, match="hdfs:data/train: a path on HDFS must be absolute"):
        store_at("hdfs:data/train")


def test_hdfs_without_a_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hdfs_native", None)
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(OSError, match=r"pip install hdfs-native jpype1.*hdfs://localhost:1/x"):
        store_at("hdfs://localhost:1").exists("x")
