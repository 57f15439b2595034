"""Heads that were seen before are not asked for again; nothing stale is taken for fresh."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.operations.repository.head_cache import remembered_heads
from btrfs_to_s3.operations.repository.head_columns import decode_columns, encode_columns
from btrfs_to_s3.operations.repository.listing import find_backup, read_heads
from tests.format.values import heads
from tests.operations.repositories import SyntheticRepository
from tests.operations.stores import Delegate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.ports import ObjectStore


class Late(Delegate):
    """Gives a head only after something else was done."""

    def __init__(self, inner: ObjectStore, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._act = act

    def get_whole(
        self, key: str, *, limit_bytes: int, version_id: str | None = None
    ) -> tuple[bytes, str]:
        found = super().get_whole(key, limit_bytes=limit_bytes, version_id=version_id)
        if key.startswith("heads/"):
            self._act()
        return found


class Reads(Delegate):
    """Remembers what was read whole."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.keys: list[str] = []

    def get_whole(
        self, key: str, *, limit_bytes: int, version_id: str | None = None
    ) -> tuple[bytes, str]:
        self.keys.append(key)
        return super().get_whole(key, limit_bytes=limit_bytes, version_id=version_id)


@given(heads())
def test_columns_give_back_the_head_they_were_made_of(head: Head) -> None:
    assert decode_columns(encode_columns(head)) == head


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"source": []}', b"\xff"])
def test_what_is_not_a_head_in_columns_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="of another form"):
        decode_columns(data)


def gets_of_listing(repository: SyntheticRepository) -> tuple[list[Head], int]:
    """What a listing finds, and how many objects it read for that."""
    before = repository.store.request_counts()["get"]
    listing = read_heads(repository.services)
    assert not listing.unreadable
    return list(listing.heads), repository.store.request_counts()["get"] - before


def cached_file(state_directory: Path) -> Path:
    (file,) = state_directory.rglob("head/*.cache")
    return file


def test_a_second_listing_reads_no_head_again(repository: SyntheticRepository) -> None:
    repository.backup()
    (first, _), (second, reads) = gets_of_listing(repository), gets_of_listing(repository)
    assert first == second == [repository.head()]
    assert reads == 0


def test_a_head_that_another_host_replaced_is_read_anew(repository: SyntheticRepository) -> None:
    first = repository.backup()
    gets_of_listing(repository)
    second = repository.from_host("other").backup(first)
    heads, reads = gets_of_listing(repository)
    assert [entry.backup_id for entry in heads[0].backups] == [first.backup_id, second.backup_id]
    assert reads == 1


def test_deleting_the_cache_costs_one_request_and_nothing_else(
    repository: SyntheticRepository, state_directory: Path
) -> None:
    repository.backup()
    before, _ = gets_of_listing(repository)
    cached_file(state_directory).unlink()
    assert gets_of_listing(repository) == (before, 1)


def test_a_damaged_cache_is_read_anew_and_accuses_nobody(
    repository: SyntheticRepository, state_directory: Path
) -> None:
    repository.backup()
    before, _ = gets_of_listing(repository)
    file = cached_file(state_directory)
    file.write_bytes(file.read_bytes()[:-1] + b" ")
    assert gets_of_listing(repository) == (before, 1)


def test_a_cache_of_the_layout_before_still_says_which_snapshots_are_needed(
    repository: SyntheticRepository, state_directory: Path
) -> None:
    entry = repository.backup()
    file = cached_file(state_directory)
    line, _, data = file.read_bytes().partition(b"\n")
    members = json.loads(data)
    del members["requests"]
    older = json.dumps(members).encode()
    told = json.loads(line) | {"layout": 1, "sha256": sha256(older).hexdigest()}
    file.write_bytes(json.dumps(told).encode() + b"\n" + older)
    (head,) = remembered_heads(repository.services.state)
    assert head.backups == (replace(entry, requests=None),)


def test_a_head_that_was_read_late_does_not_replace_a_newer_one(
    repository: SyntheticRepository,
) -> None:
    first = repository.backup()
    late = repository.through(Late(repository.store, lambda: repository.backup(first)))
    assert len(late.head().backups) == 1
    (seen, reads) = gets_of_listing(repository)
    assert (len(seen[0].backups), reads) == (2, 0)


def test_only_the_named_source_s_head_is_read(
    repository: SyntheticRepository, state_directory: Path
) -> None:
    wanted = repository.backup()
    elsewhere = SourceId("other", "00000000")
    SyntheticRepository(repository.store, state_directory, source_id=elsewhere).backup()
    reads = Reads(repository.store)
    fresh = SyntheticRepository(reads, state_directory / "fresh", source_id=repository.source_id)
    assert find_backup(fresh.services, "data")[1] == wanted
    assert [key for key in reads.keys if key.startswith("heads/")] == [
        f"heads/{repository.source_id}/current.json"
    ]


def test_a_name_that_nothing_has_is_answered_with_all_there_are(
    repository: SyntheticRepository,
) -> None:
    repository.backup()
    with pytest.raises(UsageError) as told:
        find_backup(repository.services, "nothing")
    assert str(repository.source_id) in (told.value.hint or "")
