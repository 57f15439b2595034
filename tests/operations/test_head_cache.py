"""Heads that were seen before are not asked for again; nothing stale is taken for fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.operations.listing import read_heads

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.model.backup import Head
    from tests.operations.repositories import SyntheticRepository


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
    file.write_bytes(file.read_bytes().replace(b'"chunk_count"', b'"chunk_count '))
    assert gets_of_listing(repository) == (before, 1)
