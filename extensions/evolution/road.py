"""The page of `make status HTML=`: how every environment is, and each commit's road through them.

What is shown comes from `make status`, which asks the hosts; here nothing is asked but git.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import git_says
from . import pages

TEMPLATE = "road.html.jinja"
ENVIRONMENT = {
    **{"environment": str, "release": int, "version": str, "since": str, "by": str},
    **{"wrong": list, "drift": list, "unknown": str, "log": list},
}
MOST = 200  # commits on the page


def render(document: Any, project: Path) -> str:
    """The page for what `make status` says. Raises Refused for something else.

    All text is escaped: names of people and notes come from the project and its hosts.
    """
    if not _is_one(document):
        raise Refused("expected what `make status HTML=FILE` hands on, as JSON on standard input")
    environment = pages.environment()
    roads = _roads(document["environments"])
    more = max(0, len(roads) - MOST)
    for one in roads[:MOST]:
        one["subject"] = _subject(project, one["version"])
    return environment.get_template(TEMPLATE).render(report=document, roads=roads[:MOST], more=more)


def _is_one(document: Any) -> bool:
    return (
        isinstance(document, Mapping)
        and isinstance(document.get("project"), str)
        and isinstance(document.get("environments"), list)
        and all(
            isinstance(one, Mapping)
            and all(isinstance(one.get(key), kind) for key, kind in ENVIRONMENT.items())
            for one in document["environments"]
        )
    )


def _roads(environments: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The versions, the one that was seen last first, each with a stop for every environment."""
    stops: dict[str, dict[str, dict[str, Any]]] = {}
    last: dict[str, str] = {}
    for one in environments:
        for entry in one["log"]:
            version, at = str(entry.get("version", "")), str(entry.get("at", ""))
            stop = stops.setdefault(version, {}).setdefault(one["environment"], {"events": []})
            stop["events"].append(
                {key: str(entry.get(key, "")) for key in ("kind", "outcome", "at", "by", "note", "release")}
            )
            last[version] = max(last.get(version, ""), at)
    for one in environments:
        if one["release"]:
            stops.setdefault(one["version"], {}).setdefault(one["environment"], {"events": []})
            last.setdefault(one["version"], one["since"])
    return [
        {
            "version": version,
            "stops": [
                {
                    "environment": one["environment"],
                    **_stop(stops[version].get(one["environment"]), one, version),
                }
                for one in environments
            ],
        }
        for version in sorted(stops, key=lambda version: last[version], reverse=True)
    ]


def _stop(stop: dict[str, Any] | None, environment: Mapping[str, Any], version: str) -> dict[str, Any]:
    """How far a version came in an environment: runs, ran, failed, or nothing."""
    if stop is None:
        return {"state": "unknown" if environment["unknown"] else "", "at": "", "events": []}
    good = [event for event in stop["events"] if event["outcome"] == "success"]
    runs = bool(environment["release"]) and environment["version"] == version
    state = "runs" if runs else "ran" if good else "failed"
    first = (good or stop["events"] or [{"at": environment["since"]}])[0]
    return {"state": state, "at": first["at"], "events": stop["events"]}


def _subject(project: Path, version: str) -> str:
    """The first line of a commit's message; empty where git doesn't know it here."""
    if not re.fullmatch(r"[0-9a-f]{7,40}", version):
        return ""
    return git_says(project, "log", "-1", "--format=%s", version, "--").strip()
