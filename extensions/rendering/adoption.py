"""Read a project that is about to be adopted: which services it holds.

It runs inside Copier, before the first write. Nothing of the project is imported or run: Python files are
parsed.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..project.git_and_files import LARGEST, shown
from ..source.files import OTHER_REPOSITORY, aside, walk
from ..template.answers import PATH, TAKEN
from .proposals import kebab

if TYPE_CHECKING:
    from ..source.model import Module

EXAMPLES = {"examples", "example", "samples"}
NOT_WORKERS = {"setup.py", "noxfile.py", "fabfile.py", "tasks.py", "dodo.py", "manage.py", "__init__.py"}
WORKERS = ("worker", "main", "bot", "run", "app", "consumer", "scheduler")
FACTORIES = ("create_app", "make_app", "create_application", "make_application")
APPS = ("app", "application", *(f"{name}()" for name in FACTORIES))
REGISTERS = {"route", "get", "post", "put", "patch", "delete", "add_url_rule", "register_blueprint"}

# A proposal that the door (answers.py) would refuse is left out here, and a note says so.
TARGET = re.compile(
    r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\(\))?|[A-Za-z0-9_][A-Za-z0-9_./-]*\.py", re.ASCII
)

# What a module that makes an app must contain: a call, a base class or another name of Flask, or a call of a
# factory.
_WORTH_PARSING = re.compile(
    rb"Flask\s*\(|Flask\s+as\s|\(\s*(?:\w+\.)?\w*Flask\s*[,)]|(?:" + "|".join(FACTORIES).encode() + rb")\s*\("
)
_FLASK_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+flask\b", re.MULTILINE)
_MAIN = re.compile(rb"^if\s+__name__\s*==\s*['\"]__main__['\"]", re.MULTILINE)

Files = Mapping[str, Mapping[str, None]]  # the Python files of each folder, in order


@dataclass(frozen=True)
class Found:
    """A service that stands already.

    `app` is empty where how it starts could not be told; `evidence` is one line.
    """

    name: str
    path: str
    kind: str
    app: str
    evidence: str

    def answer(self) -> dict[str, str]:
        """The entry of the answer `services`; without `app` where that is not known."""
        entry = {"name": self.name, "path": self.path, "kind": self.kind, "code": "theirs"}
        return {**entry, "app": self.app} if self.app else entry


@dataclass
class Reading:
    """What was found, and a line for each thing that was left out or could not be read.

    `others` build an app too, and are proposed for no service: those beside the folder services/, for one.
    """

    services: list[Found] = field(default_factory=list)
    others: list[Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Start:
    """A place where a module makes a Flask app.

    `call` follows the colon of gunicorn's target, where there is one.
    """

    line: int
    call: str
    needs: str = ""  # the parameters that a factory can't do without
    idle: bool = False  # an app on which its module registers nothing
    # Made by a factory that is imported from this package ("" for a relative import).
    borrowed: str | None = None


@dataclass(frozen=True)
class _Source:
    """A Python file that may start something.

    `path` is the folder of its service, `module` its dotted name there.
    """

    file: str
    path: str
    module: str
    packaged: bool  # `path` is the top package itself
    guard: int  # line of `if __name__ == "__main__"`, or 0
    flask: bool
    starts: tuple[_Start, ...]


# Services


def find_services(root: Path) -> list[Found]:
    """The services that stand under `root`, in a stable order; empty where there are none. Never raises."""
    return read(root).services


def read(root: Path) -> Reading:
    """find_services with its notes. Folders of services/ first, else apps by Flask, else one worker."""
    reading = Reading()
    refused: list[tuple[str, str]] = []
    files = {folder: dict.fromkeys(names) for folder, names in walk(root, refused)}
    for path, reason in refused:
        other = reason == OTHER_REPOSITORY
        reading.notes.append(
            f"{shown(path)}: "
            + (f"left out, {reason}: nothing is written there" if other else f"not readable ({reason})")
        )
    sources = [one for folder in files for one in _sources(root, folder, files, reading.notes)]
    project = kebab(os.path.basename(os.path.realpath(root)))
    names: set[str] = set()
    for one in _in_services(sources, files) or _apps(sources, project) or _worker(sources, project):
        # Copier compares names beyond ASCII wrongly, so such a service's files could not be kept.
        if not PATH.fullmatch(one.path) or len(one.path) > 100 or one.path.split("/")[0].lower() in TAKEN:
            reading.notes.append(
                f"{shown(one.path)}: left out, a service's path takes ASCII letters, digits and . _ - /"
                f" and is not {', '.join(sorted(TAKEN))}: rename the folder, or say the service by hand"
            )
            continue
        name, number = one.name or "service", 2
        while name in names:
            name, number = f"{one.name or 'service'}-{number}", number + 1
        names.add(name)
        app = one.app if TARGET.fullmatch(one.app) and len(one.app) <= 100 else ""
        reading.services.append(replace(one, name=name, app=app))
    within = tuple("" if one.path == "." else f"{one.path}/" for one in reading.services)
    for choice in _choices(sources):
        path = choice.path
        if (
            choice.target
            and not _example(choice.home.file)
            and not f"{path}/".startswith(within)
            and PATH.fullmatch(path)
        ):
            reading.others.append(choice.found(kebab(posixpath.basename(path))))
            within = (*within, f"{path}/")  # the best one of each folder comes first
    return reading


def _sources(root: Path, folder: str, files: Files, notes: list[str]) -> Iterator[_Source]:
    """Read the files of one folder: those that speak of Flask, and scripts."""
    for name in files[folder]:
        file = posixpath.join(folder, name)
        if aside(file):
            continue
        try:
            with open(os.path.join(root, file), "rb") as stream:
                text = stream.read(LARGEST + 1)
        except OSError as error:
            notes.append(f"{shown(file)}: not readable ({error.strerror})")
            continue
        # Plain searches first: most files hold none of these words, and a regular expression takes ten times
        # as long.
        worth = any(
            word in text for word in (b"Flask", b"create_app", b"make_app")
        ) and _WORTH_PARSING.search(text)
        flask = b"flask" in text and bool(_FLASK_IMPORT.search(text))
        main = _MAIN.search(text) if b"__main__" in text else None
        if not (worth or main or flask or name == "__main__.py"):
            continue
        starts: tuple[_Start, ...] = ()
        imports: set[str] = set()
        if worth:
            # Compiling the reader takes longer than rendering a new project can spare.
            from ..source import modules

            found = (
                modules.read(text, file)
                if len(text) <= LARGEST
                else modules.Unread(file, f"more than {LARGEST:,} bytes")
            )
            if isinstance(found, modules.Unread):
                where = f", line {found.line}" if found.line else ""
                notes.append(f"{shown(file)}: {found.reason}{where}; an app in it was not seen")
            else:
                starts, imports = _starts(found), _imports(found)
        path, module = _home(file, files, imports)
        packaged = (
            path in files
            and "__init__.py" in files[path]
            and module.split(".")[0] == posixpath.basename(path)
        )
        guard = text.count(b"\n", 0, main.start()) + 1 if main else 0
        yield _Source(file, path, module, packaged, guard, flask or bool(starts), starts)


def _imports(module: Module) -> set[str]:
    """The top names that are imported; empty where a relative import shows that the file belongs to a
    package.
    """
    names = {one.module.split(".")[0] for one in module.imports}
    return set() if "" in names else names


def _home(file: str, files: Files, imports: set[str]) -> tuple[str, str]:
    """The folder of the service that `file` is part of, and its module: by its top package, else by its own
    folder.

    In services/, nothing above the service's folder counts, and a package right in that folder leaves the
    path at it.
    """
    *folders, name = file.split("/")
    stem = name[:-3]
    base = 2 if folders[:1] == ["services"] and len(folders) > 1 else 1
    here = "/".join(folders)
    tops = (n for n in range(base, len(folders) + 1) if "__init__.py" in files["/".join(folders[:n])])
    top = next((n for n in tops if folders[n - 1].isidentifier()), 0)
    # Some put an __init__.py into a folder whose files import each other by plain names, as scripts do.
    siblings = any(f"{one}.py" in files[here] for one in imports - sys.stdlib_module_names)
    loose = stem != "__init__" and siblings and not (top and folders[top - 1] in imports)
    if not top or loose:
        return here or ".", stem
    module = ".".join(folders[top - 1 :] if stem == "__init__" else [*folders[top - 1 :], stem])
    return "/".join(folders[: top - 1 if base == 2 and top == 3 else top]), module


def _starts(module: Module) -> tuple[_Start, ...]:
    """Where a module makes a Flask app: at its top level, or in a function there."""
    flasks: set[str] = set()  # names under which the module flask is known
    # Names whose call gives an app; the package that a factory is imported from.
    makers: dict[str, str | None] = {}
    for one in module.imports:
        if one.attribute is None:
            flasks |= {one.name} if one.module == "flask" else set()
        elif one.attribute.endswith("Flask") or (one.attribute == "*" and one.module == "flask"):
            makers[one.name.replace("*", "Flask")] = None
        elif one.attribute in FACTORIES:
            makers[one.name] = one.module.split(".")[0]
    attributes = (
        node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute) and node.attr in REGISTERS
    )
    # Names on which something is registered.
    used = {node.value.id for node in attributes if isinstance(node.value, ast.Name)}

    def maker(node: ast.expr) -> str:
        """The name of the class or factory that `node` stands for; empty where it is none."""
        if isinstance(node, ast.Name) and node.id in makers:
            return node.id
        is_flask = (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in flasks
        )
        return "flask." if is_flask and isinstance(node, ast.Attribute) and node.attr == "Flask" else ""

    def maker_called(node: ast.AST | None) -> str:
        return maker(node.func) if isinstance(node, ast.Call) else ""

    starts: list[_Start] = []
    for node in _within(module.tree.body):
        if isinstance(node, ast.ClassDef):
            if any(maker(base) for base in node.bases):  # class Shop(Flask)
                makers[node.name] = None
        elif isinstance(node, ast.FunctionDef):
            inner = list(_within(node.body, whole=True))
            calls = [one for one in inner if maker_called(one)]
            if not calls or any("fixture" in ast.dump(decorator) for decorator in node.decorator_list):
                continue
            names = {
                name for one in inner if maker_called(getattr(one, "value", None)) for name in _targets(one)
            }
            results = [one.value for one in inner if isinstance(one, ast.Return)]
            returned = any(maker_called(r) or (isinstance(r, ast.Name) and r.id in names) for r in results)
            call = f"{node.name}()" if returned or node.name in FACTORIES else ""
            borrowed = makers.get(maker_called(calls[0]))
            if call or borrowed is None:
                starts.append(_Start(calls[0].lineno, call, needs=_needs(node.args), borrowed=borrowed))
            if call:
                makers.setdefault(node.name, borrowed)
        elif name := maker_called(getattr(node, "value", None)):
            starts += [
                _Start(node.lineno, t, idle=t not in used, borrowed=makers.get(name)) for t in _targets(node)
            ]
    return tuple(starts)


def _within(body: list[ast.stmt], whole: bool = False) -> Iterator[Any]:
    """The statements of one scope, in source order: into if, try and with, but not into the script's own
    part.

    With `whole` also the expressions in them. A function or class is yielded, and not entered.
    """
    for statement in body:
        nodes: list[ast.AST] = [statement]
        while nodes:
            node = nodes.pop()
            if isinstance(node, ast.If) and _is_main(node.test):
                continue
            yield node
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                below = ast.iter_child_nodes(node)
                nodes += reversed(
                    [one for one in below if whole or isinstance(one, (ast.stmt, ast.ExceptHandler))]
                )


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _targets(node: ast.AST) -> list[str]:
    """The plain names that an assignment binds."""
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _needs(args: ast.arguments) -> str:
    """The parameters that a call can't leave out, as "config, name"."""
    plain = [*args.posonlyargs, *args.args]
    keyword_only = [
        one for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True) if default is None
    ]
    return ", ".join(one.arg for one in [*plain[: len(plain) - len(args.defaults)], *keyword_only])


@dataclass(frozen=True)
class _Choice:
    """One way to start the service at `path`. `home` is a file that makes that folder a service."""

    path: str
    home: _Source
    source: _Source
    start: _Start

    @property
    def target(self) -> str:
        """What gunicorn starts; empty where it can't."""
        app = f"{self.source.module}:{self.start.call}"
        return "" if self.start.needs or not TARGET.fullmatch(app) else app

    def rank(self) -> tuple[object, ...]:
        """Smaller is better: what starts, public, in use, in the package itself, by a usual name."""
        start, module = self.start, self.source.module
        inner = not self.source.file.endswith("/__init__.py")
        by_name = (
            start.call not in APPS,
            start.borrowed is not None,
            module.count("."),
            self.source.file,
            start.line,
        )
        return (not self.target, start.call.startswith("_"), start.idle and inner, inner, *by_name)

    def found(self, name: str) -> Found:
        at, call = f"{shown(self.source.file)}:{self.start.line}", self.start.call
        if not call:
            said = "builds a Flask app in a function that doesn't return it: say how it starts"
        elif self.start.needs:
            said = f"builds a Flask app in {call[:-2]}, which needs {self.start.needs}: say how it starts"
        else:
            said = f"builds a Flask app in {call}" if call.endswith(")") else f"builds the Flask app {call}"
            said += (
                "" if self.target else ", but its file has no name that can be imported: say how it starts"
            )
        return Found(name, self.path, "web", self.target, f"{at} {said}")


def _choices(sources: list[_Source]) -> list[_Choice]:
    """All ways to start a web service, the best first."""
    real = [
        _Choice(one.path, one, one, start)
        for one in sources
        for start in one.starts
        if start.borrowed is None
    ]
    homes = {one.path: one.home for one in real}
    # A wsgi.py that calls an imported factory is a way to start that factory's service: from its folder, or
    # from beside its package.
    called = []
    for one in sources:
        for start in one.starts:
            if start.borrowed is not None:
                path = (
                    one.path
                    if one.path in homes
                    else posixpath.normpath(posixpath.join(one.path, start.borrowed))
                )
                if path in homes and (path == one.path or homes[path].packaged):
                    called.append(_Choice(path, homes[path], one, start))
    return sorted(real + called, key=_Choice.rank)


def _in_services(sources: list[_Source], files: Files) -> list[Found]:
    """One service per folder of services/ that holds Python files."""
    own: dict[str, list[_Source]] = {}
    for folder, names in files.items():
        parts = folder.split("/")
        if parts[0] == "services" and parts[1:] and any(not aside(f"{folder}/{name}") for name in names):
            own.setdefault(parts[1], [])
    for one in sources:
        parts = one.file.split("/")
        if parts[0] == "services" and parts[1] in own and not _example(one.file):
            own[parts[1]].append(one)
    found = []
    for name in sorted(own):
        web = _choices(own[name])
        if name[0] != "_":
            found.append(web[0].found(kebab(name)) if web else _script(name, own[name], files))
    # services/ can also be a package of an app, for its business logic.
    if "__init__.py" in files.get("services", ()) and all(one.kind == "worker" for one in found):
        return []
    return found


def _example(file: str) -> bool:
    return not EXAMPLES.isdisjoint(file.split("/")[:-1])


def _script(name: str, own: list[_Source], files: Files) -> Found:
    """The worker services/`name`, with the script that seems to start it."""
    path = f"services/{name}"
    scripts = [
        one for one in own if (one.guard or one.file.endswith("/__main__.py")) and not _chore(one.file)
    ]
    if scripts:
        best = min(scripts, key=lambda one: (one.file.count("/"), _usual(one.file, kebab(name)), one.file))
        return Found(kebab(name), path, "worker", best.file[len(path) + 1 :], _script_evidence(best))
    for stem in WORKERS:
        if f"{stem}.py" in files.get(path, ()):
            return Found(
                kebab(name), path, "worker", f"{stem}.py", f"{path}/{stem}.py is its script, by its name"
            )
    return Found(
        kebab(name),
        path,
        "worker",
        "",
        f"{shown(path)} holds Python files, none starts it: say how it starts",
    )


def _chore(file: str) -> bool:
    return posixpath.basename(file) in NOT_WORKERS


def _usual(file: str, name: str) -> int:
    """The place of a script's name among the usual ones; that of the service comes first."""
    stem = posixpath.basename(file)[:-3]
    usual = [name.replace("-", "_"), *WORKERS, "__main__"]
    return usual.index(stem) if stem in usual else len(usual)


def _script_evidence(one: _Source) -> str:
    return (
        f"{shown(one.file)}:{one.guard} starts as a script"
        if one.guard
        else f"{shown(one.file)} starts its package"
    )


def _apps(sources: list[_Source], project: str) -> list[Found]:
    """Packages at the root or in src/ that build a Flask app; else modules there; else others; else
    examples.
    """

    def tier(one: _Choice) -> int:
        if _example(one.home.file):
            return 3
        if not one.start.call:
            return 4
        if one.home.packaged and posixpath.dirname(one.path) in ("", "src"):
            return 0
        return 1 if one.path in (".", "src") else 2

    choices = [one for one in _choices(sources) if one.start.call or not _example(one.home.file)]
    best = min(map(tier, choices), default=0)
    first: dict[str, _Choice] = {}
    for one in choices:
        if tier(one) == best:
            first.setdefault(one.path, one)
    names = {path: project if path in (".", "src") else kebab(posixpath.basename(path)) for path in first}
    return [first[path].found(names[path]) for path in sorted(first)]


def _worker(sources: list[_Source], project: str) -> list[Found]:
    """The one worker of a project without Flask: a script at the root or in src/, or a package with
    __main__.py.
    """
    if any(one.flask and not _example(one.file) for one in sources):
        return []
    best: tuple[int, int, str] | None = None
    for one in sources:
        folder, name = posixpath.split(one.file)
        if folder in ("", "src") and one.guard and name not in NOT_WORKERS:
            place = _usual(one.file, project)
            rank = (0 if place <= len(WORKERS) else 2, place, one.file)
        elif (
            name == "__main__.py"
            and folder
            and posixpath.dirname(folder) in ("", "src")
            and not _example(one.file)
        ):
            rank = (1, 0, one.file)
        else:
            continue
        best = min(best or rank, rank)
    if best is None:
        return []
    chosen = next(one for one in sources if one.file == best[2])
    folder, name = posixpath.split(chosen.file)
    own_name = kebab(posixpath.basename(folder)) if folder not in ("", "src") else project
    return [Found(own_name, folder or ".", "worker", name, _script_evidence(chosen))]
