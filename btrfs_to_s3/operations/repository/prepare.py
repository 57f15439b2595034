"""Before anything is sent: the repository exists, may be written, and is understood."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.format import keys

if TYPE_CHECKING:
    from btrfs_to_s3.operations.services import Services


def prepare_to_read(services: Services) -> None:
    """Open the repository; an access, usage or network error says what to do."""
    services.access.store.check_access(keys.REPOSITORY)
    services.access.open()


def prepare_to_look(services: Services) -> bool:
    """Open the repository if there is one; False when there is none yet. Writes nothing."""
    services.access.store.check_access(keys.REPOSITORY)
    try:
        services.access.open()
    except UsageError as error:
        if error.context.get("absent"):
            return False
        raise
    return True


def prepare_to_write(services: Services) -> None:
    """Create or open the repository and prove that it may be written, before any snapshot.

    What the service can do is found out once; without conditional writes a single
    writer is the user's assumption, which is said on every run.
    """
    store = services.access.store
    store.check_access(keys.REPOSITORY)
    data = services.access.create()
    digest = sha256(data).digest()
    store.check_writable(keys.REPOSITORY, data, digest)
    capabilities = store.capabilities or store.detect(keys.REPOSITORY, data, digest)
    if capabilities.single_writer_assumed:
        services.reporter.warn(
            "this service has no conditional writes: two hosts writing to one source at the same "
            "time would not be noticed; let one host write to each source"
        )
    if not capabilities.verifies_checksums:
        services.reporter.warn(
            "this service does not check uploads against their SHA-256: run "
            "'btrfs-to-s3 verify --level data' from time to time"
        )
