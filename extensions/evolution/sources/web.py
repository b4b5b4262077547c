"""Asking a server over HTTP for JSON, within a time limit whatever it does, and without handing a token
on.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...project.git_and_files import shown

T = TypeVar("T")
LIMIT = 10.0  # seconds for all questions to one server
SILENCE = 5.0  # seconds without a byte
LARGEST = 10_000_000  # bytes of an answer


class NotMeasured(Exception):
    """A source gives no figure; the message is one line that says why."""


class Answered(Exception):
    """The server answered with no status of success."""

    def __init__(self, status: int, headers: Mapping[str, str], message: str) -> None:
        """Take the status, the headers, and what the body says of it, fit for one line."""
        super().__init__(f"{status}{f': {message}' if message else ''}")
        self.status, self.headers, self.message = status, headers, message


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to the same server only: urllib would send the token to any other one too."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def within(seconds: float, name: str, ask: Callable[[float], T]) -> T:
    """What `ask` returns, given the moment (of time.monotonic) to be ready by.

    Raises NotMeasured where it isn't, and what `ask` raises.

    It runs in a thread that is left behind when it is late: looking up a host's name can't be ended in any
    other way.
    """
    done: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            done.append(ask(time.monotonic() + seconds))
        except Exception as error:  # handed on to the caller, below
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds + 1)
    if failed:
        raise failed[0]
    if not done:
        raise NotMeasured(f"{name} didn't answer within {seconds:g} s")
    return done[0]


def get(
    url: str, by: float, headers: Mapping[str, str] | None = None, body: Any = None, method: str | None = None
) -> Any:
    """The JSON that `url` answers to a GET, or to a POST (or another `method`) of `body` as JSON.

    `by` is the moment (of time.monotonic) to be ready by. Raises Answered for a status that isn't one of
    success, and NotMeasured where there is no answer, no JSON, or no time left.
    """
    host = urlsplit(url).netloc
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url,
        data=data,
        method=method,
        headers={"User-Agent": "copier-levels", "Accept": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.build_opener(_SameServer()).open(request, timeout=_left(by, host)) as response:
            text = _read(response, by, host)
    except urllib.error.HTTPError as error:
        with error:
            raise Answered(
                error.code,
                {key.lower(): value for key, value in error.headers.items()},
                _message(error, by, host),
            ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise NotMeasured(f"{shown(host)} didn't answer in time") from None
        raise NotMeasured(f"{shown(host)} can't be reached ({shown(str(reason))[:120]})") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise NotMeasured(f"{shown(host)} doesn't answer with JSON") from None


def _left(by: float, host: str) -> float:
    """Seconds that may be waited for the next byte. Raises NotMeasured where there are none."""
    left = by - time.monotonic()
    if left <= 0:
        raise NotMeasured(f"{shown(host)} didn't answer in time")
    return min(SILENCE, left)


def _read(response: Any, by: float, host: str) -> bytes:
    """The body, read piece by piece: a server that sends a byte a second is late too. Raises NotMeasured."""
    pieces, size = [], 0
    while piece := response.read1(65536):
        _left(by, host)
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise NotMeasured(f"{shown(host)} answers with over {LARGEST // 1_000_000} MB")
    return b"".join(pieces)


def _message(error: urllib.error.HTTPError, by: float, host: str) -> str:
    """What the body of an error says, as GitHub (`message`) and Prometheus (`error`) have it."""
    try:
        body = json.loads(_read(error, by, host))
        text = body.get("message") or body.get("error") or ""
    except (OSError, ValueError, AttributeError, RecursionError, NotMeasured, http.client.HTTPException):
        return ""
    return shown(str(text))[:200]
