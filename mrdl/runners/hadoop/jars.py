"""Finds the jars of this machine's Hadoop client, for the gateway's JVM."""
import glob
import os
import re
import shutil
import subprocess

HOMES = ("HADOOP_MAPRED_HOME", "HADOOP_TOOLS_HOME", "HADOOP_HOME", "HADOOP_PREFIX")     # variables
BELOW = ("", "share/hadoop/tools/lib", "share/hadoop/mapreduce")        # such a folder
# where the packages of EMR, Bigtop, Cloudera and Hortonworks put MapReduce
PACKAGES = ("/usr/lib/hadoop-mapreduce", "/opt/cloudera/parcels/CDH/lib/hadoop-mapreduce",
            "/usr/hdp/current/hadoop-mapreduce-client")
STREAMING = re.compile(r"hadoop-streaming(-\d.*)?(?<!-sources)(?<!-tests)\.jar")


def class_path() -> list[str]:
    """The class path that `hadoop classpath` prints, and the streaming jar, which a stock Hadoop leaves out of it. Raises
    OSError, which says what to do, if there is no Hadoop or no such jar."""
    entries = _told()
    jar = _found(entries)
    there = {os.path.normpath(entry) for entry in entries}
    return entries if {jar, os.path.join(os.path.dirname(jar), "*")} & there else [*entries, jar]


def streaming_jar() -> str:
    """The path of Hadoop's streaming jar; OSError as above."""
    return _found(_told())


def _command() -> str:
    home = os.environ.get("HADOOP_HOME")
    return os.path.join(home, "bin", "hadoop") if home else "hadoop"


def _told() -> list[str]:
    try:
        found = subprocess.run([_command(), "classpath"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OSError(f"no Hadoop client ({error}): set HADOOP_HOME, or put its bin/hadoop on the PATH") from None
    return [entry for entry in found.stdout.strip().split(":") if entry]    # Java would take "" as the current folder


def _found(entries: list[str]) -> str:
    """Finds the streaming jar: on the class path, else below Hadoop's folders, else where packages put it."""
    folders = [os.path.dirname(os.path.normpath(entry)) for entry in entries if entry.endswith(("*", ".jar"))]
    homes = [*filter(None, map(os.environ.get, HOMES)), *(folder.partition("/share/hadoop")[0] for folder in folders),
             os.path.dirname(os.path.dirname(os.path.realpath(shutil.which(_command()) or "")))]
    folders += [os.path.normpath(os.path.join(home, below)) for home in dict.fromkeys(homes) for below in BELOW]
    patterns = [os.path.join(glob.escape(folder), "hadoop-streaming*.jar") for folder in dict.fromkeys([*folders, *PACKAGES])]
    for path in [*map(os.path.normpath, entries), *(path for pattern in patterns for path in sorted(glob.glob(pattern)))]:
        if STREAMING.fullmatch(os.path.basename(path)):
            return path
    raise OSError("Hadoop's client has no hadoop-streaming jar, neither on its class path nor in share/hadoop/tools/lib: install "
                  "it (the whole of Hadoop, or the package hadoop-mapreduce), or export HADOOP_CLASSPATH=/path/to/it")
