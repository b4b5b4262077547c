"""What `levels analytics` costs on ten million events: `python -m benchmarks.analytics [EVENTS]`.

Bringing them into Parquet, which happens once for each file, then the report, in a process of its own, beside
a scan of the same Parquet by DuckDB alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DAYS = 20
# Each user is exposed three times on one day, and converts twice within 24 days, so partly before that day.
TIME = "timestamp '{day}' + to_microseconds((random() * 86399e6)::bigint)"
EXPOSURES = f"""
select strftime({TIME}, '%Y-%m-%dT%H:%M:%S.%gZ') as "time",
  'feature_flag.evaluation' as event, 'api' as service, 'new-checkout' as "feature_flag.key",
  case when hash(u) % 2 = 0 then 'off' else 'on' end as "feature_flag.result.variant",
  md5(u::varchar) as "feature_flag.context.id", '1a2b3c4d5e6f' as "feature_flag.version"
from range({{users}}) users(u), range(3) where hash(u * 31) % 20 = {{number}}
"""
CONVERSIONS = f"""
select strftime({TIME}, '%Y-%m-%dT%H:%M:%S.%gZ') as "time",
  'conversion' as event, 'api' as service, case when random() < 0.7 then 'paid' else 'refund' end as name,
  round(random() * 50, 2) as value, md5(u::varchar) as "feature_flag.context.id"
from range({{users}}) users(u), range(2) tries(n) where hash(u * 7 + n) % 24 = {{number}} + 4
"""
REPORT = """
import json, resource, sys, time
begin = time.perf_counter()
from datetime import timedelta
from pathlib import Path
from extensions.analytics import report
from extensions.analytics.experiments import Metric
from tests.support.experiment_events import START, plan
planned = plan(goal=Metric("paid", "mean"), guardrails=(Metric("refund", "mean", "up", 0.05),))
made = report.make("shop", Path(sys.argv[1]), [planned], [], START + timedelta(days=20))
print(json.dumps({"seconds": time.perf_counter() - begin, "events": made["events"]["lines"],
  "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), "read": made["events"]["read"],
  "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
  "units": made["experiments"][0]["units"], "sentence": made["experiments"][0]["verdict"]["sentence"]}))
"""
SCAN = """
import json, resource, sys, time
begin = time.perf_counter()
import duckdb
query = "select count(*), count(distinct unit), sum(value) from read_parquet(?)"
duckdb.execute(query, [sys.argv[1]]).fetchall()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": time.perf_counter() - begin, "cpu": sum(used[:2]),
  "megabytes": used.ru_maxrss / 1024}))
"""


def make(folder: Path, events: int) -> int:
    """Write about so many events into a folder, as services do; returns their bytes."""
    import duckdb

    ask = duckdb.connect()
    for number in range(-4, DAYS):
        [day] = ask.execute(
            "select strftime(date '2026-11-01' + ?::int, '%Y-%m-%d')", [number]
        ).fetchone() or [""]
        for pid, query in enumerate((EXPOSURES, CONVERSIONS)):
            rows = query.format(day=day, number=number, users=events // 5)
            if number >= 0 or query is CONVERSIONS:
                ask.execute(f"copy ({rows}) to '{folder}/api-{day}-host-{pid}.jsonl' (format json)")
    return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


def run(code: str, argument: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", code, argument], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def measure(folder: Path, events: int) -> dict[str, Any]:
    """The bytes of the events, and what bringing them in with a report, a report alone, and a scan took."""
    size = make(folder, events)
    return {
        "bytes": size,
        "first": run(REPORT, str(folder)),
        "report": run(REPORT, str(folder)),
        "scan": run(SCAN, f"{folder}/parquet/*/*.parquet"),
        "parquet": sum(path.stat().st_size for path in folder.glob("parquet/*/*.parquet")),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        told = measure(Path(made), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    print(json.dumps(told, indent=2))
