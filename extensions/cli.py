"""Where the console enters: the `levels` command, which helps people to decide and to move, at the version
that rendered the project.

What each command takes and does is in its module in commands/; which exit code a failure has, in errors.py.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from .commands import (
    analytics,
    api_docs,
    env,
    evolution,
    experiment,
    flags,
    new,
    owner,
    preview,
    promote,
    propose,
    record,
    road,
    service,
    set,
    setup,
    slo,
    stubs,
    threat_model,
    todo,
    update,
    upgrade,
)
from .errors import Failure, Refused, Stopped
from .project import environment

# In the order in which `levels --help` lists them.
COMMANDS = (
    *(new, upgrade, update, preview, owner, set, service),
    *(
        record,
        todo,
        evolution,
        flags,
        experiment,
        env,
        setup,
        slo,
        promote,
        analytics,
        road,
        propose,
        api_docs,
        threat_model,
        stubs,
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code. Without `arguments` it is the console's."""
    environment.enter()
    if arguments is None:
        environment.use_utf8()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A terminal that lacks a letter is shown its number.
                stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Failure as failure:
        return _failed(failure, options.parser)
    except KeyboardInterrupt:
        return _failed(Stopped("stopped"), options.parser)


def _failed(failure: Failure, parser: argparse.ArgumentParser) -> int:
    print(f"levels: {_as_typed(str(failure), parser)}", file=sys.stderr)
    return failure.exit_code


def _as_typed(message: str, parser: argparse.ArgumentParser) -> str:
    """A message that names options of a command, in the words of the person: `make record AT=noon` hands AT
    on as --at, whose metavar bears make's word.
    """
    for action in parser._actions if _by_make() else ():
        for option in action.option_strings if action.metavar else ():
            message = re.sub(rf"{option} (?=\S)", f"{action.metavar}=", message)
            message = re.sub(rf"{option}\b", str(action.metavar), message)
    return message


def _by_make() -> bool:
    """Whether make started this command, as the targets of a project do."""
    return "MAKELEVEL" in os.environ


class _Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong with a command line."""

    def error(self, message: str) -> NoReturn:
        more = "" if _by_make() else f"; `{self.prog} --help` says what it takes"
        self.exit(Refused.exit_code, f"{self.prog}: {_as_typed(message, self)}{more}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="levels", description="CI/CD that grows with a project: start it, look ahead, move it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2].replace("_", "-")
        one = commands.add_parser(name, help=command.HELP)
        command.add_options(one)
        one.set_defaults(run=command.run, parser=one)
    return parser
