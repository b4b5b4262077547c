"""The service's worker: it looks for work, does it, and looks again."""

import asyncio
import logging
import os
import signal
import threading
from pathlib import Path

import config
import logs
from health import serve_health

log = logging.getLogger(__name__)


def reply_to(text: str) -> str:
    """Return the answer to a message. Raises ValueError where there is none."""
    words = text.split()
    if not words:
        raise ValueError("expected a message with words in it")
    return f"You said {len(words)} word{'' if len(words) == 1 else 's'}."


async def fetch_messages() -> list[str]:
    """Return the messages that wait. Here a queue or a chat would be asked."""
    await asyncio.sleep(0)
    return []


async def work() -> list[str]:
    """Answer what waits; a message that can't be answered is logged and passed over."""
    replies = []
    for message in await fetch_messages():
        try:
            replies.append(reply_to(message))
        except ValueError as error:
            log.warning("message passed over", extra={"reason": str(error)})
    return replies


def main() -> None:
    """Run until SIGTERM or SIGINT; what has been begun is finished first."""
    settings = config.load(os.environ)
    name = os.getenv("SERVICE_NAME") or Path(__file__).resolve().parent.name
    logs.setup(name, settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_health(name, settings.port)  # after these: it passes SIGTERM on to what handled it before
    log.info("started", extra={"port": settings.port})
    while not stop.wait(settings.pause_seconds):
        asyncio.run(work())
    log.info("stopped")


if __name__ == "__main__":
    main()
