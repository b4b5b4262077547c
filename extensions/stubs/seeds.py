"""Seeds: a test file for each module of the person's that has none yet, written once, after the rendering.

Rendering never writes them, so a move merges nothing into them: they belong to the person from the first day.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..project.git_and_files import counted, git_says, shown
from ..source.files import aside, walk
from ..template import answers, layers
from . import project as stubs
from . import run
from .quiet import quiet

# Files at one time without being asked for: a first adoption of a large repository doesn't bury its people.
MOST = 5


def seed(
    project: Path, recorded: Mapping[str, Any], template: Path, ask: Callable[[str], str] | None = None
) -> Iterator[str]:
    """Write seeds for the modules that are new since the last move.

    Yields a line for each, and for what is left.

    MOST files at most, unless the person wants all of them: `ask` puts the question and returns the answer;
    without it nobody is asked. Where the project has no environment yet, or its people don't want their code
    run (`seed_tests: read`), only tests are written that can't be red by reading, and only of modules whose
    import does nothing.
    """
    found = due(project, recorded, template)
    read_only = recorded["seed_tests"] == "read" or run.interpreter(project) is None
    modules = [(service, file) for service, file in found if not read_only or quiet(project, file)]
    unseen = len(found) - len(modules)
    most: int | None = MOST
    if ask and len(modules) > MOST:
        question = (
            f"{len(modules)} modules of yours have no test file of their own. Write tests for {MOST} of them"
            " now, for all, or for none?"
        )
        said = ask(f"{question} [{MOST}/all/none] ").strip().lower()
        while said not in ("", str(MOST), "all", "none", "no", "n", "0"):
            said = ask(f"Expected {MOST}, all or none: ").strip().lower()
        if said in ("none", "no", "n", "0"):
            return
        most = None if said == "all" else MOST
    result = stubs.stubs(project, modules, read_only=read_only, most=most)
    for stub in result.stubs:
        if stub.written:
            yield f"{shown(stub.test)}: {counted(stub.written, 'test')} from {shown(stub.source)}, yours now"
    make = answers.make(recorded)
    first = f"{make} stubs" if recorded["seed_tests"] == "read" else f"{make} install stubs"
    untried = sum(len(stub.demoted) for stub in result.stubs) if not result.ran else 0
    if untried and recorded["seed_tests"] != "read":
        yield (
            f"{counted(untried, 'more test')} must be tried first, such as docstring examples: `{first}`"
            " writes those that are green"
        )
    left = unseen + len(modules) - len(result.stubs) - len(result.unparsed)
    if left:
        yield (
            f"{counted(left, 'more module')} {'was' if left == 1 else 'were'} not looked at: `{first}` writes"
            " what can be asserted"
        )


def due(project: Path, recorded: Mapping[str, Any], template: Path) -> list[tuple[stubs.Service, str]]:
    """The modules of the person's, with their services, that came after the last move and that no test file
    is named after.

    What stood there at the last move had its chance: so a seed that was deleted is not written again.
    """
    services = answers.recorded_services(recorded)
    rendered = layers.owners(template, services)
    modules = [
        (service, file) for service, file in stubs.chosen(project, recorded, []) if file not in rendered
    ]
    if not modules:
        return []
    moved = git_says(project, "log", "-1", "--format=%H", "HEAD", "--", ".copier-answers.yml").strip()
    before = (
        set(git_says(project, "ls-tree", "-r", "-z", "--name-only", moved).split("\0")) if moved else set()
    )
    modules = [(service, file) for service, file in modules if file not in before]
    if not modules:
        return []
    tested = {
        name for folder, names in walk(project) for name in names if aside(posixpath.join(folder, name))
    }
    return [(service, file) for service, file in modules if not _names(service, file) & tested]


def _names(service: stubs.Service, file: str) -> set[str]:
    """What a test file of this module may be called."""
    stem = posixpath.basename(file).removesuffix(".py")
    return {f"test_{stem}.py", f"{stem}_test.py", posixpath.basename(stubs.test_file(service, file))}
