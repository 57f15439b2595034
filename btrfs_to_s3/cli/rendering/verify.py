"""The result of a verification: as JSON, as text, and as an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.rendering import documents, human
from btrfs_to_s3.cli.rendering.text import facts, line, requests
from btrfs_to_s3.errors import ExitCode
from btrfs_to_s3.operations.verify.report import Level, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.operations.verify.report import Finding, VerifyReport

_NAMED = 3
_WORDS = {Severity.FAULT: "fault", Severity.NOT_YET: "not yet", Severity.NOTICE: "notice"}


def failure_of(report: VerifyReport) -> Failure | None:
    """Why the program ends non-zero; notices alone are success."""
    code = report.exit_code
    if code is ExitCode.DONE:
        return None
    concerned = [each for each in report.findings if each.problem.severity.value is code]
    where = sorted({str(each.backup_id or each.source_id) for each in concerned})
    context = {"findings": len(concerned), "concerned": where}
    if code is ExitCode.NOT_READABLE_YET:
        message = f"{human.count(len(where), 'backup')} could not be read: archived, not thawed"
        return Failure(code, "not_readable_yet", message, "thaw them first", context)
    found = human.count(len(concerned), "fault")
    more = f" and {len(where) - _NAMED} more" if len(where) > _NAMED else ""
    message = f"verification found {found} in {', '.join(where[:_NAMED])}{more}"
    return Failure(
        code, "integrity", message, "the report, without -q, says of each what can be done", context
    )


def document(
    repository: str, report: VerifyReport, counts: Mapping[str, int], rebuilt: Head | None
) -> Document:
    """What was looked at and what was found."""
    looked = report.counts
    return {
        "repository": repository,
        "level": report.level.value,
        "rebuilt_head": None if rebuilt is None else str(rebuilt.source_id),
        "source_count": looked.sources,
        "backup_count": looked.backups,
        "object_count": looked.objects,
        "checked_bytes": looked.bytes_checked,
        "checksum_count": looked.checksums,
        "checksums_unknown_count": looked.checksums_unknown,
        "surplus_object_count": looked.surplus_objects,
        "surplus_bytes": looked.surplus_bytes,
        "findings": [_finding(each) for each in report.findings],
        "requests": dict(counts),
        "duration_s": documents.seconds(report.duration),
    }


def text(
    report: VerifyReport, counts: Mapping[str, int], rebuilt: Head | None
) -> list[RenderableType]:
    """Every finding with its advice, then what was looked at."""
    parts: list[RenderableType] = []
    for each in report.findings:
        word = _WORDS[each.problem.severity]
        where = f"{each.source_id}@{each.backup_id}" if each.backup_id else str(each.source_id)
        pairs = [("found", each.message)]
        if each.key is not None:
            pairs.append(("object", each.key))
        pairs.append(("advice", each.advice))
        parts += [line(f"{word}: {where}: {each.problem.word}", "bold"), facts(pairs)]
    looked = report.counts
    backups = human.count(looked.backups, "backup")
    heading = f"checked ({report.level}): {backups} of {human.count(looked.sources, 'source')}"
    pairs = [("objects", f"{looked.objects} compared with what names them")]
    if rebuilt is not None:
        live = human.count(len(rebuilt.backups), "backup")
        pairs.insert(0, ("head", f"rebuilt from the manifests: {live}"))
    if report.level is Level.DATA:
        took_s = report.duration.total_seconds()
        speed = human.rate(looked.bytes_checked, took_s)
        pairs.append(("data", f"{human.size(looked.bytes_checked)} checked ({speed})"))
    if looked.checksums or looked.checksums_unknown:
        kept = f"{looked.checksums} compared"
        unknown = f", {looked.checksums_unknown} not kept by the service"
        pairs.append(("checksums", kept + (unknown if looked.checksums_unknown else "")))
    if looked.surplus_objects:
        surplus = human.count(looked.surplus_objects, "object")
        size = human.size(looked.surplus_bytes)
        pairs.append(("surplus", f"{surplus} of no live backup ({size}): prune removes them"))
    pairs += [("took", human.span(report.duration)), ("requests", requests(counts))]
    return [*parts, line(heading, "bold"), facts(pairs)]


def _finding(each: Finding) -> Document:
    return {
        "problem": each.problem.word,
        "severity": each.problem.severity.name.lower(),
        "source_id": str(each.source_id),
        "backup_id": None if each.backup_id is None else str(each.backup_id),
        "key": each.key,
        "message": each.message,
        "advice": each.advice,
    }
