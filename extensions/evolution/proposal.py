"""The move by itself: keeps one issue about what is missing, and opens one pull request with the next level when its trigger has held.

A second run changes nothing. Nothing is pushed but a whole move without conflicts; the folder that it runs in stays as it is.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..moving import migrate, moves, preview
from ..project.git_and_files import git_says
from ..template import answers, layers
from ..template.place import root
from . import checklist, detector
from .checklist import Item
from .detector import Recommendation
from .github_api import GitHub, git, repository

MARKER = "<!-- copier-levels: the way to the next level -->"
TITLE = "The way to the next level"
# Who commits the move: the account that GitHub's own runs have.
NAME, EMAIL = "github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"


def propose(project: Path, recorded: dict[str, Any], *, now: datetime, dry_run: bool = False) -> Iterator[str]:
    """Look at the project, then keep the issue and the pull request of its repository. Yields a line for each thing done.

    With `dry_run` nothing is written anywhere, and GitHub isn't asked. Raises Refused where GitHub or git refuses.
    """
    missing = [item for item in checklist.check(project, recorded, now=now) if item.state == "todo"]
    recommended = detector.detect(project, recorded, now=now).recommendation
    github = None if dry_run else GitHub(repository(recorded))
    request = ""
    if recommended:
        request, lines = _request(project, recorded, recommended, github)
        yield from lines
    body = issue_text(recorded, missing, recommended, request)
    if github is None:
        yield body or "no issue: nothing is missing"
        return
    yield _keep_issue(github, body)


def _keep_issue(github: GitHub, body: str) -> str:
    """Open, change or close the one issue, as `body` (empty: nothing is missing) asks for. Returns what was done."""
    issue = github.issue(MARKER)
    if issue is None:
        return f"issue #{github.open_issue(TITLE, body)} opened" if body else "no issue: nothing is missing"
    number = issue["number"]
    if not body:
        github.change_issue(number, state="closed")
        return f"issue #{number} closed: nothing is missing"
    if issue["body"].replace("\r\n", "\n").strip() == body.strip():
        return f"issue #{number} says so already"
    github.change_issue(number, body=body)
    return f"issue #{number} brought up to date"


def _request(project: Path, recorded: Mapping[str, Any], recommended: Recommendation, github: GitHub | None) -> tuple[str, list[str]]:
    """See that there is one pull request for the recommended level. Returns what the issue says of it, and lines for the log."""
    level, make = recommended.level, answers.make(recorded)
    branch = f"levels/level-{level}"
    earlier = github.requests(branch) if github else []
    for state, says in (("open", "moves there"), ("closed", f"would have moved there and was closed; reopen it, or run `{make} upgrade`")):
        if found := next((one for one in earlier if one["state"] == state and not one["merged_at"]), None):
            return f"Pull request #{found['number']} {says}.", [f"pull request #{found['number']} is {state}"]
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as aside:
        clone = Path(aside, "clone")
        conflicts = _moved(project, clone, level)
        if conflicts:
            files = ", ".join(map(_code, conflicts))
            says = f"The move conflicts in {files}: run `{make} upgrade LEVEL={level}` yourself, and resolve the marked lines."
            return says, [f"no pull request: the move to level {level} conflicts in {', '.join(conflicts)}"]
        if github is None:
            return "A pull request would move there.", [f"a pull request from {branch} would be opened"]
        url = git_says(project, "remote", "get-url", "origin").strip()
        if not url:
            raise Refused("origin: expected a remote of that name to push to")
        tip = github.tip(clone, url, branch)
        if tip and git_says(clone, "log", "-1", "--format=%ce", tip).strip() != EMAIL:
            says = f"The branch `{branch}` holds somebody's commits, so there is no pull request. Delete it, or open one from it."
            return says, [f"no pull request: {branch} holds commits that aren't ours"]
        github.push(clone, url, branch, over=tip)
    number = github.open_request(branch, recorded["default_branch"], f"Move to level {level}", request_text(recorded, recommended))
    return f"Pull request #{number} moves there.", [f"pull request #{number} opened from {branch}"]


def _moved(project: Path, clone: Path, level: int) -> list[str]:
    """Clone what is committed, move the clone, and commit. Returns the files that conflict; then nothing is committed."""
    git(project, "clone", "--quiet", "--no-local", str(project.resolve()), str(clone))
    with contextlib.redirect_stdout(sys.stderr):  # what it tells a person who moves by hand
        code = moves.move(clone, {"level": level})
    if code:
        return migrate.conflicts(clone) or ["what the log names"]
    git(clone, "add", "--all")
    who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in (("NAME", NAME), ("EMAIL", EMAIL))}
    git(clone, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message", f"Move to level {level}", environment=who)
    return []


# What people read


def issue_text(recorded: Mapping[str, Any], missing: Sequence[Item], recommended: Recommendation | None, request: str) -> str:
    """The issue, as Markdown; empty where nothing is missing and no level is due. `request` says what became of the pull request."""
    if not missing and not recommended:
        return ""
    level, make = recorded["level"], answers.make(recorded)
    lines = [MARKER, f"This project is at level {level}. `{make} evolution` shows the figures, `{make} todo` the checklist."]
    if missing:
        lines += ["", f"## To do at level {level}", ""]
        lines += [f"- [ ] **{_text(item.title)}**: {_text(item.why)} {_text(item.fix)}" for item in missing]
    if recommended:
        lines += ["", f"## Level {recommended.level} is due", "", *(f"- {_text(reason)}" for reason in recommended.reasons)]
        lines += ["", request, "", f"`{make} preview LEVEL={recommended.level}` shows what it brings."]
    return "\n".join(lines) + "\n"


def request_text(recorded: Mapping[str, Any], recommended: Recommendation) -> str:
    """What the pull request says, as Markdown: why, what it costs and brings, what to do once, and how to go back."""
    level = recommended.level
    manifest = next(one for one in layers.manifests(root()) if one.level == level)
    steps = preview.setup_lines(dict(recorded), level)[1:]
    lines = [
        f"Level {level}, {manifest.title}: {manifest.summary}",
        "",
        "Why now:",
        *(f"- {_text(reason)}" for reason in recommended.reasons),
        "",
        f"Effort: {recommended.effort}. Cost: {recommended.cost}.",
        *(f"- {benefit}" for benefit in recommended.benefits),
    ]
    if steps:
        lines += ["", "To set up once, after the merge:", *(f"- [ ] {_text(re.sub(r'^ *[0-9]+[.] ', '', step))}" for step in steps)]
    make = answers.make(recorded)
    lines += ["", f"This is `{make} upgrade LEVEL={level}`, and nothing else. `{make} upgrade LEVEL={level - 1}` goes back."]
    lines += ["Close this request to say no: it is not opened again."]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Text that Markdown shows as it stands, on one line, and that calls nobody and no other issue. What stands in `these` stays code."""
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0:  # one has no partner
        pieces = ["'".join(pieces)]
    for number in range(0, len(pieces), 2):
        silent = re.sub(r"[@#](?=\w)", "\\g<0>\u200b", pieces[number])
        pieces[number] = re.sub(r"[\\*_{}\[\]<>|~&]", lambda found: f"&#{ord(found[0])};", silent)
    return "`".join(pieces)


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
