"""Test files: a new one, or what is appended to one that stands. No byte of what a person has is changed."""

from __future__ import annotations

import ast
import io
import keyword
import re
import sys
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from ..project.git_and_files import shown
from ..source.files import decoded, parsed
from .model import Candidate, NoExpectedValue
from .values import written

WIDTH = 120
_TRACE = re.compile(
    r"^[ \t]*# (?P<path>\S.*?\.py):(?P<line>\d+) (?P<told>(?P<name>[^\W\d][\w.]*)\(.*\))[ \t]*$", re.MULTILINE
)
_COMMENT = re.compile(rb"^[ \t]*#.*$", re.MULTILINE)


class NotAppended(Exception):
    """The file that stands can't be added to; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tested module is: its file (POSIX, from the project), and the name under which a test imports
    it.

    `root` is the folder that has to be on the path for that, from the project; None where something else sees
    to it. `up` is how many folders the test file is below the project.
    """

    file: str
    module: str
    root: str | None = None
    up: int = 3

    @property
    def first_party(self) -> bool:
        """Whether linters see that the module is the project's own: they look at the root, at src, and where
        the template tells them.
        """
        return self.root in (None, ".", "src")

    @property
    def plain(self) -> bool:
        """Whether an import statement can say the name."""
        return all(part.isidentifier() and not keyword.iskeyword(part) for part in self.module.split("."))


@dataclass(frozen=True, slots=True)
class Trace:
    """What a comment in a test file says of the function that it tests."""

    path: str
    line: int
    qualname: str
    told: str


def render(place: Place, tests: Sequence[Candidate], without: Sequence[NoExpectedValue] = ()) -> bytes:
    """A new test file, UTF-8."""
    text = _blocks(place, tests, without, set(), pytest_there=False)
    said = f"What {_docstring(place.file)} says of itself, compared with what it does."
    head = (
        f'"""{said}\n\n`make stubs` wrote this from the source. It is yours: later runs only put new tests at'
        " its end.\n"
    )
    head += 'One that you do not want: delete it, and leave its name in a comment.\n"""\n'
    return (head + ("\n" if text.startswith("import") else "\n\n") + text).encode()


def append(
    existing: bytes, place: Place, tests: Sequence[Candidate], without: Sequence[NoExpectedValue] = ()
) -> bytes:
    """`existing` with the tests whose names it doesn't have behind it, in its encoding and with its line
    ends.

    Returns it as it is where nothing is missing. Raises NotAppended where it can't be read, or its encoding
    hasn't the words.
    """
    there = names(existing)
    tests = [one for one in tests if one.name not in there | unwanted(existing)]
    without = [one for one in without if _skeleton_name(one) not in there | unwanted(existing)]
    if not tests and not without:
        return existing
    try:
        tree = parsed(existing)
        old = decoded(existing)
        text = _blocks(
            place, tests, without, there, pytest_there=_imports_pytest(tree), first=not old.strip()
        )
        end = (
            "\r\n"
            if existing.count(b"\r\n") * 2 > existing.count(b"\n")
            else "\n"
            if b"\n" in existing or b"\r" not in existing
            else "\r"
        )
        if old.strip():
            bare = old.replace("\r\n", "\n").replace("\r", "\n")
            blank = len(bare) - len(bare.rstrip("\n"))
            text = "\n" * max(0, 3 - blank) + text
        new = existing + text.replace("\n", end).encode(_encoding(existing))
        parsed(new)
    except UnicodeError:
        raise NotAppended("its encoding doesn't have the characters of the new tests") from None
    except Exception as error:  # whatever a codec or the parser raises
        raise NotAppended(f"it can't be read: {shown(str(error))[:80]}") from None
    return new


def names(content: bytes) -> set[str]:
    """The functions of a test file, those in classes too. Raises NotAppended where it can't be read."""
    try:
        tree = parsed(content)
    except Exception as error:  # as above
        raise NotAppended(f"it can't be read: {shown(str(error))[:80]}") from None
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def unwanted(content: bytes) -> set[str]:
    """Tests whose names a comment of the file holds: a person has deleted them, and left that word."""
    return {
        name
        for comment in _COMMENT.findall(content)
        for name in re.findall(r"\btest_\w+", comment.decode("utf-8", "replace"))
    }


def traces(content: bytes) -> list[Trace]:
    """What the comments of a test file say of where its tests come from."""
    try:
        text = decoded(content).replace("\r\n", "\n").replace("\r", "\n")
    except Exception:  # as above
        return []
    return [
        Trace(found["path"], int(found["line"]), found["name"], found["told"])
        for found in _TRACE.finditer(text)
    ]


def _blocks(
    place: Place,
    tests: Sequence[Candidate],
    without: Sequence[NoExpectedValue],
    there: set[str],
    pytest_there: bool,
    first: bool = True,
) -> str:
    parts = []
    by_place = place.root is not None
    if not pytest_there and (by_place or without or any(one.pytest for one in tests)):
        parts.append("import pytest" + ("" if first else "  # noqa: E402"))
    if by_place and "importable" not in there:
        parts.append(_importable(place))
    parts += [_test(one, place) for one in tests]
    parts += [_skeleton(one, place) for one in without]
    return "\n\n\n".join(parts) + "\n"


def _importable(place: Place) -> str:
    folder = f"project / {written(place.root)}" if place.root not in ("", ".", None) else "project"
    return f'''@pytest.fixture
def importable(monkeypatch):
    """The code is imported from where it stands, whatever else in this project has a module of that name."""
    import sys
    from pathlib import Path

    project = Path(__file__).resolve().parents[{place.up}]
    folder = {folder}
    monkeypatch.syspath_prepend(folder)
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        other = file.is_relative_to(project) and not file.is_relative_to(folder)
        if other and any((folder / name.split(".")[0]).with_suffix(end).exists() for end in ("", ".py")):
            monkeypatch.delitem(sys.modules, name)'''


def _test(one: Candidate, place: Place) -> str:
    lines = [_comment(place, one.line, one.signature)]
    if place.root is not None:
        lines.append('@pytest.mark.usefixtures("importable")')
    if one.cases:
        lines += _parametrize(one)
    lines.append(f"def {one.name}({', '.join((*one.fixtures, *one.parameters))}):")
    head = _imports(one, place)
    body = [*head, *([""] if head else []), *one.body]
    lines += ["    " + line if line else "" for line in body]
    return "\n".join(lines)


def _parametrize(one: Candidate) -> list[str]:
    if len(one.parameters) == 1:
        rows = [row[0] for row in one.cases]
        flat = f'@pytest.mark.parametrize("{one.parameters[0]}", [{", ".join(rows)}])'
        if len(flat) <= WIDTH:
            return [flat]
        heading = f'    "{one.parameters[0]}",'
    else:
        rows = [f"({', '.join(row)})" for row in one.cases]
        heading = f"    ({', '.join(written(name) for name in one.parameters)}),"
    rows = [row for row in rows if len(row) <= WIDTH - 9]
    return [
        "@pytest.mark.parametrize(",
        heading,
        "    [",
        *(f"        {row}," for row in rows),
        "    ],",
        ")",
    ]


def _imports(one: Candidate, place: Place) -> list[str]:
    """The imports of a test, in the order that linters want."""
    wanted: dict[str, set[str]] = {}
    for module, name in one.imports:
        wanted.setdefault(module, set()).add(name)
    there = {name for names in wanted.values() for name in names if name}
    needed = {name for name in one.names if name not in there}
    late: list[str] = []
    if needed and place.plain:
        wanted.setdefault(place.module, set()).update(needed)
    elif needed:
        wanted.setdefault("importlib", set()).add("import_module")
        late = [
            "",
            f"module = import_module({written(place.module)})",
            *(f"{name} = module.{name}" for name in sorted(needed)),
        ]
    top = place.module.split(".")[0]

    def section(module: str) -> int:
        if module.split(".")[0] == top and needed and place.plain:  # the project's, whatever its name
            return 2 if place.first_party else 1
        return 0 if module.split(".")[0] in sys.stdlib_module_names else 1

    groups = []
    for number in range(3):
        chosen = sorted((module for module in wanted if section(module) == number), key=_natural)
        lines = [f"import {module}" for module in chosen if "" in wanted[module]]
        for module in chosen:
            lines += _from(module, wanted[module] - {""})
        if lines:
            groups.append(lines)
    skip = ['pytest.importorskip("hypothesis")', ""] if one.hypothesis and place.root is not None else []
    return (
        skip
        + [line for number, lines in enumerate(groups) for line in ([""] if number else []) + lines]
        + late
    )


def _from(module: str, names: set[str]) -> list[str]:
    """The lines that import `names` from `module`; one under another name has a line of its own."""
    found = sorted((name for name in names if " as " not in name), key=_import_order)
    lines = []
    if found:
        flat = f"from {module} import {', '.join(found)}"
        lines = (
            [flat]
            if len(flat) <= WIDTH - 4
            else [f"from {module} import (", *(f"    {name}," for name in found), ")"]
        )
    return lines + [f"from {module} import {name}" for name in sorted(names) if " as " in name]


def _import_order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """Constants, classes, the rest, as isort has them."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[:1].isupper() else 2
    return kind, _natural(name)


def _natural(name: str) -> list[tuple[int, str]]:
    """v2 before v10, whatever the case."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.findall(r"\d+|\D+", name)
    ]


def _skeleton_name(one: NoExpectedValue) -> str:
    return "test_" + one.qualname.replace(".", "__") + "_does_what"


def _skeleton(one: NoExpectedValue, place: Place) -> str:
    return "\n".join(
        [
            _comment(place, one.line, one.signature),
            *(['@pytest.mark.usefixtures("importable")'] if place.root is not None else []),
            *_skip(f"to be written: {one.reason}"),
            f"def {_skeleton_name(one)}():",
            *_arranged(one, place),
        ]
    )


def _arranged(one: NoExpectedValue, place: Place) -> list[str]:
    """Arrange, act, assert; what the function reaches outside is patched where it looks it up."""
    steps = ["# Act: call it.", "# Assert: what must come out.", "raise NotImplementedError"]
    targets = [f"{place.module}.{name}" for name in one.outside]
    if not targets or not all(part.isidentifier() for part in place.module.split(".")):
        return [f"    {line}" for line in ["# Arrange: what it is given.", *steps]]
    steps[1] = "# Assert: what must come out, and what it was asked for."
    with_ = ["with (", *(f"    patch({written(target)})," for target in targets), "):"]
    lines = [
        "from unittest.mock import patch",
        "",
        "# Arrange: what it is given, and what the calls outside give back.",
        *with_,
    ]
    return [f"    {line}" if line else "" for line in [*lines, *(f"    {step}" for step in steps)]]


def _skip(reason: str) -> list[str]:
    return [f"@pytest.mark.skip(reason={written(shown(reason[:60]))})"]


def _comment(place: Place, line: int, told: str) -> str:
    text = f"# {shown(place.file)}:{line} {shown(told)}"
    return text if len(text) <= WIDTH else text + "  # noqa: E501"


def _docstring(text: str) -> str:
    return shown(text).replace("\\", "\\\\").replace('"', '\\"')[:60]


def _imports_pytest(tree: ast.Module) -> bool:
    found = (alias for node in tree.body if isinstance(node, ast.Import) for alias in node.names)
    return any(alias.name == "pytest" and alias.asname in (None, "pytest") for alias in found)


def _encoding(content: bytes) -> str:
    return tokenize.detect_encoding(io.BytesIO(content).readline)[0].replace("utf-8-sig", "utf-8")
