"""What the repository costs: read from heads, and from manifests where heads are older."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.operations.repository.listing import list_backups
from btrfs_to_s3.operations.repository.manifests import read_manifests
from btrfs_to_s3.plan.cost.report import CostReport, recent, source_cost
from btrfs_to_s3.plan.rebuild import requests_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.errors import BtrfsToS3Error
    from btrfs_to_s3.model.backup import Head, Manifest
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.cost.report import SourceCost
    from btrfs_to_s3.plan.cost.restore import Line


@dataclass(frozen=True, slots=True)
class RepositoryCost:
    """The report, and what could not be read and is missing from it, by source."""

    report: CostReport
    errors: tuple[tuple[SourceId, BtrfsToS3Error], ...]


def repository_cost(
    services: Services, prices: PriceList, line: Line, source: str | None, workers: int
) -> RepositoryCost:
    """What all sources cost, or the one that ``[HOST/]SOURCE`` names.

    Manifests are read only of recent backups whose requests the head does not hold. Whatever
    makes the repository unusable is raised.
    """
    listing = list_backups(services, source)
    errors: list[tuple[SourceId, BtrfsToS3Error]] = [
        (each.source_id, each.error) for each in listing.unreadable
    ]
    costs: list[SourceCost] = []
    now = services.clock()
    for head in listing.heads:
        unknown = [entry for entry in recent(head, now) if entry.requests is None]
        read = read_manifests(services, head.source_id, unknown, workers)
        errors += [(head.source_id, error) for error in read.errors]
        try:
            costs.append(source_cost(prices, _completed(head, read.manifests), line, now))
        except IntegrityError as error:
            errors.append((head.source_id, error))
    return RepositoryCost(CostReport(tuple(costs)), tuple(errors))


def _completed(head: Head, manifests: Sequence[Manifest]) -> Head:
    """The head with the requests that these manifests count."""
    if not manifests:
        return head
    found = {manifest.backup_id: requests_of(manifest) for manifest in manifests}
    return replace(
        head,
        backups=tuple(
            replace(entry, requests=found.get(entry.backup_id, entry.requests))
            for entry in head.backups
        ),
    )
