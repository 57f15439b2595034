"""What the repository costs: read from heads and the manifests of the last month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.operations.repository.listing import list_backups
from btrfs_to_s3.operations.repository.manifests import read_manifests
from btrfs_to_s3.plan.cost.report import CostReport, recent, source_cost

if TYPE_CHECKING:
    from btrfs_to_s3.errors import BtrfsToS3Error
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

    Reads heads and recent manifests only; whatever makes the repository unusable is raised.
    """
    listing = list_backups(services, source)
    errors: list[tuple[SourceId, BtrfsToS3Error]] = [
        (each.source_id, each.error) for each in listing.unreadable
    ]
    costs: list[SourceCost] = []
    now = services.clock()
    for head in listing.heads:
        read = read_manifests(services, head.source_id, recent(head, now), workers)
        errors += [(head.source_id, error) for error in read.errors]
        try:
            costs.append(source_cost(prices, head, read.manifests, line, now))
        except IntegrityError as error:
            errors.append((head.source_id, error))
    return RepositoryCost(CostReport(tuple(costs)), tuple(errors))
