"""The monitoring of a project with its real programs, Debian's, on loopback, and its time sixty times as fast."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.debian import unpacked
from tests.support.projects import Project
from tests.support.servers import PythonServer

PACKAGES = (
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-blackbox-exporter",
    "prometheus-node-exporter",
)
BY = 60
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# What is a length of time in a rule file, in prometheus.yml and in Alertmanager's settings: a range, how long an
# alert is pending, how often something is done, and how far `predict_linear` looks ahead.
DURATION = re.compile(r'(\[|\b(?:for|\w*interval|\w*wait)"?: "?)(\d+)([smhd])\b')
AHEAD = re.compile(r"(predict_linear\([^()]*, )(\d+)(?=\))")

# The project's own code writes its files and Alertmanager's settings; the host is this machine, without an engine.
WRITE = """\
import subprocess, sys
from deploy import monitoring, settings
class Here:
    environment, name = "production", "shop-production"
    def read(self, command, text="", what=""):
        return subprocess.run(["sh", "-ec", command], cwd=sys.argv[1], input=text, stdout=-1, text=True, check=True).stdout
monitoring.UP = "true"
monitoring.start(Here(), monitoring.files_of(Here(), settings.read("production")))
"""


def scaled(text: str) -> str:
    """The text with each length of time in it divided by BY; nothing else is changed."""
    text = DURATION.sub(lambda found: f"{found[1]}{int(found[2]) * SECONDS[found[3]] * 1000 // BY}ms", text)
    return AHEAD.sub(lambda found: f"{found[1]}{int(found[2]) // BY}", text)


class Stack:
    """Prometheus, Alertmanager, node-exporter and blackbox-exporter with a project's files in `folder`."""

    def __init__(self, project: Project, folder: Path, caches: Path) -> None:
        self.folder = folder / "deploy/monitoring"
        (folder / "deploy/shop-production").mkdir(parents=True)
        subprocess.run(
            [sys.executable, "-P", "-c", WRITE, str(folder / "deploy/shop-production")],
            cwd=project.folder,
            env={"PYTHONPATH": "ci", "PATH": "/usr/bin:/bin"},
            check=True,
        )
        files = unpacked(caches, "monitoring", PACKAGES)
        at = "--web.listen-address=127.0.0.1"
        own = self.folder

        # Alertmanager opens its templates in /usr/share; for it alone, what was unpacked stands there.
        mount = f'mount --bind {files}/usr/share /usr/share && exec "$@"'

        def server(name: str, *options: str) -> PythonServer:
            start = [] if "alert" not in name else ["unshare", "--mount", "sh", "-ec", mount, "sh"]
            return PythonServer(
                lambda folder, port: [*start, str(files / "usr/bin" / name), f"{at}:{port}", *options],
                _made(folder / name),
            )

        self.node = server("prometheus-node-exporter")
        self.blackbox = server(
            "prometheus-blackbox-exporter",
            f"--config.file={files}/etc/prometheus/blackbox.yml",
            "--timeout-offset=0.01",
        )
        self.alertmanager = server(
            "prometheus-alertmanager",
            f"--config.file={own}/alertmanager.json",
            f"--storage.path={folder}/alertmanager-data",
            "--cluster.listen-address=",
        )
        # Those two are Prometheus' own lengths of time: 5 minutes and 1.
        self.prometheus = server(
            "prometheus",
            f"--config.file={own}/prometheus.yml",
            f"--storage.tsdb.path={folder}/past/data",
            "--storage.tsdb.retention.time=90d",
            "--query.lookback-delta=5s",
            "--rules.alert.resend-delay=1s",
        )
        self.servers = (self.node, self.blackbox, self.alertmanager, self.prometheus)
        self.url = f"http://127.0.0.1:{self.prometheus.port}"
        self._move()

    def _move(self) -> None:
        """Names of containers become ports of this machine, and time goes faster."""
        for file in (self.folder / "rules").glob("*.yml"):
            file.write_text(scaled(file.read_text()))
        places = {
            "alertmanager:9093": self.alertmanager,
            "node-exporter:9100": self.node,
            "blackbox-exporter:9115": self.blackbox,
            "localhost:9090": self.prometheus,
        }
        file = self.folder / "prometheus.yml"
        text = file.read_text()
        for name, server in places.items():
            assert name in text
            text = text.replace(name, f"127.0.0.1:{server.port}")
        file.write_text(scaled(text))
        file = self.folder / "alertmanager.json"
        told = json.loads(file.read_text().replace("/etc/alertmanager/", f"{self.folder}/"))
        told["route"] = {  # what holds where it says nothing
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            **told["route"],
        }
        file.write_text(scaled(json.dumps(told)))

    def watch(self, name: str, entries: list[dict[str, object]]) -> None:
        """What a deploy writes: `name` is targets or probes."""
        (self.folder / name / "shop-production.json").write_text(json.dumps(entries))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
