"""What every service is served with: settings from the environment, logs as JSON, and an id for each request.

gunicorn is configured by this module (see ci/run.py), or by a gunicorn.conf.py of yours, which may import from here.
"""

import json
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
request_id = ContextVar("request_id", default="")


class SettingsError(ValueError):
    """A setting can't be used; the message names the variable and what was expected."""


@dataclass(frozen=True)
class Settings:
    """What a service can be told, by environment variables of these names in capitals, and what holds without."""

    log_level: str = "INFO"
    port: int = 8000

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings that `environ` holds. Raises SettingsError."""
        given: dict[str, Any] = {}
        for field in fields(cls):
            name = field.name.upper()
            try:
                value = type(getattr(cls, field.name))(environ.get(name, field.default))
            except ValueError:
                value = 0
            if isinstance(value, (int, float)) and not 0 < value < (65536 if name == "PORT" else float("inf")):
                kind = "a whole number up to 65535" if name == "PORT" else "a number above 0"
                raise SettingsError(f"{name}={environ[name]}: expected {kind}")
            given[field.name] = value
        if given["log_level"] not in LOG_LEVELS:
            raise SettingsError(f"LOG_LEVEL={given['log_level']}: expected one of {', '.join(LOG_LEVELS)}")
        return cls(**given)


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON; what is given as `extra=` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "service": os.getenv("SERVICE_NAME"),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get() or None,
            **{key: value for key, value in vars(record).items() if key not in STANDARD},
        }
        if record.exc_info and isinstance(record.exc_info[1], SettingsError):  # which says all by itself
            line["message"] = str(record.exc_info[1])
        elif record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


logconfig_dict = {  # gunicorn reads it by this name
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["json"]},
    "loggers": {"gunicorn.error": {"handlers": [], "propagate": True}},
}


def set_up_logs(level: str) -> None:
    """Send the logs of this process to standard output, as JSON, from `level` on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    # Ours replaces ours; what others have put there stays, as pytest's does.
    others = [one for one in logging.root.handlers if not isinstance(one.formatter, JsonFormatter)]
    logging.root.handlers = [*others, handler]
    logging.root.setLevel(level)


def log_requests(application: Callable[..., Any]) -> Callable[..., Iterator[bytes]]:
    """Return the WSGI application with an id for each request (X-Request-ID, where sane), and a log line after it.

    Neither body nor query is logged. Probes of health don't come here.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        sent, started = environ.get("HTTP_X_REQUEST_ID", ""), time.perf_counter()
        identity = sent if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", sent) else uuid.uuid4().hex
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
        done = {"method": environ["REQUEST_METHOD"], "path": path, "status": 500}

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            done["status"] = int(status.split()[0])
            return start_response(status, [*headers, ("X-Request-ID", identity)], *error)

        request_id.set(identity)
        body: Any = ()
        try:
            body = application(environ, start)
            yield from body
        finally:
            getattr(body, "close", str)()
            done["duration_ms"] = round((time.perf_counter() - started) * 1000, 1)
            logging.getLogger("access").info("request", extra=done)
            request_id.set("")

    return answer
