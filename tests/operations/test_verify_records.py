"""What ``verify`` finds in heads, manifests and indexes, each fault provoked on a real service."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import ExitCode
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.verify.report import Problem
from tests.operations.verify_helpers import (
    chunks,
    data,
    edit_head,
    flip_a_bit,
    head_key,
    problems,
    quick,
)

if TYPE_CHECKING:
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository

# Manifests and indexes


def test_an_edited_manifest_is_found(repository: SyntheticRepository, bucket: Bucket) -> None:
    entry = repository.backup()
    key = keys.manifest(repository.source_id, entry.backup_id)
    bucket.write(key, bucket.read(key).replace(b'"6.2"', b'"6.3"'))
    (finding,) = data(repository).findings
    assert (finding.problem, finding.key) == (Problem.MANIFEST, key)
    assert "SHA-256" in finding.message


def test_a_missing_manifest_hides_no_other_backup(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    first, second = repository.backup(), repository.backup()
    bucket.remove(keys.manifest(repository.source_id, first.backup_id))
    lost = chunks(repository, second)[0].key
    bucket.remove(lost)
    report = quick(repository)
    assert problems(report) == [Problem.MANIFEST, Problem.CHUNK_MISSING]
    assert report.counts.surplus_objects == 0


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_damaged_index_is_found(
    damage: str, repository: SyntheticRepository, bucket: Bucket
) -> None:
    first, second = repository.backup(), repository.backup()
    key = keys.index(repository.source_id, first.backup_id)
    if damage == "missing":
        bucket.remove(key)
    else:
        flip_a_bit(bucket, key)
    report = data(repository)
    (finding,) = report.findings
    assert (finding.problem, finding.key) == (Problem.INDEX, key)
    assert report.counts.bytes_checked == second.stored_size_bytes


def test_a_stream_that_its_manifest_does_not_describe_shows_in_the_data(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    """Manifest and head forged together: all hashes fit, only the stream tells."""
    entry = repository.backup()
    key = keys.manifest(repository.source_id, entry.backup_id)
    manifest = json.loads(bucket.read(key))
    manifest["stream"]["transid"] += 1
    forged = json.dumps(manifest).encode() + b"\n"
    bucket.write(key, forged)
    edit_head(
        bucket,
        repository,
        manifest_sha256=sha256(forged).hexdigest(),
        stream=manifest["stream"],
    )
    assert quick(repository).findings == ()
    (finding,) = data(repository).findings
    assert (finding.problem, finding.backup_id) == (Problem.STREAM, entry.backup_id)


# Heads


def test_a_lost_head_is_a_finding_of_its_own(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    repository.backup(repository.backup())
    bucket.remove(head_key(repository))
    report = data(repository)
    (finding,) = report.findings
    assert finding.problem is Problem.HEAD_LOST
    assert "2 manifests" in finding.message
    assert report.counts.backups == 2
    assert bucket.listing().count(head_key(repository)) == 0


def test_a_head_that_was_rolled_back_is_found(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    repository.backup()
    old = bucket.read(head_key(repository))
    repository.backup()
    bucket.write(head_key(repository), old)
    (finding,) = quick(repository).findings
    assert finding.problem is Problem.HEAD_UNUSABLE
    assert "rolled back" in finding.message
    assert "--rebuild-head" in finding.advice


def test_a_head_that_is_not_readable_is_found(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    repository.backup()
    bucket.write(head_key(repository), b'{"format":1')
    (finding,) = quick(repository).findings
    assert finding.problem is Problem.HEAD_UNUSABLE
    assert "--rebuild-head" in finding.advice


def test_an_edited_head_is_found(repository: SyntheticRepository, bucket: Bucket) -> None:
    entry = repository.backup()
    edit_head(bucket, repository, raw_size=1)
    (finding,) = quick(repository).findings
    assert (finding.problem, finding.backup_id) == (Problem.HEAD_DIFFERS, entry.backup_id)


def test_a_head_that_lists_a_child_without_its_parent_is_found(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    child = repository.backup(repository.backup())
    head = json.loads(bucket.read(head_key(repository)))
    del head["backups"][0]
    bucket.write(head_key(repository), json.dumps(head).encode() + b"\n")
    (finding,) = quick(repository).findings
    assert (finding.problem, finding.backup_id) == (Problem.CHAIN, child.backup_id)


def test_an_increment_moved_to_another_parent_is_found(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    full, other = repository.backup(), repository.backup()
    child = repository.backup(full)
    edit_head(bucket, repository, parent=str(other.backup_id))
    found = quick(repository).findings
    assert {finding.problem for finding in found} == {Problem.HEAD_DIFFERS, Problem.CHAIN}
    assert {finding.backup_id for finding in found} == {child.backup_id}


def test_a_source_that_never_committed_is_mentioned_and_no_fault(
    repository: SyntheticRepository,
) -> None:
    repository.upload()
    report = quick(repository)
    assert problems(report) == [Problem.NEVER_COMMITTED]
    assert report.exit_code is ExitCode.DONE
