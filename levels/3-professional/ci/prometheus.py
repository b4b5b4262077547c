"""The way to an environment's Prometheus: PROMETHEUS_URL where it is set, else port 9090 of its host, through ssh.

`PYTHONPATH=ci python -P -m prometheus ENV` prints the address and what it is, and keeps the way open until its
input ends.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from deploy import settings
from deploy.host import Host
from deploy.settings import Settings
from deploy.shell import Stop

PORT = "9090"


def named(told: Settings) -> str:
    """Return PROMETHEUS_URL, or that of config/<environment>.env; empty where neither is. Raises Stop."""
    url = os.environ.get("PROMETHEUS_URL") or told.plain("PROMETHEUS_URL")
    if url and (not url.startswith(("http://", "https://")) or "@" in urlsplit(url).netloc):
        # Without its value: there may be a password in it.
        raise Stop("PROMETHEUS_URL: expected an address such as http://prometheus:9090, without a user or a password")
    return url.rstrip("/")


@contextlib.contextmanager
def address(told: Settings, host: Host) -> Iterator[str]:
    """Give the address meanwhile at which Prometheus is reached from here; `host` is connected. Raises Stop."""
    if url := named(told):
        yield url
        return
    host.read("true", what="asking the host for its Prometheus")  # the way goes through the connection that this opens
    with host.addresses({"prometheus": ("", PORT)}, "127.0.0.1") as found:
        yield found["prometheus"]


def main() -> int:
    """Read the command line, do it, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no key stays behind
    try:
        told = settings.read(sys.argv[1] if len(sys.argv) == 2 else "")
        if url := named(told):
            print(url, url)
            return 0
        with Host(told).connected() as host, address(told, host) as url:
            print(url, f"port {PORT} of the host of {told.environment}", flush=True)
            sys.stdin.read()
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
