"""docs/metrics.md, from the registry: `python -m extensions.evolution.reference` writes it."""

from __future__ import annotations

from . import registry
from .triggers import TriggerError, parse

PAGE = "docs/metrics.md"

TEXT = """\
# Metrics and triggers

<!-- Written by `make docs` from extensions/evolution/registry.py: edit that. -->

A trigger says when a level or a flag is due, as in `when_team_size > 2 OR deployment_frequency > weekly`. Triggers of levels stand in
`config/evolution.yml` under `roadmap:`, those of flags in `config/feature-flags.yml`.

## Metrics

*Measured* ones are found by `levels`, [measuring.md](measuring.md) says how: those of deployments, for example, in the deployment log and the
record that deploys leave on their host. *Declared* ones nobody can measure: they stand in `config/evolution.yml` under `declared:`.

| metric | unit | source | meaning | compared with, for example |
| --- | --- | --- | --- | --- |
{metrics}
Of `production_traffic` the unit says whether users or requests are meant.

## Quantities

N is a number: digits, with `_` between thousands where wanted, and a decimal point. Its unit follows after an underscore.

| dimension | what may stand on the right |
| --- | --- |
{dimensions}
Rates are quantities: `daily` is more than `weekly`, and `7_per_week` is `daily`. A month has 30.4375 days, a year 365.25. What differs by
less than a billionth is equal. Quantities of different dimensions are not compared: users are no requests, and that is an error.

## Conditions

- `when` or `when_` may stand at the beginning; it changes nothing.
- A comparison is a metric, one of `>`, `>=`, `<`, `<=`, `==`, `!=`, and a quantity.
- A metric that is true or false stands alone, or is compared with `true` or `false` by `==` or `!=`.
- `NAME.enabled` asks whether a flag of `config/feature-flags.yml` is on.
- `NOT` binds closest, then `AND`, then `OR`; parentheses nest. Upper and lower case are alike in these words, and they are reserved.
- What isn't known is *unknown*, neither true nor false: `unknown OR true` is true, `unknown AND false` is false, and anything else that
  hangs on it is unknown.

A mistake is told in one line, with its column, what was expected there, and the nearest name where one is misspelt:

```
{mistakes}
```
"""
MISTAKES = [
    "team_sise > 2",
    "deployment_frequency > 100_users",
    "uptime_requirement > 99",
    "team_size > 2 OR OR multiple_services",
]


def page() -> str:
    """The whole text of the page."""
    metrics = registry.METRICS.values()
    dimensions = {metric.dimension.name: metric.dimension for metric in metrics}
    return TEXT.format(
        metrics="".join(
            f"| `{m.name}` | {m.unit} | {m.source} | {m.meaning} | {_code(m.dimension.example)} |\n"
            for m in metrics
        ),
        dimensions="".join(_row(dimension) for dimension in dimensions.values()),
        mistakes="\n".join(map(_mistake, MISTAKES)),
    )


def _row(dimension: registry.Dimension) -> str:
    quantities = [
        *dimension.words,
        *("N" + (unit if unit in ("", "%") else f"_{unit}") for unit in dimension.units),
    ]
    return f"| {dimension.name} | {', '.join(f'`{quantity}`' for quantity in quantities)} |\n"


def _code(examples: str) -> str:
    return "`" + examples.replace(" or ", "` or `") + "`"


def _mistake(text: str) -> str:
    try:
        parse(text, text)
    except TriggerError as error:
        return str(error)
    raise AssertionError(f"{text}: expected a mistake")


if __name__ == "__main__":
    with open(PAGE, "w", encoding="utf-8", newline="\n") as file:
        file.write(page())
