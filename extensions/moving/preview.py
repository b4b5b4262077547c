"""What a move would bring, told before it is made: both levels are rendered aside and compared."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import copier
import yaml
from jinja2 import Environment
from plumbum import local

from ..project import environment
from ..template import answers, layers
from ..template.manifest import Manifest
from ..template.place import root

ANSWERS = ".copier-answers.yml"


def preview(recorded: dict[str, Any], level: int, wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What moving a project with these recorded answers to `level` would change, as plain data.

    `wanted` are the answers that it is to have then, where a person has edited them.
    """
    wanted = recorded if wanted is None else wanted
    with tempfile.TemporaryDirectory(prefix="copier-levels.") as folder:
        old, new = Path(folder, "old"), Path(folder, "new")
        render(recorded, old)
        render({**wanted, "level": level}, new)
        before, after = _files(old), _files(new)
        changed = {
            path: [
                line
                for line in list(
                    difflib.unified_diff(_lines(old / path), _lines(new / path), n=0, lineterm="")
                )[2:]  # below the names of the two files
                if not line.startswith("@@")
            ]
            for path in sorted(before & after)
            if path != ANSWERS and (old / path).read_bytes() != (new / path).read_bytes()
        }
    manifests = _manifests({**recorded, **wanted})
    low, high = sorted((recorded["level"], level))
    crossed = [manifest for manifest in manifests if low < manifest.level <= high]
    if level == low:
        crossed.reverse()  # they are left from the top
    return {
        "from": recorded["level"],
        "to": level,
        "make": answers.make(recorded),
        "added": sorted(after - before),
        "removed": sorted(before - after),
        "changed": changed,
        "levels": [_brought(manifest, wanted["keep"]) for manifest in crossed],
    }


def _brought(manifest: Manifest, keep: Collection[str]) -> dict[str, Any]:
    """What a preview tells of a level. A workflow that is the person's takes no checks over."""
    return {
        **{
            key: getattr(manifest, key) for key in ("level", "title", "summary", "effort", "cost", "benefits")
        },
        "requires": asdict(manifest.requires),
        "setup": [{"what": step.what, "where": step.where, "why": step.why} for step in manifest.setup],
        "targets": [{"name": target.name, "does": target.does} for target in manifest.targets],
        "keeps_running": manifest.keeps_running,
        "pushes": None if manifest.pushes in keep else manifest.pushes,
        "questions": _questions(manifest.level),
    }


def text(seen: dict[str, Any]) -> str:
    """A preview for people."""
    if seen["from"] == seen["to"] and not seen["added"] + seen["removed"] + list(seen["changed"]):
        return f"The project is at level {seen['to']}: nothing would change."
    up = seen["to"] > seen["from"]
    moving = f"Moving from level {seen['from']} to {seen['to']}"
    if seen["from"] == seen["to"]:
        moving = f"With the answers as they stand, not committed, at level {seen['to']}"
    lines = [f"{moving}. Nothing is changed by this preview."]
    for level in seen["levels"]:
        workflow = level["pushes"]
        lines += [
            "",
            f"{'' if up else 'Leaving '}Level {level['level']}, {level['title']}: {level['summary']}",
        ]
        if up:
            lines += [
                f"  effort    {level['effort']}",
                f"  cost      {level['cost']}",
                f"  plan      GitHub {level['requires']['plan'].title()}",
            ]
            lines += [f"  right     {right}" for right in level["requires"]["rights"]]
            lines += [f"  benefit   {benefit}" for benefit in level["benefits"]]
            lines += [
                f"  asks      {name} (default {default})" for name, default in level["questions"].items()
            ]
            lines += [
                f"  to do     {step['what']} ({step['where']}): {step['why']}" for step in level["setup"]
            ]
            lines += [f"  make      {target['name']}: {target['does']}" for target in level["targets"]]
            if workflow:
                lines += [
                    f"  pushes    {workflow} checks a push from here on, by the same checks; so the other"
                    " workflows lose their `push`, and check pull requests"
                ]
        else:
            lines += [f"  keeps running until you stop it: {what}" for what in level["keeps_running"]]
            if workflow:
                lines += [f"  pushes    are checked by the other workflows again, as {workflow} goes"]
    for title, paths in (
        ("Files that come", seen["added"]),
        ("Files that go (what you changed in them is named or kept)", seen["removed"]),
    ):
        lines += ["", f"{title}:", *(f"  {path}" for path in paths)] if paths else []
    if seen["changed"]:
        lines += ["", "Files that change:"]
        for path, difference in seen["changed"].items():
            lines += [f"  {path}", *(f"    {line}" for line in difference)]
    lines += ["", f"To move: {seen['make']} upgrade LEVEL={seen['to']}"]
    return "\n".join(lines)


def setup_lines(recorded: dict[str, Any], level: int) -> list[str]:
    """What a person has to do once after moving up from the recorded level to `level`."""
    steps = [
        step
        for manifest in _manifests(recorded)
        if recorded["level"] < manifest.level <= level
        for step in manifest.setup
    ]
    return (
        [
            "Next, once:",
            *(f"  {n}. {step.what} ({step.where}): {step.why}" for n, step in enumerate(steps, 1)),
        ]
        if steps
        else []
    )


def left_running(recorded: dict[str, Any], level: int) -> list[str]:
    """What keeps running after moving down from the recorded level to `level`,
    and must be stopped by hand."""
    left = [manifest for manifest in _manifests(recorded) if level < manifest.level <= recorded["level"]]
    return [
        f"Keeps running until you stop it: {what}"
        for manifest in reversed(left)
        for what in manifest.keeps_running
    ]


def render(recorded: dict[str, Any], folder: Path) -> None:
    """Render this version of the template for these answers into an empty folder."""
    data = {key: value for key, value in recorded.items() if not key.startswith("_")}
    with local.env():
        environment.for_copier(folder)
        copier.run_copy(
            str(root()), folder, data=data, vcs_ref="HEAD", defaults=True, unsafe=True, quiet=True
        )


def _manifests(recorded: dict[str, Any]) -> list[Manifest]:
    return layers.applying(root(), {**recorded, "services": answers.recorded_services(recorded)})


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _questions(level: int) -> dict[str, Any]:
    """The questions of a level with their defaults as they come out at that level."""
    questions = (
        yaml.safe_load(
            (layers.layer_folders(root())[level] / "_level" / "questions.yml").read_text(encoding="utf-8")
        )
        or {}
    )
    environment = Environment(variable_start_string="[[", variable_end_string="]]")
    return {
        name: environment.from_string(str(question["default"])).render(level=level)
        for name, question in questions.items()
        if not name.startswith("_") and level > 1
    }
