"""The load client of the proofs counts every request once, and each that failed by its kind."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle

import pytest

from tests.support.load import Counts, Requests, under_load
from tests.support.servers import free_port

BODY = b'{"version": "abc"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
    + BODY[:5]
    + b"\r\nd\r\n"
    + BODY[5:]
    + b"\r\n0\r\n\r\n"
)
# What the server does with a request, by what the client has to call it.
PLAN = [
    *["answered"] * 20,
    "closed",
    *["answered in chunks"] * 3,
    "reset",
    "cut",
    "cut in the head",
    *["answered, then closed as announced"] * 2,
    "status 503",
    "status 404",
    "unreadable",
    "timeout",
    *["answered, to the end of the connection"] * 2,
]


class Breaking(socketserver.StreamRequestHandler):
    """Answers requests in the order of the plan, whichever connection they come by."""

    server: BreakingServer

    def handle(self) -> None:
        while head := self.read_request():
            with self.server.lock:
                what = next(self.server.plan)
                self.server.done[what] += 1
                self.server.bodies.append(head)
            if not self.answer(what):
                return

    def read_request(self) -> bytes:
        length = 0
        try:
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
        except ConnectionError:
            return b""
        return (self.rfile.read(length) or b"none") if line else b""

    def answer(self, what: str) -> bool:
        """Whether the connection stays open."""
        status = what.removeprefix("status ")
        answers = {
            "answered": OK,
            "answered in chunks": CHUNKED,
            "cut": OK[:-5],
            "cut in the head": OK[:20],
            "answered, then closed as announced": OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
            "answered, to the end of the connection": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
            "unreadable": b"nonsense\r\n\r\n",
        }
        if status != what:
            self.wfile.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        if release := what.removeprefix("release ").encode() if what.startswith("release ") else b"":
            self.wfile.write(OK.replace(b"OK\r\n", b"OK\r\nX-Release: " + release + b"\r\n"))
            return True
        if what == "timeout":
            time.sleep(1.5)
        if what == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()
        self.wfile.write(answers.get(what, b"")) if what in answers else None
        return what in ("answered", "answered in chunks")


class BreakingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 100

    def __init__(self, plan: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Breaking)
        self.plan, self.lock, self.done = cycle(plan), threading.Lock(), Counter[str]()
        self.bodies: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/some/path?a=1"

    def expected(self) -> Counter[str]:
        """What it did, by the words of the client."""
        found = Counter[str]()
        for what, number in self.done.items():
            found[what if what.startswith("status") else what.split(" in ")[0].split(",")[0]] += number
        return found

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that is gone


@pytest.fixture
def server() -> Iterator[BreakingServer]:
    with BreakingServer(PLAN) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize("requests", [{}, {"method": "POST", "body": b"x" * 1000}], ids=["GET", "POST"])
def test_every_broken_connection_is_counted(server: BreakingServer, requests: dict[str, object]) -> None:
    with under_load(Requests(server.url, timeout=0.5, **requests), clients=4) as counts:  # type: ignore[arg-type]
        wait_for(counts, 3 * len(PLAN))
    assert counts.outcomes == server.expected()
    assert {*counts.failed} == {"closed", "reset", "cut", "status 503", "status 404", "unreadable", "timeout"}
    assert counts.failed["closed"] >= 3
    assert counts.requests == sum(server.done.values()) == len(counts.failures) + len(counts.latencies)
    assert counts.versions == {"abc": counts.outcomes["answered"]}
    assert set(server.bodies) == {requests.get("body", b"none")}
    assert counts.closed_between == 0
    assert counts.longest_gap > 0 and counts.percentile(0.5) < 0.5
    for kind in counts.failed:
        assert f"{kind} {counts.failed[kind]}" in str(counts)


def test_an_answer_of_an_older_release_than_one_before_is_seen(server: BreakingServer) -> None:
    server.plan = cycle(["release 9"] * 2 + ["release 10"] * 4 + ["release 9"] * 3 + ["release 10"] * 10_000)
    with under_load(Requests(server.url), clients=1) as counts:
        wait_for(counts, 30)
    assert counts.went_back == 3
    assert counts.named["9"] == 5 and counts.named.total() == counts.requests
    server.plan = cycle(["release 9"] * 20 + ["release 10"] * 10_000)
    with under_load(Requests(server.url), clients=1) as counts:
        wait_for(counts, 30)
    assert counts.went_back == 0


def test_what_is_closed_between_two_requests_is_no_failure(server: BreakingServer) -> None:
    server.plan = cycle(["answered, but closed"])
    original = Breaking.answer

    def answer(self: Breaking, what: str) -> bool:
        original(self, "answered")
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Breaking, "answer", answer)
        with under_load(Requests(server.url, pause=0.05), clients=2) as counts:
            wait_for(counts, 20)
    assert not counts.failed
    assert counts.connections >= 20 and counts.closed_between >= 18


def test_where_nobody_listens_every_request_is_refused() -> None:
    with under_load(Requests(f"http://127.0.0.1:{free_port()}/"), clients=2) as counts:
        wait_for(counts, 10)
    assert counts.outcomes == {"refused": counts.requests}
    assert counts.longest_gap == counts.seconds


def test_a_slow_body_is_sent_whole(server: BreakingServer) -> None:
    server.plan = cycle(["answered"])
    slow = Requests(server.url, "POST", body=b"0123456789" * 10, body_seconds=0.2, timeout=0.1)
    with under_load(slow, clients=2) as counts:
        wait_for(counts, 4)
    assert not counts.failed and min(counts.latencies) > 0.2
    assert set(server.bodies) == {b"0123456789" * 10}


def wait_for(counts: Counts, requests: int) -> None:
    end = time.monotonic() + 30
    while counts.requests < requests:
        assert time.monotonic() < end, counts.outcomes
        time.sleep(0.02)
