"""Whether another service answers over HTTP."""

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Send a HEAD request. Any answer will do but one that says that the server is at fault. Raises OSError."""
    url = address()
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected an http(s) address")
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500 and error.code != 501:  # 501: it knows no HEAD
            raise
