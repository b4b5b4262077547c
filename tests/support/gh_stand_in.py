"""A stand-in for GitHub's command gh, as a script on PATH: what it knows of one repository stands in a file.

It takes what `levels setup` gives it, and refuses what the real one refuses: no login, a secret for an
environment that isn't there, an environment or a ruleset where the plan has none, options that it doesn't
know. Run as `python gh_stand_in.py STATE.json ARGUMENTS…`; `Gh` makes the script and reads the file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

REPOSITORY = "someone/shop"
TIME = "2099-01-01T00:00:00Z"  # when a secret was stored


class Gh:
    """The stand-in as `FOLDER/gh`, and what it knows."""

    def __init__(self, folder: Path, **state: Any) -> None:
        self.state = folder / "gh.json"
        script = folder / "gh"
        script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -IS '{__file__}' '{self.state}' \"$@\"\n")
        script.chmod(0o755)
        self.state.write_text(json.dumps(EMPTY | state))

    def __getitem__(self, name: str) -> Any:
        return json.loads(self.state.read_text())[name]

    def change(self, **state: Any) -> None:
        """Have it know something else from now on."""
        self.state.write_text(json.dumps(json.loads(self.state.read_text()) | state))


# private_free: a private repository on a plan without environments and rulesets for it.
EMPTY: dict[str, Any] = {
    "login": True,
    "private_free": False,
    "environments": [],
    "secrets": {},
    "variables": {},
    "rulesets": [],
    "calls": [],
}


def complain(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code


def options(arguments: list[str], known: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """The plain arguments, and the options with their values. Ends where an option is not known."""
    plain, found, rest = [], {}, [*arguments]
    while rest:
        one = rest.pop(0)
        if one.startswith("--"):
            if one not in known:
                sys.exit(complain(f"unknown flag: {one}"))
            found[one] = rest.pop(0)
        else:
            plain.append(one)
    return plain, found


def api(state: dict[str, Any], arguments: list[str]) -> int:
    (path,), given = options(arguments, ("--method", "--input"))
    method = given.get("--method", "GET")
    base, rest = f"repos/{REPOSITORY}", path.removeprefix(f"repos/{REPOSITORY}")
    if not path.startswith(base):
        return complain("gh: Not Found (HTTP 404)")
    if rest == "":
        print(json.dumps({"full_name": REPOSITORY, "private": state["private_free"]}))
    elif rest == "/rulesets":
        if state["private_free"]:
            return complain("gh: Upgrade to GitHub Pro or make this repository public. (HTTP 403)")
        if method == "POST":
            state["rulesets"].append(json.loads(Path(given["--input"]).read_text()))
        print(json.dumps(state["rulesets"]))
    elif rest.startswith("/environments"):
        name = rest.removeprefix("/environments").removeprefix("/")
        if state["private_free"]:
            return complain("gh: Not Found (HTTP 404)")
        if method == "PUT":
            state["environments"].append(name)
        elif name and name not in state["environments"]:
            return complain("gh: Not Found (HTTP 404)")
        print("{}")
    else:
        return complain("gh: Not Found (HTTP 404)")
    return 0


def kept(state: dict[str, Any], kind: str, arguments: list[str], given: str) -> int:
    """`gh secret …` and `gh variable …`: secrets stand below ENVIRONMENT/NAME, or NAME."""
    action, *arguments = arguments
    plain, said = options(arguments, ("--repo", "--env", "--json", "--body"))
    if said.get("--repo") != REPOSITORY:
        return complain(f"GraphQL: Could not resolve to a Repository with the name '{said.get('--repo')}'.")
    at, there = said.get("--env", ""), state[f"{kind}s"]
    if at and at not in state["environments"]:
        return complain(f"failed to get {kind}s: HTTP 404: Not Found")
    if action == "list":
        found = [
            (name.rpartition("/")[2], one) for name, one in there.items() if name.rpartition("/")[0] == at
        ]
        value = "updatedAt" if kind == "secret" else "value"
        print(json.dumps([{"name": name, value: TIME if kind == "secret" else one} for name, one in found]))
        return 0
    value = said.get("--body", given)
    if not value:
        return complain("must pass a body")
    there["/".join(filter(None, (at, plain[0])))] = value
    return 0


def main() -> int:
    file, *arguments = sys.argv[1:]
    state = json.loads(Path(file).read_text())
    state["calls"].append(" ".join(arguments))
    if not state["login"]:
        code = complain("You are not logged into any GitHub hosts. To log in, run: gh auth login")
    elif arguments[:2] == ["auth", "status"]:
        code = 0
    elif arguments[0] == "api":
        code = api(state, arguments[1:])
    elif arguments[0] in ("secret", "variable"):
        code = kept(state, arguments[0], arguments[1:], "" if sys.stdin.isatty() else sys.stdin.read())
    else:
        code = complain(f'unknown command "{arguments[0]}" for "gh"')
    Path(file).write_text(json.dumps(state))
    return code


if __name__ == "__main__":
    sys.exit(main())
