"""A deploy of a promoted environment: the builds of its line, and not outside of its windows or in a freeze."""

from .. import promotion
from ..builds import Build
from ..pipeline import Deploy, Step
from ..shell import Held, Stop


def decided(environment: str) -> tuple[list[Build], str] | None:
    """Return the builds that the environment's line names, and the file; None where it has none. Raises Stop."""
    found = promotion.builds_of(environment) if environment in promotion.ENVIRONMENTS[1:] else []
    return (found, promotion.file_of(environment)) if found else None


def look(deploy: Deploy) -> None:
    """Hold the deploy up where config/promotion.toml says so, or can't be read. Raises Held."""
    try:
        why = promotion.closed(deploy.release.environment)
    except Stop as stop:
        raise Held(str(stop)) from None
    if why:
        promotion.hold(deploy, why)


def step() -> Step:
    """Return the step, which is the second of a deploy."""
    return Step("window", "look whether it may be deployed now", look, only="deploy", after="settle")
