"""The stubs of a project: which modules there are, what is written for each, and what became of the
candidates.
"""

from __future__ import annotations

import ast
import contextlib
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Refused
from ..project.git_and_files import counted, shown
from ..source.files import aside, walk
from ..source.modules import Module, read_file
from ..source.routes import Routes
from ..source.routes import find as find_routes
from ..template import answers, layers
from ..template.place import root as template_root
from . import run, web, write
from .candidates import find
from .model import Candidate, Found, NoExpectedValue
from .quiet import quiet
from .write import NotAppended, Place

Service = Mapping[str, str]

NO_HYPOTHESIS = "Hypothesis isn't installed in .venv: add hypothesis to what the tests need, and install"


@dataclass
class Stub:
    """One module and its test file.

    `tests` are to be written, `there` are already; `demoted` were to be, with why they are not.
    """

    service: str
    source: str
    test: str
    place: Place
    found: Found
    existing: bytes | None
    tests: list[Candidate] = field(default_factory=list)
    there: list[Candidate] = field(default_factory=list)
    without: list[NoExpectedValue] = field(default_factory=list)
    demoted: list[tuple[Candidate, str]] = field(default_factory=list)
    weakened: list[str] = field(default_factory=list)  # names of tests that were red as they were first meant
    kept_out: str = ""  # why the test file can't be added to
    changed: list[tuple[str, str]] = field(default_factory=list)  # as the test says, as the code is
    gone: list[str] = field(default_factory=list)
    written: int = 0


@dataclass
class Result:
    """What became of all of them."""

    stubs: list[Stub]
    unparsed: list[tuple[str, str]]
    ran: bool
    why_not_run: str = ""


def chosen(project: Path, recorded: Mapping[str, Any], paths: Sequence[str]) -> list[tuple[Service, str]]:
    """The modules (POSIX, from the project) that `paths` name, each with its service; all of all services
    where there is none.

    Raises Refused for a path that isn't there, or in no service.
    """
    services = answers.recorded_services(recorded)
    ours = {
        path for path, (_, owner, _) in layers.owners(template_root(), services).items() if owner == "ours"
    }
    found: dict[str, Service] = {}
    for path in [_inside(project, path) for path in paths] or [service["path"] for service in services]:
        files = [path] if os.path.isfile(project / path) else list(_modules(project, path))
        if not files and not paths:
            continue
        for file in files:
            service = _service(services, file)
            if service is None:
                raise Refused(
                    f"{shown(file)}: expected a file of a service"
                    f" ({', '.join(sorted(one['path'] for one in services))})"
                )
            if file not in ours and (not aside(file) or file == path):
                found.setdefault(file, service)
    return [(service, file) for file, service in sorted(found.items())]


def _inside(project: Path, path: str) -> str:
    """A path of the command line as it is from the project. Raises Refused where it isn't there."""
    here = os.path.relpath(os.path.join(project, path), project).replace(os.sep, "/")
    if here.startswith("../") or here == ".." or os.path.isabs(here):
        raise Refused(f"{shown(path)}: expected a file or a folder inside the project")
    if not os.path.exists(project / here):
        raise Refused(
            f"{shown(path)}: expected a Python file or a folder, there is none; say it as"
            " services/api/pricing.py"
        )
    if os.path.isfile(project / here) and not here.endswith(".py"):
        raise Refused(f"{shown(path)}: expected a Python file or a folder")
    return here


def _modules(project: Path, folder: str) -> Iterator[str]:
    for below, names in walk(project / folder):
        for name in names:
            file = posixpath.normpath(posixpath.join(folder, below, name))
            if folder not in ("", ".") or file.split("/")[0] not in answers.TAKEN:
                yield file


def _service(services: Iterable[Service], file: str) -> Service | None:
    """The service in whose folder a file stands; of nested ones the inner."""
    holding = [one for one in services if one["path"] == "." or file.startswith(one["path"] + "/")]
    return max(holding, key=lambda one: len(one["path"]) if one["path"] != "." else 0, default=None)


def test_file(service: Service, file: str) -> str:
    """Where the tests of a module stand."""
    name, module = _word(service["name"]), _word(_dotted(_within(service, file)))
    return f"tests/unit/{name}/test_{name}_{module}.py"


def _within(service: Service, file: str) -> str:
    return file if service["path"] == "." else posixpath.relpath(file, service["path"])


def _dotted(file: str) -> str:
    name = file.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__") if name != "__init__" else name


def _word(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def place(project: Path, service: Service, file: str) -> Place:
    """How a test imports a module: a new service is seen from the root; of others, from the folder above the
    outermost package.
    """
    if service["code"] == "ours":
        return Place(file, _dotted(file))
    *folders, name = file.split("/")
    cut = len(folders)
    while cut and (project / "/".join(folders[:cut]) / "__init__.py").is_file():
        cut -= 1
    return Place(file, _dotted("/".join([*folders[cut:], name])), "/".join(folders[:cut]) or ".")


def plan(project: Path, service: Service, file: str, routes: Routes | None = None) -> Stub | tuple[str, str]:
    """What could be written for a module, before anything is run; or the path and the reason where it can't
    be read.
    """
    module = read_file(project, file)
    if not isinstance(module, Module):
        return file, module.reason
    if module.generated:
        return file, "a program wrote it: its first lines say so"
    where = place(project, service, file)
    found = find(module, where.module if where.plain else "", _local(project, service, where))
    stub = Stub(service["name"], file, test_file(service, file), where, found, None)
    stub.tests, stub.without = list(found.candidates), list(found.without)
    if routes and _reached(project, stub.place, routes):
        stub.tests += web.of_file(routes, file, found.at, found.taken)
        named = {one.qualname for one in stub.tests}
        stub.without = [one for one in stub.without if one.qualname not in named]
    try:
        stub.existing = (project / stub.test).read_bytes()
    except FileNotFoundError:
        return stub
    except OSError as error:
        stub.kept_out, stub.tests = f"it can't be read: {error.strerror}", []
        return stub
    _compare(stub, module)
    try:
        there = write.names(stub.existing)
    except NotAppended as error:
        stub.kept_out, stub.tests = str(error), []
        return stub
    stub.there = [one for one in stub.tests if one.name in there]
    stub.tests = [one for one in stub.tests if one.name not in there | write.unwanted(stub.existing)]
    return stub


def _local(project: Path, service: Service, where: Place) -> frozenset[str]:
    """The first words of what a module may import from the project."""
    folders = {project, project / service["path"], project / (where.root or ".")}
    return frozenset(
        name.removesuffix(".py")
        for folder in folders
        if folder.is_dir()
        for name in os.listdir(folder)
        if _code(folder, name)
    )


def _code(folder: Path, name: str) -> bool:
    """Whether a name in a folder is a module's, or that of a package: a folder called redis or docker may
    hold anything.
    """
    return name.endswith(".py") or (
        (folder / name).is_dir() and any(one.endswith(".py") for one in os.listdir(folder / name))
    )


def _reached(project: Path, where: Place, routes: Routes) -> bool:
    """Whether a test of this module can import the app, too."""
    top = routes.app.split(":")[0].split(".")[0]
    folder = project / (
        where.root
        if where.root is not None
        else posixpath.dirname(where.file)
        if "." not in where.module
        else ""
    )
    if where.root is None and "." in where.module:
        folder = project / where.file.removesuffix(where.module.replace(".", "/") + ".py")
    return bool(top) and ((folder / top).is_dir() or (folder / f"{top}.py").is_file())


def _compare(stub: Stub, module: Module) -> None:
    """Note what the comments of the tests say of functions that are other now."""
    seen = set()
    bound: frozenset[str] | None = None
    for trace in write.traces(stub.existing or b""):
        now = stub.found.signatures.get(trace.qualname) or stub.found.elsewhere.get(trace.qualname)
        if trace.path != stub.source or trace.qualname in seen:
            continue
        seen.add(trace.qualname)
        if now is None:
            bound = _bound(module.tree) if bound is None else bound
            if _gone(trace.qualname, module, bound):
                stub.gone.append(trace.told)
        elif shown(now) != trace.told:
            stub.changed.append((trace.told, now))


def _bound(tree: ast.Module) -> frozenset[str]:
    """Every name that a module binds, wherever in it; "*" where it imports what can't be read here."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
    return frozenset(names)


def _gone(qualname: str, module: Module, bound: frozenset[str]) -> bool:
    """Whether a function surely isn't in a module any more: not inside a function, not inherited, not
    imported from where it went.
    """
    *_, owner, name = ("", *qualname.split("."))
    if "*" in bound:
        return False
    if not all(part in bound for part in qualname.split(".")):
        return True
    cls = next((one for one in module.classes if one.name == owner and not one.nested), None)
    if cls is None or cls.bases or cls.decorators:
        return False
    return all(one.name != name or one.owner != cls.qualname for one in module.functions)


def stubs(
    project: Path,
    modules: Sequence[tuple[Service, str]],
    *,
    read_only: bool = False,
    skeletons: bool = False,
    most: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Result:
    """Write the tests of `modules` that are green, and tell of the rest. `read_only`: their code is not run.

    `most` ends the reading once so many modules have something to assert.
    """
    python = None if read_only else run.interpreter(project)
    why = ""
    if not python:
        why = (
            "--read, or `seed_tests: read` in the answers"
            if read_only
            else "no .venv with pytest, which the target `install` makes"
        )
    found: list[Stub] = []
    unparsed: list[tuple[str, str]] = []
    routes: dict[str, Routes | None] = {}
    claimed: dict[str, str] = {}
    for number, (service, file) in enumerate(modules, 1):
        if most is not None and sum(bool(one.tests) for one in found) == most:
            break
        if number % 100 == 0:
            say(f"{number} of {len(modules)} modules read")
        if service["name"] not in routes:
            routes[service["name"]] = (
                find_routes(project, service) if service["kind"] == "web" and service["app"] else None
            )
        one = plan(project, service, file, routes[service["name"]])
        if isinstance(one, Stub):
            if one.test in claimed:  # a/b.py and a_b.py
                one.kept_out, one.tests = f"it is for the tests of {shown(claimed[one.test])}", []
            claimed.setdefault(one.test, file)
            if not python:
                loud = "" if quiet(project, file) else "importing its module may run code, or need packages; "
                one.demoted = [(test, f"{loud}not run: {why}") for test in one.tests if loud or not test.sure]
                one.tests = [test for test in one.tests if test.sure and not loud]
            found.append(one)
        else:
            unparsed.append(one)
    if python:
        judge(project, found, python, say)
    for stub in found:
        _write(project, stub, skeletons)
    return Result(found, unparsed, python is not None, why)


def judge(
    project: Path, found: Sequence[Stub], python: Path, say: Callable[[str], None] = lambda text: None
) -> None:
    """Run the tests of `found`; those that aren't green go to `demoted` with the reason."""
    if not run.has(python, "hypothesis"):
        for stub in found:
            stub.demoted += [(one, NO_HYPOTHESIS) for one in stub.tests if one.hypothesis]
            stub.tests = [one for one in stub.tests if not one.hypothesis]
    every = {(stub.test, one.name): one for stub in found for one in stub.tests}
    red = _red(project, found, every, python, say)
    # What is red only because it asks too much is asked less, once.
    weaker = {key: one.fallback for key, one in every.items() if key in red and one.fallback}
    for stub in found:
        stub.weakened += [one.name for one in stub.tests if (stub.test, one.name) in weaker]
        stub.tests = [weaker.get((stub.test, one.name), one) for one in stub.tests]
    red = {key: why for key, why in red.items() if key not in weaker} | _red(
        project, found, weaker, python, say
    )
    for stub in found:
        stub.demoted += [
            (one, red[stub.test, one.name]) for one in stub.tests if (stub.test, one.name) in red
        ]
        stub.tests = [one for one in stub.tests if (stub.test, one.name) not in red]


def _red(
    project: Path,
    found: Sequence[Stub],
    wanted: Iterable[tuple[str, str]],
    python: Path,
    say: Callable[[str], None],
) -> dict[tuple[str, str], str]:
    """Of the `wanted` tests (test file and name) those that aren't green, with the reason."""
    names: dict[str, list[str]] = {}
    for file, name in wanted:
        names.setdefault(file, []).append(name)
    files = {
        stub.test: content
        for stub in found
        if stub.test in names and (content := _content(stub, ())) is not None
    }
    names = {file: listed for file, listed in names.items() if file in files}
    if not names:
        return {}
    say(f"running {counted(sum(map(len, names.values())), 'candidate')} of {counted(len(names), 'module')}")
    red: dict[tuple[str, str], str] = {}
    hypothesis = any(one.hypothesis for stub in found if stub.test in names for one in stub.tests)
    for (file, name, _), outcome in run.run(project, files, names, python, hypothesis=hypothesis).items():
        if not outcome.green:
            red.setdefault((file, name), outcome.why)
    return red


def _content(stub: Stub, without: Sequence[NoExpectedValue]) -> bytes | None:
    """The test file with the stub's tests; None where it can't be."""
    if not stub.tests and not without:
        return stub.existing
    if stub.existing is None:
        return write.render(stub.place, stub.tests, without)
    try:
        return write.append(stub.existing, stub.place, stub.tests, without)
    except NotAppended as error:
        stub.kept_out = str(error)
        return None


def _skeletons(stub: Stub) -> list[NoExpectedValue]:
    """What is to be written by a person: functions without an expected value, and those of which no candidate
    was green.
    """
    to_write = {one.qualname: one for one in stub.without if one.reason != "private"}
    asserted = {name for one in [*stub.tests, *stub.there] for name in (one.qualname, *one.covers)}
    for one, why in stub.demoted:
        if one.qualname not in asserted and one.qualname in stub.found.outside:
            red = NoExpectedValue(
                one.qualname, one.line, why, one.signature, stub.found.outside[one.qualname]
            )
            to_write.setdefault(one.qualname, red)
    return list(to_write.values())


def _write(project: Path, stub: Stub, skeletons: bool) -> None:
    content = _content(stub, _skeletons(stub) if skeletons and not stub.kept_out else [])
    if stub.kept_out or content is None or content == stub.existing:
        stub.tests = [] if stub.kept_out else stub.tests
        return
    path = project / stub.test
    if os.path.islink(path) or not Path(os.path.realpath(path.parent)).is_relative_to(
        os.path.realpath(project)
    ):
        stub.kept_out, stub.tests = "it is a symlink, or leads out of the project", []
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        now = path.read_bytes() if path.exists() else None
        if now != stub.existing:
            stub.kept_out, stub.tests = "it was changed meanwhile; run this again", []
            return
        _replace(path, content)
    except OSError as error:
        raise Refused(f"{stub.test}: expected to write there: {error.strerror}") from None
    stub.written = len(stub.tests)


def _replace(path: Path, content: bytes) -> None:
    """Write a file at once, keeping its mode."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".stubs-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(name, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
