"""The target `integration`: start each service and ask it how it is. Exit 0 when all are well, 1 when not.

With ENV=staging, as in the workflow, nothing is run where the flag integration_testing is off for it.
"""

import os
import subprocess
import sys

import flags
import uv

if flags.off("integration_testing", os.environ.get("ENV", ""), "the integration tests"):
    sys.exit(0)
uv.ensure()
command = [str(uv.VENV_PYTHON), "-m", "pytest", "-rs", "tests/integration"]
failed = subprocess.run(command, cwd=uv.ROOT, env={**os.environ, "INTEGRATION": "1"}, check=False).returncode
sys.exit(1 if failed else 0)
