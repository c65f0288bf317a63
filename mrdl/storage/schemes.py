"""A URL in, the folder behind the storage's door out."""
import os
import re
from importlib import import_module

from mrdl.storage.base import Storage, masked, named

# a URL's scheme -> "module:Class"; imported when first asked for
SCHEMES = {"": "mrdl.storage.local:Local", "file": "mrdl.storage.local:Local", "hdfs": "mrdl.storage.hdfs.folder:Hdfs"}


def store_at(url: str | os.PathLike) -> Storage:
    """The folder at a local path or a URL; ValueError for a scheme that there is no class for."""
    text = masked(named(os.fspath(url)))
    scheme = re.match(r"(\w[\w.+-]*)://|hdfs:|", text)[0].partition(":")[0]
    if scheme not in SCHEMES:
        raise ValueError(f"{text}: only local paths and hdfs:// so far, no {scheme}://")
    module, _, kind = SCHEMES[scheme].partition(":")
    return getattr(import_module(module), kind)(url)
