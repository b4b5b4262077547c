"""How code that was here before is started: from where its modules are imported, with the server that it installs.

python3 ci/starts.py NAME      a worker whose start is a command: serve its health, and become the command
"""

import importlib.util
import os
import runpy
import sys
from pathlib import Path

import uv


def start(service: dict[str, str], port: str, options: list[str]) -> tuple[Path, list[str]]:
    """Return the folder to start `service` in, and the command that serves it; `options` are gunicorn's."""
    folder, app, python = uv.ROOT / service["path"], service["app"], [str(uv.VENV_PYTHON)]
    if not app:
        say = "say it as `app` of the service in .copier-answers.yml"
        uv.fail(f"{service['name']}: how it starts isn't known; {say}")
    if service["kind"] == "worker" and " " in app:
        return home(folder, app), [*python, str(Path(__file__)), service["name"]]
    if service["kind"] == "worker" and not app.endswith(".py"):
        return home(folder, app), [*python, "-m", app]
    if service["kind"] == "worker":
        if app == "__main__.py" and folder != uv.ROOT:  # it belongs to a package, which is started as one
            return folder.parent, [*python, "-m", folder.name]
        return folder, [*python, app]
    server, _, name = app.rpartition(" ")
    folder = home(folder, name.partition(":")[0])
    if server == "uvicorn":
        host = ["--host", "0.0.0.0" if uv.IN_IMAGE else "127.0.0.1", "--port", port]
        factory = ["--factory"] if name.endswith("()") else []
        return folder, [*python, "-m", "uvicorn", *host, *factory, name.removesuffix("()")]
    if not (uv.VENV / "bin" / "gunicorn").exists():
        return folder, [*python, "-m", "flask", "--app", app, "run", "--port", port]
    return folder, [*python, "-m", "gunicorn", *options, app]


def home(folder: Path, said: str) -> Path:
    """Return the folder, of `folder` and those above it, that holds a module or a script which `said` names."""
    above = [folder, *(one for one in folder.parents if one.is_relative_to(uv.ROOT))]
    for word in said.split()[" " in said :]:
        top = word.partition(":")[0].partition("/")[0].removesuffix(".py").partition(".")[0]
        for place in above if top.isidentifier() else []:
            if (place / top).is_dir() or (place / f"{top}.py").is_file():
                return place
    # A package is imported from the folder that holds it.
    return next(one for one in above if one == uv.ROOT or not (one / "__init__.py").is_file())


def run(name: str) -> None:
    """Serve the health of the worker `name` from a thread, and run its command in this process."""
    service = next(one for one in uv.SERVICES if one["name"] == name)
    program, *words = service["app"].split()
    path = uv.ROOT / service["path"] / "health.py"
    spec = importlib.util.spec_from_file_location("levels_health", path)
    health = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(health)  # type: ignore[union-attr]
    health.serve_health(name)
    del sys.modules["uv"]  # the project may have a module of that name
    sys.path[0] = os.getcwd()
    if program == "python" and words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    script = words.pop(0) if program == "python" else str(uv.VENV / "bin" / program)
    sys.argv = [script, *words]
    if program == "python":
        sys.path[0] = str(Path(script).resolve().parent)
    elif not Path(script).is_file():
        sys.exit(
            f"{name}: {program} isn't installed: it is what `app` of the service in .copier-answers.yml begins with"
        )
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    run(sys.argv[1])
