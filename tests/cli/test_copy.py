"""Copying a chain to another repository: it restores there, and goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integration_tests.harness.services.rclone import rclone_server
from tests.cli.several import change, credentials, restored, sources_of
from tests.s3.fault_proxy import FaultProxy, slow_down

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.services.moto import Moto
    from tests.cli.program import Program, Ran

pytestmark = pytest.mark.btrfs


def _copied(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    found = ran.document["result"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def chained(program: Program, moto: Moto, data: Path) -> Program:
    """A chain of three in the default repository; another one, empty, beside it."""
    for text in ("first\n", "second\n", "third\n"):
        change(data, text)
        assert program.run("backup", data, "--keep-local", "10").code == 0
    return program.configured(
        f'[[repositories]]\nname = "copies"\nrepository = "s3://{moto.create_bucket()}"\n'
    )


def test_a_copied_chain_restores_and_goes_on(
    chained: Program, data: Path, target: Path, sends: Path
) -> None:
    planned = chained.run("copy", data.name, "--to", "copies", "--dry-run", "--json").document
    assert [link["action"] for link in planned["links"]] == ["copy"] * 3
    assert planned["object_count"] == sum(link["chunk_count"] + 2 for link in planned["links"])
    assert chained.run("list", "--repository", "copies").code == 2

    done = _copied(chained.run("copy", data.name, "--to", "copies", "--json"))
    assert (len(done["copied"]), done["server_side"]) == (3, True)
    again = chained.run("copy", data.name, "--to", "copies")
    assert again.code == 0
    assert "nothing to copy" in again.out

    listed = chained.run("list", "--repository", "copies", "--json").document["sources"]
    assert [each["kind"] for each in listed[0]["backups"]] == ["full"] + ["incremental"] * 2
    assert chained.run("verify", "--level", "data", "--repository", "copies").code == 0
    assert restored(chained, data, target, "copies") == "third\n"

    change(data, "fourth\n")
    ran = chained.run("backup", data, "--repository", "copies", "--json")
    assert ran.code == 0, ran.err
    [source] = ran.document["sources"]
    assert (source["kind"], source["source_id"]) == ("incremental", listed[0]["source_id"])
    assert " -p " in sends.read_text()
    (target / "copies").rename(target / "before")
    assert restored(chained, data, target, "copies") == "fourth\n"


def test_only_what_is_missing_is_copied(chained: Program, data: Path) -> None:
    backups = chained.run("list", "--json", "--repository", "default").document["sources"][0][
        "backups"
    ]
    first = f"{data.name}@{backups[0]['backup_id']}"
    assert len(_copied(chained.run("copy", first, "--to", "copies", "--json"))["copied"]) == 1
    assert len(_copied(chained.run("copy", data.name, "--to", "copies", "--json"))["copied"]) == 2
    middle = f"{data.name}@{backups[1]['backup_id']}"
    assert _copied(chained.run("copy", middle, "--to", "copies", "--json"))["copied"] == []


def test_what_both_were_sent_is_not_copied_again(two: Program, data: Path) -> None:
    two.run("backup")
    change(data, "second\n")
    two.run("backup", "--repository", "default")
    done = _copied(two.run("copy", data.name, "--to", "offsite", "--json"))
    assert len(done["copied"]) == 1
    assert done["server_side"] is False
    assert two.run("verify", "--level", "data", "--repository", "offsite").code == 0
    change(data, "third\n")
    both = sources_of(two.run("backup", "--json"))
    assert {each["kind"] for each in both.values()} == {"incremental"}


def test_a_target_that_diverged_is_refused(two: Program, data: Path) -> None:
    two.run("backup")
    change(data, "second\n")
    two.run("backup", "--repository", "default")
    change(data, "third\n")
    two.run("backup", "--repository", "offsite")
    ran = two.run("copy", data.name, "--to", "offsite")
    assert ran.code == 3
    assert "has diverged" in ran.err


@pytest.mark.parametrize(("fails_at", "committed"), [("-full-", 0), ("-incr-", 1)])
def test_an_interrupted_copy_goes_on(
    chained: Program,
    data: Path,
    target: Path,
    proxy: FaultProxy,
    fails_at: str,
    committed: int,
) -> None:
    text = chained.file.read_text()
    through = chained.configured(f'{text}endpoint_url = "{proxy.url}"\naddressing = "path"\n')
    if not committed:
        proxy.fail("/chunks/", lambda exchange: exchange.answer(*exchange.forward()), times=2)
    proxy.fail(fails_at, slow_down, times=1000)
    failed = through.run("copy", data.name, "--to", "copies")
    assert failed.code == 4
    proxy._faults.clear()  # noqa: SLF001 - the line is repaired
    listed = through.run("list", "--repository", "copies", "--json").document["sources"]
    assert sum(len(each["backups"]) for each in listed) == committed
    assert through.run("verify", "--repository", "copies").code == 0
    done = _copied(through.run("copy", data.name, "--to", "copies", "--json"))
    assert done["server_side"] is False
    assert (done["reused_chunk_count"] > 0) is not bool(committed)
    assert len(done["copied"]) == 3 - committed
    assert through.run("verify", "--level", "data", "--repository", "copies").code == 0
    assert restored(through, data, target, "copies") == "third\n"


def test_an_archived_chain_needs_a_thaw_first(chained: Program, data: Path) -> None:
    change(data, "fourth\n")
    archived = chained.with_environment(BTRFS_TO_S3_STORAGE_CLASS="DEEP_ARCHIVE")
    assert archived.run("backup", data, "--repository", "default").code == 0
    for more in ([], ["--dry-run"]):
        ran = chained.run("copy", data.name, "--to", "copies", *more)
        assert ran.code == 6
        assert "btrfs-to-s3 thaw" in ran.err
    assert not chained.run("list", "--repository", "copies", "--json").document["sources"]


def test_a_copy_to_another_provider_passes_this_machine(
    chained: Program, data: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone_server() as rclone:
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials(tmp_path, rclone)))
        away = chained.configured(
            f'[[repositories]]\nname = "rclone"\nrepository = "s3://{rclone.create_bucket()}"\n'
            f'endpoint_url = "{rclone.endpoint_url}"\nprofile = "elsewhere"\n'
        )
        ran = away.run("copy", data.name, "--to", "rclone")
        assert ran.code == 0, ran.err
        assert "downloaded, checked and uploaded" in ran.out
        assert away.run("verify", "--level", "data", "--repository", "rclone").code == 0
        assert restored(away, data, target, "rclone") == "third\n"


def test_a_copy_needs_two_repositories(chained: Program, data: Path) -> None:
    ran = chained.run("copy", data.name, "--to", "default")
    assert ran.code == 2
    assert "the repository to copy to is the one to copy from" in ran.err
    ran = chained.run("copy", data.name, "--to", "copis")
    assert ran.code == 2
    assert "did you mean copies?" in ran.err
