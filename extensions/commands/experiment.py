"""`levels experiment`: how experiments stand; plan, start and stop one."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Refused
from ..template import answers
from .arguments import project_answers

HELP = "how experiments stand; plan, start or stop one"
DO = ("status", "plan", "start", "stop")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", default="status", metavar="DO", help=", ".join(DO))
    parser.add_argument("--name", default="", help="which one; for status all of them, when not given")
    parser.add_argument("--environment", default="", metavar="ENV", help="whose events and Prometheus tell")
    parser.add_argument("--variant", default="", help="what all get after a stop (control)")
    parser.add_argument("--baseline", default="", help="what the goal is now, as 4%%, where nobody knows")
    parser.add_argument("--deviation", default="", help="the standard deviation of a goal that is a mean")
    parser.add_argument("--units", default="", help="new units a day")


def run(options: argparse.Namespace) -> int:
    from ..evolution import experiments

    project = Path.cwd()
    recorded = project_answers(project)
    make = answers.make(recorded)
    if recorded["level"] < 4:
        raise Refused(f"experiments belong to level 4; `{make} upgrade LEVEL=4` goes there")
    if options.do not in DO:
        raise Refused(f"DO is {options.do!r}, expected {', '.join(DO)} or forget")
    known = experiments.read(project)
    now = datetime.now(UTC)
    if options.do == "status" and not options.name:
        lines = [f"{name}: {experiments.state(one, now)}" for name, one in known.items()]
        print("\n".join(lines) or "no experiments")
        return 0
    if options.name not in known:
        raise Refused(
            f"NAME is {options.name!r}, expected one of {', '.join(known) or 'none, there are none'}"
        )
    one = experiments.Experiment(project, options.name, known[options.name], now)
    if options.do == "stop":
        print(one.stop(options.variant))
    else:
        given = {name: getattr(options, name) for name in ("baseline", "deviation", "units")}
        traffic = one.traffic(options.environment, recorded["project_name"], given)
        print("\n".join({"status": one.status, "plan": one.plan, "start": one.start}[options.do](traffic)))
    if options.do in ("start", "stop"):
        print(f"it does so where the file is delivered: commit it, then `{make} flags ENV=… APPLY=1`")
    return 0
