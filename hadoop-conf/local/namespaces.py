"""Namespaces that stand for a network and for machines, each kept by a process that only sleeps.

The network's has nothing but a loopback. A node's lies inside it, with its own view of the files:
all that runs there, daemons and containers and what they start, is found and killed as one machine.
"""
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

from local.places import COMMAND, DATA, HOME, LIB, NODES, RUN, Failed
from local.processes import namespace, record, running

PYTHON = [sys.executable, "-E", "-s", str(COMMAND)]     # nothing of the user's Python settings
BIND = 4096                                             # of mount(2)


def need(tool: str, what: str) -> str:
    path = shutil.which(tool)
    if not path:
        raise Failed(f"{tool} is not on PATH: install {what}")
    return path


def enter(name: str, files: bool = True) -> list[str]:
    """The start of a command that runs in a holder's namespaces; `files`: in its view of them."""
    pid = running(name)
    kinds = {"--net": "net", "--uts": "uts", "--user": "user"}
    if files:
        kinds["--mount"] = "mnt"
    flags = [flag for flag, kind in kinds.items()
             if namespace(pid, kind) != namespace("self", kind)]
    if "--user" in flags:
        flags.append("--preserve-credentials")
    return [need("nsenter", "util-linux"), "--target", str(pid), *flags, "--"] if flags else []


def make(hide: list[str], disk: int | None) -> None:
    """All holders."""
    unshare, asked = need("unshare", "util-linux"), [str(disk or ""), *hide]
    need("nsenter", "util-linux")
    kinds = ["--net", "--uts", "--mount", "--"]
    why = hold("network", [unshare, *kinds], *asked) if os.geteuid() == 0 else "not root"
    if why:     # without root: root of a user namespace, which is nobody outside
        why = hold("network", [unshare, "--user", "--map-root-user", *kinds], *asked)
    if why:
        raise Failed(
            f"no network namespace can be made here ({why}), and outside of one no Hadoop is "
            "started: be root, or let users make them: sysctl -w user.max_user_namespaces=10000 "
            "kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 "
            "(those of them that exist)")
    (RUN / "netns").write_text(str(namespace(running("network"), "net")))
    for node in NODES:
        if why := hold(node, [*enter("network"), unshare, "--mount", "--"], *asked):
            raise Failed(f"{node} cannot be made: {why}")


def hold(name: str, before: list[str], *asked: str) -> str | None:
    """Starts a holder. None, or why it could not."""
    process = subprocess.Popen(
        [*before, *PYTHON, "_hold", name, *asked], start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "MRDL_HADOOP": str(HOME), "MRDL_HADOOP_LIB": str(LIB)})
    with process.stdout, process.stderr:
        if process.stdout.readline() == "held\n":
            record(name, process.pid)
            return None
        why = process.stderr.read().strip().splitlines()
    return why[-1] if why else f"unshare ended with status {process.wait()}"


def be_holder(name: str, disk: str, *hide: str) -> None:
    """What a holder does, inside its new namespaces: sets them up, says so, and sleeps."""
    if name == "network":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as some:      # ip link set lo up
            asked = fcntl.ioctl(some, 0x8913, struct.pack("16sh", b"lo", 0))
            flags = struct.unpack("16sh", asked)[1]
            fcntl.ioctl(some, 0x8914, struct.pack("16sh", b"lo", flags | 1))
        socket.sethostname("localhost")     # Java asks for the address of this name, without DNS
        if disk:                            # a NameNode that forgets what the disks forget
            mount("mrdl-disk", DATA / "namenode", "tmpfs", data="size=512m,mode=700")
    else:
        cover(hide)
        if disk:
            mount("mrdl-disk", DATA / name / "hdfs", "tmpfs", data=f"size={disk}m,mode=700")
    print("held", flush=True)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.execvp("sleep", ["sleep", "infinity"])


def cover(hide: tuple[str, ...]) -> None:
    """Lays an empty folder over each. The node's own Hadoop stays, wherever it lies."""
    kept = [(path, os.open(path, os.O_PATH)) for path in (HOME, LIB)]
    for path in hide:
        if os.path.exists(path):            # one may have hidden the next
            mount("mrdl-hidden", path, "tmpfs", data="mode=1777")
    for path, descriptor in kept:
        if not path.exists():
            mount(f"/proc/self/fd/{descriptor}", path, flags=BIND)


def mount(source: str, target: str | Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    os.makedirs(target, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), os.fsencode(target), kind.encode(), flags, data.encode()):
        sys.exit(f"{target}: {os.strerror(ctypes.get_errno())}")
