"""Start a service: the target `run`, with SERVICE=name and PORT=8000; `--image` in a container.

Settings come from the environment; what it lacks, from config/local.env.
"""

import os
import sys
from pathlib import Path

import uv


def main() -> None:
    """Become the service's process. Ends with one line where it isn't known or a setting can't be read."""
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
    python, options = str(uv.VENV_PYTHON), ["--bind", f"{'0.0.0.0' if uv.IN_IMAGE else '127.0.0.1'}:{port}"]
    options += ["--reload"] if sys.stdout.isatty() and not uv.IN_IMAGE else []
    if service["code"] == "theirs":
        import starts  # beside this file where code was here before: it may be started in other ways

        return starts.start(service, port, options)
    if service["kind"] == "worker":
        return uv.ROOT, [python, "-m", service["app"]]
    options += [] if (uv.ROOT / "gunicorn.conf.py").is_file() else ["--config", "python:services.serving"]
    return uv.ROOT, [python, "-m", "gunicorn", *options, service["app"]]


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
