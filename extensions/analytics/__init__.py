"""What the experiments of a project say: events of its services, read, judged, and told on a page.

`store` brings events into Parquet, `read` asks DuckDB, `statistics` has the formulas, `report` judges, `page`
draws. The libraries come with the extra `analytics`; nothing else of `levels` needs them.
"""

from __future__ import annotations

import importlib.util

from ..errors import Refused

LIBRARIES = ("duckdb", "numpy", "scipy", "tea_tasting")


def needed() -> None:
    """Raises Refused where a library is missing, with the way to have it."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise Refused(
            f"analytics: expected {', '.join(missing)} here; install the extra, copier-levels[analytics]"
            " (`make analytics` in a project brings it by itself)"
        )
