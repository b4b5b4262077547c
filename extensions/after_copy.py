"""The script that copier.yml runs after `copier copy` over code that was there before: `python after_copy.py
TEMPLATE ask`, in the project.

With `ask`, in a terminal, a person is asked before more than a handful of files are written; with `tell`
nobody is.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from extensions.moving.migrate import seeds
from extensions.project import environment

environment.enter()
asks = sys.argv[2] == "ask" and sys.stdin.isatty()
for line in seeds(Path.cwd(), Path(sys.argv[1]), input if asks else None):
    print(line, file=sys.stderr)
