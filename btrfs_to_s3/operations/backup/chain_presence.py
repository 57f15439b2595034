"""Whether a stored chain is still there, before another increment is built on it.

From LIST pages of the chain's manifests and chunks, compared with what the head records: a chain
that lost an object is no parent, however sound the local snapshot is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.backup.leftovers import present_chunks
from btrfs_to_s3.plan.chain import chain_of

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.ports import ObjectStore


def what_is_missing(store: ObjectStore, head: Head, entry: HeadEntry) -> str | None:
    """Why the entry's chain cannot be restored, as far as listings tell; None when it is there.

    Objects of later attempts may stand beside the recorded ones, so only fewer or smaller ones
    than recorded are a loss; ``verify`` looks more closely.
    """
    source_id = head.source_id
    manifests = {listed.key for listed in store.list(f"{keys.MANIFESTS}{source_id}/")}
    for link in chain_of(head, entry.backup_id):
        if keys.manifest(source_id, link.backup_id) not in manifests:
            return f"the manifest of {link.backup_id} is missing"
        chunks = present_chunks(store, source_id, link.backup_id)
        stored = sum(size for size, _ in chunks.values())
        if len(chunks) < link.chunk_count or stored < link.stored_size_bytes:
            return f"{link.backup_id} has lost data: {len(chunks)} of {link.chunk_count} chunks"
    return None
