"""Finds the storage class for a URL."""
import os
import re
from importlib import import_module

from mrdl.storage.base import Storage, masked, named

# a URL's scheme -> "module:Class"; imported on first use
SCHEMES = {"": "mrdl.storage.local:Local", "file": "mrdl.storage.local:Local", "hdfs": "mrdl.storage.hdfs.folder:Hdfs"}


def store_at(url: str | os.PathLike) -> Storage:
    """The storage for the folder at a local path or URL; ValueError for an unknown scheme."""
    text = masked(named(os.fspath(url)))
    scheme = re.match(r"(\w[\w.+-]*)://|hdfs:|", text)[0].partition(":")[0]
    if scheme not in SCHEMES:
        raise ValueError(f"{text}: mrdl can read local paths and hdfs://, but not {scheme}://")
    module, _, kind = SCHEMES[scheme].partition(":")
    return getattr(import_module(module), kind)(url)
