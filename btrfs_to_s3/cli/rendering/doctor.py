"""What ``doctor`` found: as JSON and as text."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import human
from btrfs_to_s3.cli.rendering.text import line
from btrfs_to_s3.model.check import Verdict
from btrfs_to_s3.operations.doctor import ServiceReport

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.check import Check
    from btrfs_to_s3.plan.lifecycle import Proposal

_STYLES = {Verdict.PASS: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
_INDENT = " " * 6


@dataclass(slots=True)
class Findings:
    """Every line, in the order in which they are shown, and where the repository is.

    ``connection`` are the options by which Amazon's own program finds the same service.
    """

    checks: list[Check] = field(default_factory=list)
    service: ServiceReport = field(default_factory=ServiceReport)
    repository: str | None = None
    bucket: str | None = None
    connection: dict[str, str] = field(default_factory=dict)
    network: list[Check] = field(default_factory=list)


def document(findings: Findings) -> Document:
    """Every check, and the lifecycle rules that are proposed or were set."""
    return {
        "repository": findings.repository,
        "checks": [_check(check) for check in findings.checks],
        "lifecycle": _lifecycle(findings),
    }


def text(findings: Findings, told: Collection[Check] = ()) -> list[RenderableType]:
    """A line for each check, its remedy below it; then the lifecycle rules, if any are new.

    What was ``told`` for another repository is not told again.
    """
    parts: list[RenderableType] = []
    checks = [check for check in findings.checks if check not in told]
    for check in checks:
        subject = "" if check.subject is None else f"{check.subject}: "
        shown = f"{check.verdict.value:<4}  {subject}{check.name}: {check.text}"
        parts.append(line(shown, _STYLES[check.verdict] if check.verdict != Verdict.PASS else ""))
        if check.remedy is not None:
            parts.append(line(f"{_INDENT}remedy: {check.remedy}"))
    parts += _proposed(findings)
    counts = dict.fromkeys(Verdict, 0)
    for check in checks:
        counts[check.verdict] += 1
    failed, warned = counts[Verdict.FAIL], human.count(counts[Verdict.WARN], "warning")
    parts.append(line(f"{counts[Verdict.PASS]} passed, {warned}, {failed} failed", "bold"))
    return parts


def _proposed(findings: Findings) -> list[RenderableType]:
    proposal, bucket = findings.service.proposal, findings.bucket
    if proposal is None or bucket is None or not proposal.changed:
        return []
    names = ", ".join(proposal.changed)
    if findings.service.applied:
        return [line(f"set lifecycle rules: {names}; all others are as they were", "bold")]
    return [
        line(f"proposed lifecycle rules, beside those that are there: {names}", "bold"),
        line("set by: btrfs-to-s3 doctor --apply, or by:"),
        f"{_command(findings, bucket, proposal)} {shlex.quote(_configuration(proposal))}",
    ]


def _lifecycle(findings: Findings) -> Document | None:
    proposal, bucket = findings.service.proposal, findings.bucket
    if proposal is None or bucket is None:
        return None
    return {
        "applied": findings.service.applied,
        "changed_rules": list(proposal.changed),
        "configuration": {"Rules": list(proposal.lifecycle.rules)},
        "transition_minimum": proposal.lifecycle.transition_minimum,
        "command": f"{_command(findings, bucket, proposal)} file://CONFIGURATION",
    }


def _command(findings: Findings, bucket: str, proposal: Proposal) -> str:
    """The command without the configuration itself, which follows it."""
    words = ["aws", "s3api", "put-bucket-lifecycle-configuration", "--bucket", bucket]
    for option, value in findings.connection.items():
        words += [f"--{option}", value]
    if proposal.lifecycle.transition_minimum is not None:
        minimum = proposal.lifecycle.transition_minimum
        words += ["--transition-default-minimum-object-size", minimum]
    return f"{shlex.join(words)} --lifecycle-configuration"


def _configuration(proposal: Proposal) -> str:
    return json.dumps({"Rules": list(proposal.lifecycle.rules)}, indent=2)


def _check(check: Check) -> Document:
    return {
        "name": check.name,
        "subject": check.subject,
        "verdict": check.verdict.value,
        "known": check.known,
        "text": check.text,
        "remedy": check.remedy,
    }
