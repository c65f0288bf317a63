"""`mrdl stop`: a small file in the run's folder asks the driver to end after the current round.

The request contains the token of the driver's lease, so it cannot end a later driver."""
import getpass
import json
import socket
from contextlib import suppress

from mrdl.storage.base import Storage

NAME = "stop.json"


class RunStopped(RuntimeError):
    """The driver ended on request; the run can be resumed."""


def ask(store: Storage, token: str) -> None:
    """Asks the driver whose lease has this token to end."""
    by = f"{getpass.getuser()} on {socket.gethostname()}"
    store.write(NAME, json.dumps({"token": token, "by": by}).encode())


def asked(store: Storage, token: str) -> str | None:
    """Who has asked the driver with this token to end, or None; removes the request."""
    with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        if store.exists(NAME) and (found := json.loads(store.read(NAME)))["token"] == token:
            store.remove(NAME)
            return str(found["by"])
    return None
