"""The script that copier.yml runs after `copier copy` over code that was there before: `python after_copy.py TEMPLATE`, in the project."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from extensions.migrate import seeds

for line in seeds(Path.cwd(), Path(sys.argv[1])):
    print(line, file=sys.stderr)
