"""Promotion by make: what a line says, when it may be deployed, and who has to have approved it.

ssh and docker are stand-ins (tests/support/stand_ins.py), GitHub's API is one that refuses what the real one refuses.
What only a real host can show is proven in tests/proof/test_promotion.py.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.github_api import serving
from tests.support.github_stand_in import REPOSITORY, TOKEN, GitHub
from tests.support.projects import ROOT, Project, git
from tests.support.stand_ins import StandIns
from tests.test_deploy import STAGING
from tests.test_order import Pushed

AtLevel = Callable[..., Project]
LINE = "config/releases/production.yml"
PRODUCTION = STAGING.replace("staging.example", "production.example") + "API_PORT=9000\n"
PAST, FUTURE = "2020-01-01T00:00:00", "2099-01-01T00:00:00"


class Shop(Pushed):
    """A shop at level 3 with staging and production, in a bare repository that GitHub's API stands over."""

    def __init__(self, project: Project, host: StandIns, bare: Path) -> None:
        super().__init__(project, host, bare)
        git(bare, "symbolic-ref", "HEAD", "refs/heads/main")
        self.github, self.api = GitHub(bare), ""
        project.write(
            "config/production.env",
            STAGING.replace("staging.example", "production.example") + "API_PORT=9000\n",
        )
        (host.bin / "gh").write_text('#!/bin/sh\necho "$@" > gh.txt\n! [ -e no-gh ]\n')
        (host.bin / "gh").chmod(0o755)

    def target(self, *words: str, **env: str) -> tuple[int, str, str]:
        """A target of make; its own exit code in place of make's. Of `promote` the command behind it."""
        if words[0] == "promote":
            options = [part for word in words[1:] for part in option(word)]
            return self.run(sys.executable, "-m", "extensions", "promote", *options, PYTHONPATH=str(ROOT))
        given = [f"{name}={value}" for name, value in env.items() if name != "PYTHONPATH"]
        code, out, errors = self.make(*words, *given)
        ended = re.search(r"Error (\d+)\n", errors)
        return int(ended[1]) if ended else code, out, re.sub(r"make: \*\*\* .*\n", "", errors)

    def promoted(self, *options: str) -> int:
        """Promote and merge; the number of the pull request."""
        self.project.commit()
        self.push()
        code, _, errors = self.target("promote", "TO=production", *options)
        assert code == 0, errors
        head = next(
            name
            for name in git(self.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
            if name.startswith("promote/")
            and name not in {one["head"]["ref"] for one in self.github.requests()}
        )
        number = self.github._request({"head": head, "base": "main", "title": "Promote", "body": ""})[
            "number"
        ]
        self.github.merge(number)
        git(self.folder, "pull", "--quiet", "--ff-only", "origin", "main")
        return int(number)

    def approved(self, **env: str) -> tuple[int, str, str]:
        given = {"GITHUB_API_URL": self.api, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": REPOSITORY}
        return self.target("approved", **{"ENV": "production", **given, **env})

    def moved(self, level: int) -> None:
        """Move to another level, with the name of the repository as it is in the answers meanwhile."""
        self.project.replace("config/levels.json", '"repository": "Me/Shop"', '"repository": ""')
        self.project.commit().move(level)
        self.project.replace("config/levels.json", '"repository": ""', '"repository": "Me/Shop"')
        self.project.commit()
        (self.folder / ".venv/.installed").touch()

    def logged(self) -> list[dict[str, Any]]:
        file = self.host.host / "deploy/shop-production/log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def option(word: str) -> list[str]:
    """A variable of make as the option that level-3.mk makes of it."""
    name, _, value = word.partition("=")
    return ["--dry-run"] if name == "DRY_RUN" else [f"--{name.lower()}", value]


@pytest.fixture
def shop(at_level: AtLevel, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(at_level(3), StandIns(tmp_path / "stand-ins"), tmp_path / "shop.git")
    with serving(made.github) as address:
        made.api = address
        yield made


@pytest.fixture
def runs(shop: Shop) -> str:
    """A version that runs on staging."""
    shop.started(shop.head())
    return shop.head()


# The pull request


def test_a_promotion_is_a_branch_with_one_line_and_nothing_here_is_touched(shop: Shop, runs: str) -> None:
    before = git(shop.folder, "status", "--porcelain"), shop.head()
    code, out, errors = shop.target("promote", "TO=production", "DRY_RUN=1")
    assert (code, errors) == (0, "") and "would open, from the branch promote/production-2" in out
    assert git(shop.bare, "for-each-ref", "refs/heads/promote") == ""
    assert shop.target("promote", "FROM=staging", "TO=production", 'REASON=It "is" urgent: $HOME')[0] == 0
    [branch] = git(shop.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads/promote").split()
    assert git(shop.bare, "diff", "--name-only", "main", branch).split() == [LINE]
    text = git(shop.bare, "show", f"{branch}:{LINE}")
    line = json.loads(text.partition("release: ")[2])
    digests = {one["service"]: one["digest"] for one in shop.host.json("releases/1/release.json")["builds"]}
    assert (line["version"], line["from"], line["builds"]) == (runs, "staging/1", digests)
    assert line["reason"] == 'It "is" urgent: $HOME'
    asked = (shop.folder / "gh.txt").read_text()
    assert asked.startswith(
        f"pr create --head {branch} --base main --title Promote release 1 of staging to production"
    )
    (shop.folder / "gh.txt").unlink()
    assert (git(shop.folder, "status", "--porcelain"), shop.head()) == before
    # Its comments are the person's, and only the line changes.
    shop.project.write(LINE, f"# Ours.\n{text}# Below.\n")
    shop.project.commit()
    shop.push()
    code, out, _ = shop.target("promote", "TO=production")
    assert code == 0 and out.endswith(f"{LINE} of main has the builds of release 1 of staging already\n")
    out = shop.target("promote", "TO=production", "REASON=again", "DRY_RUN=1")[1]
    assert "# Ours.\n" in out and out.endswith("# Below.\n") and "again" in out


def test_without_gh_it_says_what_to_open(shop: Shop, runs: str) -> None:
    (shop.folder / "no-gh").touch()
    code, out, _ = shop.target("promote", "TO=production")
    [branch] = git(shop.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads/promote").split()
    how = f"open its pull request: https://github.com/OWNER/NAME/compare/main...{branch}?expand=1"
    assert code == 0 and out.endswith(f"the branch {branch} is pushed; {how}\n")


@pytest.mark.parametrize(
    ("given", "told"),
    {
        "TO=staging": "TO is 'staging', expected production; staging gets each merge\n",
        "TO=": "TO is '', expected production; staging gets each merge\n",
        "TO=production FROM=production": "FROM is 'production', expected one before production: staging\n",
        f"TO=production REASON={'x' * 301}": "REASON: expected one line of 300 characters at most\n",
        "TO=production": "staging can't be promoted: nothing has been deployed\n",
    }.items(),
)
def test_what_cannot_be_promoted_is_told_in_one_line(shop: Shop, given: str, told: str) -> None:
    code, out, errors = shop.target("promote", *given.split())
    assert (code, out, errors) == (1 if "can't be promoted" in told else 2, "", f"levels: {told}")
    assert git(shop.bare, "for-each-ref", "refs/heads/promote") == ""


# The line

# There is no Prometheus behind the stand-ins.
UNASKED = "error budget unknown: its Prometheus can't be asked: [Errno 111] Connection refused"


def test_a_deploy_of_production_is_of_its_line_and_staging_is_not_touched(shop: Shop, runs: str) -> None:
    shop.promoted()
    shop.project.write("services/api/newer.py", "")
    shop.project.commit()
    staging, docker = shop.recorded(), len(shop.host.log("docker"))
    code, out, errors = shop.target("deploy", "ENV=production")
    assert code == 0, errors
    assert out.splitlines()[-1] == f"production: release 1 runs, {runs} ({UNASKED})"
    asked = [one["arguments"] for one in shop.host.log("docker")[docker:]]
    assert shop.recorded() == staging and not [one for one in asked if "buildx" in one], (
        "no image is looked up"
    )
    assert [(line["version"], line["outcome"]) for line in shop.logged()] == [(runs, "success")]


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n",
        "release: x\n",
        "release: {}\n",
        'release: {"version": "a", "builds": {"api": "latest"}}\n',
        'release: {"version": "$(x)", "builds": {}}\n',
        'release: {"version": "a", "builds": []}\n',
        "release: {\n<<<<<<< HEAD\n",
        'release: {"version": "a", "builds": {}}\nrelease: {"version": "a", "builds": {}}\n',
    ],
)
def test_a_line_that_is_none_is_refused(shop: Shop, text: str) -> None:
    shop.project.write(LINE, text)
    told = f"{LINE}: expected one line `release: {{...}}`, as `make promote` writes it\n"
    assert shop.target("deploy", "ENV=production") == (2, "", told)
    assert shop.approved() == (2, "", told) and shop.host.log("ssh") == []


def test_a_line_of_other_services_is_refused(shop: Shop) -> None:
    shop.project.write(LINE, 'release: {"version": "a", "builds": {"panel": "sha256:%s"}}\n' % ("0" * 64))
    code, _, errors = shop.target("deploy", "ENV=production")
    assert (code, errors) == (2, f"{LINE} has builds of panel, and this project has api\n")


# Which of two is deployed, when both are on their way


def test_a_commit_is_deployed_to_staging_although_a_promotion_was_merged_after_it(
    shop: Shop, runs: str
) -> None:
    shop.promoted()
    git(shop.folder, "checkout", "--quiet", "--detach", "HEAD^")
    code, out, errors, output = shop.workflow("deploy", "staging")
    assert (code, output) == (0, "deployed=true\n"), out + errors
    # And not once there is other code.
    git(shop.folder, "checkout", "--quiet", "main")
    shop.project.write("services/api/newer.py", "")
    shop.project.commit()
    shop.push()
    git(shop.folder, "checkout", "--quiet", "--detach", "HEAD~2")
    assert shop.workflow("deploy", "staging")[3] == "deployed=false\n"


def test_a_line_is_deployed_unless_a_newer_one_was_merged(shop: Shop, runs: str) -> None:
    shop.promoted()
    promoted = shop.head()
    shop.project.write("services/api/newer.py", "")
    shop.project.commit()
    shop.push()
    git(shop.folder, "checkout", "--quiet", "--detach", promoted)
    code, out, errors, output = shop.workflow("deploy", "production", DEPLOY_ENV_FILE=PRODUCTION)
    assert (code, output) == (0, "deployed=true\n"), out + errors
    git(shop.folder, "checkout", "--quiet", "main")
    shop.project.write(LINE, shop.project.read(LINE).replace("release: ", "release:  "))
    shop.project.commit()
    shop.push()
    git(shop.folder, "checkout", "--quiet", "--detach", promoted)
    code, out, _, output = shop.workflow("deploy", "production", DEPLOY_ENV_FILE=PRODUCTION)
    assert (code, output) == (0, "deployed=false\n") and "Nothing was deployed to production" in out


# When


def toml(kind: str, **values: str) -> str:
    return f'timezone = "Europe/Berlin"\n[[{kind}]]\n' + "".join(
        f"{key} = {value}\n" for key, value in values.items()
    )


FREEZE = {"environment": '"production"', "from": PAST, "to": FUTURE, "reason": '"the holidays"'}


def test_in_a_freeze_nothing_is_deployed_and_a_reason_goes_past_it(shop: Shop, runs: str) -> None:
    shop.project.write("config/promotion.toml", toml("freeze", **FREEZE))
    assert (
        "now the deploy would be held: it is frozen"
        in shop.target("promote", "TO=production", "DRY_RUN=1")[1]
    )
    shop.promoted()
    code, _, errors = shop.target("deploy", "ENV=production")
    why = "it is frozen until 2099-01-01 00:00 Europe/Berlin: the holidays"
    assert (code, shop.logged()) == (1, []), "nothing was done, so nothing is recorded"
    assert (
        errors
        == f"production is held: {why}; `make promote TO=production REASON=...` goes on, and records it\n"
    )
    assert shop.target("deploy", "ENV=production", REASON="a hole")[0] == 0
    assert shop.logged()[-1]["note"] == f"{why}, and it went on because: a hole; {UNASKED}"
    assert shop.target("deploy", "ENV=staging")[0] == 0, "the freeze is another environment's"
    # The reason that was approved with the line is enough.
    shop.promoted("REASON=The shop is down.")
    assert shop.target("deploy", "ENV=production")[0] == 0
    assert shop.logged()[-1]["note"].endswith(f"it went on because: The shop is down.; {UNASKED}")
    shop.host.trouble()
    assert shop.target("rollback", "ENV=production")[0] == 0, "a way back is never held"


@pytest.mark.parametrize(
    ("now", "held"),
    {
        "2026-12-03T09:00:00+01:00": "",  # a Thursday
        "2026-12-03T08:59:59+01:00": "it is thu 08:59 Europe/Berlin, and its window is mon thu 09:00 to 16:00 (seen)",
        "2026-12-03T15:59:59+01:00": "",
        "2026-12-03T15:00:00+00:00": "it is thu 16:00",
        "2026-12-04T12:00:00+01:00": "it is fri 12:00",
        "2026-07-02T07:30:00+00:00": "",  # summer time
    }.items(),
)
def test_a_window_is_in_its_own_time_zone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, now: str, held: str
) -> None:
    values = {
        "environment": '"production"',
        "days": '"mon thu"',
        "from": "09:00:00",
        "to": "16:00:00",
        "reason": '"seen"',
    }
    shop.project.write("config/promotion.toml", toml("window", **values))
    ask = "import datetime, sys; from deploy import promotion; print(promotion.closed(sys.argv[2], datetime.datetime.fromisoformat(sys.argv[1])))"
    for environment, expected in (("production", held), ("staging", "")):
        code, out, errors = shop.run("python3", "-c", ask, now, environment, PYTHONPATH="ci")
        assert code == 0, errors
        assert out.strip().startswith(expected) if expected else out == "\n"


@pytest.mark.parametrize(
    ("text", "told"),
    {
        "x = 1\n": "x is unknown, expected timezone, [[window]] or [[freeze]]",
        "timezone =": "expected TOML",
        'timezone = "Mars/Base"\n': "timezone is 'Mars/Base', expected one such as Europe/Berlin",
        'timezone = "../../etc/passwd"\n': "timezone is '../../etc/passwd'",
        toml("freeze", **FREEZE).partition("\n")[2]: "expected timezone, such as Europe/Berlin",
        toml("freeze", **FREEZE).replace("[[freeze]]", "[freeze]"): "expected [[freeze]], with two brackets",
        toml("freeze", **{**FREEZE, "from": FUTURE, "to": PAST}): "freeze 1: expected days of",
        toml(
            "freeze", **{**FREEZE, "environment": '"prod"'}
        ): "freeze 1: environment is 'prod', expected staging or production",
        toml(
            "freeze", **{**FREEZE, "from": "2020-01-01"}
        ): "freeze 1: expected environment, from, to, reason",
        toml("freeze", **{**FREEZE, "from": "2020-01-01T00:00:00Z"}): "freeze 1: expected",
        toml("window", **FREEZE): "window 1: expected environment, days, from, to, reason",
    }.items(),
)
def test_a_mistake_in_the_windows_is_told_before_anything_is_deployed(
    shop: Shop, text: str, told: str
) -> None:
    shop.started(shop.head())
    shop.promoted()
    shop.project.write("config/promotion.toml", text)
    code, _, errors = shop.target("deploy", "ENV=production")
    assert code == 2 and errors.startswith(f"config/promotion.toml: {told}")
    assert shop.logged() == []


# Who approved


def test_somebody_else_who_may_write_has_to_approve_it(shop: Shop, runs: str) -> None:
    number = shop.promoted()
    refused = (
        "production isn't deployed: of those who may write, nobody but its author approved"
        f" #{number} as it was merged, or somebody asked for changes\n"
    )
    assert shop.approved() == (1, "", refused)
    for login, given in {
        "author": {},
        "stranger": {"may": "read"},
        "robot": {"kind": "Bot"},
        "reader": {"state": "COMMENTED"},
    }.items():
        shop.github.review(number, login, **given)
        assert shop.approved() == (1, "", refused), login
    # An approval of what was there before the last push is none.
    shop.github.review(number, "hasty")
    shop.github.reviews[number][-1]["commit_id"] = "0" * 40
    assert shop.approved()[0] == 1
    for number_of_comments in range(100):
        shop.github.review(number, f"reader-{number_of_comments}", state="COMMENTED")
    shop.github.review(number, "colleague")  # on the second page
    assert shop.approved() == (0, f"production: {runs}, approved by colleague in #{number}\n", "")
    shop.github.review(number, "stranger", state="CHANGES_REQUESTED", may="read")
    assert shop.approved()[0] == 0
    shop.github.review(number, "boss", state="CHANGES_REQUESTED", may="admin")
    assert shop.approved() == (1, "", refused)
    shop.github.review(number, "boss", state="DISMISSED", may="admin")
    assert shop.approved()[0] == 0
    shop.github.review(number, "colleague", state="DISMISSED")
    assert shop.approved() == (1, "", refused)
    shop.github.review(number, "ghost")
    shop.github.reviews[number][-1]["user"] = None
    assert shop.approved() == (1, "", refused)


def test_a_line_that_came_by_no_pull_request_is_refused(shop: Shop, runs: str) -> None:
    shop.github.review(shop.promoted(), "colleague")
    assert shop.approved()[0] == 0
    shop.project.write(LINE, shop.project.read(LINE).replace("release: ", "release:  "))
    shop.project.commit()
    pushed = shop.push()
    told = f"production isn't deployed: {pushed} came to main by no pull request\n"
    assert shop.approved() == (1, "", told)


def test_what_github_refuses_is_told_and_nothing_counts_as_approved(shop: Shop, runs: str) -> None:
    shop.github.review(shop.promoted(), "colleague")
    needs = "; the token has to read contents and pull requests"
    for env, told in (
        ({"GITHUB_TOKEN": "another"}, f"HTTP Error 401: Unauthorized{needs}"),
        ({"GITHUB_REPOSITORY": "team/other"}, f"HTTP Error 404: Not Found{needs}"),
        ({"GITHUB_API_URL": "http://127.0.0.1:1"}, "Connection refused"),
        ({"GITHUB_TOKEN": ""}, "expected GITHUB_TOKEN, and GITHUB_REPOSITORY"),
    ):
        code, out, errors = shop.approved(**env)
        assert (out, errors.count("\n")) == ("", 1) and code in (1, 2) and told in errors
    shop.github.rights.discard("pull_requests")
    code, out, errors = shop.approved()
    assert (code, out) == (1, "") and f"HTTP Error 403: Forbidden{needs}" in errors


def test_the_workflow_is_told_which_lines_changed(shop: Shop, runs: str, tmp_path: Path) -> None:
    output, before = tmp_path / "output", shop.head()
    shop.github.review(shop.promoted(), "colleague")
    workflow = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_OUTPUT": str(output),
        "ENV": "",
    }
    code, _, errors = shop.approved(**workflow, BEFORE=before)
    assert (code, output.read_text()) == (0, 'environments=["production"]\n'), errors
    output.unlink()
    assert shop.approved(**workflow, BEFORE=shop.head())[0] == 0 and output.read_text() == "environments=[]\n"
    output.unlink()
    for given, told in (
        ({"BEFORE": "0" * 40}, f"BEFORE is '{'0' * 40}', expected the commit before the push"),
        ({"BEFORE": "--output=x"}, "BEFORE is '--output=x', expected"),
        ({"ENV": "staging"}, "ENV is 'staging', expected production"),
        ({"ENV": "x\ny"}, "ENV is 'x\\ny', expected production"),
        (
            {"ENV": "production", "GITHUB_REF": "refs/heads/mine"},
            "what is promoted stands on main, and this is refs/heads/mine",
        ),
    ):
        code, out, errors = shop.run(
            "python3",
            "-P",
            "-m",
            "deploy.approval",
            "approved",
            PYTHONPATH="ci",
            **{**workflow, "BEFORE": "", **given},
        )
        assert (code, out) == (2, "") and told in errors and not output.exists()
    git(shop.folder, "rm", "--quiet", LINE)
    shop.project.commit()
    code, out, _ = shop.approved(**workflow, BEFORE=shop.first)
    assert code == 0 and output.read_text() == "environments=[]\n"


# What a move keeps


def test_a_promotion_that_is_open_goes_on_after_a_move_down_and_up(shop: Shop, runs: str) -> None:
    shop.github.review(shop.promoted(), "colleague")
    shop.moved(2)
    assert shop.project.read(LINE), "the line stays, and nothing reads it"
    shop.started(shop.head())
    code, _, errors = shop.target("deploy", "ENV=production", f"RELEASE={len(shop.recorded())}")
    assert code == 0, errors
    shop.moved(3)
    code, out, errors = shop.target("deploy", "ENV=production")
    assert (code, shop.logged()[-1]["version"]) == (0, runs), out + errors


def test_times_of_a_line_are_utc(shop: Shop, runs: str) -> None:
    shop.promoted()
    at = json.loads(shop.project.read(LINE).partition("release: ")[2])["at"]
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(at)
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)
