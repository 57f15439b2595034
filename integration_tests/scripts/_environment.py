"""First import of every script: makes the harness importable, whichever Python was called.

Where that Python lacks what the harness needs, the script starts again in the environment that
`bootstrap.sh install` makes, which is made first if it is missing. Standard library only.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN_DIRECTORY = Path(os.environ.get("HARNESS_RUN_DIR") or ROOT / "integration_tests" / "run")
PYTHON = RUN_DIRECTORY.absolute() / "venv" / "bin" / "python"
NEEDED = ("boto3", "click", "moto", "psutil", "pyroute2", "toml", "zstandard")

os.environ.setdefault("PYTHONPATH", str(ROOT))
sys.path.insert(0, str(ROOT))

if any(importlib.util.find_spec(name) is None for name in NEEDED):
    if Path(sys.executable) == PYTHON:
        sys.exit(f"{PYTHON} lacks one of {', '.join(NEEDED)}: run integration_tests/bootstrap.sh")
    if not PYTHON.exists():
        bootstrap = ROOT / "integration_tests" / "bootstrap.sh"
        subprocess.run([bootstrap, "install"], check=True)
    os.execv(PYTHON, [str(PYTHON), *sys.orig_argv[1:]])  # noqa: S606 - the same script, no shell
