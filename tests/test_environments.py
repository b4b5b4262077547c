"""Settings of an environment beside what the code reads: what is missing is named, and no value is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from extensions import cli
from extensions.source.environment import read
from tests.support.projects import Project

READS = [
    ('os.environ["A"]', {"A": "stops"}),
    ('os.getenv("A")', {"A": "none"}),
    ('os.environ.get("A")', {"A": "none"}),
    ('os.environ.get("A", "x")', {"A": "default"}),
    ('os.environ.pop("A", None)', {"A": "default"}),
    ('os.getenv("A") or "x"', {"A": "default"}),
    ('os.getenv("A") or os.getenv("B")', {"A": "default", "B": "none"}),
    ('os.getenv("A") or os.environ["B"]', {"A": "default", "B": "stops"}),
    ('print(1) if os.getenv("A") else print(2)', {"A": "default"}),
    ('if not os.getenv("A"):\n    raise SystemExit', {"A": "default"}),
    ('"A" in os.environ', {"A": "default"}),
    ('os.environ["A"] = "1"', {}),
    ('del os.environ["A"]', {}),
    ('os.getenv("A")\nos.environ["A"]', {"A": "stops"}),
    ('environ["A"]', {"A": "stops"}),
    ('getenv("A", default="1")', {"A": "default"}),
    ('decouple.config("A")', {"A": "stops"}),
    ('decouple.config("A", default=1)', {"A": "default"}),
    ('env.int("A")', {"A": "stops"}),
    ('env.int("A", 3)', {"A": "default"}),
    (
        "class S(BaseSettings):\n    a: str\n    b: int = 3\n    c: str = Field(...)",
        {"A": "stops", "B": "default", "C": "stops"},
    ),
    (
        'class S(BaseSettings):\n    a: str = Field(alias="OTHER")\n    b: str = Field("x")',
        {"OTHER": "stops", "B": "default"},
    ),
    ('def need(name):\n    return os.environ[name]\nneed("A")', {"A": "stops"}),
    ('def number(name, default):\n    return os.getenv(name) or default\nnumber("A", 1)', {"A": "default"}),
    ('class C:\n    def get(self, key):\n        return os.getenv(key)\nC().get("A")', {"A": "none"}),
    ('def need(name):\n    return os.environ[name]\nneed(name="A")', {"A": "stops"}),
    ('config.get("A")\nrequest.args["A"]\n{}.get("A")', {}),
]
IMPORTS = "import os\nimport decouple\nfrom os import environ, getenv\nfrom environs import env\nfrom pydantic import Field\n"
IMPORTS += "from pydantic_settings import BaseSettings\n"


@pytest.mark.parametrize(("code", "expected"), READS)
def test_what_is_read_and_what_becomes_of_it_without(
    tmp_path: Path, code: str, expected: dict[str, str]
) -> None:
    (tmp_path / "app.py").write_text(IMPORTS + code + "\n")
    found = read(tmp_path, ["app.py"])
    assert {name: one.without for name, one in found.variables.items()} == expected
    assert not found.computed and not found.unparsed


def test_a_name_that_is_put_together_and_a_file_that_cannot_be_read_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text('import os\nfor one in "ab":\n    os.environ["X_" + one]\n')
    (tmp_path / "old.py").write_text("import os\nprint os.environ['A']\n")
    found = read(tmp_path, ["app.py", "old.py", "gone.py"])
    assert found.computed == ["app.py:3"] and found.unparsed == ["gone.py", "old.py"] and not found.variables


def test_a_prefix_stands_for_all_that_begin_with_it(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        'app.config.from_prefixed_env()\napp.config.from_prefixed_env("SHOP")  # env\n'
    )
    found = read(tmp_path, ["app.py"])
    assert found.reads("FLASK_DEBUG") and found.reads("SHOP_A") and not found.reads("A")


def test_a_function_that_reads_what_it_is_given_is_found_in_other_files(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("import os\ndef required(name):\n    return os.environ[name]\n")
    (tmp_path / "mail.py").write_text('from settings import required\nHOST = required("MAIL_HOST")\n')
    found = read(tmp_path, ["mail.py", "settings.py"])
    assert {name: one.places for name, one in found.variables.items()} == {"MAIL_HOST": ["mail.py:2"]}


# The command

CODE = """import os

NEEDED = os.environ["PAYMENTS_URL"]
MAYBE = os.getenv("MAIL_HOST")
PAGES = os.getenv("PAGES", "3")
"""


@pytest.fixture
def shop(at_level: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project at level 2 whose code reads three variables of its own, standing in it."""
    project = at_level(2)
    project.write("services/api/payments.py", CODE)
    project.commit("payments")
    monkeypatch.chdir(project.folder)
    return project


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["env", *arguments])
    return code, capsys.readouterr().out


def test_what_is_missing_is_named_with_its_place(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    shop.write("config/staging.env", "DEPLOY_HOST=a@b\nOLD_KEY=sesame\nLOG_LEVEL=INFO\n")
    code, said = told(capsys, "staging")
    assert code == 1 and "sesame" not in said
    lines = [line.split() for line in said.splitlines() if line.startswith("  ")]
    assert [line[:3] for line in lines] == [
        ["to", "set", "PAYMENTS_URL"],
        ["look", "at", "MAIL_HOST"],
        ["unread", "OLD_KEY", "(config/staging.env:2):"],
    ]
    assert "services/api/payments.py:3" in said


def test_an_empty_value_is_missing_and_a_set_one_passes(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.write("config/staging.env", "PAYMENTS_URL=''\nMAIL_HOST=\n")
    assert told(capsys, "staging", "--check")[0] == 1
    shop.write("config/staging.env", "PAYMENTS_URL=https://pay.example\nMAIL_HOST=\n")
    code, said = told(capsys, "staging", "--check")
    assert code == 0 and "all that the code reads is set" in said


def test_the_template_gets_the_names_and_keeps_what_is_there(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shop.read("config/staging.env.template")
    shop.write(".env", "PAYMENTS_URL=https://u:sesame@pay\nEXTRA=sesame\n")
    told(capsys, "staging")
    after = shop.read("config/staging.env.template")
    assert after.startswith(before) and "sesame" not in after
    assert "\nPAYMENTS_URL=\n" in after and "\n# PAGES=\n" in after and "\n# EXTRA=\n" in after
    told(capsys, "staging")
    assert shop.read("config/staging.env.template") == after, "a second run adds nothing"


def test_check_writes_nothing(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = shop.read("config/staging.env.template")
    told(capsys, "staging", "--check")
    assert shop.read("config/staging.env.template") == before


@pytest.mark.parametrize("line", ["API_TOKEN=abc", "DATABASE_URL=postgresql://u:p@host/db", "SECRET_KEY='x'"])
def test_a_secret_in_the_template_is_named(
    shop: Project, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    shop.write("config/staging.env", "PAYMENTS_URL=https://pay\nMAIL_HOST=m\n")
    shop.write("config/staging.env.template", shop.read("config/staging.env.template") + line + "\n")
    code, said = told(capsys, "staging", "--check")
    name, _, value = line.partition("=")
    assert code == 1 and f"secret   {name} (config/staging.env.template:" in said and value not in said


def test_json_is_one_document_without_values(shop: Project, capsys: pytest.CaptureFixture[str]) -> None:
    shop.write("config/staging.env", "PAYMENTS_URL=sesame\n")
    code, said = told(capsys, "staging", "--check", "--json")
    document = json.loads(said)
    assert code == 0 and document["passed"] and [one["name"] for one in document["unset"]] == ["MAIL_HOST"]
    assert "sesame" not in said


def test_an_environment_that_is_not_there_is_refused(
    shop: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["env", "stagign"]) == 2
    assert capsys.readouterr().err == "levels: ENV is 'stagign', expected local, production, staging\n"
