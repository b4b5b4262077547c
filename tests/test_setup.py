"""`make setup`: from nothing to what a first deploy needs. It looks first, does what a machine can, and says
what is left; run again, it changes nothing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from extensions import cli
from tests.support.gh_stand_in import REPOSITORY, Gh
from tests.support.projects import Project
from tests.support.stand_ins import StandIns

HOST = "deploy@127.0.0.1:2222"
KEY = "[127.0.0.1]:2222 ssh-ed25519 AAAAC3Nza-the-key-of-the-host\n"


class Ground:
    """A project at level 2 whose host and GitHub are stand-ins; the test stands in its folder."""

    def __init__(self, project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        answers = re.sub(
            "(?m)^repository: .*$", f"repository: {REPOSITORY}", project.read(".copier-answers.yml")
        )
        project.write(".copier-answers.yml", answers)
        self.stand_ins = StandIns(folder / "stand-ins")
        self.gh = Gh(self.stand_ins.bin)
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(KEY)
        # ssh-keygen reads the home of the account, which no variable changes.
        real, script = shutil.which("ssh-keygen"), self.stand_ins.bin / "ssh-keygen"
        script.write_text(
            f'#!/bin/sh\n[ "$1" = -F ] && exec {real} "$@" -f {self.known_hosts}\nexec {real} "$@"\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{self.stand_ins.bin}:{os.environ['PATH']}")
        monkeypatch.chdir(project.folder)

    def fill_in(self, more: str = "") -> None:
        """Fill in the settings, as a person would."""
        text = self.project.read("config/staging.env.template").replace("DEPLOY_HOST=", f"DEPLOY_HOST={HOST}")
        self.project.write("config/staging.env", text + more)

    def authorized(self) -> list[str]:
        file = self.stand_ins.host / ".ssh/authorized_keys"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def ground(at_level: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    return Ground(at_level(2), tmp_path, monkeypatch)


def marks(said: str) -> dict[str, str]:
    """What each item is, by its first words, as it was told last."""
    lines = [line.strip() for line in said.splitlines() if line.startswith("  [")]
    return {line[4:].partition(":")[0]: line[1] for line in lines}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["setup", "staging", *arguments])
    return code, capsys.readouterr().out


def test_from_nothing_to_all_that_a_first_deploy_needs(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "--yes")
    assert code == 1 and marks(said) == {
        "config/staging.env": "x",
        "the settings that the code reads": "x",
        "the host": " ",
    }
    ground.fill_in("PRICES_URL=https://prices.example?a='sesame'\n")

    code, said = run(capsys)
    assert code == 1 and "Nothing was changed: YES=1" in said and not ground.authorized()
    assert {"PUT", "POST", "set"}.isdisjoint(" ".join(ground.gh["calls"]).split())

    code, said = run(capsys, "--yes")
    assert code == 0, said
    assert set(marks(said).values()) == {"x", "?"} and "sesame" not in said and "PRIVATE KEY" not in said
    secrets = ground.gh["secrets"]
    assert secrets["staging/STAGING_KNOWN_HOSTS"] == KEY
    assert secrets["staging/STAGING_ENV"] == ground.project.read("config/staging.env")
    assert secrets["staging/STAGING_SSH_KEY"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    (accepted,) = ground.authorized()
    assert accepted.startswith("ssh-ed25519 ") and accepted.endswith(" shop-staging, for someone/shop")
    assert ground.gh["variables"] == {"STAGING_HOST": HOST}
    assert [one["name"] for one in ground.gh["rulesets"]] == ["main"]
    assert ground.gh["calls"][-1].startswith(("api", "secret list", "variable list"))

    before = ground.gh["secrets"], ground.gh["variables"], ground.authorized()
    code, said = run(capsys, "--yes")
    assert code == 0 and "..." not in said, "a second run changes nothing"
    assert (ground.gh["secrets"], ground.gh["variables"], ground.authorized()) == before


def test_the_variable_that_switches_the_workflow_on_waits_for_the_rest(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.fill_in()
    ground.project.write("services/api/pay.py", 'import os\nURL = os.environ["PAYMENTS_URL"]\n')
    code, said = run(capsys, "--yes")
    assert code == 1 and marks(said)["the settings that the code reads"] == " " and "PAYMENTS_URL" in said
    assert "STAGING_HOST" not in ground.gh["variables"]
    ground.fill_in("PAYMENTS_URL=https://pay.example\n")
    assert run(capsys, "--yes")[0] == 0 and ground.gh["variables"]["STAGING_HOST"] == HOST


def test_settings_that_changed_are_stored_again(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    ground.fill_in()
    assert run(capsys, "--yes")[0] == 0
    ground.fill_in("PAGES=5\n")
    later = 4_100_000_000  # after the time that the stand-in gives its secrets
    os.utime(ground.project.folder / "config/staging.env", (later, later))
    code, said = run(capsys)
    assert code == 1 and "config/staging.env has changed since" in said


@pytest.mark.parametrize(
    ("missing", "item", "told"),
    [
        ("host_key", "the host's key", "ssh -p 2222 deploy@127.0.0.1"),
        ("way", "a way to the host", "Connection refused"),
        ("docker", "Docker on the host", "Docker's engine 25.0 or later"),
        ("compose", "Docker on the host", "Docker's compose 2.20 or later"),
        ("login", "GitHub", "gh auth login"),
        ("repository", "the repository", "set repository=owner/name"),
        ("other_host", "the variable STAGING_HOST", "which of the two holds?"),
    ],
)
def test_what_is_missing_is_told_with_what_to_do(
    ground: Ground, capsys: pytest.CaptureFixture[str], missing: str, item: str, told: str
) -> None:
    ground.fill_in()
    if missing == "host_key":
        ground.known_hosts.write_text("")
    elif missing == "way":
        ground.stand_ins.trouble(unreachable=True)
    elif missing == "docker":
        ground.stand_ins.trouble(engine="20.10.5")
    elif missing == "compose":
        ground.stand_ins.trouble(compose="2.1.0")
    elif missing == "login":
        ground.gh.change(login=False)
    elif missing == "repository":
        answers = ground.project.read(".copier-answers.yml")
        ground.project.write(
            ".copier-answers.yml", answers.replace(f"repository: {REPOSITORY}", "repository: ''")
        )
    else:
        ground.gh.change(variables={"STAGING_HOST": "deploy@other"})
    code, said = run(capsys, "--yes")
    line = next(line for line in said.splitlines()[::-1] if f"] {item}: " in line)
    assert code == 1 and line.strip().startswith("[ ]") and told in line, said
    assert ground.gh["variables"] in ({}, {"STAGING_HOST": "deploy@other"})


def test_a_private_repository_without_environments_holds_the_secrets_itself(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.fill_in()
    ground.gh.change(private_free=True)
    code, said = run(capsys, "--yes")
    assert code == 0 and set(ground.gh["secrets"]) == {
        "STAGING_SSH_KEY",
        "STAGING_KNOWN_HOSTS",
        "STAGING_ENV",
    }
    assert (
        marks(said)["a rule that a merge to main needs the green checks"] == "?"
        and "Upgrade to GitHub Pro" in said
    )


def test_an_environment_without_a_workflow_needs_nothing_of_github(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.fill_in()
    ground.project.write("config/production.env", ground.project.read("config/staging.env"))
    assert cli.main(["setup", "production", "--yes"]) == 0
    assert (
        "no workflow deploys to production at this level" in capsys.readouterr().out
        and not ground.gh["calls"]
    )


def test_a_name_that_is_no_environment_is_refused(ground: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["setup", "../x"]) == 2
    assert "expected one with a config/ENV.env.template: staging, production" in capsys.readouterr().err
