"""Whether a Redis answers."""

from collections.abc import Callable
from typing import Any


def probe(app: Any, address: Callable[[], str], seconds: float) -> None:
    """Have it answer a PING. Raises what redis-py raises."""
    import redis

    timeouts = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    with redis.Redis.from_url(address(), **timeouts) as client:
        client.ping()
