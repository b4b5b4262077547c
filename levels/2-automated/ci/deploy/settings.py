"""What a deployment is told: config/<environment>.env, which git ignores, and config/deploy.toml."""

import os
import re
import tomllib
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
        return self.values.get(name, "").strip("\"'")

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
        values[key.strip()] = value.strip()
    return Settings(environment, values)


def secret_prefix(environment: str) -> str:
    """Return what the names of an environment's secrets begin with."""
    return environment.upper().replace("-", "_")


@dataclass(frozen=True)
class Rules:
    """What config/deploy.toml says; seconds where nothing else is said."""

    release_service: str = ""  # whose new image runs the release command
    release_command: str = ""
    release_seconds: int = 600
    gate_seconds: int = 60  # how long a service may take until it is ready
    smoke_seconds: int = 300
    keep: int = 3  # releases whose images stay on the host, for going back
    overlap: frozenset[str] = frozenset()  # workers of which two may run at a time
    stop_seconds: dict[str, int] = field(default_factory=dict)  # what a service may take to stop


KEYS = {"release": {"service", "command", "seconds"}, "gate": {"seconds", "smoke_seconds"}, "keep": {"releases"}}


def rules() -> Rules:
    """Return what config/deploy.toml says, or what holds without it. Raises Stop at the first mistake."""
    file = uv.ROOT / DEPLOY
    if not file.is_file():
        return Rules()
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{DEPLOY}: expected TOML: {error}") from None
    names = {service["name"]: service["kind"] for service in uv.SERVICES}
    sections = {**KEYS, **{f"service.{name}": {"overlap", "stop_seconds"} for name in names}}
    given = {key: value for key, value in told.items() if key != "service"}
    given |= {f"service.{name}": value for name, value in table(told.get("service", {}), "service").items()}
    for section, values in given.items():
        if section not in sections:
            raise Stop(f"{DEPLOY}: [{section}] is unknown, expected one of {', '.join(sections)}")
        for key, value in table(values, section).items():
            if key not in sections[section]:
                raise Stop(f"{DEPLOY}: {section}.{key} is unknown, expected {', '.join(sorted(sections[section]))}")
            kind = str if key in ("service", "command") else bool if key == "overlap" else int
            if type(value) is not kind or (kind is int and not 0 < value <= 86400):
                expected = {str: "a text", bool: "true or false", int: "a number from 1 to 86400"}[kind]
                raise Stop(f"{DEPLOY}: {section}.{key} is {value!r}, expected {expected}")
    release = given.get("release", {})
    command, service = release.get("command", ""), release.get("service", next(iter(names)))
    if service not in names:
        raise Stop(f"{DEPLOY}: release.service is {service!r}, expected one of {', '.join(names)}")
    gate = given.get("gate", {})
    of_service = {name: given.get(f"service.{name}", {}) for name in names}
    for name, values in of_service.items():
        if "overlap" in values and names[name] == "web":
            raise Stop(f"{DEPLOY}: service.{name}.overlap is for workers; web services always overlap")
    return Rules(
        release_service=service if command else "",
        release_command=command,
        release_seconds=release.get("seconds", Rules.release_seconds),
        gate_seconds=gate.get("seconds", Rules.gate_seconds),
        smoke_seconds=gate.get("smoke_seconds", Rules.smoke_seconds),
        keep=given.get("keep", {}).get("releases", Rules.keep),
        overlap=frozenset(name for name, values in of_service.items() if values.get("overlap")),
        stop_seconds={name: values["stop_seconds"] for name, values in of_service.items() if "stop_seconds" in values},
    )


def table(value: Any, name: str) -> dict[str, Any]:
    """Return a table of the file as it is. Raises Stop where it is something else."""
    if not isinstance(value, dict):
        raise Stop(f"{DEPLOY}: {name} is {value!r}, expected a table, as in [{name}]")
    return value
