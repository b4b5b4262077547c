"""Whether a Redis answers."""

from collections.abc import Callable
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Have it answer a PING. `client` is redis-py's, Flask-Redis' or None. Raises what redis-py raises."""
    if client is not None:
        client.ping()
        return
    import redis

    timeouts = {"socket_connect_timeout": seconds, "socket_timeout": seconds}
    with redis.Redis.from_url(address(), **timeouts) as own:
        own.ping()
