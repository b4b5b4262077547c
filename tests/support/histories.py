"""A past of the metrics that services of level 3 serve, as Prometheus would have it, and a Prometheus that has
it. Nothing is scraped: promtool writes the samples as blocks.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.proofs import answers

STEP = 240  # seconds between two samples; Prometheus takes one of five minutes ago for the present
DAY = 86_400


class Past:
    """Series of one environment: a sample each `step` seconds from `begin` to `end`."""

    def __init__(
        self, environment: str, begin: float, end: float, project: str = "shop", step: float = STEP
    ) -> None:
        self.begin, self.end, self.step = begin, end, step
        self.labels = f'project="{project}",environment="{environment}"'
        self.lines: dict[str, list[str]] = {}

    def times(self) -> Iterator[float]:
        at = self.begin
        while at <= self.end:
            yield at
            at += self.step

    def add(self, name: str, labels: str, value: Callable[[float], float | None]) -> None:
        """Add a series; where `value` gives None there is no sample."""
        lines = self.lines.setdefault(name, [])
        for at in self.times():
            if (number := value(at)) is not None:
                lines.append(f"{name}{{{labels},{self.labels}}} {number:.10g} {at:.3f}")

    def served(
        self,
        service: str,
        a_minute: Callable[[float], tuple[float, float]],
        up: Callable[[float], float | None] = lambda at: 1.0,
        instance: str = "a:9464",
    ) -> None:
        """A service that answers so many requests a minute, and so many by a failure, while it is `up`; nine of
        ten within half a second.
        """
        job = f'job="services",service="{service}",instance="{instance}"'
        self.add("up", job, up)
        name = "http_server_request_duration_seconds"
        for status, which in (("200", 0), ("500", 1)):
            labels = f'{job},http_route="/prices",http_request_method="GET"'
            labels += f',http_response_status_code="{status}"'
            for series, more, share in ((f"{name}_count", "", 1.0), (f"{name}_bucket", ',le="0.5"', 0.9)):
                count = [0.0]

                def counted(
                    at: float, which: int = which, share: float = share, count: list[float] = count
                ) -> float | None:
                    count[0] += a_minute(at)[which] * share * self.step / 60
                    return count[0] if up(at) else None

                self.add(series, labels + more, counted)

    def recorded(self, service: str, a_minute: Callable[[float], tuple[float, float]]) -> None:
        """What the rules of a project recorded meanwhile of what was `served`: requests a second, and bad ones."""
        for slo, bad in (
            ("availability", lambda good, failed: failed),
            ("latency", lambda good, failed: (good + failed) * 0.1),
        ):
            labels = f'service="{service}",slo="{slo}"'
            self.add("service:slo_all:rate1m", labels, lambda at: sum(a_minute(at)) / 60)
            self.add("service:slo_bad:rate1m", labels, lambda at, bad=bad: bad(*a_minute(at)) / 60)
        self.add("service:requests:rate5m", f'service="{service}"', lambda at: sum(a_minute(at)) / 60)

    def saw(self, service: str, instance: str, at: float, users: Iterable[str]) -> None:
        """What an instance shows at a time of the users that it saw that day."""
        lines = self.lines.setdefault("users_daily_sketch", [])
        ranks = registers(users, str(int(at // DAY)))
        labels = f'job="services",service="{service}",instance="{instance}",{self.labels}'
        lines += [
            f'users_daily_sketch{{register="{number}",{labels}}} {rank} {at:.0f}'
            for number, rank in enumerate(ranks)
        ]


def registers(users: Iterable[str], key: str) -> list[int]:
    """The 256 registers of a HyperLogLog sketch: each the highest rank of a user's hash that fell into it."""
    found = [0] * 256
    for user in users:
        digest = hashlib.sha256(f"{key}:{user}".encode()).digest()
        rest = int.from_bytes(digest[1:8], "big")
        found[digest[0]] = max(found[digest[0]], 56 - rest.bit_length() + 1)
    return found


def written(folder: Path, *pasts: Past) -> None:
    """Write the samples into `folder`, as Prometheus keeps them."""
    folder.mkdir(parents=True)
    together: dict[str, list[str]] = {}
    for past in pasts:
        for name, lines in past.lines.items():
            together.setdefault(name, []).extend(lines)
    with (folder / "samples").open("w") as file:
        for name, lines in together.items():
            lines.sort(key=lambda line: float(line.rpartition(" ")[2]))
            file.write(f"# TYPE {name} unknown\n" + "\n".join(lines) + "\n")
        file.write("# EOF\n")
    # In blocks of two hours, as it would by itself, this takes minutes.
    make = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=256h", "openmetrics"]
    subprocess.run([*make, "samples", "data"], cwd=folder, check=True, capture_output=True)


@contextmanager
def running_prometheus(
    folder: Path, target: str = "", port: int = 0, rules: Sequence[Path] = ()
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Prometheus over the samples in `folder`, scraping `target` and evaluating `rules` each second; yields its
    address and process.
    """
    program = shutil.which("prometheus")
    assert program, "Prometheus from Debian: apt-get install prometheus"
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [{"job_name": "api", "static_configs": [{"targets": [target]}]}] if target else []
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    told = {"global": often, "scrape_configs": jobs, "rule_files": list(map(str, rules))}
    (folder / "prometheus.yml").write_text(json.dumps(told))
    listen = [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=400d"]
    command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", *listen]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while not answers(f"http://127.0.0.1:{port}/-/ready"):
            assert server.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.send_signal(signal.SIGCONT)
        server.terminate()
        server.wait(20)
