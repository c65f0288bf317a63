"""Access to HDFS through hdfs-native; the class has the same methods as WebHDFS's client."""
import ctypes
import errno
import os
import posixpath
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from mrdl.storage.base import CHUNK
from mrdl.storage.hdfs.common import Refused, Status, one_block, replaced
from mrdl.storage.hdfs.namenode import Service

LATE = 10.0                     # seconds to wait until a file's last block is known
TOKENS = "HADOOP_TOKEN_FILE_LOCATION"       # YARN sets it for tasks, to the path of a file
# an error of hdfs-native: numbers, a sentence without information, then the reason
KEYLESS = re.compile(r'GSSAPIError\(.*?, "(?:.* (?:inaccessible|more information): )?(.*)"\)', re.DOTALL)
BROKEN = ("DataTransferError", "BlocksNotFound", "ChecksumError", "OperationFailed")    # of hdfs-native


class DataNodesFailed(OSError):
    """The NameNode answered, but the DataNodes that it named did not."""


class Native:
    """A client through hdfs-native, which speaks the native protocols of NameNodes and DataNodes."""

    process: int | None = None          # id of the process that last made a client

    def __init__(self, service: Service, settings: dict[str, str]):
        from hdfs_native import Client, WriteOptions
        kerberos = settings.get("hadoop.security.authentication") == "kerberos"
        token = _name_in_tokens(service) if kerberos else None      # with a token, no Kerberos library is needed
        if kerberos and not token and sys.platform == "linux":
            try:
                ctypes.CDLL("libgssapi_krb5.so.2")      # without it, hdfs-native would try for 44 s
            except OSError:
                raise OSError(errno.EACCES, "this HDFS wants Kerberos: install libgssapi-krb5-2 (Debian) "
                              "or krb5-libs (Red Hat)") from None
        if Native.process not in (None, os.getpid()):
            # a forked process inherits connections to DataNodes, but not the threads that serve them,
            # so it would wait for an answer for ever; hdfs-native drops connections after 3 s
            time.sleep(3.2)
        Native.process = os.getpid()
        self.addresses = service.rpc
        if len(service.rpc) == 1:       # fail after 45 s if it is gone, not after three minutes
            settings = {"dfs.client.failover.max.attempts": "6", **settings}
        with answered():
            # the settings are passed, because hdfs-native does not replace ${...} in the files
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
                    if found.path != path]              # for a file, the list has the file itself

    def open(self, path: str) -> tuple[int, Callable[[int, int], bytes]]:
        """The file's size, and a function that reads `count` bytes at position `at`; the range must lie in the file."""
        found, file = self._settled(path)

        def fetch(at: int, count: int) -> bytes:
            nonlocal file
            try:
                with answered():
                    return file.read_range(at, count)
            except OSError:             # its blocks may have moved, or the file may be gone
                with answered():
                    file = self.client.read(path)
                if self.status(path) != found:
                    raise replaced() from None
                raise
        return len(file), fetch

    def _settled(self, path: str):
        """The file's status and a reader for it. A NameNode may let a file be closed before a DataNode has reported
        its last block; for some milliseconds, hdfs-native then does not see that block, so this waits for it."""
        end = time.monotonic() + LATE
        while True:
            found = self.status(path)
            with answered():
                file = self.client.read(path)
            if len(file) == found.size:
                return found, file
            if time.monotonic() > end:
                raise OSError(f"no DataNode has reported its last block for {LATE:.0f} s")
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
    """In a task: the NameNode's name in the job's tokens, usually its address. hdfs-native must be called with
    exactly this name to find the token."""
    with suppress(OSError, KeyError), open(os.environ[TOKENS], "rb") as file:
        tokens, names = file.read(), [service.host]
        if names == service.rpc:
            name, _, port = service.host.rpartition(":")
            names.append(f"{socket.gethostbyname(name)}:{port}")
        return next((name for name in names if name.encode() in tokens), None)
    return None


@contextmanager
def answered() -> Iterator[None]:
    """Turns hdfs-native's errors into Refused; most are a RuntimeError that quotes the Java exception."""
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
