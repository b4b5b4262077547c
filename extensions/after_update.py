"""The script that copier.yml runs at the end of an update: `python after_update.py TEMPLATE`, in the
project's folder.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from extensions.moving.migrate import migrate
from extensions.project import environment

environment.enter()
for line in migrate(Path.cwd(), Path(sys.argv[1])):
    print(line, file=sys.stderr)
