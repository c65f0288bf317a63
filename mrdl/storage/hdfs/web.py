"""Access to HDFS through WebHDFS."""
import errno
import getpass
import json
import os
import posixpath
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO
from urllib.parse import quote

from mrdl.storage.hdfs.common import SILENCE, Refused, Status, one_block, replaced
from mrdl.storage.hdfs.namenode import Service
from mrdl.storage.hdfs.native import DataNodesFailed


class Web:
    """A client through WebHDFS: HTTP to the NameNode, which redirects to a DataNode to read or write data."""

    def __init__(self, service: Service, settings: dict[str, str]):
        import requests
        from urllib3 import Retry
        if settings.get("hadoop.security.authentication", "simple") != "simple":
            raise OSError(errno.EACCES, "this HDFS wants Kerberos: pip install hdfs-native")
        self.addresses = [url.partition("//")[2] for url in service.web]
        self.urls, self.url = service.web, service.web[0] if len(service.web) == 1 else None
        self.user = os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        self.session = requests.Session()
        self.session.trust_env = False          # ignore proxy settings for the cluster's nodes
        self.session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        if self.url:                            # a single NameNode that is gone is retried for 30 s
            self.session.mount(self.url, requests.adapters.HTTPAdapter(max_retries=Retry(
                None, connect=6, read=0, redirect=0, status=0, other=0, backoff_factor=0.5)))

    def _call(self, method: str, operation: str, path: str, **parameters: Any):
        """The NameNode's answer; a redirection to a DataNode is not followed."""
        try:
            return self._send(method, self._active(), operation, path, parameters)
        except (OSError, Refused) as error:
            if len(self.urls) > 1 and getattr(error, "java", "") in ("", "StandbyException"):
                self.url = None
            raise

    def _active(self) -> str:
        """The active NameNode of a name service; the first, if none is active."""
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
        # not by its name, which may belong to another file at the next call
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
        """The answer of the DataNode to which the NameNode redirects."""
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
        # without options, RENAME does not replace files, and moves into existing folders
        self._call("PUT", "RENAME", old, destination=new,
                   renameoptions="OVERWRITE" if replace else "NONE")

    def delete(self, path: str, recursive: bool) -> None:
        self._call("DELETE", "DELETE", path, recursive=json.dumps(recursive))

    def make_folder(self, path: str) -> None:
        self._call("PUT", "MKDIRS", path)

    def touch(self, path: str, milliseconds: int) -> None:
        self._call("PUT", "SETTIMES", path, modificationtime=milliseconds)
