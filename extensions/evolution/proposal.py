"""The move by itself: one issue about what is missing, and one pull request with the next version or level.

A new version of the template comes first; the next level once its trigger has held. Only one request is open
at a time. A second run changes nothing. Nothing is pushed but a whole move without conflicts; the folder that
it runs in stays as it is.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
VERSION_BRANCH = "levels/version"
# Who commits the move: the account that GitHub's own runs have.
NAME, EMAIL = "github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com"


@dataclass(frozen=True)
class Move:
    """What a pull request would bring, asked of Copier by `data` and `newest`; `by_hand` is the command for
    the same.

    `title` and `body` may have {version}, which is known once the move was tried.
    """

    branch: str
    title: str
    body: str
    by_hand: str
    data: Mapping[str, Any] = field(default_factory=dict)
    newest: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a move: what the issue says of it, a line for the log, and the pull request that is open
    for it.
    """

    says: str = ""
    line: str = ""
    number: int = 0


def propose(
    project: Path, recorded: dict[str, Any], *, now: datetime, dry_run: bool = False
) -> Iterator[str]:
    """Look at the project, then keep the issue and the pull request of its repository.

    Yields a line for each thing done.

    With `dry_run` nothing is written anywhere, and GitHub isn't asked. Raises Refused where GitHub or git
    refuses.
    """
    missing = [item for item in checklist.check(project, recorded, now=now) if item.state == "todo"]
    recommended = detector.detect(project, recorded, now=now).recommendation
    github = None if dry_run else GitHub(repository(recorded))
    update, upgrade = _to_version(recorded), _to_level(recorded, recommended) if recommended else None
    # Both that may be open are looked at before anything is tried: there is one at a time.
    at_level = _standing(github, upgrade) if upgrade else Outcome()
    version = _standing(github, update)
    if not at_level.number and not version.number:
        version = _request(project, recorded, update, github)
    if upgrade and not at_level.says and version.number:
        says = f"It waits for pull request #{version.number}, which takes a new version first."
        at_level = Outcome(says, f"the move to level {upgrade.data['level']} waits for it")
    elif upgrade and not at_level.says:
        at_level = _request(project, recorded, upgrade, github)
    yield from filter(None, (version.line, at_level.line))
    body = issue_text(recorded, missing, recommended, at_level.says, version.says)
    if github is None:
        yield body or "no issue: nothing is missing"
        return
    yield _keep_issue(github, body)


def _to_version(recorded: Mapping[str, Any]) -> Move:
    """The move to the newest version of the template, at the same level."""
    command = f"{answers.make(recorded)} update"
    lines = [
        f"The template has a version {{version}}; this project stands at {recorded['_commit']}.",
        "",
        (
            f"This is `{command}`, and nothing else. Close this request to say no to this version: a later"
            " one comes again."
        ),
    ]
    return Move(
        VERSION_BRANCH,
        "Take version {version} of the template",
        "\n".join(lines) + "\n",
        command,
        newest=True,
    )


def _to_level(recorded: Mapping[str, Any], recommended: Recommendation) -> Move:
    """The move to the level that is recommended, staying on the version."""
    level = recommended.level
    command = f"{answers.make(recorded)} upgrade LEVEL={level}"
    body = request_text(recorded, recommended)
    return Move(f"levels/level-{level}", f"Move to level {level}", body, command, data={"level": level})


def _keep_issue(github: GitHub, body: str) -> str:
    """Open, change or close the one issue, as `body` (empty: nothing is missing) asks for.

    Returns what was done.
    """
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


def _standing(github: GitHub | None, move: Move, version: str = "") -> Outcome:
    """The pull request for a move that is open, or that was closed to say no; else nothing.

    A no to a version is a no to that one only; where `version` isn't given, only the open one is looked for.
    """
    listed = github.requests(move.branch) if github else []
    for one in listed:
        number = one["number"]
        if one["state"] == "open":
            return Outcome(f"Pull request #{number} brings it.", f"pull request #{number} is open", number)
    if move.newest and not version:
        return Outcome()
    for one in listed:
        if one["title"] == move.title.replace("{version}", version) and not one["merged_at"]:
            says = (
                f"Pull request #{one['number']} was closed, which says no; reopen it, or run"
                f" `{move.by_hand}`."
            )
            return Outcome(says, f"pull request #{one['number']} is closed")
    return Outcome()


def _request(project: Path, recorded: Mapping[str, Any], move: Move, github: GitHub | None) -> Outcome:
    """Try a move in a clone, and open the pull request for it. Nothing where there is nothing to move to."""
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as aside:
        clone = Path(aside, "clone")
        conflicts, version = _moved(project, clone, move)
        if move.newest and version == recorded["_commit"]:
            return Outcome()
        if conflicts:
            files, what = ", ".join(map(_code, conflicts)), "update" if move.newest else "move"
            says = (
                f"The {what} conflicts in {files}: run `{move.by_hand}` yourself, and resolve the marked"
                " lines."
            )
            to = f"version {version}" if move.newest else f"level {move.data['level']}"
            return Outcome(says, f"no pull request: the {what} to {to} conflicts in {', '.join(conflicts)}")
        if github is None:
            return Outcome(
                "A pull request would bring it.", f"a pull request from {move.branch} would be opened"
            )
        if (standing := _standing(github, move, version)).says:
            return standing
        title = move.title.replace("{version}", version)
        _commit(clone, title)
        url = git_says(project, "remote", "get-url", "origin").strip()
        if not url:
            raise Refused("origin: expected a remote of that name to push to")
        tip = github.tip(clone, url, move.branch)
        if tip and git_says(clone, "log", "-1", "--format=%ce", tip).strip() != EMAIL:
            theirs = f"The branch `{move.branch}` holds somebody's commits, so there is no pull request."
            line = f"no pull request: {move.branch} holds commits that aren't ours"
            return Outcome(f"{theirs} Delete it, or open one from it.", line)
        github.push(clone, url, move.branch, over=tip)
    body = move.body.replace("{version}", version)
    number = github.open_request(move.branch, recorded["default_branch"], title, body)
    return Outcome(
        f"Pull request #{number} brings it.", f"pull request #{number} opened from {move.branch}", number
    )


def _moved(project: Path, clone: Path, move: Move) -> tuple[list[str], str]:
    """Clone what is committed and move the clone.

    Returns the files that conflict, and the version that it stands at.
    """
    git(project, "clone", "--quiet", "--no-local", str(project.resolve()), str(clone))
    with contextlib.redirect_stdout(io.StringIO()):  # what it tells a person who moves by hand
        code = moves.move(clone, dict(move.data), newest=move.newest)
    version = str(answers.recorded_answers(clone)["_commit"])
    return (migrate.conflicts(clone) or ["what the log names"]) if code else [], version


def _commit(clone: Path, message: str) -> None:
    """Commit everything in a clone, as GitHub's own runs do."""
    git(clone, "add", "--all")
    roles, who = ("AUTHOR", "COMMITTER"), (("NAME", NAME), ("EMAIL", EMAIL))
    environment = {f"GIT_{role}_{key}": value for role in roles for key, value in who}
    command = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message", message]
    git(clone, *command, environment=environment)


# What people read


def issue_text(
    recorded: Mapping[str, Any],
    missing: Sequence[Item],
    recommended: Recommendation | None,
    request: str,
    version: str,
) -> str:
    """The issue, as Markdown; empty where nothing is missing and neither a level nor a version is due.

    `request` and `version` say what became of the pull requests for the next level and version.
    """
    if not missing and not recommended and not version:
        return ""
    level, make = recorded["level"], answers.make(recorded)
    lines = [
        MARKER,
        (
            f"This project is at level {level}. `{make} evolution` shows the figures, `{make} todo` the"
            " checklist."
        ),
    ]
    if missing:
        lines += ["", f"## To do at level {level}", ""]
        lines += [f"- [ ] **{_text(item.title)}**: {_text(item.why)} {_text(item.fix)}" for item in missing]
    if version:
        lines += ["", "## The template has a new version", "", version]
    if recommended:
        lines += [
            "",
            f"## Level {recommended.level} is due",
            "",
            *(f"- {_text(reason)}" for reason in recommended.reasons),
        ]
        lines += ["", request, "", f"`{make} preview LEVEL={recommended.level}` shows what it brings."]
    return "\n".join(lines) + "\n"


def request_text(recorded: Mapping[str, Any], recommended: Recommendation) -> str:
    """What the pull request says, as Markdown: why, what it costs and brings, what to do once, and how to go
    back.
    """
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
        lines += [
            "",
            "To set up once, after the merge:",
            *(f"- [ ] {_text(re.sub(r'^ *[0-9]+[.] ', '', step))}" for step in steps),
        ]
    make = answers.make(recorded)
    lines += [
        "",
        (
            f"This is `{make} upgrade LEVEL={level}`, and nothing else. `{make} upgrade LEVEL={level - 1}`"
            " goes back."
        ),
    ]
    lines += ["Close this request to say no: it is not opened again."]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """Text that Markdown shows as it stands, on one line, and that calls nobody and no other issue.

    What stands in `these` stays code.
    """
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0:  # one has no partner
        pieces = ["'".join(pieces)]
    for number in range(0, len(pieces), 2):
        silent = re.sub(r"[@#](?=\w)", "\\g<0>\u200b", pieces[number])
        pieces[number] = re.sub(r"[\\*_{}\[\]<>|~&]", lambda found: f"&#{ord(found[0])};", silent)
    return "`".join(pieces)


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
