"""A folder for what tasks write beside their output."""
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from mrdl.runners.cluster import Cluster
from mrdl.storage.base import Storage
from mrdl.storage.schemes import store_at


@contextmanager
def notebook(cluster: Cluster) -> Iterator[Storage]:
    """A folder into which tasks can write."""
    name = f"notes-{os.getpid()}-{secrets.token_hex(4)}"
    parent = cluster.backend.home("jobs") or cluster.tmp
    try:
        yield store_at(f"{parent}/{name}")
    finally:
        store_at(parent).clear(name)
