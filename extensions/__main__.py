"""`python -m extensions`: the `levels` command from a checkout, as `make new` runs it."""

import sys

from .cli import main

sys.exit(main())
