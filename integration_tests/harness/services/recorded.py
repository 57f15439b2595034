"""Write this process into a state file, then become the given command: `recorded.py STATE COMMAND`.

So a server that outlives its starter is recorded before it is one, whenever the starter dies.
"""

import os
import sys
from pathlib import Path

from integration_tests.harness.machine.state import StateFile


def main() -> None:
    """Record and replace."""
    path, *command = sys.argv[1:]
    StateFile(Path(path), keeps=True).add_process(os.getpid())
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
