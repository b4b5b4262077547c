"""What is promoted, and when: config/releases/<environment>.yml and config/promotion.toml.

The first holds one line, which names the builds that an environment runs, and all that is needed to deploy them.
The target `promote` writes it, and a pull request changes it.
"""

import datetime
import json
import os
import re
import tomllib
import zoneinfo
from typing import Any

import uv

from . import builds
from .pipeline import Deploy
from .shell import Held, Stop

ENVIRONMENTS: list[str] = list(uv.PROJECT["environments"])  # in order; a merge is deployed to the first one
WINDOWS = "config/promotion.toml"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
KEYS = {
    "window": {"environment": str, "days": str, "from": datetime.time, "to": datetime.time, "reason": str},
    "freeze": {"environment": str, "from": datetime.datetime, "to": datetime.datetime, "reason": str},
}


def file_of(environment: str) -> str:
    """Return the path of an environment's line, from the project's root."""
    return f"config/releases/{environment}.yml"


def line_of(environment: str, text: str | None = None) -> dict[str, Any]:
    """Return what the line of an environment says, or that of `text`; nothing where there is none. Raises Stop."""
    file = uv.ROOT / file_of(environment)
    if text is None:
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if not text.strip():
        return {}
    found = re.findall(r"(?m)^release: (.*)$", text)
    try:
        line = dict(json.loads(found[0] if len(found) == 1 else ""))
        digests = all(builds.DIGEST.fullmatch(str(one)) for one in line["builds"].values())
        if digests and re.fullmatch(r"\w[\w.-]{0,127}", line["version"], re.ASCII) and isinstance(line.get("reason", ""), str):
            return line
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise Stop(f"{file_of(environment)}: expected one line `release: {{...}}`, as `{uv.MAKE} promote` writes it")


def builds_of(environment: str) -> list[builds.Build]:
    """Return the builds that the line of an environment names; none where there is no line. Raises Stop."""
    if not (line := line_of(environment)):
        return []
    kinds = {one["name"]: one["kind"] for one in uv.SERVICES}
    if line["builds"].keys() != kinds.keys():
        raise Stop(
            f"{file_of(environment)} has builds of {', '.join(line['builds'])}, and this project has {', '.join(kinds)}"
        )
    return [
        builds.Build(name, kind, builds.image(name), line["version"], line["builds"][name])
        for name, kind in kinds.items()
    ]


def hold(deploy: Deploy, why: str) -> None:
    """Refuse a deploy, or go on where a reason is recorded: REASON=, or in the line. Raises Held.

    Steps of ci/deploy/steps that may hold a deploy up call this, before the step `start`. The reason stands in the
    release's note in the log on the host.
    """
    environment = deploy.release.environment
    line = line_of(environment)
    digests = {one.service: one.digest for one in deploy.release.builds}
    reason = os.environ.get("REASON") or (line.get("reason", "") if line.get("builds") == digests else "")
    if not reason:
        raise Held(
            f"{environment} is held: {why}; `{uv.MAKE} promote TO={environment} REASON=...` goes on, and records it", 1
        )
    deploy.note = "; ".join(filter(None, [deploy.note, f"{why}, and it went on because: {reason}"]))
    print(f"{why}; it goes on because: {reason}", flush=True)


def closed(environment: str, now: datetime.datetime | None = None) -> str:
    """Return why nothing may be deployed to an environment now, by its windows and freezes. Raises Stop."""
    told = rules()
    try:
        zone = zoneinfo.ZoneInfo(told.get("timezone", "UTC"))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise Stop(f"{WINDOWS}: timezone is {told['timezone']!r}, expected one such as Europe/Berlin") from None
    here = (now or datetime.datetime.now(datetime.UTC)).astimezone(zone).replace(tzinfo=None)
    for one in told.get("freeze", []):
        if one["environment"] == environment and one["from"] <= here < one["to"]:
            return f"it is frozen until {one['to']:%Y-%m-%d %H:%M} {zone}: {one['reason']}"
    windows = [one for one in told.get("window", []) if one["environment"] == environment]
    for one in windows:
        if DAYS[here.weekday()] in one["days"].split() and one["from"] <= here.time() < one["to"]:
            return ""
    shown = " or ".join(f"{one['days']} {one['from']:%H:%M} to {one['to']:%H:%M} ({one['reason']})" for one in windows)
    return f"it is {DAYS[here.weekday()]} {here:%H:%M} {zone}, and its window is {shown}" if windows else ""


def rules() -> dict[str, Any]:
    """Return what config/promotion.toml says. Raises Stop at the first mistake."""
    file = uv.ROOT / WINDOWS
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{WINDOWS}: expected TOML: {error}") from None
    if unknown := told.keys() - {"timezone", *KEYS}:
        raise Stop(f"{WINDOWS}: {min(unknown)} is unknown, expected timezone, [[window]] or [[freeze]]")
    if not told.get("timezone") and told:
        raise Stop(f"{WINDOWS}: expected timezone, such as Europe/Berlin")
    for kind, keys in KEYS.items():
        if not isinstance(told.get(kind, []), list):
            raise Stop(f"{WINDOWS}: expected [[{kind}]], with two brackets")
        for number, one in enumerate(told.get(kind, []), 1):
            where = f"{WINDOWS}: {kind} {number}"
            aware = isinstance(one, dict) and any(getattr(value, "tzinfo", None) for value in one.values())
            if not isinstance(one, dict) or aware or {key: type(value) for key, value in one.items()} != keys:
                raise Stop(f"{where}: expected {', '.join(keys)}; times as in its examples, without a zone")
            if one["environment"] not in ENVIRONMENTS:
                raise Stop(f"{where}: environment is {one['environment']!r}, expected {' or '.join(ENVIRONMENTS)}")
            if not {*one.get("days", "mon").split()} <= {*DAYS} or one["from"] >= one["to"]:
                raise Stop(f"{where}: expected days of {' '.join(DAYS)}, and `from` before `to`")
    return told
