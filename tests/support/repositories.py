"""Repositories with a known history, made in a moment by `git fast-import`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.projects import git

DAY = 86_400


@dataclass
class History:
    """Commits and tags, oldest first, written by `make`. Times are seconds since 1970."""

    folder: Path
    stream: list[bytes] = field(default_factory=list)
    commits: int = 0

    def commit(
        self,
        at: float,
        name: str = "Ann Lee",
        email: str = "ann@example.com",
        message: str = "work",
        mailmap: str = "",
    ) -> History:
        """A commit on main, with one file that differs each time."""
        self.commits += 1
        who = f"{name} <{email}> {int(at)} +0000\n".encode()
        text = message.encode()
        lines = [b"commit refs/heads/main\nmark :%d\nauthor " % self.commits, who, b"committer ", who]
        lines += [b"data %d\n" % len(text), text, b"\n"]
        lines += [b"M 100644 inline file\ndata %d\n%d\n" % (len(str(self.commits)), self.commits)]
        if mailmap:
            lines += [b"M 100644 inline .mailmap\ndata %d\n" % len(mailmap.encode()), mailmap.encode(), b"\n"]
        self.stream += lines
        return self

    def tag(self, name: str, at: float | None = None) -> History:
        """A tag of the last commit: annotated where it has a time of its own."""
        if at is None:
            self.stream.append(f"reset refs/tags/{name}\nfrom :{self.commits}\n\n".encode())
        else:
            self.stream.append(
                f"tag {name}\nfrom :{self.commits}\ntagger A <a@example.com> {int(at)} +0000\ndata 1\nx\n".encode()
            )
        return self

    def make(self) -> Path:
        """The repository, with main checked out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        git(self.folder, "init", "--quiet", "--initial-branch=main")
        subprocess.run(
            ["git", "fast-import", "--quiet"], cwd=self.folder, input=b"".join(self.stream), check=True
        )
        if self.commits:
            git(self.folder, "reset", "--quiet", "--hard", "main")
        return self.folder
