"""What a repository's files that are no Python say of how its programs are started: the commands of
containers, Procfiles, units, platforms, scripts and CI, each with its place.
"""

from __future__ import annotations

import configparser
import json
import os
import posixpath
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ..project.git_and_files import text_of

DEEPEST = 4  # folders below the root in which such files are looked for
LONGEST = 200_000  # characters of one that are read

# How much a place says: what runs in production before what a person types, and CI last.
RUNS, SETS, DEVELOPS, TYPED, CI = 100, 90, 80, 60, 40

_ONE_OFF = re.compile(r"migrat|init\b|seed|test|setup|lint|release|backup|docs?\b|build", re.IGNORECASE)
_NOT_PRODUCTION = re.compile(r"dev|test|local|debug|e2e|bench|\bci\b|example", re.IGNORECASE)
_ENV_FILES = {".flaskenv", ".env", ".env.example", ".env.sample", ".env.template", ".env.dist", "env.example"}
_PLATFORMS = {"render.yaml", "render.yml", "app.yaml", "heroku.yml", "railway.json", "railway.toml"}
_PLATFORMS |= {"fly.toml", "nixpacks.toml", "apprunner.yaml", "app.json"}
_PLATFORM_LINE = re.compile(
    r"^\s*(?:-\s*)?[\"']?(startCommand|dockerCommand|entrypoint|cmd|command|web|worker|app|bot)[\"']?\s*[:=]\s*(.+?),?\s*$",
    re.MULTILINE,
)
_FLASK_APP = re.compile(
    r"^\s*(?:export\s+|ENV\s+|-\s*[\"']?)?FLASK_APP\s*[=: ]\s*[\"']?([^\"'\s#]+)", re.MULTILINE
)
_TYPED = re.compile(
    r"\b(gunicorn|uvicorn|flask|celery|waitress-serve|hypercorn|daphne|uwsgi|python[\d.]*|rq|rqworker|dramatiq|fastapi)\b"
)


@dataclass(frozen=True)
class Command:
    """A command that a file gives, and where.

    `process` is what the file calls it, "" where it has no name. `folders` are those of the repository in
    which it may run, the likeliest first. `last`: it stays, and what stands before it in a line doesn't.
    """

    file: str
    line: int
    words: tuple[str, ...]
    weight: int
    folders: tuple[str, ...] = ("",)
    process: str = ""
    flask_app: str = ""
    last: bool = True

    @property
    def place(self) -> str:
        """Where it stands, as file:line."""
        return f"{self.file}:{self.line}"


@dataclass
class _Image:
    """What a Dockerfile says."""

    file: str
    line: int = 0
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    flask_app: str = ""
    workdir: str = "/"
    copied: tuple[tuple[str, str], ...] = ()  # from, to

    def folders(self, contexts: Iterable[str]) -> tuple[str, ...]:
        """The folders of the repository that may be the one in which it runs."""
        found = []
        for context in contexts:
            for source, target in reversed(self.copied):
                if self.workdir == target or self.workdir.startswith(target.rstrip("/") + "/"):
                    rest = self.workdir[len(target) :].strip("/")
                    found.append(_joined(context, source, rest))
            found.append(context)
        return tuple(dict.fromkeys(found))


def find(root: Path, folders: Iterable[str]) -> list[Command]:
    """All commands that the files of these folders of `root` give, what says most first. Never raises."""
    images: dict[str, _Image] = {}
    composes: list[str] = []
    found: list[Command] = []
    for folder in folders:
        if folder.count("/") >= DEEPEST or "node_modules" in folder:
            continue
        try:
            names = sorted(os.listdir(os.path.join(root, folder)))
        except OSError:
            continue
        for name in names:
            file = posixpath.join(folder, name)
            low = name.lower()
            if re.fullmatch(r"([\w.-]+\.)?dockerfile.*", low) and not low.endswith(("ignore", ".py", ".md")):
                images[file] = _image(file, text_of(os.path.join(root, file))[:LONGEST])
            elif re.fullmatch(r"(docker-?)?compose[\w.-]*\.ya?ml|[\w.-]*compose\.ya?ml", low):
                composes.append(file)
            elif reader := _reader(low, name):
                found += reader(file, text_of(os.path.join(root, file))[:LONGEST])
    named: dict[str, tuple[str, list[str]]] = {}
    overridden: set[str] = set()
    for file in composes:
        found += _compose(file, text_of(os.path.join(root, file))[:LONGEST], images, named, overridden)
    for file, image in images.items():
        if file in overridden and file not in named:
            continue  # what it starts by itself is never asked for
        process, contexts = named.get(file, ("", []))
        words = (*image.entry, *image.command)
        folder = posixpath.dirname(file)
        places = image.folders([*contexts, folder, posixpath.dirname(folder), ""])
        found += _commands(file, image.line, words, weight_of(file), places, process, image.flask_app)
        if image.flask_app:
            found.append(
                Command(file, image.line, ("flask", "run"), SETS - 1, places, process, image.flask_app)
            )
    workflows = os.path.join(root, ".github", "workflows")
    for name in sorted(os.listdir(workflows)) if os.path.isdir(workflows) else []:
        if name.endswith((".yml", ".yaml")):
            file = f".github/workflows/{name}"
            found += _typed(file, text_of(os.path.join(root, file))[:LONGEST], CI, "")
    return sorted(found, key=lambda one: (-one.weight, one.file, one.line))


def weight_of(file: str) -> int:
    """How much a file says that starts containers or processes: one for development says less."""
    return DEVELOPS if _NOT_PRODUCTION.search(file) else RUNS


def _joined(*parts: str) -> str:
    path = posixpath.normpath(posixpath.join(*[part.lstrip("/") for part in parts if part] or ["."]))
    return "" if path in (".", "") or path.startswith("..") else path


def _reader(low: str, name: str):  # type: ignore[no-untyped-def]
    if low == "procfile" or low.startswith("procfile."):
        return _procfile
    if name.endswith(".service"):
        return _unit
    if low.startswith("supervisor") or (low.endswith(".conf") and "supervis" in low):
        return _supervisor
    if low.endswith(".ini") and "wsgi" in low:
        return _uwsgi
    if name in _ENV_FILES:
        return _environment
    if name in _PLATFORMS:
        return _platform
    if low in ("makefile", "gnumakefile", "justfile"):
        return lambda file, text: _typed(file, text, TYPED, posixpath.dirname(file))
    if low.endswith((".sh", ".bash")):
        return _script
    if name == "pyproject.toml":
        return _pyproject
    if name in ("package.json", "Pipfile"):
        return _scripts
    return None


# Each kind of file


def _procfile(file: str, text: str) -> Iterator[Command]:
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"([\w-]+)\s*:\s*(\S.*)", line)
        if match and match[1] != "release":
            yield from _commands(
                file, number, match[2], weight_of(file), (posixpath.dirname(file), ""), match[1]
            )


def _unit(file: str, text: str) -> Iterator[Command]:
    settings = dict(re.findall(r"^(WorkingDirectory)=(\S+)", text, re.MULTILINE))
    folder = posixpath.basename(settings.get("WorkingDirectory", "").rstrip("/"))
    app = _FLASK_APP.search(text.replace("Environment=", ""))
    process = re.sub(r"@?\.service$", "", posixpath.basename(file))
    for match in re.finditer(r"^ExecStart=[-@+!]*((?:[^\n]*\\\n)*[^\n]*)", text, re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        folders = ("", folder, posixpath.dirname(file))
        command = match[1].replace("\\\n", " ")
        yield from _commands(file, line, command, RUNS, folders, process, app[1] if app else "")


def _supervisor(file: str, text: str) -> Iterator[Command]:
    process, folder = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[program:([\w-]+)\]", line):
            process, folder = match[1], ""
        elif match := re.match(r"\s*directory\s*=\s*(\S+)", line):
            folder = posixpath.basename(match[1].rstrip("/"))
        elif process and (match := re.match(r"\s*command\s*=\s*(.+)", line)):
            yield from _commands(file, number, match[1], weight_of(file), ("", folder), process)


def _uwsgi(file: str, text: str) -> Iterator[Command]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    said = dict(parser.items("uwsgi")) if parser.has_section("uwsgi") else {}
    words = ["uwsgi"]
    for key in ("module", "wsgi", "wsgi-file", "file", "callable"):
        if said.get(key):
            words += [
                f"--{'wsgi-file' if key == 'file' else 'module' if key == 'wsgi' else key}",
                said[key] or "",
            ]
    line = next((n for n, one in enumerate(text.splitlines(), 1) if re.match(r"(module|wsgi|file)", one)), 1)
    folder = posixpath.basename((said.get("chdir") or "").rstrip("/"))
    if len(words) > 1:
        yield Command(file, line, tuple(words), RUNS, (posixpath.dirname(file), folder, ""))


def _environment(file: str, text: str) -> Iterator[Command]:
    if match := _FLASK_APP.search(text):
        line = text.count("\n", 0, match.start(1)) + 1
        yield Command(file, line, ("flask", "run"), SETS, (posixpath.dirname(file),), "", match[1])


def _platform(file: str, text: str) -> Iterator[Command]:
    folder = next(iter(re.findall(r"^\s*rootDir:\s*(\S+)", text, re.MULTILINE)), "")
    for match in _PLATFORM_LINE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        process = match[1] if match[1] in ("web", "worker", "bot") else ""
        yield from _commands(
            file, line, match[2].strip("\"'"), RUNS, (_joined(folder), posixpath.dirname(file)), process
        )


def _script(file: str, text: str) -> Iterator[Command]:
    usual = re.search(r"entry|start|run|boot|serve|server|worker|celery|launch", posixpath.basename(file))
    weight = SETS if usual and not _NOT_PRODUCTION.search(file) else TYPED
    app = _FLASK_APP.search(text)
    folder = posixpath.dirname(file)
    for one in _typed(file, text, weight, folder):
        yield replace(one, flask_app=one.flask_app or (app[1] if app else ""), folders=("", folder))


def _typed(file: str, text: str, weight: int, folder: str) -> Iterator[Command]:
    """The commands of a file of which each line may be one."""
    app = _FLASK_APP.search(text)
    number = 1
    for line in re.sub(r"\\\n", lambda match: " \0", text).split("\n"):
        at, number = number, number + 1 + line.count("\0")
        said = line.replace("\0", "").strip().lstrip("@- ").removeprefix("run:").strip()
        if said and said[0] != "#" and _TYPED.search(said) and not re.match(r"(echo|printf|pip|apt)\b", said):
            for one in _commands(file, at, said, weight, (folder, ""), "", app[1] if app else ""):
                serves = one.words[0] != "python" and "python" not in one.words[0]
                stays = serves or said.startswith("exec ") or said.endswith("&")
                yield replace(one, last=one.last and stays)


def _pyproject(file: str, text: str) -> Iterator[Command]:
    try:
        toml = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    for table in (("project", "scripts"), ("tool", "poetry", "scripts"), ("tool", "taskipy", "tasks")):
        value: object = toml
        for key in table:
            value = value.get(key) if isinstance(value, dict) else None
        for name, said in value.items() if isinstance(value, dict) else ():
            if not isinstance(said, str):
                continue
            line = next((n for n, one in enumerate(text.splitlines(), 1) if one.startswith(name)), 1)
            where = posixpath.dirname(file)
            if "taskipy" in table:
                yield from _commands(file, line, said, TYPED, (where,))
            else:
                yield Command(file, line, ("script", said), TYPED - 10, (where, _joined(where, "src")), name)


def _scripts(file: str, text: str) -> Iterator[Command]:
    try:
        said = tomllib.loads(text) if file.endswith("Pipfile") else json.loads(text)
    except (ValueError, RecursionError):
        return
    scripts = said.get("scripts") if isinstance(said, dict) else None
    for name, command in scripts.items() if isinstance(scripts, dict) else ():
        if isinstance(command, str) and not _ONE_OFF.search(name):
            lines = text.splitlines()
            line = next(
                (n for n, one in enumerate(lines, 1) if re.match(rf"\s*\"?{re.escape(name)}\b", one)), 1
            )
            for inner in [command, *re.findall(r"\"([^\"]+)\"", command)]:
                for one in _commands(file, line, inner, TYPED, (posixpath.dirname(file),)):
                    yield replace(one, last=one.last and "python" not in one.words[0])


def _image(file: str, text: str) -> _Image:
    image = _Image(file)
    lines = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    number = 1
    copied: list[tuple[str, str]] = []
    for line in re.sub(r"\\[ \t]*\n", "\0", lines).split("\n"):
        at, number = number, number + 1 + line.count("\0")
        word, _, rest = line.replace("\0", " ").strip().partition(" ")
        word, rest = word.upper(), rest.strip()
        if word == "WORKDIR" and rest and "$" not in rest:
            image.workdir = posixpath.normpath(posixpath.join(image.workdir, rest.strip("\"'")))
        elif word in ("COPY", "ADD") and "--from" not in rest:
            parts = [one for one in rest.split() if not one.startswith("--")]
            target = posixpath.normpath(posixpath.join(image.workdir, parts[-1])) if parts else ""
            copied += [
                (one, target if one in (".", "./") or not re.search(r"\.\w+$", one) else f"{target}/{one}")
                for one in parts[:-1]
            ]
        elif word == "ENV" and (match := re.search(r"\bFLASK_APP[= ]\s*[\"']?([^\"'\s]+)", rest)):
            image.flask_app, image.line = match[1], image.line or at
        elif word == "FROM":
            image.entry = image.command = ()
        elif word in ("CMD", "ENTRYPOINT"):
            image.line = at
            if word == "CMD":
                image.command = _listed(rest)
            else:
                image.entry = _listed(rest)
    image.copied = tuple(copied)
    if image.entry and image.command and re.search(r"(entry|start|tini|init)[\w.-]*$", image.entry[-1]):
        image.entry = ()  # a script that ends in exec "$@"
    return image


def _listed(text: str) -> tuple[str, ...]:
    """The words of CMD, ENTRYPOINT or command, in one string where a shell reads them."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = re.findall(r"[\"']([^\"']*)[\"']", text)
        return tuple(one for one in words if isinstance(one, str))
    return ("sh", "-c", text) if text else ()


def _compose(
    file: str,
    text: str,
    images: dict[str, _Image],
    named: dict[str, tuple[str, list[str]]],
    overridden: set[str],
) -> Iterator[Command]:
    try:
        top = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return
    folder = posixpath.dirname(file)
    for process, service in _pairs(_pairs(top).get("services")).items():
        said = _pairs(service)
        build = said.get("build")
        parts = _pairs(build)
        context = _plain(parts.get("context")) if parts else _plain(build)
        image = None
        contexts = [folder]
        if build is not None:
            contexts = (
                [_joined(folder, context)]
                if not context.startswith("..")
                else [_joined(posixpath.normpath(posixpath.join(folder, context)))]
            )
            dockerfile = _joined(contexts[0], _plain(parts.get("dockerfile")) or "Dockerfile")
            image = images.get(dockerfile)
        elif isinstance(said.get("image"), yaml.ScalarNode) and not images:
            contexts = [folder]
        command, entry = said.get("command"), said.get("entrypoint")
        env = said.get("environment")
        flask_app = _plain(_pairs(env).get("FLASK_APP"))
        for one in env.value if isinstance(env, yaml.SequenceNode) else ():
            if _plain(one).startswith("FLASK_APP="):
                flask_app = _plain(one).partition("=")[2]
        flask_app = flask_app or (image.flask_app if image else "")
        if _ONE_OFF.search(process):
            continue
        if command is None and entry is None:
            if image:
                before = named.get(image.file, (process, []))
                named[image.file] = (before[0], [*before[1], *contexts])
            continue
        overridden |= {image.file} if image and not _NOT_PRODUCTION.search(file) else set()
        both = entry is not None and command is not None
        words = (
            (*_shell(_words(entry)), *_shell(_words(command))) if both else (*_words(entry), *_words(command))
        )
        if entry is None and image and image.entry:
            words = (*image.entry, *_shell(_words(command)))
        places = image.folders(contexts) if image else tuple(contexts)
        node = command if command is not None else entry
        line = node.start_mark.line + 1 if node is not None else 1
        yield from _commands(file, line, words, weight_of(f"{file} {process}"), places, process, flask_app)


def _shell(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(split(words[2])[0]) if words[:2] == ("sh", "-c") and split(words[2]) else words


def _pairs(node: yaml.Node | None) -> dict[str, yaml.Node]:
    """A mapping's nodes by key, with what it merges."""
    found: dict[str, yaml.Node] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "<<":
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in merged:
                    found = {**_pairs(one), **found}
        found |= {
            key.value: value for key, value in node.value if isinstance(key.value, str) and key.value != "<<"
        }
    return found


def _plain(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _words(node: yaml.Node | None) -> tuple[str, ...]:
    if isinstance(node, yaml.SequenceNode):
        return tuple(_plain(one) for one in node.value)
    return ("sh", "-c", _plain(node)) if _plain(node) else ()


# A line as a shell reads it


def _commands(
    file: str,
    line: int,
    said: str | tuple[str, ...],
    weight: int,
    folders: Iterable[str],
    process: str = "",
    flask_app: str = "",
) -> Iterator[Command]:
    """The commands of a line, each by itself."""
    if not isinstance(said, str) and len(said) > 2 and posixpath.basename(said[0]) in ("sh", "bash", "ash"):
        option = next((n for n, one in enumerate(said[1:], 1) if re.fullmatch(r"-\w*c", one)), 0)
        said = said[option + 1] if option and len(said) > option + 1 else said
    parts = split(said) if isinstance(said, str) else [list(said)]
    places = tuple(dict.fromkeys(folders))
    for number, words in enumerate(parts):
        if words and words[0] == "cd" and len(words) == 2:
            places = (*(_joined(one, words[1]) for one in places), *places)
        elif len(words) > 2 and posixpath.basename(words[0]) in ("sh", "bash") and words[1].endswith("c"):
            yield from _commands(file, line, words[2], weight, places, process, flask_app)
        elif words:
            last = number == len(parts) - 1
            yield Command(file, line, tuple(words), weight, places, process, flask_app, last)


def split(line: str) -> list[list[str]]:
    """The commands of a shell's line, as lists of words."""
    lexer = shlex.shlex(line.replace("\n", " "), posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split, lexer.commenters = True, "#"
    parts: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word and set(word) <= set(";&|()"):
                # create_app() stays with its name.
                if word in ("()", "(", ")") and parts[-1] and re.search(r":\w+(\(\)?)?$", parts[-1][-1]):
                    parts[-1][-1] += word
                else:
                    parts.append([])
            elif word in (">", ">>", "2>&1", "2>"):
                continue
            else:
                parts[-1].append(word)
    except ValueError:
        return [line.split()]
    return [part for part in parts if part]
