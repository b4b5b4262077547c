"""The monitoring of a host: Prometheus, Alertmanager and Grafana beside the services, one for all projects there.

    monitoring ENV         start it on the environment's host, or bring it up to date; DRY_RUN=1 says what there would be

They listen on the host's own 127.0.0.1 alone: the command ends with how to reach them through ssh. What is the
project's own is in files of its name, in ~/deploy/monitoring: its rules, where its containers are, which host
names have certificates, and the address that alerts go to (ALERT_WEBHOOK in config/<environment>.env).
"""

import json
import os
import shlex
import sys
from typing import Any

import flags
import uv

from . import proxy, settings
from .compose import Compose
from .host import Host
from .releases import Release
from .settings import Settings
from .shell import Stop

NETWORK = "deploy-monitoring"  # also the name of the Compose project
METRICS = 9464  # where services serve their metrics
HOME = "../monitoring"  # from the environment's folder on the host
# Each listens on the port of the same number on the host.
PORTS = {"prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
IMAGES = {
    "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
    "grafana": "grafana/grafana:12.1.0",
    "node-exporter": "prom/node-exporter:v1.9.1",
    "blackbox-exporter": "prom/blackbox-exporter:v0.27.0",
}
KEEP = "35d"  # of samples: an error budget is of 30 days
SERVICES: dict[str, dict[str, Any]] = {
    "prometheus": {
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={KEEP}",
        ],
        "volumes": [".:/etc/prometheus:ro", "prometheus:/prometheus"],
    },
    "alertmanager": {
        "command": ["--config.file=/etc/alertmanager/alertmanager.json", "--storage.path=/alertmanager"],
        "user": "root",  # the addresses that alerts go to are readable for their owner alone
        "volumes": [".:/etc/alertmanager:ro", "alertmanager:/alertmanager"],
    },
    "grafana": {
        "environment": {
            # Who reaches it has a login on the host: everybody may look, and there is no password to guess.
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        },
        "volumes": [
            "./grafana:/etc/grafana/provisioning:ro",
            "./dashboards:/dashboards:ro",
            "grafana:/var/lib/grafana",
        ],
    },
    "node-exporter": {"command": ["--path.rootfs=/host"], "volumes": ["/:/host:ro,rslave"]},
    "blackbox-exporter": {},
}
# Where Grafana finds Prometheus, and the dashboards.
SOURCES = {
    "apiVersion": 1,
    "datasources": [{"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "url": "http://prometheus:9090"}],
}
DASHBOARDS = {"apiVersion": 1, "providers": [{"name": "levels", "type": "file", "options": {"path": "/dashboards"}}]}
# Changed files are read again by those that run already; Grafana looks at its dashboards by itself.
UP = """cd {home} && docker compose --progress quiet -p {name} --project-directory . -f compose.json up --detach --wait --wait-timeout 120 --remove-orphans &&
docker compose -p {name} --project-directory . -f compose.json kill --signal HUP prometheus alertmanager"""
WEBHOOKS = {"ALERT_WEBHOOK": "alerts", "ALERT_HEARTBEAT": "heartbeat"}


def main() -> int:
    """Start the monitoring of ENV's host, and return the exit code."""
    environment, dry_run = os.environ.get("ENV", ""), bool(os.environ.get("DRY_RUN"))
    try:
        told = settings.read(environment)
        if flags.off("monitoring_dashboards", environment, f"the monitoring of {environment}"):
            return 0
        with Host(told).connected() as host:
            host.check()
            files = files_of(host, told)
            if dry_run:
                print("\n".join(f"would write ~/deploy/monitoring/{name}" for name in files))
                print("\n".join(f"would run {image}" for image in IMAGES.values()))
                return 0
            start(host, files)
            target = Compose(host, told, settings.rules())
            if release := target.last():
                watch(target, [release])
            ways = " ".join(f"-L {port}:127.0.0.1:{port}" for port in PORTS.values())
            at = f"{f'-p {host.port} ' if host.port else ''}{host.address}"
            print(f"{environment} is watched. `ssh -N {ways} {at}` leads there; then")
            print("\n".join(f"  http://127.0.0.1:{port} is {name.capitalize()}" for name, port in PORTS.items()))
            if not told.plain("ALERT_WEBHOOK"):
                print(f"ALERT_WEBHOOK isn't set in config/{environment}.env: alerts are shown, and sent to nobody")
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    return 0


def files_of(host: Host, told: Settings) -> dict[str, str]:
    """Return the files that stand in ~/deploy/monitoring, by name. Raises Stop for an address that is none."""
    own, project = uv.ROOT / "monitoring", uv.PROJECT["project"]
    files = {"prometheus.yml": (own / "prometheus.yml").read_text(encoding="utf-8")}
    files["rules/host.yml"] = (own / "host-rules.yml").read_text(encoding="utf-8")
    files[f"rules/{project}.yml"] = (own / "rules.yml").read_text(encoding="utf-8")
    for file in sorted((own / "dashboards").glob("*.json")):
        files[f"dashboards/{file.name}"] = file.read_text(encoding="utf-8")
    files["grafana/datasources/levels.yml"] = json.dumps(SOURCES)
    files["grafana/dashboards/levels.yml"] = json.dumps(DASHBOARDS)
    names = [f"https://{name}/-/health" for name, _ in proxy.reached(told).values() if name]
    files[f"certificates/{host.name}.json"] = json.dumps([{"targets": names, "labels": labels(told.environment)}])
    for key, kind in WEBHOOKS.items():
        url = told.plain(key)
        if url and not url.startswith(("https://", "http://")):
            raise Stop(f"config/{told.environment}.env: {key}: expected an address, as https://…")  # it may be a secret
        files[f"hooks/{host.name}.{kind}"] = url
        files[f"hooks/{host.name}.{kind}.json"] = json.dumps({**labels(told.environment), "kind": kind} if url else {})
    files["compose.json"] = compose_file()
    return files


def compose_file() -> str:
    """Return the Compose file of the stack, as JSON."""
    services = {}
    for name, more in SERVICES.items():
        one = {"image": IMAGES[name], "restart": "unless-stopped", "networks": [NETWORK], "logging": proxy.LOGS, **more}
        if name in PORTS:
            one["ports"] = [f"127.0.0.1:{PORTS[name]}:{PORTS[name]}"]
        services[name] = one
    parts = {"services": services, "networks": {NETWORK: {"name": NETWORK}}}
    return json.dumps({**parts, "volumes": {name: {} for name in PORTS}}, indent=2)


def start(host: Host, files: dict[str, str]) -> None:
    """Write the files, and have the stack run with them. Raises Stop."""
    folders = sorted({name.rpartition("/")[0] for name in files} - {""})
    host.read(f"mkdir -p {' '.join(f'{HOME}/{name}' for name in [*folders, 'targets'])}")
    for name, text in files.items():
        write(host, name, text)
    # Containers have users of their own, who read all but the addresses that alerts go to.
    host.read(f"cd {HOME} && chmod -R u=rwX,go=rX . && chmod 700 hooks")
    write(host, "alertmanager.json", json.dumps(alertmanager(host), indent=2))
    try:
        host.read(UP.format(home=HOME, name=NETWORK), what="starting the monitoring")
    except Stop as stop:
        ports = ", ".join(map(str, PORTS.values()))
        raise Stop(f"{stop}\nthe monitoring doesn't start: is one of the ports {ports} taken on the host?", 1) from stop


def alertmanager(host: Host) -> dict[str, object]:
    """Return Alertmanager's settings: to whom alerts of each environment on the host go. Raises Stop."""
    said = host.read(f"cd {HOME}/hooks && for one in *.json; do echo $one; cat $one; echo; done").splitlines()
    known = {name.removesuffix(".json"): json.loads(text) for name, text in zip(said[::2], said[1::2], strict=True)}
    known = {name: of for name, of in known.items() if of}
    routes: list[dict[str, object]] = [
        {
            "receiver": name,
            "matchers": ['severity="heartbeat"'],
            "group_wait": "0s",
            "repeat_interval": "2m",
            "continue": True,
        }
        for name, of in known.items()
        if of["kind"] == "heartbeat"
    ]
    routes.append({"receiver": "nobody", "matchers": ['severity="heartbeat"']})
    for name, of in known.items():
        if of["kind"] == "alerts":  # what has no project or environment is of the host: everybody's
            of_it = [f'{label}=~"{of[label]}|"' for label in ("project", "environment")]
            routes.append({"receiver": name, "matchers": of_it, "continue": True})
    hook = {name: [{"url_file": f"/etc/alertmanager/hooks/{name}"}] for name in known}
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "project", "environment", "service"],
            "routes": routes,
        },
        "receivers": [{"name": "nobody"}, *({"name": name, "webhook_configs": hook[name]} for name in known)],
    }


def watch(target: Compose, releases: list[Release]) -> None:
    """Have Prometheus watch the containers of these releases, and no others of the environment. Raises Stop."""
    host, entries = target.host, []
    for release in releases:
        for build in release.builds:
            name = f"{host.name}-{release.number}-{build.service}"
            # The container joins Prometheus' network; it may have done so before.
            ids = f"{target.command(release.number)} ps --quiet {build.service}"
            join = f"docker network connect --alias {name} {NETWORK} $one 2>&1 | grep -v 'already exists'"
            host.read(f"for one in $({ids}); do {join}; done; true", what="having Prometheus reach the containers")
            of_it = {"service": build.service, "release": str(release.number), "version": build.version}
            entries.append({"targets": [f"{name}:{METRICS}"], "labels": {**labels(host.environment), **of_it}})
    write(host, f"targets/{host.name}.json", json.dumps(entries, indent=2))
    host.read(f"chmod 644 {HOME}/targets/{host.name}.json")


def is_there(host: Host) -> bool:
    """Return whether the host has the stack. Raises Stop."""
    return "yes" in host.read(
        f"[ -e {HOME}/compose.json ] && docker network inspect {NETWORK} > /dev/null 2>&1 && echo yes; true"
    )


def labels(environment: str) -> dict[str, str]:
    """Return the labels by which what is the project's own is found."""
    return {"project": uv.PROJECT["project"], "environment": environment}


def write(host: Host, name: str, text: str) -> None:
    """Write a file in ~/deploy/monitoring, whole or not at all. Raises Stop."""
    file = shlex.quote(f"{HOME}/{name}")
    host.read(f"cat > {file}.new && mv {file}.new {file}", text, f"writing {name}")


if __name__ == "__main__":
    sys.exit(main())
