"""What several commands take: a project's answers, a level."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from ..errors import NotAProject, Refused
from ..project.git_and_files import git_refuses
from ..template import answers, layers
from ..template.place import root


def project_answers(project: Path) -> dict[str, Any]:
    """The recorded answers of the project in `project`.

    Raises NotAProject where none are, Refused for a bad one.

    Refused too, with git's own reason, where git doesn't work there: whatever is asked of it would be told as
    unknown.
    """
    if why := git_refuses(project):
        raise Refused(f"git: {why}")
    recorded = answers.recorded_answers(project)
    if not recorded:
        raise NotAProject(f"{project / '.copier-answers.yml'}: expected the answers of this template")
    check(recorded)
    return recorded


def check(given: dict[str, Any]) -> None:
    """Look at answers. Raises Refused."""
    answers.check(given, len(layers.layer_folders(root())))


def level_of(text: str) -> int:
    """A level from the command line. Raises Refused."""
    if not text:
        raise Refused("LEVEL: expected a level, as in LEVEL=2")
    level = int(text) if text.isdecimal() else text
    try:
        check({"level": level})
    except Refused as refused:
        raise Refused(str(refused).replace("level:", "LEVEL:", 1)) from None
    return int(level)


def answer(pair: str, key: str, more: tuple[str, ...] = ()) -> None:
    """Raises Refused where there is no answer `key`; `pair` is what a person typed."""
    known = ["level", *answers.CHECKS, *more]
    if key not in known:
        near = difflib.get_close_matches(key, known, 1)
        raise Refused(
            f"{pair}: there is no such"
            f" answer{f'; did you mean {near[0]}?' if near else ', see docs/answers.md'}"
        )
