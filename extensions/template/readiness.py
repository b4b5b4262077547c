"""What a service's readiness checks: the answer `readiness`, its proposal from the source, and what is
rendered from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..source.dependencies import Dependency

# Each kind of server that can be asked, and the module below probes/ that asks it.
PROBES = {
    "postgresql": "sql",
    "mysql": "sql",
    "sql": "sql",  # a database behind SQLAlchemy, whose product the address tells
    "redis": "redis",
    "rabbitmq": "broker",
    "broker": "broker",  # behind Celery or kombu, likewise
    "mongodb": "mongodb",
    "memcached": "memcached",
    "kafka": "kafka",
    "s3": "s3",
    "sqs": "sqs",
    "http": "http",
}
MODULES = sorted(set(PROBES.values()))
OWN = "own"  # the kind of an entry that has the person's own checks asked: checks.py says which they are
BY_CLIENT = PROBES.keys() - {"memcached", "http"}  # can be asked by a client that the code has made
NAMED = {"s3", "sqs"}  # the target holds a name, without which a client has nothing to ask for
CLIENT = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_-]*\.py:[A-Za-z_][A-Za-z0-9_]*")

# Settings that hold a whole address by their names; DB_HOST alone is not enough to ask a database. A list of
# hosts, or a name, is.
_ADDRESS = re.compile(r"UR[IL]|DSN|ADDR|ENDPOINT|CONNECTION", re.IGNORECASE)
_BY_ANY_NAME = {"memcached", "kafka", *NAMED}

Entry = dict[str, Any]


class Proposal(NamedTuple):
    """What was found in the source of services: entries of the answer, and a line for people on each, with
    its evidence.
    """

    entries: list[Entry]
    checked: list[str]
    seen: list[str]  # not checked


def propose(
    services: Iterable[Mapping[str, str]], find: Callable[[Mapping[str, str]], list[Dependency]]
) -> Proposal:
    """What to check for services (in full) with code of the person's.

    `find` reads the source of one, as source.dependencies does.
    """
    found = Proposal([], [], [])
    paths: set[str] = set()
    for service in services:
        if (
            service["code"] != "theirs" or service["path"] in paths
        ):  # services of one folder share their checks
            continue
        paths.add(service["path"])
        for one in find(service):
            where = f" ({'; '.join(one.evidence)})" if one.evidence else ""
            line = f"{service['name']}: {one.kind}" + (f" at {one.target}" if one.target else "")
            asked = _asked(one)
            if asked:
                found.entries.append({"service": service["name"], "kind": one.kind, **asked})
                by = f" by {asked['client']}" if "client" in asked else ""
                found.checked.append(f"{line}{by}, {'required' if one.required else 'optional'}{where}")
            else:
                found.seen.append(line + where + _why_not(one))
    return found


def _asked(one: Dependency) -> Entry:
    """How a server can be asked, as fields of an entry; empty where it can't.

    A target is recorded only if it is enough by itself.
    """
    if not one.proposed or one.kind not in PROBES:
        return {}
    alone = bool(one.target) and one.alone and (one.kind in _BY_ANY_NAME or bool(_ADDRESS.search(one.target)))
    target = one.target if alone or one.kind in NAMED else ""
    usable = (
        one.kind in BY_CLIENT
        and (target or one.kind not in NAMED)
        and len(one.client) <= 100
        and CLIENT.fullmatch(one.client)
    )
    client = one.client if usable else ""
    if not alone and not client:
        return {}
    return {"target": target, "required": one.required, **({"client": client} if client else {})}


def _why_not(one: Dependency) -> str:
    """What is missing for a check of what is proposed; what is only seen says so in its evidence."""
    if not one.proposed:
        return ""
    if one.kind not in PROBES:
        return ": no check asks this kind"
    return ": no setting has all that its client is made of" + (
        ", and no module a client" if one.kind in BY_CLIENT else ""
    )


def lacking(found: Iterable[Entry], recorded: Iterable[Entry]) -> list[int]:
    """Which of the entries that were found nothing recorded asks, by target or by client; their places."""
    asked = {
        (entry["service"], entry[key]) for entry in recorded for key in ("target", "client") if entry.get(key)
    }
    return [
        index
        for index, entry in enumerate(found)
        if not any((entry["service"], entry[key]) in asked for key in ("target", "client") if entry.get(key))
    ]


def _asks(entry: Entry | Mapping[str, Any]) -> tuple[str, str]:
    return entry["kind"], str(entry.get("target") or entry.get("client") or "")


def with_checks(
    services: Iterable[Mapping[str, str]], readiness: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The services, each with `checks`: what readiness.json holds, named by their kinds, and by what is asked
    where a kind occurs twice.
    """
    entries, services = list(readiness), list(services)
    full = []
    for service in services:
        # Services of one folder share the code, and with it the checks.
        names = {one["name"] for one in services if one["path"] == service["path"]}
        mine = [
            entry
            for number, entry in enumerate(entries)
            if entry["service"] in names
            and not any(_asks(one) == _asks(entry) and one["service"] in names for one in entries[:number])
        ]
        kinds = [entry["kind"] for entry in mine]
        checks = [
            {
                "name": (
                    entry["kind"]
                    if kinds.count(entry["kind"]) == 1
                    else f"{entry['kind']}:{entry['target'] or entry['client']}"
                ),
                "probe": PROBES.get(entry["kind"], ""),
                "client": "",
                **entry,
            }
            for entry in mine
        ]
        full.append({**service, "checks": checks})
    return full
