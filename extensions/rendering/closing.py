"""What was found, and what to do next: told at the end of `copier copy`."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..project.git_and_files import shown, text_of
from ..source.files import aside, walk
from ..template.answers import make as called
from ..template.readiness import Proposal

if TYPE_CHECKING:
    from ..source.routes import Route
    from .adoption import Reading


def message(
    folder: Path,
    answers: dict[str, Any],
    services: list[dict[str, Any]],
    reading: Reading | None,
    found: Proposal,
    uncommitted: Sequence[str] = (),
) -> str:
    """The lines for a project at `folder` that was rendered from `answers`, with its services in full, what
    was read there, if anything stood there, and what stood there uncommitted before.

    What stands below "Next:" is for a shell: it can be copied as a whole.
    """
    make = called(answers)
    notes, seen = [], []
    if reading:
        notes = [*reading.notes, *left_out(reading, [service["path"] for service in services])]
        seen = [*reading.services, *reading.others]
    lines = [
        f"Level {answers['level']} of {answers['project_name']} stands in {folder}.",
        *(f"  {note}" for note in notes),
    ]
    source = str(answers["_copier_answers"].get("_src_path") or "")
    if source.startswith(("/", "~", "file:")):
        way_out = "write an address there that they reach, such as gh:owner/name, and commit it"
        lines += [
            f"  _src_path in .copier-answers.yml is {source}, which is on this machine only: before others"
            f" or a workflow update the project, {way_out}"
        ]
    elif source and ":" not in source:
        way_out = (
            "write its address there, such as gh:owner/name or a full path, and commit it; else no command"
            " finds the template"
        )
        lines += [
            f"  _src_path in .copier-answers.yml is {source}, which leads nowhere from another folder:"
            f" {way_out}"
        ]
    if uncommitted:
        more = f" and {len(uncommitted) - 3} more" if len(uncommitted) > 3 else ""
        lines += [
            f"Not committed before this: {', '.join(map(shown, uncommitted[:3]))}{more}. Commit what is yours"
            " first, by name; all else that `git status` shows came now."
        ]
    if answers["keep"]:
        lines += [f"Left as they were (`keep`): {', '.join(answers['keep'])}"]
    if answers["readiness"] == found.entries and found.checked:
        taken = f"`{make} upgrade LEVEL={answers['level']}` takes it"
        lines += ["", f"Readiness checks (`readiness` in .copier-answers.yml; edit it, and {taken}):"]
        lines += [f"  {line}" for line in found.checked]
    if found.seen:
        lines += ["", "Seen in the source, not checked:", *(f"  {line}" for line in found.seen)]
    theirs = [service for service in services if service["code"] == "theirs"]
    lines += _own_probes(folder, theirs)
    where = {(one.path, one.app): one.evidence for one in seen}
    run = f"`{make} run SERVICE="
    lines += [
        f"  {one['name']}: {run}{one['name']}` serves its health beside {one['app'].split()[0]}"
        for one in theirs
        if beside(one)
    ]
    to_add = [
        f"  {where.get((service['path'], service['app']), service['path'])}:"
        f" add there {call(folder, service)}"
        for service in theirs
        if not beside(service) and not calls(folder, service, services)
    ]
    lines += ["", "Yours to add, by hand:", *to_add] if to_add else []
    lines += ["", "Next:", f"  cd {shlex.quote(str(folder))}"]
    if theirs:
        lines += [
            f"  {make} install baseline   # records what the linters find today, so that only what is new can"
            " fail",
            f"  {make} check   # what a pull request must pass",
        ]
    else:
        which = f" SERVICE={services[0]['name']}" if len(services) > 1 else ""
        lines += [
            f"  {make} install check",
            f"  {make} run{which}   # then http://127.0.0.1:8000/-/health answers",
        ]
    repository = any((parent / ".git").exists() for parent in (folder, *folder.resolve().parents))
    start = "" if repository else f"git init --initial-branch={answers['default_branch']} && "
    return "\n".join([*lines, f"  {start}git add . && git commit   # {make} help lists what there is"])


def _own_probes(folder: Path, services: Sequence[dict[str, str]]) -> list[str]:
    """A line for each route of theirs that answers where health.py would."""
    if not services:
        return []
    from ..source import routes  # compiling the reader takes longer than rendering a new project can spare

    own = [
        own_probe(service["name"], route)
        for service in services
        for route in routes.own_probes(folder, service)
    ]
    return ["", *own] if own else []


def own_probe(name: str, route: Route) -> str:
    """What a route of a service's own at /health or /readiness means."""
    probe = route.rule.strip("/")
    return (
        f"{name}: your own /{probe} ({route.registered}) goes on answering there; deploys and images ask"
        f" /-/{probe}, which is ours"
    )


def found(reading: Reading) -> list[str]:
    """The services that were found, each with its evidence, and what was left out."""
    services = [f"  {one.name} ({one.kind}, {one.path}): {one.evidence}" for one in reading.services]
    notes = [*reading.notes, *left_out(reading, [])]
    return (["Services found:", *services] if services else []) + [f"  {note}" for note in notes]


def left_out(reading: Reading, paths: Sequence[str]) -> list[str]:
    """A line for each app that was seen and is no service, but for those at `paths`."""
    others = [one for one in reading.others if one.path not in paths]
    return [
        f"{one.evidence}: no service unless `services` names it, as {{name: {one.name}, path: {one.path}}}"
        for one in others
    ]


def beside(service: dict[str, Any]) -> bool:
    """Whether a service's health is served beside it: a worker that is started by a command."""
    return bool(service["kind"] == "worker" and " " in service["app"])


def calls(project: Path, service: dict[str, Any], services: Sequence[dict[str, Any]]) -> list[str]:
    """Where a service of theirs calls the extension point already, as file:line."""
    from ..evolution.code import EXTENSION_POINT, read_code, start_file

    asgi = service["app"].startswith("uvicorn ")
    wanted = ("/-/health",) if asgi else EXTENSION_POINT
    shares = any(one["path"] == service["path"] and one["name"] != service["name"] for one in services)
    inner = [one["path"] for one in services if one["path"] != service["path"]]
    inner = [path for path in inner if service["path"] == "." or path.startswith(service["path"] + "/")]
    path = "" if service["path"] == "." else service["path"]
    files = []
    for folder, names in walk(project / path):
        for name in names:
            file = posixpath.join(path, folder, name)
            others = any(file.startswith(one + "/") for one in inner)
            if name != "health.py" and not others and not aside(file):
                text = text_of(str(project / file))
                files += [file] if any(one in text for one in wanted) else []
    start = start_file(project, service)  # a wsgi.py beside a package, where it is that
    if asgi:
        return [f"{file}:1" for file in files]
    files += [start] if start and start not in files else []
    found = read_code(project, files).init_calls
    if not shares:
        return found
    # Each of the services of a folder makes a call of its own.
    name = "serve_health" if service["kind"] == "worker" else "init_service"
    return [one for one in found if name in line_of(project, one) or "create_health" in line_of(project, one)]


def line_of(project: Path, place: str) -> str:
    """The text at a place, file:line."""
    file, _, number = place.rpartition(":")
    return text_of(str(project / file)).splitlines()[int(number) - 1]


def _wsgi(project: Path, service: dict[str, str]) -> bool:
    """Whether a service's application is one of WSGI that is no Flask's."""
    from ..evolution.code import start_file

    file = start_file(project, service)
    text = text_of(str(project / file)) if file else ""
    return bool(re.search(r"get_wsgi_application|\b(Bottle|falcon\.\w+)\(", text)) and "Flask(" not in text


def variable(project: Path, service: dict[str, str]) -> str:
    """The name that the application has where it is made: what the factory returns, for one."""
    from ..evolution.code import start_file

    said = service["app"].partition(":")[2]
    if not said.endswith("()"):
        return said or "app"
    text = text_of(str(project / start_file(project, service))) if start_file(project, service) else ""
    body = re.split(rf"^(?:async )?def {said[:-2]}\b", text, maxsplit=1, flags=re.MULTILINE)[-1]
    body = re.split(r"^(?:def|class|@)", body, maxsplit=1, flags=re.MULTILINE)[0]
    returned = re.findall(r"^\s+return (\w+)\s*$", body, re.MULTILINE)
    return returned[-1] if returned else "app"


def call(project: Path, service: dict[str, str]) -> str:
    """The import and the one line that a person adds to a service of theirs.

    How it is started says where its imports begin.
    """
    if service["app"].startswith("uvicorn "):
        return (
            "routes at /-/health and /-/readiness that answer 200 with"
            f' `{{"service": "{service["name"]}", "status": "healthy"}}` and `{{"ready": true}}`:'
            " nothing can be put around an ASGI application from outside"
        )
    line = (
        f'init_service({variable(project, service)}, "{service["name"]}")'
        if service["kind"] == "web"
        else f'serve_health("{service["name"]}")'
    )
    function = line.partition("(")[0]
    if service["kind"] == "web" and _wsgi(project, service):  # any other WSGI application is wrapped
        line = f"{variable(project, service)} = {line}"
    folder = project / service["path"]
    top = service["app"].partition(":")[0].partition(".")[0]
    # A module, as seen from the folder that holds its package.
    if service["kind"] == "worker" and service["app"] and not service["app"].endswith(".py"):
        above = [folder, *folder.parents]
        place = next((one for one in above if (one / top).is_dir() or (one / f"{top}.py").is_file()), project)
        place = place if place.is_relative_to(project) else project
        inner = ".".join([*folder.relative_to(place).parts, "health"])
        return f"`from {inner} import {function}` and `{line}`"
    if service["kind"] == "worker":
        inside = service["app"] != "__main__.py" or service["path"] == "."
    elif top:
        inside = (folder / top).is_dir() or (folder / f"{top}.py").is_file()
    else:
        inside = not (folder / "__init__.py").is_file()
    package = "" if inside else f"{folder.name}."
    return f"`from {package}health import {function}` and `{line}`"
