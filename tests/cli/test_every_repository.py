"""Commands that look at repositories, where the configuration file names several."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.services.moto import Moto
    from tests.cli.program import Program

pytestmark = pytest.mark.btrfs


@pytest.fixture
def away(moto: Moto) -> str:
    """The bucket of the second repository."""
    return moto.create_bucket()


@pytest.fixture
def two(program: Program, away: str, data: Path) -> Program:
    """The program with the data configured for two repositories."""
    return program.configured(
        f'[[repositories]]\nname = "offsite"\nrepository = "s3://{away}/off"\n'
        f'[[sources]]\npath = "{data}"\nrepositories = ["default", "offsite"]\n'
    )


def _damage(moto: Moto, bucket: str) -> None:
    with closing(moto.client()) as client:
        listed = client.list_objects_v2(Bucket=bucket, Prefix="off/chunks/")["Contents"]
        client.delete_object(Bucket=bucket, Key=listed[0]["Key"])


def test_verify_finds_what_is_missing_in_a_repository_that_was_not_named(
    two: Program, moto: Moto, away: str, data: Path
) -> None:
    assert two.run("backup").code == 0
    whole = two.run("verify", "--json")
    assert whole.code == 0
    assert [each["name"] for each in whole.document["repositories"]] == ["default", "offsite"]
    _damage(moto, away)
    for words in (("verify",), ("verify", data.name)):
        ran = two.run(*words)
        assert ran.code == 5
        assert "error: offsite: " in ran.err
    assert two.run("verify", "--repository", "default").code == 0


def test_verify_of_a_source_misses_it_where_the_file_says_that_it_goes(
    two: Program, data: Path
) -> None:
    assert two.run("backup", "--repository", "default").code == 0
    ran = two.run("verify", data.name)
    assert ran.code == 2
    assert "there is no repository at s3://" in ran.err


def test_a_head_is_rebuilt_in_one_repository_only(two: Program, data: Path) -> None:
    assert two.run("backup").code == 0
    ran = two.run("verify", data.name, "--rebuild-head")
    assert ran.code == 2
    assert "hint: name the one whose list is lost: --repository default|offsite" in ran.err
    rebuilt = ("verify", data.name, "--rebuild-head", "--repository", "offsite")
    assert two.run(*rebuilt).code == 0


def test_cost_and_compact_are_said_of_every_repository(two: Program, data: Path) -> None:
    assert two.run("backup").code == 0
    for words in (("cost",), ("cost", data.name), ("compact", data.name)):
        ran = two.run(*words, "--json")
        assert ran.code == 0, ran.err
        assert [each["name"] for each in ran.document["repositories"]] == ["default", "offsite"]
    assert "offsite (s3://" in two.run("cost").out


def test_doctor_looks_at_every_repository_and_tells_of_the_machine_once(two: Program) -> None:
    ran = two.run("doctor", "--json")
    assert ran.code == 0, ran.err
    for each in ran.document["repositories"]:
        assert {"kernel", "service", "lifecycle_uploads"} <= {
            check["name"] for check in each["checks"]
        }
    told = two.run("doctor").out
    assert told.count("kernel: ") == 1
    assert told.count("lifecycle_uploads: ") == 2
    assert "offsite (s3://" in told


def test_what_works_on_one_repository_says_which(two: Program, data: Path, target: Path) -> None:
    assert two.run("backup").code == 0
    for words in (
        ("show", data.name),
        ("hold", "list"),
        ("thaw", data.name, "plan"),
        ("restore", data.name, "--target", target, "--dry-run"),
        ("copy", data.name, "--to", "offsite", "--dry-run"),
    ):
        ran = two.run(*words)
        assert ran.code == 0, ran.err
        assert "this is the repository default (s3://" in ran.err
        assert "--repository offsite chooses another" in ran.err
    assert "this is" not in two.run("show", data.name, "--repository", "offsite").err
