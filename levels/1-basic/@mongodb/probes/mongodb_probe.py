"""Whether a MongoDB answers."""

from collections.abc import Callable
from typing import Any


def probe(app: Any, address: Callable[[], str], seconds: float) -> None:
    """Have it answer a ping. Raises what PyMongo raises."""
    import pymongo

    client: Any = pymongo.MongoClient(address(), serverSelectionTimeoutMS=int(seconds * 1000))
    try:
        client.admin.command("ping")
    finally:
        client.close()
