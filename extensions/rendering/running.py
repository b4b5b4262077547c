"""What of a project runs: which of its applications the commands of the repository start, and the workers,
bots and scripts that run beside them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..project.git_and_files import shown
from ..source import commands
from ..source.files import aside
from ..source.launches import Launch, launch
from ..source.makers import APPS, FACTORIES, Start
from ..template.answers import COMMAND
from .proposals import kebab

if TYPE_CHECKING:
    from .adoption import Found, Project, Source

_FRAMEWORK = {"asgi": "ASGI", "wsgi": "WSGI", "flask": "Flask"}
SERVED = 30  # what a file serves when it is run by hand says less than a command
_STAYS = re.compile(
    rb"run_polling|start_polling|infinity_polling|\.polling\(|run_until_disconnected|SocketModeHandler"
    rb"|\b(?:bot|client|application|app|dp|updater|bot_app)\.(?:run|start)\w*\("
)
_BOT = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+(telegram|telebot|aiogram|discord|nextcord|disnake|slack_bolt|vk_api"
    rb"|vkbottle|pyrogram|telethon|twitchio|hikari|interactions|slixmpp|maxapi)\b",
    re.MULTILINE,
)
_QUEUE = re.compile(rb"^[ \t]*from rq\b.*\bWorker\b", re.MULTILINE)
_WORKS = re.compile(rb"\.work\(|start_consuming\(|run_pending\(|BlockingScheduler\(")
_PROOFS = re.compile(r"e2e|test|bench|check_|playwright", re.IGNORECASE)
_PLACE = re.compile(r"[-_](prod|production|staging|dev|development|\d+)(?=$|[-_])")
_UNTELLING = {"main", "app", "run", "start", "__main__", "manage", "index", "server"}
_OLD = {"legacy", "deprecated", "old", "archive", "scripts", "tools", "migrations", "notebooks", "examples"}
_ONE_OFF = re.compile(r"migrat|(^|[-_])init([-_]|$)|seed|test|setup|lint|release|backup|cron", re.IGNORECASE)


def weigh(project: Project) -> list[Launch]:
    """Find what the repository's commands start. What is said of applications goes into `project.evidence`;
    the result is all that is started and is none.
    """
    others: list[Launch] = []
    for command in [*commands.find(project.root, project.files), *_settings(project)]:
        found = launch(command)
        if found is None:
            continue
        folders = [_joined(folder, found.folder) for folder in command.folders] + list(command.folders)
        keys = list(_applications(project, found, folders))
        for key in keys:
            said = f"started by {command.place}"
            if project.evidence.get(key, (0, ""))[0] < command.weight:
                project.evidence[key] = (command.weight, said)
        if not keys and found.kind in ("worker", "script", "module"):
            others.append(found)
    for source in list(project.sources.values()):
        if source.guard:
            for key in _served(project, source):
                line = next(line for _, line in source.served)
                project.evidence.setdefault(key, (SERVED, f"served by {source.file}:{line}"))
    return others


def _settings(project: Project) -> Iterator[commands.Command]:
    """What gunicorn's own settings start."""
    for file, text in project.texts.items():
        name = posixpath.basename(file)
        match = (
            re.search(rb"^wsgi_app\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE) if "gunicorn" in name else None
        )
        if match:
            line = text.count(b"\n", 0, match.start()) + 1
            words = ("gunicorn", match[1].decode(errors="replace"))
            yield commands.Command(file, line, words, commands.RUNS, (posixpath.dirname(file), ""))


def _joined(folder: str, inner: str) -> str:
    path = posixpath.normpath(posixpath.join(folder or ".", inner.lstrip("/") or "."))
    return "" if path == "." or path.startswith("..") else path


def _applications(project: Project, found: Launch, folders: list[str]) -> Iterator[tuple[str, str]]:
    """The applications that a launch starts, as file and what follows the colon."""
    if found.kind in ("wsgi", "asgi", "flask"):
        file = project.find(found.module, folders) if found.module else _default(project, folders)
        source = project.source(file)
        if source and not aside(source.file):
            yield from _named(project, source, found)
    elif found.kind == "django":
        folder = posixpath.dirname(_file(project, found.target, folders))
        text = project.texts.get(_file(project, found.target, folders), b"")
        under = [
            one
            for one in project.sources.values()
            if f"{one.file}/".startswith(f"{folder}/" if folder else "")
        ]
        if b"django" in text:
            keys = [
                (one.file, start.call) for one in under for start in one.starts if start.framework == "Django"
            ]
            yield from keys[:1]
        elif source := project.source(_file(project, found.target, folders)):
            yield from _named(project, source, found)
    elif found.kind in ("script", "module", "function"):
        file = (
            _file(project, found.target, folders)
            if found.kind == "script"
            else project.find(f"{found.module}.__main__", folders) or project.find(found.module, folders)
        )
        source = project.source(file)
        if source and not aside(file):
            yield from _served(project, source)


def _default(project: Project, folders: list[str]) -> str:
    """What `flask run` starts where nothing says what."""
    tried = (posixpath.join(folder, name) for folder in folders for name in ("wsgi.py", "app.py"))
    return next((file for file in tried if file in project.texts), "")


def _file(project: Project, script: str, folders: list[str]) -> str:
    """The script that a command names, from one of its folders or from the image's."""
    name = script.lstrip("/").removeprefix("./")
    for folder in folders:
        file = posixpath.normpath(posixpath.join(folder, name))
        if file in project.texts:
            return file
    return project.find(posixpath.splitext(name)[0].replace("/", "."), folders)


def _named(project: Project, source: Source, found: Launch) -> Iterator[tuple[str, str]]:
    """The application of a module that a command names, or else the usual one."""
    calls = [one.call for one in source.starts]
    if found.call:
        call = found.call if found.call in calls or f"{found.call}()" not in calls else f"{found.call}()"
    else:
        usual = ("app", "application", *(f"{name}()" for name in FACTORIES))
        usual = ("application", *usual) if found.kind == "wsgi" else usual
        link = next((one for one in ("application", "app") if one in source.links), "")
        call = next((one for one in usual if one in calls), next(iter(filter(None, calls)), link))
    if call in calls:
        yield source.file, call
        return
    name = call.removesuffix("()")
    text = project.texts.get(source.file, b"")
    match = (
        re.search(rb"^(?:[^\n#]*\b)?" + re.escape(name.encode()) + rb"\b", text, re.MULTILINE)
        if name
        else None
    )
    if not match:
        return
    framework, borrowed = _FRAMEWORK.get(found.kind, "Flask"), None
    file, attribute = project.linked(source, name)
    if made := project.source(file) if file else None:
        origin = next((one for one in made.starts if one.call in (attribute, f"{attribute}()", name)), None)
        framework = origin.framework if origin else framework
        borrowed = made.module.split(".")[0] if origin and made.path != source.path else None
    elif found.kind == "asgi":
        framework = "FastAPI"
    if framework == "ASGI":
        framework = "Starlette"
    line = text.count(b"\n", 0, match.start()) + 1
    start = Start(
        line, call, use=1, borrowed=borrowed, framework="Flask" if framework == "WSGI" else framework
    )
    project.sources[source.file] = replace(source, starts=(*source.starts, start))
    yield source.file, call


def _served(project: Project, source: Source) -> Iterator[tuple[str, str]]:
    """The applications that a file serves when it is run: its own, else those that it imports."""
    calls = {one.call for one in source.starts}
    for name, _ in source.served:
        if ":" in name:
            module, _, call = name.partition(":")
            other = project.source(project.find(module, [posixpath.dirname(source.file), ""]))
            found = [one.call for one in other.starts if one.call in (call, f"{call}()")] if other else []
            if other and found:
                yield other.file, found[0]
        elif name in calls:
            yield source.file, name
        elif name in source.links:
            file, attribute = project.linked(source, name)
            other = project.source(file) if file else None
            if other and attribute in {one.call for one in other.starts}:
                yield other.file, attribute
    # `app = create_app()` under the guard: the factory that it calls.
    if source.served and not calls & set(APPS):
        for one in source.links:
            if one in FACTORIES:
                file, attribute = project.linked(source, one)
                other = project.source(file) if file else None
                if other and f"{attribute}()" in {start.call for start in other.starts}:
                    yield other.file, f"{attribute}()"


def beside(project: Project, launches: list[Launch], web: list[Found]) -> list[Found]:
    """The workers that run beside the services of `web`: those of task queues, then scripts, then bots and
    queues that no command starts.
    """
    from .adoption import Found

    found: list[Found] = []
    keys: set[tuple[str, ...]] = set()
    files: set[str] = set()  # that are started already
    for service in web:
        if service.kind == "worker" and service.app:
            files.add(posixpath.normpath(posixpath.join(service.path, service.app)))
    for one in sorted(launches, key=lambda one: (-one.command.weight, one.kind != "worker")):
        command = one.command
        least = commands.TYPED if one.kind == "worker" else commands.DEVELOPS
        if command.weight < least or _ONE_OFF.search(command.process):
            continue
        folders = [_joined(folder, one.folder) for folder in command.folders] + list(command.folders)
        file = _file(project, one.target, folders) if one.target else project.find(one.module, folders)
        if not file and one.kind == "worker":  # tasks.celery: an attribute of a module
            file = project.find(one.module.rpartition(".")[0], folders)
        if one.kind == "module":
            file = project.find(f"{one.module}.__main__", folders) or file
        if one.kind != "worker" and _PROOFS.search(f"{command.file} {file}"):
            continue
        if (file and aside(file)) or (not file and one.kind != "worker") or (one.module and not file):
            continue
        words = one.words
        arguments = [] if one.kind == "worker" else _arguments(command.words, one)
        queues = re.findall(r"(?:-Q|--queues)[ =](\S+)", words)
        key = (one.role or one.kind, file, *queues, *arguments) if file else (words, *queues)
        if key in keys or (file in files and one.kind != "worker"):
            continue
        keys.add(key)
        files |= {file} if one.kind != "worker" else set()
        path, app = _place(project, one, file, arguments, web, folders[0])
        name = _name(one, file, path, project)
        evidence = f"{shown(command.place)} starts {shown(words or ' '.join(command.words))[:100]}"
        found.append(Found(name, path, "worker", app, evidence))
    found += _unstarted(project, found, web, files)
    return found


def _arguments(words: tuple[str, ...], one: Launch) -> list[str]:
    """What a script is given, where no shell is needed to say it."""
    wanted = one.target or one.module
    after = list(words)[words.index(wanted) + 1 :] if wanted in words else []
    return after if all(re.fullmatch(r"[\w./:=,@%+-]+", word, re.ASCII) for word in after) else []


def _place(
    project: Project, one: Launch, file: str, arguments: list[str], web: list[Found], folder: str
) -> tuple[str, str]:
    """The folder of a worker, and how it starts from there."""
    homes = [service.path for service in web if service.kind == "web"]
    if not file:  # a queue's own program, which imports what it is told by its jobs
        inside = [path for path in homes if not folder or f"{path}/".startswith(f"{folder}/")]
        return (inside or [folder or "."])[0], one.words
    path = project.home(file)[0]
    if one.kind == "script":
        app = posixpath.relpath(file, path)
        return path, " ".join(["python", app, *arguments]) if arguments else app
    if one.kind == "module":
        # The package is started, or a module of it.
        if posixpath.basename(file) == "__main__.py" and not arguments and posixpath.dirname(file) == path:
            return path, "__main__.py"
        return path, " ".join(["python", "-m", one.module, *arguments]) if arguments else one.module
    return shared(file, path, homes), one.words


def shared(file: str, path: str, homes: list[str]) -> str:
    """The folder of a task queue's worker: that of the web service whose code it runs."""
    holding = [one for one in homes if one == path or one == "." or file.startswith(f"{one}/")]
    below = [one for one in homes if path == "." or one.startswith(f"{path}/")]
    return holding[0] if holding else below[0] if len(below) == 1 else path


def _name(one: Launch, file: str, path: str, project: Project) -> str:
    """What a worker is called: as its command's process, or by what it does, its script, its folder."""
    suffix = re.search(r"(?:^|/)Dockerfile[.-](\w+)$|(?:^|/)(\w+)\.Dockerfile$", one.command.file)
    process = _PLACE.sub("", one.command.process) or ((suffix[1] or suffix[2]) if suffix else "")
    stem = posixpath.basename(file)[:-3] if file else ""
    said = [process, one.role, stem, posixpath.basename(posixpath.dirname(file)), posixpath.basename(path)]
    for name in said:
        if name and name.lower() not in _UNTELLING and name != "." and kebab(name):
            return kebab(name)
    return kebab(stem) or "worker"


def _unstarted(project: Project, found: list[Found], web: list[Found], files: set[str]) -> Iterator[Found]:
    """Task queues and bots that no command starts."""
    from .adoption import EXAMPLES, Found

    homes = [service.path for service in web if service.kind == "web"]
    queues = " ".join(one.app for one in found)
    started = any(one.evidence for one in found)
    tasks = any(re.search(rb"shared_task|\.task\b", text) for text in project.texts.values())
    bots = [file for file, text in project.texts.items() if _BOT.search(text) and _STAYS.search(text)]
    sources = [project.source(file) for file in sorted({*project.sources, *bots})]
    for source in filter(None, sources):
        folders = set(source.file.split("/")[:-1])
        top = source.file.partition("/")[0]
        if any(one.path.partition("/")[0] == top for one in found):
            continue  # part of what is started there
        if folders & EXAMPLES or source.file in files:
            continue
        for queue in source.queues[:1] if tasks and "celery " not in queues else ():
            path = shared(source.file, source.path, homes)
            at = f"{shown(source.file)}:{queue.line} makes the Celery app {queue.name}"
            yield Found("worker", path, "worker", f"celery -A {source.module} worker", at)
            if queue.scheduled:
                yield Found(
                    "beat", path, "worker", f"celery -A {source.module} beat", f"{at}, with its times"
                )
        text = project.texts.get(source.file, b"")
        bot, worker = _BOT.search(text), _QUEUE.search(text)
        # Where it is known what is started, a script that only looks like a worker is none.
        works = (worker or source.guard) and not started and _WORKS.search(text)
        stays = (bot and _STAYS.search(text)) or works
        if stays and not source.starts and homes and not folders & _OLD and (source.guard or bot):
            path = source.path
            app = posixpath.relpath(source.file, path)
            stem = posixpath.basename(source.file)[:-3]
            name = kebab(stem if stem not in _UNTELLING else posixpath.basename(path)) or "bot"
            what = f"imports {bot[1].decode()} and waits for messages" if bot else "waits for jobs"
            line = source.guard or text.count(b"\n", 0, (bot or stays).start()) + 1
            if COMMAND.fullmatch(f"python {app}"):
                yield Found(name, path, "worker", app, f"{shown(source.file)}:{line} {what}")
