"""Releases: what runs, what ran, and what a rollback brings back."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from .builds import Build


@dataclass(frozen=True)
class Release:
    """An environment, its builds, and revisions of its settings and flags, with a number; never changed.

    The values of settings stay on the host: a release holds the number of their revision only.
    """

    number: int
    environment: str
    builds: tuple[Build, ...]
    settings: int
    flags: str
    at: str
    by: str

    @property
    def version(self) -> str:
        """Return the commit that its builds were made from; several, joined by commas, where they differ."""
        return ",".join(dict.fromkeys(build.version for build in self.builds))

    def names(self, kind: str) -> list[str]:
        """Return the names of its services of a kind, web or worker."""
        return [build.service for build in self.builds if build.kind == kind]

    def text(self) -> str:
        """Return it as the line of JSON that stands on the host."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, text: str) -> "Release":
        """Return what `text` wrote."""
        told: dict[str, Any] = json.loads(text)
        return cls(**{**told, "builds": tuple(Build(**build) for build in told["builds"])})


def differences(before: Release | None, after: Release) -> list[str]:
    """Return a line for each thing that a release has otherwise than the one before."""
    ran = {build.service: build for build in before.builds} if before else {}
    lines = []
    for build in after.builds:
        old = ran.pop(build.service, None)
        if old is None:
            lines.append(f"{build.service}: new, {build.version} ({build.digest})")
        elif old.digest != build.digest:
            lines.append(f"{build.service}: {old.version} -> {build.version} ({build.digest})")
    lines += [f"{name}: stops" for name in ran]
    if before and before.settings != after.settings:
        lines.append(f"settings: revision {before.settings} -> {after.settings}")
    if before and before.flags != after.flags:
        lines.append(f"flags: {before.flags or 'none'} -> {after.flags or 'none'}")
    return lines or ["nothing differs"]
