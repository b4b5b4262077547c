"""What the answers become once the project has been seen: services in full, `readiness` for these, `keep`
with what stands there.

This is the only place where rendering looks at the project. What it finds is put into the answers and
recorded, so that the renders that `copier update` makes in empty folders come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Refused
from ..source import files
from ..template import answers, layers, readiness
from . import preflight

if TYPE_CHECKING:
    from . import adoption


def complete(
    given: dict[str, Any],
    project: Path,
    template: Path,
    commit: str | None,
    read: Callable[[Path], adoption.Reading],
) -> list[dict[str, Any]]:
    """Complete the answers in `given`, in place, from what stands at `project`.

    `template` is the template's folder and `commit` its version, as Copier records it; `read` finds what
    services stand there. Returns the services in full, each with its checks. The lists are changed in place
    because Copier records the very objects. Raises Refused for an answer that can't be taken and for a
    project that can't be adopted, before anything is written.
    """
    answers.check(given, len(layers.layer_folders(template)))
    recorded = answers.recorded_answers(project)
    in_full: list[dict[str, str]] = given["services"]
    known = answers.recorded_services(recorded) if recorded else []
    standing = [*known, *_standing(in_full, known, project, read)]
    in_full[:] = [
        answers.service(entry, standing, lambda path: files.theirs(project, path)) for entry in in_full
    ]
    answers.check_new(in_full)
    answers.check({"services": in_full}, 1)  # paths that were left open may be the same by now
    _drop_readiness_of_gone_services(
        given["readiness"], [one["name"] for one in in_full], [one["name"] for one in known]
    )
    services = readiness.with_checks(in_full, given["readiness"])
    if "environments" in given:
        given["environments"][:] = answers.environments(given)
    if not project.is_dir() or not any(project.iterdir()):
        return services

    environments = answers.environment_names(given)
    never = layers.left_out(template, {**given, "services": services, "keep": []})
    paths = {
        path: level
        for level, _, path in layers.rendered_paths(layers.names_on_disk(template), services, environments)
        if path not in never
    }
    before = _rendered_before(recorded, template, commit)
    seeds = {
        path
        for path, (_, owner, _) in layers.owners(template, services, environments).items()
        if owner == "yours"
    }
    there = set(preflight.standing(project, paths))
    keep = given["keep"]
    dropped = set(recorded.get("keep", ())) - set(keep)
    theirs = there - before - dropped
    deleted_seeds = (seeds & before) - there
    keep.extend(sorted((theirs | deleted_seeds) - set(keep)))

    never = layers.left_out(template, {**given, "services": services})
    writes = [
        path
        for path, level in paths.items()
        if level <= given["level"] and not answers.kept(path, keep) and path not in before | never
    ]
    ours = [
        path
        for path, level in paths.items()
        if level <= given["level"] and not answers.kept(path, keep) and path not in never
    ]
    problems = preflight.refusals(project, writes) + preflight.other_repositories(project, ours)
    problems += preflight.unmergeable(project, sorted((before & there) - set(keep) - seeds))
    if problems:
        raise Refused("\n".join(problems))
    return services


def _standing(
    entries: Sequence[Any],
    known: Sequence[Mapping[str, str]],
    project: Path,
    read: Callable[[Path], adoption.Reading],
) -> list[dict[str, str]]:
    """What the source says of services that a person has named and not described: how they start, and of
    which kind they are.
    """
    names = {one["name"] for one in known}
    undescribed = {}  # what is said of a service, by its path
    for entry in entries:
        said = {"name": entry} if isinstance(entry, str) else entry
        path = answers.path_of(said, lambda folder: files.theirs(project, folder))
        if said["name"] not in names and "app" not in said and files.theirs(project, path):
            undescribed[path] = said
    if not undescribed:
        return []
    reading = read(project)
    found = [one for one in [*reading.services, *reading.others] if one.path in undescribed]
    return [
        {**one.answer(), "name": undescribed[one.path]["name"]}
        for one in found
        if undescribed[one.path].get("kind", one.kind) == one.kind
    ]


def _drop_readiness_of_gone_services(
    entries: list[dict[str, Any]], names: list[str], known: list[str]
) -> None:
    """Take the checks of services that dropped out of the answers with them.

    Raises Refused for a service that never was.
    """
    for index, entry in enumerate(entries):
        if entry["service"] not in [*names, *known]:
            raise Refused(
                f"readiness[{index}].service: expected one of {', '.join(names)}, got {entry['service']}"
            )
    entries[:] = [entry for entry in entries if entry["service"] in names]


def exclude_pattern(path: str) -> str:
    """The gitignore pattern that matches just this path of the project."""
    escaped = "".join("\\" + c if c in "\\*?[]!# " else c for c in path)
    return "/" + escaped


def _rendered_before(recorded: dict[str, Any], template: Path, commit: str | None) -> set[str]:
    """The paths that the last move rendered: the recorded version's files, at the recorded level, for the
    recorded services.
    """
    if not recorded:
        return set()
    names = (
        None if recorded.get("_commit") == commit else layers.names_at(template, str(recorded.get("_commit")))
    )
    if names is None:
        names = layers.names_on_disk(template)
    services = answers.recorded_services(recorded)
    keep = recorded.get("keep", [])
    never = layers.left_out(template, {**recorded, "services": services, "keep": keep})
    return {
        path
        for level, name, path in layers.rendered_paths(names, services, answers.environment_names(recorded))
        if level <= recorded["level"] and name not in never and not answers.kept(path, keep)
    }
