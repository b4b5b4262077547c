"""The service's settings: read from the environment once, checked at once."""

from collections.abc import Mapping
from dataclasses import dataclass

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class ConfigError(ValueError):
    """A setting can't be used; the message names the variable and what was expected."""


@dataclass(frozen=True)
class Config:
    """What can be set, and what it is where nobody sets it."""

    log_level: str = "INFO"
    timeout_seconds: float = 2.0


def load(environ: Mapping[str, str]) -> Config:
    """Return the settings that `environ` holds. Raises ConfigError."""
    log_level = environ.get("LOG_LEVEL", Config.log_level).upper()
    if log_level not in LOG_LEVELS:
        levels = ", ".join(LOG_LEVELS)
        raise ConfigError(f"LOG_LEVEL={log_level}: expected one of {levels}")
    timeout = positive_number(environ, "TIMEOUT_SECONDS", Config.timeout_seconds)
    return Config(log_level, timeout)


def positive_number(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return the variable `name` as a number above 0. Raises ConfigError."""
    text = environ.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{name}={text}: expected a number above 0")
    return value
