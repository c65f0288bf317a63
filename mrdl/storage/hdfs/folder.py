"""The storage class for HDFS: uses hdfs-native, or WebHDFS if hdfs-native is not installed; no JVM."""
import errno
import io
import logging
import math
import os
import posixpath
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, BinaryIO

from mrdl.storage.base import CHUNK, Storage, masked
from mrdl.storage.hdfs import namenode
from mrdl.storage.hdfs.common import Refused, Status
from mrdl.storage.hdfs.native import DataNodesFailed, Native
from mrdl.storage.hdfs.web import Web

CONNECT = 10.0                  # seconds to wait for an answer before a NameNode counts as absent
PATIENCE = 120.0                # seconds to wait for a NameNode that is in safe mode, starts or fails over
AGAIN = 30.0                    # seconds during which other DataNodes are tried if some do not answer
APART = 60.0                    # refusals further apart than this many seconds start a new wait
PASSING = ("SafeModeException", "RetriableException", "StandbyException",
           "ConnectException", "SocketException", "EOFException")   # a DataNode reports that it cannot reach the NameNode


class Wait:
    """A wait for a NameNode that is in safe mode, starts or fails over. All requests share one wait, so that clean-up
    after a request that gave up does not wait the whole time again."""

    def __init__(self):
        self.since = self.last = self.say = -math.inf   # when it began, when HDFS last refused, when to tell the user again

    def left(self, why: OSError) -> float:
        """The seconds left, after a refusal. Logs a warning at the first refusal, then at growing intervals."""
        now = time.monotonic()
        if now - self.last > APART:
            self.since = self.say = now
        self.last, left = now, PATIENCE - (now - self.since)
        if now >= self.say and left > 0:
            self.say = now + max(10.0, 2 * (now - self.since))
            logging.getLogger(__name__).warning("%s; trying for %.0f s", why, left)
        return left

    def over(self) -> None:
        self.last = -math.inf


_waits: dict[str, Wait] = {}            # host of a URL -> the wait for its NameNodes


class Hdfs(Storage):
    """A folder on HDFS; its clock is the NameNode's."""

    def __init__(self, url: str | os.PathLike):
        text = os.fspath(url)
        self.host, inner = "", text.partition(":")[2]
        if inner.startswith("//"):
            self.host, _, inner = inner[2:].partition("/")
            if masked(text) != text:
                raise ValueError(f"{masked(text)}: an hdfs:// URL takes no password: leave it out; HDFS knows you by "
                                 "HADOOP_USER_NAME or by a Kerberos ticket")
        elif not inner.startswith("/"):
            raise ValueError(f"{text}: a path on HDFS must be absolute, such as hdfs:///data/train")
        self.root = posixpath.normpath("/" + inner.lstrip("/"))
        self.url = self.path("")

    def _at(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.root, name))

    def path(self, name: str) -> str:
        return f"hdfs://{self.host}{self._at(name)}"

    def _ask(self, name: str, call: Callable[[Native | Web], Any], again: bool = False) -> Any:
        """Calls the client and returns its answer. Errors become OSErrors with this file's path. `again`: the call
        may be repeated."""
        path, began, pause, tries = self.path(name), time.monotonic(), 0.1, 0
        client, wait, refused = _client(self.host, path), _waits.setdefault(self.host, Wait()), False
        while True:
            tries += 1
            try:
                found = call(client)
                if refused:
                    wait.over()
                return found
            except Refused as error:
                refused = error.java in PASSING
                failure = OSError(error.code(), str(error), path)
                left = wait.left(failure) if refused else 0
            except OSError as error:
                failure = OSError(errno.ECONNABORTED, _broken(error, client), path)
                left = AGAIN - (time.monotonic() - began) if again else 0
                if again and tries < 3:
                    left = max(left, AGAIN)     # a single try may take two minutes if a machine is off
                if again and tries == 1:
                    logging.getLogger(__name__).warning("%s; trying again", failure)
            if left <= 0:
                raise failure
            time.sleep(min(pause, left))
            pause = min(2 * pause, 5)

    def open(self, name: str) -> BinaryIO:
        return io.BufferedReader(Reader(self, name), CHUNK)

    def read(self, name: str) -> bytes:
        while True:
            try:
                return super().read(name)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise

    def _put(self, name: str, file: BinaryIO, replace: bool) -> bool:
        folder, base = posixpath.split(self._at(name))
        made, renamed = posixpath.join(folder, f".{base}-{secrets.token_hex(8)}"), False
        try:
            self._ask(name, lambda client: client.create(made, file), again=True)
            renamed = self._renamed(name, made, replace)
        finally:
            if not renamed:
                with suppress(OSError):
                    self.remove(made)
        return renamed

    def _renamed(self, name: str, made: str, replace: bool) -> bool:
        try:
            self._ask(name, lambda client: client.rename(made, self._at(name), replace))
        except (FileExistsError, IsADirectoryError):
            if replace:
                raise
            return False
        except ConnectionError:
            if self.exists(made):
                raise
        return True                     # it succeeded, and only the answer was lost

    def _status(self, name: str) -> Status | None:
        try:
            return self._ask(name, lambda client: client.status(self._at(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, name: str) -> bool:
        return self._status(name) is not None

    def is_folder(self) -> bool:
        found = self._status("")
        return found is not None and found.folder

    def _inside(self, folder: str) -> list[Status]:
        with suppress(FileNotFoundError, NotADirectoryError):
            return self._ask(folder, lambda client: client.list(self._at(folder)))
        return []

    def _matching(self, folder: str, pattern: list[str]) -> Iterator[str]:
        """Like glob: `**` matches any number of folders, and a star does not match hidden names."""
        first, rest = pattern[0], pattern[1:]
        if rest and (first == "**" or not set(first) & set("*?[")):
            yield from self._matching(folder if first == "**" else posixpath.join(folder, first),
                                      rest)
            if first != "**":
                return
        for found in self._inside(folder):
            name = posixpath.join(folder, found.name)
            if not fnmatchcase(found.name, first) or found.name[0] == "." != first[0]:
                continue
            if not rest:
                yield name
            if found.folder and first == "**":
                yield from self._matching(name, pattern)
            elif found.folder and rest:
                yield from self._matching(name, rest)

    def list(self, pattern: str = "*") -> list[str]:
        return sorted(self._matching("", pattern.split("/")))

    def remove(self, name: str) -> None:
        self._ask(name, lambda client: client.delete(self._at(name), False))

    def clear(self, name: str) -> None:
        self._ask(name, lambda client: client.delete(self._at(name), True))

    def vacate(self) -> None:
        with suppress(OSError):
            self.remove("")

    def rename(self, old: str, new: str) -> bool:
        self._ask(new, lambda client: client.make_folder(posixpath.dirname(self._at(new))))
        try:
            self._ask(old, lambda client: client.rename(self._at(old), self._at(new), True))
        except FileNotFoundError:
            return False
        return True

    def claim(self, old: str, new: str) -> bool:
        return self._renamed(new, self._at(old), replace=False)

    def touch(self, name: str) -> None:
        now = round(1000 * self.now())
        with suppress(FileNotFoundError):
            self._ask(name, lambda client: client.touch(self._at(name), now))

    def modified(self, name: str) -> float | None:
        found = self._status(name)
        return found and found.modified / 1000

    def size(self, name: str) -> int:
        return self._ask(name, lambda client: client.status(self._at(name))).size

    def now(self) -> float:
        made = f".clock-{secrets.token_hex(8)}"
        try:
            self._ask(made, lambda client: client.create(self._at(made), io.BytesIO()))
            return self.modified(made)
        finally:
            with suppress(OSError):
                self.remove(made)


class Reader(io.RawIOBase):
    """A file on HDFS, readable from any position."""

    def __init__(self, store: Hdfs, name: str):
        self.store, self.name, self.at = store, name, 0
        self.length, self.fetch = store._ask(name, lambda client: client.open(store._at(name)), True)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = max(0, offset + (0, self.at, self.length)[whence])
        return self.at

    def _fetched(self, count: int) -> bytes:
        count = min(count, self.length - self.at)
        if count <= 0:
            return b""
        data = self.store._ask(self.name, lambda client: self.fetch(self.at, count), True)
        self.at += len(data)
        return data

    def readinto(self, buffer) -> int:
        data = self._fetched(len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Reads the rest with one request; io's own method would make one for every 8 KB."""
        return self._fetched(self.length)


def _broken(error: OSError, client: Native | Web) -> str:
    """The message for a broken connection; says whether it was to the NameNode or to DataNodes."""
    said = re.sub(r" with url: \S+", "", str(error))
    if not isinstance(error, DataNodesFailed):
        return f"the connection to HDFS ({', '.join(client.addresses)}) failed: {said}"
    which = ", ".join(re.findall(r'host_name: \\?"([^"\\]+)', said))
    return (f"the NameNode answers, but none of the file's DataNodes{which and f' ({which})'} can be reached: "
            + re.sub(r": \[DatanodeInfo.*\]", "", said))


def _client(host: str, path: str) -> Native | Web:
    try:
        return _connected(host, namenode.folder(), os.environ.get("HADOOP_USER_NAME"), os.getpid())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    except Refused as error:
        raise OSError(error.code(), str(error), path) from None


@cache
def _connected(host: str, folder: str, user: str | None, pid: int) -> Native | Web:
    """The client for a host. The process's id is part of the key, because a forked process lacks the client's threads."""
    settings = namenode.settings(folder)
    service = namenode.service(host, settings)
    for kind in (Native, Web):
        with suppress(ImportError):
            client = kind(service, settings)
            _reach(client.addresses, folder)
            return client
    raise OSError(errno.ENOSYS, "hdfs:// needs a client: pip install hdfs-native jpype1")


def _reach(addresses: list[str], folder: str) -> None:
    """Checks that a NameNode can be reached; both clients would take long to say so, and not clearly."""
    end = time.monotonic() + CONNECT
    while True:
        for address in addresses:
            host, _, port = address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), port), timeout=CONNECT).close()
                return
            except OSError as error:
                why = error
        if time.monotonic() > end or isinstance(why, socket.gaierror):
            raise OSError(errno.ECONNREFUSED, f"no NameNode at {', '.join(addresses)} "
                          f"({why.strerror or why}); check HADOOP_CONF_DIR ({folder})")
        time.sleep(0.5)
