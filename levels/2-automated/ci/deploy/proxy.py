"""The proxy in front of web services: one Traefik on a host, which all projects of its user share.

What a project needs is in two files of its own: where the proxy listens (proxy/listens/NAME.json, merged by
Compose) and where requests go (proxy/routes/NAME.yml, which Traefik watches). So a switch is one file that is
put in another's place. Only where the proxy has to listen on another port is it started again.
"""

import json
import re
import shlex
from typing import Any

import uv

from .host import Host, compose_command
from .releases import Release
from .settings import Settings, secret_prefix
from .shell import Stop

IMAGE = "traefik:v3.7"
NETWORK = "deploy-proxy"  # also the name of the Compose project
LOGS = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}  # they don't fill the disk
CHECK = 8099  # inside that network only: asks a service by the name of its project, environment and service

BASE = {
    "services": {
        "traefik": {
            "image": IMAGE,
            "restart": "unless-stopped",
            "environment": {
                "TRAEFIK_GLOBAL_CHECKNEWVERSION": "false",
                "TRAEFIK_GLOBAL_SENDANONYMOUSUSAGE": "false",
                "TRAEFIK_PING": "true",
                "TRAEFIK_PING_ENTRYPOINT": "check",
                "TRAEFIK_PROVIDERS_FILE_DIRECTORY": "/routes",
                "TRAEFIK_PROVIDERS_FILE_WATCH": "true",
                "TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION": "100ms",
                "TRAEFIK_ENTRYPOINTS_CHECK_ADDRESS": f":{CHECK}",
            },
            "volumes": ["./routes:/routes:ro", "./acme:/acme"],
            "networks": [NETWORK],
            "healthcheck": {
                "test": ["CMD", "traefik", "healthcheck"],
                "interval": "5s",
                "start_period": "20s",
                "start_interval": "200ms",
            },
            "logging": LOGS,
        }
    },
    "networks": {NETWORK: {"name": NETWORK}},
}
# Where the proxy can't listen, what it listened on before comes back: other projects are behind it too.
START = """cd ../proxy && exec 8>lock && flock -w 120 8 || exit 70
cat > listens/{name}.new; mv base.{name} base.json
at=$(docker ps -aq --filter label=com.docker.compose.project={network} | head -n 1 |
  xargs -r docker inspect --format '{{{{index .Config.Labels "com.docker.compose.project.working_dir"}}}}')
[ -z "$at" ] || [ "$(cd "$at" 2>/dev/null && pwd -P)" = "$(pwd -P)" ] || {{ echo "another user's proxy runs on this host, in $at" >&2; exit 1; }}
for taken in {takes}; do
  other=$(grep -lF -- "$taken" listens/*.json routes/*.yml 2>/dev/null | grep -v '/{name}[.]')
  [ -z "$other" ] || {{ echo "$taken is another environment's: $other" >&2; exit 1; }}
done
[ -e listens/{name}.before ] || [ ! -e listens/{name}.json ] || cp listens/{name}.json listens/{name}.before
mv listens/{name}.new listens/{name}.json
up() {{ docker compose --progress quiet -p {network} --project-directory . -f base.json $(for file in listens/*.json; do echo "-f $file"; done) up --detach --wait --wait-timeout 60 --remove-orphans 8>&-; }}
up && rm -f listens/{name}.before && exit 0
if [ -e listens/{name}.before ]; then mv listens/{name}.before listens/{name}.json; else rm listens/{name}.json; fi
[ -z "$(ls listens)" ] || up
exit 1"""


def reached(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return for each web service its host name, or nothing, and the port that it is published on, or nothing.

    Raises Stop where a setting isn't one.
    """
    found: dict[str, tuple[str, str]] = {}
    file = f"config/{settings.environment}.env"
    for number, service in enumerate(uv.SERVICES):
        if service["kind"] != "web":
            continue
        prefix = secret_prefix(service["name"])
        host, port = settings.plain(f"DEPLOY_{prefix}_HOST"), settings.plain(f"{prefix}_PORT") or str(8000 + number)
        if host and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", host):
            raise Stop(f"{file}: DEPLOY_{prefix}_HOST is {host!r}, expected a host name, as shop.example.org")
        if not port.isdecimal() or not 0 < int(port) < 65536 or int(port) == CHECK:
            raise Stop(f"{file}: {prefix}_PORT is {port!r}, expected a number from 1 to 65535, not {CHECK}")
        how = (host, "" if host else port)
        if how in found.values():
            raise Stop(f"{file}: {service['name']} has the host name or port of another service: {host or port}")
        found[service["name"]] = how
    return found


def in_release(settings: Settings, release: Release) -> dict[str, tuple[str, str]]:
    """Return `reached` of the web services that a release has: one may have come later. Raises Stop."""
    return {name: how for name, how in reached(settings).items() if name in release.names("web")}


def listens(settings: Settings) -> str:
    """Return the part of the proxy's Compose file that this project needs, as JSON. Raises Stop."""
    bind = settings.plain("DEPLOY_BIND") or "127.0.0.1"
    if not re.fullmatch(r"[0-9]{1,3}([.][0-9]{1,3}){3}", bind):
        raise Stop(f"config/{settings.environment}.env: DEPLOY_BIND is {bind!r}, expected an address such as 127.0.0.1")
    environment: dict[str, str] = {}
    ports: list[str] = []
    for host, port in reached(settings).values():
        if host:
            # The certificates are asked for by ACME, over the port 443 itself.
            environment |= {
                "TRAEFIK_ENTRYPOINTS_HTTP_ADDRESS": ":80",
                "TRAEFIK_ENTRYPOINTS_HTTP_HTTP_REDIRECTIONS_ENTRYPOINT_TO": "https",
                "TRAEFIK_ENTRYPOINTS_HTTP_HTTP_REDIRECTIONS_ENTRYPOINT_SCHEME": "https",
                "TRAEFIK_ENTRYPOINTS_HTTPS_ADDRESS": ":443",
                "TRAEFIK_CERTIFICATESRESOLVERS_ACME_ACME_TLSCHALLENGE": "true",
                "TRAEFIK_CERTIFICATESRESOLVERS_ACME_ACME_STORAGE": "/acme/acme.json",
            }
            if mail := settings.plain("DEPLOY_ACME_EMAIL"):
                environment["TRAEFIK_CERTIFICATESRESOLVERS_ACME_ACME_EMAIL"] = mail
            ports += ["80:80", "443:443"]
            continue
        # A proxy of theirs in front, on the same host, is believed what it says of who asks.
        trusted = {f"TRAEFIK_ENTRYPOINTS_P{port}_FORWARDEDHEADERS_INSECURE": "true"} if bind.startswith("127.") else {}
        environment |= {f"TRAEFIK_ENTRYPOINTS_P{port}_ADDRESS": f":{port}", **trusted}
        ports.append(f"{bind}:{port}:{port}")
    for name in [key.removesuffix("_ADDRESS") for key in environment if key.endswith("_ADDRESS")]:
        # An upload may take its time; Traefik's own limit is a minute.
        environment[f"{name}_TRANSPORT_RESPONDINGTIMEOUTS_READTIMEOUT"] = "600s"
    return json.dumps({"services": {"traefik": {"environment": environment, "ports": sorted(set(ports))}}}, indent=2)


def routes(project: str, release: Release, settings: Settings) -> str:
    """Return where requests go: to the web services of one release. JSON, which is YAML. Raises Stop."""
    number = release.number
    routers: dict[str, Any] = {}
    services: dict[str, Any] = {}
    for service, (host, port) in in_release(settings, release).items():
        name = f"{project}-{service}"
        services[name] = {"loadBalancer": {"servers": [{"url": f"http://{project}-{number}-{service}:8000"}]}}
        common = {"service": name, "middlewares": [f"{project}-release"]}
        routers[f"check-{name}"] = {**common, "entryPoints": ["check"], "rule": f"Host(`{name}`)"}
        routers[name] = {
            **common,
            "entryPoints": ["https" if host else f"p{port}"],
            "rule": f"Host(`{host}`)" if host else "PathPrefix(`/`)",
            **({"tls": {"certResolver": "acme"}} if host else {}),
        }
    header = {"headers": {"customResponseHeaders": {"X-Release": str(number)}}}
    parts = {"routers": routers, "services": services, "middlewares": {f"{project}-release": header}}
    # Traefik refuses an empty part, and with it the files of all projects.
    return json.dumps({"http": {name: part for name, part in parts.items() if part}}, indent=2)


def start(host: Host, settings: Settings) -> None:
    """Have the proxy run and listen where this project needs it. Raises Stop."""
    needs = listens(settings)
    words = [f"Host(`{name}`)" if name else f"_P{port}_ADDRESS" for name, port in reached(settings).values()]
    takes = " ".join(map(shlex.quote, words))
    host.do(
        f"mkdir -p ../proxy/routes ../proxy/listens ../proxy/acme && cat > ../proxy/base.{host.name}",
        json.dumps(BASE, indent=2),
    )
    try:
        host.do(START.format(name=host.name, network=NETWORK, takes=takes), needs)
    except Stop as stop:
        ports = ", ".join(json.loads(needs)["services"]["traefik"]["ports"])
        how = f"is a port taken ({ports})? config/{settings.environment}.env can set another: docs/staging.md"
        raise Stop(f"{stop}\nthe proxy can't listen as this project needs it: {how}", 1) from stop


def send(host: Host, settings: Settings, release: Release) -> None:
    """Have requests go to a release from now on, and wait until they do. Raises Stop."""
    number, file = release.number, f"../proxy/routes/{host.name}.yml"
    switch = f"cat > {file}.new && mv {file}.new {file} && echo {number} > serving.new && mv serving.new serving"
    host.do(switch, routes(host.name, release, settings))
    for service in in_release(settings, release):
        ask = ASK % (f"http://traefik:{CHECK}/-/health", f"{host.name}-{service}", str(number))
        try:
            host.do(f"{compose_command(host, number)} exec -T {service} python -c {shlex.quote(ask)}")
        except Stop as stop:
            raise Stop(f"{stop}\nthe proxy doesn't send requests to release {number} of {service}", 1) from stop


ASK = """
import sys, time, urllib.request
urllib.request.getproxies = dict
request, end = urllib.request.Request(%r, headers={'Host': %r}), time.monotonic() + 20
while True:
    try:
        with urllib.request.urlopen(request, timeout=4) as answer:
            if answer.headers['X-Release'] == %r:
                break
        said = 'it answers as the release before'
    except OSError as error:
        said = str(error)
    if time.monotonic() > end:
        sys.exit(said)
    time.sleep(0.05)
"""


def withdraw(host: Host) -> None:
    """Send no requests to this project any more. Raises Stop."""
    host.do(f"rm -f ../proxy/routes/{host.name}.yml; echo 0 > serving.new && mv serving.new serving")
