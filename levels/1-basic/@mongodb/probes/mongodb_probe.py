"""Whether a MongoDB answers."""

from collections.abc import Callable
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Have it answer a ping. `client` is PyMongo's, Flask-PyMongo's or None. Raises what PyMongo raises."""
    import pymongo

    if client is not None:  # any attribute of PyMongo's client is a database: its class tells which one it is
        (client if isinstance(client, pymongo.MongoClient) else client.cx).admin.command("ping")
        return
    own: Any = pymongo.MongoClient(address(), serverSelectionTimeoutMS=int(seconds * 1000))
    try:
        own.admin.command("ping")
    finally:
        own.close()
