"""Before an image is started, see who signed it; in the first environment it comes from the build of the same run."""

import uv

from .. import signing
from ..pipeline import Deploy, Step


def check(deploy: Deploy) -> None:
    """Refuse an image that isn't signed. Raises Stop."""
    if deploy.host.environment != next(iter(uv.PROJECT["environments"])):
        signing.check(deploy.release.builds)


def step() -> Step:
    """Return the step: before anything is written to the host or started there."""
    return Step("signatures", "see who signed the images", check, only="deploy", after="settle")
