"""``[HOST/]SOURCE[@WHEN[:PATH]]``: naming a source, a backup of it and a path inside it.

SOURCE is a label or a source id. WHEN is ``latest``, a backup id or the unique beginning of one,
or a date or time: the newest snapshot not after it. A date stands for its whole day and a minute
for its whole minute, so what ``list`` shows can be typed as it is shown; times are UTC unless
they end in an offset. After ``@`` WHEN holds no colon: the first one starts PATH.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry

LATEST = "latest"
_FORMS = "latest, a date (2026-11-20), a time (20261120T0200Z) or a backup id"
_SHOWN = 10
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HOST = re.compile(r"[^\s/@:]+")
_ID_BEGINNING = re.compile(r"[0-9][0-9A-Za-z-]*")
_CLOCK = ("hour", "minute", "second")
_TIME = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"(?:[T ](?P<hour>[0-9]{2}):?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2}))?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):?(?P<zone_minute>[0-9]{2}))?)?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """What the person named. ``host`` and ``path`` are None when they were not given."""

    source: str
    host: str | None = None
    when: str = LATEST
    path: str | None = None

    def __str__(self) -> str:
        host = f"{self.host}/" if self.host else ""
        path = f":{self.path}" if self.path is not None else ""
        return f"{host}{self.source}@{self.when}{path}"


def parse_address(text: str) -> Address:
    """Take ``[HOST/]SOURCE[@WHEN[:PATH]]`` apart; ``UsageError`` when it is not of that form."""
    named, has_when, rest = text.partition("@")
    when, has_path, path = rest.partition(":")
    host, has_host, source = named.rpartition("/")
    if has_host and not _HOST.fullmatch(host):
        raise UsageError(f"{text!r} names no host before its '/'", hint=_how(text))
    if not _NAME.fullmatch(source):
        raise UsageError(f"{text!r} names no source", hint=_how(text))
    if has_path and not path:
        raise UsageError(f"{text!r} names no path after ':'", hint=_how(text))
    if has_when and not _is_when(when):
        raise UsageError(f"{when!r} is not a point in time", hint=f"write {_FORMS} after '@'")
    return Address(
        source=source,
        host=host if has_host else None,
        when=when if has_when else LATEST,
        path=path if has_path else None,
    )


def resolve_source(heads: Iterable[Head], address: Address, this_host: str) -> Head:
    """The head of the source the address names.

    A source id is exact. A label means this host's source of that name where there is one, else
    the only other host's. ``UsageError`` lists the candidates, or all sources when none fits.
    """
    every = sorted(heads, key=lambda head: head.source_id)
    hosted = [head for head in every if address.host in (None, head.host_name)]
    exact = [head for head in hosted if str(head.source_id) == address.source]
    if exact:
        return exact[0]
    named = [head for head in hosted if head.source_id.label == address.source]
    here = [head for head in named if head.host_name == this_host]
    for candidates in (named, here):
        if len(candidates) == 1:
            return candidates[0]
    wanted = f"{address.host}/{address.source}" if address.host else address.source
    if not named:
        raise UsageError(
            f"the repository has no source {wanted!r}",
            hint=f"it has {_sources(every)}" if every else "it has no backups yet",
        )
    raise UsageError(
        f"{wanted!r} is more than one source",
        hint=f"name one by its host or its id: {_sources(here or named)}",
    )


def select(head: Head, when: str) -> HeadEntry:
    """The live backup that WHEN means; ``UsageError`` lists what there is when none fits."""
    if head.newest is None:
        raise UsageError(f"source {head.source_id} has no live backup")
    if when == LATEST:
        return head.newest
    by_id = [entry for entry in head.backups if str(entry.backup_id) == when]
    if by_id:
        return by_id[0]
    before = _end_of(when)
    if before is not None:
        return _newest_before(head, when, before)
    begun = [entry for entry in head.backups if when and str(entry.backup_id).startswith(when)]
    if len(begun) == 1:
        return begun[0]
    what = "is the beginning of more than one backup id" if begun else "is no backup"
    raise UsageError(
        f"{when!r} {what} of source {head.source_id}",
        hint=f"write {_FORMS}; there are {_backups(begun or head.backups)}",
    )


def _newest_before(head: Head, when: str, before: datetime) -> HeadEntry:
    found = [entry for entry in head.backups if entry.snapshot_time < before]
    if not found:
        raise UsageError(
            f"source {head.source_id} has no backup from {when} or earlier",
            hint=f"there are {_backups(head.backups)}",
        )
    return max(found, key=lambda entry: (entry.snapshot_time, entry.sequence))


def _is_when(when: str) -> bool:
    return (
        when == LATEST or _ID_BEGINNING.fullmatch(when) is not None or bool(_TIME.fullmatch(when))
    )


def _end_of(when: str) -> datetime | None:
    """The first instant after the day, minute or second that ``when`` names; None: not a time."""
    match = _TIME.fullmatch(when)
    if match is None:
        return None
    parts = match.groupdict()
    date = "{year}-{month}-{day}".format_map(parts)
    time = "{:0>2}:{:0>2}:{:0>2}".format(*(parts[name] or "" for name in _CLOCK))
    zone = "{sign}{zone_hour}:{zone_minute}".format_map(parts) if parts["sign"] else "+00:00"
    try:
        start = datetime.fromisoformat(f"{date}T{time}{zone}")
    except ValueError as error:
        raise UsageError(
            f"{when!r} is not a date or time: {error}", hint=f"write {_FORMS}"
        ) from error
    length = timedelta(minutes=1) if parts["hour"] else timedelta(days=1)
    try:
        return (start + (timedelta(seconds=1) if parts["second"] else length)).astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _how(text: str) -> str:
    if ":" in text and "@" not in text:
        return "write SOURCE@latest:PATH to name a path"
    return "write [HOST/]SOURCE[@WHEN[:PATH]], for example data@2026-11-20:etc/fstab"


def _sources(heads: Sequence[Head]) -> str:
    named = [f"{head.host_name}/{head.source_id.label} ({head.source_id})" for head in heads]
    return _listed(named)


def _backups(entries: Sequence[HeadEntry]) -> str:
    newest_first = sorted(entries, key=lambda entry: entry.sequence, reverse=True)
    return _listed([str(entry.backup_id) for entry in newest_first])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
