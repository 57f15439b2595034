"""What programs of the machine that we ask something see of our environment."""

from __future__ import annotations

import os


def environment(*passed_on: str) -> dict[str, str]:
    """The search path, untranslated messages, and the variables that are named.

    Nothing else is passed on, least of all the storage credentials.
    """
    named = {name: os.environ[name] for name in passed_on if name in os.environ}
    return {**named, "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
