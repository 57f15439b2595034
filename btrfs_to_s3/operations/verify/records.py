"""Heads, manifests, catalogs and the links between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, NotReadableYetError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.verify.report import Problem, Raw
from btrfs_to_s3.plan.chain import chain_in, link_fault
from btrfs_to_s3.plan.rebuild import entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.operations.verify.report import Counts, Findings
    from btrfs_to_s3.plan.chain import HashedManifest

_REBUILD = "'btrfs-to-s3 verify {} --rebuild-head' makes a new one from the manifests"


class RecordCheck:
    """The small objects of one source. Memory: its manifests, and the keys of its metadata."""

    def __init__(
        self, services: Services, source_id: SourceId, found: Findings, counts: Counts
    ) -> None:
        self._access = services.access
        self._store = services.access.store.bound(services.cancel)
        self._source_id = source_id
        self._found = found
        self._counts = counts
        self._manifests: dict[BackupId, Manifest] = {}
        self._catalogs: dict[str, int] = {}

    def head(self) -> Head | None:
        """The source's head; None, with a finding, when it cannot be used."""
        key = keys.head(self._source_id)
        rebuild = _REBUILD.format(self._source_id)
        try:
            head = self._access.head(self._source_id)
        except (IntegrityError, NotReadableYetError) as error:
            advice = error.hint or rebuild
            self._found.add(Raw(Problem.HEAD_UNUSABLE, None, key, error.message, advice))
            return None
        if head is None:
            message = "it has no head and no manifest: its first backup was never committed"
            advice = f"if it was, find out who removed them: {keys.HEADS} and {keys.MANIFESTS}"
            self._found.add(Raw(Problem.NEVER_COMMITTED, None, None, message, advice))
        # Looked for only now: a head that came into being meanwhile was not lost.
        elif next(iter(self._store.list(key)), None) is None:
            message = f"the head is lost: rebuilt from {len(head.backups)} manifests"
            advice = f"the next backup writes it again; {rebuild}"
            self._found.add(Raw(Problem.HEAD_LOST, None, key, message, advice))
        else:
            self._counts.objects += 1
        return head

    def count_surplus(self, head: Head) -> None:
        """Count metadata that belongs to no live backup; remember the catalogs there are."""
        live = {entry.backup_id for entry in head.backups}
        for kind in (keys.MANIFESTS, keys.INDEXES, keys.CATALOGS, keys.NOTES):
            for listed in self._store.list(f"{kind}{self._source_id}/"):
                owner = keys.owner(listed.key)
                if owner is None or owner[1] not in live:
                    self._counts.surplus(listed.size_bytes)
                elif kind == keys.CATALOGS:
                    self._catalogs[listed.key] = listed.size_bytes

    def manifest(self, head: Head, entry: HeadEntry) -> Manifest | None:
        """A live backup's manifest, checked against the head; None with a finding."""
        key = keys.manifest(self._source_id, entry.backup_id)
        try:
            manifest = self._access.manifest(self._source_id, entry)
        except (IntegrityError, NotReadableYetError) as error:
            problem = problem_of(error, Problem.MANIFEST)
            self._found.add(Raw(problem, entry.backup_id, key, error.message))
            return None
        self._counts.objects += 1
        self._manifests[entry.backup_id] = manifest
        told = entry_of(manifest, entry.manifest_sha256_hex, entry.sequence)
        # An earlier version's entry says nothing of requests.
        if (
            entry not in (told, replace(told, requests=None))
            or manifest.source_id != head.source_id
        ):
            head_key = keys.head(self._source_id)
            message = f"{head_key} does not say of {entry.backup_id} what its manifest says"
            advice = f"someone edited the head; {_REBUILD.format(self._source_id)}"
            found = Raw(Problem.HEAD_DIFFERS, entry.backup_id, head_key, message, advice)
            self._found.add(found)
        self._check_catalog(manifest)
        return manifest

    def check_links(self, head: Head) -> None:
        """Every backup's chain is complete, and each manifest continues its parent's."""
        entries = {entry.backup_id: entry for entry in head.backups}
        for entry in head.backups:
            try:
                chain = chain_in(entries, entry.backup_id)
            except IntegrityError as error:
                self._found.add(Raw(Problem.CHAIN, entry.backup_id, None, error.message))
                continue
            linked = [self._hashed(link) for link in chain[-2:]]
            # Where a manifest cannot be read, that is the finding.
            pair = [hashed for hashed in linked if hashed is not None]
            if len(pair) == len(linked):
                fault = link_fault(pair[-1], pair[0] if len(pair) > 1 else None)
                if fault is not None:
                    self._found.add(Raw(Problem.CHAIN, entry.backup_id, None, fault))

    def in_sequence(self, head: Head) -> Iterator[Manifest]:
        """The manifests that could be read, oldest first."""
        for entry in head.backups:
            if entry.backup_id in self._manifests:
                yield self._manifests[entry.backup_id]

    def _hashed(self, entry: HeadEntry) -> HashedManifest | None:
        manifest = self._manifests.get(entry.backup_id)
        return None if manifest is None else (manifest, entry.manifest_sha256_hex)

    def _check_catalog(self, manifest: Manifest) -> None:
        ref = manifest.catalog
        if ref is None:
            return
        self._counts.objects += 1
        size = self._catalogs.get(ref.key)
        if size == ref.size_bytes:
            return
        what = "is missing" if size is None else f"has {size} bytes instead of {ref.size_bytes}"
        self._found.add(Raw(Problem.CATALOG, manifest.backup_id, ref.key, f"{ref.key} {what}"))


def problem_of(error: IntegrityError | NotReadableYetError, otherwise: Problem) -> Problem:
    """What kind of finding a failed read is."""
    archived = isinstance(error, NotReadableYetError)
    return Problem.NOT_READABLE_YET if archived else otherwise
