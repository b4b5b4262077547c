"""`python -m extensions`: the `levels` command from a checkout."""

import sys

from .cli import main

sys.exit(main())
