"""The service's worker: an example to replace. It looks for work, does it, and looks again."""

import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from services.serving import SettingsError, number_setting, set_up_logs

from .health import serve_health

log = logging.getLogger(__name__)


def reply_to(text: str) -> str:
    """Return the answer to a message. Raises ValueError where there is none."""
    words = text.split()
    if not words:
        raise ValueError("expected a message with words in it")
    return f"You said {len(words)} word{'' if len(words) == 1 else 's'}."


async def fetch_messages(inbox: str) -> list[str]:
    """Return the messages that wait, and take them out of the inbox. Raises OSError."""

    def take(path: Path) -> str:
        text = path.read_text(encoding="utf-8", errors="replace")
        path.unlink()
        return text

    return list(await asyncio.gather(*(asyncio.to_thread(take, path) for path in sorted(Path(inbox).glob("*.txt")))))


async def work(inbox: str) -> list[str]:
    """Answer what waits; a message that can't be answered is logged and passed over."""
    replies = []
    for message in await fetch_messages(inbox):
        try:
            replies.append(reply_to(message))
        except ValueError as error:
            log.warning("message passed over", extra={"reason": str(error)})
    return replies


def main() -> int:
    """Run until SIGTERM or SIGINT; what has been begun is finished first. Returns the exit code."""
    inbox = os.getenv("INBOX") or "inbox"  # messages wait here, one a file
    try:
        pause = number_setting("PAUSE_SECONDS", 5)
        set_up_logs()
    except SettingsError as error:
        print(f"worker: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # After the handlers: it passes SIGTERM on to what handled it before.
    serve_health(os.getenv("SERVICE_NAME") or Path(__file__).parent.name.replace("_", "-"))
    log.info("started", extra={"inbox": inbox})
    while not stop.wait(pause):
        asyncio.run(work(inbox))
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
