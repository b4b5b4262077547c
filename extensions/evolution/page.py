"""The detector's page, `levels evolution --html`: one HTML file that needs nothing else.

Its figures are those of `--json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from ..project.git_and_files import shown
from . import pages
from .charts import charts
from .detector import HOLDS

TEMPLATE = "page.html.jinja"
# How software is delivered, by DORA's four measures (https://dora.dev/guides/dora-metrics-four-keys/).
DORA = ("deployment_frequency", "lead_time", "change_failure_rate", "time_to_restore")


def render(document: Mapping[str, Any]) -> str:
    """The page for a document of `levels evolution --json`.

    All text is escaped: names of people and notes come from the project.
    """
    environment = pages.environment()
    environment.filters["code"] = _code
    weeks = next((stage["mondays_needed"] for stage in document["roadmap"]), 0)
    return environment.get_template(TEMPLATE).render(
        report=document,
        charts=charts(document),
        stops=_stops(document),
        weeks=weeks,
        holds=HOLDS,
        dora=[document["metrics"][name] for name in DORA],
    )


def _code(text: str) -> Markup:
    """Lines of text with what stands between backticks as code; escaped first."""
    return Markup(
        "<br>".join(
            re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(shown(line)))) for line in text.splitlines()
        )
    )


def _stops(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The levels on the road, each with what its tag says. Level 1 has no trigger."""
    stages = {stage["level"]: stage for stage in document["roadmap"]}
    stops = []
    for number, title in document["titles"].items():
        level = int(number)
        stage = stages.get(level)
        if level <= document["level"]:
            kind, tag, says = (
                ("here", "", "you are here")
                if level == document["level"]
                else ("reached", "plain", "reached")
            )
        else:
            kind = stage["state"] if stage else "ahead"
            tag = "due" if kind == "due" else "plain"
            says = _says(stage) if stage else "ahead"
        stops.append(
            {
                "level": level,
                "title": title,
                "kind": kind.replace(" ", "-"),
                "tag": tag,
                "says": says,
                "stage": stage,
            }
        )
    return stops


def _says(stage: Mapping[str, Any]) -> str:
    if stage["state"] == "holds":
        return f"holds, on {stage['mondays_held']} of {stage['mondays_needed']} Mondays"
    return str(stage["state"])
