"""What a thaw takes and how far it is, as a JSON document and as text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import human, money
from btrfs_to_s3.cli.rendering.documents import seconds, time, time_or_none
from btrfs_to_s3.cli.rendering.text import facts, table
from btrfs_to_s3.plan.restore.thaw_state import READY, ThawState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.restore.thaw import Asked, ThawPlan, TierPlan
    from btrfs_to_s3.plan.restore.thaw_state import LinkThaw

_COUNTS = {
    ThawState.READABLE: "readable_count",
    ThawState.THAWED: "thawed_count",
    ThawState.THAWING: "thawing_count",
    ThawState.FROZEN: "frozen_count",
}


@dataclass(frozen=True, slots=True)
class ShownThaw:
    """A plan, what this machine asked for when, and the prices with what may be wrong of them."""

    plan: ThawPlan
    asked: Mapping[BackupId, Asked]
    prices: PriceList
    doubts: Sequence[str]


def document(shown: ShownThaw) -> Document:
    """The whole plan."""
    plan = shown.plan
    return {
        "ready": plan.ready,
        "expected_time": time_or_none(plan.expected),
        "tier": plan.tier.value,
        "object_count": plan.object_count,
        "stored_size_bytes": plan.stored_size_bytes,
        "peak_disk_bytes": plan.peak_disk_bytes,
        **{name: plan.count(state) for state, name in _COUNTS.items()},
        "frozen_size_bytes": plan.size_bytes(ThawState.FROZEN),
        "download_s": seconds(plan.download_time),
        "download_bytes_per_s": round(plan.rate.bytes_per_s),
        "download_rate_origin": plan.rate.origin,
        "tiers": [_tier(each) for each in plan.tiers],
        "prices": money.prices_of(shown.prices, shown.doubts),
        "links": [_link(link, shown.asked.get(link.backup_id)) for link in plan.links],
    }


def text(shown: ShownThaw) -> list[RenderableType]:
    """The plan: what is needed link by link, then what each tier means."""
    plan = shown.plan
    if not plan.links:
        return [facts([("needs", "nothing: all of it is on the target's filesystem already")])]
    rate = human.rate(plan.rate.bytes_per_s, 1)
    pairs = [
        ("needs", _needs(plan)),
        ("disk", f"{human.size(plan.peak_disk_bytes)} at most while it is received"),
        ("download", f"about {human.span(plan.download_time)} at {rate} ({plan.rate.origin})"),
        ("state", _state(plan)),
    ]
    prices = money.prices_text(shown.prices, shown.doubts)
    return [facts(pairs), _links(shown), _tiers(shown), prices]


def _state(plan: ThawPlan) -> str:
    if plan.ready:
        return "everything can be read now"
    if plan.expected is not None:
        return f"is being thawed, readable by {human.moment(plan.expected)} at the latest"
    frozen, thawing = plan.count(ThawState.FROZEN), plan.count(ThawState.THAWING)
    more = f", {thawing} are being thawed" if thawing else ""
    return f"{human.count(frozen, 'object')} must be asked for{more}"


def _links(shown: ShownThaw) -> RenderableType:
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
            _asked(shown.asked.get(link.backup_id)),
        )
        for link in shown.plan.links
    ]
    columns = (
        "BACKUP", "CLASS", "OBJECTS", "STORED", "FROZEN", "THAWING", "READABLE", "UNTIL", "ASKED",
    )  # fmt: skip
    return table(columns, rows, right=("OBJECTS", "STORED", "FROZEN", "THAWING", "READABLE"))


def _needs(plan: ThawPlan) -> str:
    backups = human.count(len(plan.links), "backup")
    objects = human.count(plan.object_count, "object")
    return f"{backups}, {objects}, {human.size(plan.stored_size_bytes)}"


def _asked(asked: Asked | None) -> str:
    return "-" if asked is None else f"{human.moment(asked.time)} ({asked.tier})"


def _tiers(shown: ShownThaw) -> RenderableType:
    rows = [
        (
            _name(each, shown.plan),
            _takes(each),
            "-" if each.tier is None else human.count(each.days, "day"),
            *_amounts(each, shown.prices.currency),
        )
        for each in shown.plan.tiers
    ]
    columns = (
        "TIER", "TAKES", "COPY KEPT", "REQUESTS", "RETRIEVAL", "COPY", "EGRESS", "TOGETHER",
    )  # fmt: skip
    return table(columns, rows, right=columns[2:])


def _name(each: TierPlan, plan: ThawPlan) -> str:
    if each.tier is None:
        return "-"
    return f"{each.tier} (chosen)" if each.tier is plan.tier else each.tier.value


def _takes(each: TierPlan) -> str:
    if not each.time.latest:
        return "-"
    latest = human.span(each.time.latest)
    if each.time.soonest == each.time.latest:
        return f"up to {latest}"
    return f"{human.span(each.time.soonest)} to {latest}"


def _amounts(each: TierPlan, currency: str) -> tuple[str, ...]:
    cost = each.cost
    if cost is None:
        return ("-",) * 5
    amounts = (cost.thaw_requests + cost.get_requests, cost.retrieval, cost.copy, cost.egress)
    return (
        *(money.shown(amount, currency) for amount in amounts),
        money.at_least(cost.total, currency, cost.unpriced),
    )


def _tier(each: TierPlan) -> Document:
    """Keys as ``cost`` has them."""
    return {
        "tier": None if each.tier is None else each.tier.value,
        "thaw_soonest_s": seconds(each.time.soonest),
        "thaw_latest_s": seconds(each.time.latest),
        "copy_kept_s": seconds(timedelta(days=each.days)),
        **({} if each.cost is None else money.read_amounts(each.cost)),
    }


def _link(link: LinkThaw, asked: Asked | None) -> Document:
    return {
        "backup_id": str(link.backup_id),
        "storage_classes": sorted({group.class_name for group in link.groups}),
        "ready": link.ready,
        "object_count": link.object_count,
        "stored_size_bytes": link.stored_size_bytes,
        "raw_size_bytes": link.raw_size_bytes,
        **{name: link.count(state) for state, name in _COUNTS.items()},
        "readable_until_time": time_or_none(link.until),
        "requested_time": None if asked is None else time(asked.time),
        "requested_tier": None if asked is None else asked.tier.value,
    }
