"""Metrics of repositories whose history is known: each equals the known value, or is unknown for the stated
reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from extensions.errors import Refused
from extensions.evolution import deployment_log, metrics, triggers
from extensions.evolution.registry import METRICS
from extensions.evolution.sources import git_history, people, rates, stack, web
from tests.support.histories import registers
from tests.support.projects import Project, git
from tests.support.repositories import DAY, History
from tests.support.stand_ins import StandIns

# A Tuesday, 12:00.
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
AT = NOW.timestamp()
WEEK = 7 * DAY


@pytest.fixture(autouse=True)
def nobodys_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs here has no token and no repository of the person who runs it."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY", "GITHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GH_CONFIG_DIR", "/nonexistent")


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "shop")


def measure(
    project: Path, recorded: dict[str, Any] | None = None, offline: bool = True
) -> dict[str, metrics.Measured]:
    return metrics.measure(
        project, {"services": [{"name": "api"}], **(recorded or {})}, now=NOW, offline=offline
    )


def ago(days: float) -> float:
    return AT - days * DAY


def wrote(project: Path, *lines: dict[str, Any] | str, environment: str = "production") -> Path:
    """Write a deployment log; a line's `ago` are days before now."""
    texts = []
    for line in lines:
        if isinstance(line, dict):
            at = datetime.fromtimestamp(ago(line["ago"]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            rest = {key: value for key, value in line.items() if key != "ago"}
            texts.append(
                json.dumps(
                    {
                        "kind": "deploy",
                        "environment": environment,
                        "version": "abc1234",
                        "at": at,
                        "by": "Ann",
                        **rest,
                    }
                )
            )
        else:
            texts.append(line)
    (project / "config").mkdir(parents=True, exist_ok=True)
    (project / deployment_log.FILE).write_text("\n".join(texts) + "\n")
    return project


def configured(project: Path, text: str) -> Path:
    (project / "config").mkdir(parents=True, exist_ok=True)
    (project / "config/evolution.yml").write_text(text)
    return project


# All of them


def test_every_metric_is_there_and_says_what_it_is(history: History) -> None:
    measured = measure(history.commit(ago(1)).make())
    assert list(measured) == list(METRICS)
    for name, one in measured.items():
        assert one.metric == name
        known = one.value is not None
        assert known == (one.reason == "") == (one.confidence in ("high", "medium", "low")), one
        assert not known or one.source, one


def test_git_alone_and_no_network_take_less_than_a_second(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
    project = history.commit(ago(1)).make()
    configured(project, "sources: {github: {workflow: deploy.yml}, prometheus: 'http://192.0.2.1:9090'}\n")
    measured = measure(project, {"repository": "acme/shop"})
    assert measured["team_size"].value == 1
    assert "GitHub's deployments: not asked, offline" in measured["deployment_frequency"].reason
    assert measured["production_traffic.requests"].reason == "not asked, offline"


# Team size


def test_people_of_the_last_90_days_are_counted(history: History) -> None:
    history.commit(ago(200), "Old Hand", "old@example.com").commit(ago(91), "Bob Ray", "bob@example.com")
    history.commit(ago(89), "Cem Ada", "cem@example.com").commit(ago(2)).commit(ago(1))
    team = measure(history.make())["team_size"]
    assert (team.value, team.source, team.window, team.confidence) == (2, "git log", "90 days", "high")
    assert team.evidence == ("Ann Lee, Cem Ada committed",)


def test_the_past_weeks_are_counted_as_today_is(history: History) -> None:
    """26 Mondays; before the first commit there is nothing to say."""
    history.commit(AT - 20 * WEEK, "Bob Ray", "bob@example.com").commit(ago(3))
    weeks = dict(measure(history.make())["team_size"].history)
    assert len(weeks) == 20 and list(weeks) == sorted(weeks)
    assert all(datetime.fromisoformat(week).isoweekday() == 1 for week in weeks)
    assert weeks["2026-07-13"] == 1, "Bob, on 7 July"
    assert weeks["2026-10-12"] == 0, "after 90 days he is gone"
    assert weeks["2026-11-23"] == 1, "Ann"


def test_bots_are_no_people_and_a_man_named_bot_is(history: History) -> None:
    for name, email in [
        ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
        ("renovate-bot", "r@example.com"),
        ("Release", "release-bot@example.com"),
        ("GitHub", "noreply@github.com"),
        ("Claude Sonnet 4.6", "noreply@anthropic.com"),
        ("pre-commit-ci", "66853113+pre-commit-ci@users.noreply.github.com"),
        ("Release Robot", "robot@example.com"),
    ]:
        history.commit(ago(1), name, email)
    history.commit(ago(1), "Jan Bot", "jan.bot@example.nl").commit(ago(1), "Amy Talbot", "talbot@example.com")
    project = history.make()
    assert measure(project)["team_size"].value == 3, "the robot says nowhere that it is one"
    configured(project, "sources:\n  bots: [Robot@example.com]\n")
    team = measure(project)["team_size"]
    assert team.value == 2
    assert team.evidence[0] == "Amy Talbot, Jan Bot committed"
    assert "dependabot[bot]" in team.evidence[1] and "Release Robot" in team.evidence[1]


def test_two_addresses_of_one_person_are_one(history: History) -> None:
    history.commit(ago(5)).commit(ago(4), "ann lee", "ANN@example.com").commit(
        ago(3), "Ann  Lee", "ann@home.example"
    )
    history.commit(ago(3), "bobby", "7+bob@users.noreply.github.com").commit(
        ago(2), "Bob Ray", "bob@users.noreply.github.com"
    )
    history.commit(ago(2), "root", "root@one").commit(ago(1), "root", "root@two")
    team = measure(history.make())["team_size"]
    assert team.value == 4, "Ann, Bob, and root on two machines: that name tells nothing"
    assert team.confidence == "medium"
    assert team.evidence[1].startswith("several addresses or names taken for one person: ")
    assert "ann lee" in team.evidence[1].lower() and "example.com" not in "".join(team.evidence), (
        "addresses aren't repeated"
    )


def test_the_mailmap_is_followed_for_co_authors_too(history: History) -> None:
    mailmap = (
        "Ann Lee <ann@example.com> <al@old.example>\nBob Ray <bob@example.com> Bobby <bobby@old.example>\n"
    )
    history.commit(ago(9), mailmap=mailmap).commit(ago(8), "A. L.", "al@old.example").commit(
        ago(7), "Bob Ray", "bob@example.com"
    )
    history.commit(ago(6), message="work\n\nCo-authored-by: Bobby <bobby@old.example>\n")
    assert measure(history.make())["team_size"].value == 2


def test_a_squash_merge_brings_all_its_authors(history: History) -> None:
    trailers = "Co-authored-by: Bob Ray <bob@example.com>\nco-authored-by: Cem Ada <cem@example.com>\n"
    bots = (
        "Co-authored-by: dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>\nCo-authored-by:"
        " Nobody\n"
    )
    history.commit(ago(3), message=f"Add the cart (#7)\n\n* one\n* two\n\n{trailers}{bots}")
    team = measure(history.make())["team_size"]
    assert team.value == 3
    assert "commits that name further authors, who count too: 1" in team.evidence


def test_commits_of_the_future_are_said_and_not_counted(history: History) -> None:
    history.commit(ago(3)).commit(ago(-40), "Time Lord", "time@example.com").commit(ago(2))
    team = measure(history.make())["team_size"]
    assert (team.value, team.confidence) == (1, "medium")
    assert "commits dated in the future, not counted: 1" in team.evidence
    assert max(value for _, value in team.history) == 1


def test_a_wrong_old_date_hides_nobody_behind_it(history: History) -> None:
    """git's own --since ends at the first commit that is too old."""
    history.commit(ago(3), "Bob Ray", "bob@example.com")
    for _ in range(20):
        history.commit(DAY, "Stuck Clock", "clock@example.com")
    team = measure(history.make())["team_size"]
    assert team.evidence[0] == "Bob Ray committed"


def test_hostile_names_stay_in_one_line(history: History) -> None:
    names = [
        "\x1b[31mRed\x1b[0m",
        "a\x00b".replace("\x00", "\x01"),
        "--format=%H",
        "<script>".replace("<", "").replace(">", ""),
        "x" * 500,
        "\u202eevil",
    ]
    for number, name in enumerate(names):
        history.commit(ago(1), name, f"{number}@example.com")
    history.commit(
        ago(1),
        "$(touch hacked)",
        "-x@example.com",
        message="x\n\nCo-authored-by: \x1b]0;t\x07 <t@example.com>\n",
    )
    history.commit(ago(1), "", "nameless@example.com")
    project = history.make()
    team = measure(project)["team_size"]
    assert team.value == 9
    for line in team.evidence:
        assert line.isprintable() and len(line) < 1000
    assert not (project / "hacked").exists()


def test_a_shallow_clone_has_no_team_and_no_tags(history: History, tmp_path: Path) -> None:
    history.commit(ago(3)).tag("v1.0").commit(ago(2), "Bob Ray", "bob@example.com")
    git(tmp_path, "clone", "--quiet", "--depth=1", history.make().as_uri(), "shallow")
    measured = measure(tmp_path / "shallow")
    for name in ("team_size", "lead_time"):
        assert measured[name].reason == "a shallow clone lacks history"
        assert measured[name].do == "`git fetch --unshallow`, or `fetch-depth: 0` in a workflow"
    assert "release tags: a shallow clone lacks history" in measured["deployment_frequency"].reason


def test_an_empty_repository_and_no_repository_say_so(history: History, tmp_path: Path) -> None:
    found = measure(history.make())["team_size"]
    assert (found.reason, found.do) == ("there is no commit yet", "commit")
    (tmp_path / "plain").mkdir()
    for name in ("team_size", "lead_time"):
        found = measure(tmp_path / "plain")[name]
        assert (found.reason, found.do) == (
            "there is no git repository here",
            "`git init`, and commit; or run this in a clone",
        )


def test_a_repository_of_somebody_else_is_told_in_the_words_of_git(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = history.commit(ago(3)).make()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = measure(project)["team_size"]
    assert "dubious ownership" in found.reason
    assert found.do == f"if you trust it: `git config --global --add safe.directory {project.resolve()}`"


def test_a_machine_without_git_is_told_to_get_it(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    project = history.commit(ago(3)).make()
    monkeypatch.setenv("PATH", "")
    found = measure(project)["team_size"]
    assert (found.reason, found.do) == ("git doesn't run here", "install git")


def test_a_detached_head_is_fine(history: History) -> None:
    project = history.commit(ago(3)).commit(ago(2), "Bob Ray", "bob@example.com").make()
    git(project, "checkout", "--quiet", "--detach", "HEAD~1")
    assert measure(project)["team_size"].value == 1


def test_a_persons_git_settings_change_no_figure(history: History) -> None:
    project = history.commit(ago(3), "Ünal Öz", "u@example.com").make()
    for key, value in [
        ("log.showSignature", "true"),
        ("i18n.logOutputEncoding", "latin1"),
        ("color.ui", "always"),
        ("log.follow", "true"),
    ]:
        git(project, "config", key, value)
    team = measure(project)["team_size"]
    assert (team.value, team.evidence[0]) == (1, "Ünal Öz committed")


def test_a_git_that_takes_too_long_is_unknown(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = history.commit(ago(3)).make()
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *--format*HEAD*) exec sleep 30;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_history, "LIMIT", 0.3)
    assert measure(project)["team_size"].reason == "git log took longer than 0.3 s"


# Rates


def rate(times: Iterable[float], began: float) -> float | None:
    return rates.per_day(sorted(times), began, AT)


def test_a_rate_leaves_out_the_busiest_week() -> None:
    weekly = [ago(1 + 7 * week) for week in range(30)]
    began = ago(400)
    assert rate(weekly, began) == 1 / 7, "weekly is weekly, not more"
    assert rate([*weekly, *[ago(2)] * 20], began) == 1 / 7, "one busy week changes nothing"
    assert rate([ago(2)] * 20, began) == 0
    assert rate((ago(day + 0.5) for day in range(90)), began) == 1
    assert rate([], began) == 0


def test_weekly_is_not_more_than_weekly_and_daily_not_more_than_daily() -> None:
    for text, days in (("weekly", 7), ("daily", 1)):
        value = rate((ago(0.5 + day) for day in range(0, 200, days)), ago(400))
        assert (
            triggers.parse(f"deployment_frequency > {text}").evaluate({"deployment_frequency": value}).value
            is False
        )
        assert (
            triggers.parse(f"deployment_frequency >= {text}").evaluate({"deployment_frequency": value}).value
            is True
        )


def test_a_young_record_has_no_rate_yet() -> None:
    """Four deploys in the first three days are neither daily nor none."""
    times = [ago(day) for day in (0.5, 1, 2, 3)]
    assert rate(times, ago(3)) is None
    assert rate(times, ago(27.9)) is None
    assert rate((ago(1 + 3.5 * half) for half in range(8)), ago(28)) == 2 / 7
    assert rates.too_short(ago(3), AT) == "the record is 3 days long; a rate needs 28"
    assert rates.too_short(ago(1), AT) == "the record is 1 day long; a rate needs 28"


# Deployments


def test_weekly_release_tags_are_a_weekly_deployment_of_low_confidence(history: History) -> None:
    for week in range(30, -1, -1):
        at = ago(1 + 7 * week)
        history.commit(at).tag(f"v1.{30 - week}.0", at if week % 2 else None)
    history.tag("api-v1.30.0").tag("nightly").commit(ago(0.5)).tag("v2.0.0-rc.1").tag("v3.0.0", ago(-10))
    found = measure(history.make())["deployment_frequency"]
    assert (found.value, found.source, found.window, found.confidence) == (
        1 / 7,
        "release tags",
        "12 weeks",
        "low",
    )
    assert found.evidence[0].startswith("12 releases in 12 weeks, the record begins on 2026-04-27")
    assert "tags that look like no release: 2" in found.evidence
    assert "tags dated in the future, not counted: 1" in found.evidence
    assert "the deployment log (config/deploys.jsonl): no such file" in found.evidence
    assert found.history[-1] == ("2026-11-23", 1 / 7) and found.history[0][0] == "2026-06-01"


def test_merges_are_no_deployments(history: History) -> None:
    for day in range(60):
        history.commit(ago(day), message=f"Merge pull request #{day} from feature")
    found = measure(history.make())["deployment_frequency"]
    assert found.value is None
    assert (
        found.reason
        == "the deployment log (config/deploys.jsonl): no such file; GitHub's deployments: not asked,"
        " offline; release tags: none"
    )


def daily(project: Path) -> Path:
    """A deployment log of a deploy a day for 20 weeks, at midnight; each seventh fails and is deployed again
    an hour later.
    """
    lines: list[dict[str, Any]] = []
    for day in range(140, 0, -1):
        if day % 7 == 3:
            lines.append({"ago": day - 0.5, "outcome": "failure"})
            lines.append({"ago": day - 0.5 - 1 / 24, "outcome": "success"})
        else:
            lines.append({"ago": day - 0.5, "outcome": "success"})
    return wrote(project, *lines)


def test_the_deployment_log_wins_and_only_successes_count(history: History) -> None:
    measured = measure(daily(history.commit(ago(1)).tag("v1.0").make()))
    found = measured["deployment_frequency"]
    assert (found.value, found.source, found.confidence) == (
        1,
        "deployment log (config/deploys.jsonl)",
        "high",
    )
    assert found.history[-1] == ("2026-11-23", 1)
    assert found.history[0] == ("2026-08-10", 1), "four weeks after the record begins"
    assert (measured["production_deployment"].value, measured["production_deployment"].source) == (
        True,
        "deployment log (config/deploys.jsonl)",
    )


def test_a_deployment_log_with_failures_tells_errors_failure_rate_and_time_to_restore(
    history: History,
) -> None:
    measured = measure(daily(history.commit(ago(1)).make()))
    assert measured["manual_errors"].value == 1 / 7
    assert measured["change_failure_rate"].value == 12 / 96, (
        "84 days with a deploy, and 12 that were tried twice"
    )
    assert measured["time_to_restore"].value == pytest.approx(1)
    assert measured["manual_errors"].evidence[0] == "in 12 weeks: 12 failed deploy"
    assert measured["manual_errors"].history[-1] == ("2026-11-23", 1 / 7)


def test_incidents_and_rollbacks_blame_the_deploy_before_them(history: History) -> None:
    project = wrote(
        history.commit(ago(1)).make(),
        {"ago": 60, "version": "one", "outcome": "success"},
        {"ago": 50, "version": "two", "outcome": "success"},
        {"ago": 49, "version": "two", "kind": "incident"},
        {"ago": 48.5, "version": "one", "kind": "rollback", "outcome": "success"},
        {"ago": 40, "version": "three", "outcome": "success"},
        {"ago": 39, "version": "one", "kind": "rollback", "outcome": "success"},
        {"ago": 30, "version": "four", "outcome": "success"},
        {"ago": 20, "version": "four", "kind": "incident"},
        {"ago": 19, "version": "four", "kind": "restored"},
        {"ago": 10, "version": "five", "outcome": "success"},
        {"ago": 1, "version": "five", "kind": "incident", "environment": "staging"},
        {"ago": 0.5, "version": "five", "kind": "incident"},
    )
    measured = measure(project)
    assert measured["change_failure_rate"].value == 4 / 5, "two, three, four and five"
    assert measured["time_to_restore"].value == 18, (
        "12 and 24 hours; of the plain rollback nobody knows, and one is open"
    )
    assert measured["time_to_restore"].evidence[-1] == "not over yet: 1"
    assert measured["manual_errors"].value == (4 - 1) / (7 * 7), (
        "in the eight weeks of the record, without the worst"
    )
    assert measured["manual_errors"].evidence[0] == "in 12 weeks: 3 incident, 1 rolled back"


def test_a_quiet_deployment_log_has_no_errors_and_nothing_to_restore(history: History) -> None:
    measured = measure(
        wrote(
            history.commit(ago(1)).make(), {"ago": 60, "outcome": "success"}, {"ago": 2, "outcome": "success"}
        )
    )
    assert measured["manual_errors"].value == 0
    assert measured["change_failure_rate"].value == 0
    assert measured["time_to_restore"].value is None
    assert measured["time_to_restore"].reason == "nothing that went wrong was put right in 12 weeks"


def test_the_first_days_of_a_deployment_log_are_no_rate(history: History) -> None:
    measured = measure(
        wrote(history.commit(ago(3)).make(), *({"ago": day, "outcome": "success"} for day in (3, 2, 1, 0.5)))
    )
    for name in ("deployment_frequency", "manual_errors"):
        assert (measured[name].value, measured[name].reason) == (
            None,
            "the record is 3 days long; a rate needs 28",
        )
        known = (NOW + timedelta(days=25)).date().isoformat()
        assert measured[name].do == f"go on as now: it is known from {known} on"
    assert measured["production_deployment"].value is True


def test_the_past_of_what_is_not_known_any_more_stays(history: History) -> None:
    measured = measure(
        wrote(
            history.commit(ago(300)).make(),
            {"ago": 120, "outcome": "success"},
            {"ago": 1, "outcome": "failure"},
        )
    )
    assert measured["time_to_restore"].value is None and measured["lead_time"].value is None
    measured = measure(wrote(history.commit(ago(300)).make(), {"ago": 120, "outcome": "success"}))
    assert measured["change_failure_rate"].value is None
    assert {value for _, value in measured["change_failure_rate"].history} == {0}, (
        "of the weeks in which it was known"
    )


def test_without_a_deployment_log_nothing_is_known_of_errors(history: History) -> None:
    measured = measure(history.commit(ago(3)).tag("v1.0").make())
    for name in ("manual_errors", "change_failure_rate", "time_to_restore"):
        assert measured[name].value is None and measured[name].reason.startswith(
            "there is no deployment log (config/deploys.jsonl)"
        )
    assert measured["production_deployment"].reason == "no deployment is recorded", "a release is none"
    assert measured["lead_time"].reason == "no source tells which commit was deployed when"


def test_a_deployment_log_of_another_environment_says_nothing_of_production(history: History) -> None:
    project = wrote(
        history.commit(ago(3)).make(),
        *({"ago": day - 0.5, "outcome": "success"} for day in range(60, 0, -1)),
        environment="live",
    )
    measured = measure(project)
    assert (
        "the deployment log (config/deploys.jsonl): none to production"
        in measured["deployment_frequency"].reason
    )
    assert measured["manual_errors"].reason == "the deployment log has nothing of production"
    configured(project, "sources: {environment: live}\n")
    assert measure(project)["deployment_frequency"].value == 1


def test_broken_future_and_doubled_lines_are_said_and_not_counted(history: History) -> None:
    good = {"ago": 30, "outcome": "success"}
    project = wrote(
        history.commit(ago(3)).make(),
        good,
        "<<<<<<< HEAD",
        good,
        "{}",
        '{"kind": "deploy", "environment": "production", "at": "yesterday"}',
        '{"kind": "deploy", "environment": "production", "version": "$(x)", "at": "2026-11-01T00:00:00Z"}',
        "[" * 100_000,
        {"ago": -3, "outcome": "success"},
        {"ago": 29, "outcome": "maybe"},
        "",
    )
    found = measure(project)["deployment_frequency"]
    assert found.evidence[0].startswith("1 deployment in 12 weeks")
    assert found.evidence[1:4] == (
        "config/deploys.jsonl: broken (lines 2, 4, 5, 6, 7 and 1 more, not counted)",
        "config/deploys.jsonl: dated in the future (line 8, not counted)",
        "config/deploys.jsonl: 1 line stands there twice and counts once",
    )


def test_lead_time_is_from_commit_to_deploy(history: History) -> None:
    history.commit(ago(30)).tag("v1.0").commit(ago(20)).commit(ago(10)).commit(ago(1))
    project = history.make()
    one, two, three = git(project, "log", "-3", "--format=%h").split()
    deploys = [("v1.0", 29), (three, 18), (two, 9.5), (one, 1.5), ("fffffff", 5), ("main", 4)]
    wrote(project, *({"ago": ago, "version": version, "outcome": "success"} for version, ago in deploys))
    lead = measure(project)["lead_time"]
    assert (lead.value, lead.source) == (
        24,
        "deployment log (config/deploys.jsonl), git",
    ), "of 24, 48 and 12 hours"
    assert lead.evidence[1] == "deployments of commits that aren't here, or are dated later, not counted: 3"


# Without measuring


def test_services_and_what_was_declared_are_known_at_once(history: History) -> None:
    project = history.make()
    text = (
        "declared:\n  uptime_requirement: 99.9%\n  geographic_distribution: false\n  handling_user_data:"
        " true\n  user_base: 12_000\n"
    )
    measured = measure(configured(project, text), {"services": ["api", {"name": "bot"}]})
    values = {name: one.value for name, one in measured.items() if one.value is not None}
    assert values == {
        "user_base": 12000,
        "uptime_requirement": pytest.approx(0.999),
        "multiple_services": True,
        "service_count": 2,
        "geographic_distribution": False,
        "handling_user_data": True,
    }
    assert measured["uptime_requirement"].source == "config/evolution.yml:2"


@pytest.mark.parametrize("share", ["99%", "99.9%", "99.95%", "99.99%", "99.999%"])
def test_a_requirement_is_not_more_than_itself(history: History, share: str) -> None:
    measured = measure(configured(history.make(), f"declared: {{uptime_requirement: {share}}}\n"))
    values = {name: one.value for name, one in measured.items()}
    assert triggers.parse(f"uptime_requirement > {share}").evaluate(values).value is False
    assert triggers.parse(f"uptime_requirement >= {share}").evaluate(values).value is True


def test_what_was_not_declared_is_unknown(history: History) -> None:
    project = configured(history.make(), "declared:\n  uptime_requirement: null\n")
    one = measure(project)["uptime_requirement"]
    assert (one.value, one.reason) == (
        None,
        "nobody has said: `declared: uptime_requirement:` in config/evolution.yml",
    )
    configured(project, "declared:\n")
    assert measure(project)["handling_user_data"].value is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "declared:\n  uptime_requirement: 99.9\n",
            ":2: declared.uptime_requirement: expected a share of 100 such as 99.9%, or null, got 99.9",
        ),
        ("declared:\n  uptime_requirement: 101%\n", ":2: declared.uptime_requirement: expected a share"),
        (
            "declared:\n  handling_user_data: maybe\n",
            ":2: declared.handling_user_data: expected true or false, or null, got maybe",
        ),
        ("declared:\n  user_base: .inf\n", ":2: declared.user_base: expected a number such as 10000"),
        (
            "declared:\n  user_base: [1]\n",
            ":2: declared.user_base: expected a number such as 10000, or null, got list",
        ),
        (
            "declared:\n\n  uptime_requirment: 99%\n",
            ":3: declared: knows no 'uptime_requirment'; did you mean uptime_requirement?",
        ),
        ("declared:\n  user_base: 1\n  user_base: 2\n", ":3: user_base stands there twice"),
        ("declared: 7\n", ":1: declared: expected names with values"),
        ("- declared\n", ":1: the file: expected names with values"),
        ("a: [\n", ":2: expected YAML"),
        ("a: 1\n\tb: 2\n", ":2: expected YAML"),
        (
            "sources:\n  prometheus: http://me:secret@p:9090\n",
            ":2: sources.prometheus.url: holds a user or a password",
        ),
        (
            "sources:\n  prometheus: prometheus:9090\n",
            ":2: sources.prometheus.url: expected an address such as http://prometheus:9090",
        ),
        (
            "sources:\n  prometheus: {url: 'file:///etc/passwd'}\n",
            ":2: sources.prometheus.url: expected an address",
        ),
        (
            "sources:\n  prometheus: {url: 'http://p', user: x}\n",
            ":2: sources.prometheus: knows no 'user'; did you mean users?",
        ),
        (
            "sources:\n  github: {workflow: ../../x.yml}\n",
            ":2: sources.github.workflow: expected a file of .github/workflows",
        ),
        ("sources:\n  bots: dependabot\n", ":2: sources.bots: expected a list"),
        ("sources:\n  environment: '../x'\n", ":2: sources.environment: expected the name of an environment"),
        (
            "sources:\n  datadog: x\n",
            ":2: sources: knows no 'datadog'; expected one of environment, bots, github, prometheus",
        ),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_line(history: History, text: str, message: str) -> None:
    project = configured(history.make(), text)
    with pytest.raises(Refused) as refused:
        measure(project)
    told = str(refused.value)
    assert told.startswith("config/evolution.yml" + message), told
    assert "secret" not in told and "\n" not in told


def test_the_file_that_the_template_gives_is_taken(fresh: Callable[..., Any]) -> None:
    measured = metrics.measure(fresh(1).folder, fresh(1).answers(), now=datetime.now(UTC), offline=True)
    assert measured["team_size"].value == 1
    assert measured["deployment_frequency"].value is None, "on its first day a project has no rhythm"


# The deployment log by hand


def test_an_incident_is_of_the_version_that_runs_and_ends_once(history: History) -> None:
    project = history.commit(ago(3)).make()
    deployment_log.record(project, "deploy", "production", "v7", "success", "", "2026-01-05T10:00:00+00:00")
    deployment_log.record(
        project, "incident", "production", None, "", "the café closed", "2026-01-05T11:00:00+00:00"
    )
    told = deployment_log.record(project, "restored", "production", None, "", "", "2026-01-05T13:30:00+00:00")
    assert told == "config/deploys.jsonl: restored of v7 in production recorded; commit it"
    with pytest.raises(Refused, match="nothing is recorded as broken in production"):
        deployment_log.record(project, "restored", "production", None, "", "")
    read = deployment_log.read(project, time.time())
    (trouble,) = deployment_log.troubles(read.entries, "production")
    assert (trouble.version, (trouble.end or 0) - trouble.start) == ("v7", 2.5 * 3600)
    assert [
        json.loads(line).get("outcome") for line in (project / deployment_log.FILE).read_text().splitlines()
    ] == [
        "success",
        None,
        None,
    ]


def test_what_is_told_afterwards_is_of_the_version_that_ran_then(history: History) -> None:
    """What is checked out today says nothing of a day that is past."""
    project = history.commit(ago(3)).make()

    def version(kind: str, at: str = "", environment: str = "production", given: str | None = None) -> str:
        deployment_log.record(project, kind, environment, given, "", "", at)
        return str(json.loads((project / deployment_log.FILE).read_text().splitlines()[-1])["version"])

    assert version("incident", "2026-01-01T00:00:00+00:00") == "unknown", "before the first deployment"
    version("deploy", "2026-01-05T10:00:00+00:00", given="v7")
    version("deploy", "2026-01-07T10:00:00+00:00", given="v8")
    assert version("incident", "2026-01-06T11:00:00+00:00") == "v7"
    assert version("incident", "2026-01-07T10:00:00+00:00") == "v8"
    assert version("incident", "2026-01-08T11:00:00+00:00", "staging") == "unknown"
    assert version("rollback", "2026-01-08T12:00:00+00:00") == "v7", "back to what ran before"
    assert version("restored", "2026-01-08T13:00:00+00:00", "staging") == "unknown"
    assert version("deploy", "2020-01-01T10:00:00+00:00") == "unknown", "the commit was not there yet"
    assert git(project, "rev-parse", "HEAD").startswith(version("deploy"))


@pytest.mark.parametrize("kind", ["incident", "restored"])
@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_an_outcome_of_what_has_none_is_refused(history: History, kind: str, outcome: str) -> None:
    project = history.commit(ago(3)).make()
    with pytest.raises(Refused, match=f"^--outcome {outcome}: expected for a deploy or a rollback only"):
        deployment_log.record(project, kind, "production", None, outcome, "")
    assert not (project / deployment_log.FILE).exists()


@pytest.mark.parametrize("at", ["tomorrow", "2126-01-01T00:00", "0001-01-01", "2026-01-05T10:00+99:00"])
def test_a_time_that_cannot_be_is_refused_and_nothing_written(history: History, at: str) -> None:
    project = history.commit(ago(3)).make()
    with pytest.raises(Refused, match=re.escape(f"--at {at!r}: expected a time")):
        deployment_log.record(project, "deploy", "production", None, "success", "", at)
    assert not (project / deployment_log.FILE).exists()


# People


def test_joining_addresses_hangs_on_no_order() -> None:
    several = [("Ann", "a@x"), ("Ann", "b@x"), ("Annie", "B@x"), ("annie", "c@x"), ("Bob", "d@x")]
    for order in (several, several[::-1]):
        person = people.same_person(order)
        assert len(set(person.values())) == 2
        assert person["Annie", "B@x"] == person["Ann", "a@x"]


# The record on the host


class Deploying(NamedTuple):
    """A project at level 2 whose production is a stand-in for a host."""

    project: Path
    host: StandIns


@pytest.fixture
def deploying(at_level: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploying:
    project = at_level(2)
    project.write("config/production.env", "DEPLOY_HOST=deployer@shop.example.org\n")
    stand_ins = StandIns(tmp_path / "stand-ins")
    monkeypatch.setenv("PATH", f"{stand_ins.bin}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name == "CI" or name.startswith("DEPLOY_")]:
        monkeypatch.delenv(name)
    return Deploying(project.folder, stand_ins)


def on_host(there: Deploying, *lines: dict[str, Any] | str) -> None:
    """Write production's record on the host, as wrote() writes the project's."""
    project = there.host.folder.parent / "as-on-host"
    folder = there.host.host / "deploy/shop-production"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text((wrote(project, *lines) / deployment_log.FILE).read_text())


def test_a_deploy_that_host_and_project_have_on_record_counts_once(deploying: Deploying) -> None:
    by_hand = [{"ago": day, "outcome": "success", "release": day} for day in (50, 40, 3)]
    by_workflow = [{"ago": day - 0.5, "version": "b", "outcome": "success"} for day in range(70, 0, -1)]
    failed = {"ago": 2.25, "outcome": "failure", "note": "ready failed", "seconds": 12.5}
    wrote(deploying.project, *by_hand, {"ago": 1, "kind": "incident"}, {"ago": 0.75, "kind": "restored"})
    on_host(deploying, *({**one, "builds": {"api": "sha256:1"}} for one in by_hand), *by_workflow, failed)
    measured = measure(deploying.project, offline=False)
    frequency = measured["deployment_frequency"]
    assert frequency.evidence[0].startswith("73 deployments in 12 weeks"), frequency
    assert (frequency.value, frequency.confidence) == (1 + 2 / 56, "high"), "nine weeks without the busiest"
    assert frequency.source == "deployment log (the record on the host and config/deploys.jsonl)"
    assert measured["change_failure_rate"].value == pytest.approx(2 / 74), (
        "one failed, one led to an incident"
    )
    assert measured["time_to_restore"].value == pytest.approx((18 + 6) / 2)
    assert measured["manual_errors"].evidence[0] == "in 12 weeks: 1 failed deploy, 1 incident"


def test_deploys_that_only_the_host_has_on_record_are_known(deploying: Deploying) -> None:
    on_host(deploying, *({"ago": day - 0.5, "outcome": "success"} for day in range(40, 0, -1)), "{torn", "")
    measured = measure(deploying.project, offline=False)
    found = measured["deployment_frequency"]
    assert (found.value, found.source) == (1, "deployment log (the record on the host)")
    assert "the record on the host: broken (line 41, not counted)" in found.evidence
    assert measured["manual_errors"].value == 0 and measured["production_deployment"].value is True


def test_builds_of_several_commits_are_one_deployment(deploying: Deploying) -> None:
    on_host(deploying, {"ago": 1, "version": "abc1234,def5678", "outcome": "success"})
    assert measure(deploying.project, offline=False)["production_deployment"].value is True


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (
            "unreachable",
            "ssh: connect to host: Connection refused; deployer@shop.example.org can't be reached",
        ),
        ("no settings", "config/production.env is missing: copy config/production.env.template"),
        ("no host", "DEPLOY_HOST is '', expected user@host or user@host:port (config/production.env)"),
        ("slow", "the host of production didn't answer within 1 s"),
        ("offline", "not asked, offline"),
    ],
)
def test_a_record_that_cannot_be_read_is_said_and_not_taken_for_none(
    deploying: Deploying, monkeypatch: pytest.MonkeyPatch, trouble: str, reason: str
) -> None:
    project = deploying.project
    settings = project / "config/production.env"
    if trouble == "unreachable":
        deploying.host.trouble(unreachable=True)
    elif trouble == "no settings":
        settings.unlink()
    elif trouble == "no host":
        settings.write_text("")
    elif trouble == "slow":
        monkeypatch.setattr(web, "LIMIT", 1)
        (deploying.host.bin / "ssh").write_text("#!/bin/sh\nexec sleep 30\n")
    start = time.monotonic()
    measured = measure(project, offline=trouble == "offline")
    assert time.monotonic() - start < 6
    for name in ("deployment_frequency", "manual_errors", "change_failure_rate", "time_to_restore"):
        assert measured[name].value is None and reason in measured[name].reason, measured[name]
        assert measured[name].do.startswith("run this w")
    # What the project has is a part: what it has none of isn't known to be none, and what it has may be more.
    wrote(project, *({"ago": day - 0.5, "outcome": "success"} for day in range(40, 0, -1)))
    measured = measure(project, offline=trouble == "offline")
    found = measured["deployment_frequency"]
    assert (found.value, found.confidence) == (1, "medium")
    assert any(f"the record on the host: {reason}" in line for line in found.evidence), found.evidence
    assert measured["manual_errors"].value is None and reason in measured["manual_errors"].reason
    assert measured["change_failure_rate"].value is None
    wrote(project, *({"ago": day, "outcome": ("success", "failure")[day % 2]} for day in range(40, 0, -1)))
    failing = measure(project, offline=trouble == "offline")["change_failure_rate"]
    assert (failing.value, failing.confidence) == (0.5, "medium")


def test_a_record_that_was_read_and_is_empty_leaves_the_rest_known(deploying: Deploying) -> None:
    wrote(deploying.project, *({"ago": day - 0.5, "outcome": "success"} for day in range(40, 0, -1)))
    measured = measure(deploying.project, offline=False)
    assert (measured["deployment_frequency"].value, measured["manual_errors"].value) == (1, 0)
    assert "the record on the host, which is empty" in measured["manual_errors"].source
    (deploying.project / deployment_log.FILE).unlink()
    assert "empty" in measure(deploying.project, offline=False)["deployment_frequency"].reason


# Users of a day


@pytest.mark.parametrize("users", [0, 1, 10, 200, 640, 1000, 5000, 100_000])
def test_users_are_estimated_from_the_registers_within_three_errors(users: int) -> None:
    ranks = registers((f"user {number}" for number in range(users)), "2026-11-24")
    found = stack.estimate({str(number): float(rank) for number, rank in enumerate(ranks)})
    assert found == pytest.approx(users, rel=3 * stack.ERROR, abs=0.5)


@pytest.mark.parametrize(
    "registers", [{"256": 1.0}, {"": 1.0}, {"0": -1.0}, {"0": 65.0}, {"0": 0.5}, {"0": float("inf")}]
)
def test_what_is_no_sketch_is_no_number_of_users(registers: dict[str, float]) -> None:
    assert stack.estimate(registers) is None


# The Prometheus of level 3


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("PROMETHEUS_URL=http://me:hunter2@p:9090\n", "PROMETHEUS_URL: expected an address such as"),
        ("PROMETHEUS_URL=file:///etc/passwd\n", "PROMETHEUS_URL: expected an address such as"),
        ("DEPLOY_HOST=ann@shop.example.org\n", "ssh: connect to host: Connection refused"),
        ("", "DEPLOY_HOST is '', expected user@host"),
        (None, "config/production.env is missing"),
    ],
)
def test_without_a_way_to_prometheus_traffic_and_uptime_are_unknown(
    at_level: Callable[..., Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: str,
    reason: str,
) -> None:
    project = at_level(3)
    if settings is not None:
        project.write("config/production.env", settings)
    there = StandIns(tmp_path / "stand-ins")
    there.trouble(unreachable=True)
    monkeypatch.setenv("PATH", f"{there.bin}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name == "CI" or name.startswith(("DEPLOY_", "PROMETHEUS"))]:
        monkeypatch.delenv(name)
    measured = metrics.measure(project.folder, project.answers(), now=NOW)
    for name in ("production_traffic.requests", "production_traffic.users", "measured_uptime"):
        one = measured[name]
        assert one.value is None and one.reason.startswith(reason) and "hunter2" not in repr(one)
        assert one.do == "run this on a machine that deploys there, or set PROMETHEUS_URL"
    offline = metrics.measure(project.folder, project.answers(), now=NOW, offline=True)
    assert offline["measured_uptime"].reason == "not asked, offline"


def test_a_prometheus_that_is_set_by_its_address_needs_no_ssh(
    at_level: Callable[..., Project], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = at_level(3)
    project.write("config/production.env", "")
    address = server(body(200, '{"data": {"resultType": "vector", "result": []}}'))
    monkeypatch.setenv("PROMETHEUS_URL", f"{address}/")
    one = metrics.measure(project.folder, project.answers(), now=NOW)["measured_uptime"]
    assert (one.source, one.reason) == (
        f"Prometheus ({address})",
        "Prometheus watches no service of this environment",
    )


# Servers that misbehave


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """A server on this machine that answers each request as it is told; gives its address."""
    servers = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for one in servers:
        one.shutdown()
        one.server_close()


def body(status: int, text: str, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def test_a_server_that_never_ends_its_answer_is_left(
    server: Any, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    monkeypatch.setattr(web, "LIMIT", 0.5)
    project = configured(history.make(), f"sources: {{prometheus: '{server(drip)}'}}\n")
    start = time.monotonic()
    reason = measure(project, offline=False)["production_traffic.requests"].reason
    assert "didn't answer in time" in reason and time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (200, "<h1>It works!</h1>", "doesn't answer with JSON"),
        (200, "[]", "the address answers, but not as Prometheus does"),
        (200, "[" * 100_000, "doesn't answer with JSON"),
        (503, '{"error": "\\u001b[31mdown\\n"}', "Prometheus refuses the query (503: \\x1b[31mdown\\n)"),
        (401, "", "Prometheus refuses the query (401)"),
    ],
)
def test_what_is_no_prometheus_is_unknown(
    server: Any, history: History, status: int, text: str, message: str
) -> None:
    project = configured(history.make(), f"sources: {{prometheus: '{server(body(status, text))}'}}\n")
    one = measure(project, offline=False)["production_traffic.requests"]
    assert one.value is None and message in one.reason and one.reason.isprintable()


def test_a_token_is_handed_to_no_other_server(server: Any) -> None:
    seen: list[str] = []
    elsewhere = server(
        lambda handler: seen.append(handler.headers.get("Authorization", "")) or body(200, "{}")(handler)
    )
    here = server(body(301, "", Location=f"{elsewhere}/x"))
    with pytest.raises(web.Answered, match="301"):
        web.get(f"{here}/x", time.monotonic() + 5, {"Authorization": "Bearer secret"})
    assert seen == []


def test_a_token_with_a_line_end_is_not_repeated(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "hunter2\nX: y")
    reason = measure(history.make(), {"repository": "acme/shop"}, offline=False)[
        "deployment_frequency"
    ].reason
    assert "GITHUB_TOKEN holds characters that are in no token" in reason and "hunter2" not in reason
