"""The releases, from releases.toml, for the release workflow and the tests. Needs nothing but Python.

`python .ci/releases.py` prints the last one as `version=…` and `commit=…`, as a workflow's outputs; with
`notes VERSION`, what CHANGELOG.md says of a version. Exit code 1, with one line, where there is no such
release or the file isn't as it must be.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parents[1] / "releases.toml"
CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


class Release(NamedTuple):
    """A released version, such as 1.2.0, and its commit."""

    version: str
    commit: str

    @property
    def tag(self) -> str:
        """The tag that the release workflow makes for it."""
        return f"v{self.version}"


def releases(text: str | None = None) -> list[Release]:
    """The releases that `text`, or releases.toml, lists. Raises ValueError for an entry that can't be."""
    found = tomllib.loads(FILE.read_text(encoding="utf-8") if text is None else text)
    if found.keys() - {"release"}:
        raise ValueError(f"releases.toml: expected nothing but [[release]], got {', '.join(sorted(found))}")
    listed: list[Release] = []
    for number, entry in enumerate(found.get("release", []), 1):
        version, commit = entry.get("version", ""), entry.get("commit", "")
        if entry.keys() != {"version", "commit"} or not re.fullmatch(
            r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version
        ):
            raise ValueError(f"releases.toml, entry {number}: expected a version such as 1.2.0, and a commit")
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ValueError(f"releases.toml, {version}: expected the 40 digits of a commit, got {commit!r}")
        if listed and _number(version) <= _number(listed[-1].version):
            raise ValueError(f"releases.toml, {version}: expected a version above {listed[-1].version}")
        listed.append(Release(version, commit))
    return listed


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def notes(version: str, text: str | None = None) -> str:
    """What `text`, or CHANGELOG.md, says of a version. Raises ValueError where it says nothing."""
    text = CHANGELOG.read_text(encoding="utf-8") if text is None else text
    parts = re.split(
        r"^## \[([^]]+)\].*\n", re.sub(r"^\[[^]]+\]: .*\n?", "", text, flags=re.MULTILINE), flags=re.MULTILINE
    )
    said = dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()
    if not said:
        raise ValueError(f"CHANGELOG.md: expected what is new in {version}")
    return said


def main(arguments: list[str]) -> str:
    """What the command prints. Raises ValueError."""
    if arguments[:1] == ["notes"]:
        return notes(*arguments[1:])
    listed = releases()
    if not listed:
        raise ValueError("releases.toml: there is no release yet")
    return f"version={listed[-1].version}\ncommit={listed[-1].commit}"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(str(error))
