"""How commands are run, and how a run ends that can't go on."""

import os
import shlex
import subprocess
import sys

import uv


class Stop(Exception):
    """Ends the run with a message for people, and an exit code: 1 it went wrong, 2 something to correct first."""

    def __init__(self, message: str, code: int = 2) -> None:
        """Take the message and the exit code."""
        super().__init__(message)
        self.code = code


class Held(Stop):
    """Raised by a step before `start` where nothing may be deployed now: nothing was done, nor is it recorded."""


class Failed(Stop):
    """A command failed, with this exit code."""

    def __init__(self, what: str, exit_code: int) -> None:
        """Take how the command is named, and its exit code."""
        super().__init__(f"{what}: exit code {exit_code}", 1)
        self.exit_code = exit_code


def run(command: list[str], text: str = "", shown: str = "") -> str:
    """Run a command at the project's root with `text` as its input; return what it printed.

    `shown` is how the command is named when it fails. Raises Stop; Failed where its exit code isn't 0.
    """
    try:
        # Without text the command gets no input at all, or ssh would wait for a keyboard.
        done = subprocess.run(
            command, input=text, text=True, stdout=subprocess.PIPE, check=False, cwd=uv.ROOT, errors="replace"
        )
    except FileNotFoundError as error:
        raise Stop(f"{command[0]} is not installed") from error
    if done.returncode:
        print(done.stdout, end="", file=sys.stderr)
        raise Failed(shown or shlex.join(command), done.returncode)
    return done.stdout


def by_workflow() -> bool:
    """Return whether a workflow of GitHub's runs this."""
    return os.environ.get("GITHUB_ACTIONS") == "true"
