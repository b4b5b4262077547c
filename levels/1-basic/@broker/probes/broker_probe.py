"""Whether a message broker lets the service in: as Celery's app does, or by pika or kombu, whichever is installed."""

import importlib
from collections.abc import Callable
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Open a connection and close it; `client` is a Celery app or None.

    Raises what the library raises, and ImportError where none is installed.
    """
    if client is not None:
        opened = client.connection_for_read(connect_timeout=seconds)
    else:
        url = address()
        try:
            kombu: Any = importlib.import_module("kombu")
        except ImportError:
            pika: Any = importlib.import_module("pika")
            parameters = pika.URLParameters(url)
            parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = seconds
            pika.BlockingConnection(parameters).close()
            return
        opened = kombu.Connection(url, connect_timeout=seconds)
    with opened as connection:
        connection.connect()
