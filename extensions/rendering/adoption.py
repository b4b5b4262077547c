"""Read a project that is about to be adopted: which services it holds.

It runs inside Copier, before the first write. Nothing of the project is imported or run: Python files are
parsed, each read once, and of other files the commands are read (running.py).
"""

from __future__ import annotations

import itertools
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..project.git_and_files import LARGEST, shown
from ..source import makers
from ..source.files import OTHER_REPOSITORY, aside, walk
from ..source.makers import APPS, ASGI, Queue, Start
from ..template.answers import COMMAND, PATH, TAKEN
from .proposals import kebab

if TYPE_CHECKING:
    pass

EXAMPLES = {"examples", "example", "samples"}
NOT_WORKERS = {"setup.py", "noxfile.py", "fabfile.py", "tasks.py", "dodo.py", "manage.py", "__init__.py"}
WORKERS = ("worker", "main", "bot", "run", "app", "consumer", "scheduler")
# Folders whose names say nothing of what is in them: the one above does.
UNTELLING = {"app", "src", "source", "application", "server", "code", "flask_app", "web_app", "main"}
KEPT = 100_000_000  # bytes of source that are held to be looked at twice
STARTED = 60  # evidence from here on says what is started, and not only what could be

# A proposal that the door (answers.py) would refuse is left out here, and a note says so.
TARGET = re.compile(
    r"(uvicorn )?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\(\))?|[A-Za-z0-9_][A-Za-z0-9_./-]*\.py", re.ASCII
)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_FLASK_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+flask\b", re.MULTILINE)
_MAIN = re.compile(rb"^if\s+__name__\s*==\s*['\"]__main__['\"]", re.MULTILINE)
_TAKES_APP = re.compile(rb"^[ \t]*def (\w+)\(\s*(?:self,\s*)?(app|application|flask_app)\b", re.MULTILINE)
_DECORATES = re.compile(rb"^@(\w+)\.(?:route|get|post|put|patch|delete|errorhandler)\(", re.MULTILINE)
_FROM = re.compile(rb"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)", re.MULTILINE)

Files = Mapping[str, Mapping[str, None]]  # the Python files of each folder, in order


@dataclass(frozen=True)
class Found:
    """A service that stands already.

    `app` is empty where how it starts could not be told; `evidence` is one line. `framework` is that of a web
    service.
    """

    name: str
    path: str
    kind: str
    app: str
    evidence: str
    framework: str = field(default="", compare=False)

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
class Source:
    """A Python file that may start something.

    `path` is the folder of its service, `module` its dotted name there. `served` are the applications that
    it serves when it is run, with the line, and `links` its imports.
    """

    file: str
    path: str
    module: str
    packaged: bool  # `path` is the top package itself
    guard: int  # line of `if __name__ == "__main__"`, or 0
    flask: bool
    starts: tuple[Start, ...]
    served: tuple[tuple[str, int], ...] = ()
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    queues: tuple[Queue, ...] = ()


class Project:
    """A project's Python files, each read once, and what they say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        refused: list[tuple[str, str]] = []
        self.files: Files = {folder: dict.fromkeys(names) for folder, names in walk(root, refused)}
        for path, reason in refused:
            other = reason == OTHER_REPOSITORY
            self.notes.append(
                f"{shown(path)}: "
                + (f"left out, {reason}: nothing is written there" if other else f"not readable ({reason})")
            )
        self.texts: dict[str, bytes] = {}
        self.sources: dict[str, Source] = {}
        # Of an app, by its file and what follows the colon: how much says that it runs, and what.
        self.evidence: dict[tuple[str, str], tuple[int, str]] = {}
        self._classes: dict[str, str] = {}
        self._factories: dict[str, str] = {}
        held = 0
        for file, text in self._read():
            held += len(text)
            if held <= KEPT:
                self.texts[file] = text
            self._take(file, text)
        self._look_again()
        self._uses()

    def _read(self) -> Iterator[tuple[str, bytes]]:
        for folder, names in self.files.items():
            for name in names:
                file = posixpath.join(folder, name)
                if aside(file):
                    continue
                try:
                    with open(os.path.join(self.root, file), "rb") as stream:
                        text = stream.read(LARGEST + 1)
                except OSError as error:
                    self.notes.append(f"{shown(file)}: not readable ({error.strerror})")
                    continue
                yield file, text

    def _take(self, file: str, text: bytes, anyway: bool = False) -> None:
        """Keep a file that speaks of Flask or another framework, and scripts."""
        # Plain searches first: most files hold none of these words, and a regular expression takes ten times
        # as long.
        speaks = anyway or (
            any(word in text for word in makers.WORDS) and bool(makers.WORTH_PARSING.search(text))
        )
        flask = b"flask" in text and bool(_FLASK_IMPORT.search(text))
        main = _MAIN.search(text) if b"__main__" in text else None
        if not (speaks or main or flask or posixpath.basename(file) == "__main__.py"):
            return
        made = makers.Made()
        if speaks or (main and makers.SERVES.search(text)):
            # Compiling the reader takes longer than rendering a new project can spare.
            from ..source import modules

            found = (
                modules.read(text, file)
                if len(text) <= LARGEST
                else modules.Unread(file, f"more than {LARGEST:,} bytes")
            )
            if not isinstance(found, modules.Unread):
                made = makers.made(found, self._classes, self._factories)
            elif speaks:
                where = f", line {found.line}" if found.line else ""
                note = f"{shown(file)}: {found.reason}{where}; an app in it was not seen"
                self.notes += [note] if note not in self.notes else []
        path, module = self.home(file, {one for one, _ in made.links.values()})
        packaged = (
            path in self.files
            and "__init__.py" in self.files[path]
            and module.split(".")[0] == posixpath.basename(path)
        )
        guard = text.count(b"\n", 0, main.start()) + 1 if main else 0
        spoken = flask or any(one.framework == makers.FLASK for one in made.starts) or bool(made.starts)
        self._classes |= made.classes
        self._factories |= made.factories
        self.sources[file] = Source(
            *(file, path, module, packaged, guard, spoken, made.starts),
            *(tuple(made.served), made.links, tuple(made.queues)),
        )

    def home(self, file: str, imported: set[str] | None = None) -> tuple[str, str]:
        """The folder of the service that `file` is part of, and its module there."""
        if imported is None:
            text = self.texts.get(file, b"")
            imported = {one.decode() for one in re.findall(rb"^(?:from|import)[ \t]+([\w.]+)", text, re.M)}
        names = {one.split(".")[0] for one in imported}
        return _home(file, self.files, set() if "" in names else names)

    def source(self, file: str) -> Source | None:
        """A file as a source, whatever it speaks of."""
        if file not in self.sources and file in self.texts:
            self._take(file, self.texts[file], anyway=True)
        return self.sources.get(file)

    def find(self, module: str, folders: Iterable[str]) -> str:
        """The file of a module that is imported from one of these folders, else from the only place where one
        of its name stands; "" where there is none.
        """
        name = module.replace(".", "/")
        for folder in folders:
            for end in (".py", "/__init__.py", "/__main__.py"):
                file = posixpath.normpath(posixpath.join(folder, name + end))
                if self._is_file(file):
                    return file
        ends = (f"/{name}.py", f"/{name}/__init__.py")
        found = [file for file in self.texts if file.endswith(ends)] if module else []
        shortest = min((file.count("/") for file in found), default=0)
        nearest = [file for file in found if file.count("/") == shortest]
        return nearest[0] if len(nearest) == 1 else ""

    def _is_file(self, file: str) -> bool:
        folder, name = posixpath.split(file)
        return name in self.files.get(folder, ())

    def linked(self, source: Source, name: str) -> tuple[str, str]:
        """The file and name of what `source` imports as `name`; "" for what is not the project's."""
        if name not in source.links:
            return "", ""
        module, attribute = source.links[name]
        dots = len(module) - len(module.lstrip("."))
        folder = posixpath.dirname(source.file)
        if dots:
            folders = [posixpath.normpath(posixpath.join(folder, *[".."] * (dots - 1)))]
        else:
            parts = folder.split("/") if folder else []
            folders = ["/".join(parts[:n]) for n in range(len(parts), -1, -1)]
        rest = module.lstrip(".")
        if not attribute:
            return self.find(rest, folders), ""
        inner = self.find(f"{rest}.{attribute}".lstrip("."), folders) if dots and not rest else ""
        return (
            (inner, "")
            if inner
            else (self.find(rest or ".", folders) or self.find("__init__", folders), attribute)
        )

    def _look_again(self) -> None:
        """Look for apps of classes and factories that other modules define."""
        seen: set[str] = set()
        for _ in range(3):
            names = {*self._classes, *self._factories} - seen - set(makers.FACTORIES)
            if not names:
                return
            seen |= names
            calls = re.compile(rb"\b(?:" + b"|".join(sorted(map(str.encode, names))) + rb")\b")
            for file, text in self.texts.items():
                if b"import" in text and calls.search(text):
                    self._take(file, text, anyway=True)

    def _uses(self) -> None:
        """Mark apps on which another module registers routes, and those that are handed to what does."""
        starts = [start for source in self.sources.values() for start in source.starts]
        if len(starts) < 2:
            return
        takers: set[str] = set()
        used: set[tuple[str, str]] = set()
        for file, text in self.texts.items():
            for match in _TAKES_APP.finditer(text) if b"def " in text and b"app" in text else ():
                body = text[match.end() : match.end() + 4000].split(b"\ndef ")[0]
                if re.search(rb"\b" + match[2] + rb"\.(?:route|add_url_rule|register_\w+|get|post)\b", body):
                    takers.add(match[1].decode())
            decorated = set(_DECORATES.findall(text)) if b"\n@" in text else set()
            for module, names in _FROM.findall(text) if decorated else ():
                for name in decorated & set(re.findall(rb"\w+", names)):
                    where = Source(
                        file, "", "", False, 0, False, (), links={"x": (module.decode(), name.decode())}
                    )
                    used.add(self.linked(where, "x"))
        for file, source in self.sources.items():
            marked = tuple(
                replace(one, use=2) if (file, one.call) in used or one.handed & takers else one
                for one in source.starts
            )
            if marked != source.starts:
                self.sources[file] = replace(source, starts=marked)


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
    # The sibling may be a package.
    siblings = any(
        f"{one}.py" in files[here] or bool(files.get(f"{here}/{one}"))
        for one in imports - sys.stdlib_module_names
    )
    loose = stem != "__init__" and siblings and not (top and folders[top - 1] in imports)
    if not top or loose:
        return here or ".", stem
    module = ".".join(folders[top - 1 :] if stem == "__init__" else [*folders[top - 1 :], stem])
    return "/".join(folders[: top - 1 if base == 2 and top == 3 else top]), module


# Services


def find_services(root: Path) -> list[Found]:
    """The services that stand under `root`, in a stable order; empty where there are none. Never raises."""
    return read(root).services


def read(root: Path) -> Reading:
    """find_services with its notes. Folders of services/ first, else apps by what starts them, else one
    worker; then what runs beside them.
    """
    project = Project(root)
    reading = Reading(notes=project.notes)
    if not project.texts:
        return reading
    from . import running  # a project without Python has no commands to look for

    launches = running.weigh(project)
    sources = [project.sources[file] for file in _in_order(project)]
    name = kebab(os.path.basename(os.path.realpath(root)))
    choices = _choices(project, sources)
    found = _in_services(project, sources)
    elsewhere = [one for one in choices if not found or one.evidence[0] >= STARTED]
    found += _apps(
        [one for one in elsewhere if not found or not one.source.file.startswith("services/")], name
    )
    found = [*found, *running.beside(project, launches, found)] or _worker(sources, name)
    for one in _with_names(found):
        # Copier compares names beyond ASCII wrongly, so such a service's files could not be kept.
        if not PATH.fullmatch(one.path) or len(one.path) > 100 or one.path.split("/")[0].lower() in TAKEN:
            reading.notes.append(
                f"{shown(one.path)}: left out, a service's path takes ASCII letters, digits and . _ - /"
                f" and is not {', '.join(sorted(TAKEN))}: rename the folder, or say the service by hand"
            )
            continue
        fits = TARGET.fullmatch(one.app) or (
            one.kind == "worker" and (_MODULE.fullmatch(one.app) or COMMAND.fullmatch(one.app))
        )
        app = one.app if fits and len(one.app) <= (200 if " " in one.app else 100) else ""
        reading.services.append(replace(one, app=app))
    within = tuple("" if one.path == "." else f"{one.path}/" for one in reading.services)
    for choice in choices:
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


def _in_order(project: Project) -> list[str]:
    """The files of the sources, folder by folder."""
    place = {folder: number for number, folder in enumerate(project.files)}
    return sorted(project.sources, key=lambda file: (place.get(posixpath.dirname(file), 0), file))


def _with_names(found: list[Found]) -> Iterator[Found]:
    """The services with names of their own: two of one name are told apart by the folder above."""
    wanted = [one.name or "service" for one in found]
    taken: set[str] = set()
    for one, said in zip(found, wanted, strict=True):
        above = kebab(posixpath.basename(posixpath.dirname(one.path)))
        told = wanted.count(said) > 1 and above and above not in ("src", "services") and one.kind == "web"
        plain = f"{above}-{said}"[:45].rstrip("-") if told else said
        names = (plain if number == 1 else f"{plain}-{number}" for number in itertools.count(1))
        name = next(one for one in names if one not in taken)
        taken.add(name)
        yield replace(one, name=name)


def naming(path: str, project: str) -> str:
    """What the service in a folder is called: users/app is users."""
    parts = path.split("/")
    if path in (".", "src"):
        return project
    if len(parts) == 1:
        return kebab(path)
    telling = [one for one in parts if one.lower() not in UNTELLING]
    return kebab(telling[-1]) if telling else project


@dataclass(frozen=True)
class _Choice:
    """One way to start the service at `path`. `home` is a file that makes that folder a service."""

    path: str
    home: Source
    source: Source
    start: Start
    evidence: tuple[int, str] = (0, "")
    others: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """What gunicorn or uvicorn starts; empty where they can't."""
        app = f"{self.source.module}:{self.start.call}"
        app = f"uvicorn {app}" if self.start.framework in ASGI else app
        return "" if self.start.needs or not TARGET.fullmatch(app) else app

    def rank(self) -> tuple[object, ...]:
        """Smaller is better: what can be started, what is started, public, in use, in the package itself,
        by a usual name.
        """
        start, module = self.start, self.source.module
        inner = not self.source.file.endswith("/__init__.py")
        by_name = (
            start.framework.endswith("(ASGI)"),
            start.call not in APPS,
            start.borrowed is not None,
            module.count("."),
            self.source.file,
            start.line,
        )
        use = start.use if inner else max(start.use, 1)
        return (not self.target, -self.evidence[0], start.call.startswith("_"), -use, inner, *by_name)

    def found(self, name: str) -> Found:
        at, call = f"{shown(self.source.file)}:{self.start.line}", self.start.call
        a = f"a {self.start.framework} app"
        if not call:
            said = f"builds {a} in a function that doesn't return it: say how it starts"
        elif self.start.needs:
            said = f"builds {a} in {call[:-2]}, which needs {self.start.needs}"
            said += ": say how it starts"
        else:
            said = (
                f"builds {a} in {call}"
                if call.endswith(")")
                else (f"builds the {self.start.framework} app {call}")
            )
            said += (
                "" if self.target else ", but its file has no name that can be imported: say how it starts"
            )
            said += f", {shown(self.evidence[1])}" if self.evidence[1] else ""
        said += f"; not taken: {', '.join(self.others)}" if self.others else ""
        return Found(name, self.path, "web", self.target, f"{at} {said}", self.start.framework)


def _choices(project: Project, sources: list[Source]) -> list[_Choice]:
    """All ways to start a web service, the best first."""

    def choice(path: str, home: Source, one: Source, start: Start) -> _Choice:
        return _Choice(path, home, one, start, project.evidence.get((one.file, start.call), (0, "")))

    real = [
        choice(one.path, one, one, start) for one in sources for start in one.starts if start.borrowed is None
    ]
    homes = {one.path: one.home for one in real}
    # A wsgi.py that calls an imported factory is a way to start that factory's service: from its folder, or
    # from beside its package.
    called = []
    for one in sources:
        for start in one.starts:
            if start.borrowed is not None:
                beside = posixpath.normpath(posixpath.join(one.path, start.borrowed))
                path = one.path if one.path in homes else beside
                if beside in homes and homes[beside].packaged and one.path != beside:
                    path = beside
                # A module of that name in the package would be started in its place.
                top = one.module.split(".")[0]
                if path != one.path and (
                    f"{top}.py" in project.files.get(path, ()) or f"{path}/{top}" in project.files
                ):
                    real.append(choice(one.path, one, one, start))
                elif path in homes and (path == one.path or homes[path].packaged):
                    called.append(choice(path, homes[path], one, start))
                elif project.evidence.get((one.file, start.call)):
                    real.append(choice(one.path, one, one, start))
    return sorted(real + called, key=_Choice.rank)


def _first(choices: list[_Choice]) -> dict[str, _Choice]:
    """The best choice of each path, which says what else there was where it isn't told what is started."""
    first: dict[str, _Choice] = {}
    for one in choices:
        best = first.setdefault(one.path, one)
        made_here = (
            one.start.borrowed is None and one.target and (one.source, one.start) != (best.source, best.start)
        )
        same = (
            one.source == best.source
            and best.start.borrowed is None
            and "()" in one.start.call + best.start.call
        )
        if (
            made_here
            and best.start.borrowed is None
            and not same
            and one.start.use
            and one.start.call[0] != "_"
        ):
            other = f"{one.target} ({shown(one.source.file)}:{one.start.line})"
            first[one.path] = replace(best, others=(*best.others, other)[:3])
    return first


def _in_services(project: Project, sources: list[Source]) -> list[Found]:
    """One service per folder of services/ that holds Python files."""
    files = project.files
    own: dict[str, list[Source]] = {}
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
        web = _choices(project, own[name])
        if name[0] != "_":
            best = _first(web)[web[0].path] if web else None
            found.append(best.found(kebab(name)) if best else _script(name, own[name], files))
    # services/ can also be a package of an app, for its business logic.
    if "__init__.py" in files.get("services", ()) and all(one.kind == "worker" for one in found):
        return []
    started = [
        one
        for one in sources
        if any(project.evidence.get((one.file, start.call), (0,))[0] >= STARTED for start in one.starts)
    ]
    if (
        started
        and not any(one.file.startswith("services/") for one in started)
        and all(one.kind == "worker" for one in found)
    ):
        return []
    return found


def _example(file: str) -> bool:
    return not EXAMPLES.isdisjoint(file.split("/")[:-1])


def _script(name: str, own: list[Source], files: Files) -> Found:
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


def _script_evidence(one: Source) -> str:
    return (
        f"{shown(one.file)}:{one.guard} starts as a script"
        if one.guard
        else f"{shown(one.file)} starts its package"
    )


def _apps(choices: list[_Choice], project: str) -> list[Found]:
    """What is started; else packages at the root or in src/ that build an app; else modules there; else
    others; else examples.
    """

    def tier(one: _Choice) -> int:
        if one.evidence[0] >= STARTED:
            return -1
        if _example(one.home.file):
            return 3
        if not one.start.call:
            return 4
        if one.home.packaged and posixpath.dirname(one.path) in ("", "src"):
            return 0
        return 1 if one.path in (".", "src") else 2

    choices = [one for one in choices if one.start.call or not _example(one.home.file)]
    best = min(map(tier, choices), default=0)
    first = _first(choices)
    taken = [path for path, one in first.items() if tier(one) == best]
    return [first[path].found(naming(path, project)) for path in sorted(taken)]


def _worker(sources: list[Source], project: str) -> list[Found]:
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
