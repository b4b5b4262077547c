"""Whether a bucket of S3 is there for the service, which needs the right s3:ListBucket."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Ask for its head. `address` gives its name, `client` is boto3's or None.

    Raises what botocore raises, and ImportError without boto3.
    """
    client = own(seconds) if client is None else getattr(client.meta, "client", client)
    client.head_bucket(Bucket=address())


@cache
def own(seconds: float) -> Any:
    """Return a client by what the environment says; to make one takes a tenth of a second."""
    boto3: Any = importlib.import_module("boto3")
    timeouts = {"connect_timeout": seconds, "read_timeout": seconds}
    config = importlib.import_module("botocore.config").Config(**timeouts, retries={"total_max_attempts": 1})
    return boto3.session.Session().client("s3", config=config)  # the session of boto3.client is for one thread
