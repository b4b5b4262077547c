"""GitHub as the move needs it: one issue, pull requests, and the right to push.

Asked over its API, with the token of the environment.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import Refused
from ..project.git_and_files import git_environment, shown
from .sources import github, web

PAGE = 100
LONGEST = 65_000  # characters of a body: GitHub refuses more than 65,536
# Who may have written an issue that is taken for ours: what strangers open on a public repository is not.
OURS = {"OWNER", "MEMBER", "COLLABORATOR"}


class GitHub:
    """A repository on GitHub, `owner/name`.

    Every method raises Refused with what GitHub says where it refuses.
    """

    def __init__(self, repository: str) -> None:
        """Find the token. Raises Refused where there is none."""
        if not repository:
            raise Refused("repository: expected owner/name in .copier-answers.yml, or GITHUB_REPOSITORY")
        self.repository = repository
        try:
            self._token = github.token()
        except web.NotMeasured as error:
            raise Refused(f"GitHub: {error}") from None

    def issue(self, marker: str) -> dict[str, Any] | None:
        """The oldest open issue of this repository's people, or of an app, whose text has `marker`."""
        page, found = 1, []
        while True:
            listed = self._ask(f"/issues?state=open&sort=created&direction=asc&per_page={PAGE}&page={page}")
            found += [
                one
                for one in listed
                if "pull_request" not in one and marker in (one["body"] or "") and _ours(one)
            ]
            if found or len(listed) < PAGE:
                return found[0] if found else None
            page += 1

    def open_issue(self, title: str, body: str) -> int:
        """Open an issue; returns its number."""
        return int(self._ask("/issues", {"title": title, "body": body[:LONGEST]})["number"])

    def change_issue(self, number: int, **what: str) -> None:
        """Change the `body` or the `state` of an issue."""
        self._ask(f"/issues/{number}", {key: value[:LONGEST] for key, value in what.items()}, "PATCH")

    def requests(self, branch: str) -> list[dict[str, Any]]:
        """The pull requests from a branch of this repository, open and closed, the newest first."""
        owner = self.repository.partition("/")[0]
        listed: list[dict[str, Any]] = self._ask(
            f"/pulls?state=all&head={quote(f'{owner}:{branch}')}&per_page={PAGE}"
        )
        return listed

    def open_request(self, branch: str, base: str, title: str, body: str) -> int:
        """Open a pull request; returns its number."""
        return int(
            self._ask("/pulls", {"head": branch, "base": base, "title": title, "body": body[:LONGEST]})[
                "number"
            ]
        )

    def push(self, clone: Path, url: str, branch: str, over: str) -> None:
        """Push HEAD to a branch, in place of the commit `over` (empty where there is no such branch).

        The token is in no argument.
        """
        lease = f"--force-with-lease=refs/heads/{branch}:{over}"
        git(clone, "push", "--quiet", lease, url, f"HEAD:refs/heads/{branch}", environment=self._way(url))

    def tip(self, clone: Path, url: str, branch: str) -> str:
        """Fetch a branch; returns its newest commit, or nothing where it doesn't exist."""
        listed = git(clone, "ls-remote", url, f"refs/heads/{branch}", environment=self._way(url)).split()
        if listed:
            git(clone, "fetch", "--quiet", url, f"refs/heads/{branch}", environment=self._way(url))
        return listed[0] if listed else ""

    def _way(self, url: str) -> dict[str, str]:
        """What git's environment needs to reach `url` with the token: a header, for that host alone."""
        if urlsplit(url).scheme != "https":
            return {}
        basic = base64.b64encode(f"x-access-token:{self._token}".encode()).decode()
        host = f"https://{urlsplit(url).hostname}/"
        return {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{host}.extraheader",
            "GIT_CONFIG_VALUE_0": f"Authorization: basic {basic}",
        }

    def _ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        url = f"{github.api()}/repos/{self.repository}{path}"
        try:
            return web.within(
                web.LIMIT, "GitHub", lambda by: web.get(url, by, github.headers(self._token), body, method)
            )
        except web.Answered as error:
            missing = f"no {self.repository}"
            raise Refused(
                f"GitHub: {github.refusal(error, missing)} at {method or ('POST' if body else 'GET')} {path}"
            ) from None
        except web.NotMeasured as error:
            raise Refused(f"GitHub: {error}") from None


def git(folder: Path, command: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run git at `folder`; returns what it prints. Raises Refused with the last line that it complains of."""
    done = subprocess.run(
        ["git", "-C", str(folder), command, *arguments],
        env=git_environment() | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        right = (
            " (the token needs the rights contents and workflows)"
            if command in ("push", "ls-remote", "fetch")
            else ""
        )
        raise Refused(f"git {command}: {shown(said[-1])}{right}")
    return done.stdout


def repository(recorded: dict[str, Any]) -> str:
    """`owner/name`: of the workflow that runs this, or as it is recorded."""
    return os.environ.get("GITHUB_REPOSITORY") or str(recorded.get("repository", ""))


def _ours(issue: dict[str, Any]) -> bool:
    return issue["author_association"] in OURS or issue["user"]["type"] == "Bot"
