"""The databases, caches, brokers, object stores and HTTP peers that a service runs on, told from its source.

Proposed is what has all three: an import that always happens, a client that is made when the service starts,
and an address from the environment, from settings or from a literal. An import alone says little: an
application with many connectors imports libraries for servers that most of its installations never see. What
has one or two of the three is "seen in the source, not checked".
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..project.git_and_files import shown
from .addresses import Address, Link, Source, Sources, bound
from .clients import (
    AWS_NAMES,
    BY_SETTING,
    DRIVERS,
    FILES,
    IMPORTS,
    REQUIRED,
    ROOTS,
    SCHEMES,
    SETTINGS,
    SQLS,
    WORDS,
    Client,
    client_of,
)
from .declared import declared, examples
from .files import aside
from .objects import enough, kept
from .starts import Call, calls_of, guards_of, mark_starts

MOST_EVIDENCE = 5  # lines for each dependency; a large service imports requests in a hundred files


@dataclass(frozen=True)
class Dependency:
    """One server that a service uses.

    kind: postgresql, mysql, sql (a database behind SQLAlchemy or peewee whose product the source doesn't
    tell), redis, memcached, mongodb,
        elasticsearch, rabbitmq, kafka, sqs, broker (behind Celery or kombu, its product not told), s3 or
        http.
    target: the environment variable that holds its address, else the app's setting; "" where neither is
    known. Never the address. required: whether the service is of no use without it. Databases and brokers are
    required. Caches, search, object stores and HTTP
        peers are not: they are shared, so that one that is slow would take every instance out of service at
        once, and most services can answer without. Nor is what is made only if a setting is there.
    proposed: False for "seen in the source, not checked"; then the evidence says what was missing. evidence:
    lines "file:line why". client: where the code keeps the client, FILE.py:NAME from the service's folder; ""
    where a check can't have or use it. alone: whether what the target holds is enough for another client.
    """

    kind: str
    target: str
    required: bool
    proposed: bool
    evidence: tuple[str, ...]
    client: str = ""
    alone: bool = True


def find(root: str | Path, service: Mapping[str, str]) -> list[Dependency]:
    """What the service at `service["path"]` of the repository `root` runs on; what is only seen comes last.

    Never raises for what it reads.

    Of a service whose kind is "web", what only a script's main makes is not proposed. Nothing is imported or
    run. Parsed, once each, are files that name a client library, a setting of one or a module beside the
    service, those that make a class that makes a client, and settings modules that those lead to, wherever
    they stand in the repository.
    """
    return _Finder(root, service.get("path") or ".", service.get("kind") == "web").find()


class _Finder:
    def __init__(self, root: str | Path, path: str, web: bool) -> None:
        self.web = web
        self.sources = Sources(root, path)
        self.found: list[tuple[Dependency, bool]] = []  # and whether it is a broker's client
        # By kind and target: the variables that an address is put together from.
        self.parts: dict[tuple[str, str], set[str]] = {}
        self.declared = declared(root, self.sources.path)
        self.examples = examples(root, self.sources.path)
        self.imported: set[str] = set()
        self.parsed: set[str] = set()
        # Of SQLAlchemy: models that use types of PostgreSQL run on nothing else.
        self.dialects: set[str] = set()

    def find(self) -> list[Dependency]:
        sources = list(self._relevant())
        self.parsed = {source.file for source in sources}
        for source in sources:
            self.imported |= {
                link.dotted.split(".")[0] for link in source.links.values() if link.folder is None
            }
        for source in sources:
            self._source(source)
        return _merged(self.found, self.parts)

    def _relevant(self) -> Iterator[Source]:
        """The files that name a client library, and those beside the service that such files, or its others,
        import.
        """
        path = self.sources.path
        beside = {file.split("/")[0].removesuffix(".py") for file in self.sources.all} - {
            path.split("/")[0],
            "tests",
            "test",
            "setup",
        }
        imports = re.compile(
            rb"^[ \t]*(?:from|import)[ \t]+(?:"
            + b"|".join(re.escape(os.fsencode(n)) for n in sorted(beside))
            + rb")\b",
            re.M,
        )
        queue, seen = list(self.sources.files), set(self.sources.files)
        for file in queue:
            text = self.sources.text(file)
            tops = [top for top in WORDS if top in text]
            if b"sqlalchemy" in text:
                self.dialects |= {
                    kind for kind in DRIVERS if f"from sqlalchemy.dialects.{kind}".encode() in text
                }
            makes = any(word in text for top in tops for word in WORDS[top])
            names = makes or any(word in text for word in SETTINGS)
            if tops and not makes:
                self._only_imports(file, text)
            outside = bool(path and beside) and imports.search(text)
            if not names and not outside:
                continue
            source = self.sources.source(file, text)
            if source is None:
                continue
            for link in [*source.links.values(), *_objects(source)]:
                place = self.sources.locate(link)
                if place and place[0] not in seen and not aside(place[0]):
                    seen.add(place[0])
                    queue.append(place[0])
            for link in _objects(source):
                place = self.sources.locate(link)
                if place:
                    self.sources.source(place[0])
            if names:
                yield source

    # One file

    def _only_imports(self, file: str, text: bytes) -> None:
        """A file that imports a library and calls nothing that makes a client is not parsed: its lines are
        enough.
        """
        for match in IMPORTS.finditer(text):
            name = match[1].decode()
            if not self.sources.shadowed(name):
                line = text.count(b"\n", 0, match.start()) + 1
                self._seen(ROOTS[name], f"{file}:{line} imports {name}, makes no client")
                self.imported.add(name)

    def _source(self, source: Source) -> None:
        guards = guards_of(source)
        calls, scopes = calls_of(source)
        classes = {
            call.scope.owner
            for call in calls
            if call.scope and client_of(self._origin(source, call.node.func))
        } - {""}
        script = mark_starts(
            source, calls, scopes, self.web, [name for name in sorted(classes) if self._is_made(name)]
        )
        used: set[str] = set()
        for call in calls:
            origin = self._origin(source, call.node.func)
            client = client_of(origin)
            top = origin.split(".")[0]
            if client is None or self.sources.shadowed(top):
                continue
            used.add(top)
            self._client(source, call, origin, client, guards, script)
        for name, link in source.links.items():
            top = link.dotted.split(".")[0]
            if link.folder is None and top in ROOTS and top not in used and not self.sources.shadowed(top):
                used.add(top)
                line = _line_of(source, name)
                self._seen(
                    ROOTS[top],
                    f"{source.file}:{line} imports {link.dotted}" + guards.get(name, ", makes no client"),
                )

    def _origin(self, source: Source, function: ast.expr) -> str:
        """The dotted name of what is called; that of its base, for a class of the repository that extends a
        client.
        """
        origin = source.origin(function)
        if not isinstance(function, ast.Name) or client_of(origin):
            return origin
        place: Source | None = source
        name = function.id
        if name in source.links:
            located = self.sources.locate(source.links[name])
            place = (
                self.sources.source(located[0])
                if located and located[1] and located[0] in self.parsed
                else None
            )
            name = located[1][-1] if located and located[1] else name
        cls = place.classes.get(name) if place else None
        bases = [place.origin(base) for base in cls.bases] if place and cls else []
        return next((base for base in bases if client_of(base)), origin)

    def _is_made(self, name: str) -> bool:
        """Whether a class is made somewhere in the service by a call that hangs on no setting."""
        for file in self.sources.files:
            text = self.sources.text(file)
            source = self.sources.source(file, text) if f"{name}(".encode() in text else None
            if source and any(call.name == name and not call.condition for call in calls_of(source)[0]):
                return True
        return False

    def _seen(self, kind: str, why: str) -> None:
        self.found.append((Dependency(kind, "", False, False, (shown(why),)), False))

    def _client(
        self, source: Source, call: Call, origin: str, client: Client, guards: Mapping[str, str], script: bool
    ) -> None:
        node = call.node
        here = f"{source.file}:{node.lineno} {origin}()"
        kind = client.kind
        if kind == "aws":
            kind = next(
                (
                    one.value
                    for one in node.args[:1]
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                ),
                "",
            )
            if kind not in AWS_NAMES:
                return
        address = self._address(source, call, client, kind)
        kind = self._kind(kind, client, address)
        if not kind:
            return
        first = node.func
        while isinstance(first, ast.Attribute):
            first = first.value
        guard = guards.get(first.id, "") if isinstance(first, ast.Name) else ""
        lazy = call.scope is not None and not call.scope.starts
        unserved = call.script and not script
        if kind == "http" and address.variables:
            lazy = False  # a peer is called when it is needed; its address is read at the start
        called = "name" if kind in AWS_NAMES else "address"
        file_only = kind in ("sql", "broker") and bool(address.schemes) and address.schemes <= FILES
        missing = (
            guard
            or (", where a file is run as a script" if unserved else "")
            or (
                f", in {call.scope.node.name}(), which doesn't run at the start"
                if lazy and call.scope
                else ""
            )
            or (", a file and no server" if file_only else "")
            or (
                f", its {called} is not told"
                if not address or (address.lost and kind in ("sql", "broker"))
                else ""
            )
            or (", an address that no variable sets" if kind == "http" and not address.variables else "")
            or (", a service of others by default" if kind == "http" and "https" in address.schemes else "")
        )
        if missing:
            self._seen(kind, here + missing)
            return
        target = address.target
        why = [f"{here} is made at the start" if kind != "http" else f"{here} is called"]
        named = target or "its address"
        why.append(f"{address.where} {named} holds its {called}")
        condition = call.condition or (call.scope.condition if call.scope else "")
        if condition:
            why.append(f"{source.file}:{node.lineno} only if {condition}: optional")
        required = (kind in REQUIRED or client.broker) and not condition
        if target not in address.variables:
            self.parts.setdefault((kind, target), set()).update(address.variables)
        where, alone = (
            kept(source, node, origin, kind, self.sources.path),
            enough(source, node, kind, address),
        )
        self.found.append(
            (Dependency(kind, target, required, True, tuple(map(shown, why)), where, alone), client.broker)
        )

    def _address(self, source: Source, call: Call, client: Client, kind: str) -> Address:
        node = call.node
        local = bound(call.scope.node.body) if call.scope else {}
        given: list[ast.expr] = []
        if kind in AWS_NAMES:
            return self._aws(source, kind)
        for place in client.arguments:
            if isinstance(place, int):
                given += node.args[place : place + 1]
            else:
                given += [word.value for word in node.keywords if word.arg == place]
        given += [word.value for word in node.keywords if word.arg is None]  # **options
        address = Address()
        if not (client.settings and client.kind == ""):
            for one in given:
                address.add(self.sources.address(one, source, local))
        if not address:
            address = self._from_settings(client, given, source)
        for name in address.variables:
            address.schemes |= self.examples.get(name, set())
        return address

    def _from_settings(self, client: Client, given: list[ast.expr], source: Source) -> Address:
        """The address of an extension: in the settings that it reads, or in the mapping that it is given as
        `config`.
        """
        keys: dict[str, ast.expr] = {}
        for one in given:
            if isinstance(one, ast.Dict):
                keys |= {
                    k.value: v
                    for k, v in zip(one.keys, one.values, strict=True)
                    if isinstance(k, ast.Constant) and isinstance(k.value, str)
                }
            elif client.kind == "":
                address = self.sources.address(one, source)
                if address:
                    return address
        lost = Address()
        for name in client.settings:
            values = [(source, keys[name])] if name in keys else self.sources.setting(name)
            address = Address()
            for place, value in values:
                address.add(self.sources.address(value, place))
            if address:
                # Celery's own are no keys of the app.
                address.settings.insert(0 if name.isupper() else len(address.settings), name)
                return address
            if any(not isinstance(value, ast.Constant) for _, value in values):
                lost.add(Address(settings=[name], where=address.where, lost=True))
        return lost

    def _aws(self, source: Source, kind: str) -> Address:
        """A bucket or a queue, by the name that the file's calls give."""
        address = Address()
        for one in source.nodes:
            if isinstance(one, ast.Call):
                named = [word.value for word in one.keywords if word.arg in AWS_NAMES[kind]]
                if isinstance(one.func, ast.Attribute) and one.func.attr in ("Bucket", "Queue"):
                    named += one.args[:1]
                for value in named:
                    found = self.sources.address(value, source)
                    # A literal, or what is put together, is in no setting.
                    if found.variables and not found.piece:
                        address.add(found)
        return address

    def _kind(self, kind: str, client: Client, address: Address) -> str:
        """The server's kind: by the scheme of a literal or a default, by the setting, by declared or imported
        drivers. "" for none.
        """
        told = sorted({SCHEMES[one] for one in address.schemes if one in SCHEMES})
        if kind in ("", "sql", "broker") or (kind == "redis" and told == ["redis"]):
            if len(told) == 1:
                return told[0]
            if told:
                return kind
        if kind == "":
            if address.schemes and address.schemes <= FILES:
                return ""
            return next(
                (one for word, one in BY_SETTING if any(word in name for name in address.settings)), ""
            )
        if kind in ("sql", "broker"):
            drivers = [
                one for one in (("postgresql", "mysql") if kind == "sql" else ("redis",)) if self._driver(one)
            ]
            # A file by default is a server elsewhere, where a variable takes the whole address and the driver
            # is there.
            if len(drivers) == 1 and (not address.schemes or address.whole):
                return drivers[0]
        return kind

    def _driver(self, kind: str) -> bool:
        names = DRIVERS[kind]
        return (
            kind in self.dialects
            or any(name in self.declared for name in names)
            or any(name in {one.lower() for one in self.imported} for name in names)
        )


def _objects(source: Source) -> Iterator[Link]:
    """What from_object() and config_from_object() are given: settings modules and classes, by their dotted
    names.
    """
    for node in source.nodes:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("from_object", "config_from_object")
        ):
            for one in node.args[:1]:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield Link(None, one.value.replace(":", "."))
                elif isinstance(one, ast.Name) and one.id in source.links:
                    yield source.links[one.id]
                elif (
                    isinstance(one, ast.Subscript)
                    and isinstance(one.value, ast.Name)
                    and one.value.id in source.links
                ):
                    yield source.links[one.value.id]


def _line_of(source: Source, name: str) -> int:
    for node in source.nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and any(
            name == (a.asname or a.name.split(".")[0]) for a in node.names
        ):
            return node.lineno
    return 1


def _merged(
    found: list[tuple[Dependency, bool]], parts: Mapping[tuple[str, str], set[str]]
) -> list[Dependency]:
    """One entry for each server, and one for each kind that was only seen and is not proposed.

    An address that is put together from a variable by which the same kind is known already is no second
    server.
    """
    targets = {(one.kind, one.target) for one, _ in found if one.proposed}
    same = {key: name for key, names in parts.items() for name in sorted(names) if (key[0], name) in targets}
    found = [
        (replace(one, target=same.get((one.kind, one.target), one.target)), broker) for one, broker in found
    ]
    whole: dict[tuple[str, str, bool], Dependency] = {}
    kinds = {one.kind for one, _ in found if one.proposed}
    kinds |= {"sql"} if not kinds.isdisjoint(SQLS) else set()
    kinds |= {"broker"} if any(broker and one.proposed for one, broker in found) else set()
    for one, _ in found:
        if not one.proposed and one.kind in kinds:
            continue
        key = (one.kind, one.target or one.client, one.proposed)
        before = whole.get(key, one)
        whole[key] = replace(
            before,
            required=before.required or one.required,
            evidence=tuple(dict.fromkeys([*before.evidence, *one.evidence])),
            client=before.client or one.client,
            alone=before.alone and one.alone,
        )
    order = sorted(whole.values(), key=lambda one: (not one.proposed, not one.required, one.kind, one.target))
    return [_shortened(one) for one in order]


def _shortened(one: Dependency) -> Dependency:
    more = len(one.evidence) - MOST_EVIDENCE
    return (
        replace(one, evidence=(*one.evidence[:MOST_EVIDENCE], f"and {more} more places")) if more > 0 else one
    )
