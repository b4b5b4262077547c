"""What a command starts: an application for a server, a script, a module, or a worker of a task queue."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .commands import Command

_TARGET = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.\w+)*)(\(.*\)?)?")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# What may stand before the program itself.
_BEFORE = {
    "exec",
    "nohup",
    "sudo",
    "time",
    "command",
    "env",
    "ddtrace-run",
    "opentelemetry-instrument",
    "start",
}
_BEFORE |= {"tini", "dumb-init", "catchsegv", "xvfb-run", "setsid", "nice", "gosu", "stdbuf", "caffeinate"}
_RUNNERS = {"poetry", "pipenv", "pdm", "uv", "rye", "hatch", "dotenv", "heroku", "honcho", "newrelic-admin"}
_WITH_VALUE = {
    "--with",
    "--package",
    "--extra",
    "--env-file",
    "--directory",
    "--project",
    "--python",
    "-p",
    "--group",
}
_WITH_VALUE |= {"-f", "-e", "-C", "--with-requirements"}
_NO_VALUE = {
    "--reload",
    "--preload",
    "--daemon",
    "-D",
    "--capture-output",
    "--enable-stdio-inheritance",
    "--no-sendfile",
}
_PROGRAMS = {
    "gunicorn",
    "uvicorn",
    "flask",
    "celery",
    "hypercorn",
    "daphne",
    "waitress",
    "rq",
    "dramatiq",
    "arq",
}
_PROGRAMS |= {"fastapi", "huey.bin.huey_consumer", "taskiq", "faust", "uwsgi", "quart", "sanic"}
_WORKERS = {
    "dramatiq",
    "huey_consumer",
    "huey_consumer.py",
    "arq",
    "faust",
    "rqscheduler",
    "rqworker",
    "procrastinate",
}
# Commands of manage.py and flask that don't stay.
_ONCE = re.compile(
    r"migrate|makemigrations|collectstatic|createsuperuser|test|shell|db|loaddata|check|compilemessages|init.*|"
    r"create.*|seed.*|clear.*|update.*|import.*|export.*|load.*|setup.*|ensure.*|wait.*|compress|routes|upgrade|"
    r"downgrade|babel|translate|deploy|reset.*|drop.*|add.*|.*migrations?|version|lint|digest"
)

Kind = Literal["wsgi", "asgi", "flask", "django", "script", "module", "function", "worker"]


@dataclass(frozen=True)
class Launch:
    """What `command` starts.

    `module` and `call` are the application's, or those of the module in which a task queue is made; `target`
    is a script's file. `words` are those of a worker, as it can be started again.
    """

    command: Command
    kind: Kind
    module: str = ""
    call: str = ""
    target: str = ""
    words: str = ""
    role: str = ""  # worker, beat, bot …
    folder: str = ""  # in which the command says that it runs, from the place where it begins


def launch(command: Command) -> Launch | None:
    """What a command starts that stays; None for all else."""
    for word in command.words:
        if word.startswith("FLASK_APP="):
            command = replace(command, flask_app=word.partition("=")[2])
    words, folder = _bare(command.words)
    if not words:
        return None
    program = posixpath.basename(words[0])
    found: Launch | None = None
    if program == "script":  # of a package
        module, _, function = words[1].partition(":")
        return Launch(command, "function", module, function.split(".")[0])
    if re.fullmatch(r"python[\d.]*|pypy3?|py", program):
        found = _python(command, words[1:])
    elif program == "gunicorn":
        found = _gunicorn(command, words[1:])
    elif program in ("uvicorn", "hypercorn", "daphne"):
        found = _asgi(command, words[1:])
    elif program == "fastapi" and len(words) > 1 and words[1] in ("run", "dev"):
        file = next((one for one in words[2:] if one.endswith(".py")), "main.py")
        found = Launch(command, "asgi", file.removesuffix(".py").replace("/", "."))
    elif program in ("flask", "quart"):
        found = _flask(command, words[1:])
    elif program == "uwsgi":
        found = _uwsgi(command, words[1:])
    elif program in ("waitress-serve", "waitress"):
        match = next(
            filter(None, (_TARGET.fullmatch(one.removeprefix("--call=")) for one in words[1:])), None
        )
        called = any(one.startswith("--call") for one in words)
        found = _application(command, "wsgi", match, called) if match else None
    elif program == "celery":
        found = _celery(command, words)
    elif program == "rq" and words[1:2] == ["worker"]:
        found = Launch(command, "worker", words=_safe(words), role="worker")
    elif program == "taskiq" and words[1:2] in (["worker"], ["scheduler"]):
        found = Launch(command, "worker", _colon(words[2:]), words=_safe(words), role=words[1])
    elif program in _WORKERS:
        role = "scheduler" if program == "rqscheduler" else "worker"
        found = Launch(command, "worker", _colon(words[1:]), words=_safe([program, *words[1:]]), role=role)
    elif re.fullmatch(r"[\w./-]+\.py", words[0]) and command.last:
        found = _python(command, words)
    return replace(found, folder=found.folder or folder) if found else None


def _bare(words: Sequence[str]) -> tuple[list[str], str]:
    """The words of the program itself, and the folder that what stands before it names."""
    rest, folder = list(words), ""
    if "--" in rest and not re.search(r"gunicorn|python|celery|flask$", rest[0]):
        rest = rest[rest.index("--") + 1 :] or rest
    while rest:
        first = posixpath.basename(rest[0])
        if re.match(r"[A-Za-z_]\w*=", rest[0]):
            rest = rest[1:]
        elif first in _RUNNERS:
            after = rest[1:]
            if after[:1] in (["run"], ["exec"], ["run-program"], ["start"]):
                after = after[1:]
            elif first != "dotenv":
                return [], ""
            while after and after[0].startswith("-"):
                if after[0] in ("--directory", "--project", "-C") and len(after) > 1:
                    folder = after[1]
                after = after[2:] if after[0] in _WITH_VALUE else after[1:]
            rest = after
        elif first in _BEFORE:
            rest = rest[1:]
            while rest and rest[0].startswith("-"):
                rest = rest[1:]
        else:
            break
    if "PYTHONPATH" in folder:
        folder = ""
    return rest, folder


def _python(command: Command, words: list[str]) -> Launch | None:
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
        words = words[2:] if words[0] in ("-X", "-W") else words[1:]
    if not words or words[0] == "-c":
        return None
    if words[0] == "-m" and len(words) > 1:
        if words[1] in _PROGRAMS:
            program = words[1].rpartition(".")[2]
            return launch(replace(command, words=(program, *words[2:])))
        return Launch(command, "module", words[1]) if command.last and _MODULE.fullmatch(words[1]) else None
    script = words[0]
    if posixpath.basename(script) == "manage.py" and len(words) > 1:
        if words[1] in ("runserver", "runserver_plus", "run", "run_server", "serve"):
            return Launch(command, "django", target=script)
        if _ONCE.fullmatch(words[1].replace("-", "_")) or not command.last or words[1].startswith("-"):
            return None
        return Launch(command, "worker", target=script, words=_safe(["python", *words]), role=words[1])
    if not script.endswith(".py") or not command.last:
        return None
    return Launch(command, "script", target=script)


def _application(command: Command, kind: Kind, match: re.Match[str], called: bool = False) -> Launch:
    call = match[2] + ("()" if match[3] or called else "")
    return Launch(command, kind, match[1], call)


def _gunicorn(command: Command, words: list[str]) -> Launch | None:
    asynchronous = any("uvicorn" in one.lower() or one.endswith("asgi.ASGIWorker") for one in words)
    kind: Kind = "asgi" if asynchronous else "wsgi"
    folder = _option(words, "--chdir") or _option(words, "--pythonpath")
    for number, word in reversed(list(enumerate(words))):
        before = words[number - 1] if number else ""
        if (match := _TARGET.fullmatch(word)) and before not in (
            "-c",
            "--config",
            "-k",
            "-b",
            "--bind",
            "--worker-class",
        ):
            return replace(_application(command, kind, match), folder=folder)
    for number, word in enumerate(words):
        before = words[number - 1] if number else ""
        if _MODULE.fullmatch(word) and (not before.startswith("-") or before in _NO_VALUE or "=" in before):
            return Launch(command, kind, word, "", folder=folder)
    return None


def _asgi(command: Command, words: list[str]) -> Launch | None:
    match = next(filter(None, map(_TARGET.fullmatch, words)), None)
    if match is None:
        return None
    kind: Kind = "wsgi" if _option(words, "--interface") == "wsgi" else "asgi"
    found = _application(command, kind, match, "--factory" in words)
    return replace(found, folder=_option(words, "--app-dir"))


def _flask(command: Command, words: list[str]) -> Launch | None:
    app = _option(words, "--app") or _option(words, "-A") or command.flask_app
    inner = [
        one
        for number, one in enumerate(words)
        if not one.startswith("-")
        and words[number - 1 : number] not in (["--app"], ["-A"], ["--env-file"], ["-e"])
    ]
    if not inner or (inner[0] != "run" and _ONCE.fullmatch(inner[0].replace("-", "_"))):
        return None
    if inner[0] != "run":
        if not command.process or not command.last:
            return None
        return Launch(command, "worker", words=_safe(["flask", *words]), role=inner[0])
    # Without one, Flask looks for wsgi.py, then app.py: see running.py.
    module, _, call = app.partition(":")
    factory = re.sub(r"\(.*", "()", call)
    return Launch(command, "flask", module.removesuffix(".py").strip("./").replace("/", "."), factory)


def _uwsgi(command: Command, words: list[str]) -> Launch | None:
    module, file = _option(words, "--module") or _option(words, "-w"), _option(words, "--wsgi-file")
    call = _option(words, "--callable")
    folder = _option(words, "--chdir")
    if match := _TARGET.fullmatch(module):
        return replace(_application(command, "wsgi", match), folder=folder)
    if module or file:
        name = module or file.removesuffix(".py").strip("./").replace("/", ".")
        return Launch(command, "wsgi", name, call, folder=folder)
    return None


def _celery(command: Command, words: list[str]) -> Launch | None:
    app = _option(words, "-A") or _option(words, "--app")
    role = next((one for one in words[1:] if one in ("worker", "beat", "multi", "flower", "events")), "")
    if role in ("", "flower", "events"):
        return None
    if role == "multi":
        words, role = ["celery", "-A", app, "worker"], "worker"
    return Launch(command, "worker", app.partition(":")[0], words=_safe(words), role=role)


def _colon(words: Sequence[str]) -> str:
    """The module that is named first, without what follows its colon."""
    found = (one.partition(":")[0] for one in words if not one.startswith("-"))
    return next((one for one in found if _MODULE.fullmatch(one)), "")


def _option(words: Sequence[str], name: str) -> str:
    for number, word in enumerate(words):
        if word == name and number + 1 < len(words):
            return words[number + 1]
        if word.startswith(f"{name}=") and name.startswith("--"):
            return word.partition("=")[2]
    return ""


def _safe(words: Sequence[str]) -> str:
    """A command of which no shell is needed: options whose values are variables are left out."""
    kept: list[str] = []
    for word in words:
        if word in ("&", ">") or re.search(r"[>&|;`<]", word):
            break
        if not re.fullmatch(r"[\w./:=,@%+-]+", word, re.ASCII):
            if kept and kept[-1].startswith("-") and "=" not in kept[-1] and len(kept) > 1:
                kept.pop()  # the option that it belongs to
            continue
        kept.append(word)
    return " ".join([posixpath.basename(kept[0]), *kept[1:]]) if kept else ""
