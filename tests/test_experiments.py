"""Experiments at level 4: what config/experiments.yml may say, what is planned, started and stopped, and flagd's
definition of an environment.

Who gets which variant is shown by tests/proof/test_experiments.py, with the real OpenFeature.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.as_a_person import levels
from tests.support.projects import Project, git

AtLevel = Callable[..., Project]
FILE = "config/experiments.yml"
FLAGS = "config/feature-flags.yml"
MINE = """\
experiments:
  checkout:
    hypothesis: "It sells more"
    owner: ada
    flag: new-checkout
    unit: user
    variants: {off: 3, on: 1}
    control: off
    goal: {conversion: bought, kind: rate}
    guardrails: [{conversion: refund, kind: mean, worse: up, at_most: 2%}]
    minimal_effect: 10%
    start: 2027-01-11
    end: 2099-02-08
"""


def run(project: Project, *command: str, **env: str) -> tuple[int, str, str]:
    """Run a command in the project; gives exit code, output and errors."""
    ours = {name: value for name, value in os.environ.items() if name[:6] != "EVENTS" and name[:4] != "MAKE"}
    done = subprocess.run(
        command, cwd=project.folder, env={**ours, **env}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def experiment(project: Project, do: str = "", **told: str) -> tuple[int, str, str]:
    """What `make experiment` runs, with these options."""
    options = [word for name, value in told.items() for word in (f"--{name}", value)]
    done = levels(project.folder, "experiment", *([do] if do else []), *options, EVENTS_FOLDER="")
    return done.returncode, done.stdout, done.stderr


def flagd(project: Project, environment: str) -> dict[str, Any]:
    code, out, errors = run(project, sys.executable, "ci/experiments.py", environment)
    assert code == 0, errors
    return dict(json.loads(out)["flagd"])


def with_mine(project: Project, *changes: tuple[str, str]) -> Project:
    """The project with the experiment above, changed."""
    text = MINE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    project.write(FILE, text)
    return project


def test_the_example_is_right_and_shown(at_level: AtLevel) -> None:
    project = at_level(4, two=True)
    expected = "example: not started; all get old, then old 50.0%, new 50.0%\n"
    assert experiment(project) == (0, expected, "")
    project.write(FILE, "experiments:\n")
    assert experiment(project) == (0, "no experiments\n", "")
    (project.folder / FILE).unlink()
    assert experiment(project) == (0, "no experiments\n", "")
    assert git(project.folder, "status", "--porcelain") == f" D {FILE}\n", "nothing else is left behind"


# What is changed, the line that is named, and what is said of it.
BAD = {
    "no YAML": ("    owner: ada", "    owner: [ada", 5, "expected YAML with each name once"),
    "a name twice": ("    unit: user", "    owner: bob\n    unit: user", 3, "got a name twice"),
    "another part": ("experiments:", "experiment:", 0, "expected `experiments:` with a mapping"),
    "a name with capitals": ("  checkout:", "  Checkout:", 2, "expected a name of a-z, 0-9, _ and -"),
    "an unknown field": ("    unit: user", "    units: user", 6, "expected hypothesis or owner or"),
    "a field too few": (
        "    unit: user\n",
        "",
        2,
        "experiments.checkout.unit: expected what keeps its variant",
    ),
    "no hypothesis": ('"It sells more"', '" "', 3, "hypothesis: expected a sentence, got ' '"),
    "one variant": ("{off: 3, on: 1}", "{off: 3}", 7, "expected two or more names"),
    "a weight that isn't whole": ("{off: 3, on: 1}", "{off: 3, on: 0.5}", 7, "a whole number from 0 on"),
    "a negative weight": ("{off: 3, on: 1}", "{off: 3, on: -1}", 7, "a whole number from 0 on"),
    "no weight": ("{off: 3, on: 1}", "{off: 0, on: 0}", 7, "a whole number from 0 on"),
    "an unknown control": ("control: off", "control: old", 8, "expected one of off, on, got 'old'"),
    "a goal without a kind": (
        ", kind: rate}",
        "}",
        9,
        "goal: expected {conversion: NAME, kind: rate or mean}",
    ),
    "a guardrail that is a goal": (", worse: up, at_most: 2%", "", 10, "guardrails: expected a list of"),
    "an effect of nothing": ("10%", "0%", 11, "minimal_effect: expected a share of what the control"),
    "no day": ("2027-01-11", "2027-13-01", 12, "start: expected a day such as 2027-01-31, got '2027-13-01'"),
    "an end before the start": ("2099-02-08", "2027-01-11", 13, "end: expected a day after 2027-01-11"),
    "a misspelt operator": (
        "    goal:",
        "    targeting: {equals: [{var: country}, DE]}\n    goal:",
        9,
        "targeting: expected a rule of JsonLogic",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_mistake_is_told_in_one_line_with_its_place(at_level: AtLevel, what: str) -> None:
    before, after, line, message = BAD[what]
    project = with_mine(at_level(4), (before, after))
    code, out, errors = experiment(project)
    assert (code, out, errors.count("\n")) == (2, "", 1), errors
    assert message in errors and FILE in errors
    assert not line or f"{FILE}, line {line}: " in errors, errors
    done = run(project, sys.executable, "ci/checks/experiment.py", PYTHONPATH="ci")
    assert done[0] == 2 and done[2].partition(": ")[2] == errors.partition(": ")[2], "the check says the same"


def test_two_experiments_have_two_flags(at_level: AtLevel) -> None:
    again = MINE.replace("experiments:\n", "").replace("  checkout:", "  again:")
    project = at_level(4)
    project.write(FILE, MINE + again)
    code, _, errors = experiment(project)
    assert code == 2 and "line 17: experiments.again.flag: expected one that checkout hasn't" in errors


# A plan


@pytest.mark.parametrize(
    ("told", "units", "days"),
    [
        # 2 z^2 (p1 q1 + p2 q2) / d^2 with z = 3.03521 + 0.84162
        ({"baseline": "10%", "units": "1000"}, 56_483, 57),
        ({"baseline": "50%", "units": "1000"}, 5_982, 6),
    ],
)
def test_a_plan_is_what_the_formula_gives(
    at_level: AtLevel, told: dict[str, str], units: int, days: int
) -> None:
    project = with_mine(at_level(4), ("{off: 3, on: 1}", "{off: 1, on: 1}"))
    code, out, errors = experiment(project, "plan", name="checkout", **told)
    assert code == 0, errors
    assert f"units: {units}, with power 80% at a significance of 5%" in out
    assert f"days: {days}, with 1000 units a day" in out


def test_uneven_shares_and_more_variants_need_more(at_level: AtLevel) -> None:
    project = at_level(4)

    def needs(variants: str) -> int:
        with_mine(project, ("{off: 3, on: 1}", variants))
        out = experiment(project, "plan", name="checkout", baseline="10%", units="9")[1]
        return int(re.findall(r"^units: (\d+)", out, re.M)[0])

    even = needs("{off: 1, on: 1}")
    assert needs("{off: 9, on: 1}") > 2.5 * even
    assert needs("{off: 1, on: 1, more: 1}") > 1.5 * even


def test_a_mean_needs_its_deviation(at_level: AtLevel) -> None:
    project = with_mine(at_level(4), ("kind: rate", "kind: mean"))
    code, _, errors = experiment(project, "plan", name="checkout", baseline="20")
    assert code == 2 and "the sample of checkout is unknown" in errors and "DEVIATION=" in errors
    out = experiment(project, "plan", name="checkout", baseline="20", deviation="30")[1]
    assert "bought is 20, standard deviation 30" in out and "days: unknown" in out


def test_a_plan_is_from_the_events_where_there_are_some(at_level: AtLevel) -> None:
    project = with_mine(at_level(4), ("{off: 3, on: 1}", "{off: 1, on: 1}"))
    project.write(
        "shown/api-2026-11-30-h-1.jsonl",
        "".join(
            json.dumps(event) + "\n"
            for number in range(2000)
            for event in [
                {
                    "time": f"2026-11-{29 + number % 2}T10:00:00.000Z",
                    "event": "feature_flag.evaluation",
                    "feature_flag.key": "new-checkout",
                    "feature_flag.result.variant": ("off", "on")[number % 2],
                    "feature_flag.context.id": f"{number:x}",
                },
                *(
                    [
                        {
                            "time": "2026-11-30T10:00:00.000Z",
                            "event": "conversion",
                            "name": "bought",
                            "value": 1,
                            "feature_flag.context.id": f"{number:x}",
                        }
                    ]
                    if number < 200
                    else []
                ),
            ]
        ),
    )
    folder = str(project.folder / "shown")
    done = levels(project.folder, "experiment", "plan", "--name", "checkout", EVENTS_FOLDER=folder)
    assert done.returncode == 0, done.stderr
    assert "bought is 10.00%" in done.stdout and "with 1000 units a day" in done.stdout
    done = levels(project.folder, "experiment", "--name", "checkout", EVENTS_FOLDER=folder)
    assert "units: off 1000, on 1000" in done.stdout
    (project.folder / "shown/api-2026-11-30-h-1.jsonl").unlink()
    done = levels(project.folder, "experiment", "--name", "checkout", EVENTS_FOLDER=folder)
    assert "units: unknown: there are no events yet" in done.stdout


def test_what_is_not_known_is_said_and_nothing_is_started(at_level: AtLevel) -> None:
    project = with_mine(at_level(4), ("    minimal_effect: 10%\n", ""))
    assert experiment(project)[1] == "checkout: lacks minimal_effect; all get off, then off 75.0%, on 25.0%\n"
    code, _, errors = experiment(project, "start", name="checkout", baseline="10%")
    assert code == 2 and f"{FILE}, line 2: checkout can't be planned, expected minimal_effect" in errors
    with_mine(project)
    code, _, errors = experiment(project, "start", name="checkout")
    assert code == 2 and "the sample of checkout is unknown: neither ENV nor EVENTS_FOLDER" in errors
    assert project.read(FILE) == MINE
    for do, told, message in [
        ("go", {"name": "checkout"}, "DO is 'go', expected status, plan, start, stop or forget"),
        ("plan", {"name": "x"}, "NAME is 'x', expected one of checkout"),
        ("plan", {"name": "checkout", "baseline": "much"}, "BASELINE is 'much', expected a number above 0"),
        ("plan", {"name": "checkout", "baseline": "95%"}, "expected more than 0, and for a rate less than 1"),
        ("stop", {"name": "checkout"}, "checkout doesn't run"),
    ]:
        code, _, errors = experiment(project, do, **told)
        assert code == 2 and message in errors and errors.count("\n") == 1, errors
    make = ("make", "-f", "levels.mk", f"PYTHON={sys.executable}", "experiment", "DO=forget")
    assert "UNIT is empty, expected the unit whose events" in run(project, *make)[2]
    assert "neither ENV nor EVENTS_FOLDER says" in run(project, *make, "UNIT=ada")[2]


# Start and stop


@pytest.fixture
def started(at_level: AtLevel) -> Project:
    project = with_mine(at_level(4))
    project.replace(
        FLAGS,
        "      monitoring_dashboards: true\n",
        "      monitoring_dashboards: true\n      a_b_testing: true\n",
    )
    code, _, errors = experiment(project, "start", name="checkout", baseline="10%", units="1000")
    assert code == 0, errors
    return project


def test_a_start_adds_one_line_and_the_rest_stays(started: Project) -> None:
    lines = started.read(FILE).splitlines(keepends=True)
    assert "".join([*lines[:2], *lines[3:]]) == MINE
    written = json.loads(lines[2].strip().removeprefix("started: "))
    assert written["days"] and written["sample"] and written["plan"]["variants"] == {"off": 3, "on": 1}
    assert re.search(
        r"checkout: runs since \S+, until 2099-02-08; off 75.0%, on 25.0%", experiment(started)[1]
    )
    code, _, errors = experiment(started, "start", name="checkout", baseline="10%")
    assert code == 2 and "checkout was started" in errors


@pytest.mark.parametrize(
    ("before", "after", "field", "line"),
    [
        ("{off: 3, on: 1}", "{off: 1, on: 1}", "variants", 8),
        ("minimal_effect: 10%", "minimal_effect: 20%", "minimal_effect", 12),
        ("at_most: 2%", "at_most: 9%", "guardrails", 11),
        ("{conversion: bought, kind: rate}", "{conversion: refund, kind: rate}", "goal", 10),
        ("end: 2099-02-08", "end: 2099-03-08", "end", 14),
        ("    unit: user", "    targeting: {var: x}\n    unit: user", "targeting", 7),
        ("    flag: new-checkout\n", "    flag: other\n", "flag", 6),
        ("It sells more", "It sells less", "hypothesis", 4),
    ],
)
def test_what_was_planned_may_not_change_while_it_runs(
    started: Project, before: str, after: str, field: str, line: int
) -> None:
    head, _, rest = started.read(FILE).partition("\n    hypothesis")
    assert before in f"\n    hypothesis{rest}"
    started.write(FILE, head + f"\n    hypothesis{rest}".replace(before, after))
    code, _, errors = run(started, sys.executable, "ci/checks/experiment.py", PYTHONPATH="ci")
    assert code == 2 and f"{FILE}, line {line}: experiments.checkout.{field}: expected" in errors
    assert "as planned; it runs since" in errors


def test_who_owns_it_may_change_while_it_runs(started: Project) -> None:
    started.replace(FILE, "owner: ada", "owner: bob")
    assert run(started, sys.executable, "ci/checks/experiment.py", PYTHONPATH="ci")[0] == 0


def test_the_definition_follows_the_state_and_the_environment(started: Project) -> None:
    on = flagd(started, "production")["flags"]["new-checkout"]
    assert on["targeting"]["if"][1] == {"fractional": [["off", 3], ["on", 1]]}
    assert on["defaultVariant"] == "off" and on["metadata"] == {"experiment": "checkout"}
    assert "targeting" not in flagd(started, "staging")["flags"]["new-checkout"], "a_b_testing is off there"
    code, _, errors = experiment(started, "stop", name="checkout", variant="on")
    assert code == 0, errors
    over = flagd(started, "production")["flags"]["new-checkout"]
    assert over["defaultVariant"] == "on" and "targeting" not in over
    assert flagd(started, "staging")["flags"]["new-checkout"]["defaultVariant"] == "off"
    assert "all get on" in experiment(started)[1]
    started.replace(FILE, "minimal_effect: 10%", "minimal_effect: 20%")
    assert experiment(started)[0] == 0, "what is over may be changed"


def test_flags_of_ones_own_are_in_the_definition_and_hold_an_experiment_up(started: Project) -> None:
    started.replace(
        FLAGS,
        "  # Yours, below.\n",
        "  # Yours, below.\n  dark_mode: {enabled: true}\n  new-checkout: {enabled: true, owner: ada, type: experiment}\n",
    )
    made = flagd(started, "production")
    assert set(made["flags"]) == {"dark_mode", "new-checkout"}
    assert made["flags"]["dark_mode"] == {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "on",
    }
    assert "targeting" in made["flags"]["new-checkout"]
    started.replace(
        FLAGS, "      a_b_testing: true\n", "      a_b_testing: true\n      new-checkout: false\n"
    )
    changed = flagd(started, "production")
    assert "targeting" not in changed["flags"]["new-checkout"], "switched off in the environment"
    assert changed["metadata"] != made["metadata"] and flagd(started, "production") == changed
    started.replace(FLAGS, "type: experiment", "type: forever")
    code, _, errors = run(started, sys.executable, "ci/experiments.py", "production")
    assert code and "features.new-checkout.type: expected one of release, experiment," in errors


def test_flags_for_this_machine_are_written_where_services_look(started: Project) -> None:
    make = ("make", "-f", "levels.mk", f"PYTHON={sys.executable}", "flags")
    code, out, errors = run(started, *make, "ENV=local", "APPLY=1")
    assert code == 0, errors
    made = json.loads((started.folder / ".cache/flags.json").read_text())
    assert made == flagd(started, "local") and made["metadata"]["version"] in out
    code, _, errors = run(started, *make, "APPLY=1", "ENV=nowhere")
    assert code == 2 and "ENV: expected one of" in errors


@pytest.mark.parametrize("two", [True, False])
def test_the_page_speaks_of_a_worker_if_there_is_one(at_level: AtLevel, two: bool) -> None:
    assert ("serve_health" in at_level(4, two=two).read("docs/experiments.md")) == two


def test_make_hands_on_what_it_is_told(at_level: AtLevel) -> None:
    project = at_level(4)

    def says(*words: str) -> str:
        code, out, errors = run(project, "make", "-f", "levels.mk", "PYTHON=echo", *words)
        assert code == 0, errors
        return out.strip()

    assert says("experiment") == "ci/levels.py experiment"
    told = ("DO=plan", "NAME=checkout", "ENV=staging", "BASELINE=4%", "DEVIATION=2", "UNITS=9", "VARIANT=on")
    assert says("experiment", *told) == (
        "ci/levels.py experiment plan --name checkout --environment staging --variant on --baseline 4%"
        " --deviation 2 --units 9"
    )
    assert says("experiment", "DO=forget", "UNIT=ada") == "-P -m deploy.events forget"
    assert says("flags", "ENV=staging") == "ci/levels.py flags staging"
    assert says("flags", "ENV=staging", "APPLY=1") == "-P -m deploy.steps.flags"
