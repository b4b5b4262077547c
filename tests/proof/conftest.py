"""What the proofs share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.engine import Target, started
from tests.support.proofs import session_caches


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A host to deploy to, one in each of the session's processes."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a base image with debootstrap")
    with started(session_caches(tmp_path_factory)) as host:
        yield host
