"""What stands in the way of adoption, told before the first write: what to keep, and what to refuse."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from ..project import environment
from ..project.git_and_files import ask_git, is_folder, reason, shown, text_of
from ..source.files import OTHER_REPOSITORY


class _Disk:
    """The project's folders, each listed once at most."""

    def __init__(self, root: str | Path) -> None:
        self.root = os.fspath(root)
        self._seen: dict[str, dict[str, list[os.DirEntry[str]]]] = {}
        self.unreadable: dict[str, str] = {}

    def named(self, folder: str, name: str) -> list[os.DirEntry[str]]:
        """What stands in `folder` (a full path) under `name` in whatever case, that very name first."""
        if folder not in self._seen:
            self._seen[folder] = {}
            try:
                with os.scandir(folder) as listing:
                    for entry in listing:
                        self._seen[folder].setdefault(entry.name.casefold(), []).append(entry)
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    self.unreadable[folder] = error.strerror or "unknown error"
        return sorted(
            self._seen[folder].get(name.casefold(), ()), key=lambda entry: (entry.name != name, entry.name)
        )

    def stands(self, path: str) -> bool:
        """Whether a file or a link stands at `path`, case aside."""
        folders = [self.root]
        *parents, last = path.split("/")
        for part in parents:
            folders = [e.path for folder in folders for e in self.named(folder, part) if is_folder(e)]
        return any(e.is_symlink() or not is_folder(e) for folder in folders for e in self.named(folder, last))


def standing(root: Path, paths: Iterable[str]) -> list[str]:
    """Those of our `paths` (POSIX, from `root`) at which a file or a link of theirs stands, be it in another
    case.

    What stands as something else than a file, or where a folder of ours is needed, is for `refusals`.
    """
    disk = _Disk(root)
    return [path for path in paths if disk.stands(path)]


def refusals(root: Path, paths: Iterable[str]) -> list[str]:
    """Why `paths` can't be written: a line each with what, where and what to do. Empty where they can.

    Never raises.
    """
    if os.path.islink(root) and not os.path.exists(root):
        return [f"{shown(os.fspath(root))}: a broken symbolic link: remove it, or choose another folder"]
    real = os.path.realpath(root)
    try:
        names = set(os.listdir(real))
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{shown(real)}: can't be read ({error.strerror}): choose a folder that can"]
    if not names:
        return []
    problems, free = _in_the_way(real, list(dict.fromkeys(paths)))
    if ".git" in names:
        problems += _ignored(real, free)
    return [*_other_template(real), *_repository(real, names), *problems]


def uncommitted(root: Path) -> list[str]:
    """What a person has in the repository at `root` and not in a commit: changed files, and files and folders
    that git neither tracks nor ignores. Never raises.
    """
    if not os.path.lexists(os.path.join(root, ".git")):
        return []
    code, output, _ = ask_git(root, "status", "--porcelain", "-z", "--no-renames")
    return [entry[3:] for entry in output.split("\0") if entry] if code == 0 else []


def other_repositories(root: Path, paths: Iterable[str]) -> list[str]:
    """A line for each repository inside the project (a submodule, a clone, a worktree) that one of `paths`
    lies in. Never raises.
    """
    real = os.path.realpath(root)
    submodules = re.findall(
        r"^\s*path\s*=\s*\"?(.*?)\"?\s*$", text_of(os.path.join(real, ".gitmodules")), re.MULTILINE
    )
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for number in range(1, len(parts)):
            here = "/".join(parts[:number])
            if here not in seen:
                seen[here] = _repository_of(real, here, submodules)
            if seen[here]:
                found.setdefault(here, path)
                break
    return [
        f"{shown(here)}: {OTHER_REPOSITORY}, and nothing is written into another repository: leave its"
        f" service out of `services`, or its paths alone by --data 'keep=[{here}]' (for {path})"
        for here, path in found.items()
    ]


def _repository_of(root: str, here: str, submodules: list[str]) -> str:
    """The repository inside the project that the folder `here` leads into; empty where it leads into none."""
    if here in submodules:  # also one that isn't checked out
        return here
    folder = os.path.realpath(os.path.join(root, here))
    while folder != root and folder.startswith(root + os.sep):
        if os.path.lexists(os.path.join(folder, ".git")) or os.path.relpath(folder, root) in submodules:
            return folder
        folder = os.path.dirname(folder)
    return ""


def unmergeable(root: Path, paths: Iterable[str]) -> list[str]:
    """A line for each of `paths`, which stand and are to be merged, in which a move would lose what a person
    wrote. Never raises.
    """
    problems = []
    for path in paths:
        try:
            content = Path(root, path).read_bytes()
        except OSError:
            continue
        if b"\0" in content[:8000]:  # git looks at as much, takes it for data, and merges no line of it
            why = (
                "holds NUL bytes, as UTF-16 does, so git can't merge it: save it as UTF-8 and commit, or"
                f" `levels set keep=+{path}`"
            )
            problems.append(f"{path}: {why}")
        elif not environment.holds(content):
            why = (
                "holds letters that `copier update` would drop in this locale: move by make or `levels`,"
                " which keep them"
            )
            problems.append(f"{path}: {why}")
    return problems


def _other_template(root: str) -> list[str]:
    text = text_of(os.path.join(root, ".copier-answers.yml"))

    def has(key: str) -> bool:
        return bool(re.search(rf"^[\"']?{key}[\"']?\s*:", text, re.MULTILINE))

    if not has("_src_path") or has("level") or has("services"):
        return []
    return [
        ".copier-answers.yml: the project was made by another Copier template, and one file can't hold the"
        " answers of both: stay with that template, or delete the file and commit"
    ]


def _repository(root: str, names: set[str]) -> list[str]:
    if ".git" in names:
        if len(names) == 1 or ask_git(Path(root), "rev-parse", "-q", "--verify", "HEAD")[0] != 1:
            return []
        return [
            ".git: the repository holds files but no commit, so nothing could be undone: commit them first"
        ]
    above = os.path.dirname(root)
    while above != os.path.dirname(above):
        git = os.path.join(above, ".git")
        if os.path.isfile(git) or os.path.isfile(os.path.join(git, "HEAD")):
            inside = shown(os.path.relpath(root, above))
            return [
                f"{inside}: a sub-folder of the repository {shown(above)}, and GitHub runs no workflows from"
                " there: adopt the repository's root, or run `git init` in the sub-folder and commit"
            ]
        above = os.path.dirname(above)
    return []


def _in_the_way(root: str, paths: list[str]) -> tuple[list[str], list[str]]:
    """(a line for each thing in the way, the paths at which nothing stands and that no link leads to)."""
    disk = _Disk(root)
    problems: dict[str, str] = {}
    free = []
    for path in paths:
        folder, linked, parts = root, False, path.split("/")
        for number, part in enumerate(parts, 1):
            here, last = "/".join(parts[:number]), number == len(parts)
            entry = next(iter(disk.named(folder, part)), None)
            if entry is None:
                if not linked and folder not in disk.unreadable:
                    free.append(path)
                break
            what = _obstacle(root, entry, here, part, last)
            if what:
                problems.setdefault(here, f"{what} (for {path})" if here != path else what)
            if what or last:
                break
            folder, linked = entry.path, linked or entry.is_symlink()
    for folder, why in disk.unreadable.items():
        there = os.path.relpath(folder, root)
        problems.setdefault(there, f"{shown(there)}: can't be read ({why}): allow it")
    return list(problems.values()), free


def _obstacle(root: str, entry: os.DirEntry[str], here: str, part: str, last: bool) -> str:
    """What is wrong with what stands at `here`; empty where nothing is."""
    there = shown(posixpath.join(posixpath.dirname(here), entry.name))
    folder, is_link = is_folder(entry), entry.is_symlink()
    if last:
        return (
            f"{there}: a folder stands where the template has a file: rename it"
            if folder and not is_link
            else ""
        )
    if entry.name != part:
        return (
            f"{there}: differs only by case from the template's {here}, and some disks take the two for one:"
            " rename it"
        )
    if folder:
        leaves = is_link and os.path.commonpath([root, os.path.realpath(entry.path)]) != root
        return f"{there}: a symbolic link that leads out of the project: make it a folder" if leaves else ""
    if is_link and not os.path.exists(entry.path):
        return f"{there}: a broken symbolic link where the template needs a folder: remove it"
    return f"{there}: a file where the template needs a folder: rename it"


def _ignored(root: str, paths: list[str]) -> list[str]:
    """A line for each rule of git that would hide `paths`, which don't stand yet."""
    if not paths:
        return []
    given = "".join(f"{path}\0" for path in paths)
    code, output, complaint = ask_git(
        Path(root), "check-ignore", "--no-index", "-v", "-z", "--stdin", given=given
    )
    if code > 1:
        return [f".git: git can't say what it ignores: {reason(complaint)}"]
    rules: dict[tuple[str, str, str], list[str]] = {}
    fields = output.split("\0")
    for source, line, pattern, path in zip(
        fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=False
    ):
        if not pattern.startswith("!"):  # such a rule takes the path back in
            rules.setdefault((source, line, pattern), []).append(path)
    return [
        f"{shown(source)}:{line}: the rule {shown(pattern)} would hide"
        f" {', '.join(hidden[:3])}{f' and {len(hidden) - 3} more' if len(hidden) > 3 else ''} from git:"
        " narrow it, or add a ! rule below it"
        for (source, line, pattern), hidden in rules.items()
    ]
