"""Who approved what is promoted: GitHub is asked, with GITHUB_TOKEN.

ENV names an environment; without it they are those whose line changed since BEFORE. This guards against slips, not
against somebody who may write to the repository.
"""

import json
import os
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import flags
import uv

from . import source
from .promotion import ENVIRONMENTS, file_of, line_of
from .shell import Stop, by_workflow

BRANCH: str = uv.PROJECT["default_branch"]


def approved(environment: str, before: str) -> None:
    """Print which lines changed and who approved each; a workflow's later jobs get the names. Raises Stop."""
    if by_workflow() and (ref := os.environ.get("GITHUB_REF")) != f"refs/heads/{BRANCH}":
        raise Stop(f"what is promoted stands on {BRANCH}, and this is {ref}")
    if environment and environment not in ENVIRONMENTS[1:]:
        raise Stop(f"ENV is {environment!r}, expected {' or '.join(ENVIRONMENTS[1:])}")
    names, found = [environment], []
    if not environment:
        since = before if re.fullmatch("[0-9a-f]{40}", before) else "0" * 40
        changed = source.git("diff", "--name-only", "--no-renames", "-z", since, "HEAD", "--")
        if changed.returncode:
            raise Stop(f"BEFORE is {before!r}, expected the commit before the push; ENV= names an environment instead")
        names = [one for one in ENVIRONMENTS[1:] if file_of(one) in changed.stdout.split("\0")]
    for name in names:
        if not (line := line_of(name)):
            flags.tell(f"{file_of(name)} isn't there, so nothing is deployed to {name}.")
            continue
        commit = source.git("log", "-1", "--first-parent", "--format=%H", "--", file_of(name)).stdout.strip()
        print(f"{name}: {line['version']}, approved by {approval(name, commit)}")
        found.append(name)
    if path := os.environ.get("GITHUB_OUTPUT"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"environments={json.dumps(found)}\n")


def approval(environment: str, commit: str) -> str:
    """Return who approved the pull request that a commit came by, as it was merged. Raises Stop where nobody did."""
    requests = [one for one in pages(f"commits/{commit}/pulls") if one["merged_at"] and one["base"]["ref"] == BRANCH]
    for one in requests:
        said: dict[str, str] = {}
        for review in pages(f"pulls/{one['number']}/reviews"):
            state, who = review["state"], review["user"] or {"login": "", "type": ""}  # whose account is gone
            if state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED") and who["type"] == "User":
                # An approval is one of what was to be seen then.
                said[who["login"]] = "" if state == "APPROVED" and review["commit_id"] != one["head"]["sha"] else state
        said.pop(one["user"]["login"], None)
        # In a public repository anybody can approve.
        said = {name: state for name, state in said.items() if state in ("APPROVED", "CHANGES_REQUESTED") and may_write(name)}
        if "APPROVED" in said.values() and "CHANGES_REQUESTED" not in said.values():
            return f"{', '.join(sorted(said))} in #{one['number']}"
    why = f"{commit} came to {BRANCH} by no pull request"
    if requests:
        why = f"of those who may write, nobody but its author approved #{requests[0]['number']} as it was merged"
        why += ", or somebody asked for changes"
    raise Stop(f"{environment} isn't deployed: {why}", 1)


def may_write(name: str) -> bool:
    """Return whether somebody may write to the repository. Raises Stop."""
    return ask(f"collaborators/{urllib.parse.quote(name, safe='')}/permission")["permission"] in ("admin", "write")


def pages(path: str) -> Iterator[Any]:
    """Yield what GitHub's API lists, all pages of it. Raises Stop."""
    for page in range(1, 100):
        yield from (listed := ask(f"{path}?per_page=100&page={page}"))
        if len(listed) < 100:
            return


class Stays(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the token is for GitHub's API alone."""

    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect."""


def ask(path: str) -> Any:
    """Return what GitHub's API says of the repository. Raises Stop."""
    repository, token = os.environ.get("GITHUB_REPOSITORY") or uv.PROJECT["repository"], os.environ.get("GITHUB_TOKEN")
    if not token or not repository:
        raise Stop("whether it was approved is asked of GitHub: expected GITHUB_TOKEN, and GITHUB_REPOSITORY")
    url = f"{os.environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{repository}/{path}"
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "User-Agent": "copier-levels"}
    try:
        with urllib.request.build_opener(Stays).open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        needs = "; the token has to read contents and pull requests" if getattr(error, "code", 0) in (401, 403, 404) else ""
        raise Stop(f"whether it was approved can't be told: GitHub, {path.partition('?')[0]}: {error}{needs}", 1) from None


if __name__ == "__main__":
    try:
        approved(os.environ.get("ENV", ""), os.environ.get("BEFORE", ""))
    except Stop as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.code)
