"""Whether a message broker lets the service in: by pika or kombu (Celery's), whichever is installed."""

import importlib
from collections.abc import Callable
from typing import Any


def probe(app: Any, address: Callable[[], str], seconds: float) -> None:
    """Open a connection and close it. Raises what the client raises, and ImportError where none is installed."""
    url = address()
    try:
        kombu: Any = importlib.import_module("kombu")
    except ImportError:
        pika: Any = importlib.import_module("pika")
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = seconds
        pika.BlockingConnection(parameters).close()
        return
    with kombu.Connection(url, connect_timeout=seconds) as connection:
        connection.connect()
