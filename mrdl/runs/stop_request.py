"""`mrdl stop`: a small file in the run asks its living driver to end after the round at hand.

The request names the driver by its lease's token, so it never ends another one that comes later."""
import getpass
import json
import socket
from contextlib import suppress

from mrdl.storage.base import Storage

NAME = "stop.json"


class RunStopped(RuntimeError):
    """The driver ended because it was asked to; the run can be resumed."""


def ask(store: Storage, token: str) -> None:
    """Asks the driver that holds the lease of this token to end."""
    by = f"{getpass.getuser()} on {socket.gethostname()}"
    store.write(NAME, json.dumps({"token": token, "by": by}).encode())


def asked(store: Storage, token: str) -> str | None:
    """Who asks the driver with this token to end; the request is removed. None where nobody does."""
    with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        if store.exists(NAME) and (found := json.loads(store.read(NAME)))["token"] == token:
            store.remove(NAME)
            return str(found["by"])
    return None
