"""What every service is served with: settings from the environment, logs as JSON, and an id for each request.

gunicorn is configured by this module (see ci/run.py), or by a gunicorn.conf.py of yours.
"""

import json
import logging
import math
import os
import re
import sys
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime

from flask import Flask, Response, g, has_app_context, request

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class SettingsError(ValueError):
    """A setting can't be used; the message names the variable and what was expected."""


def number_setting(name: str, default: float) -> float:
    """Return the number above 0 that the environment gives, or `default`. Raises SettingsError."""
    text = os.getenv(name) or str(default)
    with suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise SettingsError(f"{name}={text}: expected a number above 0")


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
            "request_id": g.get("request_id") if has_app_context() else None,
            **{key: value for key, value in vars(record).items() if key not in STANDARD},
        }
        if record.exc_info and isinstance(record.exc_info[1], SettingsError):  # which says all by itself
            line["message"] = str(record.exc_info[1])
        elif record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None}, default=str)


logconfig_dict = {  # gunicorn reads it by this name
    "formatters": {"json": {"()": JsonFormatter}},
    "handlers": {"json": {"()": logging.StreamHandler, "formatter": "json", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["json"]},
    "loggers": {"gunicorn.error": {"handlers": [], "propagate": True}},
}


def set_up_logs() -> None:
    """Send this process's logs to standard output as JSON, from LOG_LEVEL on. Raises SettingsError."""
    level = os.getenv("LOG_LEVEL") or "INFO"
    if level not in LOG_LEVELS:
        raise SettingsError(f"LOG_LEVEL={level}: expected one of {', '.join(LOG_LEVELS)}")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler])  # changes nothing where others, as gunicorn, have set up theirs
    logging.root.setLevel(level)


def log_requests(app: Flask) -> None:
    """Give each request an id (X-Request-ID, where sane) and a log line. Neither body nor query is logged."""

    @app.before_request
    def begin() -> None:
        sent = request.headers.get("X-Request-ID", "")
        g.request_id = sent if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", sent) else uuid.uuid4().hex
        g.started = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.request_id
        done = {"method": request.method, "path": request.path, "status": response.status_code}
        duration = round((time.perf_counter() - g.started) * 1000, 1)
        logging.getLogger("access").info("request", extra={**done, "duration_ms": duration})
        return response
