"""Finds the addresses of the NameNodes for a URL's host, from Hadoop's configuration files."""
import errno
import getpass
import os
import re
from typing import NamedTuple
from xml.etree import ElementTree


class Service(NamedTuple):
    """One NameNode, or all NameNodes of a name service (HA)."""
    host: str                   # host:port, or the name of the name service
    rpc: list[str]              # host:port of each
    web: list[str]              # URL of each


def folder() -> str:
    """The folder with Hadoop's configuration files."""
    home = os.environ.get("HADOOP_HOME")
    return os.environ.get("HADOOP_CONF_DIR") or (
        os.path.join(home, "etc", "hadoop") if home else "/etc/hadoop/conf")


def settings(folder: str) -> dict[str, str]:
    """The properties in core-site.xml and hdfs-site.xml, with each ${...} replaced by its value."""
    found = {"user.name": getpass.getuser()}
    for name in ("core-site.xml", "hdfs-site.xml"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            try:
                root = ElementTree.parse(path).getroot()
            except ElementTree.ParseError as error:
                raise OSError(errno.EINVAL, f"{path} is no XML: {error}") from None
            found |= {p.findtext("name", "").strip(): p.findtext("value", "").strip()
                      for p in root.iter("property")}

    def meant(match: re.Match) -> str:
        name, dash, default = match[1].partition("-")
        if not name.startswith("env."):
            return found.get(match[1], match[0])
        value = os.environ.get(name[4:].removesuffix(":"))
        if dash and (value is None or not value and name.endswith(":")):
            return default
        return match[0] if value is None else value

    for _ in range(20):                 # Hadoop has the same limit
        found = {name: re.sub(r"\$\{([^{}$\s]+)\}", meant, value) for name, value in found.items()}
    return found


def service(host: str, settings: dict[str, str]) -> Service:
    """The NameNodes for `host`; "" means the default file system."""
    default = settings.get("fs.defaultFS", "").rstrip("/")
    if not host and not default.startswith("hdfs://"):
        raise OSError(errno.EINVAL, f"there is no default HDFS (fs.defaultFS is {default!r}): set "
                      "HADOOP_CONF_DIR, or write hdfs://HOST:PORT/...")
    host = host or default.removeprefix("hdfs://")
    scheme, port = ("https", 9871) if settings.get("dfs.http.policy") == "HTTPS_ONLY" else \
        ("http", 9870)
    names = [name.strip() for name in settings.get(f"dfs.ha.namenodes.{host}", "").split(",")]
    rpc, web = [], []
    for key in [f".{host}.{name}" if name else f".{host}" for name in names]:
        address = settings.get(f"dfs.namenode.rpc-address{key}", host)
        rpc.append(address if re.search(r":\d+$", address) else f"{address}:8020")
        known = settings.get(f"dfs.namenode.{scheme}-address{key}") or default == f"hdfs://{host}" \
            and settings.get(f"dfs.namenode.{scheme}-address") or f":{port}"
        machine, _, known_port = known.rpartition(":")
        if machine in ("", "0.0.0.0"):
            machine = rpc[-1].rpartition(":")[0]
        web.append(f"{scheme}://{machine}:{known_port}")
    return Service(host if names[0] else rpc[0], rpc, web)
