"""How code that was here before is started: from where its modules are imported, with the server that it installs."""

from pathlib import Path

import uv


def start(service: dict[str, str], port: str, options: list[str]) -> tuple[Path, list[str]]:
    """Return the folder to start `service` in, and the command that serves it; `options` are gunicorn's."""
    folder, app, python = uv.ROOT / service["path"], service["app"], [str(uv.VENV_PYTHON)]
    if not app:
        say = "say it as `app` of the service in .copier-answers.yml"
        uv.fail(f"{service['name']}: how it starts isn't known; {say}")
    if service["kind"] == "worker" and not app.endswith(".py"):
        return uv.ROOT, [*python, "-m", app]
    if service["kind"] == "worker":
        if app == "__main__.py" and folder != uv.ROOT:  # it belongs to a package, which is started as one
            return folder.parent, [*python, "-m", folder.name]
        return folder, [*python, app]
    module = app.partition(":")[0].partition(".")[0]
    if not (folder / module).is_dir() and not (folder / f"{module}.py").is_file():
        folder = folder.parent  # a package is imported from the folder that holds it
    if not (uv.VENV / "bin" / "gunicorn").exists():
        return folder, [*python, "-m", "flask", "--app", app, "run", "--port", port]
    return folder, [*python, "-m", "gunicorn", *options, app]
