"""The options of commands that thaw, and the job they make."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.operations.thaw.thaw import ThawJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.wiring.application import Application

F = TypeVar("F", bound="Callable[..., object]")
_MOST_DAYS = 3650


class ThawWishes(TypedDict):
    """What these options give."""

    tier: str | None
    days: int | None
    budget: Decimal | None


def amount(text: str) -> Decimal:
    """An amount of money, 0 or more; a usage error otherwise."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0:
        raise click.BadParameter(f"{text!r} is no amount of money such as 12.50")
    return found


def thaw_options(function: F) -> F:
    """Give a command function ``--tier``, ``--days`` and ``--budget``."""
    options = (
        click.option(
            "--tier",
            type=click.Choice([tier.value for tier in Tier]),
            help="How fast archived data is thawed, and at what price. "
            "[default: that of the thaw under way, else standard]",
        ),
        click.option(
            "--days",
            type=click.IntRange(1, _MOST_DAYS),
            metavar="N",
            help="How many days the thawed copies are kept. "
            "[default: as many as the download needs, with a margin]",
        ),
        click.option(
            "--budget",
            type=amount,
            metavar="AMOUNT",
            help="The most that thaw and download may cost by the price list; else nothing is "
            "asked for. [default: no limit]",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def thaw_job(app: Application, wishes: ThawWishes) -> ThawJob:
    """The wishes with what they are reckoned with."""
    config, tier = app.config, wishes["tier"]
    return ThawJob(
        tier=None if tier is None else Tier(tier),
        days=wishes["days"],
        budget=wishes["budget"],
        prices=app.prices,
        poll=config.thaw_poll,
        part_size_bytes=config.part_size_bytes,
        bandwidth_bytes_per_s=config.bandwidth_bytes_per_s,
    )
