"""Logs as JSON, one object a line, so that machines can search them.

What is given as `extra=` becomes fields.
"""

import json
import logging
import sys
from datetime import UTC, datetime

STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def __init__(self, service: str) -> None:
        """Take the name that each line bears."""
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for `record`."""
        given = vars(record).items()
        extra = {key: value for key, value in given if key not in STANDARD}
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
            **extra,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup(service: str, level: str) -> None:
    """Send the logs of this process, those of gunicorn too, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.set_name("json")
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    # Ours replaces ours; what others have put there stays, as pytest's does.
    others = [other for other in root.handlers if other.name != "json"]
    root.handlers = [*others, handler]
    root.setLevel(level)
    for name in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
