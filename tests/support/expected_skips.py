"""Why a test may be skipped in CI. A skip for any other reason fails the session there: see conftest.py."""

import re

EXPECTED = [
    re.compile(pattern)
    for pattern in (
        r"releases.toml lists no release yet",  # before the first release there is none to update from
        r"root reads everything",  # test_adoption_reading: a folder without permissions
        r"only root can make a base image with debootstrap",  # proof/test_image
        r"containers can't be run here",  # proof/test_image, in a container that may not make others
        # Proof/test_versions: a machine has the Pythons that it has; 3.11 must be there.
        r"Python 3\.1[2-9] is not to be had here",
    )
]


def unexpected(reasons: list[str]) -> list[str]:
    """The reasons that are none of the expected ones."""
    return sorted({reason for reason in reasons if not any(pattern.search(reason) for pattern in EXPECTED)})
