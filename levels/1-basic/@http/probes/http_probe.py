"""Whether another service answers over HTTP."""

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any


def probe(app: Any, client: Any, address: Callable[[], str], seconds: float) -> None:
    """Ask by HEAD, and by GET where that isn't known. Any answer will do but one of 500 and above.

    Raises OSError.
    """
    url = address()
    if not url.startswith(("http://", "https://")):
        raise ValueError("expected an http(s) URL")
    for method in ("HEAD", "GET"):
        try:
            urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=seconds).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            if method == "GET" or error.code not in (405, 501):
                if error.code >= 500:
                    raise
                return
