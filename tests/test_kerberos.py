"""The storage door on an HDFS that wants Kerberos: a KDC, a NameNode and a DataNode of its own.

Inside a cluster, whose Hadoop they run: make test-hadoop; or make build/kdc/installed, and then
hadoop-conf/cluster exec .venv/bin/python -m pytest -m hadoop tests/test_kerberos.py"""
import os
import re
import socket
import struct
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from hadoop_cluster import ROOT, wait_for

from mrdl.storage.hdfs import folder as hdfs_module
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop

JARS = ROOT / "build" / "kdc"
REALM, KDC, NAMENODE, DATANODE = "MRDL.TEST", 18088, 18020, 18066       # the cluster has none of these
SETTINGS = {
    "fs.defaultFS": f"hdfs://127.0.0.1:{NAMENODE}", "hadoop.tmp.dir": "{folder}",
    "hadoop.security.authentication": "kerberos", "hadoop.security.authorization": "true",
    "hadoop.rpc.protection": "privacy", "ipc.client.connect.retry.interval": "200",
    "dfs.namenode.kerberos.principal": f"hdfs/localhost@{REALM}",
    "dfs.namenode.keytab.file": "{folder}/keytab",
    "dfs.datanode.kerberos.principal": f"hdfs/localhost@{REALM}",
    "dfs.datanode.keytab.file": "{folder}/keytab",
    "dfs.block.access.token.enable": "true", "dfs.replication": "1",
    # / is theirs
    "hadoop.user.group.static.mapping.overrides": "alice=supergroup;yarn=supergroup;mapred=supergroup",
    # any value makes a client protect data as the DataNode asks; that has its own by -D
    "dfs.data.transfer.protection": "authentication",
    # else its web pages would need a certificate; that data is protected does not hang on it
    "ignore.secure.ports.for.testing": "true",
    "dfs.namenode.http-address": "127.0.0.1:18070", "dfs.namenode.safemode.extension": "0",
    "dfs.datanode.address": f"127.0.0.1:{DATANODE}", "dfs.datanode.ipc.address": "127.0.0.1:18067",
    "dfs.datanode.http.address": "127.0.0.1:18064",
}
# of a DataNode: what SASL calls its protection, and a cipher; without one, privacy is by 3DES
PROTECTIONS = {"authentication": ("auth", ""), "integrity": ("auth-int", ""),
               "privacy": ("auth-conf", ""), "privacy-aes": ("auth-conf", "AES/CTR/NoPadding")}


class Realm:
    """JVMs in a folder, which has their settings and logs."""

    def __init__(self, folder: Path, home: Path):
        self.folder, self.home, self.running = folder, home, {}
        self.jars, _, self.pages = (home / "etc" / "classpath").read_text().split(":")
        for kind in ("core", "hdfs"):       # the defaults of HDFS win over core-site.xml
            (folder / f"{kind}-site.xml").write_text("<configuration>" + "".join(
                f"<property><name>{name}</name><value>{value.format(folder=folder)}</value></property>"
                for name, value in SETTINGS.items()) + "</configuration>")
        (folder / "log4j.properties").write_text(
            (home / "etc" / "hadoop" / "log4j.properties").read_text()
            + "log4j.logger.org.apache.hadoop.hdfs.protocol.datatransfer.sasl=DEBUG\n")
        (folder / "krb5.conf").write_text(
            f"[libdefaults]\ndefault_realm = {REALM}\nudp_preference_limit = 1\nrdns = false\n"
            f"dns_canonicalize_hostname = false\n[realms]\n{REALM} = {{\nkdc = 127.0.0.1:{KDC}\n}}\n")
        (folder / "kdc.properties").write_text(
            f"org.name=MRDL\norg.domain=TEST\nkdc.bind.address=127.0.0.1\nkdc.port={KDC}\n")

    def start(self, name: str, main: str, *arguments: str, first: str = "", env=None) -> subprocess.Popen:
        path = f"{JARS}/*" if name == "kdc" else f"{self.folder}:{self.pages}"
        with open(self.folder / f"{name}.log", "w") as log:
            self.running[name] = subprocess.Popen(
                [f"{os.environ['JAVA_HOME']}/bin/java", f"@{self.home}/etc/jvm", "-Xmx160m",
                 f"-Djava.security.krb5.conf={self.folder}/krb5.conf",
                 "-cp", f"{first}{self.jars}:{path}", f"org.apache.hadoop.{main}", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=env)
        return self.running[name]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def wait(self, name: str, words: str) -> None:
        """Until a log has the words; all that was started must live."""
        def said() -> bool:
            for other, process in self.running.items():
                assert process.poll() is None, f"{other} ended: {self.log(other)[-3000:]}"
            return words in self.log(name)
        wait_for(said, 60)

    def stop(self, *names: str) -> None:
        for name in names:
            process = self.running.pop(name)
            process.kill()
            process.wait()


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
