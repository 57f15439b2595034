"""Manifests of many backups at once, in parallel, kept in the local cache by their SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.stream.pump import in_parallel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.model.backup import HeadEntry, Manifest
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.services import Services


@dataclass(frozen=True, slots=True)
class ReadManifests:
    """Those that could be read, in the order asked for, and why others could not."""

    manifests: tuple[Manifest, ...]
    errors: tuple[IntegrityError, ...]


def read_manifests(
    services: Services, source_id: SourceId, entries: Sequence[HeadEntry], workers: int
) -> ReadManifests:
    """The manifests of these backups of one source; one that is damaged ends nothing else.

    Whatever makes the repository unusable is raised.
    """
    read = in_parallel(entries, partial(_read, services, source_id), workers, services.cancel)
    return ReadManifests(
        tuple(each for each in read if not isinstance(each, IntegrityError)),
        tuple(each for each in read if isinstance(each, IntegrityError)),
    )


def _read(services: Services, source_id: SourceId, entry: HeadEntry) -> Manifest | IntegrityError:
    try:
        return services.access.known_manifest(source_id, entry)
    except IntegrityError as error:
        return error
