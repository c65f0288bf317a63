"""What both clients of HDFS share. Paths are absolute. If HDFS answers with an error, it is raised as Refused;
if the connection breaks, as an OSError."""
import errno
import re
from typing import NamedTuple

MEGABYTE = 1 << 20
SILENCE = 60.0                  # seconds without data before an HTTP connection counts as broken
CODES = {
    "FileNotFoundException": errno.ENOENT, "FileAlreadyExistsException": errno.EEXIST,
    "ParentNotDirectoryException": errno.ENOTDIR, "PathIsNotEmptyDirectoryException": errno.ENOTEMPTY,
    "AccessControlException": errno.EACCES, "AuthorizationException": errno.EACCES,
    "SecurityException": errno.EACCES, "DSQuotaExceededException": errno.EDQUOT,
    "NSQuotaExceededException": errno.EDQUOT, "QuotaByStorageTypeExceededException": errno.EDQUOT,
    "Stale": errno.ESTALE,
}
FULL, BAD = "could only be written to 0 of", "are bad. Aborting"    # no room for a new block; for the rest of one
SAID = {"(is not a directory)": errno.ENOTDIR, "must both be directories": errno.EISDIR, FULL: errno.ENOSPC,
        BAD: errno.ENOSPC}


class Refused(Exception):
    """HDFS answered with an error: the Java exception and its message."""

    def __init__(self, java: str, message: str):
        text = message.strip().split("\n")[0] or java
        super().__init__(f"is HDFS full? {text}" if FULL in text or BAD in text else text)
        self.java = re.split(r"[.$]", java)[-1]

    def code(self) -> int:
        said = (code for words, code in SAID.items() if words in str(self))
        return next(said, CODES.get(self.java, errno.EIO))


def no_room(text: str) -> OSError | None:
    """The error for a full HDFS, if that is what a longer text reports; None if not. The text may quote such an error."""
    found = re.search(rf"(File (/.*) {FULL}.*?|All datanodes .* {BAD}.*?)(: .hdfs:.*)?$", text, re.MULTILINE)
    if found:
        refused = Refused("", found[1])
        return OSError(refused.code(), str(refused), f"hdfs://{found[2] or '/'}")
    return None


def replaced() -> Refused:
    return Refused("Stale", "was replaced or removed while it was being read")


class Status(NamedTuple):
    name: str
    folder: bool
    size: int
    modified: int               # milliseconds, by the NameNode's clock


def one_block(size: int) -> int | None:
    """A block size that makes the file one block, so that one node has all of a shard. None: the cluster's default."""
    return -(-size // MEGABYTE) * MEGABYTE if 16 * MEGABYTE < size < 1024 * MEGABYTE else None
