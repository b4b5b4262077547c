"""The endpoints of health.py, which answers them in front of the application: they are in no route of its
own.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..evolution.code import read_code
from ..source.files import aside, walk
from ..source.routes import Routes

TEXT = {"type": "string"}
CHECK = {
    "type": "object",
    "properties": {"status": {**TEXT, "enum": ["pass", "fail"]}, "required": {"type": "boolean"}},
    "required": ["status"],
}
HEALTH = {
    "type": "object",
    "properties": {
        "service": TEXT,
        "status": {**TEXT, "enum": ["healthy"]},
        "timestamp": {**TEXT, "format": "date-time"},
        "version": TEXT,
        "environment": TEXT,
    },
    "required": ["service", "status", "timestamp", "version", "environment"],
}
READINESS = {
    "type": "object",
    "properties": {
        "ready": {"type": "boolean"},
        "status": {**TEXT, "enum": ["pass", "warn", "fail"]},
        "checks": {"type": "object", "additionalProperties": CHECK},
    },
    "required": ["ready", "status", "checks"],
}
PROBES: dict[str, tuple[str, str, dict[str, tuple[str, dict[str, Any]]]]] = {
    "health": (
        "Liveness probe",
        "The process answers; nothing else is looked at.",
        {"200": ("It lives.", HEALTH)},
    ),
    "readiness": (
        "Readiness probe",
        "Whether traffic may be sent here.",
        {"200": ("It may.", READINESS), "503": ("Not now.", READINESS)},
    ),
}


def endpoints(project: Path, service: Mapping[str, str], found: Routes) -> dict[str, dict[str, Any]]:
    """The paths that the service's health.py answers, each with its GET operation; none where nothing calls
    it.

    /health and /readiness are left to the application where it has that very rule.
    """
    if service["kind"] != "web" or not _called(project, service):
        return {}
    theirs = {route.rule.rstrip("/") for route in found.routes}
    paths = {path: probe for probe in PROBES for path in (f"/-/{probe}", f"/{probe}")}
    return {
        path: _operation(service, path, probe) for path, probe in sorted(paths.items()) if path not in theirs
    }


def file(service: Mapping[str, str]) -> str:
    """Where the service's health.py stands."""
    return posixpath.normpath(posixpath.join(service["path"], "health.py"))


def _called(project: Path, service: Mapping[str, str]) -> bool:
    if not (project / file(service)).is_file():
        return False
    folder = service["path"]
    paths = [
        posixpath.normpath(posixpath.join(folder, below, name))
        for below, names in walk(project / folder)
        for name in names
    ]
    return bool(
        read_code(project, [path for path in paths if not aside(path) and path != file(service)]).init_calls
    )


def _operation(service: Mapping[str, str], path: str, probe: str) -> dict[str, Any]:
    summary, description, answers = PROBES[probe]
    return {
        "operationId": f"get_{probe}" + ("_outside" if path.startswith("/-/") else ""),
        "summary": summary,
        "description": description,
        "tags": ["health"],
        "responses": {
            code: {"description": said, "content": {"application/json": {"schema": schema}}}
            for code, (said, schema) in answers.items()
        },
        "x-answered-by": file(service),
    }
