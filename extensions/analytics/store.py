"""Events of services, brought into Parquet once, by day.

A folder of events has files `<service>-<YYYY-MM-DD>-<host>-<pid>.jsonl` with one JSON object a line. Each has
a file of Parquet in `parquet/<day>/` that is made anew when the file of events has another size or time: past
days stand, and today's are read again. One that is gone, because its host keeps events for some days only,
leaves its Parquet. A unit that was deleted from the file of events is so deleted from the Parquet too. There
a unit is a number of 64 bits made from its pseudonym, which takes a third of the time and the memory.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Refused

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAME = re.compile(r".+-(\d{4}-\d{2}-\d{2})-.+-\d+\.jsonl")
FOLDER = "parquet"
FORMAT = "1"  # of the columns below
MEMORY = "1200MB"
KEYS = {
    "time": "time",
    "event": "event",
    "key": "feature_flag.key",
    "variant": "feature_flag.result.variant",
    "unit": "feature_flag.context.id",
    "name": "name",
    "value": "value",
}
EXPOSURE, CONVERSION = "feature_flag.evaluation", "conversion"
# A damaged line is a row without values. Other events, for other readers, are left out and no damage.
PARSED = f"""
select try_cast(time as timestamp) as time, event = '{EXPOSURE}' as exposure,
       case when event = '{EXPOSURE}' then "feature_flag.key" else name end as key,
       "feature_flag.result.variant" as variant, md5_number_upper("feature_flag.context.id") as unit, value,
       event is null or event in ('{EXPOSURE}', '{CONVERSION}') as ours,
       coalesce(ours and time is not null and ends_with(raw, 'Z') and key is not null and unit is not null
                and case when exposure then variant is not null else isfinite(value) end, false) as whole
from (select *, time as raw from read_json({{file}}, format = 'newline_delimited', ignore_errors = true,
      columns = {{columns}}))
"""


@dataclass(frozen=True)
class Events:
    """What a folder holds. `damaged` and `other` are lines that aren't counted: such that can't be read, by
    file, and those of another kind of event. `strange` are files whose name isn't one of events. `read` is
    how many files were brought in now, `removed` how many days retention took away.
    """

    folder: str
    days: tuple[str, ...]
    files: int
    lines: int
    other: int
    damaged: tuple[tuple[str, int], ...]
    strange: tuple[str, ...]
    read: int
    removed: int


def connection(folder: Path) -> DuckDBPyConnection:
    """A DuckDB in memory that asks nobody for anything, with a bound on its memory."""
    import duckdb

    made = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "memory_limit": MEMORY,
            "preserve_insertion_order": "false",
            "temp_directory": str(folder / FOLDER / ".temporary"),
        }
    )
    made.execute("set enable_progress_bar = false")
    return made


def bring_in(
    ask: DuckDBPyConnection, folder: Path, keep: int | None, today: date, used: date | None
) -> Events:
    """Bring what is new in `folder` into Parquet; with `keep`, remove days that are older than that many,
    events and Parquet, first.

    `used` is the first day that an experiment still needs. Raises Refused for a folder that can't be read or
    written, and for a retention that would take away such a day.
    """
    import duckdb

    if not folder.is_dir():
        raise Refused(f"--events {folder}: expected a folder of events (<service>-<day>-<host>-<pid>.jsonl)")
    try:
        removed = _forget(folder, today - timedelta(days=keep), used) if keep is not None else 0
        sources, strange = _sources(folder)
        there = _known(ask, folder)
        new = 0
        for path, day in sources:
            status = path.stat()
            stamp = f"{FORMAT} {status.st_size} {status.st_mtime_ns}"
            if there.get(f"{day}/{path.stem}.parquet", {}).get("stamp") != stamp:
                _convert(ask, path, folder / FOLDER / day / f"{path.stem}.parquet", stamp)
                new += 1
        known = _known(ask, folder) if new else there
    except (OSError, duckdb.Error) as error:
        said = str(error).splitlines()[0][:300]
        raise Refused(
            f"--events {folder}: expected events that can be read, and room for {FOLDER}/ beside them"
            f" ({said}); {FOLDER}/ can be removed, it is made again"
        ) from None
    return Events(
        folder=str(folder),
        days=tuple(sorted({name.partition("/")[0] for name in known})),
        files=len(known),
        lines=sum(int(one["lines"]) for one in known.values()),
        other=sum(int(one["other"]) for one in known.values()),
        damaged=tuple(
            (Path(name).stem + ".jsonl", int(one["damaged"]))
            for name, one in sorted(known.items())
            if int(one["damaged"])
        ),
        strange=tuple(strange),
        read=new,
        removed=removed,
    )


def files(folder: Path) -> str:
    """The Parquet of a folder, as DuckDB takes it."""
    return f"{glob.escape(str(folder / FOLDER))}/*/*.parquet"


def _sources(folder: Path) -> tuple[Sequence[tuple[Path, str]], Sequence[str]]:
    """Files of events with their day, and the names of what looks like some and isn't."""
    found, strange = [], []
    for path in sorted(folder.glob("*.jsonl")):
        match = NAME.fullmatch(path.name)
        if match and _day(match[1]):
            found.append((path, match[1]))
        else:
            strange.append(path.name)
    return found, strange


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _known(ask: DuckDBPyConnection, folder: Path) -> dict[str, dict[str, str]]:
    """What is written into each file of Parquet about itself, by `<day>/<name>.parquet`."""
    if not any(folder.joinpath(FOLDER).glob("*/*.parquet")):
        return {}
    found: dict[str, dict[str, str]] = {}
    rows = ask.execute(
        "select file_name, decode(key), decode(value) from parquet_kv_metadata(?)", [files(folder)]
    ).fetchall()
    for name, key, value in rows:
        found.setdefault("/".join(Path(name).parts[-2:]), {})[key] = value
    return found


def _convert(ask: DuckDBPyConnection, path: Path, target: Path, stamp: str) -> None:
    """Put the Parquet of one file of events in its place, whole or not at all."""
    names = dict.fromkeys(KEYS.values(), "VARCHAR") | {"value": "DOUBLE"}
    columns = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in names.items()) + "}"
    query = PARSED.format(file=_text(glob.escape(str(path))), columns=columns)
    ask.execute(f"create or replace temp table parsed as {query}")
    lines, other, damaged = ask.execute(
        "select count(*) filter (whole), count(*) filter (not ours),"
        " count(*) filter (ours and not whole) from parsed"
    ).fetchone() or (0, 0, 0)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.new")
    about = {"stamp": stamp, "lines": lines, "other": other, "damaged": damaged}
    written = ", ".join(f"{key}: {_text(str(value))}" for key, value in about.items())
    try:
        ask.execute(
            "copy (select time, exposure, key, variant, unit, value from parsed where whole"
            f" order by exposure, key, time) to {_text(str(temporary))}"
            f" (format parquet, compression zstd, kv_metadata {{{written}}})"
        )
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
        ask.execute("drop table if exists parsed")


def _text(value: str) -> str:
    """A text of SQL: neither COPY nor a reader's options take parameters everywhere."""
    return "'" + value.replace("'", "''") + "'"


def _forget(folder: Path, before: date, used: date | None) -> int:
    """Remove the days before a day; returns how many. Raises Refused, OSError."""
    old: dict[str, list[Path]] = {}
    for path, day in _all(folder):
        if date.fromisoformat(day) < before:
            old.setdefault(day, []).append(path)
    if used is not None and old and max(map(date.fromisoformat, old)) >= used:
        raise Refused(
            f"--keep-days: an experiment that isn't over needs events from {used} on; expected"
            " a longer time, or the experiment's end first"
        )
    for path in (path for paths in old.values() for path in paths):
        path.unlink(missing_ok=True)
    for day in old:
        if (folder / FOLDER / day).is_dir():
            (folder / FOLDER / day).rmdir()
    return len(old)


def _all(folder: Path) -> Iterator[tuple[Path, str]]:
    yield from _sources(folder)[0]
    for path in sorted(folder.joinpath(FOLDER).glob("*/*.parquet")):
        if _day(path.parent.name):
            yield path, path.parent.name
