"""A price list of round amounts, so that a person can check the examples."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from btrfs_to_s3.model.prices import GB_BYTES, ClassPrice, PriceList, ThawPrice
from btrfs_to_s3.model.storage_class import Tier

GB = GB_BYTES

PRICES = PriceList(
    service="Example S3",
    region="here",
    currency="USD",
    date=date(2026, 11, 1),
    origin="the tests",
    classes={
        "STANDARD": ClassPrice(Decimal("0.03"), put_1000=Decimal(5), get_1000=Decimal("0.4")),
        "STANDARD_IA": ClassPrice(
            Decimal("0.012"),
            put_1000=Decimal(10),
            get_1000=Decimal(1),
            retrieval_gb=Decimal("0.01"),
        ),
        "INTELLIGENT_TIERING": ClassPrice(
            Decimal("0.03"),
            put_1000=Decimal(5),
            get_1000=Decimal("0.4"),
            monitoring_1000=Decimal("2.5"),
        ),
        "GLACIER": ClassPrice(
            Decimal("0.006"),
            put_1000=Decimal(30),
            get_1000=Decimal("0.4"),
            thaw={
                Tier.EXPEDITED: ThawPrice(Decimal("0.03"), Decimal(10)),
                Tier.STANDARD: ThawPrice(Decimal("0.01"), Decimal("0.05")),
                Tier.BULK: ThawPrice(Decimal(0), Decimal(0)),
            },
        ),
        "DEEP_ARCHIVE": ClassPrice(
            Decimal("0.001"),
            put_1000=Decimal(50),
            get_1000=Decimal("0.4"),
            thaw={
                Tier.STANDARD: ThawPrice(Decimal("0.02"), Decimal("0.1")),
                Tier.BULK: ThawPrice(Decimal("0.0025"), Decimal("0.025")),
            },
        ),
    },
    egress_gb=Decimal("0.09"),
    egress_free_gb=Decimal(100),
)
