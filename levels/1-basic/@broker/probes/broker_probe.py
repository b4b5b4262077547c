"""Whether a message broker lets the service in: by pika or kombu (Celery's), whichever is installed."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any


def probe(app: Any, address: Callable[[], str], seconds: float) -> None:
    """Open a connection and close it. Raises what the client raises, and LookupError where none is installed."""
    url = address()
    if find_spec("kombu"):
        import kombu

        with kombu.Connection(url, connect_timeout=seconds) as connection:
            connection.connect()
    elif find_spec("pika"):
        import pika

        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = seconds
        pika.BlockingConnection(parameters).close()
    else:
        raise LookupError("neither kombu nor pika is installed")
