"""What GitHub knows: deployments to an environment, and the runs of a workflow that deploys.

Asked over its API, with a token.

The token is GITHUB_TOKEN, GH_TOKEN, or the one of `gh auth login`. It goes to GITHUB_API_URL
(https://api.github.com) and nowhere else, and that address is never taken from the project's files.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from ...project.git_and_files import shown
from . import rates, web
from .deployments import Deployments

PAGE = 100
PAGES = 10  # a thousand deployments or runs; GitHub lists no more of the latter
# A deployment that was followed by another is "inactive", so whether it succeeded is in its statuses.
DEPLOYMENTS = """
query($owner: String!, $name: String!, $environment: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    deployments(first: 100, environments: [$environment], orderBy: {field: CREATED_AT, direction: DESC}, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { createdAt commitOid statuses(first: 20) { nodes { state createdAt } } }
    }
  }
}
"""


def deployments(repository: str, environment: str, now: float) -> Deployments | None:
    """The successful deployments to an environment, over the history and its first window; None where there
    are none.

    Raises NotMeasured.
    """
    owner, _, name = repository.partition("/")
    begin = _begin(now)

    def ask(token: str, by: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = None
        for _ in range(PAGES):
            given = {"owner": owner, "name": name, "environment": environment, "after": after}
            answer = web.get(
                f"{api()}/graphql", by, headers(token), {"query": DEPLOYMENTS, "variables": given}
            )
            _complain(answer.get("errors"))
            page = answer["data"]["repository"]["deployments"]
            found += page["nodes"]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"] or _seconds(found[-1]["createdAt"]) < begin:
                break
        return found

    nodes = _asked(ask, f"no repository {repository}")
    well = []
    for node in nodes:
        done = [
            _seconds(status["createdAt"])
            for status in node["statuses"]["nodes"]
            if status["state"] == "SUCCESS"
        ]
        if done and min(done) <= now + rates.SLACK:
            well.append((min(done), str(node["commitOid"])))
    if not nodes:
        return None
    source = f"GitHub's deployments to {environment}"
    return _deployments(
        source, "high", well, min(_seconds(node["createdAt"]) for node in nodes), len(nodes) - len(well)
    )


def runs(repository: str, workflow: str, now: float) -> Deployments | None:
    """The successful runs of the workflow in `.github/workflows/<workflow>`; None where there are none.

    Raises NotMeasured.

    Runs for pull requests are left out: they deploy no change that everybody has.
    """
    begin = datetime.fromtimestamp(_begin(now), UTC).date().isoformat()
    where = f"{api()}/repos/{repository}/actions/workflows/{quote(workflow, safe='')}/runs"

    def ask(token: str, by: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(1, PAGES + 1):
            query = urlencode({"status": "success", "created": f">={begin}", "per_page": PAGE, "page": page})
            listed = web.get(f"{where}?{query}", by, headers(token))["workflow_runs"]
            found += listed
            if len(listed) < PAGE:
                break
        return found

    listed = [
        run
        for run in _asked(ask, f"no workflow {workflow} in {repository}")
        if run["event"] not in ("pull_request", "pull_request_target")
    ]
    well = [(_seconds(run["run_started_at"]), str(run["head_sha"])) for run in listed]
    well = [run for run in well if run[0] <= now + rates.SLACK]
    return (
        _deployments(f"runs of {workflow} on GitHub", "medium", well, min(at for at, _ in well))
        if well
        else None
    )


def read(path: str) -> Any:
    """What GitHub answers to a GET of `path`, such as repos/acme/shop; None where it knows no such thing, or
    doesn't show it to this token.

    Raises NotMeasured.
    """
    given = token()
    try:
        return web.within(web.LIMIT, "GitHub", lambda by: web.get(f"{api()}/{path}", by, headers(given)))
    except web.Answered as error:
        if error.status == 404:
            return None
        raise web.NotMeasured(refusal(error, path)) from None


def _begin(now: float) -> float:
    return now - (rates.HISTORY_WEEKS + rates.WEEKS) * rates.WEEK


def _deployments(
    source: str, confidence: str, well: list[tuple[float, str]], began: float, failed: int = 0
) -> Deployments:
    notes = (f"{failed} that didn't succeed, not counted",) if failed else ()
    return Deployments(source, confidence, sorted(at for at, _ in well), began, sorted(well), notes)


def _asked(ask: Callable[[str, float], list[dict[str, Any]]], missing: str) -> list[dict[str, Any]]:
    """What `ask` finds, given a token.

    Raises NotMeasured with what GitHub says to its refusals; `missing` is what a 404 means.
    """
    given = token()
    try:
        return web.within(web.LIMIT, "GitHub", lambda by: ask(given, by))
    except web.Answered as error:
        raise web.NotMeasured(refusal(error, missing)) from None
    except (TypeError, KeyError, AttributeError, IndexError, ValueError):
        raise web.NotMeasured("GitHub's answer isn't the one that its documentation promises") from None


def refusal(error: web.Answered, missing: str) -> str:
    """What a status means here. https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"""
    if error.status == 401:
        return "GitHub doesn't take the token (401)"
    if error.status == 429 or (
        error.status == 403
        and ("retry-after" in error.headers or error.headers.get("x-ratelimit-remaining") == "0")
    ):
        again = error.headers.get("x-ratelimit-reset", "")
        until = (
            f" until {datetime.fromtimestamp(int(again), UTC):%H:%M} UTC"
            if again.isascii() and again.isdecimal()
            else ""
        )
        return f"GitHub's rate limit is used up{until} ({error.status})"
    if error.status == 403:
        return f"the token may not read this ({error})"
    if error.status == 404:
        return f"{missing}, or the token may not see it (404)"
    return f"GitHub answered {error}"


def _complain(errors: Any) -> None:
    """GraphQL answers 200 and says what is wrong in a list. Raises NotMeasured."""
    if errors:
        kind, message = errors[0].get("type", ""), shown(str(errors[0].get("message", "")))[:200]
        if kind == "RATE_LIMITED":
            raise web.NotMeasured("GitHub's rate limit is used up")
        raise web.NotMeasured(f"GitHub refuses ({kind or 'error'}: {message})")


def api() -> str:
    return os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")


def headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "Content-Type": "application/json",
    }


def token() -> str:
    """The person's token. Raises NotMeasured where there is none."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        if token := os.environ.get(name, "").strip():
            if not re.fullmatch(r"[!-~]+", token):  # as a header it would be refused, in words that repeat it
                raise web.NotMeasured(f"{name} holds characters that are in no token")
            return token
    try:
        # Without a terminal gh asks nothing.
        said = subprocess.run(
            ["gh", "auth", "token"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
        if said.returncode == 0 and said.stdout.strip():
            return said.stdout.strip()
    except (OSError, subprocess.SubprocessError, ValueError):
        pass
    raise web.NotMeasured("no token: set GITHUB_TOKEN, or run `gh auth login`")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
