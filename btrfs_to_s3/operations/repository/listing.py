"""What the repository holds: from the heads alone, and one backup's manifest on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.model.identity import BackupId
from btrfs_to_s3.plan.address import parse_address, resolve_source, select
from btrfs_to_s3.plan.chain import chain_of

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.address import Address


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A source whose head cannot be relied on."""

    source_id: SourceId
    error: IntegrityError


@dataclass(frozen=True, slots=True)
class Listing:
    """The heads that could be read, by host and label, and the sources whose could not."""

    heads: tuple[Head, ...]
    unreadable: tuple[Unreadable, ...]


@dataclass(frozen=True, slots=True)
class ShownBackup:
    """A backup with all that is known of it; ``chain`` has the full one first, itself last."""

    head: Head
    entry: HeadEntry
    chain: tuple[HeadEntry, ...]
    manifest: Manifest


def read_heads(services: Services, named: str | None = None) -> Listing:
    """Every source's head; one that is damaged does not hide the others.

    With ``named``, only of sources that have this label or id; of all where there is none.
    """
    heads: list[Head] = []
    unreadable: list[Unreadable] = []
    every = services.access.listed_sources()
    meant = [each for each in every if named in (each.source_id.label, str(each.source_id))]
    for listed in meant or every:
        try:
            head = services.access.listed_head(listed)
        except IntegrityError as error:
            unreadable.append(Unreadable(listed.source_id, error))
            continue
        if head is not None:
            heads.append(head)
    heads.sort(key=lambda head: (head.host_name, head.source_id))
    return Listing(tuple(heads), tuple(unreadable))


def list_backups(services: Services, source: str | None) -> Listing:
    """All sources, or the one that ``[HOST/]SOURCE`` names."""
    if source is None:
        return read_heads(services)
    address = _source_address(source)
    listing = read_heads(services, address.source)
    return Listing((_resolve(services, listing, address),), ())


def find_source(services: Services, text: str) -> SourceId:
    """The source that ``[HOST/]SOURCE`` names, also when its head is damaged or lost."""
    address = _source_address(text)
    known = services.access.source_ids()
    exact = [source_id for source_id in known if str(source_id) == address.source]
    if exact:
        return exact[0]
    listing = read_heads(services, address.source)
    damaged = [
        each.source_id
        for each in listing.unreadable
        if each.source_id.label == address.source and address.host is None
    ]
    if len(damaged) == 1 and not any(
        head.source_id.label == address.source for head in listing.heads
    ):
        return damaged[0]
    return resolve_source(listing.heads, address, services.access.host.host_name).source_id


def find_backup(services: Services, text: str) -> tuple[Head, HeadEntry]:
    """The backup that ``[HOST/]SOURCE[@WHEN]`` or a backup id names."""
    if _is_backup_id(text):
        return _find_by_id(read_heads(services), text)
    address = parse_address(text)
    if address.path is not None:
        raise UsageError(
            f"{text!r} names a path inside a backup", hint="leave out what follows the ':'"
        )
    head = _resolve(services, read_heads(services, address.source), address)
    return head, select(head, address.when)


def _find_by_id(listing: Listing, text: str) -> tuple[Head, HeadEntry]:
    found = [
        (head, entry)
        for head in listing.heads
        for entry in head.backups
        if str(entry.backup_id) == text
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{head.source_id}@{text}" for head, _ in found)
    raise UsageError(
        f"{text!r} is {'a backup of more than one source' if found else 'no live backup'}",
        hint=f"name one: {known}" if found else "'btrfs-to-s3 list' shows those there are",
    )


def show_backup(services: Services, text: str) -> ShownBackup:
    """One backup with its chain and manifest."""
    head, entry = find_backup(services, text)
    chain = chain_of(head, entry.backup_id)
    manifest = services.access.manifest(head.source_id, entry)
    return ShownBackup(head, entry, chain, manifest)


def _source_address(text: str) -> Address:
    address = parse_address(text)
    if "@" in text:
        raise UsageError(
            f"{text!r} names a backup, not a source",
            hint=f"'btrfs-to-s3 show {text}' shows one backup",
        )
    return address


def _resolve(services: Services, listing: Listing, address: Address) -> Head:
    """The head that the address names; a damaged one that it may mean is no "not found"."""
    for damaged in listing.unreadable:
        if address.source in (str(damaged.source_id), damaged.source_id.label):
            raise damaged.error
    return resolve_source(listing.heads, address, services.access.host.host_name)


def _is_backup_id(text: str) -> bool:
    try:
        BackupId.parse(text)
    except UsageError:
        return False
    return True
