"""What experiments come to, by planted events through DuckDB and tea-tasting, and by simulations: verdicts,
damage, false alarms under daily looks, power, CUPED.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from extensions.analytics import experiments, report, statistics
from extensions.analytics.experiments import Metric
from extensions.cli import main
from extensions.errors import Refused
from tests.support.experiment_events import FLAG, START, Events, plan, planted
from tests.support.projects import Project
from tests.support.proofs import fresh_machine
from tests.support.scale import scaled

pytestmark = pytest.mark.proof


def said(folder: Path, day: float = 6, keep: int | None = None, **changed: Any) -> dict[str, Any]:
    """The document's one experiment, looked at on a day."""
    made = report.make("shop", folder, [plan(**changed)], [], START + timedelta(days=day), keep)
    json.dumps(made, allow_nan=False)
    return {**made["experiments"][0], "events": made["events"]}


def state(one: dict[str, Any]) -> str:
    return str(one["verdict"]["state"])


# Verdicts


def test_a_better_goal_ships(tmp_path: Path) -> None:
    one = said(planted(tmp_path / "e", {"off": 8000, "on": 8000}, {"off": 0.2, "on": 0.25}))
    assert state(one) == "ship"
    assert one["verdict"]["sentence"].startswith("Ship on: the rate of paid with on is ")
    goal = one["comparisons"][0]["goal"]
    assert (goal["control"], goal["treatment"]) == (0.2, 0.25)
    assert goal["effect"]["relative"] == pytest.approx(0.25)
    assert 0 < goal["effect"]["relative_low"] < 0.25 < goal["effect"]["relative_high"]


def test_a_worse_goal_rolls_back(tmp_path: Path) -> None:
    one = said(planted(tmp_path / "e", {"off": 8000, "on": 8000}, {"off": 0.25, "on": 0.2}))
    assert state(one) == "roll back" and "lower than with off" in one["verdict"]["sentence"]


def test_a_guardrail_that_is_worse_rolls_back_a_better_goal(tmp_path: Path) -> None:
    more = {"refund": {"off": 0.05, "on": 0.09}}
    events = planted(tmp_path / "e", {"off": 8000, "on": 8000}, {"off": 0.2, "on": 0.25}, more=more)
    allowed = Metric("refund", "rate", "up", 0.1)
    one = said(events, guardrails=(allowed,))
    assert state(one) == "roll back"
    assert (
        "refund with on is" in one["verdict"]["sentence"] and "10% was allowed" in one["verdict"]["sentence"]
    )
    one = said(events, guardrails=(Metric("refund", "rate", "up", 1.0),))
    assert state(one) == "ship", "the interval has more than twice as many and less"
    assert one["verdict"]["reasons"][0].startswith("Not certain is that it does no harm: the rate of refund")
    one = said(events, guardrails=(Metric("refund", "rate", "up", 2.0),))
    assert state(one) == "ship", "twice as many more were allowed"
    assert one["comparisons"][0]["guardrails"][0]["state"] == "fine" and one["verdict"]["reasons"] == []


def test_no_difference_keeps_running_with_the_days_that_are_left(tmp_path: Path) -> None:
    one = said(planted(tmp_path / "e", {"off": 4000, "on": 4000}, {"off": 0.2, "on": 0.2}), day=5)
    assert state(one) == "keep running"
    # 8,000 of 20,000 came in five days.
    assert one["days_left"] == pytest.approx(12_000 / 1600, abs=1)
    assert one["verdict"]["sentence"].startswith(f"Keep running, about {one['days_left']} days left: ")


def test_nothing_is_decided_before_three_days(tmp_path: Path) -> None:
    events = planted(tmp_path / "e", {"off": 8000, "on": 8000}, {"off": 0.2, "on": 0.3}, days=2.5)
    one = said(events, day=2.6)
    assert state(one) == "keep running" and "the least is 3" in one["verdict"]["sentence"]
    assert one["comparisons"][0]["goal"]["state"] == "better", "it is told, and not acted on"
    assert state(said(events, day=2.6, ends=START + timedelta(days=2.55))) == "roll back", "it never ships"


@pytest.mark.parametrize("how", ["sample", "ends"])
def test_a_plan_that_is_over_without_an_effect_goes_back_to_the_control(tmp_path: Path, how: str) -> None:
    changed = {"sample": 8000} if how == "sample" else {"ends": START + timedelta(days=5)}
    one = said(planted(tmp_path / "e", {"off": 4000, "on": 4000}, {"off": 0.2, "on": 0.2}), **changed)
    assert state(one) == "roll back" and ", or plan anew: " in one["verdict"]["sentence"]


def test_units_that_do_not_stand_in_the_planned_ratio_stop_the_reading(tmp_path: Path) -> None:
    """51 to 49 in 50,000, which nobody would see."""
    events = planted(tmp_path / "e", {"off": 24_500, "on": 25_500}, {"off": 0.1, "on": 0.2})
    one = said(events)
    assert state(one) == "unhealthy" and one["mismatch"] < 0.001
    assert "on has 51% (planned 50%)" in one["verdict"]["sentence"]
    assert one["comparisons"] == [] and one["power"] is None, "no figure that somebody could act on"
    assert state(said(events, variants={"off": 49.0, "on": 51.0})) != "unhealthy", "as it was planned"


@pytest.mark.parametrize("what", ["no folder", "no file", "other flag", "not begun"])
def test_nothing_there_is_no_data(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "e"
    if what == "no folder":
        with pytest.raises(Refused, match="expected a folder of events"):
            said(folder)
        return
    folder.mkdir()
    if what == "other flag":
        events = Events(folder)
        events.exposure(1, "u1", "on", "another")
        events.conversion(1, "u1")
        events.write()
    one = said(folder, day=-3 if what == "not begun" else 6)
    assert state(one) == "no data" and one["units"] == {"off": 0, "on": 0}


def test_few_units_have_no_interval(tmp_path: Path) -> None:
    one = said(planted(tmp_path / "e", {"off": 60, "on": 60}, {"off": 0.1, "on": 0.9}))
    goal = one["comparisons"][0]["goal"]
    assert (state(one), goal["effect"], goal["state"]) == ("keep running", None, "too little")


def test_of_three_variants_each_stands_beside_the_control(tmp_path: Path) -> None:
    rates = {"off": 0.2, "short": 0.27, "long": 0.15}
    variants = {"off": 1.0, "short": 1.0, "long": 1.0}
    one = said(planted(tmp_path / "e", dict.fromkeys(rates, 6000), rates), variants=variants)
    assert [(two["variant"], two["goal"]["state"]) for two in one["comparisons"]] == [
        ("short", "better"),
        ("long", "worse"),
    ]
    assert one["verdict"]["sentence"].startswith("Ship short: ")
    assert "with long is" in one["verdict"]["reasons"][0]


def test_low_power_is_named(tmp_path: Path) -> None:
    events = planted(tmp_path / "e", {"off": 1000, "on": 1000}, {"off": 0.2, "on": 0.2})
    assert "Low power" in str(said(events, ends=START + timedelta(days=8))["verdict"]["reasons"])
    many = planted(tmp_path / "many", {"off": 8000, "on": 8000}, {"off": 0.2, "on": 0.2})
    one = said(many, sample=30_000)
    assert one["power"] > 0.8 and "Low power" not in str(one["verdict"])


# Events


def test_a_unit_that_saw_two_variants_is_left_out_and_named(tmp_path: Path) -> None:
    folder = planted(tmp_path / "e", {"off": 500, "on": 500}, {"off": 0.2, "on": 0.2})
    events = Events(folder, "web", 2)
    for place in range(40):
        events.exposure(4.5, f"off{place}", "on")
    events.exposure(4.5, "stranger", "blue")
    events.write()
    one = said(folder)
    assert (one["units"], one["several"], one["unplanned"]) == ({"off": 460, "on": 500}, 40, 1)
    assert "Multiple exposures: 40 users of 1,001 saw more than one variant (4%)" in one["notes"][0]
    assert "1 user saw a variant that isn't in the plan" in one["notes"][1]


def test_damaged_lines_are_counted_and_told(tmp_path: Path) -> None:
    folder = planted(tmp_path / "it's [here]*", {"off": 500, "on": 500}, {"off": 0.2, "on": 0.2}, days=2)
    before = said(folder)
    good = {"time": "2026-11-01T12:00:00.000Z", "event": "conversion", "name": "paid", "value": 1.0}
    unit = {"feature_flag.context.id": "u"}
    damaged = [
        *(
            json.dumps({**good, **unit, **wrong})
            for wrong in ({"time": "noon"}, {"time": None}, {"name": None})
        ),
        *(
            json.dumps({**good, **unit, **wrong})
            for wrong in ({"time": "2026-11-01T12:00"}, {"value": "much"})
        ),
        *(json.dumps(good), "not JSON", "[1, 2]", "null", '{"a": 1}{"b": 2}', "\x00\x00", '"text"'),
        json.dumps({**good, **unit}).replace("1.0", "1e999"),
    ]
    lines = [*damaged, "", json.dumps({"event": "something else"}), json.dumps({**good, **unit})]
    path = folder / "web-2026-11-01-host-9.jsonl"
    path.write_bytes("\n".join(lines).encode() + b'\n\xff\xfe{"time"\n{"time": "2026-11-01T12:00:00.0')
    (folder / "notes.jsonl").write_text("{}\n")
    after = said(folder)
    assert after["events"]["damaged"] == [{"file": path.name, "lines": len(damaged) + 2}]
    assert (after["events"]["other"], after["events"]["strange"]) == (1, ["notes.jsonl"])
    assert after["events"]["lines"] == before["events"]["lines"] + 1
    assert after["units"] == before["units"]


def test_a_line_that_was_cut_off_counts_once_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    events = Events(folder)
    events.exposure(0.1, "u1", "on")
    events.exposure(0.2, "u2", "off")
    path = events.write() / "api-2026-11-01-host-1.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-20])
    one = said(folder)
    assert (one["units"], one["events"]["damaged"][0]["lines"]) == ({"off": 0, "on": 1}, 1)
    path.write_text(whole)
    one = said(folder)
    assert (one["units"], one["events"]["damaged"]) == ({"off": 1, "on": 1}, [])


def test_only_what_is_new_is_read_again(tmp_path: Path) -> None:
    folder = planted(tmp_path / "e", {"off": 200, "on": 200}, {"off": 0.2, "on": 0.2})
    first = said(folder)
    assert first["events"]["read"] == 5 == len(list(folder.glob("parquet/*/*.parquet")))
    again = said(folder)
    assert again["events"]["read"] == 0
    assert {**again, "events": 0} == {**first, "events": 0}
    events = Events(folder)
    events.exposure(4.9, "late", "on")
    events.write()
    assert (said(folder)["events"]["read"], said(folder)["units"]["on"]) == (1, 201)
    os.remove(folder / "api-2026-11-01-host-1.jsonl")  # its host keeps events for some days only
    assert said(folder)["units"] == {"off": 200, "on": 201}


def test_a_unit_that_is_deleted_from_the_events_is_gone(tmp_path: Path) -> None:
    folder = planted(tmp_path / "e", {"off": 200, "on": 200}, {"off": 0.2, "on": 0.2})
    said(folder)
    for path in folder.glob("*.jsonl"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"on7"' not in line))
    assert said(folder)["units"] == {"off": 200, "on": 199}
    assert b"on7\0" not in b"".join(path.read_bytes() for path in folder.glob("parquet/*/*"))


def test_retention_removes_days_and_refuses_those_that_are_needed(tmp_path: Path) -> None:
    folder = planted(tmp_path / "e", {"off": 200, "on": 200}, {"off": 0.2, "on": 0.2})
    said(folder)
    with pytest.raises(Refused, match=r"--keep-days: an experiment .* needs events from 2026-10-18 on"):
        said(folder, day=6, keep=4)
    assert len(list(folder.glob("*.jsonl"))) == 5, "nothing is removed by halves"
    one = said(folder, day=6, keep=4, ends=START + timedelta(days=5))
    assert (one["events"]["removed"], len(one["events"]["days"])) == (2, 3)
    assert len(list(folder.glob("*.jsonl"))) == 3 == len(list(folder.glob("parquet/*")))


def test_a_broken_store_is_told_with_the_way_out(tmp_path: Path) -> None:
    folder = planted(tmp_path / "e", {"off": 200, "on": 200}, {"off": 0.2, "on": 0.2})
    said(folder)
    next(folder.glob("parquet/*/*.parquet")).write_bytes(b"no Parquet")
    with pytest.raises(Refused, match=r"parquet/ can be removed, it is made again") as refused:
        said(folder)
    assert "\n" not in str(refused.value)
    shutil.rmtree(folder / "parquet")
    assert said(folder)["units"] == {"off": 200, "on": 200}


# Figures


def test_days_are_those_of_the_events_counted_by_hand(tmp_path: Path) -> None:
    """A mean over several conversions of a unit, with behaviour before the exposure, against plain Python."""
    import numpy

    random = numpy.random.default_rng(3)
    events, before, after = Events(tmp_path / "e"), {}, {}
    arms = {f"u{n}": "on" if n % 2 else "off" for n in range(600)}
    since = {unit: float(random.uniform(0, 4)) for unit in arms}
    for unit, variant in arms.items():
        events.exposure(since[unit], unit, variant)
        events.exposure(since[unit] + 0.5, unit, variant)
        old = [float(value) for value in random.uniform(-13.9, -0.1, 2)]
        new = [float(value) for value in random.uniform(0.001, 1, 3)]
        weight = float(random.exponential())
        for gap in (*old, *new):
            events.conversion(since[unit] + gap, unit, value=round(weight + float(random.normal()) / 4, 6))
        events.conversion(since[unit] - 14.5, unit, value=99.0)  # too long before
        events.conversion(since[unit] + 0.2, unit, "another", 99.0)
    lines = [json.loads(line) for lines in events.lines.values() for line in lines]
    events.write()
    for line in lines:
        if line["event"] == "conversion" and line["name"] == "paid":
            unit = line["feature_flag.context.id"]
            at = (report.datetime.fromisoformat(line["time"]) - START).total_seconds() / 86400 - since[unit]
            if at >= -1e-6:
                day = line["time"][:10]
                after.setdefault(day, {}).setdefault(unit, []).append(line["value"])
            elif at > -14:
                before[unit] = before.get(unit, 0) + line["value"]
    one = said(tmp_path / "e", goal=Metric("paid", "mean"))
    for look in one["comparisons"][0]["over_time"]:
        units = [
            unit for unit in arms if (START + timedelta(days=since[unit])).date().isoformat() <= look["day"]
        ]
        y = {
            u: sum(v for day, of in after.items() if day <= look["day"] for v in of.get(u, [])) for u in units
        }
        x = {u: before.get(u, 0.0) for u in units}
        ys, xs = numpy.array([y[u] for u in units]), numpy.array([x[u] for u in units])
        on = numpy.array([arms[u] == "on" for u in units])
        theta = numpy.cov(xs, ys)[0, 1] / numpy.cov(xs, ys)[0, 0]
        adjusted = ys - theta * (xs - xs.mean())
        error = (adjusted[on].var(ddof=1) / on.sum() + adjusted[~on].var(ddof=1) / (~on).sum()) ** 0.5
        assert look["units"] == len(units)
        assert look["difference"] == pytest.approx(
            adjusted[on].mean() - adjusted[~on].mean(), rel=1e-6, abs=1e-9
        )
        assert look["error"] == pytest.approx(error, rel=1e-6)
        assert look["high"] - look["difference"] == pytest.approx(
            float(statistics.factor(len(units), 20_000)) * error, rel=1e-6
        )
    assert one["comparisons"][0]["goal"]["effect"]["reduction"] > 0.3


def moments(y: Any, x: Any = None) -> statistics.Moments:
    """The sums of arrays."""
    x = 0 * y if x is None else x
    sums = (y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum())
    return statistics.Moments(len(y), int((y != 0).sum()), *map(float, sums))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7, 0.9])
def test_cuped_takes_away_the_share_of_the_variance_that_theory_says(rho: float) -> None:
    """1 - rho^2 is left (Deng and others, 2013)."""
    import numpy

    random = numpy.random.default_rng(7)
    x = random.normal(5, 2, (2, 100_000))
    y = 3 + rho * (x - 5) / 2 + (1 - rho**2) ** 0.5 * random.normal(0, 1, x.shape)
    effect = statistics.compare(moments(y[0], x[0]), moments(y[1], x[1]), 200_000)
    plain = statistics.compare(moments(y[0]), moments(y[1]), 200_000)
    assert effect and plain and plain.reduction is None
    assert (effect.error / plain.error) ** 2 == pytest.approx(1 - rho**2, abs=0.01)
    assert effect.reduction is None or effect.reduction == pytest.approx(rho**2, abs=0.01)


def looks(rounds: int, each: int, rates: tuple[float, float], planned: int, seed: int) -> tuple[Any, Any]:
    """For each of `rounds` experiments and each of 20 looks, of `each` new units a variant: how many standard
    errors the difference of two rates is away from 0, and the factor of the always-valid interval.
    """
    import numpy

    random = numpy.random.default_rng(seed)
    counted = numpy.cumsum(random.binomial(each, rates, (rounds, 20, 2)), axis=1)
    units = each * numpy.arange(1, 21)
    share = counted / units[None, :, None]
    variance = share * (1 - share) / (units - 1)[None, :, None]
    away = numpy.abs(share[..., 1] - share[..., 0]) / numpy.sqrt(variance.sum(axis=2))
    return away, statistics.factor(2 * units, planned)


@pytest.mark.soak
def test_looking_every_day_gives_no_more_false_alarms_than_were_allowed() -> None:
    """A/A experiments with 20 looks each: naive looking errs in more than a fifth of them."""
    for planned in (4_000, 10_000, 40_000):  # half of what comes, what comes, and four times as much
        away, factor = looks(scaled(2_000), 250, (0.2, 0.2), planned, seed=11)
        assert (away > 1.96).any(axis=1).mean() > 0.2
        assert (away > factor).any(axis=1).mean() <= 0.05


def test_the_vectorised_looks_are_those_of_the_report() -> None:
    import numpy

    random = numpy.random.default_rng(5)
    y = random.binomial(1, 0.2, (2, 3000)).astype(float)
    effect = statistics.compare(moments(y[0]), moments(y[1]), 10_000)
    assert effect is not None
    error = (y.var(axis=1, ddof=1) / 3000).sum() ** 0.5
    assert effect.error == pytest.approx(error)
    assert (effect.high - effect.difference) / error == pytest.approx(float(statistics.factor(6000, 10_000)))


def test_the_ratio_is_seldom_called_off_in_vain_over_all_looks() -> None:
    import numpy
    from scipy.stats import chi2

    on = numpy.random.default_rng(19).binomial(500, 0.5, (20_000, 20)).cumsum(axis=1)
    units = 500 * numpy.arange(1, 21)
    found = (2 * on - units) ** 2 / units > chi2.isf(statistics.MISMATCH, 1)
    assert found.any(axis=1).mean() < 0.01
    at_once = statistics.mismatch({"off": int(500 - on[0, 0]), "on": int(on[0, 0])}, {"off": 1.0, "on": 1.0})
    assert at_once == pytest.approx(chi2.sf((2 * on[0, 0] - 500) ** 2 / 500, 1))


@pytest.mark.soak
def test_false_alarms_stay_rare_when_conversions_come_late_and_often() -> None:
    """A mean that grows for days after the exposure, with CUPED, through what the report computes."""
    import numpy

    random = numpy.random.default_rng(13)
    alarms, naive, rounds = 0, 0, scaled(2_000)
    for _ in range(rounds):
        habit = random.exponential(1, (2, 2000))
        x = random.poisson(habit * 2).astype(float)
        seen: list[bool] = []
        plain: list[bool] = []
        y = numpy.zeros_like(x)
        for look in range(1, 21):
            units = 100 * look
            y[:, :units] += random.poisson(habit[:, :units] * 0.2)
            effect = statistics.compare(
                *(moments(y[arm, :units], x[arm, :units]) for arm in (0, 1)), planned=4000
            )
            assert effect is not None
            seen.append(effect.low > 0 or effect.high < 0)
            plain.append(abs(effect.difference) > 1.96 * effect.error)
        alarms, naive = alarms + any(seen), naive + any(plain)
    print(f"always valid {alarms / rounds:.1%}, naive {naive / rounds:.1%} of {rounds}")
    assert alarms / rounds <= 0.05
    assert naive / rounds > 0.15


@pytest.mark.soak
def test_the_planned_sample_finds_the_planned_effect() -> None:
    planned = statistics.sample(deviation=(0.21 * 0.79) ** 0.5, effect=0.02)
    away, factor = looks(scaled(2_000), planned // 40, (0.2, 0.22), planned, seed=17)
    assert 0.8 - 0.06 <= (away > factor)[:, -1].mean() <= 0.8 + 0.06, (
        "at the end alone, as the formula has it"
    )
    assert (away > factor).any(axis=1).mean() >= 0.8, "earlier looks add to it"
    # A sample that was planned for one look finds it less often: the price of looking.
    error = (2 * 0.21 * 0.79 / (planned / 2)) ** 0.5
    assert statistics.power(0.02, error, planned, planned) == pytest.approx(0.8, abs=0.001)
    less = planned / 1.91
    assert statistics.power(0.02, error * 1.91**0.5, less, less) == pytest.approx(0.41, abs=0.01)


def test_the_factor_is_the_published_one() -> None:
    """Its smallest value is near the planned number, and no interval gets wider with more units."""
    import numpy

    units = numpy.arange(1000, 100_000, 100)
    half = statistics.factor(units, 10_000) / numpy.sqrt(units)
    assert (numpy.diff(half) < 0).all(), "an interval gets narrower with each unit"
    widths = [float(statistics.factor(10_000, planned)) for planned in range(2_000, 60_000, 500)]
    best = range(2_000, 60_000, 500)[widths.index(min(widths))]
    assert 9_000 <= best <= 11_000, "tuned for the number at which it is the narrowest"
    assert min(widths) == pytest.approx(3.03, abs=0.01)


# The command

SHORTER = (
    f"{{hypothesis: h, owner: o, flag: {FLAG}, unit: user, variants: {{off: 1, on: 1}}, control: off,\n"
    "    goal: {conversion: paid, kind: rate}, minimal_effect: 10%, start: 2026-11-01, end: 2026-11-06}\n"
)


def test_the_command_says_the_same_as_text_as_json_and_on_the_page(
    at_level: Callable[[int], Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    project = at_level(4)
    (project.folder / experiments.FILE).write_text(
        f"experiments:\n  shorter: {SHORTER}"
        "  other: {hypothesis: h, owner: o, flag: other, unit: user, variants: {off: 1, on: 1}, control: off}\n",
        encoding="utf-8",
    )
    events = planted(tmp_path / "e", {"off": 8000, "on": 8000}, {"off": 0.2, "on": 0.25})
    monkeypatch.chdir(project.folder)
    html = tmp_path / "page.html"
    assert main(["analytics", "--events", str(events), "--json", "--html", str(html)]) == 0
    document = json.loads(capfd.readouterr().out)
    [one] = document["experiments"]
    assert (one["name"], one["verdict"]["state"], document["not_planned"]) == ("shorter", "ship", ["other"])
    assert one["verdict"]["sentence"] in html.read_text(encoding="utf-8")
    assert html.stat().st_size < 30_000
    assert main(["analytics", "--events", str(events), "--experiment", "shorter"]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert one["verdict"]["sentence"] in out and "25%, 20% with the control: +25%" in out
    assert main(["analytics", "--events", str(events), "--experiment", "other"]) == 2
    assert "it lacks a goal" in capfd.readouterr().err


@pytest.mark.soak
def test_a_report_on_ten_million_events_takes_seconds(tmp_path: Path) -> None:
    from benchmarks import analytics

    events = scaled(10_000_000)
    found = analytics.measure(tmp_path, events)
    print(json.dumps(found))
    assert (found["first"]["read"], found["report"]["read"]) == (44, 0)
    assert found["report"]["events"] == events and sum(found["report"]["units"].values()) == events // 5
    assert found["report"]["sentence"] == found["first"]["sentence"]
    assert max(found["first"]["megabytes"], found["report"]["megabytes"]) < 2_000
    assert found["report"]["cpu"] < 10


def test_make_brings_the_libraries_that_no_other_command_has(
    template: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As a person runs it, with uv and nothing installed."""
    machine = fresh_machine(tmp_path_factory)
    project = Project(tmp_path / "shop", template).copy(level=4, services=["api"]).folder
    (project / experiments.FILE).write_text(
        f"experiments:\n  shorter: {SHORTER}",
        encoding="utf-8",
    )
    planted(tmp_path / "e", {"off": 8000, "on": 8000}, {"off": 0.2, "on": 0.25})
    out = machine.run(f"make analytics EVENTS={tmp_path}/e HTML={tmp_path}/page.html", project)
    assert "Ship on: the rate of paid with on is" in " ".join(out.split())
    assert "Ship on" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "expected duckdb" in machine.run(
        f"python3 ci/levels.py analytics --events {tmp_path}/e", project, code=2
    ), "the wrapper alone has no extra"
    said = machine.run("make analytics", project, code=2)
    assert "EVENTS" in said and "--events" not in said
