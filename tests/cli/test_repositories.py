"""One source in several repositories: one snapshot and one stream where it fits, failures apart."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.services.rclone import rclone_server
from tests.cli.several import change, credentials, restored, snapshots, sources_of, started
from tests.s3.fault_proxy import FaultProxy, slow_down

if TYPE_CHECKING:
    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from tests.cli.program import Program

pytestmark = pytest.mark.btrfs


def test_one_snapshot_and_one_stream_serve_both(
    two: Program, filesystem: LoopbackBtrfs, data: Path, target: Path, sends: Path
) -> None:
    first = two.run("backup", "--json")
    assert first.code == 0, first.err
    assert started(sends) == 1
    assert len(snapshots(filesystem, data)) == 1
    both = sources_of(first)
    assert {each["kind"] for each in both.values()} == {"full"}
    assert both["default"]["source_id"] == both["offsite"]["source_id"]
    assert both["default"]["backup"]["backup_id"] == both["offsite"]["backup"]["backup_id"]

    change(data, "second\n")
    second = two.run("backup")
    assert second.code == 0
    assert second.out.count("incremental backup done") == 2
    assert "offsite (s3://" in second.out
    assert started(sends) == 2
    assert len(snapshots(filesystem, data)) == 1

    assert restored(two, data, target, "default") == "second\n"
    assert restored(two, data, target, "offsite") == "second\n"
    for name in ("default", "offsite"):
        assert two.run("verify", "--level", "data", "--repository", name).code == 0


def test_results_are_grouped_by_repository(two: Program, data: Path) -> None:
    two.run("backup")
    for command in (["list"], ["status"], ["prune", "--dry-run"], ["plan"], ["list", data.name]):
        ran = two.run(*command, "--json")
        assert ran.code == 0, ran.err
        assert [each["name"] for each in ran.document["repositories"]] == ["default", "offsite"]
        assert all(len(each["sources"]) == 1 for each in ran.document["repositories"])
        alone = two.run(*command, "--json", "--repository", "offsite").document
        assert len(alone["sources"]) == 1
        text = two.run(*command).out
        assert text.index("default (s3://") < text.index("offsite (s3://")
    planned = two.run("backup", "--dry-run", "--json").document["repositories"]
    assert [each["sources"][0]["decision"] for each in planned] == ["skip", "skip"]


def test_a_repository_that_fails_in_mid_stream_costs_the_other_nothing(
    two: Program,
    filesystem: LoopbackBtrfs,
    data: Path,
    target: Path,
    sends: Path,
    proxy: FaultProxy,
) -> None:
    two.run("backup")
    (data / "random").write_bytes(os.urandom(6_000_000))
    change(data, "second\n")
    proxy.reset_during_body("/chunks/", 1000, times=100)
    proxy.fail("/chunks/", slow_down, times=1000)
    failed = two.run("backup", "--json")
    assert failed.code == 4
    both = sources_of(failed)
    assert both["default"]["backup"] is not None
    assert both["default"]["error"] is None
    assert both["offsite"]["backup"] is None
    assert both["offsite"]["error"]["kind"] == "unreachable"
    assert started(sends) == 2
    # The first backup's snapshot is what the interrupted upload is built on.
    assert len(snapshots(filesystem, data)) == 2

    proxy._faults.clear()  # noqa: SLF001 - the line is repaired
    proxy._early.clear()  # noqa: SLF001
    change(data, "third\n")
    again = two.run("backup", "--json")
    assert again.code == 0, again.err
    both = sources_of(again)
    assert both["default"]["decision"] == "incremental"
    assert both["offsite"]["decision"] == "resume"
    assert started(sends) == 4
    # Both need a snapshot as their next parent, and not the same one.
    assert len(snapshots(filesystem, data)) == 2

    level = two.run("backup", "--json")
    both = sources_of(level)
    assert (both["default"]["decision"], both["offsite"]["decision"]) == ("skip", "incremental")
    assert both["offsite"]["kind"] == "incremental"
    assert two.run("verify", "--level", "data", "--repository", "offsite").code == 0
    assert restored(two, data, target, "default") == "third\n"
    assert restored(two, data, target, "offsite") == "third\n"


def test_a_repository_that_is_away_does_not_stop_the_others(
    two: Program, filesystem: LoopbackBtrfs, data: Path, proxy: FaultProxy
) -> None:
    two.run("backup")
    before = snapshots(filesystem, data)
    change(data, "second\n")
    proxy.fail("/", slow_down, times=100_000)
    ran = two.run("backup", "--json")
    assert ran.code == 4
    there, away = ran.document["repositories"]
    assert there["sources"][0]["backup"] is not None
    assert (away["name"], away["error"]["code"]) == ("offsite", 4)
    assert ran.document["error"]["message"].startswith("offsite: ")
    # What the one that is away has as its newest backup stays.
    assert set(before) <= set(snapshots(filesystem, data))
    assert len(snapshots(filesystem, data)) == 2
    for command in (["list"], ["status"], ["prune"], ["plan"]):
        ran = two.run(*command, "--json")
        assert ran.code == 4
        assert ran.document["repositories"][0]["sources"]


def test_a_run_on_one_repository_keeps_what_the_other_is_built_on(
    two: Program, filesystem: LoopbackBtrfs, data: Path, sends: Path
) -> None:
    two.run("backup")
    [needed] = snapshots(filesystem, data)
    for number in range(2):
        change(data, f"more {number}\n")
        assert two.run("backup", "--repository", "default").code == 0
        assert needed in snapshots(filesystem, data)
        assert len(snapshots(filesystem, data)) == 2
    change(data, "both\n")
    both = sources_of(two.run("backup", "--json"))
    assert {each["kind"] for each in both.values()} == {"incremental"}
    # Their parents do not agree, so their streams differ.
    assert started(sends) == 5
    assert len(snapshots(filesystem, data)) == 1
    change(data, "again\n")
    two.run("backup")
    assert started(sends) == 6


def test_what_another_repository_needs_must_be_known_before_a_snapshot_goes(
    two: Program, filesystem: LoopbackBtrfs, data: Path
) -> None:
    assert two.run("backup", "--repository", "default").code == 0
    change(data, "second\n")
    ran = two.run("backup", "--repository", "default")
    assert "no local snapshot is deleted: what offsite needs" in ran.err
    assert len(snapshots(filesystem, data)) == 2


def test_other_send_options_are_another_stream(two: Program, sends: Path) -> None:
    text = two.file.read_text().replace("compression_level = 3", "send = {protocol = 1}")
    assert two.configured(text).run("backup").code == 0
    assert started(sends) == 2


def test_a_profile_leads_to_another_provider(
    program: Program,
    data: Path,
    target: Path,
    sends: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with rclone_server() as rclone:
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials(tmp_path, rclone)))
        two = program.configured(
            "[[repositories]]\n"
            'name = "rclone"\n'
            f'repository = "s3://{rclone.create_bucket()}"\n'
            f'endpoint_url = "{rclone.endpoint_url}"\n'
            'profile = "elsewhere"\n'
            f'[[sources]]\npath = "{data}"\nrepositories = ["default", "rclone"]\n'
        )
        ran = two.run("backup")
        assert ran.code == 0, ran.err
        assert "rclone: this service has no conditional writes" in ran.err
        assert started(sends) == 1
        assert restored(two, data, target, "rclone") == "first\n"


def test_what_names_one_repository_is_refused_for_several(two: Program) -> None:
    ran = two.run("backup", "--adopt", "data-00000000")
    assert ran.code == 2
    assert "--repository default|offsite" in ran.err
    ran = two.run("list", "--repository", "ofsite")
    assert ran.code == 2
    assert ran.lines[1] == "hint: did you mean offsite?"


def _both_stored_a_chunk(two: Program) -> bool:
    """Whether the upload journal of each repository has a chunk that can be used again."""
    journals = Path(two.environ["BTRFS_TO_S3_STATE_DIR"]).glob("*/upload/*.jsonl")
    noted = [b'"what":"chunk"' in journal.read_bytes() for journal in journals]
    return noted == [True, True]


def _interrupt(two: Program, data: Path, proxy: FaultProxy) -> str:
    """Stop a backup of both with Ctrl-C while chunks are on their way; what it printed."""
    (data / "random").write_bytes(os.urandom(8_000_000))
    slow = two.with_environment(BTRFS_TO_S3_BANDWIDTH_LIMIT="1MB/s")
    with slow.start("backup", "--json") as process:
        deadline = time.monotonic() + 30
        while proxy.count("/chunks/") < 3 or not _both_stored_a_chunk(two):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    return str(out)


def test_an_interrupted_backup_of_both_goes_on_with_one_stream(
    two: Program, data: Path, target: Path, sends: Path, proxy: FaultProxy
) -> None:
    out = _interrupt(two, data, proxy)
    assert json.loads(out)["error"]["kind"] in {"interrupted", "repositories_failed"}

    again = two.run("backup", "--json")
    assert again.code == 0, again.err
    both = sources_of(again)
    assert {each["decision"] for each in both.values()} == {"resume"}
    assert all(each["backup"]["reused_bytes"] > 0 for each in both.values())
    assert restored(two, data, target, "default") == "first\n"
    assert restored(two, data, target, "offsite") == "first\n"
    assert started(sends) == 2


def test_an_upload_that_is_given_up_leaves_the_snapshot_that_another_one_sends(
    two: Program, filesystem: LoopbackBtrfs, data: Path, proxy: FaultProxy
) -> None:
    _interrupt(two, data, proxy)
    [sent] = snapshots(filesystem, data)
    assert two.run("backup", "--restart", "--repository", "default").code == 0
    assert sent in snapshots(filesystem, data)
    both = sources_of(two.run("backup", "--json"))
    assert (both["default"]["decision"], both["offsite"]["decision"]) == ("skip", "resume")
