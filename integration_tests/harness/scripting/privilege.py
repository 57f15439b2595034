"""Who runs this: root, or a user; and giving to the user behind sudo what root made for them."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class PrivilegeError(Exception):
    """This needs root."""


def is_root() -> bool:
    """Whether everything is permitted."""
    return os.geteuid() == 0


def require_root() -> None:
    """PrivilegeError unless run by root."""
    if not is_root():
        raise PrivilegeError("this needs root")


def as_root() -> str:
    """The command line that runs this program as root, with the environment it has."""
    return shlex.join(["sudo", "-E", sys.executable, *sys.argv])


def as_invoker(command: Sequence[str]) -> list[str]:
    """A command line that runs a command as the user behind sudo; unchanged where there is none."""
    user, group = invoker()
    if not is_root() or user == 0:
        return list(command)
    ids = [f"--reuid={user}", f"--regid={group}", "--init-groups"]
    return ["setpriv", *ids, "--", *command]


def invoker() -> tuple[int, int]:
    """User and group id for whom root works: those behind sudo, else our own."""
    if not is_root():
        return os.getuid(), os.getgid()
    return int(os.environ.get("SUDO_UID", "0")), int(os.environ.get("SUDO_GID", "0"))


def give_back(*paths: Path) -> None:
    """Give these paths, and what lies below them on the same filesystem, to the invoker.

    Nothing to do for an ordinary user, or for root without sudo.
    """
    user, group = invoker()
    if not is_root() or user == 0:
        return
    for path in paths:
        if path.is_symlink() or not path.exists():
            continue
        device = path.stat().st_dev
        for entry in _tree(path):
            if entry.lstat().st_dev == device:
                os.chown(entry, user, group, follow_symlinks=False)


def give_one(path: Path) -> None:
    """Give only this entry to the invoker, not what lies below."""
    if is_root():
        os.chown(path, *invoker(), follow_symlinks=False)


def _tree(path: Path) -> Iterable[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")
