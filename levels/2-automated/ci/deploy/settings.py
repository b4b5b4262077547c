"""What a deployment is told: config/<environment>.env, which git ignores, and config/deploy.toml."""

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uv

from .shell import Stop

DEPLOY = "config/deploy.toml"


@dataclass(frozen=True)
class Settings:
    """The settings of one environment: `values` by name, as they stand in its file, quotes too."""

    environment: str
    values: dict[str, str] = field(repr=False)

    def plain(self, name: str) -> str:
        """Return a value without its quotes; an empty text when it isn't set."""
        value = self.values.get(name, "")
        if len(value) < 2 or value[0] != value[-1] or value[0] not in "\"'":
            return value
        return re.sub(r"\\([\"\\])", r"\1", value[1:-1]) if value[0] == '"' else value[1:-1]

    def of_services(self) -> str:
        """Return the lines that the services get; those for the deployment are not for them."""
        inside = {key: value for key, value in self.values.items() if not key.startswith("DEPLOY_")}
        return "".join(f"{key}={value}\n" for key, value in inside.items())


def read(environment: str) -> Settings:
    """Return the settings from the file, or from DEPLOY_ENV_FILE in a workflow. Raises Stop."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", environment):
        raise Stop(f"ENV is {environment!r}, expected the name of an environment, such as ENV=staging")
    text = os.environ.get("DEPLOY_ENV_FILE", "")
    if not text:
        file = uv.ROOT / "config" / f"{environment}.env"
        if not file.is_file() and os.environ.get("CI"):
            raise Stop(f"the secret {secret_prefix(environment)}_ENV is missing: docs/staging.md says what it holds")
        if not file.is_file():
            templates = sorted((uv.ROOT / "config").glob("*.env.template"))
            names = [one.name.removesuffix(".env.template") for one in templates]
            if environment not in names:
                known = ", ".join(name for name in names if name != "local")
                raise Stop(f"ENV is {environment!r}, expected {known}, or one with a config/{environment}.env")
            raise Stop(f"config/{environment}.env is missing: copy config/{environment}.env.template and fill it in")
        try:
            text = file.read_text(encoding="utf-8")
        except ValueError:
            # Without the error's own words: they quote the file.
            raise Stop(f"config/{environment}.env: expected UTF-8") from None
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.strip()):
            # The line itself may hold a secret: it is not printed.
            raise Stop(f"config/{environment}.env, line {number}: expected NAME=value")
        key, value = key.strip(), value.strip()
        if value[:1] in ("'", '"') and not re.fullmatch(r"""'[^']*'|"(\\.|[^"\\])*\"""", value):
            raise Stop(f"config/{environment}.env, line {number}: a quote that begins the value doesn't end it")
        if (value[:1] != "'" and "$" in value) or (value[:1] not in ("'", '"') and " #" in value):
            raise Stop(f"config/{environment}.env, line {number}: a value with $ or # in it goes between single quotes")
        if key == "SERVICE":
            raise Stop(
                f"config/{environment}.env, line {number}: SERVICE says which service an image is, so it is ours"
            )
        values[key] = value
    return Settings(environment, values)


def secret_prefix(environment: str) -> str:
    """Return what the names of an environment's secrets begin with."""
    return environment.upper().replace("-", "_")


@dataclass(frozen=True)
class Rules:
    """What config/deploy.toml says; these hold where it says nothing."""

    release_service: str = ""  # its new image runs the release command; the first service, when not given
    release_command: str = ""
    release_seconds: int = 600
    gate_seconds: int = 60  # how long a service may take until it is ready
    gate_smoke_seconds: int = 300
    gate_smoke_methods: str = "GET HEAD"  # what a smoke test may ask with
    keep_releases: int = 3  # whose images stay on the host, to go back to; 2 at least
    overlap: frozenset[str] = frozenset()  # workers of which two may run at a time
    stop_seconds: dict[str, int] = field(default_factory=dict)  # what a service may take to stop


def rules() -> Rules:
    """Return what config/deploy.toml says, or what holds without it. Raises Stop at the first mistake."""
    file = uv.ROOT / DEPLOY
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{DEPLOY}: expected TOML: {error}") from None
    kinds = {one["name"]: one["kind"] for one in uv.SERVICES}
    plain = {name: one.type for name, one in Rules.__dataclass_fields__.items() if one.type in (str, int)}
    found: dict[str, Any] = {"release_service": next(iter(kinds)), "overlap": set(), "stop_seconds": {}}
    for key, value in flat(told):
        section, service, last = (*key.split("."), "", "")[:3]
        name = f"{section}_{service}"
        if section == "service" and service in kinds and last in ("overlap", "stop_seconds"):
            check(key, value, bool if last == "overlap" else int)
            if last == "stop_seconds":
                found[last][service] = value
            elif value and kinds[service] == "web":
                raise Stop(f"{DEPLOY}: {key} is for workers; web services always overlap")
            elif value:
                found[last].add(service)
        elif name in plain and not last:
            check(key, value, plain[name])
            found[name] = value
        else:
            known = [one.replace("_", ".", 1) for one in plain] + ["service.NAME.overlap", "service.NAME.stop_seconds"]
            raise Stop(f"{DEPLOY}: {key} is unknown, expected one of {', '.join(known)}")
    if found["release_service"] not in kinds:
        raise Stop(f"{DEPLOY}: release.service is {found['release_service']!r}, expected one of {', '.join(kinds)}")
    if found.get("keep_releases") == 1:
        raise Stop(f"{DEPLOY}: keep.releases is 1, expected 2 or more: what runs, and what a rollback brings back")
    return Rules(**{**found, "overlap": frozenset(found["overlap"])})


def flat(told: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of the file with its whole name, such as release.command."""
    for key, value in told.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def check(key: str, value: Any, kind: Any) -> None:
    """Raise Stop where a value of the file isn't of its kind: str, bool or int."""
    if type(value) is not kind or (kind is int and not 0 < value <= 86400):
        expected = {str: "a text", bool: "true or false", int: "a number from 1 to 86400"}[kind]
        raise Stop(f"{DEPLOY}: {key} is {value!r}, expected {expected}")
