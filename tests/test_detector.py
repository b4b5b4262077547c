"""The detector: which level is due, from what the project measures of itself.

Nothing is stubbed: the projects have a past of their own.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extensions.cli import main
from extensions.errors import Refused
from extensions.evolution import charts, detector, page
from extensions.evolution.detector import Report, Stage, detect, mondays
from extensions.evolution.triggers import Part
from extensions.template import answers
from tests.support.pasts import commits, deployments, finished
from tests.support.projects import ROOT, Project, git

AtLevel = Callable[..., Project]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday


@pytest.fixture(autouse=True)
def no_github(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)


def report(project: Project, now: datetime = NOW) -> Report:
    return detect(project.folder, answers.recorded_answers(project.folder), now=now, offline=True)


def declared(project: Project, name: str, value: str) -> Project:
    project.replace("config/evolution.yml", f"  {name}: null", f"  {name}: {value}")
    return project


def stage(found: Report, level: int) -> Stage:
    return next(stage for stage in found.roadmap if stage.level == level)


def test_a_new_project_with_two_services_is_recommended_nothing(at_level: AtLevel) -> None:
    found = report(finished(at_level(1, two=True)))
    assert found.recommendation is None and found.due is None
    assert [stage.level for stage in found.later] == [4], "two services speak for level 4: later"
    assert found.verdict()[0] == "Stay at level 1"


def test_a_team_that_stays_larger_makes_level_2_due(at_level: AtLevel) -> None:
    project = commits(finished(at_level(1)), NOW, [1] * 10 + [5] * 6)
    found = report(project)
    advice = found.recommendation
    assert advice is not None
    assert (advice.level, advice.title, advice.effort, advice.command) == (
        2,
        "Automated",
        "2-3 days",
        "make upgrade LEVEL=2",
    )
    assert advice.reasons == ("Team size: 5 people, more than 2 people; git log, 90 days, high confidence",)
    assert (advice.priority, advice.because) == ("high", "the value is at least twice its threshold")
    assert "Reduced manual errors" in advice.benefits and advice.cost
    assert found.verdict() == (
        "Level 2, Automated, is due",
        "Priority high: the value is at least twice its threshold.",
    )


def test_one_busy_week_is_no_reason(at_level: AtLevel) -> None:
    project = commits(finished(at_level(1)), NOW, [1] * 15 + [4])
    found = report(project)
    assert stage(found, 2).outcome is True
    assert stage(found, 2).mondays < detector.WEEKS
    assert (found.recommendation, found.due) == (None, None)
    assert "One busy week is no reason" in found.verdict()[1]


@pytest.mark.parametrize(("weeks", "held"), [(1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_it_counts_the_mondays_in_a_row(at_level: AtLevel, weeks: int, held: int) -> None:
    """Three people commit on the Sunday before each of the last `weeks` Mondays, and no earlier."""
    project = finished(at_level(1))
    sunday = datetime(2026, 11, 22, 12, tzinfo=UTC)
    commits(project, sunday, [1] * 5 + [3] * weeks)
    found = report(project)
    assert stage(found, 2).mondays == held
    assert (found.recommendation is not None) == (held == 4)


def test_a_young_project_waits_until_four_mondays_have_seen_it(at_level: AtLevel) -> None:
    project = commits(finished(at_level(1)), NOW, [5, 5])
    assert stage(report(project), 2).outcome is True
    assert report(project).recommendation is None


def test_what_has_no_history_counts_at_once(at_level: AtLevel) -> None:
    project = finished(at_level(2))
    project = declared(project, "uptime_requirement", "99.9%")
    found = report(project)
    assert stage(found, 3).due and found.due == 3


def test_the_checklist_comes_first(at_level: AtLevel) -> None:
    project = commits(at_level(1), NOW, [1] * 5 + [5] * 6)
    found = report(project)
    assert found.recommendation is None and found.due == 2
    assert "locked_dependencies" in {item.key for item in found.blocked_by}
    assert all(item.state == "todo" and item.level == 1 for item in found.blocked_by)
    assert found.verdict()[0] == "Finish level 1 first"
    document = found.as_json()
    assert document["recommendation"] is None and document["blocked_by"][0]["fix"]


def test_only_the_next_level_is_recommended(at_level: AtLevel) -> None:
    project = declared(finished(at_level(1)), "uptime_requirement", "99.9%")
    found = report(declared(project, "geographic_distribution", "true"))
    assert found.recommendation is None
    assert [stage.level for stage in found.later] == [3, 4]
    assert [one["state"] for one in found.as_json()["roadmap"]] == ["unknown", "later", "later"]


@pytest.mark.parametrize(("level", "name"), [(3, "Professional"), (4, "Enterprise")])
def test_higher_levels_are_recommended_from_the_one_before(at_level: AtLevel, level: int, name: str) -> None:
    project = finished(at_level(level - 1))
    deployments(project, NOW, [9] * 16)
    project = declared(declared(project, "uptime_requirement", "99.9%"), "geographic_distribution", "true")
    advice = report(project).recommendation
    assert advice and (advice.level, advice.title, advice.command) == (
        level,
        name,
        f"make upgrade LEVEL={level}",
    )
    if level == 3:
        assert [reason.split(":")[0] for reason in advice.reasons] == [
            "Uptime requirement",
            "Deployment frequency",
        ]
        assert (advice.priority, advice.because) == ("high", "2 reasons hold at once")
    else:
        assert (advice.priority, advice.because) == ("medium", "one reason holds")


def test_at_the_highest_level_nothing_is_beyond(at_level: AtLevel) -> None:
    found = report(at_level(4))
    assert (found.recommendation, found.due, found.later) == (None, None, ())
    assert found.verdict()[0] == "Level 4 is the highest"
    assert {one["state"] for one in found.as_json()["roadmap"]} == {"reached"}


def test_priority_is_low_where_the_figure_is_not_sure() -> None:
    """Release tags, for example, are a weak sign of deployments."""
    part = Part("deployment_frequency > weekly", "deployment_frequency", 0.2, 1 / 7, ">", True)
    weekly = detector.Measured("deployment_frequency", 0.2, "release tags", "12 weeks", "low")
    one = Stage(2, "Automated", "", "", True, (part,), 4)
    assert detector._priority(one, {"deployment_frequency": weekly}) == (
        "low",
        "the value is known with low confidence",
    )
    assert (
        detector._priority(one, {"deployment_frequency": replace(weekly, confidence="high")})[0] == "medium"
    )
    assert (
        detector._priority(replace(one, parts=(replace(part, value=0.3),)), {"deployment_frequency": weekly})[
            0
        ]
        == "high"
    )


def test_what_is_unknown_is_said_with_what_to_do(at_level: AtLevel) -> None:
    found = report(at_level(1)).as_json()
    unknown = {one["metric"]: one for one in found["unknown"]}
    assert "make record WHAT=deploy" in unknown["deployment_frequency"]["do"]
    assert "`uptime_requirement: 99.9%` below `declared:`" in unknown["uptime_requirement"]["do"]
    assert all(one["reason"] and one["do"] for one in unknown.values())
    assert "team_size" not in unknown
    for name in unknown:
        assert found["metrics"][name]["value"] is None and found["metrics"][name]["shown"] == "unknown"
    outcomes = {part["metric"]: part["outcome"] for stage in found["roadmap"] for part in stage["parts"]}
    assert {name for name, outcome in outcomes.items() if outcome is None} == set(unknown)


def test_what_to_do_hangs_on_why_it_is_unknown(at_level: AtLevel) -> None:
    project = deployments(commits(finished(at_level(1)), NOW, [1] * 4), NOW, [2] * 3)
    unknown = {one["metric"]: one for one in report(project).as_json()["unknown"]}
    assert "it is known from 20" in unknown["deployment_frequency"]["do"], (
        "and not: write each deployment down"
    )
    assert "make record" not in unknown["deployment_frequency"]["do"]
    shutil.rmtree(project.folder / ".git")
    (team,) = (one for one in report(project).as_json()["unknown"] if one["metric"] == "team_size")
    assert "unshallow" not in team["do"] and "git init" in team["do"]


def test_what_to_do_next_is_always_there(at_level: AtLevel) -> None:
    project = at_level(1)
    assert report(project).as_json()["next"] == {"why": "What level 1 still needs", "command": "make todo"}
    commits(project, NOW, [1] * 10 + [5] * 6)
    assert report(project).due and report(project).as_json()["next"]["command"] == "make todo"
    found = report(finished(project)).as_json()
    assert found["next"] == {"why": "To move", "command": "make upgrade LEVEL=2"}
    assert '<code class="command">make upgrade LEVEL=2</code>' in page.render(found)


def test_every_metric_with_a_past_has_a_chart_and_no_row_says_yes_twice(at_level: AtLevel) -> None:
    project = deployments(commits(finished(at_level(1, two=True)), NOW, [5] * 10), NOW, [2] * 14)
    document = report(declared(project, "handling_user_data", "true")).as_json()
    past = {one["name"] for one in document["metrics"].values() if one["history"]}
    assert {"Team size", "Deployment frequency", "Change failure rate", "Manual errors"} <= past
    assert {chart.name for chart in charts.charts(document)} == past
    text = re.sub(r"<[^>]+>", "|", page.render(document))
    assert "Multiple services|" in text and not re.search(r"yes[|\s]+yes", text)
    young = {
        "name": "x",
        "metric": "team_size",
        "history": [("2026-11-23", 2.0)],
        "value": 3.0,
        "shown": "3 people",
    }
    (chart,) = charts.charts(
        {"level": 1, "roadmap": [], "at": "2026-11-24T12:00:00+00:00", "metrics": {"x": young}}
    )
    assert chart.rows == (("2026-11-23", "2 people"), ("2026-11-24", "3 people")), "one Monday, and today"


def test_the_persons_own_triggers_count(at_level: AtLevel) -> None:
    project = finished(at_level(1, two=True))
    text = project.read("config/evolution.yml")
    text = re.sub(
        r"level_2_trigger: .*", 'level_2_trigger: "when_multiple_services AND NOT service_count > 10"', text
    )
    project.write("config/evolution.yml", text)
    advice = report(project).recommendation
    assert advice and advice.reasons == (
        "Multiple services: yes; the answer `services`, now, high confidence",
    )


def test_what_is_measured_over_weeks_has_to_hold_for_weeks(at_level: AtLevel) -> None:
    project = finished(at_level(1))
    text = project.read("config/evolution.yml")
    project.write(
        "config/evolution.yml", re.sub(r"level_2_trigger: .*", 'level_2_trigger: "when_team_size < 10"', text)
    )
    now = datetime.now(UTC)  # its commits are of today
    [stage, *_] = report(project, now).roadmap
    assert (stage.outcome, stage.due) == (True, False) and stage.mondays <= (now.weekday() == 0)


def test_a_flag_in_a_trigger_is_on_where_the_flags_say_so(at_level: AtLevel) -> None:
    project = finished(at_level(1))
    project.write(
        "config/evolution.yml",
        re.sub(
            r"level_2_trigger: .*",
            "level_2_trigger: basic_testing.enabled",
            project.read("config/evolution.yml"),
        ),
    )
    assert report(project).due == 2


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("level_2_trigger: when_team_sise > 2", 6, "did you mean team_size?"),
        ('level_2_trigger: "team_size > 2 OR OR x"', 18, "expected a metric"),
        ("level_2_trigger: [1]", None, "expected a condition"),
        ("level_7_trigger: team_size > 2", None, "did you mean level_"),
    ],
)
def test_a_mistake_in_a_trigger_is_told_with_file_line_and_column(
    at_level: AtLevel, line: str, column: int | None, message: str
) -> None:
    project = at_level(1)
    project.write(
        "config/evolution.yml", re.sub(r"level_2_trigger: .*", line, project.read("config/evolution.yml"))
    )
    number = project.read("config/evolution.yml").splitlines().index(f"  {line}") + 1
    with pytest.raises(Refused) as refused:
        report(project)
    said = str(refused.value)
    assert said.startswith(f"config/evolution.yml:{number}: ") and message in said and "\n" not in said
    if column:
        assert f"column {column}:" in said


def test_without_a_roadmap_the_manifests_triggers_count(at_level: AtLevel) -> None:
    project = at_level(1)
    text = project.read("config/evolution.yml")
    project.write("config/evolution.yml", re.sub(r"roadmap:\n(  .*\n)+", "", text))
    assert [stage.trigger.split(" ")[0] for stage in report(project).roadmap] == [
        "when_team_size",
        "when_production_traffic",
        "when_multiple_services",
    ]
    (project.folder / "config/evolution.yml").unlink()
    assert len(report(project).roadmap) == 3


@pytest.mark.parametrize("day", range(7))
def test_mondays_are_those_of_the_weeks_history(day: int) -> None:
    now = datetime(2026, 11, 23, 0, 0, tzinfo=UTC) + timedelta(days=day)
    assert mondays(now) == ["2026-11-23", "2026-11-16", "2026-11-09", "2026-11-02"]


# The command


def run(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("COLUMNS", "200")
    capsys.readouterr()
    code = main(["evolution", "--offline", *arguments])
    return code, *capsys.readouterr()


def test_the_table_and_json_say_the_same(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = commits(finished(at_level(1, two=True)), datetime.now(UTC), [5] * 10)
    deployments(project, datetime.now(UTC), [2] * 14)
    code, out, err = run(project, monkeypatch, capsys, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["recommendation"]["level"] == 2
    assert document["metrics"]["team_size"]["value"] == 5
    assert len(document["metrics"]["team_size"]["history"]) > 4
    _, table, _ = run(project, monkeypatch, capsys)
    for text in (
        *document["verdict"].values(),
        *document["recommendation"]["reasons"],
        document["recommendation"]["command"],
    ):
        assert text in table
    for stage in document["roadmap"]:
        for part in stage["parts"]:
            assert re.search(
                rf"{re.escape(part['name'])} +{re.escape(part['shown'])} +{re.escape(part['against'])}", table
            )


def test_no_name_is_broken_in_a_terminal_of_80_columns(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = commits(finished(at_level(2)), datetime.now(UTC), [1] * 10)
    deployments(project, datetime.now(UTC), [2] * 14)
    names = re.compile(r"config/deploys\.jsonl|config/evolution\.yml|geographic_distribution:|`declared:")
    said = {}
    for columns in ("200", "80"):
        run(project, monkeypatch, capsys)
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["evolution", "--offline"]) == 0
        said[columns] = capsys.readouterr().out
    assert "deploys.jsonl" in said["80"]
    assert sorted(names.findall(said["80"])) == sorted(names.findall(said["200"]))
    assert max(map(len, said["80"].splitlines())) <= 80


def test_the_page_is_written_whole_and_needs_nothing_else(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = commits(at_level(1), datetime.now(UTC), [1, 2, 3])
    code, out, _ = run(project, monkeypatch, capsys, "--html", "evolution.html")
    assert code == 0 and "evolution.html: open it in a browser" in out
    text = project.read("evolution.html")
    assert text.startswith("<!doctype html>") and text.endswith("</html>\n")
    assert not re.search(r"<script|<link|<img|@import|url\(|https?:", text)
    assert [path.name for path in project.folder.glob(".evolution*")] == []
    code, out, err = run(project, monkeypatch, capsys, "--html", "no/such/folder.html", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)


HOSTILE = "<script>alert(1)</script> \"quoted\" 'x' & `<b>` \x1b[31m {{ 7 }}"


def test_names_of_people_are_text_on_the_page_and_in_the_terminal(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(1)
    git(
        project.folder,
        "-c",
        f"user.name={HOSTILE}",
        "commit",
        "--quiet",
        "--allow-empty",
        "--message",
        HOSTILE,
    )
    _, out, _ = run(project, monkeypatch, capsys, "--html", "evolution.html")
    text = project.read("evolution.html")
    assert "alert(1)" in text and "<script" not in text and "<b>" not in text
    assert "\x1b" not in out + text


def test_the_page_escapes_every_text_of_the_document(at_level: AtLevel) -> None:
    def spoiled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoiled(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [spoiled(one) for one in value]
        return (
            HOSTILE
            if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d(T[\d:+]+)?|[a-z_.]+", value)
            else value
        )

    project = declared(commits(finished(at_level(1, two=True)), NOW, [5] * 10), "uptime_requirement", "99.9%")
    text = page.render(spoiled(report(project).as_json()))
    assert text.count("alert(1)") > 40 and "<script" not in text and "<b>" not in text and "{{ 7 }}" in text


def test_the_command_loads_rich_and_copier_only_where_they_are_needed(at_level: AtLevel) -> None:
    project = at_level(1)
    code = (
        "import sys; from extensions.cli import main; main(['evolution', '--offline', '--json']);"
        " main(['todo', '--offline']);print([name for name in ('rich', 'copier', 'jinja2') if name in"
        " sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "[]"
