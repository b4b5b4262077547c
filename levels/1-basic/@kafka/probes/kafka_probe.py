"""Whether a Kafka tells about itself: by confluent-kafka or kafka-python, whichever is installed."""

import importlib
from collections.abc import Callable
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Have it answer with its metadata; `client` is confluent-kafka's or None.

    Raises what the library raises, and ImportError where none is installed.
    """
    if client is None:
        servers = address()
        try:
            confluent: Any = importlib.import_module("confluent_kafka.admin")
        except ImportError:
            kafka: Any = importlib.import_module("kafka")
            milliseconds = int(seconds * 1000)
            kafka.KafkaAdminClient(bootstrap_servers=servers.split(","), request_timeout_ms=milliseconds).close()
            return
        client = confluent.AdminClient({"bootstrap.servers": servers, "log_level": 0})
    client.list_topics(timeout=seconds)
