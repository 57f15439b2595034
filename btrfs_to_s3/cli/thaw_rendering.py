"""What a thaw takes and how far it is, as a JSON document and as text."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from btrfs_to_s3.cli import human
from btrfs_to_s3.cli.documents import seconds, time
from btrfs_to_s3.cli.text import facts, line, table
from btrfs_to_s3.plan.thaw_state import READY, ThawState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from btrfs_to_s3.cli.documents import Document
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost import ReadCost
    from btrfs_to_s3.plan.thaw import Asked, ThawPlan, TierPlan
    from btrfs_to_s3.plan.thaw_state import LinkThaw

_COUNTS = {
    ThawState.READABLE: "readable_count",
    ThawState.THAWED: "thawed_count",
    ThawState.THAWING: "thawing_count",
    ThawState.FROZEN: "frozen_count",
}


def document(plan: ThawPlan, asked: Mapping[BackupId, Asked], prices: PriceList | None) -> Document:
    """The whole plan."""
    return {
        "ready": plan.ready,
        "expected_time": None if plan.expected is None else time(plan.expected),
        "tier": plan.chosen.tier.value,
        "copy_days_count": plan.chosen.days,
        "object_count": plan.object_count,
        "stored_size_bytes": plan.stored_size_bytes,
        "peak_disk_bytes": plan.peak_disk_bytes,
        **{name: plan.count(state) for state, name in _COUNTS.items()},
        "frozen_size_bytes": plan.size_bytes(ThawState.FROZEN),
        "download_s": seconds(plan.download_time),
        "download_bytes_per_s": round(plan.rate.bytes_per_s),
        "download_rate_is": plan.rate.origin,
        "tiers": [_tier(each) for each in plan.tiers],
        "prices": None if prices is None else _prices(prices),
        "links": [_link(link, asked.get(link.backup_id)) for link in plan.links],
    }


def text(
    plan: ThawPlan, asked: Mapping[BackupId, Asked], prices: PriceList | None
) -> list[RenderableType]:
    """The plan: what is needed link by link, then what each tier means."""
    frozen = plan.count(ThawState.FROZEN)
    pairs = [
        ("needs", _needs(plan)),
        ("disk", f"{human.size(plan.peak_disk_bytes)} at most while it is received"),
        (
            "download",
            (
                f"about {human.span(plan.download_time)} at "
                f"{human.size(plan.rate.bytes_per_s)}/s ({plan.rate.origin})"
            ),
        ),
    ]
    if plan.ready:
        pairs.append(("state", "everything can be read now"))
    elif plan.expected is not None:
        pairs.append(("expected", f"readable by {human.moment(plan.expected)} at the latest"))
    else:
        asked_for = human.count(frozen, "object")
        pairs.append(("state", f"{asked_for} must be thawed; nothing was asked for yet"))
    parts: list[RenderableType] = [facts(pairs), line(""), links_text(plan, asked)]
    if plan.tiers:
        parts += [line(""), _tiers_text(plan)]
    if prices is not None:
        parts.append(line(f"prices: {prices.name} ({prices.origin})"))
    unpriced = set[str]().union(*(each.cost.unpriced for each in plan.tiers if each.cost))
    if unpriced:
        parts.append(line(f"not in the price list, so not counted: {', '.join(sorted(unpriced))}"))
    return parts


def links_text(plan: ThawPlan, asked: Mapping[BackupId, Asked]) -> RenderableType:
    """How far each backup is."""
    rows = [
        (
            str(link.backup_id),
            ", ".join(sorted({group.class_name for group in link.groups})),
            str(link.object_count),
            human.size(link.stored_size_bytes),
            str(link.count(ThawState.FROZEN)),
            str(link.count(ThawState.THAWING)),
            str(link.count(*READY)),
            "-" if link.until is None else human.moment(link.until),
            _asked_text(asked.get(link.backup_id)),
        )
        for link in plan.links
    ]
    columns = (
        "BACKUP", "CLASS", "OBJECTS", "STORED", "FROZEN", "THAWING", "READABLE", "UNTIL", "ASKED",
    )  # fmt: skip
    return table(columns, rows, right=("OBJECTS", "STORED", "FROZEN", "THAWING", "READABLE"))


def _needs(plan: ThawPlan) -> str:
    backups = human.count(len(plan.links), "backup")
    objects = human.count(plan.object_count, "object")
    return f"{backups}, {objects}, {human.size(plan.stored_size_bytes)}"


def _asked_text(asked: Asked | None) -> str:
    return "-" if asked is None else f"{human.moment(asked.time)} ({asked.tier})"


def _tiers_text(plan: ThawPlan) -> RenderableType:
    rows = [
        (
            each.tier.value + (" (chosen)" if each.tier is plan.chosen.tier else ""),
            _hours(each),
            str(each.days),
            *_amounts(each.cost),
        )
        for each in plan.tiers
    ]
    columns = (
        "TIER", "TAKES", "DAYS", "REQUESTS", "RETRIEVAL", "COPY", "GET", "EGRESS", "TOTAL",
    )  # fmt: skip
    return table(columns, rows, right=columns[2:])


def _hours(each: TierPlan) -> str:
    if not each.time.latest:
        return "-"
    latest = human.span(each.time.latest)
    if each.time.soonest == each.time.latest:
        return f"up to {latest}"
    return f"{human.span(each.time.soonest)} to {latest}"


def _amounts(cost: ReadCost | None) -> tuple[str, ...]:
    if cost is None:
        return ("-",) * 6
    amounts = (cost.thaw_requests, cost.retrieval, cost.copy, cost.get_requests, cost.egress)
    return tuple(f"{amount:.2f}" for amount in (*amounts, cost.total))


def _tier(each: TierPlan) -> Document:
    return {
        "tier": each.tier.value,
        "soonest_s": seconds(each.time.soonest),
        "latest_s": seconds(each.time.latest),
        "copy_days_count": each.days,
        "cost": None if each.cost is None else _cost(each.cost),
    }


def _cost(cost: ReadCost) -> Document:
    names = [each.name for each in fields(cost) if each.name != "unpriced"]
    amounts = {f"{name}_amount": float(round(getattr(cost, name), 6)) for name in names}
    return {
        **amounts,
        "total_amount": float(round(cost.total, 6)),
        "unpriced": sorted(cost.unpriced),
    }


def _prices(prices: PriceList) -> Document:
    return {
        "service": prices.service,
        "region": prices.region,
        "currency": prices.currency,
        "date": prices.date.isoformat(),
        "origin": prices.origin,
    }


def _link(link: LinkThaw, asked: Asked | None) -> Document:
    return {
        "backup_id": str(link.backup_id),
        "storage_classes": sorted({group.class_name for group in link.groups}),
        "object_count": link.object_count,
        "stored_size_bytes": link.stored_size_bytes,
        "raw_size_bytes": link.raw_size_bytes,
        "ready": link.ready,
        **{name: link.count(state) for state, name in _COUNTS.items()},
        "readable_until_time": None if link.until is None else time(link.until),
        "requested_time": None if asked is None else time(asked.time),
        "requested_tier": None if asked is None else asked.tier.value,
    }
