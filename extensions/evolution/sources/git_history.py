"""What git knows: who has committed lately, which releases are tagged, when a commit was made.

Asked through the git command.
"""

from __future__ import annotations

import bisect
import os
import re
import shlex
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...project.git_and_files import ask_git, git_environment, git_says, shown
from . import people, rates

TEAM_DAYS = 90
LIMIT = 20  # seconds for reading the log
# git gives the newest first, but clocks differ: after this many commits that are too old, the rest is taken
# to be as old.
SLOP = 500
FORMAT = "%ct%x00%aN%x00%aE%x00%(trailers:key=Co-authored-by,valueonly,unfold,separator=%x00)"
CONTACT = re.compile(r"([^<>]*?)\s*<([^<>\s]+)>\s*")
# A version as people tag it: v1.2, 1.2.3, api-v1.2.3, release/2026-11-24. What comes after the number marks a
# release that isn't one yet.
RELEASE = re.compile(r"(?:[A-Za-z][\w.-]*[-_/@])?v?\d+(?:[.-]\d+){1,3}(?:\+[\w.]+)?")


class Unknown(Exception):
    """git can't tell; the message is one line that says why, and `do` says what a person does about it."""

    def __init__(self, why: str, do: str) -> None:
        super().__init__(why)
        self.do = do


@dataclass(frozen=True)
class Team:
    """Who has committed, and when (seconds since 1970): enough to count heads at any point of the window."""

    times: Mapping[people.Identity, list[float]]  # per person, sorted
    began: float | None  # the oldest commit, where the log was read to its end
    bots: Mapping[str, int]
    merged: Mapping[str, int]  # people with several addresses or names, and how many
    co_authored: int  # commits that name others as authors too
    future: int  # commits that are dated later than now

    def size(self, at: float) -> float | None:
        """How many people committed in the 90 days before `at`; None before there was a commit."""
        if self.began is not None and at < self.began:
            return None
        begin = at - TEAM_DAYS * rates.DAY
        return float(
            sum(bisect.bisect(times, at) > bisect.bisect(times, begin) for times in self.times.values())
        )

    def names(self, at: float) -> list[str]:
        """Who they are, those with the most commits first."""
        begin = at - TEAM_DAYS * rates.DAY
        commits = {
            one[0] or one[1]: bisect.bisect(times, at) - bisect.bisect(times, begin)
            for one, times in self.times.items()
        }
        return [
            name for name, count in sorted(commits.items(), key=lambda item: (-item[1], item[0])) if count
        ]


def readable(project: Path) -> None:
    """Look whether there is a whole history. Raises Unknown."""
    code, answer, complaint = ask_git(project, "rev-parse", "--is-shallow-repository")
    if code < 0:
        raise Unknown("git doesn't run here", "install git")
    if code:
        first = shown(complaint.strip().partition("\n")[0])[:200]
        if "not a git repository" in first:
            raise Unknown("there is no git repository here", "`git init`, and commit; or run this in a clone")
        if "dubious ownership" in first:
            where = shlex.quote(os.path.realpath(project))
            raise Unknown(
                f"git: {first}", f"if you trust it: `git config --global --add safe.directory {where}`"
            )
        raise Unknown(f"git: {first}", "look at what `git status` says")
    if answer.strip() == "true":
        raise Unknown(
            "a shallow clone lacks history", "`git fetch --unshallow`, or `fetch-depth: 0` in a workflow"
        )
    if not git_says(project, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        raise Unknown("there is no commit yet", "commit")


def team(project: Path, now: float, bots: Iterable[str] = ()) -> Team:
    """Read who committed to HEAD in the last 26 weeks and the 90 days before.

    `bots` are further names and addresses to leave out.

    Authors and those of Co-authored-by lines count (a squash merge names everybody but its author there), by
    the date of the commit. Raises Unknown.
    """
    begin = now - (rates.HISTORY_WEEKS * 7 + TEAM_DAYS) * rates.DAY
    seen: list[tuple[float, people.Identity]] = []
    contacts: list[tuple[float, str]] = []
    future = co_authored = older = 0
    oldest: float | None = None
    for line in _log(project):
        fields = line.split("\0")
        time = float(fields[0])
        if time > now + rates.SLACK:
            future += 1
            continue
        oldest = time if oldest is None else min(oldest, time)
        if time <= begin:
            older += 1
            if older == SLOP:
                oldest = None
                break
            continue
        older = 0
        seen.append((time, (fields[1], fields[2])))
        others = [contact for contact in fields[3:] if contact]
        co_authored += bool(others)
        contacts += ((time, contact) for contact in others)
    known = _mailmapped(project, {contact for _, contact in contacts})
    seen += ((time, known[contact]) for time, contact in contacts if contact in known)

    robots = {one for one in {identity for _, identity in seen} if people.is_bot(one, bots)}
    person = people.same_person(identity for _, identity in seen if identity not in robots)
    times: dict[people.Identity, list[float]] = defaultdict(list)
    for time, identity in sorted(seen):
        if identity not in robots:
            times[person[identity]].append(time)
    many = Counter(person.values())
    return Team(
        times=times,
        began=oldest,
        bots=Counter(identity[0] or identity[1] for _, identity in seen if identity in robots),
        merged={one[0] or one[1]: count for one, count in many.items() if count > 1},
        co_authored=co_authored,
        future=future,
    )


def _log(project: Path) -> Iterator[str]:
    """The lines of the log of HEAD, newest first. Raises Unknown where git stops, or takes too long.

    Read as it comes: `--since` would end at the first commit with a wrong, old date, and without it git would
    go through all of them.
    """
    command = [
        "git",
        "-C",
        os.fspath(project),
        "-c",
        "i18n.logOutputEncoding=UTF-8",
        "log",
        "--no-show-signature",
        "--no-color",
    ]
    with subprocess.Popen(
        [*command, f"--format={FORMAT}", "HEAD", "--"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**git_environment(), "GIT_FLUSH": "0"},  # in large pieces: else git writes each line at once
    ) as git:
        assert git.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            git.kill()

        timer = threading.Timer(LIMIT, stop)
        timer.start()
        try:
            for line in git.stdout:
                yield line.rstrip(b"\n").decode("utf-8", "replace")
            if late.is_set():
                raise Unknown(f"git log took longer than {LIMIT} s", "try again where the disk is faster")
            if git.wait():
                raise Unknown("git log failed", "`git fsck` tells more")
        finally:
            timer.cancel()
            git.kill()


def _mailmapped(project: Path, contacts: set[str]) -> dict[str, people.Identity]:
    """What the mailmap makes of contacts written as `Name <address>`; others are left out."""
    found = {
        contact: (match[1].strip(), match[2]) for contact in contacts if (match := CONTACT.fullmatch(contact))
    }
    order = sorted(found)
    if order:
        answer = git_says(
            project,
            "check-mailmap",
            "--stdin",
            given="".join(f"{found[one][0]} <{found[one][1]}>\n" for one in order),
        )
        mapped = [CONTACT.fullmatch(line) for line in answer.split("\n")[:-1]]
        if len(mapped) == len(order):
            found.update(
                {one: (match[1], match[2]) for one, match in zip(order, mapped, strict=True) if match}
            )
    return found


def releases(project: Path, now: float) -> tuple[list[float], list[str]]:
    """When releases were tagged (seconds since 1970, sorted), and what was left out, a line each.

    A release is a tag that looks like a version and not like one to come (rc, beta). Several tags on one
    commit are one release.
    """
    lines = git_says(
        project,
        "for-each-ref",
        "--format=%(creatordate:unix) %(objectname) %(*objectname) %(refname:strip=2)",
        "refs/tags",
    )
    commits: dict[str, float] = {}
    future = other = 0
    for line in lines.splitlines():
        date, tag, commit, name = line.split(" ", 3)
        if not date:  # a tag of a file, not of a commit
            continue
        if not RELEASE.fullmatch(name):
            other += 1
        elif float(date) > now + rates.SLACK:
            future += 1
        else:
            key = commit or tag
            commits[key] = min(commits.get(key, float(date)), float(date))
    left_out = [f"tags that look like no release: {other}"] if other else []
    left_out += [f"tags dated in the future, not counted: {future}"] if future else []
    return sorted(commits.values()), left_out


def commit_times(project: Path, versions: Iterable[str]) -> dict[str, float]:
    """When the commits were made that these versions (hashes, or names of tags) stand for; those not found
    are left out.
    """
    asked = sorted(
        version for version in set(versions) if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", version)
    )
    names = [
        version if re.fullmatch(r"[0-9a-f]{7,64}", version) else f"refs/tags/{version}" for version in asked
    ]
    answer = git_says(
        project,
        "cat-file",
        "--batch-check=%(objectname)",
        given="".join(f"{name}^{{commit}}\n" for name in names),
    )
    hashes = {
        version: line
        for version, line in zip(asked, answer.splitlines(), strict=False)
        if re.fullmatch(r"[0-9a-f]{40,64}", line)
    }
    if not hashes:
        return {}
    said = git_says(
        project,
        "log",
        "--no-walk=unsorted",
        "--no-show-signature",
        "--format=%H %ct",
        "--stdin",
        given="\n".join(set(hashes.values())) + "\n",
    )
    times = {commit: float(time) for commit, _, time in (line.partition(" ") for line in said.splitlines())}
    return {version: times[commit] for version, commit in hashes.items() if commit in times}
