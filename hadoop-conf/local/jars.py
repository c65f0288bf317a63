"""Hadoop's jars from Maven, an archive of their classes, a folder like that of a stock Hadoop."""
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from local.namespaces import need
from local.places import APACHE, COMMAND, CONF, DATA, ETC, HOME, LIB, LOGS, Failed

ARCHIVE, ALL = LIB / "hadoop.jsa", LIB / "classpath-of-all.jar"
NONE = LIB / "no-hadoop.jsa"        # an archive could not be made: that is not tried at every start
LISTS = os.environ.get("MRDL_CLASS_LISTS")      # set while install finds out what is loaded
# Folders come last: before the jars they would make the archive useless, without a word.
CLASS_PATH = f"{ALL}:{ETC}/hadoop:{ETC}/classes"

# What Hadoop opens by reflection since Java 17; the stock scripts pass the same list.
OPENS = ["java.io", "java.lang", "java.lang.reflect", "java.math", "java.net", "java.text",
         "java.util", "java.util.concurrent", "java.util.zip", "sun.security.util",
         "sun.security.x509", "sun.nio.ch"]
# For small heaps and short lives: the serial collector and the first compiler start fastest.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xss512k",
       "-Djava.net.preferIPv4Stack=true", f"-Djava.io.tmpdir={DATA}/tmp",
       f"-Dhadoop.home.dir={HOME}", f"-Dhadoop.log.dir={LOGS}",
       *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENS)]


def java_home() -> Path:
    named = os.environ.get("JAVA_HOME")
    if not named:
        java = Path(need("java", "Java 17 (openjdk-17-jre-headless)"))
    elif not (java := Path(named, "bin", "java")).exists():
        raise Failed(f"JAVA_HOME={named} has no bin/java: unset it, or install Java 17 there")
    home = java.resolve().parent.parent
    with contextlib.suppress(OSError):
        found = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text())
        if found and not 11 <= int(found[1]) <= 21:
            raise Failed(f"{home} is Java {found[1]}, Hadoop 3.4 needs 11 to 21: install Java 17 "
                         "and set JAVA_HOME")
    return home


@contextlib.contextmanager
def locked(folder: Path):
    """One command at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stamp() -> str:
    """What the jars and the archive were made from."""
    parts = [(CONF / "pom.xml").read_bytes(), str(java_home()).encode(), str(LIB).encode()]
    with contextlib.suppress(OSError):
        parts.append((java_home() / "release").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def fetched() -> bool:
    done = LIB / "installed"
    return done.exists() and done.read_text() == stamp()


def made() -> bool:
    return ARCHIVE.exists() and ARCHIVE.stat().st_size > 0


def install(again: bool = False) -> None:
    """Fetches and makes what is not there. `again`: also an archive that could not be made."""
    def whole() -> bool:
        return fetched() and (made() or bool(LISTS) or NONE.exists() and not again)
    if whole():
        return
    with locked(LIB):
        if not fetched():
            fetch()
        if not whole():
            make_archive()


def fetch() -> None:
    maven = need("mvn", "Maven (maven)")
    print("fetching Hadoop's jars by Maven", file=sys.stderr, flush=True)
    new = LIB / "new"
    shutil.rmtree(new, ignore_errors=True)
    done = subprocess.run(
        [maven, "-q", "-f", CONF / "pom.xml", "dependency:copy-dependencies",
         f"-DoutputDirectory={new}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False)
    if done.returncode:
        told = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["it said nothing"]
        raise Failed(f"mvn ended with status {done.returncode}: {told[0]}", 1)
    names = sorted(path.name for path in new.glob("*.jar"))
    for name in names:              # another cluster may be running from the old ones
        (new / name).replace(LIB / name)
    new.rmdir()
    for old in LIB.glob("*.jar"):
        if old.name not in names:
            old.unlink()
    ARCHIVE.unlink(missing_ok=True)
    NONE.unlink(missing_ok=True)
    write_path_jar(names)
    (LIB / "installed").write_text(stamp())


def write_path_jar(names: list[str]) -> None:
    """One jar that stands for all: a class path of one entry, to which an archive can be bound."""
    text, lines = "Class-Path: " + " ".join(names), ["Manifest-Version: 1.0"]
    while text:
        lines.append(text[:70])
        text = text[70:] and " " + text[70:]
    with zipfile.ZipFile(ALL, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "\r\n".join([*lines, "", ""]))


def make_archive() -> None:
    """Writes down which classes a cluster and a job load, in a run of their own, and dumps them,
    parsed and checked, into a file that every later JVM maps.

    A failure costs speed only, so it is said and no more."""
    print("preparing an archive of the classes, once; it takes a minute", file=sys.stderr,
          flush=True)
    home, log = LIB / "training", LIB / "training.log"
    env = {**os.environ, "MRDL_HADOOP": str(home), "MRDL_HADOOP_LIB": str(LIB),
           "MRDL_CLASS_LISTS": str(home / "lists")}
    shutil.rmtree(home, ignore_errors=True)
    (home / "lists").mkdir(parents=True)
    job = ("hadoop fs -put $HADOOP_CONF_DIR/*-site.xml /tmp && hadoop fs -ls /tmp && "
           "mapred streaming -D mapreduce.job.reduces=1 "
           "-input /tmp/core-site.xml,/tmp/yarn-site.xml -output /tmp/out -mapper cat -reducer cat && hadoop fs -cat /tmp/out/part-00000 && "
           "hadoop fs -rm -r /tmp/out")
    with open(log, "w") as out:
        def run(*command):
            return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, check=False).returncode == 0

        done = run(COMMAND, "start") and run(COMMAND, "exec", "sh", "-c", job)
        done = run(COMMAND, "stop") and done
        if done:
            merge_lists(home / "lists", LIB / "classes.lst")
            done = dump(run)
    if done:
        NONE.unlink(missing_ok=True)
        shutil.rmtree(home)
    else:
        NONE.touch()
        print(f"cluster: no archive of the classes could be made (see {log}): Hadoop starts slower, and is the "
              "same otherwise; hadoop-conf/cluster install tries again", file=sys.stderr, flush=True)


def dump(run: Callable[..., bool]) -> bool:
    """Makes the archive of the classes in classes.lst; `run` runs a command, and says whether it went well.

    It is written aside: what a kill cuts off must not pass for an archive."""
    java, new = java_home() / "bin" / "java", LIB / "hadoop.jsa.new"
    new.unlink(missing_ok=True)
    # auto passes over an archive that does not fit, and is slower then; on refuses
    done = run(java, "-XX:+UseSerialGC", "-Xshare:dump", f"-XX:SharedArchiveFile={new}",
               f"-XX:SharedClassListFile={LIB}/classes.lst", "-cp", ALL) and run(
        java, *JVM, *using(new), "-Xshare:on", "-cp", CLASS_PATH, APACHE + "util.VersionInfo")
    if done:
        new.replace(ARCHIVE)
    return done


def merge_lists(folder: Path, merged: Path) -> None:
    classes, lambdas = {}, {}
    for path in sorted(folder.glob("*.lst")):
        for line in path.read_text().splitlines():
            if line.startswith("@"):
                lambdas[line] = None
            elif line and line[0] != "#" and " source:" not in line:    # those of the class path
                classes[line.partition(" id:")[0]] = None
    merged.write_text("\n".join([*classes, *lambdas]) + "\n")


def archive() -> list[str]:
    """A JVM's options for the archive."""
    if LISTS:
        return [f"-XX:DumpLoadedClassList={LISTS}/%p.lst"]
    return using(ARCHIVE) if made() else []


def using(path: Path) -> list[str]:
    return ["-Xshare:auto", "-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0",
            f"-XX:SharedArchiveFile={path}"]


def arrange() -> None:
    """Lays HOME out so that it passes for a stock Hadoop."""
    for folder in (ETC / "hadoop", LOGS, DATA / "tmp", HOME / "bin", *(
            ETC / "classes" / "webapps" / name for name in ("hdfs", "datanode"))):
        folder.mkdir(parents=True, exist_ok=True)       # HDFS will not start without its webapps
    for path in (*CONF.glob("*-site.xml"), CONF / "capacity-scheduler.xml",
                 CONF / "log4j.properties"):
        shutil.copy(path, ETC / "hadoop")
    for name in ("hadoop", "hdfs", "yarn", "mapred"):
        shutil.copy(CONF / "hadoop", HOME / "bin" / name)
    (ETC / "jvm").write_text("\n".join([*JVM, *archive()]) + "\n")
    (ETC / "classpath").write_text(CLASS_PATH)
    share = HOME / "share" / "hadoop"       # where Hadoop's defaults and mrjob look for jars
    link(share / "common" / "lib", LIB)
    for jar in LIB.glob("hadoop-streaming-*.jar"):
        link(share / "tools" / "lib" / jar.name, jar)
    if LIB != HOME / "lib":
        link(HOME / "lib", LIB)


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def environment(path: str) -> dict[str, str]:
    """What a daemon or client needs; `path` is its PATH. Containers get most of it as well."""
    homes = dict.fromkeys(["HADOOP_HOME", "HADOOP_COMMON_HOME", "HADOOP_HDFS_HOME",
                           "HADOOP_YARN_HOME", "HADOOP_MAPRED_HOME", "MRDL_HADOOP"], str(HOME))
    # YARN would put a container's folder first
    jars = f"{ALL}:{ETC}/hadoop:job.jar/job.jar:job.jar/classes/:job.jar/lib/*:./*"
    return {**homes, "HADOOP_CONF_DIR": f"{ETC}/hadoop", "JAVA_HOME": str(java_home()),
            "PATH": path, "MRDL_TASK_JVM": " ".join([*archive(), "-cp", jars])}
