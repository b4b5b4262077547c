"""Start a service: `make run SERVICE=name PORT=8000` here, `--image` in a container.

Settings come from the environment; what it lacks, from config/local.env.
"""

import os
import sys
from pathlib import Path

import uv


def main() -> None:
    """Become the service's process. Ends with one line where the service isn't known or a setting can't be read."""
    name, port = os.environ.get("SERVICE", ""), os.environ.get("PORT") or "8000"
    found = [service for service in uv.SERVICES if name in {"", service["name"], service["path"]}]
    if len(found) != 1:
        names = ", ".join(service["name"] for service in uv.SERVICES)
        uv.fail(f"SERVICE={name or '?'}: expected one of {names}, as in SERVICE={uv.SERVICES[0]['name']}")
    if not (port.isdecimal() and 0 < int(port) < 65536):
        uv.fail(f"PORT={port}: expected a number from 1 to 65535")
    if not uv.IN_IMAGE:
        uv.ensure()
    folder, command = start(found[0], port)
    os.environ.update({**local_settings(), **os.environ, "SERVICE_NAME": found[0]["name"], "PORT": port})
    os.chdir(folder)
    os.execv(command[0], command)


def start(service: dict[str, str], port: str) -> tuple[Path, list[str]]:
    """Return the folder to start `service` in, and the command that serves it on `port`."""
    folder, app, python = uv.ROOT / service["path"], service["app"], [str(uv.VENV_PYTHON)]
    if not app:
        uv.fail(f"{service['name']}: how it starts isn't known; say it as `app` of the service in .copier-answers.yml")
    if service["kind"] == "worker" and app.endswith(".py"):
        if app == "__main__.py" and folder != uv.ROOT:  # it belongs to a package, which is started as one
            return folder.parent, [*python, "-m", folder.name]
        return folder, [*python, app]
    if service["kind"] == "worker":
        return uv.ROOT, [*python, "-m", app]
    # A new service is imported from the root, a package of theirs from the folder that holds it.
    ours, module = service["code"] == "ours", app.partition(":")[0].partition(".")[0]
    if ours:
        folder = uv.ROOT
    elif not (folder / module).is_dir() and not (folder / f"{module}.py").is_file():
        folder = folder.parent
    if not (uv.VENV / "bin" / "gunicorn").exists():
        return folder, [*python, "-m", "flask", "--app", app, "run", "--port", port]
    options = ["--bind", f"{'0.0.0.0' if uv.IN_IMAGE else '127.0.0.1'}:{port}"]
    options += ["--reload"] if sys.stdout.isatty() and not uv.IN_IMAGE else []
    options += ["--config", "python:services.serving"] if ours and not (folder / "gunicorn.conf.py").is_file() else []
    return folder, [*python, "-m", "gunicorn", *options, app]


def local_settings() -> dict[str, str]:
    """Return what config/local.env sets: lines of NAME=value, with comments and empty lines between them."""
    local, settings = uv.ROOT / "config" / "local.env", {}
    text = local.read_text(encoding="utf-8") if local.is_file() else ""
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        name, separator, value = line.partition("=")
        if line and not line.startswith("#"):
            if not separator:
                uv.fail(f"config/local.env:{number}: expected NAME=value")
            settings[name.strip()] = value.strip().strip("\"'")
    return settings


if __name__ == "__main__":
    main()
