"""Read what a Poetry project depends on, as arguments of `uv pip install`: the lock pins, the notation is translated."""

import re
import tomllib
from pathlib import Path
from typing import Any

import uv


def toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says; nothing where there is none. Ends the script where it isn't TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        uv.fail(f"{path}: {error}")


def arguments(folder: Path, pyproject: dict[str, Any], groups: set[str], extras: list[str]) -> list[str]:
    """Return the arguments for the project in `folder`: with the extras, and with those of the groups that it has."""
    poetry = pyproject["tool"]["poetry"]
    found = [f"--index={source['url']}" for source in poetry.get("source", []) if "url" in source]
    if pins := locked(folder):
        file = uv.cache() / f"pins-{len(folder.parts)}-{folder.name}.txt"
        file.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        found.append(f"--constraints={file}")
    tables = [group.get("dependencies", {}) for name, group in poetry.get("group", {}).items() if name in groups]
    if "dev" in groups:
        tables.append(poetry.get("dev-dependencies", {}))  # as Poetry 1.1 had it
    if installable(folder, pyproject):
        found += ["--editable", f"{folder}[{','.join(extras)}]" if extras else str(folder)]
    elif "project" in pyproject:
        found += ["--requirements", str(folder / "pyproject.toml"), *(f"--extra={extra}" for extra in extras)]
    else:
        tables.append(poetry.get("dependencies", {}))
    for table in tables:
        found += [text for name, spec in table.items() for text in translated(folder, name, spec)]
    return found


def locked(folder: Path) -> list[str]:
    """Return the versions that poetry.lock pins; none for a package that it has in several, or from elsewhere."""
    packages = toml(folder / "poetry.lock").get("package", [])
    names = [package["name"] for package in packages]
    plain = (package for package in packages if names.count(package["name"]) == 1 and "source" not in package)
    return [f"{package['name']}=={package['version']}" for package in plain]


def installable(folder: Path, pyproject: dict[str, Any]) -> bool:
    """Tell whether the project is a package too: its code stands where Poetry looks for it."""
    poetry = pyproject["tool"]["poetry"]
    name = str(pyproject.get("project", {}).get("name") or poetry.get("name", "")).replace("-", "_")
    places = [folder / part / ending for part in ("", "src") for ending in (name, f"{name}.py")]
    is_package = "packages" in poetry or (name and any(map(Path.exists, places)))
    return bool(poetry.get("package-mode", True) and "build-system" in pyproject and is_package)


def translated(folder: Path, name: str, spec: Any) -> list[str]:
    """Return a dependency in the notation that all other tools read; none for Python itself and optional ones."""
    if isinstance(spec, list):
        return [text for one in spec for text in translated(folder, name, one)]
    spec = {"version": spec} if isinstance(spec, str) else spec
    if name == "python" or spec.get("optional"):
        return []
    where = f" @ {spec['url']}" if "url" in spec else ""
    if "git" in spec:
        revision = next((spec[key] for key in ("rev", "tag", "branch") if key in spec), "")
        where = f" @ git+{spec['git']}{'@' if revision else ''}{revision}"
    if "path" in spec:
        where = f" @ {(folder / spec['path']).resolve().as_uri()}"
    extras = f"[{','.join(spec['extras'])}]" if spec.get("extras") else ""
    marker = f" ; {spec['markers']}" if "markers" in spec else ""
    return [f"{name}{extras}{where or versions(spec.get('version', '*'))}{marker}"]


def versions(text: str) -> str:
    """Return a range of versions without Poetry's ^ and ~; of alternatives (`||`), none."""
    ranges = []
    text = re.sub(r"([\^~<>=!])\s+", r"\1", text.strip())
    for part in [] if "|" in text else re.split(r"[,\s]+", text):
        sign, version = re.fullmatch(r"(\^|~(?!=)|[<>=!~]*)v?(.*)", part).groups()  # type: ignore[union-attr]
        if version == "*":
            continue
        numbers = [int(number) for number in re.findall(r"\d+", re.split(r"[a-z]", version)[0])]
        if sign not in {"^", "~"}:
            ranges.append(f"{sign or '=='}{version}")
            continue
        # ^ lets all change behind the first number that isn't 0, ~ all behind the second one.
        first = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
        last = first if sign == "^" else min(1, len(numbers) - 1)
        ranges += [f">={version}", "<" + ".".join(map(str, [*numbers[:last], numbers[last] + 1]))]
    return ",".join(ranges)
