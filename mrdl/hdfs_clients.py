"""Two clients of HDFS with one face: paths are absolute; an error is Refused, or an OSError where
the connection broke."""
import ctypes
import errno
import getpass
import json
import os
import posixpath
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

from mrdl.namenode import Service
from mrdl.storage import CHUNK

MEGABYTE = 1 << 20
LATE = 10.0                     # seconds until a file's last block must be known
TOKENS = "HADOOP_TOKEN_FILE_LOCATION"       # has the path of a file where YARN has started us
SILENCE = 60.0                  # seconds without a byte until an HTTP connection counts as broken
CODES = {
    "FileNotFoundException": errno.ENOENT, "FileAlreadyExistsException": errno.EEXIST,
    "ParentNotDirectoryException": errno.ENOTDIR, "PathIsNotEmptyDirectoryException": errno.ENOTEMPTY,
    "AccessControlException": errno.EACCES, "AuthorizationException": errno.EACCES,
    "SecurityException": errno.EACCES, "DSQuotaExceededException": errno.EDQUOT,
    "NSQuotaExceededException": errno.EDQUOT, "QuotaByStorageTypeExceededException": errno.EDQUOT,
    "Stale": errno.ESTALE,
}
FULL = "could only be written to 0 of"
SAID = {"(is not a directory)": errno.ENOTDIR, "must both be directories": errno.EISDIR, FULL: errno.ENOSPC}
# of hdfs-native: numbers, a sentence that says nothing, and then the reason
KEYLESS = re.compile(r'GSSAPIError\(.*?, "(?:.* (?:inaccessible|more information): )?(.*)"\)', re.DOTALL)
BROKEN = ("DataTransferError", "BlocksNotFound", "ChecksumError", "OperationFailed")    # of hdfs-native


class Refused(Exception):
    """What HDFS answers where it does not do as asked: Java's exception and its message."""

    def __init__(self, java: str, message: str):
        text = message.strip().split("\n")[0] or java
        super().__init__(f"is HDFS full? {text}" if FULL in text else text)
        self.java = re.split(r"[.$]", java)[-1]

    def code(self) -> int:
        said = (code for words, code in SAID.items() if words in str(self))
        return next(said, CODES.get(self.java, errno.EIO))


class DataNodesFailed(OSError):
    """The NameNode has answered, and the DataNodes that it named did not."""


def replaced() -> Refused:
    return Refused("Stale", "was replaced or removed while it was read")


class Status(NamedTuple):
    name: str
    folder: bool
    size: int
    modified: int               # milliseconds, by the NameNode's clock


def one_block(size: int) -> int | None:
    """The block size that holds a file whole: a shard, that one node then has all of. None: the cluster's."""
    return -(-size // MEGABYTE) * MEGABYTE if 16 * MEGABYTE < size < 1024 * MEGABYTE else None


class Native:
    """hdfs-native speaks the NameNode's and the DataNodes' own protocols."""

    process: int | None = None          # that used it last

    def __init__(self, service: Service, settings: dict[str, str]):
        from hdfs_native import Client, WriteOptions
        kerberos = settings.get("hadoop.security.authentication") == "kerberos"
        token = _name_in_tokens(service) if kerberos else None      # by which no library is asked
        if kerberos and not token and sys.platform == "linux":
            try:
                ctypes.CDLL("libgssapi_krb5.so.2")      # hdfs-native would go on trying for 44 s
            except OSError:
                raise OSError(errno.EACCES, "this HDFS wants Kerberos: install libgssapi-krb5-2 (Debian) "
                              "or krb5-libs (Red Hat)") from None
        if Native.process not in (None, os.getpid()):
            # a forked process has its parent's connections to DataNodes, but not the threads that
            # serve them: it would wait for an answer for ever; they are dropped after 3 s
            time.sleep(3.2)
        Native.process = os.getpid()
        self.addresses = service.rpc
        if len(service.rpc) == 1:       # 45 s for one that is gone; its default is three minutes
            settings = {"dfs.client.failover.max.attempts": "6", **settings}
        with answered():
            # the settings again, as it leaves ${...} as they stand in the files
            self.client = Client(f"hdfs://{token or service.host}", settings)
        self.Options = WriteOptions

    @staticmethod
    def _status(found) -> Status:
        return Status(posixpath.basename(found.path), found.isdir, found.length,
                      found.modification_time)

    def status(self, path: str) -> Status:
        with answered():
            return self._status(self.client.get_file_info(path))

    def list(self, path: str) -> list[Status]:
        with answered():
            return [self._status(found) for found in self.client.list_status(path)
                    if found.path != path]              # a file lists itself

    def open(self, path: str) -> tuple[int, Callable[[int, int], bytes]]:
        """The file's size, and what gives `count` bytes from `at`; both must lie in it."""
        found, file = self._settled(path)

        def fetch(at: int, count: int) -> bytes:
            nonlocal file
            try:
                with answered():
                    return file.read_range(at, count)
            except OSError:             # its blocks may have moved, or have gone with it
                with answered():
                    file = self.client.read(path)
                if self.status(path) != found:
                    raise replaced() from None
                raise
        return len(file), fetch

    def _settled(self, path: str):
        """The file's status and a reader of it. Where the NameNode lets a file be closed before a DataNode
        has told of its last block, this client would not see that block for some milliseconds."""
        end = time.monotonic() + LATE
        while True:
            found = self.status(path)
            with answered():
                file = self.client.read(path)
            if len(file) == found.size:
                return found, file
            if time.monotonic() > end:
                raise OSError(f"no DataNode has told of its last block for {LATE:.0f} s")
            time.sleep(0.001)

    def create(self, path: str, source: BinaryIO) -> None:
        block = one_block(source.seek(0, 2))
        source.seek(0)
        with answered():
            file = self.client.create(path, self.Options(block_size=block, overwrite=True))
            while chunk := source.read(CHUNK):
                file.write(chunk)
            file.close()

    def rename(self, old: str, new: str, replace: bool) -> None:
        with answered():
            self.client.rename(old, new, replace)

    def delete(self, path: str, recursive: bool) -> None:
        with answered():
            self.client.delete(path, recursive)

    def make_folder(self, path: str) -> None:
        with answered():
            self.client.mkdirs(path, create_parent=True)

    def touch(self, path: str, milliseconds: int) -> None:
        with answered():
            self.client.set_times(path, milliseconds, milliseconds)


def _name_in_tokens(service: Service) -> str | None:
    """What the job's tokens call this NameNode, where we are a task: mostly its address, and hdfs-native
    finds a token only by what it was called with itself."""
    with suppress(OSError, KeyError), open(os.environ[TOKENS], "rb") as file:
        tokens, names = file.read(), [service.host]
        if names == service.rpc:
            name, _, port = service.host.rpartition(":")
            names.append(f"{socket.gethostbyname(name)}:{port}")
        return next((name for name in names if name.encode() in tokens), None)
    return None


@contextmanager
def answered() -> Iterator[None]:
    """hdfs-native's errors as Refused; most are a RuntimeError that quotes Java's exception."""
    try:
        yield
    except FileNotFoundError as error:
        raise Refused("FileNotFoundException", str(error)) from None
    except FileExistsError as error:
        raise Refused("FileAlreadyExistsException", str(error)) from None
    except RuntimeError as error:
        if str(error).startswith(BROKEN):
            raise DataNodesFailed(str(error)) from None
        if gss := KEYLESS.match(str(error)):
            what = "name this NameNode in -D mapreduce.job.hdfs-servers" if TOKENS in os.environ else \
                "run kinit, or name a keytab in KRB5_CLIENT_KTNAME"
            raise Refused("AccessControlException", f"Kerberos: {gss[1]}; {what}") from None
        java = re.match(r'(?:Fatal)?RPCError\("([^"]*)", "(.*)"\)', str(error), re.DOTALL)
        name, message = java.groups() if java else ("", str(error))
        raise Refused(name, message.split("\\n")[0].replace('\\"', '"')) from None


class Web:
    """WebHDFS: HTTP to the NameNode, which sends on to a DataNode where bytes are meant."""

    def __init__(self, service: Service, settings: dict[str, str]):
        import requests
        from urllib3 import Retry
        if settings.get("hadoop.security.authentication", "simple") != "simple":
            raise OSError(errno.EACCES, "this HDFS wants Kerberos: pip install hdfs-native")
        self.addresses = [url.partition("//")[2] for url in service.web]
        self.urls, self.url = service.web, service.web[0] if len(service.web) == 1 else None
        self.user = os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self.session = requests.Session()
        self.session.trust_env = False          # no proxy stands before a cluster's own nodes
        self.session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        if self.url:                            # an only NameNode that is gone is called for 30 s
            self.session.mount(self.url, requests.adapters.HTTPAdapter(max_retries=Retry(
                None, connect=6, read=0, redirect=0, status=0, other=0, backoff_factor=0.5)))

    def _call(self, method: str, operation: str, path: str, **parameters: Any):
        """The NameNode's answer; where it sends on to a DataNode, that is not followed."""
        try:
            return self._send(method, self._active(), operation, path, parameters)
        except (OSError, Refused) as error:
            if len(self.urls) > 1 and getattr(error, "java", "") in ("", "StandbyException"):
                self.url = None
            raise

    def _active(self) -> str:
        """The NameNode of a name service that is not on standby; the first, where none is."""
        for url in [] if self.url else self.urls:
            with suppress(OSError, Refused):
                self._send("GET", url, "GETFILESTATUS", "/", {})
                self.url = url
                break
        return self.url or self.urls[0]

    def _send(self, method: str, url: str, operation: str, path: str, parameters: dict[str, Any]):
        return self._checked(self.session.request(
            method, f"{url}/webhdfs/v1{quote(path)}", timeout=SILENCE, allow_redirects=False,
            params={"op": operation, "user.name": self.user, **parameters}))

    @staticmethod
    def _checked(response):
        if response.status_code < 400:
            return response
        try:
            found = response.json()["RemoteException"]
            java, message = found["exception"], found["message"]
        except (ValueError, LookupError, TypeError):
            java, message = "", f"HTTP {response.status_code} {response.reason}"
        raise Refused(java, message)

    @staticmethod
    def _status(name: str, found: dict) -> Status:
        return Status(name, found["type"] == "DIRECTORY", found["length"],
                      found["modificationTime"])

    def status(self, path: str) -> Status:
        return self._status(posixpath.basename(path),
                            self._call("GET", "GETFILESTATUS", path).json()["FileStatus"])

    def list(self, path: str) -> list[Status]:
        found = self._call("GET", "LISTSTATUS", path).json()["FileStatuses"]["FileStatus"]
        return [self._status(f["pathSuffix"], f) for f in found if f["pathSuffix"]]

    def open(self, path: str) -> tuple[int, Callable[[int, int], bytes]]:
        found = self._call("GET", "GETFILESTATUS", path).json()["FileStatus"]
        if found["type"] == "DIRECTORY":
            raise Refused("FileNotFoundException", "is a folder")
        # not by its name, which may come to mean another file between two calls
        file = f"/.reserved/.inodes/{found['fileId']}"

        def fetch(at: int, count: int) -> bytes:
            try:
                data = self._through("GET", "OPEN", file, None, offset=at, length=count).content
            except Refused as error:
                raise (replaced() if error.code() == errno.ENOENT else error) from None
            if len(data) != count:
                raise OSError(f"{len(data)} bytes came of {count}")
            return data
        return found["length"], fetch

    def create(self, path: str, source: BinaryIO) -> None:
        block = one_block(source.seek(0, 2))
        self._through("PUT", "CREATE", path, source, overwrite="true",
                      **({"blocksize": block} if block else {}))

    def _through(self, method: str, operation: str, path: str, source: BinaryIO | None,
                 **parameters: Any):
        """What the DataNode answers that the NameNode names."""
        sent = self._call(method, operation, path, **parameters)
        some = source and source.seek(0, 2)
        if some:
            source.seek(0)
        try:
            return self._checked(self.session.request(
                method, sent.headers["Location"], data=source if some else b"", timeout=SILENCE))
        except OSError as error:
            raise DataNodesFailed(str(error)) from None

    def rename(self, old: str, new: str, replace: bool) -> None:
        # without options it is another call, which answers False, and moves into a folder
        self._call("PUT", "RENAME", old, destination=new,
                   renameoptions="OVERWRITE" if replace else "NONE")

    def delete(self, path: str, recursive: bool) -> None:
        self._call("DELETE", "DELETE", path, recursive=json.dumps(recursive))

    def make_folder(self, path: str) -> None:
        self._call("PUT", "MKDIRS", path)

    def touch(self, path: str, milliseconds: int) -> None:
        self._call("PUT", "SETTIMES", path, modificationtime=milliseconds)
