"""What Copier runs once at the end of an update, in the project: keeps what people put into files that
dropped out, then lets the layers do what rendering cannot.

Run by after_update.py. Says a line for each thing done; a second run finds nothing to do.
"""

from __future__ import annotations

import importlib.util
import posixpath
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from ..project.git_and_files import ask_git, git_says, shown
from ..source.files import walk
from ..template import answers, layers


def migrate(project: Path, template: Path) -> Iterator[str]:
    """Finish an update at `project`, whose answers are the new ones while HEAD still has the old.

    Yields lines for the person.
    """
    old = yaml.safe_load(git_says(project, "show", "HEAD:./.copier-answers.yml"))
    new = answers.recorded_answers(project)
    if not old or not new:
        return
    yield from keep_edits(project, template, old, new)
    for number, event in crossed(old["level"], new["level"]):
        for line in _run_layer(template, number, event, project):
            yield f"level {number}: {line}"
    yield from seeds(project, template)
    for path in conflicts(project):
        yield (
            f"conflict: {path}: both you and the template changed the same lines; resolve the marked ones and"
            " `git add` it"
        )


def seeds(project: Path, template: Path, ask: Callable[[str], str] | None = None) -> Iterator[str]:
    """Write tests for the person's modules that are new, where the answers say so.

    Yields lines for them; `ask` puts a question to them.
    """
    recorded = answers.recorded_answers(project)
    if not recorded or recorded["seed_tests"] == "none":
        return
    services = answers.recorded_services(recorded)
    rendered = layers.owners(template, services)
    # Most moves find nothing new, and need nothing of what reads and writes tests.
    if all(path in rendered for service in services for path in _python_files(project, service["path"])):
        return
    from ..stubs.seeds import seed

    try:
        yield from seed(project, recorded, template, ask)
    except Exception as error:  # whatever somebody's source does to us, the move is whole
        why = f"{type(error).__name__}: {shown(str(error))}"
        yield f"no tests were written from the source ({why}); `{answers.make(recorded)} stubs` tries again"


def _python_files(project: Path, path: str) -> Iterator[str]:
    for folder, names in walk(project / path):
        yield from (posixpath.normpath(posixpath.join(path, folder, name)) for name in names)


def crossed(old: int, new: int) -> list[tuple[int, str]]:
    """The layers that a move touches, in order, with what happens to each: stay, then enter upwards or leave
    downwards.
    """
    stay = [(number, "stay") for number in range(1, min(old, new) + 1)]
    enter = [(number, "enter") for number in range(old + 1, new + 1)]
    leave = [(number, "leave") for number in range(old, new, -1)]
    return stay + enter + leave


def keep_edits(project: Path, template: Path, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """See that nothing edited disappears: files that the update deleted, although a person had changed them.

    What is the person's (in `keep`, or a seed) comes back from HEAD; of the rest the commit that has it is
    named.
    """
    deleted = git_says(project, "diff", "--name-only", "-z", "--relative", "--diff-filter=D", "HEAD").split(
        "\0"
    )[:-1]
    missing = [path for path in deleted if not (project / path).exists()]
    if not missing:
        return
    head = git_says(project, "rev-parse", "--short", "HEAD").strip()
    owner = {
        path: owner
        for path, (_, owner, _) in layers.owners(
            template, answers.recorded_services(old), answers.environment_names(old)
        ).items()
    }
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as folder:
        rendered = Path(folder, "rendered")
        if not all(answers.kept(path, new["keep"]) for path in missing):
            _render(old, rendered)
        edited = {
            path
            for path in missing
            if not answers.kept(path, new["keep"]) and _edited(project, path, rendered)
        }
    yours = {path for path in edited if owner.get(path, "yours") == "yours"}
    # A service's files hang together: a test needs the conftest.py beside it, a worker its settings.
    homes = _homes(template, old)
    beside = {homes[path] for path in yours if path in homes}
    for path in missing:
        if answers.kept(path, new["keep"]):
            reason = "it is yours now"
        elif path in yours:
            reason = "you changed it"
        elif homes.get(path) in beside:
            reason = "what you changed beside it may need it"
        else:
            if path in edited:
                yield f"removed {path}, which you had changed: `git show {head}:./{path}` has it"
            continue
        code, _, complaint = ask_git(project, "checkout", "HEAD", "--", path)
        if code == 0:
            yield f"kept {path}: {reason}"
        else:
            yield (
                f"removed {path}, and git can't bring it back ({shown(complaint.strip())}): `git show"
                f" {head}:./{path}` has it"
            )


def _homes(template: Path, old: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """For each path that is rendered once per service, the folder of that service's that it stands in."""
    homes = {}
    for _, name, path in layers.rendered_paths(
        layers.names_on_disk(template), answers.recorded_services(old)
    ):
        token = next((part for part in name.split("/") if part in layers.FOR_EACH), None)
        if token is not None:
            kind, _, rest = name.partition(token)
            homes[path] = (kind, "/".join(path.split("/")[: -rest.count("/")]))
    return homes


def conflicts(project: Path) -> list[str]:
    """The files that an update left with conflict markers."""
    return sorted(
        set(git_says(project, "diff", "--name-only", "-z", "--relative", "--diff-filter=U").split("\0")[:-1])
    )


def _edited(project: Path, path: str, rendered: Path) -> bool:
    """Whether HEAD's file differs from what the template had written.

    A template that can't be rendered again counts as edited.
    """
    was = subprocess.run(
        ["git", "show", f"HEAD:./{path}"], cwd=project, capture_output=True, check=True
    ).stdout
    try:
        return (rendered / path).read_bytes() != was
    except OSError:
        return True


def _render(recorded: dict[str, Any], folder: Path) -> None:
    """What the template rendered for the recorded answers; nothing where that version is not to be had any
    more.
    """
    import copier  # half a second, and needed only when something dropped out

    data = {key: value for key, value in recorded.items() if not key.startswith("_")}
    try:
        copier.run_copy(
            recorded["_src_path"],
            folder,
            data=data,
            vcs_ref=recorded["_commit"],
            defaults=True,
            unsafe=True,
            quiet=True,
            skip_tasks=True,
        )
    except Exception as error:  # whatever is wrong with the old version, what people wrote must come out safe
        print(
            "the version that rendered this project can't be rendered again, so every file counts as"
            f" changed: {error}",
            file=sys.stderr,
        )


def _run_layer(template: Path, number: int, event: str, project: Path) -> Iterator[str]:
    script = layers.layer_folders(template).get(number, template) / "_level" / "migrate.py"
    act = getattr(_load(script), event, None) if script.is_file() else None
    if act is not None:
        try:
            yield from act(project)
        except Exception as error:  # the files are moved already: say what is left to do, and go on
            yield (
                f"{event} failed ({type(error).__name__}: {shown(str(error))}): see {script.name} of the"
                " level in the template"
            )


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"migrate_{path.parent.parent.name[0]}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
