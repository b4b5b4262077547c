"""A bad answer gets one line that says what is expected, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest
from copier.errors import UserMessageError

from extensions.template import answers
from tests.support.projects import Project

BAD_NAMES = [
    "",
    "..",
    "../up",
    "two words",
    " lead",
    'quo"te',
    "quo'te",
    "$(reboot)",
    "`reboot`",
    "two\nlines",
    "{{ level }}",
    "[[ level ]]",
    "[% if level %]",
    "rocket-🚀",
    "größe",
    "Upper",
    "-dash",
    "dash-",
    "dou--ble",
    "under_score",
    "1st",
    "a" * 200,
    "no",
    "on",
    "null",
    "true",
    "1e3",
    "0x10",
    "2026-11-23",
    "class",
    "con",
    "lpt1",
    "a/b",
    "a\\b",
    "a\0b",
]

BAD = [
    *[("project_name", name) for name in BAD_NAMES],
    *[("services", [name]) for name in BAD_NAMES],
    *[("level", level) for level in (0, 5, -1, "two", "1.5", 2.0, True, [], "[1, 2]", "{", "", None)],
    ("services", []),
    ("services", "api"),
    ("services", {"name": "api"}),
    ("services", [["api"]]),
    ("services", [{"path": "services/api"}]),
    ("services", [{"name": "api", "colour": "red"}]),
    ("services", [{"name": "api", "kind": "cron"}]),
    ("services", [{"name": "api", "code": "mine"}]),
    ("services", [{"name": "api", "app": "app.py; reboot"}]),
    ("services", [{"name": "bot", "kind": "worker", "app": "../bot.py"}]),
    ("services", ["api", "api"]),
    ("services", [{"name": "api"}, {"name": "web", "path": "services/API"}]),
    *[
        ("services", [{"name": "api", "path": path}])
        for path in ("../x", "/etc", "a/../../b", "a//b", "C:/x", "a b", ".git/x", "config", "nul/x", "ä", "")
    ],
    ("adopted", "maybe"),
    ("keep", "README.md"),
    *[
        ("keep", [path])
        for path in ("../x", "/etc/passwd", "a\nb", "größe.txt", "", ".", "a/../b", ".copier-answers.yml")
    ],
    ("project_description", "two\nlines"),
    ("project_description", "a bell \a"),
    ("project_description", "x" * 201),
    ("repository", "acme"),
    ("repository", "acme/shop/x"),
    ("repository", "https://user:secret@github.com/acme/shop"),
    ("default_branch", "two words"),
    ("default_branch", "-x"),
    ("default_branch", "a..b"),
    ("default_branch", "$(x)"),
    ("python_version", "3.8"),
    ("python_version", "three"),
    ("runner", "${{ github.event.issue.title }}"),
    ("runner", "a b"),
    ("package_index", "ftp://x"),
    ("package_index", 'https://x/"y'),
    ("package_index", "https://user:secret@pypi.example.com/simple"),
    ("image_registry", "ghcr.io/$(x)"),
    *[("environments", [name]) for name in BAD_NAMES],
    *[("environments", [name]) for name in ("local", "github-pages", "a" * 32, 1, None, ["staging"])],
    ("environments", []),
    ("environments", "staging"),
    ("environments", ["staging", {"name": "staging"}]),
    ("environments", [{"url": "https://example.com"}]),
    ("environments", [{"name": "staging", "colour": "red"}]),
    *[
        ("environments", [{"name": "staging", "url": url}])
        for url in ("example.com", "https://u:p@x", "https://x/${{ vars.KEY }}", "javascript:1", None)
    ],
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=[f"{key}={str(value)[:30]!r}" for key, value in BAD])
def test_a_bad_answer_is_refused_in_one_line_and_nothing_is_written(
    template: Path, tmp_path: Path, key: str, value: Any
) -> None:
    target = tmp_path / "shop"
    data = {"project_name": "shop", "level": 2, key: value}
    with pytest.raises(UserMessageError) as refused:
        copier.run_copy(str(template), target, data=data, defaults=True, unsafe=True, quiet=True)
    message = str(refused.value)
    assert message.startswith(key)
    assert "\n" not in message
    assert len(message) < 250
    assert "secret" not in message
    assert not target.exists()


def test_the_answers_file_is_looked_at_too(at_level: Callable[[int], Project]) -> None:
    """What a person wrote into it by hand isn't silently replaced by a default."""
    project = at_level(2)
    project.replace(".copier-answers.yml", "\nlevel: 2\n", "\nlevel: 7\n")
    project.commit()
    with pytest.raises(UserMessageError, match="level: expected a level from 1 to 4, got 7"):
        project.update()


def test_a_template_address_with_a_password_is_refused() -> None:
    """It would be recorded in the answers file."""
    assert answers.has_credentials("https://user:secret@github.com/acme/copier-levels")
    assert answers.has_credentials("git+https://token@github.com/acme/copier-levels.git")
    assert answers.has_credentials("ssh://git:secret@github.com/acme/copier-levels")
    assert not answers.has_credentials("ssh://git@github.com/acme/copier-levels")
    assert not answers.has_credentials("git@github.com:acme/copier-levels.git")
    assert not answers.has_credentials("https://github.com/acme/copier-levels")
