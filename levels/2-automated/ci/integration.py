"""`make integration`: start each service and ask it how it is. Exit 0 when all are well, 1 when not."""

import os
import subprocess
import sys

import uv

uv.ensure()
command = [str(uv.VENV_PYTHON), "-m", "pytest", "-rs", "tests/integration"]
sys.exit(
    1 if subprocess.run(command, cwd=uv.ROOT, env={**os.environ, "INTEGRATION": "1"}, check=False).returncode else 0
)
