"""What a service's readiness checks: the answer `readiness`, its proposal from the source, and what is rendered from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .source.dependencies import Dependency

# Each kind of server that can be asked, and the module below probes/ that asks it.
PROBES = {
    "postgresql": "sql",
    "mysql": "sql",
    "sql": "sql",  # a database behind SQLAlchemy, whose product the address tells
    "redis": "redis",
    "rabbitmq": "broker",
    "broker": "broker",  # behind Celery or kombu, likewise
    "mongodb": "mongodb",
    "http": "http",
}
MODULES = sorted(set(PROBES.values()))

# Settings that hold a whole address by their names; DB_HOST alone is not enough to ask a database.
_ADDRESS = re.compile(r"UR[IL]|DSN|ADDR|ENDPOINT|CONNECTION", re.IGNORECASE)

Entry = dict[str, Any]


class Proposal(NamedTuple):
    """What was found in the source of services: entries of the answer, and a line for people on each, with its evidence."""

    entries: list[Entry]
    checked: list[str]
    seen: list[str]  # not checked


def propose(services: Iterable[Mapping[str, str]], find: Callable[[Mapping[str, str]], list[Dependency]]) -> Proposal:
    """What to check for services (in full) with code of the person's. `find` reads the source of one, as source.dependencies does."""
    found = Proposal([], [], [])
    for service in services:
        if service["code"] != "theirs":
            continue
        for one in find(service):
            where = f" ({'; '.join(one.evidence)})" if one.evidence else ""
            line = f"{service['name']}: {one.kind}" + (f" at {one.target}" if one.target else "")
            if one.proposed and one.kind in PROBES and _ADDRESS.search(one.target):
                found.entries.append({"service": service["name"], "kind": one.kind, "target": one.target, "required": one.required})
                found.checked.append(f"{line}, {'required' if one.required else 'optional'}{where}")
            else:
                found.seen.append(line + where)
    return found


def with_checks(services: Iterable[Mapping[str, str]], readiness: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The services, each with `checks`: what readiness.json holds, named by their kinds, and by their targets where a kind occurs twice."""
    entries = list(readiness)
    full = []
    for service in services:
        mine = [entry for entry in entries if entry["service"] == service["name"]]
        kinds = [entry["kind"] for entry in mine]
        checks = [
            {
                "name": entry["kind"] if kinds.count(entry["kind"]) == 1 else f"{entry['kind']}:{entry['target']}",
                "probe": PROBES[entry["kind"]],
                **entry,
            }
            for entry in mine
        ]
        full.append({**service, "checks": checks})
    return full
