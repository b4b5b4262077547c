"""Feature flags: level, flag, environment; each with its reason; and a job whose flag is off doesn't run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from extensions import cli
from extensions.errors import Refused
from extensions.evolution import flags
from extensions.evolution.metrics import Measured
from extensions.evolution.triggers import parse
from extensions.template import layers
from tests.support.projects import LEVELS, ROOT, Project, git

AtLevel = Callable[..., Project]
code = flags.resolver()
SHIPPED = (ROOT / "levels/1-basic" / code.FILE).read_text(encoding="utf-8")
MANIFESTS = layers.manifests(ROOT)
TODAY = date(2026, 11, 24)


def resolved(text: str, environment: str = "local", level: int = 1) -> dict[str, Any]:
    levels = code.levels_of(level, [asdict(one) for one in MANIFESTS])
    return {state.name: state for state in code.resolve(code.read(text, levels), levels, environment)}


def on(text: str, environment: str, level: int) -> set[str]:
    return {name for name, state in resolved(text, environment, level).items() if state.on}


def line_with(text: str, part: str, behind: str = "") -> int:
    """The number of the first line with `part`, behind the one with `behind`."""
    lines = text.splitlines()
    first = next((number for number, line in enumerate(lines) if behind and behind in line), 0)
    return next(number for number, line in enumerate(lines, 1) if number > first and part in line)


# Resolving

LEVEL_1 = {"health_endpoints", "basic_testing"}
LEVEL_2 = {*LEVEL_1, "staging_deployment", "integration_testing"}


@pytest.mark.parametrize(
    ("environment", "level", "expected"),
    [
        ("local", 1, LEVEL_1),
        ("staging", 1, LEVEL_1),
        ("production", 1, LEVEL_1),
        ("local", 2, LEVEL_1),
        ("staging", 2, LEVEL_2),
        ("production", 2, {*LEVEL_1, "staging_deployment"}),
        ("staging", 3, LEVEL_2),
        ("production", 3, {*LEVEL_1, "staging_deployment", "security_scanning"}),
        ("local", 4, LEVEL_1),
        ("production", 4, {*LEVEL_1, "staging_deployment", "security_scanning"}),
    ],
)
def test_what_is_on_in_a_new_project(environment: str, level: int, expected: set[str]) -> None:
    assert on(SHIPPED, environment, level) == expected


def test_a_flag_of_a_higher_level_is_off_whatever_the_file_says() -> None:
    text = SHIPPED.replace("      health_endpoints: true\n", "      health_endpoints: true\n      a_b_testing: true\n")
    for level in LEVELS:
        state = resolved(text, "production", level)["a_b_testing"]
        assert state.on is (level == 4)
        assert state.on or state.why == f"it belongs to level 4, and the project is at level {level}"


def test_what_no_level_has_yet_is_off_and_says_so() -> None:
    later = {name: manifest.level for manifest in MANIFESTS for name in manifest.later}
    text = "features: {}\nenvironments:\n  production:\n    override:\n" + "".join(f"      {name}: true\n" for name in later)
    for name, level in later.items():
        state = resolved(text, "production", 4)[name]
        assert (state.on, state.why) == (False, f"level {level} has nothing for it in this version of the template")


def test_every_flag_of_the_file_belongs_to_one_level() -> None:
    belongs = [name for manifest in MANIFESTS for name in manifest.features + manifest.later]
    assert sorted(belongs) == sorted(yaml.safe_load(SHIPPED)["features"])


def test_the_environment_wins_over_the_flag_and_each_names_its_line() -> None:
    text = SHIPPED.replace('    enabled: false\n    trigger: "when deployment', '    enabled: true\n    trigger: "when deployment').replace(
        "      staging_deployment: true\n      integration", "      staging_deployment: false\n      integration"
    )
    general, staging = resolved(text, "local", 2)["staging_deployment"], resolved(text, "staging", 2)["staging_deployment"]
    assert (general.on, staging.on) == (True, False)
    assert general.why == f"line {line_with(text, 'enabled', '  staging_deployment:')} has it on"
    assert staging.why == f"line {line_with(text, 'staging_deployment', '  staging:')} switches it off for staging"


def test_a_flag_is_off_where_the_flag_that_its_trigger_asks_for_is_off() -> None:
    text = SHIPPED.replace("      staging_deployment: true\n      integration_testing", "      integration_testing")
    state = resolved(text, "staging", 2)["integration_testing"]
    line = line_with(text, "when staging_deployment.enabled")
    assert not state.on and state.why.startswith(f"line {line} asks for staging_deployment, off here; else line ")


def test_what_is_asked_for_may_stand_further_down_and_hang_on_others() -> None:
    text = flag_file(c="when b.enabled", b="When_a.enabled AND team_size > 2", a="")
    assert on(text, "local", 1) >= {"a", "b", "c"}
    assert not on(text.replace("  a:\n    enabled: true", "  a:\n    enabled: false"), "local", 1) & {"a", "b", "c"}


def test_a_metric_in_a_trigger_is_advice_only() -> None:
    text = flag_file(mine="when team_size > 2")
    assert resolved(text)["mine"].on


def test_what_the_file_does_not_name_is_on_with_its_level() -> None:
    assert on("features: {}\n", "anywhere", 2) == LEVEL_2
    assert resolved("features:\n", "anywhere", 2)["staging_deployment"].why.startswith("level 2 brings it")


def test_a_project_without_the_file_has_what_its_level_brings(at_level: AtLevel) -> None:
    project = at_level(2)
    (project.folder / code.FILE).unlink()
    assert run(project, "ci/flags.py", "staging", "--env-line").stdout == f"FEATURE_FLAGS={','.join(sorted_as_shipped(LEVEL_2))}\n"


def sorted_as_shipped(names: set[str]) -> list[str]:
    return [name for name in yaml.safe_load(SHIPPED)["features"] if name in names]


def flag_file(**triggers: str) -> str:
    """A file of flags that are on, each with its trigger."""
    lines = [f"  {name}:\n    enabled: true\n" + (f"    trigger: {text}\n" if text else "") for name, text in triggers.items()]
    return "features:\n" + "".join(lines)


# What is wrong in the file

FLAG = "features:\n  mine:\n    enabled: true\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "expected `features:`"),
        ("[]\n", 1, "expected a mapping in the file, got a sequence"),
        ("features: [mine]\n", 1, "expected a mapping in features"),
        ("feature:\n  mine:\n    enabled: true\n", 1, "got 'feature'; did you mean features?"),
        ("features:\n  mine:\n    enabld: true\n", 3, "got 'enabld'; did you mean enabled?"),
        ("features:\n  mine:\n    description: x\n", 3, "expected `enabled: true` or `enabled: false` in mine"),
        ("features:\n  mine:\n    enabled: maybe\n", 3, "expected true or false in mine.enabled, got 'maybe'"),
        ("features:\n  mine:\n    enabled: 'true'\n", 3, "expected true or false"),
        ("features:\n  mine:\n    enabled: 1\n", 3, "expected true or false"),
        ("features:\n  Mine:\n    enabled: true\n", 2, "expected a name of a-z, 0-9 and _ in features, got 'Mine'"),
        ("features:\n  on:\n    enabled: true\n", 2, "expected a name"),
        ("features:\n  ? [a, b]\n  : {enabled: true}\n", 2, "expected a name of a-z, 0-9 and _ in features, got a sequence"),
        ("features:\n  mine: true\n", 2, "expected a mapping in mine, got 'true'"),
        (FLAG + "  mine:\n    enabled: false\n", 4, "expected mine once in features, got it again (first in line 3)"),
        (FLAG + "    enabled: false\n", 4, "expected enabled once in mine"),
        (FLAG + "    trigger: 3\n", 4, "expected one line of text in mine.trigger"),
        (FLAG + '    description: "\\e[31mred"\n', 4, r"got '\x1b[31mred'"),
        (FLAG + "    expires: 2026-02-30\n", 4, "expected a date such as 2027-01-31 in mine.expires, got '2026-02-30'"),
        (FLAG + "    expires: soon\n", 4, "expected a date"),
        (FLAG + "    trigger: when stagin_deployment.enabled\n", 4, "got stagin_deployment; did you mean staging_deployment?"),
        (FLAG + "    trigger: when a_b_testing.enabled OR team_size > 2\n", 4, "expected NAME.enabled alone or joined by AND"),
        (FLAG + "    trigger: not a_b_testing.enabled\n", 4, "expected NAME.enabled alone"),
        (FLAG + "    trigger: a_b_testing.enabled == false\n", 4, "expected NAME.enabled alone"),
        (FLAG + "    trigger: (a_b_testing.enabled)\n", 4, "expected NAME.enabled alone"),
        (
            FLAG + "    trigger: when mine.enabled\n",
            4,
            "flags that don't wait for each other, got mine (line 4), which asks for mine (line 4)",
        ),
        (FLAG + "environments:\n  Test: {}\n", 5, "expected a name of a-z, 0-9 and - in environments"),
        (FLAG + "environments:\n  test:\n    overide: {}\n", 6, "did you mean override?"),
        (FLAG + "environments:\n  test:\n    override:\n      mien: true\n", 7, "got mien; did you mean mine?"),
        (FLAG + "environments:\n  test:\n    override:\n      mine: sometimes\n", 7, "expected true or false in test.override.mine"),
        (FLAG + "environments:\n  test:\n    override:\n      - mine\n", 7, "expected a mapping in test.override"),
        (FLAG + "\t- x\n", 4, "expected YAML"),
        (FLAG + "--- \nfeatures: {}\n", 4, "expected YAML"),
        (FLAG + "x: *nowhere\n", 4, "expected YAML"),
        (FLAG + "x: \x1b[31mred\n", 4, "expected YAML, got a character that YAML refuses"),
        ("[" * 5000, 1, "expected"),
        ("features: &a\n  mine: *a\n", 2, "expected description or enabled or expires or trigger in mine, got 'mine'"),
    ],
    ids=lambda value: repr(value)[:50] if isinstance(value, str) else "",
)
def test_a_mistake_is_told_with_its_line_and_what_was_expected(text: str, line: int, message: str) -> None:
    with pytest.raises(code.Problem) as raised:
        resolved(text)
    told = str(raised.value)
    assert told.startswith(f"{code.FILE}, line {line}: expected"), told
    assert message in told and told.isprintable() and len(told) < 300, told


@pytest.mark.parametrize(
    "text",
    [
        "when a.enabled",
        "when_a.enabled And b.enabled",
        "WHEN team_size > 2 AND a.enabled\tand a.enabled",
        "a.enabled",
        "team_size > 2 OR user_base > 9",
    ],
)
def test_what_a_trigger_asks_for_is_what_the_language_of_triggers_reads(text: str) -> None:
    """The pipeline's script knows of that language only what binds."""
    assert code.needs(text, 1) == parse(text).flags


def test_a_circle_is_named_with_all_its_lines() -> None:
    text = flag_file(free="", a="when b.enabled", b="when c.enabled AND free.enabled", c="when a.enabled")
    lines = {name: line_with(text, "trigger", f"  {name}:") for name in "abc"}
    with pytest.raises(code.Problem) as raised:
        resolved(text)
    way = str(raised.value).partition("got ")[2]
    named = re.findall(r"(\w) \(line (\d+)\)", way)
    assert len(named) == 4 and named[0] == named[-1] and {name: int(line) for name, line in named} == lines
    asked = {name: next_one for (name, _), (next_one, _) in pairwise(named)}
    assert asked == {"a": "b", "b": "c", "c": "a"}


def test_an_environment_that_is_misspelt_is_refused() -> None:
    with pytest.raises(code.Problem, match=r"ENV: expected one of local, staging, production, got 'stagin'; did you mean staging\?"):
        resolved(SHIPPED, "stagin")
    with pytest.raises(code.Problem, match=r"or add it to config/feature-flags\.yml"):
        resolved(SHIPPED, "\x1b[31m")


def test_a_flag_past_its_date_is_warned_of_and_stays_on() -> None:
    text = FLAG + "    expires: 2026-11-23\n  other:\n    enabled: true\n    expires: '2026-11-24'\n"
    read = code.read(text, code.levels_of(1, [asdict(one) for one in MANIFESTS]))
    [(line, warning)] = code.overdue(read, TODAY)
    assert line == 4 and warning.startswith("mine was to go by 2026-11-23")
    assert resolved(text)["mine"].on


# The commands


def run(project: Project, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script of the project's, outside of any workflow unless `env` says so."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=project.folder, env={**outside, **env}, capture_output=True, text=True, check=False
    )


def test_the_project_says_why_each_flag_is_on_or_off(at_level: AtLevel) -> None:
    project = at_level(2)
    text = project.read(code.FILE)
    said = run(project, "ci/flags.py", "staging")
    assert said.returncode == 0
    line = line_with(text, "staging_deployment", "  staging:")
    assert f"on   staging_deployment       line {line} switches it on for staging\n" in said.stdout
    assert "off  security_scanning        it belongs to level 3, and the project is at level 2\n" in said.stdout
    overview = run(project, "ci/flags.py").stdout
    assert re.search(r"^ +local +staging +production$", overview, re.MULTILINE)
    assert re.search(r"^integration_testing +off +on +off$", overview, re.MULTILINE)


def test_a_wrong_file_ends_with_one_line_and_exit_code_2(at_level: AtLevel) -> None:
    project = at_level(2)
    project.replace(code.FILE, "  # Yours, below.\n", "  # Yours, below.\n  mine:\n    enabled: perhaps\n")
    for arguments in (["staging"], ["staging", "--env-line"], []):
        said = run(project, "ci/flags.py", *arguments)
        assert (said.returncode, said.stdout) == (2, "")
        assert re.fullmatch(
            r"flags: config/feature-flags\.yml, line \d+: expected true or false in mine\.enabled, got 'perhaps'\n", said.stderr
        )
    (project.folder / code.FILE).write_bytes(b"features: \xff\n")
    assert run(project, "ci/flags.py", "staging").stderr == f"flags: {code.FILE}: expected a file in UTF-8 (UnicodeDecodeError)\n"


def test_a_deployment_hands_the_flags_to_the_services(at_level: AtLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)  # by hand; in CI it would want the secrets
    project = at_level(4)
    project.replace(code.FILE, "      integration_testing: true\n", "      integration_testing: true\n      a_b_testing: true\n")
    project.replace("config/levels.json", '"repository": ""', '"repository": "me/shop"')
    project.commit()
    project.write("config/staging.env", "DEPLOY_HOST=me@example.org\n")
    said = run(project, "ci/deploy.py", "deploy", "staging", "--dry-run")
    assert said.returncode == 0, said.stderr
    names = re.findall(r'"FEATURE_FLAGS": "(.*)"', said.stdout)
    assert names == [",".join(sorted_as_shipped({*LEVEL_2, "a_b_testing"}))]
    # What the settings of the environment say wins.
    project.write("config/staging.env", "DEPLOY_HOST=me@example.org\nFEATURE_FLAGS=mine\n")
    assert '"FEATURE_FLAGS": "mine"' in run(project, "ci/deploy.py", "deploy", "staging", "--dry-run").stdout
    project.write("config/qa.env", "DEPLOY_HOST=me@example.org\n")
    said = run(project, "ci/deploy.py", "deploy", "qa", "--dry-run")
    assert (said.returncode, said.stdout) == (2, "") and "expected one of local, staging, production, got 'qa'" in said.stderr


def levels_flags(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.chdir(project.folder)
    assert cli.main(["flags", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("level", LEVELS)
def test_the_command_resolves_as_the_project_does(
    at_level: AtLevel, level: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(level)
    document = json.loads(levels_flags(project, monkeypatch, capsys, "--offline", "--json"))
    assert document["level"] == level and document["warnings"] == []
    assert [one["environment"] for one in document["environments"]] == ["local", "staging", "production"]
    for one in document["environments"]:
        name = one["environment"]
        assert {flag["name"] for flag in one["flags"] if flag["on"]} == on(SHIPPED, name, level)
        assert levels_flags(project, monkeypatch, capsys, name, "--env-line") == f"FEATURE_FLAGS={one['feature_flags']}\n"
        if level >= 2:
            assert run(project, "ci/flags.py", name, "--env-line").stdout == f"FEATURE_FLAGS={one['feature_flags']}\n"


def test_the_command_says_whether_a_trigger_holds_and_by_which_figures(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(3)
    project.replace("config/evolution.yml", "  handling_user_data: null", "  handling_user_data: true")
    project.replace("config/evolution.yml", "  uptime_requirement: null", "  uptime_requirement: 99.5%")
    said = levels_flags(project, monkeypatch, capsys, "staging", "--offline")
    assert "when staging_deployment.enabled: holds (staging_deployment is on)\n" in said
    assert "when handling_user_data OR production_deployment: holds (handling_user_data is yes; production_deployment is unknown: " in said
    assert "when uptime_requirement > 99.9%: doesn't hold (uptime_requirement is 99.5%)\n" in said
    assert "when production_traffic > 100_requests_per_minute: unknown (production_traffic.requests is unknown: " in said


def test_a_trigger_that_cannot_be_read_is_told_with_line_and_column(at_level: AtLevel) -> None:
    project = at_level(2)
    project.replace(code.FILE, "when user_base > 10000", "when user_bas > 10000")
    line = line_with(project.read(code.FILE), "user_bas >")
    with pytest.raises(Refused, match=rf"^{re.escape(code.FILE)}, line {line}, column 6: expected a metric .* did you mean user_base\?$"):
        flags.report(project.folder, 2, "staging", {}, TODAY)
    # It is advice: whether the flag is on doesn't hang on it, and the pipeline runs.
    assert run(project, "ci/flags.py", "staging").returncode == 0


def test_what_a_metric_says_of_itself_cannot_reach_the_terminal(at_level: AtLevel) -> None:
    project = at_level(2)
    measured = {"user_base": Measured("user_base", None, reason="\x1b[31mred")}
    document = flags.report(project.folder, 2, "staging", measured, TODAY)
    assert "user_base is unknown: \\x1b[31mred" in flags.text(document, measured)


# Workflows: the step is run as it stands, its outputs are taken, and each job's `if:` is evaluated


class Workflow:
    """A workflow of a project, run as far as which jobs run: by what GitHub documents of `needs`, `if` and cancelled()."""

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.jobs: dict[str, Any] = yaml.safe_load(project.read(f".github/workflows/{name}.yml"))["jobs"]

    def flags(self) -> dict[str, str] | None:
        """The outputs of the job `flags`; None where it fails."""
        [step] = [step for step in self.jobs["flags"]["steps"] if "run" in step]
        output = self.project.folder.parent / "output"
        output.write_text("")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "MAKE", "MFLAGS"))}
        env = {**outside, "PYTHON": sys.executable, "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
        done = subprocess.run(["sh", "-ec", step["run"]], cwd=self.project.folder, env=env, capture_output=True, check=False)
        if done.returncode:
            return None
        written = dict(line.split("=") for line in output.read_text().splitlines())
        outputs = {
            name: re.fullmatch(r"\$\{\{ steps\.(\w+)\.outputs\.(\w+) \}\}", text) for name, text in self.jobs["flags"]["outputs"].items()
        }
        return {name: written[found[2]] for name, found in outputs.items() if found and found[1] == step["id"]}

    def running(self, **variables: str) -> set[str]:
        """The jobs that run."""
        outputs = self.flags()
        context = {f"vars.{name}": value for name, value in variables.items()}
        context |= {f"needs.flags.outputs.{name}": value for name, value in (outputs or {}).items()}
        succeeded: set[str] = set() if outputs is None else {"flags"}
        for name, job in self.jobs.items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            condition = job.get("if", "")
            met = "cancelled()" in condition or set(needs) <= succeeded
            if name != "flags" and met and holds(condition, context):
                succeeded.add(name)
        return succeeded - {"flags"}


def holds(condition: str, context: Mapping[str, str]) -> bool:
    """An `if:` of ours: comparisons with texts, joined by &&. What isn't there is an empty text."""
    condition = re.sub(r"^\$\{\{ (.*) \}\}$", r"\1", condition)
    for part in filter(None, condition.split(" && ")):
        found = re.fullmatch(r"([\w.]+) (==|!=) '(.*)'", part)
        assert found or part == "!cancelled()", part
        if found and (context.get(found[1], "") == found[3]) is (found[2] == "!="):
            return False
    return True


def test_right_after_the_move_to_level_2_jobs_run_once_they_are_set_up(at_level: AtLevel) -> None:
    project = at_level(1).move(2).commit()
    assert Workflow(project, "integration").running() == {"integration"}
    assert Workflow(project, "staging-deploy").running() == {"not-set-up"}
    assert Workflow(project, "staging-deploy").running(STAGING_HOST="me@example.org") == {"images", "deploy"}


def test_a_flag_that_is_off_switches_its_jobs_off(at_level: AtLevel) -> None:
    project = at_level(3)
    project.replace(code.FILE, "      security_scanning: true\n", "      security_scanning: false\n")
    assert Workflow(project, "security").running() == set()
    assert Workflow(project, "security").running(CODE_SCANNING="true") == set()
    assert Workflow(project, "integration").running() == {"integration"}

    project.replace(code.FILE, "      integration_testing: true\n", "      integration_testing: false\n")
    assert Workflow(project, "integration").running() == set()
    assert Workflow(project, "staging-deploy").running(STAGING_HOST="me@example.org") == {"images", "deploy"}


def test_staging_switched_off_takes_what_asks_for_it_along(at_level: AtLevel) -> None:
    project = at_level(2)
    text = "      staging_deployment: {}\n      integration_testing: true\n"
    project.replace(code.FILE, text.format("true"), text.format("false"))
    assert Workflow(project, "staging-deploy").running(STAGING_HOST="me@example.org") == set()
    assert Workflow(project, "staging-deploy").running() == set()
    assert Workflow(project, "integration").running() == set()


def test_flags_that_cannot_be_resolved_deploy_nothing_and_skip_no_check(at_level: AtLevel) -> None:
    project = at_level(3)
    project.replace(code.FILE, "  # Yours, below.\n", "  # Yours, below.\n  mine:\n    enabled: perhaps\n")
    assert Workflow(project, "staging-deploy").running(STAGING_HOST="me@example.org") == set()
    assert Workflow(project, "integration").running() == {"integration"}
    assert Workflow(project, "security").running() == {"secrets", "dependencies", "code-scanning-off"}


def test_a_run_has_the_reasons_on_its_page_and_warnings_at_their_lines(at_level: AtLevel, tmp_path: Path) -> None:
    project = at_level(2)
    mine = "  # Yours, below.\n  mine:\n    enabled: true\n    expires: 2020-01-31\n"
    project.replace(code.FILE, "  # Yours, below.\n", mine)
    line = line_with(project.read(code.FILE), "2020-01-31")
    page = tmp_path / "page.md"
    said = run(project, "ci/flags.py", "staging", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(page))
    assert f"::warning file={code.FILE},line={line}::mine was to go by 2020-01-31" in said.stdout
    assert "| `security_scanning` | off | it belongs to level 3, and the project is at level 2 |\n" in page.read_text()
    assert git(project.folder, "status", "--porcelain") == f" M {code.FILE}\n"
