"""A dated price list. Amounts are ``Decimal`` in its currency; a GB is 2**30 bytes, as billed."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from btrfs_to_s3.model.storage_class import Tier

GB_BYTES: Final = 1024**3
BUILT_IN: Final = "built in"
"""The origin of the list that comes with the program."""


@dataclass(frozen=True, slots=True)
class ThawPrice:
    """What thawing costs in one tier: per GB, and per 1000 requests."""

    retrieval_gb: Decimal
    requests_1000: Decimal


@dataclass(frozen=True, slots=True)
class ClassPrice:
    """What one storage class costs.

    ``retrieval_gb`` is paid for reading what can be read at once; ``thaw`` for asking for what
    cannot. ``monitoring_1000`` is paid per 1000 objects and month.
    """

    storage_gb_month: Decimal
    put_1000: Decimal
    get_1000: Decimal
    retrieval_gb: Decimal = Decimal(0)
    monitoring_1000: Decimal = Decimal(0)
    thaw: Mapping[Tier, ThawPrice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one service in one region at one date.

    ``origin`` says where the list was read from. Data that leaves the service costs ``egress_gb``
    after the first ``egress_free_gb`` of a month. LIST requests are paid as STANDARD's PUT.
    """

    service: str
    region: str
    currency: str
    date: date
    origin: str
    classes: Mapping[str, ClassPrice]
    egress_gb: Decimal
    egress_free_gb: Decimal

    def of_class(self, name: str) -> ClassPrice | None:
        """The prices of a storage class, None when the list does not have it."""
        return self.classes.get(name)

    def doubts(self, region: str | None, endpoint_url: str | None) -> tuple[str, ...]:
        """Why the list may not be what the service at hand asks; empty where nothing speaks for it.

        ``region`` is the client's, ``endpoint_url`` None for AWS. Of another service only the
        list that comes with the program is known to be wrong.
        """
        if endpoint_url is not None:
            if self.origin != BUILT_IN:
                return ()
            return (f"the repository is at {endpoint_url}, which may ask other prices",)
        if region is None or region == self.region:
            return ()
        return (f"the repository's region is {region}, which may ask other prices",)

    @property
    def name(self) -> str:
        """How a figure names the list it was made with."""
        return f"{self.service} {self.region}, {self.date.isoformat()}, {self.currency}"
