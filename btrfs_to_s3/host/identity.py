"""Who this host is: a stable id that gives nothing away, and a name for people."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
from pathlib import Path
from uuid import UUID

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.durable import ensure_directory, sync_directory
from btrfs_to_s3.model.identity import LABEL_PATTERN

APPLICATION_ID = UUID("b7d1f0c4-2e63-4d0a-9c58-7a41e6f3b902")
"""Keeps our id of a host apart from every other program's; never changed."""
_MACHINE_ID_PATH = Path("/etc/machine-id")
_NAME = "host-id"


def host_id(state_root: Path, machine_id_path: Path = _MACHINE_ID_PATH) -> str:
    """32 hex digits that stay the same for this installation of the operating system.

    machine-id(5) asks not to show the machine id itself but an application's hash of it; this is
    ``systemd-id128 machine-id --app-specific``. Without a machine id a random id is kept in the
    state directory; ``UsageError`` when that is not possible either.
    """
    try:
        return machine_app_specific(UUID(machine_id_path.read_text("ascii").strip())).hex
    except (OSError, ValueError):
        # Missing, empty or "uninitialized", as in images and chroots.
        return _kept_random_id(state_root)


def machine_app_specific(machine_id: UUID, application_id: UUID = APPLICATION_ID) -> UUID:
    """sd_id128_get_machine_app_specific(3): HMAC-SHA256, cut to 128 bits, marked as UUID v4."""
    digest = hmac.new(machine_id.bytes, application_id.bytes, hashlib.sha256).digest()
    return UUID(bytes=digest[:16], version=4)


def host_name(setting: str | None) -> str:
    """The ``host`` setting, or the machine's name up to its first dot.

    ``UsageError`` when the machine's name cannot stand in ``HOST/SOURCE``.
    """
    name = setting or socket.gethostname().partition(".")[0]
    if not LABEL_PATTERN.fullmatch(name):
        raise UsageError(
            f"this machine's name {name!r} cannot be used as a host name",
            hint='choose one: host = "…" (letters, digits, ".", "_", "-"; at most 64)',
        )
    return name


def _kept_random_id(state_root: Path) -> str:
    path = state_root / _NAME
    try:
        ensure_directory(state_root)
        if not path.exists():
            _create_once(path, UUID(bytes=secrets.token_bytes(16), version=4).hex)
        return UUID(path.read_text("ascii").strip()).hex
    except (OSError, ValueError) as error:
        raise UsageError(
            f"this host has no identity: {_MACHINE_ID_PATH} holds none and {path} is unusable",
            hint="run systemd-machine-id-setup, or run btrfs-to-s3 once as root",
        ) from error


def _create_once(path: Path, text: str) -> None:
    """Write a file that never changes again; the first of several writers wins (link(2))."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
