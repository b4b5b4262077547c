"""Drain: SIGTERM makes readiness say no; the process serves on for DRAIN_SECONDS, and then stops as ever.

Meanwhile a balancer or proxy sees the no, and sends nothing any more. DRAIN_SECONDS is 1 unless it is set; 0
doesn't wait. A signal's handler may interrupt anything, also gevent's loop, in which nothing may block. So
that of SIGTERM only sets a flag; a thread that was there before sends the signal again when it is time.
"""

import logging
import os
import signal
import threading
import time
from typing import Any

LOOK = 0.1  # seconds between two looks at the flag


class Drain:
    """What SIGTERM does in this process: readiness says no at once; what SIGTERM did before comes later."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.told = self.over = False
        self.process = 0  # the one that is watched: a fork has none of its parent's threads
        self.before: Any = signal.SIG_DFL

    def says_no(self) -> bool:
        """Return whether this process has been told to stop. Readiness asks it."""
        if self.process != os.getpid():
            # With --preload this is a worker of gunicorn's, which has set a handler since the application was
            # loaded. Only the main thread may set another, and this may be any: let that one call `take`.
            self.watch()
            signal.raise_signal(signal.SIGURG)
        return self.told

    def watch(self) -> None:
        """Start the thread that sends the signal again."""
        self.process, self.told, self.over = os.getpid(), False, False
        if self.seconds:
            threading.Thread(target=self._wait, name="drain", daemon=True).start()

    def _wait(self) -> None:
        while not self.told:
            time.sleep(LOOK)
        time.sleep(self.seconds)
        if not self.over:
            os.kill(os.getpid(), signal.SIGTERM)

    def take(self, *_: Any) -> None:
        """Take SIGTERM over, unless that is done or it is handled outside Python. For the main thread."""
        before = signal.getsignal(signal.SIGTERM)
        if before is not None and before != self.terminate:
            self.before = before
            signal.signal(signal.SIGTERM, self.terminate)
            signal.siginterrupt(signal.SIGTERM, False)  # as gunicorn has it: no request is disturbed

    def terminate(self, number: int, frame: Any) -> None:
        """Handle SIGTERM: the first sets the flag; the next, from the thread or who won't wait, is as before.

        So is the first in a fork of a process that is watched, where no thread would send another.
        """
        first = not self.told and self.process == os.getpid()
        self.told = True
        if first and self.seconds:
            return
        self.over = True
        if callable(self.before):
            self.before(number, frame)
        elif self.before == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def seconds() -> float:
    """Return DRAIN_SECONDS. Raises ValueError where it is no number of seconds."""
    text = os.environ.get("DRAIN_SECONDS") or "1"
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    raise ValueError(f"DRAIN_SECONDS={text}: expected a number of seconds, as 1 or 2.5")


drain = Drain(seconds())  # one for the process, however many services stand in it


def init(app: Any, service_name: str) -> None:
    """Have the service's readiness say no after SIGTERM."""
    app.extensions["readiness_refusals"]["shutdown"] = drain.says_no
    try:
        signal.signal(signal.SIGURG, drain.take)  # a signal that is ignored otherwise; see `says_no`
    except ValueError:
        logging.getLogger(__name__).warning(
            "%s: made off the main thread, so there is no drain", service_name
        )
        return
    if callable(
        signal.getsignal(signal.SIGTERM)
    ):  # by gunicorn's worker or yours: the application isn't preloaded
        drain.take()
        if drain.process != os.getpid():
            drain.watch()
