"""A realm of Kerberos with a small HDFS of its own: a KDC, a NameNode and a DataNode, each a JVM."""
import os
import subprocess
from pathlib import Path

from hadoop_cluster import ROOT, wait_for

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
    # they are superusers of HDFS, as who started the NameNode
    "hadoop.user.group.static.mapping.overrides": "alice=supergroup;yarn=supergroup;mapred=supergroup",
    # with any value a client protects data as the DataNode asks it to; the DataNode gets its value by -D
    "dfs.data.transfer.protection": "authentication",
    # without it a DataNode's web pages need a certificate; it changes nothing for the data
    "ignore.secure.ports.for.testing": "true",
    "dfs.namenode.http-address": "127.0.0.1:18070", "dfs.namenode.safemode.extension": "0",
    "dfs.datanode.address": f"127.0.0.1:{DATANODE}", "dfs.datanode.ipc.address": "127.0.0.1:18067",
    "dfs.datanode.http.address": "127.0.0.1:18064",
}


class Realm:
    """JVMs that run in `folder`, which has their settings and logs; `home`: of the cluster, whose jars they use."""

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
