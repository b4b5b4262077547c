"""The commit that is deployed: which it is, and whether a workflow may deploy it.

A workflow deploys a commit only while it is the tip of its branch: an older one that is run again, or took
longer, doesn't go over a newer one. The way back is rollback, or to name a version.
"""

import base64
import os
import re
import subprocess

import flags
import uv

from .shell import Stop, by_workflow


def git(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run git at the project's root and return how it went. Raises Stop where it takes a minute."""
    command = ["git", *arguments]
    try:
        return subprocess.run(
            command,
            cwd=uv.ROOT,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **environment},
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired as error:
        raise Stop(f"git {arguments[0]} didn't answer within a minute", 1) from error


def commit() -> str:
    """Return the commit that is checked out. Raises Stop where there is none."""
    found = git("rev-parse", "HEAD")
    if found.returncode:
        raise Stop("there is no commit yet: a version is a commit")
    return found.stdout.strip()


def superseded(decides: str = "") -> str:
    """Return why a workflow may not deploy what it checked out: that isn't the tip of its branch (any more).

    Where a file decides what is deployed, it may while the tip has that file as it is; else while the tip differs in
    nothing that images are built from. Empty where it may, and where no workflow runs this. Raises Stop where it can't be told: then nothing is
    deployed.
    """
    if not by_workflow():
        return ""
    ref = os.environ.get("GITHUB_REF", "")
    branch = ref.removeprefix("refs/heads/")
    if branch == ref:
        return f"a workflow deploys the tip of a branch, and this is {ref or 'no branch'}"
    # Without a remote the branch stands here.
    remote = "origin" if "origin" in git("remote").stdout.split() else "."
    listed = git("ls-remote", remote, ref, **read_access())
    if listed.returncode:
        said = (listed.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Stop(f"nothing was deployed: whether this is the tip of {branch} can't be told: git ls-remote: {said}", 1)
    tips = [line.split("\t")[0] for line in listed.stdout.splitlines() if line.endswith(f"\t{ref}")]
    if not tips:
        return f"the branch {branch} is gone"
    if tips != [commit()] and git("fetch", "--quiet", remote, ref, **read_access()).returncode == 0:
        changed = git("diff", "--name-only", "--no-renames", "-z", "HEAD", "FETCH_HEAD").stdout.split("\0")[:-1]
        same = changed and all(one.startswith(tuple(uv.PROJECT["not_built"])) for one in changed)
        if decides not in changed if decides else same:
            return ""
    return "" if tips == [commit()] else f"{branch} stands at {tips[0]} by now, and this is {commit()}"


def read_access() -> dict[str, str]:
    """Return git's environment to read the repository with the workflow's token, for that server alone."""
    token, server = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    if not token:
        return {}
    header = "Authorization: basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = {"GIT_CONFIG_COUNT": "2"}
    # The empty one forgets a header that the checkout left behind.
    for number, value in enumerate(["", header]):
        settings |= {f"GIT_CONFIG_KEY_{number}": f"http.{server}/.extraheader", f"GIT_CONFIG_VALUE_{number}": value}
    return settings


def may_go_on(environment: str, output: str, decides: str = "") -> bool:
    """Return whether a workflow may deploy this commit; its later steps and jobs get that as an output.

    Where it may not, the reason is on the page of the run. Raises Stop where it can't be told.
    """
    why = superseded(decides)
    if why:
        flags.tell(f"Nothing was deployed to {environment}: {why}.")
    if path := os.environ.get("GITHUB_OUTPUT"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{output}={'false' if why else 'true'}\n")
    return not why


def older(version: str, than: str) -> bool:
    """Return whether git knows here that one version is a commit before another."""
    if version == than or not re.fullmatch(r"[0-9a-f]{40}", than):
        return False
    return git("merge-base", "--is-ancestor", version, than).returncode == 0
