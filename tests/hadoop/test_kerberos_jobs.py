"""Jobs where Hadoop wants Kerberos: the HDFS of tests/hadoop/test_kerberos.py, a ResourceManager, a NodeManager and a
JobHistoryServer. make test-hadoop."""
import os
import sys
import zipfile
from pathlib import Path

import pytest
from hadoop_runs import far_copy, train
from processes import result
from realms import REALM

from mrdl.runs.run import Run
from mrdl.storage.schemes import store_at

pytestmark = pytest.mark.hadoop

KRB5 = "-Djava.security.krb5.conf={folder}/krb5.conf"
# the cluster's own settings, and what differs
SETTINGS = {
    "yarn": {
        # the cluster's are at other addresses
        "yarn.resourcemanager.hostname": "127.0.0.2", "yarn.nodemanager.hostname": "127.0.0.1",
        "yarn.nodemanager.local-dirs": "{folder}/local", "yarn.nodemanager.log-dirs": "{folder}/containers",
        "yarn.resourcemanager.recovery.enabled": "false", "yarn.nodemanager.recovery.enabled": "false",
        "yarn.node-labels.enabled": "false",
        "yarn.node-attribute.fs-store.root-dir": "file://{folder}/attributes",
        "yarn.resourcemanager.principal": f"yarn/localhost@{REALM}",
        "yarn.resourcemanager.keytab": "{folder}/keytab",
        "yarn.nodemanager.principal": f"yarn/localhost@{REALM}", "yarn.nodemanager.keytab": "{folder}/keytab",
        # a task finds a Kerberos library there, and it is broken
        "yarn.nodemanager.admin-env": "PATH=$PATH,LD_LIBRARY_PATH={folder}/broken",
        "yarn.log.server.url": "http://127.0.0.2:19888/jobhistory/logs",
    },
    "mapred": {
        "mapreduce.shuffle.port": "18562",
        "mapreduce.jobhistory.address": "127.0.0.2:10020",
        "mapreduce.jobhistory.webapp.address": "127.0.0.2:19888",
        "mapreduce.jobhistory.admin.address": "127.0.0.2:10033",
        "mapreduce.jobhistory.principal": f"mapred/localhost@{REALM}",
        "mapreduce.jobhistory.keytab": "{folder}/keytab",
    },
}


def without_owners(jar: Path, folder: Path) -> None:
    """Puts a class of Hadoop's into the folder, changed in one word. Where security is on, a NodeManager asks
    Hadoop's C library, which is in no jar, whether a file is its user's before it serves it; by the changed
    class, only where its login is by a ticket, and a NodeManager's is by a keytab."""
    name = "org/apache/hadoop/io/SecureIOUtils.class"
    old, new = b"\0\x11isSecurityEnabled", b"\0\x12isLoginTicketBased"     # with their lengths
    with zipfile.ZipFile(jar) as classes:
        code = classes.read(name)
    assert code.count(old) == 1
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(code.replace(old, new))


@pytest.fixture(scope="module")
def yarn(realm):
    folder, home = realm.folder, realm.home
    for kind, settings in SETTINGS.items():
        own = "".join(f"<property><name>{name}</name><value>{value.format(folder=folder)}</value></property>"
                      for name, value in settings.items())
        text = (home / "etc" / "hadoop" / f"{kind}-site.xml").read_text()
        (folder / f"{kind}-site.xml").write_text(text.replace("</configuration>", own + "</configuration>"))
    (folder / "capacity-scheduler.xml").write_text(
        (home / "etc" / "hadoop" / "capacity-scheduler.xml").read_text())
    for kind in ("core", "hdfs"):           # by its name, as on a cluster; tokens have its address
        path = folder / f"{kind}-site.xml"
        path.write_text(path.read_text().replace("hdfs://127.0.0.1:", "hdfs://localhost:"))
    realm.start("datanode", "hdfs.server.datanode.DataNode")
    realm.wait("datanode", "Successfully sent block report")
    realm.start("resourcemanager", "yarn.server.resourcemanager.ResourceManager")
    realm.start("historyserver", "mapreduce.v2.hs.JobHistoryServer")
    krb5 = KRB5.format(folder=folder)
    # what the client and the nodes have: Java knows no KRB5_CONFIG
    task = os.environ["MRDL_TASK_JVM"].replace(os.environ["HADOOP_CONF_DIR"], str(folder))
    realm.env = {"HADOOP_CONF_DIR": str(folder), "HADOOP_OPTS": krb5, "MRDL_TASK_JVM": f"{task} {krb5}"}
    (folder / "broken").mkdir()
    (folder / "broken" / "libgssapi_krb5.so.2").touch()
    (jar,) = (home / "lib").glob("hadoop-common-*.jar")
    without_owners(jar, folder / "classes")
    realm.start("nodemanager", "yarn.server.nodemanager.NodeManager", first=f"{folder}/classes:", env={
        **os.environ, **realm.env, "PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin"})
    realm.wait("historyserver", "IPC Server listener on 10020")
    realm.wait("resourcemanager", "registered with capability")
    yield realm


def test_plain_and_resident_rounds_give_the_same_bits(yarn, become, made, monkeypatch, tmp_path):
    """By the driver's keytab; and in tasks by the job's tokens alone, for there is no Kerberos library."""
    become("alice")
    for variable, value in {**yarn.env, "HADOOP_USER_NAME": "alice"}.items():
        monkeypatch.setenv(variable, value)
    data, home = made(160, shards=2, dtype="float32"), store_at("hdfs:///work")
    far = far_copy(data, home)
    (tmp_path / "tickets").unlink()         # of this process
    for url, run, options in ((data.url, str(tmp_path / "near"), ("-r", "inline")),
                              (far, home.path("run"), ("--resident", "auto"))):
        process = train(tmp_path, url, run, *options)
        _, told = process.communicate(timeout=180)
        assert process.returncode == 0 and "warning" not in told, told
    assert result(home.path("run")) == result(str(tmp_path / "near"))
    records = Run(home.path("run")).records()
    assert ["wait" in records[r]["by_worker"][0] for r in (1, 2, 3)] == [False, True, True]
