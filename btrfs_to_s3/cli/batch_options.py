"""The options of a thaw by S3 Batch Operations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.operations.thaw.batch import BatchWishes

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_PRIORITY = 10
_HIGHEST = 2_147_483_647


class BatchOptions(TypedDict):
    """What these options give."""

    batch_operations: bool
    role: str | None
    priority: int | None
    report_prefix: str | None


def batch_options(function: F) -> F:
    """Give a command function ``--batch-operations`` and what belongs to it."""
    options = (
        click.option(
            "--batch-operations",
            is_flag=True,
            help="Let one job of S3 Batch Operations ask for all objects; needs --role. "
            "[default: ask for each object]",
        ),
        click.option(
            "--role",
            metavar="ARN",
            help="The IAM role that the job assumes. [default: none; needed for a job]",
        ),
        click.option(
            "--priority",
            type=click.IntRange(0, _HIGHEST),
            metavar="N",
            help=f"The job's priority: higher goes first. [default: {_PRIORITY}]",
        ),
        click.option(
            "--report-prefix",
            metavar="PREFIX",
            help="Where in the bucket the job reports what failed. "
            "[default: beside the job's manifest, below notes/]",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def batch_wishes(given: BatchOptions, *, requesting: bool) -> BatchWishes | None:
    """How the job is to be run, None without one; ``UsageError`` for what does not go together."""
    if not given["batch_operations"]:
        for name in ("role", "priority", "report_prefix"):
            if given[name] is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for a job, and none is asked for",
                    hint="give --batch-operations too, or leave it out",
                )
        return None
    if not requesting:
        raise UsageError(
            "--batch-operations is for request: the other verbs ask for nothing",
            hint="'btrfs-to-s3 thaw SOURCE request --batch-operations --role ARN'",
        )
    role, priority, report = given["role"], given["priority"], given["report_prefix"]
    if role is None or not _ROLE.fullmatch(role):
        raise UsageError(
            "--batch-operations needs --role, the ARN of an IAM role"
            + ("" if role is None else f", not {role!r}"),
            hint="such as arn:aws:iam::123456789012:role/thaw; it must trust "
            "batchoperations.s3.amazonaws.com",
        )
    prefix = None if report is None else report.strip("/")
    return BatchWishes(role, _PRIORITY if priority is None else priority, prefix or None)
