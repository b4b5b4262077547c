"""The log of deploys and incidents: one JSON object a line, in the project's repository. From level 2 deploys
leave the same lines on their host too, and those of a workflow stand only there.

A line has `kind`, `environment`, `version`, `at` (UTC) and `by`; a deploy and a rollback have `outcome` too;
`note` may be there. Kinds:

    deploy    a version was started there, or failed to
    rollback  the version before was started again, or failed to
    incident  something broke there; `at` is since when
    restored  all is well there again: it ends every incident before it
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import ask_git, counted, git_refuses, git_says

FILE = "config/deploys.jsonl"
ON_HOST = "the record on the host"
LARGEST = 20_000_000  # bytes, about a hundred thousand lines
KINDS = ("deploy", "rollback", "incident", "restored")
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")
VERSIONS = re.compile(rf"{VERSION.pattern}(,{VERSION.pattern}){{0,99}}")  # of builds that differ in theirs
VERSION_NUMBER = re.compile(r"v?\d+(\.\d+)*([.+-]\w+)*")


@dataclass(frozen=True)
class Entry:
    """A line of the deployment log that can be used."""

    kind: str
    environment: str
    version: str
    at: float  # seconds since 1970
    failed: bool  # a deploy or a rollback that didn't succeed


@dataclass(frozen=True)
class DeploymentLog:
    """What the file, and the record on the host, hold by time.

    `left_out` says what can't be used, a line each; `there` is False where there is neither. `files` names
    what was read; `unread` says why the record on the host wasn't, and is empty where it was, or there is
    none to ask for.
    """

    there: bool
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]
    files: str = FILE
    unread: str = ""

    @property
    def source(self) -> str:
        return f"deployment log ({self.files})"


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong in an environment: a failed deploy, one that was rolled back, or an incident.

    `end` is when it was over, and None while it isn't. `whole` is whether the time in between tells how long
    it took: of a deploy that was rolled back without an incident, nobody wrote down when it began.
    """

    what: str
    version: str
    start: float
    end: float | None
    whole: bool = True


def read(project: Path, until: float) -> DeploymentLog:
    """Read the deployment log at `project`.

    Lines that are broken, stand twice, or are dated after `until` are left out, and said.
    """
    try:
        with open(project / FILE, "rb") as stream:
            text = stream.read(LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return DeploymentLog(False, (), ())
    except OSError as error:
        return DeploymentLog(True, (), (f"{FILE}: can't be read ({error.strerror})",))
    return _of_text(text, FILE, until)


def with_host(log: DeploymentLog, record: str, until: float) -> DeploymentLog:
    """A deployment log together with the text of the record on the host. A deploy by hand stands in both, and
    counts once.
    """
    there = _of_text(record, ON_HOST, until)
    if not there.entries and not there.left_out:
        return replace(log, files=f"{ON_HOST}, which is empty, and {FILE}" if log.there else ON_HOST)
    once = {*there.entries}
    entries = [*there.entries, *(entry for entry in log.entries if entry not in once)]
    return DeploymentLog(
        True,
        tuple(sorted(entries, key=lambda entry: entry.at)),
        (*log.left_out, *there.left_out),
        f"{ON_HOST} and {FILE}" if log.there else ON_HOST,
    )


def _of_text(text: str, name: str, until: float) -> DeploymentLog:
    lines = text.splitlines()
    entries, broken, future = [], [], []
    once = dict.fromkeys(line for line in lines if line.strip())
    for number, line in enumerate(lines, 1):
        if once.pop(line, "seen") is not None:
            continue
        entry = _entry(line)
        if entry is None:
            broken.append(number)
        elif entry.at > until:
            future.append(number)
        else:
            entries.append(entry)
    twice = sum(bool(line.strip()) for line in lines) - len(entries) - len(broken) - len(future)
    left_out = [
        f"{name}: {what} ({_numbers(found)})"
        for what, found in (("broken", broken), ("dated in the future", future))
        if found
    ]
    if twice:
        stand, count = ("stands", "counts") if twice == 1 else ("stand", "count")
        left_out.append(f"{name}: {counted(twice, 'line')} {stand} there twice and {count} once")
    return DeploymentLog(True, tuple(sorted(entries, key=lambda entry: entry.at)), tuple(left_out))


def _numbers(found: list[int]) -> str:
    named = ", ".join(map(str, found[:5]))
    return (
        f"line{'s' if len(found) > 1 else ''}"
        f" {named}{f' and {len(found) - 5} more' if len(found) > 5 else ''}, not counted"
    )


def _entry(line: str) -> Entry | None:
    """What a line says; None where it isn't one."""
    try:
        said: Any = json.loads(line)
        at = _seconds(said["at"])
        kind, environment, version = said["kind"], said["environment"], said.get("version", "unknown")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    outcome = said.get("outcome", "success")
    if kind not in KINDS or outcome not in ("success", "failure") or not isinstance(environment, str):
        return None
    if not isinstance(version, str) or not VERSIONS.fullmatch(version):
        return None
    return Entry(kind, environment, version, at, failed=outcome == "failure")


def _seconds(text: str) -> float:
    """A time of ISO 8601, in UTC where it names no zone, as seconds since 1970. Raises ValueError,
    TypeError."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def troubles(entries: Iterable[Entry], environment: str) -> list[Trouble]:
    """What went wrong in an environment, in the order of the deployment log.

    A failed deploy is over with the next deploy or rollback there that succeeds, an incident with a rollback
    that succeeds or a line `restored`. A rollback is the way out of a trouble that is open; where none is, it
    shows one that nobody wrote down.
    """
    found: list[Trouble] = []
    still: list[int] = []  # places of those that aren't over
    running = "unknown"
    for entry in entries:
        if entry.environment != environment:
            continue
        if entry.kind == "incident":
            new = Trouble("incident", entry.version, entry.at, None)
        elif entry.failed:
            new = Trouble(f"failed {entry.kind}", entry.version, entry.at, None)
        else:
            over = [place for place in still if entry.kind != "deploy" or found[place].what != "incident"]
            for place in over:
                found[place] = replace(found[place], end=entry.at)
            if entry.kind == "rollback" and not still:
                found.append(Trouble("rolled back", running, entry.at, entry.at, whole=False))
            still = [place for place in still if place not in over]
            running = entry.version if entry.kind != "restored" else running
            continue
        still.append(len(found))
        found.append(new)
    return found


def record(
    project: Path, kind: str, environment: str, version: str | None, outcome: str, note: str, at: str = ""
) -> str:
    """Append an entry to the deployment log at `project`; returns a line that says what was written.

    `kind` is one of KINDS. Where no `version` is given, a deploy is of the commit that is checked out, if
    that was there at the time; the others are of what the log says ran then, or was there before what a
    rollback took away. What neither tells is "unknown". `outcome` is for a deploy and a rollback, "" where it
    is not given. `at` is a time of ISO 8601, in this machine's zone where it names none; now, where it is
    empty. Raises Refused for what can't be taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", environment):
        raise Refused(f"--environment {environment!r}: expected a name such as production")
    if not note.isprintable() or len(note) > 500:
        raise Refused("--note: expected one line, 500 characters at most")
    if outcome and kind not in ("deploy", "rollback"):
        raise Refused(f"--outcome {outcome}: expected for a deploy or a rollback only, and this is {kind!r}")
    now = datetime.now(UTC)
    time = _given_time(at, now)
    log = read(project, now.timestamp() + 60).entries
    if kind == "restored" and not any(
        one.end is None for one in troubles(log, environment) if one.start <= time.timestamp()
    ):
        raise Refused(
            f"restored: nothing is recorded as broken in {environment}; record the incident first"
            " (WHAT=incident)"
        )
    if version:
        _check_version(project, version, now)
    elif kind == "deploy":
        version = _head(project, time)
    else:
        ran = _ran(log, environment, time)
        if kind == "rollback":
            ran = [one for one in ran if one != ran[-1]]
        version = ran[-1] if ran else "unknown"
    entry = {
        "kind": kind,
        "environment": environment,
        "version": version,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": git_says(project, "config", "user.name").strip() or "unknown",
        **({"outcome": outcome or "success"} if kind in ("deploy", "rollback") else {}),
        **({"note": note} if note else {}),
    }
    path = project / FILE
    path.parent.mkdir(exist_ok=True)
    # One write in append mode: two people's lines, or a stop in between, leave whole lines.
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (json.dumps(entry, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(handle)
    of = "an unknown version" if version == "unknown" else version
    return f"{FILE}: {kind} of {of} {'to' if kind == 'deploy' else 'in'} {environment} recorded; commit it"


def _ran(log: Iterable[Entry], environment: str, time: datetime) -> list[str]:
    """The versions that were started in an environment up to `time`, in order; the last one ran then."""
    return [
        one.version
        for one in log
        if one.environment == environment
        and one.kind in ("deploy", "rollback")
        and not one.failed
        and one.at <= time.timestamp()
    ]


def _head(project: Path, time: datetime) -> str:
    """The commit that is checked out; "unknown" where there is no repository, no commit yet, or none before
    `time`.

    Raises Refused where git can't say.
    """
    code, said, _ = ask_git(project, "log", "-1", "--format=%h %ct", "HEAD")
    if code and (why := git_refuses(project)):
        raise Refused(f"git: {why}")
    commit, _, committed = said.strip().partition(" ")
    return commit if commit and int(committed) <= time.timestamp() + 60 else "unknown"


def _check_version(project: Path, version: str, now: datetime) -> None:
    """Raises Refused for a version that is no version number, and no commit or tag here.

    What the log has already, and any name outside of git, is taken.
    """
    if not VERSION.fullmatch(version):
        raise Refused(
            f"--version {version!r}: expected a commit, a tag of this repository, or a version number"
        )
    if VERSION_NUMBER.fullmatch(version):  # Not every deployed version is a tag in git.
        return
    if any(one.version == version for one in read(project, now.timestamp() + 60).entries):
        return
    inside, _, complaint = ask_git(project, "rev-parse", "--git-dir")
    if inside and "not a git repository" in complaint:
        return
    if ask_git(project, "rev-parse", "-q", "--verify", f"{version}^{{commit}}")[0]:
        raise Refused(
            f"--version {version}: git knows no such commit or tag here (`git fetch --tags` may bring it), "
            "and it is no version number such as 1.4.2"
        )


def _given_time(at: str, now: datetime) -> datetime:
    """The time that a person gives, in UTC. Raises Refused."""
    if not at:
        return now
    try:
        time = datetime.fromisoformat(at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(f"--at {at!r}: expected a time such as 2026-11-24T09:30") from None
    if not now - timedelta(days=3650) < time <= now + timedelta(minutes=1):
        raise Refused(f"--at {at!r}: expected a time in the past ten years")
    return time
