"""How often something happens: a rate over whole weeks, at any point of time, so that the past is measured as
the present is.

A rate is the mean over up to 12 weeks without the busiest of them. One busy week, or one bad one, is no
rhythm, and a plain mean would carry it along for three months.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from ...project.git_and_files import counted

DAY = 86_400.0
WEEK = 7 * DAY
WEEKS = 12  # whole weeks, so that what happens weekly is weekly, and not 13 times in 90 days
LEAST_WEEKS = 4  # the record must be this long: before, a rhythm can't be told
HISTORY_WEEKS = 26
SLACK = 3_600.0  # seconds that clocks may differ; what is dated later than that after now is in the future

History = tuple[tuple[str, float], ...]


def per_day(times: Sequence[float], began: float, at: float) -> float | None:
    """How often a day, in the weeks before `at`; None where the record, which began at `began`, is shorter
    than four weeks.

    `times` are sorted, and all are seconds since 1970. Only times up to `at` count.
    """
    weeks = min(WEEKS, int((at - began) // WEEK))
    if weeks < LEAST_WEEKS:
        return None
    each = [0] * weeks
    for time in times[bisect.bisect(times, at - weeks * WEEK) : bisect.bisect(times, at)]:
        each[int((at - time) // WEEK)] += 1
    return (sum(each) - max(each)) / (7 * (weeks - 1))


def too_short(began: float, at: float) -> str:
    """Why there is no rate yet."""
    days = max(0, int((at - began) // DAY))
    return f"the record is {counted(days, 'day')} long; a rate needs {LEAST_WEEKS * 7}"


def known_from(began: float) -> float:
    """When a record that began then is long enough for a rate."""
    return began + LEAST_WEEKS * WEEK


def since(at: float) -> float:
    """Where the window that ends at `at` begins."""
    return at - WEEKS * WEEK


def mondays(now: float) -> list[datetime]:
    """The beginnings (UTC) of this ISO week and of those before it, the oldest first."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    this = today - timedelta(days=today.weekday())
    return [this - timedelta(weeks=back) for back in range(HISTORY_WEEKS - 1, -1, -1)]


def history(value_at: Callable[[float], float | None], now: float) -> History:
    """`value_at` at the beginning of each ISO week: what one would have measured then.

    Weeks without a value are left out.
    """
    found = ((monday.date().isoformat(), value_at(monday.timestamp())) for monday in mondays(now))
    return tuple((week, value) for week, value in found if value is not None)
