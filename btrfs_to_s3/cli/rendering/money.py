"""Amounts of money as people and programs read them, with the prices they were made with."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering.text import facts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.cost import ReadCost

_CENT = Decimal("0.01")
_SMALLEST = Decimal("0.0001")
_DIGITS = 6


def amount(value: Decimal) -> float:
    """A number for JSON, to a millionth of the currency."""
    return float(round(value, _DIGITS))


def read_amounts(cost: ReadCost) -> Document:
    """What reading costs, by what it is paid for."""
    return {
        "thaw_requests_amount": amount(cost.thaw_requests),
        "retrieval_amount": amount(cost.retrieval),
        "copy_amount": amount(cost.copy),
        "get_requests_amount": amount(cost.get_requests),
        "egress_amount": amount(cost.egress),
        "total_amount": amount(cost.total),
        "unpriced": sorted(cost.unpriced),
    }


def shown(value: Decimal, currency: str) -> str:
    """``12.30 USD``; what is less than a whole with four digits, ``0.0041 USD``."""
    if not value:
        return f"0 {currency}"
    if abs(value) >= 1:
        return f"{value.quantize(_CENT, ROUND_HALF_UP)} {currency}"
    if abs(value) < _SMALLEST:
        return f"less than {_SMALLEST} {currency}"
    return f"{value.quantize(_SMALLEST, ROUND_HALF_UP)} {currency}"


def at_least(value: Decimal, currency: str, unpriced: Collection[str], what: str = "") -> str:
    """An amount and what it is; one that lacks a price says so instead of looking cheap."""
    amount_text = f"{shown(value, currency)} {what}".rstrip()
    if not unpriced:
        return amount_text
    return f"{amount_text}, and no price for {', '.join(sorted(unpriced))}"


def prices_of(prices: PriceList, doubts: Sequence[str]) -> Document:
    """The list that amounts were made with, and why it may be wrong here."""
    return {
        "service": prices.service,
        "region": prices.region,
        "currency": prices.currency,
        "date": prices.date.isoformat(),
        "origin": prices.origin,
        "doubts": list(doubts),
    }


def prices_text(prices: PriceList, doubts: Sequence[str]) -> RenderableType:
    """The same for people."""
    pairs = [("prices", f"{prices.name} ({prices.origin})")]
    return facts([*pairs, *(("but", doubt) for doubt in doubts)])
