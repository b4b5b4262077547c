"""The monitoring of a host: Prometheus, Alertmanager and Grafana beside the services, one for all projects there.

    monitoring ENV         start it on the environment's host, or bring it up to date; DRY_RUN=1 says what there would be

They listen on the host's own 127.0.0.1 alone: the command ends with how to reach them through ssh. What is the
project's own is in files of its name, in ~/deploy/monitoring: its objectives, where its containers are, and the
address that alerts go to (ALERT_WEBHOOK in config/<environment>.env). The rules are the same for all projects.
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
    "prometheus": "prom/prometheus:v3.13.3@sha256:6976aa8a60fec930796ce5772b8d12da7a318a5daa8d40d69c5c7819a05eeed7",
    "alertmanager": "prom/alertmanager:v0.28.1@sha256:27c475db5fb156cab31d5c18a4251ac7ed567746a2483ff264516437a39b15ba",
    "grafana": "grafana/grafana:12.1.1@sha256:a1701c2180249361737a99a01bc770db39381640e4d631825d38ff4535efa47d",
    "node-exporter": "prom/node-exporter:v1.9.1@sha256:d00a542e409ee618a4edc67da14dd48c5da66726bbd5537ab2af9c1dfc442c8a",
    "blackbox-exporter": "prom/blackbox-exporter:v0.27.0@sha256:a50c4c0eda297baa1678cd4dc4712a67fdea713b832d43ce7fcc5f9bea05094d",
}
SERVICES: dict[str, dict[str, Any]] = {
    "prometheus": {
        "command": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=90d",  # an error budget is of 30 days; the detector looks at ten weeks
            "--storage.tsdb.retention.size=5GB",
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
    "node-exporter": {"command": ["--path.rootfs=/host"], "volumes": ["/:/host:ro"]},
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
    files["rules/levels.yml"] = (own / "rules.yml").read_text(encoding="utf-8")
    files[f"rules/{project}.yml"] = (own / "objectives.yml").read_text(encoding="utf-8")
    for file in sorted((own / "dashboards").glob("*.json")):
        files[f"dashboards/{file.name}"] = file.read_text(encoding="utf-8")
    files["grafana/datasources/levels.yml"] = json.dumps(SOURCES)
    files["grafana/dashboards/levels.yml"] = json.dumps(DASHBOARDS)
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
    host.read(f"mkdir -p {' '.join(f'{HOME}/{name}' for name in [*folders, 'targets', 'probes'])}")
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
            "group_interval": "1m",
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
    # The end of a heartbeat isn't posted: who counts posts would take it for one more beat.
    ends = {name: of["kind"] != "heartbeat" for name, of in known.items()}
    hook = {name: [{"url_file": f"/etc/alertmanager/hooks/{name}", "send_resolved": ends[name]}] for name in known}
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
    host, entries, probes = target.host, [], []
    reached = proxy.reached(target.settings)
    if flags.off("monitoring_dashboards", host.environment, f"the monitoring of {host.environment}"):
        releases = []
    for release in releases:
        if "service_metrics" not in release.flags.split(","):
            print(f"release {release.number} isn't watched: service_metrics is off in it")
            continue
        for build in release.builds:
            name = f"{host.name}-{release.number}-{build.service}"
            # The container joins Prometheus' network; it may have done so before.
            ids = f"{target.command(release.number)} ps --quiet {build.service}"
            join = f"docker network connect --alias {name} {NETWORK} $one 2>&1 | grep -v 'already exists'"
            host.read(f"for one in $({ids}); do {join}; done; true", what="having Prometheus reach the containers")
            of_it = {"service": build.service, "release": str(release.number), "version": build.version}
            said = {**labels(host.environment), **of_it}
            entries.append({"targets": [f"{name}:{METRICS}"], "labels": said})
            probes.append({"targets": [f"http://{name}:8000/-/readiness"], "labels": {**said, "probe": "readiness"}})
            if release is releases[0] and (domain := reached.get(build.service, ("", ""))[0]):
                probes.append({"targets": [f"https://{domain}/-/health"], "labels": {**said, "probe": "address"}})
    for folder, found in (("targets", entries), ("probes", probes)):
        write(host, f"{folder}/{host.name}.json", json.dumps(found, indent=2))
        host.read(f"chmod 644 {HOME}/{folder}/{host.name}.json")


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
