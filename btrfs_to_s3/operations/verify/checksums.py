"""The SHA-256 that the service itself keeps of a chunk, by a HEAD each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, NotReadableYetError
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.verify.report import Problem, Raw
from btrfs_to_s3.stream.pump import OrderedPool, Pump

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import ChunkRecord, Manifest
    from btrfs_to_s3.model.objects import ObjectState
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.operations.verify.report import Counts, Findings


def check_kept_checksums(
    services: Services, manifest: Manifest, found: Findings, counts: Counts, concurrency: int
) -> None:
    """Compare one backup's chunks with what the service keeps.

    Multipart objects have a digest of their parts' digests only, and some services keep none:
    those are counted as unknown. An index that cannot be read is left to the check of presence.
    """
    pump = Pump(services.cancel)
    store = services.access.store.bound(pump.cancel)

    def ask(record: ChunkRecord) -> tuple[ChunkRecord, ObjectState | None]:
        return record, store.head(record.key, record.version_id)

    with (
        suppress(IntegrityError, NotReadableYetError),
        StoredIndex(store, services.state, manifest) as index,
    ):
        states = OrderedPool(pump, "head", concurrency, ask, 2 * concurrency)

        def feed() -> None:
            for record in index.chunks():
                states.submit(record)
            states.close()

        def judge() -> None:
            for record, state in states:
                _judge(manifest, record, state, found, counts)

        pump.start("feeder", feed)
        pump.start("judge", judge)
        pump.run()


def _judge(
    manifest: Manifest,
    record: ChunkRecord,
    state: ObjectState | None,
    found: Findings,
    counts: Counts,
) -> None:
    if state is None:
        message = f"{record.key} is missing"
        found.add(Raw(Problem.CHUNK_MISSING, manifest.backup_id, record.key, message))
    elif state.sha256_hex is None:
        counts.checksums_unknown += 1
    else:
        counts.checksums += 1
        if state.sha256_hex != record.stored_sha256_hex:
            message = f"{record.key} does not have the SHA-256 that its index records"
            found.add(Raw(Problem.CHUNK_DAMAGED, manifest.backup_id, record.key, message))
