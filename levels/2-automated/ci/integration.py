"""The target `integration`: start each service and ask it how it is. Exit 0 when all are well, 1 when not.

With ENV=staging, as in the workflow, nothing is run where the flag integration_testing is off for it.
"""

import json
import os
import subprocess
import sys

import flags
import uv

SCHEMATHESIS = ("schemathesis", "4.32.5")

if flags.off("integration_testing", os.environ.get("ENV", ""), "the integration tests"):
    sys.exit(0)
uv.ensure()
asked = {**os.environ, "INTEGRATION": "1", "SCHEMATHESIS": json.dumps(uv.tool(*SCHEMATHESIS))}
command = [str(uv.VENV_PYTHON), "-m", "pytest", "-rsP", "tests/integration"]
failed = subprocess.run(command, cwd=uv.ROOT, env=asked, check=False).returncode
sys.exit(1 if failed else 0)
