"""Signatures of images: the workflow that builds them signs each by its digest, and a deploy asks for them.

The switch is config/cosign.pub. Nothing goes to a public log, which would tell the names of private repositories.
"""

import os
import sys

import flags
import uv

from .. import builds, source
from ..pipeline import Deploy, Step
from ..shell import Failed, Stop, run

KEY = "config/cosign.pub"


def sign() -> None:
    """Sign the images of this commit with COSIGN_PRIVATE_KEY. Raises Stop."""
    if not os.environ.get("COSIGN_PRIVATE_KEY"):
        raise Stop("COSIGN_PRIVATE_KEY is empty: it holds cosign.key, whose password is in COSIGN_PASSWORD")
    for build in builds.of(source.commit()):
        options = ["--yes", "--tlog-upload=false", "--key", "env://COSIGN_PRIVATE_KEY"]
        run(["cosign", "sign", *options, build.reference])
        print(f"{build.service}: {build.digest} is signed")


def check(deploy: Deploy) -> None:
    """See that each image was signed by the key that belongs to config/cosign.pub. Raises Stop."""
    if deploy.host.environment == next(iter(uv.PROJECT["environments"])):
        return  # what the same run has built
    if not (uv.ROOT / KEY).is_file():
        flags.tell(f"Nobody looked who built these images: {KEY} isn't there (docs/security.md)")
        return
    for build in deploy.release.builds:
        try:
            run(["cosign", "verify", "--key", KEY, "--insecure-ignore-tlog=true", build.reference])
        except Failed as error:
            who = f"was not signed by the key of {KEY}, or the registry can't be asked"
            raise Stop(f"{build.service}: {build.reference} {who}: it may be another image", 1) from error


def step() -> Step:
    """Return the step: before anything is written to the host or started there."""
    return Step("signatures", "see who signed the images", check, only="deploy", after="settle")


if __name__ == "__main__":
    try:
        sign()
    except Stop as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.code)
