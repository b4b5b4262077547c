"""How long a long run is: in full under `make soak`, at a tenth everywhere else."""

from __future__ import annotations

import os

SOAK = os.environ.get("SOAK") == "1"


def scaled(full: int) -> int:
    """The number of rounds, texts or files of a long run that has `full` of them in `make soak`."""
    return full if SOAK else max(1, full // 10)
