"""`levels env`: the settings of an environment beside what the code reads.

Names only: a value is looked at for being empty, and never printed or written anywhere.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import Refused
from ..evolution.facts import Facts
from ..project.git_and_files import shown, text_of
from ..source.environment import Reads, Variable, read

# What the deploy, the engine or the shell sets; and what begins so is for a library, a tool or the deploy.
GIVEN = {"ENVIRONMENT", "FEATURE_FLAGS", "PORT", "SERVICE_NAME", "SERVICE_VERSION", "GUNICORN_CMD_ARGS"}
GIVEN |= {"PROMETHEUS_URL", "PATH", "HOME", "HOSTNAME", "USER", "PWD", "SHELL", "TMPDIR", "TERM", "CI"}
LIBRARIES = re.compile(
    r"(AWS|CELERY|DEPLOY|DRAIN|FLASK|GITHUB|GUNICORN|LC|METRICS|OTEL|PG|PYTHON|SENTRY|UV|WEB|XDG)_?|LANG$|TZ$|.*_PROXY$",
    re.IGNORECASE,
)
LOCAL = (
    "config/local.env",
    ".env",
    ".env.local",
    ".flaskenv",
    ".env.example",
    ".env.sample",
    ".env.template",
)
# Names of secrets, and addresses with a password in them.
SECRET = re.compile(r"passw|secret|token|credential|private|(^|_)(key|pw|pwd|dsn)$", re.IGNORECASE)
LOGIN = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
WITHOUT = {
    "stops": "without it the code raises",
    "none": "without it the code has None",
    "default": "without it the code has a value of its own",
}


@dataclass
class Report:
    """The settings of an environment: `file` was looked at, which may be its template only.

    `missing` and `empty` are read by the code, and stop it; `unset` are read, and it has None; `unread` are
    set, and no code of the project reads them by their name; `misplaced` are secrets in the template, which
    is committed.
    """

    environment: str
    file: str
    template: str
    is_template: bool
    reads: Reads
    missing: list[Variable] = field(default_factory=list)
    unset: list[Variable] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is missing, as far as the source tells, and no secret is in the wrong place."""
        return not (self.missing or self.misplaced)


def names(text: str) -> dict[str, tuple[int, bool]]:
    """The names that an environment file sets: the line of each, and whether its value is empty."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", name.strip(), re.ASCII):
            found[name.strip()] = (number, not value.strip().strip("'\""))
    return found


def report(facts: Facts, wanted: str) -> Report:
    """Compare the settings of the environment `wanted` with the code. Raises Refused where there are none."""
    folder = facts.folder / "config"
    known = sorted(one.name.removesuffix(".env.template") for one in folder.glob("*.env.template"))
    if wanted not in known:
        raise Refused(
            f"ENV is {wanted!r}, expected {', '.join(known) or 'config/ENV.env.template to be there'}"
        )
    template = f"config/{wanted}.env.template"
    own = (folder / f"{wanted}.env").is_file()
    reads = read(facts.folder, facts.own_python)
    seen = Report(wanted, f"config/{wanted}.env" if own else template, template, not own, reads)
    has = names(facts.text(seen.file))
    for one in sorted(reads.variables.values(), key=lambda one: one.name):
        if one.name in GIVEN or (one.name in has and not has[one.name][1]):
            continue
        if one.without == "stops" and (own or one.name not in has):
            seen.missing.append(one)
        elif one.without == "none" and one.name not in has:
            seen.unset.append(one)
    checked = {str(one.get("target", "")) for one in facts.recorded.get("readiness") or ()}
    for name, (number, _) in has.items():
        if not (reads.reads(name) or name in GIVEN | checked or LIBRARIES.match(name)):
            seen.unread.append(f"{name} ({seen.file}:{number})")
    for number, line in enumerate(facts.text(template).splitlines(), 1):
        name, equals, value = line.partition("=")
        value = value.strip().strip("'\"")
        if (
            equals
            and value
            and not line.startswith("#")
            and (SECRET.search(name.strip()) or LOGIN.search(value))
        ):
            seen.misplaced.append(f"{name.strip()} ({template}:{number})")
    seen.unknown = [f"{place}: the name is put together as it runs" for place in reads.computed]
    seen.unknown += [f"{path}: can't be read" for path in reads.unparsed]
    return seen


def write(facts: Facts, seen: Report) -> None:
    """Add to the environment's template what the code reads, and what the person has in files of their own.

    What stands there stays as it is. Nothing is written where nothing is to be added.
    """
    text = facts.text(seen.template)
    there = set(names(text)) | set(re.findall(r"(?m)^#\s*([A-Za-z_]\w*)=", text))
    lines = []
    for one in sorted(seen.reads.variables.values(), key=lambda one: one.name):
        if one.name not in there | GIVEN:
            begin = "# " if one.without == "default" else ""
            lines += [f"# {_places(one)}: {WITHOUT[one.without]}", f"{begin}{one.name}="]
            seen.added.append(one.name)
    for local in LOCAL:
        for name in names(text_of(str(facts.folder / local))):
            if name not in {*there, *GIVEN, *seen.added}:
                lines += [f"# From {local}; no code here reads it by this name", f"# {name}="]
                seen.added.append(name)
    if lines:
        ending = "" if text.endswith("\n") or not text else "\n"
        with (facts.folder / seen.template).open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n".join([f"{ending}", *lines, ""]))


def text(seen: Report) -> str:
    """A report for people."""
    where = (
        f"{seen.file}, because config/{seen.environment}.env is not on this machine"
        if seen.is_template
        else seen.file
    )
    width = max((len(one.name) for one in [*seen.missing, *seen.unset]), default=0)
    lines = [f"{seen.environment}, by {where}:"]
    for label, found in (("to set", seen.missing), ("look at", seen.unset)):
        lines += [f"  {label:8} {one.name:{width}}  {WITHOUT[one.without]}: {_places(one)}" for one in found]
    lines += [
        f"  secret   {one}: git keeps that file: empty it there, and change the secret"
        for one in seen.misplaced
    ]
    lines += [f"  unread   {name}: no code here reads it by this name; a library may" for name in seen.unread]
    lines += [f"  unknown  {shown(what)}" for what in seen.unknown]
    if len(lines) == 1:
        lines.append("  all that the code reads is set, or has a value of its own")
    if seen.added:
        lines.append(f"{seen.template}: added {', '.join(seen.added)}, without values; commit it")
    return "\n".join(lines)


def as_json(seen: Report) -> dict[str, Any]:
    """The document of `levels env --json`."""
    document = asdict(seen)
    del document["reads"]
    return {**document, "passed": seen.passed}


def _places(one: Variable) -> str:
    more = len(one.places) - 2
    return ", ".join(map(shown, one.places[:2])) + (f" and {more} more" if more > 0 else "")
