"""Start a service: `make run SERVICE=name PORT=8000` on this machine, `--image` in a container.

Settings come from the environment; what it lacks, from config/local.env.
"""

import os
import sys
from pathlib import Path

import uv

LOCAL = uv.ROOT / "config" / "local.env"


def main() -> None:
    """Become the service's process. Ends with one line where the service isn't known or a setting can't be read."""
    service = chosen(os.environ.get("SERVICE", ""))
    if not uv.IN_IMAGE:
        uv.ensure()
    folder, command = start(service, os.environ.get("PORT") or "8000")
    os.environ.update({**local_settings(), **os.environ, "SERVICE_NAME": service["name"]})
    os.chdir(folder)
    os.execv(command[0], command)


def chosen(name: str) -> dict[str, str]:
    """Return the service of that name or folder; the only one there is where none is given."""
    found = [service for service in uv.SERVICES if name in {"", service["name"], service["path"]}]
    if len(found) != 1:
        names = ", ".join(service["name"] for service in uv.SERVICES)
        uv.fail(f"SERVICE={name or '?'}: expected one of {names}, as in SERVICE={uv.SERVICES[0]['name']}")
    return found[0]


def start(service: dict[str, str], port: str) -> tuple[Path, list[str]]:
    """Return the folder to start `service` in, and the command that serves it on `port`."""
    if not (port.isdecimal() and 0 < int(port) < 65536):
        uv.fail(f"PORT={port}: expected a number from 1 to 65535")
    os.environ["PORT"] = port
    folder, app = uv.ROOT / service["path"], service["app"]
    if not app:
        uv.fail(f"{service['name']}: how it starts isn't known; say it as `app` of the service in .copier-answers.yml")
    python = [str(uv.VENV_PYTHON)]
    if service["kind"] == "worker" and app.endswith(".py"):
        if app == "__main__.py" and folder != uv.ROOT:  # it belongs to a package, which is started as one
            return folder.parent, [*python, "-m", folder.name]
        return folder, [*python, app]
    if service["kind"] == "worker":
        return uv.ROOT, [*python, "-m", app]
    # A new service is imported from the root, a package of theirs from the folder that holds it.
    module = app.partition(":")[0].partition(".")[0]
    if service["code"] == "ours":
        folder = uv.ROOT
    elif not (folder / module).is_dir() and not (folder / f"{module}.py").is_file():
        folder = folder.parent
    if not (uv.VENV / "bin" / "gunicorn").exists():
        return folder, [*python, "-m", "flask", "--app", app, "run", "--port", port]
    options = ["--bind", f"{'0.0.0.0' if uv.IN_IMAGE else '127.0.0.1'}:{port}"]
    options += ["--reload"] if sys.stdout.isatty() and not uv.IN_IMAGE else []
    if service["code"] == "ours" and not (uv.ROOT / "gunicorn.conf.py").is_file():
        options += ["--config", "python:services.serving"]
    return folder, [*python, "-m", "gunicorn", *options, app]


def local_settings() -> dict[str, str]:
    """Return what config/local.env sets: lines of NAME=value, with comments and empty lines between them."""
    settings = {}
    text = LOCAL.read_text(encoding="utf-8") if LOCAL.is_file() else ""
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if line and not line.startswith("#"):
            name, separator, value = line.partition("=")
            if not separator:
                uv.fail(f"config/local.env:{number}: expected NAME=value")
            settings[name.strip()] = value.strip().strip("\"'")
    return settings


if __name__ == "__main__":
    main()
