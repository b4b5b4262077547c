"""Feature flags: level, flag, environment; each with its reason; and what is off isn't run, and says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from extensions import cli
from extensions.errors import Refused
from extensions.evolution import flags
from extensions.evolution.metrics import Measured
from extensions.evolution.triggers import parse
from extensions.template import layers
from tests.support.projects import LEVELS, ROOT, Project
from tests.support.stand_ins import StandIns
from tests.test_deploy import STAGING, Shop

AtLevel = Callable[..., Project]
code = flags.resolver()
SHIPPED = (ROOT / "levels/1-basic" / code.FILE).read_text(encoding="utf-8")
MANIFESTS = layers.manifests(ROOT)
TODAY = date(2026, 11, 24)


class State(NamedTuple):
    """Whether a flag is on, and why."""

    on: bool
    why: str


def resolved(text: str, environment: str = "local", level: int = 1) -> dict[str, State]:
    states = code.resolve(code.read(text), flags.where_it_stands(level), environment)
    return {name: State(*state) for name, state in states.items()}


def on(text: str, environment: str, level: int) -> set[str]:
    return {name for name, state in resolved(text, environment, level).items() if state.on}


# Resolving

LEVEL_1 = {"health_endpoints", "basic_testing"}
LEVEL_2 = {*LEVEL_1, "staging_deployment", "integration_testing"}
IN_PRODUCTION = {"security_scanning", "service_metrics", "monitoring_dashboards"}


@pytest.mark.parametrize(
    ("environment", "level", "expected"),
    [
        ("local", 1, LEVEL_1),
        ("staging", 1, LEVEL_1),
        ("production", 1, LEVEL_1),
        ("local", 2, LEVEL_1),
        ("staging", 2, LEVEL_2),
        ("production", 2, {*LEVEL_1, "staging_deployment"}),
        ("staging", 3, {*LEVEL_2, "service_metrics"}),
        ("production", 3, {*LEVEL_1, "staging_deployment", *IN_PRODUCTION}),
        ("local", 4, {*LEVEL_1, "service_metrics"}),
        ("production", 4, {*LEVEL_1, "staging_deployment", *IN_PRODUCTION}),
    ],
)
def test_what_is_on_in_a_new_project(environment: str, level: int, expected: set[str]) -> None:
    assert on(SHIPPED, environment, level) == expected


def test_a_flag_of_a_higher_level_is_off_whatever_the_file_says() -> None:
    text = SHIPPED.replace(
        "      staging_deployment: true\n", "      staging_deployment: true\n      a_b_testing: true\n"
    )
    for level in LEVELS:
        state = resolved(text, "production", level)["a_b_testing"]
        assert state.on is (level == 4)
        assert state.on or state.why == f"it belongs to level 4, and the project is at level {level}"


def test_what_no_level_has_yet_is_off_and_says_so() -> None:
    later = {name: manifest.level for manifest in MANIFESTS for name in manifest.later}
    text = "features: {}\nenvironments:\n  production:\n    override:\n" + "".join(
        f"      {name}: true\n" for name in later
    )
    for name, level in later.items():
        state = resolved(text, "production", 4)[name]
        assert (state.on, state.why) == (
            False,
            f"level {level} has nothing for it in this version of the template",
        )


def test_every_flag_belongs_to_one_level() -> None:
    belongs = [name for manifest in MANIFESTS for name in manifest.features + manifest.later]
    assert sorted(belongs) == sorted([*yaml.safe_load(SHIPPED)["features"], "service_metrics"])


def test_what_nothing_asks_for_is_on_whatever_the_file_says() -> None:
    """The health endpoints answer with the flag off too, so "off" would not be true."""
    text = SHIPPED.replace("enabled: true", "enabled: false").replace(
        "{health_endpoints: true, basic_testing: true}", "{health_endpoints: false, basic_testing: false}"
    )
    for name in LEVEL_1:
        for environment in ("local", "staging"):
            state = resolved(text, environment)[name]
            assert state == (True, "level 1 brings it, and nothing switches it off")


def test_the_manifests_say_which_flags_are_asked_for_and_in_which_environment() -> None:
    """As the scripts and the workflows have it; everything else is on, so none may be forgotten."""
    asked = {name: where for manifest in MANIFESTS for name, where in manifest.asked.items()}
    scripts = [(path, path.read_text(encoding="utf-8")) for path in ROOT.glob("levels/*/ci/**/*.py")]
    called = {
        name: path.stem for path, text in scripts for name in re.findall(r'flags\.off\(\s*"(\w+)"', text)
    }
    assert asked.keys() == called.keys()
    workflows = "".join(
        path.read_text(encoding="utf-8") for path in ROOT.glob("levels/*/.github/workflows/*.jinja")
    )
    for name, script in called.items():
        target = "images" if script == "builds" else script
        told = set(re.findall(rf"make -f levels\.mk {target}\b.* ENV=(.+)", workflows))
        place = {
            "staging": ("[[ first ]]", "[[ environments[0].name ]]"),
            "production": ("[[ environments[-1].name ]]",),
        }
        # The monitoring is started by hand, and each deploy asks for the environment that it is of.
        assert told <= {*place[asked[name]]} and (told or script == "monitoring")


def test_the_environment_wins_over_the_flag_and_each_names_its_place() -> None:
    text = flag_file(mine="") + "environments:\n  local: {}\n  staging: {override: {mine: false}}\n"
    general, staging = resolved(text, "local")["mine"], resolved(text, "staging")["mine"]
    assert general == (True, "features.mine.enabled")
    assert staging == (False, "environments.staging.override")


def test_a_flag_is_off_where_the_flag_that_its_trigger_asks_for_is_off() -> None:
    text = SHIPPED.replace(
        "      staging_deployment: true\n      integration_testing", "      integration_testing"
    )
    assert resolved(text, "staging", 2)["integration_testing"] == (
        False,
        "its trigger asks for staging_deployment",
    )


def test_what_is_asked_for_may_stand_further_down_and_hang_on_others() -> None:
    text = flag_file(c="when b.enabled", b="When_a.enabled AND team_size > 2", a="")
    assert on(text, "local", 1) >= {"a", "b", "c"}
    assert not on(text.replace("  a:\n    enabled: true", "  a:\n    enabled: false"), "local", 1) & {
        "a",
        "b",
        "c",
    }


def test_a_metric_in_a_trigger_is_advice_only() -> None:
    text = flag_file(mine="when team_size > 2")
    assert resolved(text)["mine"].on


def test_what_the_file_does_not_name_is_on_with_its_level() -> None:
    assert on("features: {}\n", "anywhere", 2) == LEVEL_2
    assert resolved("features:\n", "anywhere", 2)["staging_deployment"].why.startswith("level 2 brings it")


def test_a_project_without_the_file_has_what_its_level_brings(at_level: AtLevel) -> None:
    project = at_level(4)
    (project.folder / code.FILE).unlink()
    assert pipeline(project, "staging")["runtime"] == "service_metrics,a_b_testing"


def test_services_are_told_of_runtime_features_only() -> None:
    """What the pipeline decides is none of theirs; a flag that no level knows is the person's own."""
    text = SHIPPED.replace("  # Yours, below.\n", "  # Yours, below.\n  dark_mode:\n    enabled: true\n")
    text = text.replace(
        "      integration_testing: true\n", "      integration_testing: true\n      a_b_testing: true\n"
    )
    for level, expected in (
        (2, "dark_mode"),
        (3, "dark_mode,service_metrics"),
        (4, "a_b_testing,dark_mode,service_metrics"),
    ):
        stands = flags.where_it_stands(level)
        assert code.runtime(code.resolve(code.read(text), stands, "staging"), stands) == expected


def test_an_environment_is_refused_where_the_file_has_others_only() -> None:
    with pytest.raises(
        code.Problem, match=r"^ENV: expected one of local, staging, production, got 'stagin'$"
    ):
        resolved(SHIPPED, "stagin")
    with pytest.raises(code.Problem, match=r"got '\\x1b\[31m'"):
        resolved(SHIPPED, "\x1b[31m")


def flag_file(**triggers: str) -> str:
    """A file of flags that are on, each with its trigger."""
    lines = [
        f"  {name}:\n    enabled: true\n" + (f"    trigger: {text}\n" if text else "")
        for name, text in triggers.items()
    ]
    return "features:\n" + "".join(lines)


# What is wrong in the file

FLAG = "features:\n  mine:\n    enabled: true\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": expected `features:`"),
        ("[]\n", ": the file: expected a mapping, got []"),
        ("features: [mine]\n", ": features: expected a mapping"),
        ("feature: {}\n", ": the file: expected features or environments, got 'feature'"),
        ("features:\n  mine:\n    enabld: true\n", ": features.mine: expected enabled or trigger or"),
        (
            "features:\n  mine:\n    description: x\n",
            ": features.mine.enabled: expected true or false, got None",
        ),
        ("features:\n  mine:\n", ": features.mine.enabled: expected true or false"),
        (
            "features:\n  mine:\n    enabled: maybe\n",
            ": features.mine.enabled: expected true or false, got 'maybe'",
        ),
        ("features:\n  mine:\n    enabled: 'true'\n", ": features.mine.enabled: expected true or false"),
        ("features:\n  mine:\n    enabled: 1\n", ": features.mine.enabled: expected true or false, got 1"),
        (
            "features:\n  Mine:\n    enabled: true\n",
            ": features: expected a name of a-z, 0-9, _ and -, got 'Mine'",
        ),
        (
            "features:\n  on:\n    enabled: true\n",
            ": features: expected a name of a-z, 0-9, _ and -, got True",
        ),
        ("features:\n  ? [a, b]\n  : {enabled: true}\n", ", line 2: expected YAML"),
        ("features:\n  mine: true\n", ": features.mine: expected a mapping, got True"),
        (
            FLAG + "  mine:\n    enabled: false\n",
            ", line 2: expected YAML with each name once, got a name twice",
        ),
        (FLAG + "    enabled: false\n", ", line 3: expected YAML with each name once, got a name twice"),
        (FLAG + "    trigger: when stagin_deployment.enabled\n", "got 'stagin_deployment'"),
        (
            FLAG + "    trigger: when a_b_testing.enabled OR team_size > 2\n",
            "expected NAME.enabled alone or joined by AND",
        ),
        (FLAG + "    trigger: not a_b_testing.enabled\n", "expected NAME.enabled alone"),
        (FLAG + "    trigger: a_b_testing.enabled == false\n", "expected NAME.enabled alone"),
        (FLAG + "    trigger: (a_b_testing.enabled)\n", "expected NAME.enabled alone"),
        (
            FLAG + "    trigger: when mine.enabled\n",
            "flags that don't wait for each other, got mine for mine",
        ),
        (
            FLAG + "environments:\n  Test: {}\n",
            ": environments: expected a name of a-z, 0-9, _ and -, got 'Test'",
        ),
        (
            FLAG + "environments:\n  test:\n    overide: {}\n",
            ": environments.test: expected override, got 'overide'",
        ),
        (
            FLAG + "environments:\n  test:\n    override:\n      mien: true\n",
            ": environments.test.override: expected one of mine, ",
        ),
        (
            FLAG + "environments: {test: {override: {mine: sometimes}}}\n",
            ": environments.test.override.mine: expected true or",
        ),
        (
            FLAG + "environments: {test: {override: [mine]}}\n",
            ": environments.test.override: expected a mapping",
        ),
        (FLAG + "\t- x\n", ", line 4: expected YAML"),
        (FLAG + "--- \nfeatures: {}\n", ": expected YAML"),
        (FLAG + "x: *nowhere\n", ", line 4: expected YAML"),
        (FLAG + "x: \x1b[31mred\n", ": expected YAML"),
        ("[" * 5000, ": expected YAML"),
        ("features: &a\n  mine: *a\n", "expected"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_mistake_is_told_with_its_place_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(code.Problem) as raised:
        resolved(text, "test" if "test:" in text or "{test" in text else "local")
    told = str(raised.value)
    assert told.startswith(code.FILE), told
    assert message in told and told.isprintable() and len(told) < 350, told


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
    assert code.needs({"trigger": text}, "mine") == parse(text).flags


def test_a_circle_is_named_in_its_order() -> None:
    text = flag_file(free="", a="when b.enabled", b="when c.enabled AND free.enabled", c="when a.enabled")
    with pytest.raises(code.Problem, match=r"got a for b for c for a$"):
        resolved(text)


def test_a_flag_past_its_date_is_warned_of_and_stays_on(at_level: AtLevel) -> None:
    project = at_level(1)
    project.write(
        code.FILE, FLAG + "    expires: 2026-11-23\n  other:\n    enabled: true\n    expires: '2026-11-24'\n"
    )
    document = flags.report(project.folder, 1, "local", {}, TODAY)
    [warning] = document["warnings"]
    assert "mine was to go by 2026-11-23" in warning
    assert all(
        flag["on"] for flag in document["environments"][0]["flags"] if flag["name"] in ("mine", "other")
    )
    project.write(code.FILE, FLAG + "    expires: soon\n")
    with pytest.raises(
        Refused, match=r"features\.mine\.expires: expected a date such as 2027-01-31, got soon"
    ):
        flags.report(project.folder, 1, "local", {}, TODAY)


# The commands


def run(project: Project, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script of the project's, outside of any workflow unless `env` says so."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env={**outside, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def pipeline(project: Project, environment: str) -> dict[str, Any]:
    """What the project's own script says of an environment to the scripts beside it."""
    done = run(project, "ci/flags.py", environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_wrong_file_ends_each_script_with_one_line_and_exit_code_2(at_level: AtLevel) -> None:
    project = at_level(3)
    project.replace(code.FILE, "  # Yours, below.\n", "  # Yours, below.\n  mine:\n    enabled: perhaps\n")
    expected = "config/feature-flags.yml: features.mine.enabled: expected true or false, got 'perhaps'\n"
    for arguments, env in (
        (["ci/integration.py"], {"ENV": "staging"}),
        (["ci/security.py", "secrets"], {"ENV": "production"}),
        (["-m", "deploy", "images", "staging"], {"PYTHONPATH": "ci"}),
    ):
        said = run(project, *arguments, **env)
        assert (said.returncode, said.stdout) == (2, "")
        name = arguments[1] if arguments[0] == "-m" else Path(arguments[0]).stem
        assert said.stderr == f"{name}: {expected}"
    (project.folder / code.FILE).write_bytes(b"features: \xff\n")
    said = run(project, "ci/integration.py", ENV="staging")
    assert (said.returncode, said.stderr) == (2, f"integration: {code.FILE}: expected UTF-8\n")


@pytest.mark.parametrize(
    ("flag", "environment", "arguments"),
    [
        ("integration_testing", "staging", ["ci/integration.py"]),
        ("security_scanning", "production", ["ci/security.py", "secrets"]),
        ("staging_deployment", "staging", ["-m", "deploy", "images", "staging"]),
    ],
)
def test_what_a_flag_switches_off_is_not_run_and_says_so_on_the_page_of_the_run(
    at_level: AtLevel, tmp_path: Path, flag: str, environment: str, arguments: list[str]
) -> None:
    """Not run is never passed: the job is green, so its page and a notice say why."""
    project = at_level(3)
    section = project.read(code.FILE).partition(f"  {environment}:\n    override:\n")
    project.write(
        code.FILE,
        section[0] + section[1] + section[2].replace(f"      {flag}: true", f"      {flag}: false", 1),
    )
    page = tmp_path / "page.md"
    workflow = {
        "PYTHONPATH": "ci",
        "ENV": environment,
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(page),
    }
    said = run(project, *arguments, **workflow)
    assert (said.returncode, said.stderr) == (0, "")
    assert re.fullmatch(
        rf"::notice::the .*: not run, because {flag} is off for {environment} \(.*\)\n", said.stdout
    )
    assert f"not run, because {flag} is off" in page.read_text()


def test_by_hand_no_flag_is_asked(at_level: AtLevel) -> None:
    """Who calls `make security` wants it, whatever is on elsewhere; and sh has a variable ENV of its own."""
    project = at_level(3)
    project.replace(code.FILE, "      security_scanning: true\n", "      security_scanning: false\n")
    project.write("config/security-exceptions.txt", "nonsense\n")
    for env in ({}, {"ENV": "/etc/shinit"}):
        said = run(project, "ci/security.py", "secrets", **env)
        assert said.returncode == 2 and "expected ID EXPIRY REASON" in said.stderr, (
            "it went on to the check itself"
        )


def test_a_check_that_there_is_not_is_told_in_the_words_of_make(at_level: AtLevel) -> None:
    said = run(at_level(3), "ci/security.py", "nope")
    assert said.returncode == 2 and "argument CHECK: invalid choice: 'nope' (choose from " in said.stderr


def test_a_deployment_hands_the_flags_to_the_services(at_level: AtLevel, tmp_path: Path) -> None:
    shop = Shop(at_level(4), StandIns(tmp_path / "stand-ins"))
    shop.project.replace(
        code.FILE,
        "      integration_testing: true\n",
        "      integration_testing: true\n      a_b_testing: true\n",
    )
    shop.started("one")
    # What the settings of the environment say wins.
    shop.project.write("config/staging.env", STAGING + "FEATURE_FLAGS='mine'\n")
    shop.started("one")
    for number, flags_on in ((1, "a_b_testing,service_metrics"), (2, "mine")):
        services = shop.host.json(f"releases/{number}/compose.json")["services"]
        assert services["api"]["environment"]["FEATURE_FLAGS"] == flags_on
    shop.project.write("config/qa.env", STAGING)
    code_, out, errors = shop.deploy("deploy", "qa", "--version", "one")
    assert (code_, out) == (2, "")
    assert errors == "deploy: ENV: expected one of local, staging, production, got 'qa'\n"


def levels_flags(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
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
        assert (
            levels_flags(project, monkeypatch, capsys, name, "--env-line")
            == f"FEATURE_FLAGS={one['feature_flags']}\n"
        )
        if level >= 2:
            said = pipeline(project, name)
            assert said["runtime"] == one["feature_flags"]
            assert {flag for flag, (is_on, _) in said["flags"].items() if is_on} == on(SHIPPED, name, level)


def test_the_command_says_whether_a_trigger_holds_and_by_which_figures(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(3)
    project.replace("config/evolution.yml", "  handling_user_data: null", "  handling_user_data: true")
    project.replace("config/evolution.yml", "  uptime_requirement: null", "  uptime_requirement: 99.5%")
    said = levels_flags(project, monkeypatch, capsys, "staging", "--offline")
    assert "when staging_deployment.enabled: holds (staging_deployment is on)\n" in said
    assert (
        "when handling_user_data OR production_deployment: holds (handling_user_data is yes;"
        " production_deployment is unknown: " in said
    )
    assert "when uptime_requirement > 99.9%: doesn't hold (uptime_requirement is 99.5%)\n" in said
    assert (
        "when production_traffic > 100_requests_per_minute: unknown (production_traffic.requests is unknown: "
        in said
    )


def test_the_command_says_where_no_workflow_asks_for_a_flag(
    at_level: AtLevel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = at_level(2)
    project.replace(code.FILE, "override: {health_endpoints: true", "override: {health_endpoints: false")
    shown = {
        name: re.sub(" +", " ", levels_flags(project, monkeypatch, capsys, name, "--offline"))
        for name in ("local", "staging", "production")
    }
    assert "\non health_endpoints level 1 brings it, and nothing switches it off\n" in shown["local"]
    assert "\non staging_deployment environments.staging.override\n" in shown["staging"]
    assert (
        "\n- staging_deployment the workflows ask for staging only (on here: environments.production.override)\n"
        in shown["production"]
    )
    # Of a level that isn't there nothing is asked anywhere.
    assert "\noff security_scanning it belongs to level 3, and" in shown["local"]


def test_a_trigger_that_cannot_be_read_is_told_with_its_place_and_column(at_level: AtLevel) -> None:
    project = at_level(2)
    project.replace(code.FILE, "when user_base > 10000", "when user_bas > 10000")
    where = re.escape(f"{code.FILE}, features.a_b_testing.trigger, column 6: expected a metric")
    with pytest.raises(Refused, match=rf"^{where} .* did you mean user_base\?$"):
        flags.report(project.folder, 2, "staging", {}, TODAY)
    # It is advice: whether the flag is on doesn't hang on it, and the pipeline runs.
    assert pipeline(project, "staging")["flags"]["staging_deployment"][0] is True


def test_what_a_metric_says_of_itself_cannot_reach_the_terminal(at_level: AtLevel) -> None:
    project = at_level(2)
    measured = {"user_base": Measured("user_base", None, reason="\x1b[31mred")}
    document = flags.report(project.folder, 2, "staging", measured, TODAY)
    assert "user_base is unknown: \\x1b[31mred" in flags.text(document, measured)
