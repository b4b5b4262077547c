"""What the metrics of level 3 cost: CPU seconds of a service through gunicorn, with the flag on and off.

Both services run at the same time, one worker each, and are asked in turn for an empty route, one that
returns {}; the ratio is that of the CPU seconds of their workers, round by round. At most 1.05 is asked for.

    .venv/bin/python -m benchmarks.metrics [--worker-class gthread] [--rounds 200] [--requests 100]
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import a_service
from tests.support.projects import ROOT
from tests.support.servers import free_port, get

SOURCE = ROOT / "levels/3-professional/runtime/metrics.py"
APP = """\
import os

from flask import Flask

from .health import init_service

app = init_service(Flask("shop"), "shop")
app.add_url_rule("/empty", "empty", lambda: {})
app.add_url_rule("/worker", "worker", lambda: {"process": os.getpid()})
"""


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker-class", default="sync")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--requests", type=int, default=100)
    options = parser.parse_args()
    with ExitStack() as stack:
        ports, workers = [], []
        for flags in ("", "service_metrics"):
            port = stack.enter_context(served(options.worker_class, flags))
            ports.append(port)
            workers.append(get(f"http://127.0.0.1:{port}/worker")[1]["process"])
            ask(port, options.requests)  # warm
        ratios, costs = [], []
        for _ in range(options.rounds):
            spent = []
            for port, worker in zip(ports, workers, strict=True):
                begun = cpu(worker)
                ask(port, options.requests)
                spent.append((cpu(worker) - begun) / options.requests * 1e6)
            costs.append(spent)
            ratios.append(spent[1] / spent[0])
    off, on = (statistics.median(one) for one in zip(*costs, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
        f"{options.worker_class}: {off:.0f} µs of CPU a request, with metrics {on:.0f};"
        f" ratio {middle:.3f} ({low:.3f} to {high:.3f})"
    )


@contextmanager
def served(worker_class: str, flags: str) -> Iterator[int]:
    """The port of a service under gunicorn, with one worker."""
    with tempfile.TemporaryDirectory(prefix="metrics-bench.") as name:
        folder, port = Path(name), free_port()
        service = a_service.make(folder, metrics=SOURCE.read_text())
        (service / "app.py").write_text(APP)
        options = ["--no-control-socket", f"--worker-class={worker_class}", f"--bind=127.0.0.1:{port}"]
        env = {**os.environ, "FEATURE_FLAGS": flags, "METRICS_PORT": str(free_port()), "TMPDIR": name}
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "services.shop.app:app"],
            cwd=folder,
            env=env,
            stderr=subprocess.DEVNULL,
        )
        try:
            end = time.monotonic() + 30
            while get(f"http://127.0.0.1:{port}/empty")[0] != 200:
                assert server.poll() is None and time.monotonic() < end
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()
            server.wait(20)


def ask(port: int, times: int) -> None:
    """Ask for the empty route, over one connection for as long as the server keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(times):
        connection.request("GET", "/empty")
        response = connection.getresponse()
        assert response.read() == b"{}\n"
    connection.close()


def cpu(process: int) -> float:
    """Return the CPU seconds of a process of this machine, to the nanosecond (Linux)."""
    return time.clock_gettime((~process << 3) | 2)


if __name__ == "__main__":
    main()
