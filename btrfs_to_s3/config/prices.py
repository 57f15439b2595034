"""Price lists: the one that comes with the program, or a file of the same form."""

from __future__ import annotations

import tomllib
from datetime import date
from decimal import Decimal
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.config.values import shown
from btrfs_to_s3.errors import ConfigError
from btrfs_to_s3.model.prices import BUILT_IN, ClassPrice, PriceList, ThawPrice
from btrfs_to_s3.model.storage_class import Tier

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_PACKAGED: Final = "prices.toml"
_LIST_KEYS: Final = (
    "service",
    "region",
    "currency",
    "date",
    "egress_gb",
    "egress_free_gb",
    "classes",
)
_CLASS_KEYS: Final = (
    "storage_gb_month",
    "put_1000",
    "get_1000",
    "retrieval_gb",
    "monitoring_1000",
    "thaw",
)
_THAW_KEYS: Final = ("retrieval_gb", "requests_1000")
_ABSENT: Final = object()


def load_prices(file: Path | None) -> PriceList:
    """The price list in ``file``, or the program's own.

    ``ConfigError`` names the file and the entry that cannot be used.
    """
    if file is None:
        return read_prices(files(__package__).joinpath(_PACKAGED).read_text("utf-8"), BUILT_IN)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prices: {file} cannot be read: {error}") from error
    return read_prices(text, str(file))


def read_prices(text: str, origin: str) -> PriceList:
    """A price list from TOML; amounts keep their decimal digits."""
    try:
        table = _Table(tomllib.loads(text, parse_float=Decimal), origin, "")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: is not TOML: {error}") from error
    table.require_known(_LIST_KEYS)
    classes = table.table("classes")
    return PriceList(
        service=table.text("service"),
        region=table.text("region"),
        currency=table.text("currency"),
        date=table.date("date"),
        origin=origin,
        classes={name: _class_price(classes.table(name)) for name in classes.names},
        egress_gb=table.amount("egress_gb"),
        egress_free_gb=table.amount("egress_free_gb"),
    )


def _class_price(table: _Table) -> ClassPrice:
    table.require_known(_CLASS_KEYS)
    nothing = Decimal(0)
    return ClassPrice(
        storage_gb_month=table.amount("storage_gb_month"),
        put_1000=table.amount("put_1000"),
        get_1000=table.amount("get_1000"),
        retrieval_gb=table.amount("retrieval_gb", nothing),
        monitoring_1000=table.amount("monitoring_1000", nothing),
        thaw=_thaw_prices(table.table("thaw")) if "thaw" in table.names else {},
    )


def _thaw_prices(table: _Table) -> dict[Tier, ThawPrice]:
    table.require_known(tuple(Tier))
    prices: dict[Tier, ThawPrice] = {}
    for name in table.names:
        tier = table.table(name)
        tier.require_known(_THAW_KEYS)
        prices[Tier(name)] = ThawPrice(tier.amount("retrieval_gb"), tier.amount("requests_1000"))
    return prices


class _Table:
    """A table of the file that knows its place, for messages."""

    def __init__(self, values: dict[str, object], origin: str, place: str) -> None:
        self._values = values
        self._origin = origin
        self._place = place

    @property
    def names(self) -> Collection[str]:
        """The keys that stand here."""
        return self._values.keys()

    def require_known(self, known: Collection[str]) -> None:
        """Refuse a key that means nothing: a mistyped price must not count as none."""
        for name in self._values:
            if name not in known:
                raise self._error(name, f"no such entry; known are {', '.join(known)}")

    def text(self, name: str) -> str:
        """A piece of text that is not empty."""
        found = self._values.get(name)
        if not isinstance(found, str) or not found.strip():
            raise self._error(name, f"found {shown(found)}; allowed: text")
        return found

    def date(self, name: str) -> date:
        """A day."""
        found = self._values.get(name)
        if type(found) is not date:
            raise self._error(name, f"found {shown(found)}; allowed: a date such as 2026-11-01")
        return found

    def amount(self, name: str, default: object = _ABSENT) -> Decimal:
        """An amount of money, not negative."""
        found = self._values.get(name, default)
        if isinstance(found, int) and not isinstance(found, bool):
            found = Decimal(found)
        if not isinstance(found, Decimal) or not found.is_finite() or found < 0:
            what = "nothing" if found is _ABSENT else shown(found)
            raise self._error(name, f"found {what}; allowed: an amount, 0 or more")
        return found

    def table(self, name: str) -> _Table:
        """A table inside this one."""
        found = self._values.get(name)
        if not isinstance(found, dict):
            raise self._error(name, f"found {shown(found)}; allowed: a table")
        return _Table(found, self._origin, self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _error(self, name: str, what: str) -> ConfigError:
        return ConfigError(
            f"{self._origin}: {self._path(name)}: {what}",
            hint="docs/cost.md describes price files",
        )
