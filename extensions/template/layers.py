"""The levels as folders: their manifests, and the paths that they render for given answers."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from . import answers as given
from . import readiness
from .answers import LOADER
from .manifest import Entry, File, Manifest, Step, Suite, Target, manifest

Service = dict[str, Any]

LAYER = re.compile(r"(\d+)-[a-z]+")
SUFFIX = ".jinja"

# A path part that stands for one folder per service: which services, and which of their values names the
# folder.
FOR_EACH = {
    "@service": ("services", "path"),
    "@service-name": ("services", "name"),
    "@service-module": ("services", "module"),
    "@new": ("new", "path"),
    "@web": ("new_web", "path"),
    "@web-module": ("new_web", "module"),
    "@worker": ("new_workers", "path"),
    "@worker-module": ("new_workers", "module"),
    "@ready": ("ready", "path"),
    **{f"@{probe}": (probe, "path") for probe in readiness.MODULES},
}

# A part of a file's name that stands for each environment.
ENVIRONMENT = "@environment"

_parsed: dict[str, Manifest] = {}


def manifests(template: Path, environments: Sequence[str] = given.ENVIRONMENTS) -> list[Manifest]:
    """The manifests of the template at `template`, lowest level first.

    What they say of `{first}` and `{last}` is said of the first and the last of the environments.
    """
    words = {"first": environments[0], "last": environments[-1]}
    words |= {name.upper(): word.upper().replace("-", "_") for name, word in words.items()}

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\{(first|last|FIRST|LAST)\}", lambda found: words[found[1]], value)
        if isinstance(value, list):
            return [named(one) for one in value]
        if isinstance(value, dict):
            return {key: named(one) for key, one in value.items()}
        if isinstance(value, Step | Suite | Target):
            return replace(value, **{one.name: named(getattr(value, one.name)) for one in fields(value)})
        return value

    found = [_manifest(folder / "_level" / "level.yml") for folder in layer_folders(template).values()]
    return [
        replace(one, **{name: named(getattr(one, name)) for name in ("setup", "suites", "targets", "asked")})
        for one in found
    ]


def layer_folders(template: Path) -> dict[int, Path]:
    """The folders of the layers by number, lowest first."""
    found = {
        int(match[1]): path
        for path in (template / "levels").iterdir()
        if (match := LAYER.fullmatch(path.name))
    }
    return dict(sorted(found.items()))


def _manifest(path: Path) -> Manifest:
    # One update loads the same manifests from several clones: parse each content once.
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    if key not in _parsed:
        _parsed[key] = manifest(yaml.load(content, Loader=LOADER))
    return _parsed[key]


def groups(services: Iterable[Service]) -> dict[str, list[Service]]:
    """The lists of services (in full, with their checks) that path parts iterate over, by name.

    Each service has also `module`, its name as a part of a Python module's, and `package`, its path as an
    import says it.
    """
    services = [
        {**service, "module": service["name"].replace("-", "_"), "package": service["path"].replace("/", ".")}
        for service in services
    ]
    ours = [service for service in services if service["code"] == "ours"]
    return {
        "services": services,
        "new": ours,
        "new_web": [service for service in ours if service["kind"] == "web"],
        "new_workers": [service for service in ours if service["kind"] == "worker"],
        "ready": [service for service in services if service["checks"]],
        **{
            probe: [
                service for service in services if any(check["probe"] == probe for check in service["checks"])
            ]
            for probe in readiness.MODULES
        },
    }


def each(services: Iterable[Service], value: str) -> list[Service]:
    """The services whose `value` names a folder: one for each folder, which several may share."""
    return list({service[value]: service for service in reversed(list(services))}.values())[::-1]


def rendered_paths(
    names: Iterable[str],
    services: Iterable[Service],
    environments: Iterable[str] = given.ENVIRONMENTS,
) -> Iterator[tuple[int, str, str]]:
    """What a template renders.

    `names` are the files below `levels/`, as POSIX paths. Yields (level, name in the layer without suffix,
    path in the project).
    """
    lists = groups(services)
    for name in names:
        folder, _, inner = name.partition("/")
        layer = LAYER.fullmatch(folder)
        if layer is None or inner.startswith("_level/") or "__pycache__" in inner:
            continue
        inner = inner.removesuffix(SUFFIX)
        token = next((part for part in inner.split("/") if part in FOR_EACH), None)
        if token is None:
            for one in environments if ENVIRONMENT in inner else [""]:
                yield int(layer[1]), inner, inner.replace(ENVIRONMENT, one)
            continue
        group, value = FOR_EACH[token]
        for service in each(lists[group], value):
            path = inner.replace(token, service[value], 1).removeprefix("./")
            for key in ("name", "module"):
                path = path.replace(f"[[ service.{key} ]]", service[key])
            yield int(layer[1]), inner, path


def names_on_disk(template: Path) -> list[str]:
    """Every file below `levels/` of the template at `template`, as POSIX paths."""
    root = template / "levels"
    return [
        f"{folder}/{name}"
        for layer in layer_folders(template).values()
        for path, _, files in os.walk(layer)
        for folder in [Path(path).relative_to(root).as_posix()]
        for name in files
    ]


def names_at(template: Path, commit: str) -> list[str] | None:
    """The same at another commit of the template's repository; None where that commit is not to be had."""
    # What `git describe` gives ("v1.0.0-3-gabc1234") is a name that git resolves. It comes from a file: it
    # may not pass as an option.
    if not re.fullmatch(r"\w[\w./-]*", commit):
        return None
    command = ["git", "-C", str(template), "ls-tree", "-r", "-z", "--name-only", commit, "levels/"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        return None
    return [name.removeprefix("levels/") for name in done.stdout.decode().split("\0") if name]


def applying(template: Path, answers: Mapping[str, Any]) -> list[Manifest]:
    """The manifests with those files, make targets, steps of setup and checks only that these answers
    (services in full) call for.

    `adopted: true` is for what only a project that had code before needs, `adopted: false` for files that
    would change how such code is built or tested. `theirs: true` is for what such code needs, also where it
    came later: the project is adopted, a service is theirs, or pyproject.toml is. `with: PATH` is for files
    that mean something only beside that one, `instead: PATH` for those that do its work where it is the
    person's, `for: new` for what stands once where a service is new. What is in `keep` is the person's.
    """
    lists = groups(answers["services"])
    kept = set(answers["keep"])
    # A pyproject.toml of the person's says by itself how the project is installed and checked.
    theirs = (
        answers["adopted"]
        or "pyproject.toml" in kept
        or any(service["code"] == "theirs" for service in answers["services"])
    )

    def applies(entry: Entry) -> bool:
        path = entry.path if isinstance(entry, File) else ""
        fits = entry.adopted in (None, answers["adopted"]) and entry.theirs in (None, theirs)
        beside = entry.beside not in kept and (entry.instead is None or entry.instead in kept)
        return fits and beside and path not in kept and bool(lists[entry.services or _group(path)])

    return [
        replace(
            one,
            files=list(filter(applies, one.files)),
            targets=list(filter(applies, one.targets)),
            setup=list(filter(applies, one.setup)),
            checks=list(filter(applies, one.checks)),
        )
        for one in manifests(template, given.environment_names(answers))
    ]


def _group(name: str) -> str:
    """The list of services that a file of a layer is there for; all of them where it is there once."""
    return next((FOR_EACH[part][0] for part in name.split("/") if part in FOR_EACH), "services")


def shown(name: str) -> str:
    """The path of a layer's file as people read it: FOLDER and NAME are a service's."""
    parts = (
        {"path": "FOLDER", "name": "NAME", "module": "NAME"}[FOR_EACH[part][1]] if part in FOR_EACH else part
        for part in name.split("/")
    )
    return re.sub(r"\[\[ service\.\w+ \]\]", "NAME", "/".join(parts)).replace(ENVIRONMENT, "ENVIRONMENT")


def left_out(template: Path, answers: Mapping[str, Any]) -> set[str]:
    """The files of the layers that these answers don't call for."""
    declared = {file.path for one in manifests(template) for file in one.files}
    return declared - {file.path for one in applying(template, answers) for file in one.files}


def empty_folders(template: Path, answers: Mapping[str, Any]) -> set[str]:
    """The folders of which these answers (services in full) call for no file, so that Copier doesn't make
    them for nothing.
    """
    never = left_out(template, answers)
    paths = [file.path for one in manifests(template) for file in one.files if file.path not in never]
    # The path of a service says where the files of a group lie.
    paths += [f"{service['path']}/" for service in answers["services"]]
    folders = {name.rpartition("/")[0] for name in never if "@" not in name} - {""}
    return {folder for folder in folders if not any(path.startswith(f"{folder}/") for path in paths)}


def owners(
    template: Path, services: Iterable[Service], environments: Iterable[str] = given.ENVIRONMENTS
) -> dict[str, tuple[int, str, str]]:
    """For each path that any level renders: (level, owner, why it is there)."""
    declared = {(one.level, file.path): file for one in manifests(template) for file in one.files}
    return {
        path: (level, declared[level, name].owner, declared[level, name].why)
        for level, name, path in rendered_paths(names_on_disk(template), services, environments)
        if (level, name) in declared
    }
