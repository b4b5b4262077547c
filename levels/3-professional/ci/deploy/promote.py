"""Bring the builds that one environment runs to the next one, by a pull request that changes one line.

    promote [FROM] TO      open the pull request; DRY_RUN=1 shows it, REASON= goes past what would hold the deploy up
    approved [ENV]         whether somebody other than its author approved the line, of each that changed since BEFORE

GITHUB_TOKEN is for `approved`, which asks GitHub. This guards against slips, not against somebody who may write to
the repository.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import flags
import uv

from . import pipeline, promotion, settings, source
from .__main__ import running, status
from .compose import Compose
from .host import Host
from .promotion import ENVIRONMENTS, file_of, line_of
from .shell import Stop, by_workflow, run

BRANCH: str = uv.PROJECT["default_branch"]


def main(words: list[str]) -> int:
    """Do what the words ask for, and return the exit code."""
    given = {name: os.environ.get(name, "") for name in ("FROM", "TO", "ENV", "BEFORE", "REASON", "DRY_RUN")}
    try:
        if words == ["promote"]:
            promote(given["FROM"], given["TO"], given["REASON"], bool(given["DRY_RUN"]))
        else:
            approved(given["ENV"], given["BEFORE"])
    except Stop as stop:
        print(stop, file=sys.stderr)
        return stop.code
    return 0


def promote(origin: str, to: str, reason: str, dry_run: bool) -> None:
    """Open a pull request that has `to` run what `origin` runs, or show it. Raises Stop."""
    if to not in ENVIRONMENTS[1:]:
        known = " or ".join(ENVIRONMENTS[1:]) or "one more of the answer `environments`"
        raise Stop(f"TO is {to!r}, expected {known}; {ENVIRONMENTS[0]} gets each merge")
    before = ENVIRONMENTS[: ENVIRONMENTS.index(to)]
    if (origin := origin or before[-1]) not in before:
        raise Stop(f"FROM is {origin!r}, expected one before {to}: {' or '.join(before)}")
    if not reason.isprintable() or len(reason) > 300:
        raise Stop("REASON: expected one line of 300 characters at most")
    told = settings.read(origin)
    with Host(told).connected() as host:
        target = Compose(host, told, settings.rules())
        status(target)  # what isn't well there goes no further
        release = running(target)
    line: dict[str, Any] = {"version": release.version, "from": f"{origin}/{release.number}"}
    line |= {"builds": {one.service: one.digest for one in release.builds}}
    line |= {"at": pipeline.now(), "by": pipeline.who(), **({"reason": reason} if reason else {})}
    if (done := source.git("fetch", "--quiet", "origin", BRANCH)).returncode:
        said = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise Stop(f"git fetch origin {BRANCH}, which the pull request goes to: {said}", 1)
    base = source.git("rev-parse", "FETCH_HEAD").stdout.strip()
    text = source.git("show", f"{base}:{file_of(to)}").stdout
    runs = line_of(to, text)
    if runs.get("builds") == line["builds"] and not reason:
        print(f"{file_of(to)} of {BRANCH} has the builds of release {release.number} of {origin} already")
        return
    how = f"`{uv.MAKE} promote TO={to}` writes the line, and a pull request brings it: docs/promotion.md"
    new, text = f"release: {json.dumps(line, ensure_ascii=False)}", text or f"# What {to} runs. {how}\nrelease: \n"
    text = re.sub(r"(?m)^release: .*$", lambda _: new, text)
    at = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{uv.PROJECT['repository'] or 'OWNER/NAME'}/compare"
    branch = f"promote/{to}-{re.sub('[^0-9]', '', line['at'])}"
    title = f"Promote release {release.number} of {origin} to {to}"
    body = f"{to} gets what {origin} runs, {release.version}: the very images, nothing is built.\n"
    body += f"What that changes: {at}/{runs['version']}...{release.version}\n" if runs else ""
    body += f"\nReason to go past what holds a deploy up:\n\n    {reason}\n" if reason else ""
    body += f"\nSomebody else has to approve it. After the merge {to} is deployed, and nothing else.\n"
    if why := "" if reason else promotion.closed(to):
        print(f"now the deploy would be held: {why}")
    if dry_run:
        print(f"would open, from the branch {branch}: {title}\n\n{body}\n{file_of(to)}:\n{text}", end="")
        return
    run(["git", "push", "--quiet", "origin", f"{committed(base, file_of(to), text, title)}:refs/heads/{branch}"])
    request = ["gh", "pr", "create", "--head", branch, "--base", BRANCH, "--title", title, "--body", body]
    if not shutil.which("gh") or subprocess.run(request, cwd=uv.ROOT, check=False).returncode:
        print(f"the branch {branch} is pushed; open its pull request: {at}/{BRANCH}...{branch}?expand=1")


def committed(base: str, path: str, text: str, message: str) -> str:
    """Return a commit on `base` that changes one file; nothing that is checked out is touched. Raises Stop."""
    blob = run(["git", "hash-object", "-w", "--stdin"], text).strip()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        source.git("read-tree", base, **index)
        source.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index)
        tree = source.git("write-tree", **index).stdout.strip()
    return run(["git", "commit-tree", tree, "-p", base], message).strip()


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
    sys.exit(main(sys.argv[1:]))
