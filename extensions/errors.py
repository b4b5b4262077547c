"""What can go wrong with the `levels` command: for each class of failure its exit code, and what the person
is told to do.

Exit codes: 0 done; 1 the answer is no (a conflict, an open item, documents out of date), which is a result
and not a failure, so no class here has it; 2 bad input or usage; 3 the answer isn't known, where that must
not be taken for yes (`slo`); 130 stopped by the person, as a shell says it.
"""

from __future__ import annotations

from typing import ClassVar


class Failure(Exception):
    """Why a command can't be done, in one line.

    `exit_code` is what the command ends with, `to_do` what always helps.
    """

    exit_code: ClassVar[int] = 2
    to_do: ClassVar[str] = ""

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said}; {self.to_do}" if self.to_do else said


class Refused(Failure, ValueError):
    """An answer, or other input, that can't be taken. The message says what was expected."""


class NotAProject(Refused):
    """A folder without answers of this template."""

    to_do = "run it in the project's folder"


class Stopped(Failure):
    """The person pressed Ctrl-C."""

    exit_code = 130
    to_do = "nothing more is done"
