"""A promotion: a pull request in which what one environment runs becomes another's line in config/releases.

What runs is asked of the project's own `make status`; nothing that is checked out here is touched.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import git_says, shown
from ..template import answers

LINE = re.compile(r"^release: (.*)$", re.MULTILINE)


def promote(
    project: Path, recorded: Mapping[str, Any], origin: str, to: str, reason: str, dry_run: bool
) -> int:
    """Open the pull request that has `to` run what `origin` runs, or show it. Returns the exit code.

    Raises Refused for environments or a reason that can't be taken, and where git refuses.
    """
    names = answers.environment_names(recorded)
    if to not in names[1:]:
        known = " or ".join(names[1:]) or "one more of the answer `environments`"
        raise Refused(f"TO is {to!r}, expected {known}; {names[0]} gets each merge")
    before = names[: names.index(to)]
    origin = origin or before[-1]
    if origin not in before:
        raise Refused(f"FROM is {origin!r}, expected one before {to}: {' or '.join(before)}")
    if not reason.isprintable() or len(reason) > 300:
        raise Refused("REASON: expected one line of 300 characters at most")
    runs = _status(project, origin)
    if runs is None:
        return 1
    branch = recorded["default_branch"]
    _git(project, "fetch", "--quiet", "origin", branch)
    base, path = _git(project, "rev-parse", "FETCH_HEAD").strip(), f"config/releases/{to}.yml"
    text = git_says(project, "show", f"{base}:{path}")
    old = _line(text)
    if old.get("builds") == runs["builds"] and not reason:
        print(f"{path} of {branch} has the builds of release {runs['release']} of {origin} already")
        return 0
    now = datetime.now(UTC)
    by = git_says(project, "config", "user.name").strip() or getpass.getuser()
    line = {"version": runs["version"], "from": f"{origin}/{runs['release']}", "builds": runs["builds"]}
    line |= {"at": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "by": by, **({"reason": reason} if reason else {})}
    make = answers.make(recorded)
    text = (
        text
        or f"# What {to} runs, by `{make} promote TO={to}` and a pull request: docs/promotion.md\nrelease: \n"
    )
    new = f"release: {json.dumps(line, ensure_ascii=False)}"
    text = LINE.sub(lambda _: new, text)
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    at = f"{server}/{recorded['repository'] or 'OWNER/NAME'}/compare"
    title = f"Promote release {runs['release']} of {origin} to {to}"
    body = f"{to} gets what {origin} runs, {runs['version']}: the very images, nothing is built.\n"
    body += f"What that changes: {at}/{old['version']}...{runs['version']}\n" if old.get("version") else ""
    body += f"\nReason to go past what holds a deploy up:\n\n    {reason}\n" if reason else ""
    body += f"\nSomebody else has to approve it. After the merge {to} is deployed, and nothing else.\n"
    if held := "" if reason else _held(project, to):
        print(f"now the deploy would be held: {held}")
    topic = f"promote/{to}-{now:%Y%m%d%H%M%S}"
    if dry_run:
        print(f"would open, from the branch {topic}: {title}\n\n{body}\n{path}:\n{text}", end="")
        return 0
    _git(
        project,
        "push",
        "--quiet",
        "origin",
        f"{_commit(project, base, path, text, title)}:refs/heads/{topic}",
    )
    request = ["gh", "pr", "create", "--head", topic, "--base", branch, "--title", title, "--body", body]
    if not shutil.which("gh") or subprocess.run(request, cwd=project, check=False).returncode:
        print(f"the branch {topic} is pushed; open its pull request: {at}/{branch}...{topic}?expand=1")
    return 0


def _status(project: Path, environment: str) -> dict[str, Any] | None:
    """What an environment runs; None, after a line that says why, where that isn't well or not known."""
    done = _deploy(project, "-m", "deploy.overview", environment, "--json")
    try:
        [seen] = json.loads(done.stdout)["environments"]
    except ValueError:
        raise Refused(shown((done.stderr.strip().splitlines() or ["make status said nothing"])[-1])) from None
    why = (
        seen["unknown"]
        or "; ".join(seen["wrong"])
        or ("" if seen["release"] else "nothing has been deployed")
    )
    if why:
        print(f"levels: {environment} can't be promoted: {shown(why)}", file=sys.stderr)
    return None if why else dict(seen)


def _held(project: Path, environment: str) -> str:
    code = "import sys; from deploy import promotion; print(promotion.closed(sys.argv[1]))"
    done = _deploy(project, "-c", code, environment)
    return done.stdout.strip() if done.returncode == 0 else ""


def _deploy(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run something of the project's own scripts."""
    environment = {**os.environ, "PYTHONPATH": "ci"}
    command = [sys.executable, "-P", *words]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def _line(text: str) -> dict[str, Any]:
    """What the line says; nothing where there is none."""
    try:
        found = json.loads(LINE.findall(text)[0])
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _commit(project: Path, base: str, path: str, text: str, message: str) -> str:
    """A commit on `base` that changes one file, made without the files that are checked out."""
    blob = _git(project, "hash-object", "-w", "--stdin", given=text).strip()
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        _git(project, "read-tree", base, **index)
        _git(project, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index)
        tree = _git(project, "write-tree", **index).strip()
    return _git(project, "commit-tree", tree, "-p", base, given=message).strip()


def _git(project: Path, *command: str, given: str = "", **environment: str) -> str:
    """What git says. Raises Refused where it refuses."""
    done = subprocess.run(
        ["git", *command],
        cwd=project,
        input=given,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise Refused(f"git {' '.join(command[:3])}: {shown(said)}")
    return done.stdout
