"""``thaw request --batch-operations`` by the command line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.services.moto import Moto
    from tests.cli.program import Program

ROLE = "arn:aws:iam::123456789012:role/thaw"
REQUEST = ("thaw", "data", "request")
JOB = "--batch-operations"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*REQUEST, JOB), "needs --role"),
        ((*REQUEST, JOB, "--role", "thaw"), "not 'thaw'"),
        ((*REQUEST, "--role", ROLE), "--role is for a job"),
        ((*REQUEST, "--priority", "3"), "--priority is for a job"),
        ((*REQUEST, "--report-prefix", "r"), "--report-prefix is for a job"),
        ((*REQUEST, JOB, "--role", ROLE, "--priority", "-1"), "--priority"),
        (("thaw", "data", "wait", JOB, "--role", ROLE), "is for request"),
    ],
)
def test_what_does_not_go_together_ends_with_2(
    alone: Program, arguments: tuple[str, ...], said: str
) -> None:
    ran = alone.with_environment(BTRFS_TO_S3_URL="s3://bucket/prefix").run(*arguments)
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.btrfs
def test_a_service_without_jobs_ends_with_4_and_a_remedy_and_nothing_is_asked_for(
    moto: Moto, program: Program, data: Path
) -> None:
    assert program.run("backup", data, "--storage-class", "DEEP_ARCHIVE").code == 0
    options = ("--role", ROLE, "--priority", "3", "--report-prefix", "reports/")
    ran = program.run("thaw", data.name, "request", JOB, *options)
    assert ran.code == 4
    assert "has no S3 Control API" in ran.err
    assert "leave --batch-operations out" in ran.err
    bucket = program.environ["BTRFS_TO_S3_URL"].split("/")[2]
    with contextlib.closing(moto.client()) as client:
        listed = client.list_objects_v2(Bucket=bucket, Prefix="pre/notes/")
    assert "Contents" not in listed
    status = program.run("thaw", data.name, "status", "--json").document
    assert status["frozen_count"] == status["object_count"]
    # The remedy works, and the price of a job that was never made stands in nobody's way.
    assert program.run("thaw", data.name, "request").code == 0


@pytest.mark.btrfs
def test_a_job_knows_no_expedited_tier(program: Program, data: Path) -> None:
    assert program.run("backup", data, "--storage-class", "GLACIER").code == 0
    ran = program.run("thaw", data.name, "request", JOB, "--role", ROLE, "--tier", "expedited")
    assert ran.code == 2
    assert "no expedited tier" in ran.err
