"""What a copy would do, or did: as JSON and as text. ``urls`` are the origin's and the target's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import documents, human
from btrfs_to_s3.cli.rendering.text import facts, line, requests, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.operations.copy.copy import CopyResult
    from btrfs_to_s3.plan.copying import CopyPlan


def of_plan(urls: tuple[str, str], head: Head, entry: HeadEntry, plan: CopyPlan) -> Document:
    """What would be copied."""
    return _planned(urls, head, entry, plan, dry_run=True) | {"result": None}


def of_result(
    urls: tuple[str, str], head: Head, entry: HeadEntry, plan: CopyPlan, result: CopyResult
) -> Document:
    """What was copied."""
    return _planned(urls, head, entry, plan, dry_run=False) | {
        "result": {
            "backup_id": str(result.backup_id),
            "copied": [str(backup_id) for backup_id in result.copied],
            "stored_size_bytes": result.stored_size_bytes,
            "reused_chunk_count": result.reused_chunks,
            "server_side": result.inside,
            "requests": dict(result.requests),
            "duration_s": documents.seconds(result.duration),
        },
    }


def _planned(
    urls: tuple[str, str], head: Head, entry: HeadEntry, plan: CopyPlan, *, dry_run: bool
) -> Document:
    return {
        "repository": urls[0],
        "target": urls[1],
        "dry_run": dry_run,
        "source_id": str(head.source_id),
        "target_source_id": str(plan.source_id),
        "backup_id": str(entry.backup_id),
        "links": [
            {
                "backup_id": str(link.entry.backup_id),
                "action": "copy" if link.present is None else "none",
                "present_as": None if link.present is None else str(link.present.backup_id),
                "chunk_count": link.entry.chunk_count,
                "stored_size_bytes": link.entry.stored_size_bytes,
            }
            for link in plan.links
        ],
        "backup_count": len(plan.missing),
        "object_count": plan.object_count,
        "stored_size_bytes": plan.stored_size_bytes,
    }


def plan_text(
    urls: tuple[str, str], head: Head, entry: HeadEntry, plan: CopyPlan
) -> list[RenderableType]:
    """A line for each link of the chain."""
    rows = [
        (
            str(link.entry.backup_id),
            "copy" if link.present is None else "there",
            str(link.entry.chunk_count),
            human.size(link.entry.stored_size_bytes),
        )
        for link in plan.links
    ]
    total = (
        f"{human.count(len(plan.missing), 'backup')} to copy: "
        f"{human.count(plan.object_count, 'object')}, {human.size(plan.stored_size_bytes)}"
    )
    return [
        line(f"{head.source_id}@{entry.backup_id} would be copied to {urls[1]}", "bold"),
        facts([("from", urls[0]), ("as", str(plan.source_id))]),
        table(("BACKUP", "ACTION", "CHUNKS", "STORED"), rows, right=("CHUNKS", "STORED")),
        line(total),
    ]


def result_text(urls: tuple[str, str], result: CopyResult) -> list[RenderableType]:
    """What was copied, and how."""
    name = f"{result.source_id}@{result.backup_id}"
    if not result.copied:
        return [line(f"{name} is in {urls[1]} already: nothing to copy", "bold")]
    how = {
        True: "by the service: no data passed this machine",
        False: "downloaded, checked and uploaded",
        None: "all chunks were there from an earlier run",
    }
    pairs = [
        ("from", urls[0]),
        ("to", urls[1]),
        ("copied", ", ".join(str(backup_id) for backup_id in result.copied)),
        ("stored", human.size(result.stored_size_bytes)),
        ("how", how[result.inside]),
    ]
    if result.reused_chunks:
        pairs.append(("not sent again", human.count(result.reused_chunks, "chunk")))
    pairs += [("took", human.span(result.duration)), ("requests", requests(result.requests))]
    return [line(f"copied {name}", "bold"), facts(pairs)]
