"""What an answer may be. Every answer is looked at here, at the door, before anything is written."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ..errors import Refused
from . import readiness

# What YAML 1.1 reads as a truth value or as nothing: such a name changes its type on the way through a file.
YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
# Names that Windows keeps for its devices.
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
# Folders that the template itself, or git, fills.
TAKEN = {".git", ".github", "ci", "config", "docs", "runtime", "tests"}
YAML = {
    "level",
    "services",
    "adopted",
    "readiness",
    "keep",
    "environments",
}  # the answers that aren't plain text
# The environments of a project that says nothing of them, in order: a merge is deployed to the first one.
ENVIRONMENTS = ("staging", "production")
SECONDS = ("0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "10")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where PyYAML was built with it

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
PATH = re.compile(r"\.|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
# After `uvicorn` one of ASGI, which gunicorn can't serve.
APP = re.compile(r"(uvicorn )?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\(\))?", re.ASCII)
# A program of the project's environment with its words, where no shell is needed: celery -A shop worker.
COMMAND = re.compile(r"[A-Za-z0-9_][\w./-]*( [\w./:=,@%+-]+)+", re.ASCII)
SCRIPT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def check(answers: Mapping[str, Any], levels: int) -> None:
    """Look at each known answer that is there; `levels` is how many there are.

    Raises Refused for the first one that can't be taken.

    What comes from `--data` is still text: where a question is of type yaml, it is read first, as Copier
    will.
    """
    for key, look in CHECKS.items():
        if key in answers:
            look(key, read(key, answers[key]) if key in YAML else answers[key])
    level = read("level", answers.get("level", 1))
    if type(level) is not int or not 1 <= level <= levels:
        _refuse("level", level, f"a level from 1 to {levels}")


def read(key: str, value: Any) -> Any:
    """What is given for an answer of type yaml, which from a command line is text. Raises Refused."""
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        _refuse(key, value, "YAML")


def problem(key: str, value: Any) -> str:
    """One line that says what is wrong with an answer; empty where nothing is."""
    try:
        CHECKS[key](key, value)
    except Refused as error:
        return str(error)
    return ""


def _refuse(where: str, value: Any, expected: str) -> None:
    # What may be a password isn't repeated.
    shown = re.sub(r"//[^/@]*@", "//...@", json.dumps(value, default=str))
    raise Refused(f"{where}: expected {expected}, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def _matches(
    pattern: str, expected: str, longest: int = 100, secret: bool = False
) -> Callable[[str, Any], None]:
    compiled = re.compile(pattern)

    def look(where: str, value: Any) -> None:
        if not isinstance(value, str) or len(value) > longest or not compiled.fullmatch(value):
            _refuse(where, "..." if secret else value, expected)

    return look


def _name(where: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > 50 or not NAME.fullmatch(value):
        _refuse(
            where,
            value,
            "a name of a-z, 0-9 and single hyphens that begins with a letter, 50 characters at most",
        )
    if value in YAML_WORDS:
        _refuse(where, value, "a name that YAML doesn't read as something else")
    if value in DEVICES or keyword.iskeyword(value):
        _refuse(where, value, "a name that is no reserved word of Python or Windows")


def _description(where: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        _refuse(where, value, "one line of printable text, 200 characters at most")


def _repository(where: str, value: Any) -> None:
    if value != "" and not (
        isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}", value)
    ):
        _refuse(where, value, "owner/name as on GitHub, or nothing")


def _branch(where: str, value: Any) -> None:
    valid = (
        isinstance(value, str)
        and len(value) <= 100
        and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", value)
    )
    if not valid or ".." in value or value.endswith((".lock", ".")):
        _refuse(where, value, "a branch name of letters, digits and . _ - /")


def _python(where: str, value: Any) -> None:
    if value not in PYTHONS:
        _refuse(where, value, "one of " + ", ".join(PYTHONS))


def _index(where: str, value: Any) -> None:
    if (
        not isinstance(value, str)
        or len(value) > 200
        or not re.fullmatch(r"https?://[A-Za-z0-9._~:/@%-]+", value)
    ):
        _refuse(where, value, "an http(s) address")
    if has_credentials(value):
        raise Refused(
            f"{where}: the address holds a user or a password, which would be written to a file; give them to"
            " uv by its environment"
        )


def _path(where: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > 100 or not PATH.fullmatch(value):
        _refuse(where, value, "a path inside the project, of letters, digits and . _ - /")
    parts = value.split("/")
    if ".." in value or any(part.endswith(".") for part in parts if part != "."):
        _refuse(where, value, "a path inside the project")
    if parts[0].lower() in TAKEN or any(part.lower().split(".")[0] in DEVICES for part in parts):
        _refuse(where, value, "a path that is neither the template's nor reserved by Windows")


def _services(where: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        _refuse(
            where, value, "a list with one service at least, as [api] or [{name: api, path: services/api}]"
        )
    names: dict[str, int] = {}
    paths: dict[str, int] = {}
    for index, entry in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(entry, (str, Mapping)):
            _refuse(here, entry, "a name, or a mapping with name, path, kind, code and app")
        fields = {"name": entry} if isinstance(entry, str) else dict(entry)
        for key in fields:
            if key not in SERVICE_FIELDS:
                raise Refused(
                    f"{here}: knows no {json.dumps(str(key))}; a service has {', '.join(SERVICE_FIELDS)}"
                )
        if "name" not in fields:
            _refuse(here, entry, "a name")
        for key, look in SERVICE_FIELDS.items():
            if key in fields:
                look(f"{here}.{key}", fields[key])
        path = fields.get("path", new_path(fields["name"]))
        _path(f"{here}.path", path)
        _app(here, fields)
        for what, seen, one in (("name", names, fields["name"]), ("path", paths, path.casefold())):
            # A web service of theirs and its workers are often one folder.
            shared = what == "path" and fields.get("code") == "theirs"
            if one in seen and not (shared and value[seen[one]].get("code") == "theirs"):
                raise Refused(
                    f"{here}.{what}: {one} stands at {where}[{seen[one]}] already (case doesn't count)"
                )
            seen[one] = index


def check_new(services: Iterable[Mapping[str, str]]) -> None:
    """Look at the paths of new services in full: each is a package that is imported from the project's root.

    Raises Refused.
    """
    for one in services:
        parts = one["path"].split("/")
        if one["code"] != "ours" or all(
            part.isidentifier() and not keyword.iskeyword(part) for part in parts
        ):
            continue
        word = new_path(one["name"])
        said = "/".join(re.sub(r"\W", "_", part) for part in parts)
        good = (
            said
            if all(part.isidentifier() and not keyword.iskeyword(part) for part in said.split("/"))
            else word
        )
        _refuse(
            f"services: {one['name']}.path",
            one["path"],
            f"a folder that Python can import, as {good}, since the service is new",
        )


def new_path(name: str) -> str:
    """Where a new service of this name stands: a package's name has no hyphen."""
    return f"services/{name.replace('-', '_')}"


def path_of(fields: Mapping[str, Any], theirs: Callable[[str], bool]) -> str:
    """The path of a service: what is said, else a folder of its very name where code stands, else the one of
    a new service.
    """
    folder = f"services/{fields['name']}"
    return str(fields.get("path") or (folder if theirs(folder) else new_path(fields["name"])))


def _app(here: str, fields: Mapping[str, Any]) -> None:
    if fields.get("app", "") == "":  # how a service of theirs starts may not be known
        return
    worker = fields.get("kind", "web") == "worker"
    pattern, expected = (
        (
            re.compile(f"{SCRIPT.pattern}|{COMMAND.pattern}", re.ASCII),
            "a script, a module or a command, as worker.py, services.bot.worker or celery -A shop worker",
        )
        if worker
        else (APP, "an application, as app:create_app()")
    )
    if (
        not isinstance(fields["app"], str)
        or len(fields["app"]) > (200 if worker and " " in fields["app"] else 100)
        or not pattern.fullmatch(fields["app"])
        or ".." in fields["app"].partition(" ")[0]
    ):
        _refuse(f"{here}.app", fields["app"], expected)


def _one_of(*values: str) -> Callable[[str, Any], None]:
    def look(where: str, value: Any) -> None:
        if value not in values:
            _refuse(where, value, " or ".join(values))

    return look


def _bool(where: str, value: Any) -> None:
    if not isinstance(value, bool):
        _refuse(where, value, "true or false")


def _keep(where: str, value: Any) -> None:
    if not isinstance(value, list):
        _refuse(where, value, "a list of paths")
    for index, path in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(path, str) or not path or not path.isprintable():
            _refuse(here, path, "a path inside the project")
        if not path.isascii():
            _refuse(here, path, "a path of ASCII characters (Copier compares others wrongly)")
        if (
            path.startswith("/")
            or path.endswith("/")
            or "\\" in path
            or {"", ".", ".."} & set(path.split("/"))
        ):
            _refuse(here, path, "a path inside the project, with / between its parts")
        if path == ".copier-answers.yml":
            _refuse(here, path, "a path other than the answers file, which every move must write")


def _readiness(where: str, value: Any) -> None:
    if not isinstance(value, list):
        _refuse(
            where,
            value,
            "a list, as [{service: api, kind: postgresql, target: DATABASE_URL, required: true}]",
        )
    seen: set[tuple[str, str, str]] = set()
    for index, entry in enumerate(value):
        here = f"{where}[{index}]"
        if isinstance(entry, Mapping) and entry.get("kind") == readiness.OWN:
            if entry.keys() != {"service", "kind"}:
                _refuse(here, entry, "{service: api, kind: own} and no more: checks.py says what is required")
            READINESS_FIELDS["service"](f"{here}.service", entry["service"])
            if (one := (entry["service"], readiness.OWN, "")) in seen:
                raise Refused(f"{here}: the own checks of {entry['service']} are asked already")
            seen.add(one)
            continue
        if not isinstance(entry, Mapping) or entry.keys() - {"client"} != READINESS_FIELDS.keys() - {
            "client"
        }:
            _refuse(
                here, entry, "a mapping with service, kind, target, required, and client where there is one"
            )
        for key, look in READINESS_FIELDS.items():
            if key in entry and not (key == "target" and entry[key] == "" and "client" in entry):
                look(f"{here}.{key}", entry[key])
        kind = entry["kind"]
        if "client" in entry and kind not in readiness.BY_CLIENT:
            raise Refused(f"{here}.client: {kind} is asked by its target alone")
        if entry["target"] == "" and kind in readiness.NAMED:
            raise Refused(
                f"{here}.target: a client needs a name to ask for; say which setting holds it, as"
                " UPLOAD_BUCKET"
            )
        what = entry["target"] or entry["client"]
        one = (entry["service"], kind, what)
        if one in seen:
            raise Refused(f"{here}: {kind} at {what} is checked for {entry['service']} already")
        seen.add(one)


def _percentage(where: str, value: Any) -> None:
    """A share of requests; YAML may have read it as a number."""
    if isinstance(value, bool) or not re.fullmatch(r"[5-9][0-9](\.[0-9]{1,4})?", str(value), re.ASCII):
        raise Refused(f"{where}: expected a percentage from 50 to 99.9999, as 99.9, got {value!r}")


def _latency(where: str, value: Any) -> None:
    """One of the bounds between which durations are counted: see runtime/metrics.py."""
    if isinstance(value, bool) or str(value) not in SECONDS:
        raise Refused(f"{where}: expected one of {', '.join(SECONDS)}, got {value!r}")


def _environments(where: str, value: Any) -> None:
    if not isinstance(value, list) or not value:
        _refuse(where, value, "a list with one environment at least, as [staging, production]")
    seen: dict[str, int] = {}
    for index, entry in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(entry, (str, Mapping)) or not {*_environment(entry)} <= {"name", "url"}:
            _refuse(here, entry, "a name, or a mapping with name and url")
        fields = _environment(entry)
        _name(f"{here}.name", fields["name"])
        # The names of its secrets begin with it, and GitHub keeps those that begin with its own.
        if len(fields["name"]) > 31 or re.match(r"local$|github", fields["name"]):
            _refuse(f"{here}.name", fields["name"], "31 characters at most, not local and not github...")
        if fields["url"] != "":
            _index(f"{here}.url", fields["url"])
        if fields["name"] in seen:
            raise Refused(f"{here}.name: {fields['name']} stands at {where}[{seen[fields['name']]}] already")
        seen[fields["name"]] = index


def _environment(entry: Any) -> dict[str, Any]:
    return {"name": None, "url": "", **({"name": entry} if isinstance(entry, str) else entry)}


def environments(given: Mapping[str, Any]) -> list[dict[str, str]]:
    """The environments of answers in full, in order; where they say nothing, those that hold then."""
    return [_environment(entry) for entry in given.get("environments") or ENVIRONMENTS]


def environment_names(given: Mapping[str, Any]) -> list[str]:
    """The names of these environments."""
    return [one["name"] for one in environments(given)]


def has_credentials(url: str) -> bool:
    """Whether an address carries a password, or over http(s) a user, which may be a token."""
    parts = urlsplit(url.removeprefix("git+"))
    return parts.password is not None or (parts.scheme in ("http", "https") and "@" in parts.netloc)


SERVICE_FIELDS: dict[str, Callable[[str, Any], None]] = {
    "name": _name,
    "path": _path,
    "kind": _one_of("web", "worker"),
    "code": _one_of("ours", "theirs"),
    "app": lambda where, value: None,  # hangs on the kind: see _app
}

READINESS_FIELDS: dict[str, Callable[[str, Any], None]] = {
    "service": _name,
    "kind": _one_of(*readiness.PROBES),
    # What it holds may be a password, which shall not be repeated in a message either.
    "target": _matches(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "the name of the setting that holds the address, as DATABASE_URL",
        secret=True,
    ),
    "required": _bool,
    "client": _matches(
        readiness.CLIENT.pattern,
        "FILE.py:NAME, a client at the top of a file below the service's folder, as db/__init__.py:engine",
    ),
}

CHECKS: dict[str, Callable[[str, Any], None]] = {
    "project_name": _name,
    "project_description": _description,
    "repository": _repository,
    "default_branch": _branch,
    "python_version": _python,
    "services": _services,
    "adopted": _bool,
    "readiness": _readiness,
    "seed_tests": _one_of("run", "read", "none"),
    "keep": _keep,
    "runner": _matches(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the label of a runner, as ubuntu-24.04"),
    "package_index": _index,
    "image_registry": _matches(
        r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*", "a registry, as ghcr.io"
    ),
    "environments": _environments,
    "uptime_target": _percentage,
    "latency_target": _percentage,
    "latency_seconds": _latency,
}


def service(
    entry: str | Mapping[str, Any], known: Iterable[Mapping[str, str]], theirs: Callable[[str], bool]
) -> dict[str, str]:
    """One entry of `services` in full, from its short form.

    What it leaves open is taken from the service of its name among the `known` ones, which the last move
    recorded; for a new service `theirs` says of a path whether the person's code stands there already.
    """
    fields = {"name": entry} if isinstance(entry, str) else dict(entry)
    fields = {**next((one for one in known if one["name"] == fields["name"]), {}), **fields}
    name = fields["name"]
    path = path_of(fields, theirs)
    kind = fields.get("kind", "web")
    code = fields.get("code") or ("theirs" if theirs(path) else "ours")
    package = path.replace("/", ".")
    start = f"{package}.worker" if kind == "worker" else f"{package}.app:create_app()"
    app = fields.get("app", start if code == "ours" else "")
    return {"name": name, "path": path, "kind": kind, "code": code, "app": app}


def recorded_answers(project: Path) -> dict[str, Any]:
    """The answers that the project's last move recorded; empty where there are none."""
    try:
        recorded = yaml.load((project / ".copier-answers.yml").read_bytes(), Loader=LOADER)
    except (OSError, yaml.YAMLError):
        return {}
    if not isinstance(recorded, dict) or "level" not in recorded or "services" not in recorded:
        return {}
    return {"keep": [], "adopted": False, "seed_tests": "run", **recorded}


def recorded_services(recorded: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The services of recorded answers in full, with their checks.

    What a person wrote there in short counts as new.
    """
    return readiness.with_checks(
        [service(entry, (), lambda path: False) for entry in recorded["services"]],
        recorded.get("readiness", ()),
    )


def kept(path: str, keep: list[str]) -> bool:
    """Whether a path, or a folder above it, is in `keep`."""
    return any(path == one or path.startswith(one + "/") for one in keep)


def make(recorded: Mapping[str, Any]) -> str:
    """How make is called in the project: its own Makefile knows nothing of our targets."""
    return "make -f levels.mk" if "Makefile" in recorded["keep"] else "make"


def dump(recorded: Mapping[str, Any]) -> str:
    """Answers as the YAML of the answers file."""
    return yaml.safe_dump(dict(recorded), sort_keys=False, allow_unicode=True, width=1000)


def file_text(recorded: Mapping[str, Any]) -> str:
    """The answers file, with how to change an answer."""
    how = f"# Written at every move. To change an answer: `{make(recorded)} set ANSWER=value`."
    return f"{how}\n{dump(recorded)}"


def line(entry: Mapping[str, Any]) -> str:
    """An entry of a list as one line of the answers file."""
    return f"- {yaml.safe_dump(dict(entry), sort_keys=False, default_flow_style=True, width=1000).strip()}"
