"""What tests on a cluster share."""
import os
import time
from functools import cache
from pathlib import Path

import pytest
from realms import JARS, Realm

from mrdl.runners.cluster import Cluster
from mrdl.storage.hdfs import folder as hdfs_module
from mrdl.storage.schemes import store_at


@pytest.fixture(scope="module")
def hadoop():
    with Cluster("hadoop", wheels=os.environ.get("MRDL_WHEELS")) as cluster:
        yield cluster


@pytest.fixture
def home():
    """A folder of HDFS for one test."""
    store = store_at(f"hdfs:///tmp/test-{os.getpid()}-{time.time_ns()}")
    yield store
    store.clear("")


@pytest.fixture(scope="module")
def realm(tmp_path_factory):
    if "HADOOP_HOME" not in os.environ:
        pytest.fail("no cluster here, whose Hadoop is needed; run: make test-hadoop", pytrace=False)
    if not (JARS / "installed").exists():
        pytest.fail("no KDC here; run: make build/kdc/installed", pytrace=False)
    realm = Realm(tmp_path_factory.mktemp("realm"), Path(os.environ["HADOOP_HOME"]))
    try:
        realm.start("kdc", "minikdc.MiniKdc", ".", "kdc.properties", "keytab", "hdfs/localhost",
                    "yarn/localhost", "mapred/localhost", "alice", "carol")
        realm.wait("kdc", "Standalone MiniKdc Running")
        done = realm.start("format", "hdfs.server.namenode.NameNode", "-format").wait(60)
        assert done == 0, realm.log("format")
        realm.stop("format")
        keytab = (realm.folder / "keytab").read_bytes()
        alice, carol = keys_of(b"alice", keytab), keys_of(b"carol", keytab)
        for name, keys in {"alice": alice, "carol": carol, "stranger": carol.replace(b"carol", b"trudy"),
                           "outdated": carol.replace(b"carol", b"alice")}.items():
            (realm.folder / name).write_bytes(keys)
        realm.start("namenode", "hdfs.server.namenode.NameNode")
        realm.wait("namenode", "NameNode RPC up at")
        yield realm
    finally:
        realm.stop(*realm.running)


def keys_of(name: bytes, keytab: bytes) -> bytes:
    """A keytab of one user: of several, MIT's library would take the first."""
    kept, rest = keytab[:2], keytab[2:]
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        entry, rest = rest[:end], rest[end:]
        if name in entry:
            kept += entry
    return kept


@pytest.fixture
def become(realm, monkeypatch, tmp_path):
    """Whose keytab is found, if there are no tickets; whom one claims to be does not count."""
    def change(name: str) -> None:
        for variable, value in {
                "HADOOP_CONF_DIR": realm.folder, "HADOOP_USER_NAME": "hdfs",
                "KRB5_CONFIG": realm.folder / "krb5.conf", "KRB5CCNAME": tmp_path / "tickets",
                "KRB5_CLIENT_KTNAME": realm.folder / name}.items():
            monkeypatch.setenv(variable, str(value))
        monkeypatch.setattr(hdfs_module, "_connected", cache(hdfs_module._connected.__wrapped__))
    return change
