"""The daemons: how one is launched, and when it is ready."""
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time

from local.jars import CLASS_PATH, environment, java_home
from local.namespaces import PYTHON, enter
from local.places import APACHE, DAEMONS, DATA, ETC, HOME, LOGS, NODES, RUN, Failed
from local.processes import record, running

PATIENCE = 180      # seconds until a start is given up


def start(fresh: bool, disk: int | None) -> None:
    """Those that do not run, and waits for all. `fresh`: nothing of the cluster ran before."""
    if fresh:       # jobs end with their cluster, and so do labels; files on HDFS stay
        for name in ("tmp", "resourcemanager", "labels", "attributes"):
            shutil.rmtree(DATA / name, ignore_errors=True)
        for node in NODES:
            for name in ("yarn", "containers", "recovery"):
                shutil.rmtree(DATA / node / name, ignore_errors=True)
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir()
        (DATA / "tmp").mkdir()
    formatted = (RUN if disk else DATA) / "formatted"
    if not formatted.exists() and not running("namenode"):
        format_disks(disk)
        formatted.touch()
    for name in DAEMONS:
        if name != "historyserver":
            launch(name)
    if not running("historyserver"):
        # which without HDFS would look for it again only after 10 s
        wait(["namenode", "datanode1"])
        launch("historyserver")
    wait(list(DAEMONS))


def format_disks(disk: int | None) -> None:
    if not disk:        # blocks of an older HDFS would be refused
        for folder in (DATA / "namenode", *(DATA / node / "hdfs" for node in NODES)):
            shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(
        [*enter("network"), HOME / "bin" / "hdfs", "namenode", "-format", "-force"],
        env={**os.environ, **environment(os.environ.get("PATH", os.defpath))}, cwd="/",
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Failed(f"HDFS could not be formatted: {told[-1]}", 1)


def launch(name: str) -> None:
    if running(name):
        return
    kind, heap, node = DAEMONS[name]
    path, own = "/usr/local/bin:/usr/bin:/bin", {}
    if node:
        own["MRDL_NODE"] = node[-1]
        if os.environ.get("MRDL_NODE_PATH"):
            path = f"{os.environ['MRDL_NODE_PATH']}:{path}"
    env = {**environment(path), **own, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8",
           "MALLOC_ARENA_MAX": "2"}     # arenas per thread would cost tens of MB
    with open(LOGS / f"{name}.log", "a") as log:
        process = subprocess.Popen(
            [*enter(node or "network"), java_home() / "bin" / "java", f"-Dmrdl.daemon={name}",
             f"@{ETC}/jvm", f"-Xmx{heap}m", "-Xms16m", "-cp", CLASS_PATH, APACHE + kind],
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
            cwd="/")
    record(name, process.pid)


def wait(names: list[str]) -> None:
    """Until all serve; Failed when one has ended instead."""
    end = time.monotonic() + PATIENCE
    with subprocess.Popen([*enter("network"), *PYTHON, "_ready", *names], cwd="/",
                          stdin=subprocess.DEVNULL) as asking:
        try:
            while asking.poll() is None:
                for name in names:
                    if not running(name):
                        raise Failed(f"{name} ended at once: {last_words(name)}", 1)
                if time.monotonic() > end:
                    raise Failed(f"not ready after {PATIENCE} s: see the logs in {LOGS}", 1)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    asking.wait(0.2)
        finally:
            asking.kill()
    if asking.returncode:
        raise Failed(f"asking whether all is ready ended with status {asking.returncode}", 1)


def last_words(name: str) -> str:
    log = LOGS / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    found = [line for line in lines[-200:] if re.search(r"ERROR|FATAL|Exception", line)]
    return f"{(found or lines or ['no output'])[-1].strip()} (whole log: {log})"


# ---------------------------------------------------------------- inside the network namespace

def be_ready(*names: str) -> None:
    """Returns when all serve, and HDFS has the folders that everybody expects."""
    while not_ready(names):
        time.sleep(0.1)
    if "namenode" in names:
        for folder, mode in (("/tmp", "1777"), ("/user/root", "755")):
            for do in ("MKDIRS", "SETPERMISSION"):      # the mode of MKDIRS is cut by a umask
                ask(f"/webhdfs/v1{folder}?op={do}&permission={mode}&user.name=root", method="PUT")


def not_ready(names: tuple[str, ...]) -> list[str]:
    hdfs = bean("NameNodeInfo")
    alive = {node["xferaddr"] for node in json.loads(hdfs.get("LiveNodes") or "{}").values()
             if node["lastContact"] < 3}
    yarn = ask("/ws/v1/cluster/nodes", port=8088)
    hosts = {node["nodeHostName"] for node in (yarn.get("nodes") or {}).get("node", [])
             if node["state"] == "RUNNING"}
    serves = {
        "namenode": lambda _: hdfs.get("Safemode") == "",
        "datanode": lambda n: f"127.0.0.1:9{n}66" in alive and opened(9864, f"127.0.0.1{n}"),
        "resourcemanager": lambda _: "nodes" in yarn,
        "nodemanager": lambda n: f"127.0.0.1{n}" in hosts and opened(8042, f"127.0.0.1{n}"),
        "historyserver": lambda _: opened(10020),
    }
    return [name for name in names if not serves[name.rstrip("123")](name[-1])]


def bean(name: str) -> dict:
    return (ask(f"/jmx?qry=Hadoop:service=NameNode,name={name}").get("beans") or [{}])[0]


def ask(path: str, port: int = 9870, method: str = "GET") -> dict:
    """What a daemon answers; {} while it does not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        return json.loads(connection.getresponse().read() or b"{}")
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()


def opened(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as some:
        some.settimeout(2)
        return some.connect_ex((host, port)) == 0
