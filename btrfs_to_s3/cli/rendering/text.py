"""The results of every command as text: tables and short blocks of facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from btrfs_to_s3.cli.rendering import human
from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.plan.backup.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.operations.backup.backup import BackupResult
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.operations.prune.holds import Hold, HoldChange, HoldListing
    from btrfs_to_s3.operations.repository.listing import Listing, ShownBackup
    from btrfs_to_s3.operations.restore.restore import RestoreResult
    from btrfs_to_s3.plan.backup.backup import BackupPlan
    from btrfs_to_s3.plan.restore.restore import RestorePlan

_INDENT = 2
_LONG_TABLE = 500
"""Rows from which on a table is set without rich."""
_REQUEST_KINDS = ("put", "get", "list", "head", "delete", "thaw")


def line(text: str, style: str = "") -> Text:
    """A line of text, safe for a terminal."""
    return Text(human.printable(text), style=style)


def kind(which: Kind) -> str:
    """``full`` or ``incremental``."""
    return "full" if which is Kind.FULL else "incremental"


def facts(pairs: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and values below a heading."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, line(value))
    return Padding.indent(grid, _INDENT)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()
) -> RenderableType:
    """A table without rules; ``right`` names the columns of numbers."""
    printable = [[human.printable(cell) for cell in row] for row in rows]
    if len(printable) > _LONG_TABLE:
        return _long_table(columns, printable, right)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in printable:
        made.add_row(*map(Text, row))
    return made


def _long_table(columns: Sequence[str], rows: Iterable[list[str]], right: Sequence[str]) -> str:
    """The same columns without rich, which takes a millisecond for each row."""
    by_column = zip(*[list(columns), *rows], strict=True)
    padded = [_padded(cells, to_the_right=cells[0] in right) for cells in by_column]
    return "\n".join(map("  ".join, zip(*padded, strict=True)))


def _padded(cells: Sequence[str], *, to_the_right: bool) -> list[str]:
    """Cells of one width on a terminal."""
    lengths = [len(cell) if cell.isascii() else cell_len(cell) for cell in cells]
    width = max(lengths)
    gaps = (" " * (width - length) for length in lengths)
    if to_the_right:
        return [gap + cell for cell, gap in zip(cells, gaps, strict=True)]
    return [cell + gap for cell, gap in zip(cells, gaps, strict=True)]


def requests(counts: Mapping[str, int]) -> str:
    """``12 put, 3 get``."""
    named = [f"{counts[name]} {name}" for name in _REQUEST_KINDS if counts.get(name)]
    return ", ".join(named) or "none"


def of_outcomes(
    outcomes: Sequence[SourceOutcome],
    not_attempted: Sequence[str],
    peak_bytes: int | None,
    *,
    dry_run: bool,
) -> list[RenderableType]:
    """What became, or would become, of each source. Errors are told elsewhere."""
    parts: list[RenderableType] = []
    for outcome in outcomes:
        if outcome.plan is None or outcome.error is not None:
            continue
        if outcome.result is not None:
            parts += _done(outcome, outcome.plan, outcome.result)
        else:
            parts += _planned(outcome, outcome.plan, dry_run=dry_run)
    if peak_bytes is not None and any(outcome.result is not None for outcome in outcomes):
        parts.append(line(f"memory used: {human.size(peak_bytes)} at most"))
    if not_attempted:
        parts.append(line(f"not attempted: {', '.join(not_attempted)}", "bold"))
    return parts


def _done(outcome: SourceOutcome, plan: BackupPlan, result: BackupResult) -> list[RenderableType]:
    resumed = ", resumed" if result.resumed else ""
    raw, stored = result.raw_size_bytes, result.stored_size_bytes
    took_s = result.duration.total_seconds()
    pairs = [("because", reason) for reason in plan.reasons]
    pairs += [
        ("backup", f"{result.source_id}@{result.backup_id}"),
        ("read", f"{human.size(raw)} in {human.count(result.chunk_count, 'chunk')}"),
        ("stored", f"{human.size(stored)} (ratio {human.ratio(raw, stored)})"),
    ]
    if result.resumed:
        pairs.append(("not sent again", human.size(result.reused_bytes)))
    pairs += [
        ("took", f"{human.span(result.duration)} ({human.rate(raw, took_s)})"),
        ("requests", requests(result.requests)),
    ]
    if outcome.pruned_local:
        pairs.append(("local", f"deleted {', '.join(outcome.pruned_local)}"))
    heading = f"{outcome.label}: {kind(result.kind)} backup done{resumed}"
    return [line(heading, "bold"), facts(pairs)]


def _planned(outcome: SourceOutcome, plan: BackupPlan, *, dry_run: bool) -> list[RenderableType]:
    would = "would be " if dry_run else ""
    match plan.decision:
        case Decision.SKIP:
            heading = "nothing to do"
        case Decision.REFUSE:
            heading = "cannot be backed up"
        case Decision.RESUME:
            heading = f"the interrupted backup {would}continued"
        case _:
            heading = f"{plan.decision} backup {would}made"
    pairs = [("because", reason) for reason in plan.reasons]
    if plan.estimate_bytes is not None:
        pairs.append(("about", f"{human.size(plan.estimate_bytes)} to read"))
    elif plan.decision in (Decision.FULL, Decision.INCREMENTAL, Decision.RESUME):
        pairs.append(("about", "size not known: no earlier backup of this kind"))
    return [line(f"{outcome.label}: {heading}", "bold"), facts(pairs)]


def of_listing(listing: Listing, held: Collection[BackupId] | None = None) -> list[RenderableType]:
    """A line for each backup, oldest first; ``held`` is None where nobody looked."""
    rows = [
        (
            head.host_name,
            head.source_id.label,
            human.moment(entry.snapshot_time),
            kind(entry.kind),
            human.size(entry.raw_size_bytes),
            human.size(entry.stored_size_bytes),
            entry.data_class,
            str(entry.backup_id) + (" (held)" if entry.backup_id in (held or ()) else ""),
        )
        for head in listing.heads
        for entry in sorted(head.backups, key=lambda entry: entry.sequence)
    ]
    if not rows:
        return [] if listing.unreadable else [line("no backups yet")]
    columns = ("HOST", "SOURCE", "TAKEN", "KIND", "READ", "STORED", "CLASS", "BACKUP")
    parts: list[RenderableType] = [table(columns, rows, right=("READ", "STORED"))]
    if len({head.source_id.label for head in listing.heads}) != len(listing.heads):
        ids = [
            (str(head.source_id), f"{head.host_name}/{head.source_id.label}")
            for head in listing.heads
        ]
        parts += [line(""), table(("SOURCE ID", "IS"), ids)]
    return parts


def of_shown(shown: ShownBackup, hold: Hold | None = None) -> list[RenderableType]:
    """One backup in full."""
    head, entry, manifest = shown.head, shown.entry, shown.manifest
    raw, stored = entry.raw_size_bytes, entry.stored_size_bytes
    compressed = ", compressed data passed through" if manifest.compressed_data else ""
    took = human.span(manifest.finished - manifest.started)
    chunk_size = human.size(manifest.chunk_size_bytes)
    programs = f"{manifest.program}, kernel {manifest.kernel}, btrfs-progs {manifest.progs}"
    pairs = [
        ("source", f"{head.host_name}/{head.source_id.label} ({head.source_id})"),
        ("kind", kind(entry.kind) + (f", built on {entry.parent}" if entry.parent else "")),
        ("snapshot", manifest.snapshot.name or "(hidden)"),
        ("taken", human.moment(entry.snapshot_time)),
        ("snapshot uuid", str(entry.snapshot_uuid)),
        ("stream uuid", f"{entry.stream.uuid} at transid {entry.stream.transid}"),
        ("stream", f"protocol {manifest.protocol}{compressed}"),
        ("read", human.size(raw)),
        ("stored", f"{human.size(stored)} (ratio {human.ratio(raw, stored)}), {entry.data_class}"),
        ("chunks", f"{entry.chunk_count}, each of up to {chunk_size} raw"),
        ("finished", f"{human.moment(manifest.finished)}, after {took}"),
        ("requests", requests(manifest.requests)),
        ("made by", programs),
        ("restore needs", _chain(shown.chain)),
    ]
    if hold is not None:
        pairs.append(("held", f"since {human.moment(hold.since)}{_because(hold)}"))
    if manifest.origin_repository_id is not None:
        pairs.append(("copied", f"first made in repository {manifest.origin_repository_id}"))
    return [line(f"{head.source_id}@{entry.backup_id}", "bold"), facts(pairs)]


def _chain(chain: Sequence[HeadEntry]) -> str:
    raw = sum(entry.raw_size_bytes for entry in chain)
    stored = sum(entry.stored_size_bytes for entry in chain)
    links = human.count(len(chain), "backup")
    return f"{links}, {human.size(stored)} to download ({human.size(raw)} to receive)"


def of_holds(listing: HoldListing) -> list[RenderableType]:
    """A line for each held backup."""
    rows = [
        (str(each.source_id), str(each.backup_id), human.moment(each.since), each.reason or "-")
        for each in listing.holds
    ]
    if not rows:
        return [] if listing.listing.unreadable else [line("no backup is held")]
    return [table(("SOURCE", "BACKUP", "HELD SINCE", "REASON"), rows)]


def of_hold_change(change: HoldChange, *, held: bool) -> list[RenderableType]:
    """What a hold or its removal left."""
    name = f"{change.source_id}@{change.entry.backup_id}"
    if not held:
        return [line(f"{name} is not held any more")]
    since = "" if change.changed else f" already, since {human.moment(change.time)}"
    return [line(f"{name} is held{since}: no prune removes it, nor what it is built on")]


def _because(hold: Hold) -> str:
    return "" if hold.reason is None else f": {hold.reason}"


def of_restore(
    result: RestoreResult, counts: Mapping[str, int], peak_bytes: int | None
) -> list[RenderableType]:
    """What a restore left and did."""
    raw, stored = result.raw_size_bytes, result.stored_size_bytes
    pairs = [("snapshot", f"{result.snapshot} (read-only)")]
    if result.writable is not None:
        pairs.append(("writable", str(result.writable)))
    if result.received:
        pairs += [
            ("received", ", ".join(str(backup_id) for backup_id in result.received)),
            ("downloaded", f"{human.size(stored)} ({human.size(raw)} received)"),
        ]
    else:
        pairs.append(("received", "nothing: the snapshot was there already"))
    took_s = result.duration.total_seconds()
    speed = f" ({human.rate(raw, took_s)})" if result.received else ""
    pairs += [("took", human.span(result.duration) + speed), ("requests", requests(counts))]
    if result.compared is not None:
        entries = human.count(result.compared.entries, "entry", "entries")
        read = human.count(result.compared.contents, "file")
        pairs.append(("compared", f"{entries} with the source's snapshot, {read} read: the same"))
    if peak_bytes is not None:
        pairs.append(("memory", f"{human.size(peak_bytes)} at most"))
    return [line(f"restored {result.source_id}@{result.backup_id}", "bold"), facts(pairs)]


def of_restore_plan(
    head: Head, entry: HeadEntry, directory: str, plan: RestorePlan
) -> list[RenderableType]:
    """What a restore would do, link by link."""
    rows = [
        (
            str(link.entry.backup_id),
            link.action.value,
            human.size(link.entry.stored_size_bytes),
            link.reason + (f" ({link.local.path})" if link.local is not None else ""),
        )
        for link in plan.links
    ]
    total = (
        f"{human.size(plan.stored_size_bytes)} to download, "
        f"{human.size(plan.raw_size_bytes)} to receive"
    )
    return [
        line(f"{head.source_id}@{entry.backup_id} would be restored into {directory}", "bold"),
        table(("BACKUP", "ACTION", "STORED", "WHY"), rows, right=("STORED",)),
        line(total),
    ]
