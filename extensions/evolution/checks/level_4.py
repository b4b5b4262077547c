"""Level 4, Enterprise: a change is shown to a share of the users first."""

from __future__ import annotations

from typing import Any

from ...errors import Refused
from ...project.git_and_files import shown
from .. import flags
from .. import stale_flags as stale
from ..experiments import CODE, read
from ..facts import Facts
from . import Answer, done, not_applicable, todo

EXPERIMENTS = "config/experiments.yml"
FLAGS = "config/feature-flags.yml"


def experiments(facts: Facts) -> Answer:
    """The experiments can be read, and those that run are as they were planned

    An experiment whose plan changes while it runs can be made to show anything.
    """
    if not facts.text(EXPERIMENTS):
        return todo(f"{EXPERIMENTS} is missing", facts.missing(EXPERIMENTS))
    try:
        found = read(facts.folder)
    except Refused as error:
        return todo(str(error), f"fix it; `{facts.make} experiment` looks again")
    return done(f"{len(found)} in {EXPERIMENTS}, {sum(map(CODE.runs, found.values()))} running")


def experiment(facts: Facts) -> Answer:
    """An experiment of your own

    The one that comes with the level shows how it is written; no service asks for it.
    """
    if named := sorted({*_experiments(facts)} - {"example"}):
        return done(", ".join(named))
    return todo(
        "there is only the example",
        f"write yours into {EXPERIMENTS}, and ask for it with `variant`: docs/experiments.md says how",
    )


def experiments_flag(facts: Facts) -> Answer:
    """The flag of experiments is on somewhere

    While a_b_testing is off, everybody gets the control variant.
    """
    try:
        seen = flags.report(facts.folder, facts.recorded["level"], "", {}, facts.now.date())["environments"]
    except Refused as error:
        return todo(str(error), f"fix {FLAGS}")
    on = [
        one["environment"]
        for one in seen
        if any(flag["on"] for flag in one["flags"] if flag["name"] == "a_b_testing")
    ]
    if on:
        return done(f"on in {', '.join(on)}")
    return todo(
        f"{FLAGS} has it on nowhere",
        "set a_b_testing to true below `environments:`, where the experiment is to run",
    )


def flag_owners(facts: Facts) -> Answer:
    """Each flag of your own has an owner and a type

    Somebody decides when it goes; release and experiment flags do, operational and permission flags stay.
    """
    try:
        mine = stale.own(facts)
    except ValueError as error:
        return todo(shown(str(error)), f"fix {FLAGS}")
    lacking = list(stale.without(mine, ("owner", "type")))
    if lacking:
        return todo(
            "\n".join(lacking), "add `owner: NAME` and `type: release, experiment, operational or permission`"
        )
    return done(f"{len(mine)} in {FLAGS}") if mine else not_applicable("there is no flag of your own")


def stale_flags(facts: Facts) -> Answer:
    """No flag has outlived its work

    Each flag is a branch that has to be tested, and one that nobody remembers is switched by mistake.
    """
    try:
        lines = [
            *stale.stale(facts, stale.own(facts)),
            *stale.ended(_experiments(facts), facts.now),
        ]
    except ValueError as error:
        return todo(shown(str(error)), f"fix {FLAGS}")
    if lines:
        return todo("\n".join(lines), f"take it out of the code, then out of {FLAGS}")
    return done("none is past its day, on everywhere for 90 days, or without code that asks for it")


def _experiments(facts: Facts) -> dict[str, Any]:
    """The experiments of the project; none where the file is wrong, which is another item's."""
    try:
        return read(facts.folder)
    except Refused:
        return {}
