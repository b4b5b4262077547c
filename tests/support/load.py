"""Load by keep-alive clients that count every request once and never repeat one, so that no broken connection is
hidden. By hand: `python -m tests.support.load URL SECONDS CLIENTS`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

ANSWERED = "answered"  # the one outcome that is no failure: 2xx, and the whole of it


class Cut(Exception):
    """The connection ended within an answer."""


@dataclass(frozen=True)
class Requests:
    """What every client sends. A body can take its time, so that a request is under way at any moment."""

    url: str
    method: str = "GET"
    body: bytes = b""
    body_seconds: float = 0
    pause: float = 0
    timeout: float = 10
    headers: tuple[tuple[str, str], ...] = ()

    def head(self) -> bytes:
        """The request without its body."""
        where = urllib.parse.urlsplit(self.url)
        path = (where.path or "/") + (f"?{where.query}" if where.query else "")
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        if not any(name.lower() == "host" for name, _ in self.headers):
            lines.append(f"Host: {where.netloc}")
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Counts:
    """What came of the requests, while they are made and afterwards.

    A kind of outcome is `answered`, `status 503` and the like, `refused`, `reset`, `closed` (the connection was ended
    instead of an answer), `cut` (within an answer), `timeout` or `unreadable`.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    # Ended by the server while no request was under way: as HTTP allows, and no failure.
    closed_between: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)  # seconds since the start, and the kind
    answers: list[float] = field(default_factory=list)  # seconds since the start
    # Of each answer: when its request began, when it was there, and what X-Release named.
    releases: list[tuple[float, float, str]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    seconds: float = 0

    def add(self, kind: str, begun: float, version: str = "", release: str = "") -> None:
        """Count a request that began at a time of `time.monotonic`."""
        now = time.monotonic()
        self.outcomes[kind] += 1
        if kind == ANSWERED:
            self.latencies.append(now - begun)
            self.answers.append(now - self.begun)
            self.versions[version] += 1
            self.releases.append((begun, now, release))
        else:
            self.failures.append((now - self.begun, kind))

    @property
    def requests(self) -> int:
        return self.outcomes.total()

    @property
    def failed(self) -> Counter[str]:
        """Those that were not answered, by kind."""
        return Counter({kind: number for kind, number in self.outcomes.items() if kind != ANSWERED})

    @property
    def named(self) -> Counter[str]:
        """How many answers named which release."""
        return Counter(release for _, _, release in self.releases)

    @property
    def went_back(self) -> int:
        """Answers by an older release than one that had answered before the request began."""
        number, newest, earlier = 0, 0, sorted((end, int(release)) for _, end, release in self.releases)
        place = 0
        for begun, _, release in sorted(self.releases):
            while place < len(earlier) and earlier[place][0] <= begun:
                newest = max(newest, earlier[place][1])
                place += 1
            number += int(release) < newest
        return number

    @property
    def longest_gap(self) -> float:
        """Seconds without an answer to any client."""
        return max(after - before for before, after in pairwise([0, *self.answers, self.seconds]))

    def percentile(self, share: float) -> float:
        """The latency that this share of the answered requests kept below."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def __str__(self) -> str:
        failed = ", ".join(f"{kind} {number}" for kind, number in sorted(self.failed.items())) or "none"
        return (
            f"{self.requests} requests in {self.seconds:.1f} s, {self.failed.total()} failed ({failed}), longest gap"
            f" {self.longest_gap:.3f} s, median {self.percentile(0.5) * 1000:.1f} ms, 99%"
            f" {self.percentile(0.99) * 1000:.1f} ms, versions {dict(self.versions)}"
        )


@contextmanager
def under_load(requests: Requests, clients: int = 8) -> Iterator[Counts]:
    """Have clients send requests for as long as the block runs; the counts are complete after it.

    Requests that are under way at the end are waited for.
    """
    counts, stop = Counts(), threading.Event()
    wrong: list[BaseException] = []

    async def everyone() -> None:
        await asyncio.gather(*(_client(requests, counts, stop) for _ in range(clients)))

    def work() -> None:
        try:
            asyncio.run(everyone())
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=work, name="load", daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        stop.set()
        thread.join(2 * requests.timeout + requests.body_seconds + 5)
        counts.seconds = time.monotonic() - counts.begun
    if wrong:
        raise wrong[0]
    assert not thread.is_alive(), "a client hangs"


async def _client(requests: Requests, counts: Counts, stop: threading.Event) -> None:
    where = urllib.parse.urlsplit(requests.url)
    head = requests.head()
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while not stop.is_set():
        if connection:
            await asyncio.sleep(0)  # an end that has arrived is seen
            reader, writer = connection
            if reader.at_eof() or reader.exception():
                counts.closed_between += 1
                await _close(writer)
                connection = None
        begun = time.monotonic()
        try:
            if connection is None:
                async with asyncio.timeout(requests.timeout):
                    connection = await asyncio.open_connection(where.hostname, where.port or 80)
                counts.connections += 1
            reader, writer = connection
            async with asyncio.timeout(requests.timeout + requests.body_seconds):
                await _send(writer, head, requests)
                status, body, keep, release = await _answer(reader)
        except TimeoutError:
            kind, keep = "timeout", False
        except Cut:
            kind, keep = "cut", False
        except asyncio.IncompleteReadError as error:
            kind, keep = "cut" if error.partial else "closed", False
        except ConnectionRefusedError:
            kind, keep = "refused", False
        except OSError:
            kind, keep = "reset", False
        except (ValueError, IndexError, asyncio.LimitOverrunError):
            kind, keep = "unreadable", False
        else:
            kind = ANSWERED if 200 <= status < 300 else f"status {status}"
        if kind == ANSWERED:
            counts.add(kind, begun, _version(body), release)
        else:
            counts.add(kind, begun)
        if not keep and connection:
            await _close(connection[1])
            connection = None
        if pause := requests.pause or (0.01 if kind == "refused" else 0):
            await asyncio.sleep(pause)
    if connection:
        await _close(connection[1])


async def _send(writer: asyncio.StreamWriter, head: bytes, requests: Requests) -> None:
    if not requests.body_seconds:
        writer.write(head + requests.body)
    else:
        middle = len(requests.body) // 2
        writer.write(head + requests.body[:middle])
        await writer.drain()
        await asyncio.sleep(requests.body_seconds)
        writer.write(requests.body[middle:])
    await writer.drain()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool, str]:
    """Status, body, whether the connection can be used again, and what X-Release names."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    protocol, status = first.split(" ")[:2]
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    keep = headers.get("connection", "").lower() != "close" and protocol == "HTTP/1.1"
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        elif status in ("204", "304"):
            body = b""
        else:
            body, keep = await reader.read(), False
    except asyncio.IncompleteReadError as error:
        raise Cut from error
    return int(status), body, keep, headers.get("x-release", "")


def _version(body: bytes) -> str:
    """The version that an answer names, as health responses do."""
    with suppress(ValueError, AttributeError):
        return str(json.loads(body).get("version", ""))
    return ""


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


if __name__ == "__main__":
    with under_load(Requests(sys.argv[1]), int(sys.argv[3])) as result:
        time.sleep(float(sys.argv[2]))
    print(result)
