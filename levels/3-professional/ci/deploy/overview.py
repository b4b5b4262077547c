"""How every environment is: what runs there, since when, by whom, whether it is well, and what drifted.

    overview [ENV]         of one, or of all; --json prints it as a document, --html FILE writes each commit's road

Drift is what differs from what was decided: the settings on the host from config/<environment>.env here, the
builds from the line in config/releases, a container from its release. Exit code 1 where there is some, or where
something isn't well.
"""

import argparse
import contextlib
import json
import re
import sys
from typing import Any

import uv

from . import settings
from .compose import Compose
from .host import Host
from .promotion import ENVIRONMENTS, file_of, line_of
from .releases import Release
from .settings import Settings
from .shell import Stop, run

# A line for each container on the host: name, labels, image, networks.
CONTAINERS = """docker ps --all --quiet | xargs -r docker inspect --format \
'[{{json .Name}},{{json .Config.Labels}},{{json .Config.Image}},{{json .NetworkSettings.Networks}}]'"""


def main() -> int:
    """Print it, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="status", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("environment", nargs="?", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--html", default="", metavar="FILE")
    asked = parser.parse_args()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what is printed on the way is no part of it
            seen = [look(name) for name in ([asked.environment] if asked.environment else ENVIRONMENTS)]
        document = {"project": uv.PROJECT["project"], "environments": seen}
        if asked.html:
            print(run([sys.executable, "ci/levels.py", "road", asked.html], json.dumps(document)), end="", file=sys.stderr)
        print(json.dumps(document, indent=2) if asked.json else "\n".join(map(text, seen)))
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    return 1 if any(one["wrong"] or one["drift"] for one in seen) else 0


def text(one: dict[str, Any]) -> str:
    """Return what was seen of an environment, for people."""
    if one["unknown"]:
        return f"{one['environment']}: unknown: {one['unknown']}"
    if not one["release"]:
        return f"{one['environment']}: nothing has been deployed"
    lines = [f"{one['environment']}: release {one['release']}, {one['version']}, since {one['since']}, by {one['by']}"]
    lines += [f"  not well: {what}" for what in one["wrong"]] or ["  well"]
    return "\n".join([*lines, *(f"  drift: {what}" for what in one["drift"])])


def look(environment: str) -> dict[str, Any]:
    """Return what is to be seen of an environment. Raises Stop for the name of none."""
    seen: dict[str, Any] = {"environment": environment, "release": 0, "version": "", "since": "", "by": ""}
    seen |= {"wrong": [], "drift": [], "unknown": "", "log": []}
    if not (uv.ROOT / "config" / f"{environment}.env").is_file() and environment in ENVIRONMENTS:
        return {**seen, "unknown": f"config/{environment}.env isn't on this machine"}
    told = settings.read(environment)
    try:
        with Host(told).connected() as host:
            target = Compose(host, told, settings.rules())
            lines = host.read("tail -n 1000 log.jsonl 2>/dev/null || true").splitlines()
            seen["log"] = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
            if release := target.last():
                seen |= {"release": release.number, "version": release.version, "since": release.at, "by": release.by}
                seen["builds"] = {one.service: one.digest for one in release.builds}
                wrong = [(one.service, target.wrong(release.number, one, 0)) for one in release.builds]
                seen["wrong"] = [f"{service}: {why}" for service, why in wrong if why]
                if target.serving() != release.number or target.running() != [release.number]:
                    seen["wrong"].append("a deploy is under way, or was interrupted: the next one puts that in order")
                seen["drift"] = [
                    *of_settings(host, told, release),
                    *of_builds(release),
                    *of_containers(target, release),
                ]
    except Stop as stop:
        seen["wrong"] = [str(stop).replace("\n", "; ")]
    return seen


def of_settings(host: Host, told: Settings, release: Release) -> list[str]:
    """Return how the settings on the host differ from those here: names alone, as the values may be secret."""
    there, here = host.read(f"cat settings/{release.settings}.env 2>/dev/null || true"), told.of_services()
    differ = {line.partition("=")[0] for line in {*there.splitlines()} ^ {*here.splitlines()}}
    file = f"config/{release.environment}.env"
    return (
        [f"settings: {', '.join(sorted(differ))} on the host differ from {file} here; a deploy brings these"]
        if differ
        else []
    )


def of_builds(release: Release) -> list[str]:
    """Return how the builds differ from the line in config/releases, where there is one. Raises Stop."""
    line = line_of(release.environment) if release.environment in ENVIRONMENTS[1:] else {}
    if not line or line["builds"] == {one.service: one.digest for one in release.builds}:
        return []
    return [f"builds: {release.version} runs, and {file_of(release.environment)} says {line['version']}"]


def of_containers(target: Compose, release: Release) -> list[str]:
    """Return which containers aren't as their release has them: changed, or started, by hand. Raises Stop."""
    number, name, host = release.number, f"{target.host.name}-{release.number}", target.host
    files = f"releases/{number}/compose.json settings/{release.settings}.env"
    # The release was written after both, and nothing of ours writes them again.
    newer = f"for one in {files}; do [ $one -nt releases/{number}/release.json ] && echo $one; done; true"
    found = [f"{file} was edited on the host" for file in host.read(newer).split()]
    # Compose itself says which it would make again. What it gives for `config --hash` is another hash than its own.
    again = f"{target.command(number).replace('quiet', 'plain')} --dry-run up --detach --no-deps 2>&1"
    changed = re.findall(r"Container (\S+) +Recreate$", "" if found else host.read(again), re.MULTILINE)
    images = {one.service: one.reference for one in release.builds}
    for line in host.read(CONTAINERS).splitlines():
        container, labels, image, networks = json.loads(line)
        container, labels = container.strip("/"), labels or {}
        service, ours = labels.get("com.docker.compose.service", ""), labels.get("com.docker.compose.project") == name
        aliases = [alias for one in networks.values() for alias in one["Aliases"] or []]
        beside = f"{name}_default" in networks or any(one.startswith(f"{name}-") for one in [container, *aliases])
        if beside and (not ours or labels["com.docker.compose.oneoff"] == "True"):
            found.append(f"{container} was started by hand beside the release")
        elif ours and image != images.get(service):
            found.append(f"{container} is of the image {image}, expected {images.get(service, 'none')}")
        elif ours and container in changed:
            found.append(f"{container} was started by hand: its settings aren't those of its release")
    return found


if __name__ == "__main__":
    sys.exit(main())
