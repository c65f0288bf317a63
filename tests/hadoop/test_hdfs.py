"""The storage contract on a real HDFS, by each client, and what is special to it.

Run inside a cluster: hadoop-conf/cluster exec .venv/bin/python -m pytest -m hadoop tests/hadoop/test_hdfs.py"""
import errno
import os
import secrets
import subprocess
import sys
import threading
import time
from functools import cache

import pytest
from storage_contract import StorageContract

from mrdl.storage.hdfs import folder as hdfs_module
from mrdl.storage.hdfs import namenode
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def hdfs():
    """The URL of a folder for one test; not there yet."""
    if "HADOOP_CONF_DIR" not in os.environ:
        pytest.fail("no cluster here; run: hadoop-conf/cluster start && hadoop-conf/cluster exec "
                    ".venv/bin/python -m pytest -m hadoop", pytrace=False)
    url = f"hdfs:///tmp/mrdl-test-{secrets.token_hex(4)}"
    yield url
    store_at(url).clear("")


@pytest.mark.parametrize("client", ["Native", "Web"])
class TestHdfs(StorageContract):
    @pytest.fixture
    def storage(self, hdfs, client, monkeypatch):
        self.first = ""
        if client == "Web":
            monkeypatch.setitem(sys.modules, "hdfs_native", None)
            monkeypatch.setattr(hdfs_module, "_connected", cache(hdfs_module._connected.__wrapped__))
            self.first = "import sys; sys.modules['hdfs_native'] = None"
        assert type(hdfs_module._client("", hdfs)).__name__ == client
        return store_at(hdfs)

    @pytest.fixture
    def as_another(self, storage, monkeypatch):
        """Calls as a user who is not the superuser."""
        def change(name="another"):
            monkeypatch.setenv("HADOOP_USER_NAME", name)
        return change

    def test_the_url_may_name_the_namenode(self, storage):
        storage.write("x", b"y")
        default = namenode.settings(namenode.folder())["fs.defaultFS"]
        assert store_at(default + storage.root).read("x") == b"y"
        assert store_at(default).exists(f"{storage.root[1:]}/x")

    def test_a_name_service_is_served_by_the_namenode_that_lives(self, storage, tmp_path, monkeypatch):
        real = namenode.service("", namenode.settings(namenode.folder()))
        address = "dfs.namenode.{}-address.both.{}"
        values = {"fs.defaultFS": "hdfs://both", "dfs.ha.namenodes.both": "dead,alive",
                  address.format("rpc", "dead"): "127.0.0.9:8020",
                  address.format("http", "dead"): "127.0.0.9:9870",
                  address.format("rpc", "alive"): real.rpc[0],
                  address.format("http", "alive"): "${env.WEB}"}
        monkeypatch.setenv("WEB", real.web[0].removeprefix("http://"))
        (tmp_path / "hdfs-site.xml").write_text("<configuration>" + "".join(
            f"<property><name>{k}</name><value>{v}</value></property>" for k, v in values.items())
            + "</configuration>")
        monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
        for url in (storage.url, f"hdfs://both{storage.root}"):
            store = store_at(url)
            assert store.create("x", b"1") and not store.create("x", b"2") and store.read("x") == b"1"
            store.remove("x")

    def test_a_large_file_streams(self, storage, tmp_path):
        with open(tmp_path / "large", "wb") as file:
            file.writelines((b"%07d\n" % i) * (1 << 17) for i in range(150))
        done = self.child("import resource, time\n"
                          f"storage = store_at({storage.url!r})\n"
                          "storage.write('small', b''); storage.read('small')\n"
                          "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
                          "for attempt in range(30):\n"      # an earlier one's blocks go after a while
                          "    try:\n"
                          f"        storage.put('large', {str(tmp_path / 'large')!r})\n"
                          "        break\n"
                          "    except OSError:\n"
                          "        time.sleep(2)\n"
                          "with storage.open('large') as file: lines = sum(1 for line in file)\n"
                          "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
                          "print(lines, storage.size('large') >> 20, (after - before) >> 10)")
        lines, size, grown = map(int, done.communicate(timeout=120)[0].split())
        assert (lines, size) == (150 << 17, 150) and grown < 60

    def test_permission_denied_names_the_path_and_the_user(self, storage, as_another):
        storage.write("x/y", b"")
        run("hdfs", "dfs", "-chmod", "700", f"{storage.root}/x")
        as_another()
        for ask in (storage.read, storage.exists, storage.size, storage.modified, storage.remove,
                    storage.clear, lambda name: storage.write(name, b""), storage.touch,
                    lambda name: storage.create(name, b""), lambda name: storage.rename(name, "z"),
                    lambda name: storage.list(f"{name}*")):
            with pytest.raises(PermissionError, match="user=another, access=") as error:
                ask("x/y")
            assert error.value.filename.startswith(storage.url)

    def test_another_user_sees_what_the_superuser_sees(self, storage, as_another):
        run("hdfs", "dfs", "-mkdir", "-p", storage.root)
        run("hdfs", "dfs", "-chmod", "777", storage.root)
        as_another()
        storage.write("file", b"x")
        assert storage.read("file") == b"x"
        assert not storage.exists("file/below") and storage.list("file/*") == []
        assert not store_at(storage.path("file/below")).is_folder()
        with pytest.raises(NotADirectoryError, match="file/below"):
            storage.create("file/below", b"")
        owner = run("hdfs", "dfs", "-stat", "%u", f"{storage.root}/file").strip()
        assert owner == "another" and self.everything(storage) == ["file"]

    def test_a_quota_that_is_used_up_names_the_path_and_leaves_nothing(self, storage, tmp_path):
        storage.write("old", b"old")
        run("hdfs", "dfsadmin", "-setSpaceQuota", "70m", storage.root)     # a block, twice, and a bit
        (tmp_path / "big").write_bytes(bytes(40 << 20))
        began = time.monotonic()
        for change in (lambda: storage.put("old", str(tmp_path / "big")),
                       lambda: storage.create("new", bytes(40 << 20))):
            with pytest.raises(OSError, match="quota|Quota") as error:
                change()
            assert error.value.errno == errno.EDQUOT
            assert error.value.filename in (storage.path("old"), storage.path("new"))
        assert time.monotonic() - began < 20
        assert storage.read("old") == b"old" and self.everything(storage) == ["old"]

    def test_safe_mode_is_waited_out(self, storage, caplog):
        storage.write("x", b"old")
        run("hdfs", "dfsadmin", "-safemode", "enter")
        leaver = threading.Timer(2.0, run, ["hdfs", "dfsadmin", "-safemode", "leave"])
        leaver.start()
        try:
            assert storage.read("x") == b"old"
            assert storage.create("y", b"new") and storage.read("y") == b"new"
        finally:
            leaver.join()
        assert ["safe mode" in record.message for record in caplog.records] == [True]

    def test_safe_mode_that_stays_is_waited_for_once_and_reported(self, storage, monkeypatch, caplog):
        """Also by the write's own tidying up, and by whoever comes next."""
        monkeypatch.setattr(hdfs_module, "PATIENCE", 1.5)
        monkeypatch.setattr(hdfs_module, "_waits", {})
        run("hdfs", "dfsadmin", "-safemode", "enter")
        try:
            with pytest.raises(OSError, match="safe mode") as error:
                storage.write("x", b"")
            with pytest.raises(OSError, match="safe mode"):
                storage.remove("x")
        finally:
            run("hdfs", "dfsadmin", "-safemode", "leave")
        assert [record.message.rpartition("; ")[2] for record in caplog.records] == ["trying for 2 s"]
        assert error.value.filename == storage.path("x") and "\n" not in str(error.value)

    def test_a_namenode_that_is_not_there_is_one_clear_line(self, storage, client, monkeypatch):
        monkeypatch.setattr(hdfs_module, "CONNECT", 1.0)
        began = time.monotonic()
        for host, port in (("127.0.0.9:1", 1), ("no-such-host", 8020)):
            address = f"{host.partition(':')[0]}:{9870 if client == 'Web' else port}"
            with pytest.raises(OSError, match=f"no NameNode at {address} .*; check HADOOP_CONF_DIR "
                               ) as error:
                store_at(f"hdfs://{host}/x").read("y")
            assert error.value.filename == f"hdfs://{host}/x/y" and "\n" not in str(error.value)
            assert os.environ["HADOOP_CONF_DIR"] in str(error.value)
        assert time.monotonic() - began < 10
