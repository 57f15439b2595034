"""Short ways to verify a synthetic repository and to damage it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.verify.verify import verify_data, verify_quick

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import ChunkRecord, HeadEntry
    from btrfs_to_s3.operations.verify.report import Problem, VerifyReport
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


def quick(repository: SyntheticRepository, *, checksums: bool = False) -> VerifyReport:
    return verify_quick(repository.services, [repository.source_id], checksums=checksums)


def data(repository: SyntheticRepository) -> VerifyReport:
    return verify_data(repository.services, [repository.source_id])


def chunks(repository: SyntheticRepository, entry: HeadEntry) -> list[ChunkRecord]:
    manifest = repository.access.manifest(repository.source_id, entry)
    with StoredIndex(repository.store, repository.state, manifest) as index:
        return list(index.chunks())


def problems(report: VerifyReport) -> list[Problem]:
    return [finding.problem for finding in report.findings]


def flip_a_bit(bucket: Bucket, key: str) -> None:
    content = bytearray(bucket.read(key))
    content[len(content) // 2] ^= 1
    bucket.write(key, bytes(content))


def head_key(repository: SyntheticRepository) -> str:
    return keys.head(repository.source_id)


def edit_head(bucket: Bucket, repository: SyntheticRepository, **members: object) -> None:
    """Change members of the newest backup's line."""
    head = json.loads(bucket.read(head_key(repository)))
    head["backups"][-1] |= members
    bucket.write(head_key(repository), json.dumps(head).encode() + b"\n")
