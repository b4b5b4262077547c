"""Whether memcached answers. It keeps each key on one server only, so each server must."""

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Ask the servers of "host", "host:port" or "memcached://host:port", with commas between. Raises OSError."""
    for server in address().split(","):
        place = urlsplit("//" + server.strip().rpartition("://")[2])
        with socket.create_connection((place.hostname, place.port or 11211), seconds) as connection:
            connection.sendall(b"version\r\n")
            if not connection.recv(64).startswith(b"VERSION "):
                raise ConnectionError("no memcached")
