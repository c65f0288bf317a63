"""The storage door on an HDFS that wants Kerberos: a KDC, a NameNode and a DataNode of its own.

Inside a cluster, whose Hadoop they run: make test-hadoop; or make build/kdc/installed, and then
hadoop-conf/cluster exec .venv/bin/python -m pytest -m hadoop tests/hadoop/test_kerberos.py"""
import os
import re
import socket
import struct
import subprocess
import sys
import time

import pytest
from realms import DATANODE

from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop

# of a DataNode: what SASL calls its protection, and a cipher; without one, privacy is by 3DES
PROTECTIONS = {"authentication": ("auth", ""), "integrity": ("auth-int", ""),
               "privacy": ("auth-conf", ""), "privacy-aes": ("auth-conf", "AES/CTR/NoPadding")}


@pytest.fixture(scope="module", params=PROTECTIONS)
def datanode(request, realm):
    """The name of a DataNode, which is how it protects what goes over the wire."""
    name = request.param
    realm.start(name, "hdfs.server.datanode.DataNode",
                "-D", f"dfs.data.transfer.protection={name.removesuffix('-aes')}",
                "-D", f"dfs.encrypt.data.transfer.cipher.suites={PROTECTIONS[name][1]}")
    realm.wait(name, "Successfully sent block report")
    yield name
    realm.stop(name)


def test_a_keytab_opens_the_door_and_data_is_protected(realm, datanode, become):
    become("alice")
    storage, data = store_at(f"hdfs:///{datanode}"), os.urandom(2 << 20)
    storage.write("rounds/large", data)         # 32 packets
    assert storage.read("rounds/large") == data and storage.size("rounds/large") == len(data)
    with storage.open("rounds/large") as file:
        assert file.seek(1_500_000) and file.read(5) == data[1_500_000:1_500_005]
    assert storage.create("lease", b"mine") and not storage.create("lease", b"not mine")
    assert storage.read("lease") == b"mine"
    assert storage.rename("rounds/large", "state") and not storage.rename("rounds/large", "state")
    assert storage.list("**") == ["lease", "rounds", "state"] and storage.read("state") == data
    log, (level, cipher) = realm.log(datanode), PROTECTIONS[datanode]
    assert set(re.findall(r"negotiated QOP = (\S+)", log)) == {level}
    assert set(re.findall(r"using cipher suite (\S+)", log)) == ({cipher} if cipher else set())


def test_the_datanode_refuses_what_is_not_protected(realm, datanode):
    with socket.create_connection(("127.0.0.1", DATANODE), timeout=10) as plain:
        plain.sendall(b"\0\x1cQ\0")             # version 28, read a block
        assert plain.recv(1) == b""
    assert "Failed to read expected SASL data transfer protection handshake" in realm.log(datanode)


def test_another_keytab_is_another_user(become):
    become("carol")
    with pytest.raises(PermissionError, match="user=carol, access=WRITE") as error:
        store_at("hdfs:///").write("x", b"")
    assert error.value.filename == "hdfs:///x"


def test_a_ticket_is_enough_until_it_expires_and_a_keytab_gets_another(become, tmp_path):
    """It lies where kinit leaves it: MIT's library puts there what it got by a keytab."""
    become("alice")
    assert not store_at("hdfs:///").exists("x")
    become("nobody")
    assert not store_at("hdfs:///").exists("x")
    (tmp_path / "tickets").write_bytes(aged((tmp_path / "tickets").read_bytes()))
    become("nobody")
    with pytest.raises(PermissionError, match="Kerberos: Ticket expired; run kinit, or name a keytab"):
        store_at("hdfs:///").exists("x")
    become("alice")
    assert not store_at("hdfs:///").exists("x")


def aged(tickets: bytes) -> bytes:
    """Tickets of two days ago. Each has four times: of login, its begin, its end, and of renewal."""
    old, day, now = bytearray(tickets), 86_400, time.time()
    for at in range(len(old) - 16):
        login, begin, end, _ = struct.unpack_from(">4I", tickets, at)
        if now - day < login <= begin < now + 60 < end < now + 2 * day:
            struct.pack_into(">4I", old, at, login - 2 * day, begin - 2 * day, end - 2 * day, 0)
    return bytes(old)


@pytest.mark.parametrize("keytab, why", [
    ("nobody", "No Kerberos credentials available"), ("outdated", "Decrypt integrity check failed"),
    ("stranger", "Client 'trudy@MRDL.TEST' not found in Kerberos database")])
def test_without_credentials_one_line_says_what_to_do(become, keytab, why):
    become(keytab)
    storage = store_at("hdfs:///data")
    for ask in (storage.list, lambda: storage.exists("x"), lambda: storage.read("x"),
                lambda: storage.create("x", b""), lambda: storage.rename("x", "y")):
        with pytest.raises(PermissionError, match=f"Kerberos: {why}.*; run kinit, or name a keytab "
                           "in KRB5_CLIENT_KTNAME: 'hdfs:///data") as error:
            ask()
        assert "\n" not in str(error.value)


def test_a_task_without_a_token_says_what_to_set(become, monkeypatch, tmp_path):
    become("nobody")
    (tmp_path / "tokens").write_bytes(b"HDTS\0\0")      # none
    monkeypatch.setenv("HADOOP_TOKEN_FILE_LOCATION", str(tmp_path / "tokens"))
    with pytest.raises(PermissionError, match="; name this NameNode in -D mapreduce.job.hdfs-servers: 'hdfs:"):
        store_at("hdfs:///").exists("x")


def test_without_a_library_one_line_says_what_to_install(become, monkeypatch, tmp_path):
    become("alice")
    (tmp_path / "libgssapi_krb5.so.2").touch()
    code = "from mrdl.storage.schemes import store_at; store_at('hdfs:///').exists('x')"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False,
                          env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
    assert re.search("PermissionError: .*: install libgssapi-krb5-2 .*: 'hdfs:///x'$", done.stderr)
    monkeypatch.setitem(sys.modules, "hdfs_native", None)
    with pytest.raises(PermissionError, match="wants Kerberos: pip install hdfs-native: 'hdfs:///x'"):
        store_at("hdfs:///").exists("x")
