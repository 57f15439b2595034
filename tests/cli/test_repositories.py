"""One source in several repositories: one snapshot and one stream where it fits, failures apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from integration_tests.harness.services.rclone import rclone_server
from tests.s3.fault_proxy import FaultProxy, slow_down

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.moto import Moto
    from integration_tests.harness.services.service import Service
    from tests.cli.program import Program, Ran

pytestmark = pytest.mark.btrfs


@pytest.fixture
def sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for every ``btrfs send`` that was started."""
    log, real = tmp_path / "sends", shutil.which("btrfs")
    script = tmp_path / "bin" / "btrfs"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\n[ "$1" = send ] && echo "$@" >> {log}\nexec {real} "$@"\n')
    script.chmod(0o755)
    log.touch()
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


@pytest.fixture
def proxy(moto: Moto) -> Iterator[FaultProxy]:
    """The way to the second repository, which can be made to fail."""
    with FaultProxy(moto.address) as running:
        yield running


@pytest.fixture
def two(program: Program, moto: Moto, proxy: FaultProxy, data: Path) -> Program:
    """The program with the data in two repositories, the second behind the proxy."""
    return program.configured(
        "[[repositories]]\n"
        'name = "offsite"\n'
        f'repository = "s3://{moto.create_bucket()}/off"\n'
        f'endpoint_url = "{proxy.url}"\n'
        'addressing = "path"\n'
        "compression_level = 3\n"
        f'[[sources]]\npath = "{data}"\nrepositories = ["default", "offsite"]\n'
    )


def _change(data: Path, text: str) -> None:
    (data / "note").write_text(text)


def _started(sends: Path) -> int:
    return len(sends.read_text().splitlines())


def _sources(ran: Ran) -> dict[str, dict[str, Any]]:
    """What became of the only source, by repository."""
    return {each["name"]: each["sources"][0] for each in ran.document["repositories"]}


def _snapshots(filesystem: LoopbackBtrfs, data: Path) -> list[str]:
    kept = filesystem.mount_point / ".btrfs-to-s3"
    return sorted(path.name for path in kept.glob(f"{data.name}-*"))


def _restored(program: Program, data: Path, target: Path, name: str) -> str:
    directory = target / name
    directory.mkdir()
    ran = program.run(
        "restore", data.name, "--target", directory, "--writable", "--repository", name
    )
    assert ran.code == 0, ran.err
    assert (directory / data.name / "random").read_bytes() == (data / "random").read_bytes()
    return (directory / data.name / "note").read_text()


def test_one_snapshot_and_one_stream_serve_both(
    two: Program, filesystem: LoopbackBtrfs, data: Path, target: Path, sends: Path
) -> None:
    first = two.run("backup", "--json")
    assert first.code == 0, first.err
    assert _started(sends) == 1
    assert len(_snapshots(filesystem, data)) == 1
    both = _sources(first)
    assert {each["kind"] for each in both.values()} == {"full"}
    assert both["default"]["source_id"] == both["offsite"]["source_id"]
    assert both["default"]["backup"]["backup_id"] == both["offsite"]["backup"]["backup_id"]

    _change(data, "second\n")
    second = two.run("backup")
    assert second.code == 0
    assert second.out.count("incremental backup done") == 2
    assert "offsite (s3://" in second.out
    assert _started(sends) == 2
    assert len(_snapshots(filesystem, data)) == 1

    assert _restored(two, data, target, "default") == "second\n"
    assert _restored(two, data, target, "offsite") == "second\n"
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
    _change(data, "second\n")
    proxy.reset_during_body("/chunks/", 1000, times=100)
    proxy.fail("/chunks/", slow_down, times=1000)
    failed = two.run("backup", "--json")
    assert failed.code == 4
    both = _sources(failed)
    assert both["default"]["backup"] is not None
    assert both["default"]["error"] is None
    assert both["offsite"]["backup"] is None
    assert both["offsite"]["error"]["kind"] == "unreachable"
    assert _started(sends) == 2
    # The first backup's snapshot is what the interrupted upload is built on.
    assert len(_snapshots(filesystem, data)) == 2

    proxy._faults.clear()  # noqa: SLF001 - the line is repaired
    proxy._early.clear()  # noqa: SLF001
    _change(data, "third\n")
    again = two.run("backup", "--json")
    assert again.code == 0, again.err
    both = _sources(again)
    assert both["default"]["decision"] == "incremental"
    assert both["offsite"]["decision"] == "resume"
    assert _started(sends) == 4
    # Both need a snapshot as their next parent, and not the same one.
    assert len(_snapshots(filesystem, data)) == 2

    level = two.run("backup", "--json")
    both = _sources(level)
    assert (both["default"]["decision"], both["offsite"]["decision"]) == ("skip", "incremental")
    assert both["offsite"]["kind"] == "incremental"
    assert two.run("verify", "--level", "data", "--repository", "offsite").code == 0
    assert _restored(two, data, target, "default") == "third\n"
    assert _restored(two, data, target, "offsite") == "third\n"


def test_a_repository_that_is_away_does_not_stop_the_others(
    two: Program, filesystem: LoopbackBtrfs, data: Path, proxy: FaultProxy
) -> None:
    two.run("backup")
    before = _snapshots(filesystem, data)
    _change(data, "second\n")
    proxy.fail("/", slow_down, times=100_000)
    ran = two.run("backup", "--json")
    assert ran.code == 4
    there, away = ran.document["repositories"]
    assert there["sources"][0]["backup"] is not None
    assert (away["name"], away["error"]["code"]) == ("offsite", 4)
    assert ran.document["error"]["message"].startswith("offsite: ")
    # What the one that is away has as its newest backup stays.
    assert set(before) <= set(_snapshots(filesystem, data))
    assert len(_snapshots(filesystem, data)) == 2
    for command in (["list"], ["status"], ["prune"], ["plan"]):
        ran = two.run(*command, "--json")
        assert ran.code == 4
        assert ran.document["repositories"][0]["sources"]


def test_a_run_on_one_repository_keeps_what_the_other_is_built_on(
    two: Program, filesystem: LoopbackBtrfs, data: Path, sends: Path
) -> None:
    two.run("backup")
    [needed] = _snapshots(filesystem, data)
    for number in range(2):
        _change(data, f"more {number}\n")
        assert two.run("backup", "--repository", "default").code == 0
        assert needed in _snapshots(filesystem, data)
        assert len(_snapshots(filesystem, data)) == 2
    _change(data, "both\n")
    both = _sources(two.run("backup", "--json"))
    assert {each["kind"] for each in both.values()} == {"incremental"}
    # Their parents do not agree, so their streams differ.
    assert _started(sends) == 5
    assert len(_snapshots(filesystem, data)) == 1
    _change(data, "again\n")
    two.run("backup")
    assert _started(sends) == 6


def test_what_another_repository_needs_must_be_known_before_a_snapshot_goes(
    two: Program, filesystem: LoopbackBtrfs, data: Path
) -> None:
    assert two.run("backup", "--repository", "default").code == 0
    _change(data, "second\n")
    ran = two.run("backup", "--repository", "default")
    assert "no local snapshot is deleted: what offsite needs" in ran.err
    assert len(_snapshots(filesystem, data)) == 2


def test_other_send_options_are_another_stream(two: Program, sends: Path) -> None:
    text = two.file.read_text().replace("compression_level = 3", "send = {protocol = 1}")
    assert two.configured(text).run("backup").code == 0
    assert _started(sends) == 2


def test_a_profile_leads_to_another_provider(
    program: Program,
    data: Path,
    target: Path,
    sends: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with rclone_server() as rclone:
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(_credentials(tmp_path, rclone)))
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
        assert _started(sends) == 1
        assert _restored(two, data, target, "rclone") == "first\n"


def _credentials(tmp_path: Path, service: Service) -> Path:
    file = tmp_path / "credentials"
    file.write_text(
        f"[elsewhere]\naws_access_key_id = {service.access_key}\n"
        f"aws_secret_access_key = {service.secret_key}\n"
    )
    return file


def test_what_names_one_repository_is_refused_for_several(two: Program) -> None:
    ran = two.run("backup", "--adopt", "data-00000000")
    assert ran.code == 2
    assert "--repository default|offsite" in ran.err
    ran = two.run("list", "--repository", "ofsite")
    assert ran.code == 2
    assert ran.lines[1] == "hint: did you mean offsite?"


def _interrupt(two: Program, data: Path, proxy: FaultProxy) -> str:
    """Stop a backup of both with Ctrl-C while chunks are on their way; what it printed."""
    (data / "random").write_bytes(os.urandom(8_000_000))
    slow = two.with_environment(BTRFS_TO_S3_BANDWIDTH_LIMIT="1MB/s")
    with slow.start("backup", "--json") as process:
        deadline = time.monotonic() + 30
        while proxy.count("/chunks/") < 3:
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
    both = _sources(again)
    assert {each["decision"] for each in both.values()} == {"resume"}
    assert all(each["backup"]["reused_bytes"] > 0 for each in both.values())
    assert _restored(two, data, target, "default") == "first\n"
    assert _restored(two, data, target, "offsite") == "first\n"
    assert _started(sends) == 2


def test_an_upload_that_is_given_up_leaves_the_snapshot_that_another_one_sends(
    two: Program, filesystem: LoopbackBtrfs, data: Path, proxy: FaultProxy
) -> None:
    _interrupt(two, data, proxy)
    [sent] = _snapshots(filesystem, data)
    assert two.run("backup", "--restart", "--repository", "default").code == 0
    assert sent in _snapshots(filesystem, data)
    both = _sources(two.run("backup", "--json"))
    assert (both["default"]["decision"], both["offsite"]["decision"]) == ("skip", "resume")


def _copied(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    found = ran.document["result"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def chained(program: Program, moto: Moto, data: Path) -> Program:
    """A chain of three in the default repository; another one, empty, beside it."""
    for text in ("first\n", "second\n", "third\n"):
        _change(data, text)
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
    assert _restored(chained, data, target, "copies") == "third\n"

    _change(data, "fourth\n")
    ran = chained.run("backup", data, "--repository", "copies", "--json")
    assert ran.code == 0, ran.err
    [source] = ran.document["sources"]
    assert (source["kind"], source["source_id"]) == ("incremental", listed[0]["source_id"])
    assert " -p " in sends.read_text()
    (target / "copies").rename(target / "before")
    assert _restored(chained, data, target, "copies") == "fourth\n"


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
    _change(data, "second\n")
    two.run("backup", "--repository", "default")
    done = _copied(two.run("copy", data.name, "--to", "offsite", "--json"))
    assert len(done["copied"]) == 1
    assert done["server_side"] is False
    assert two.run("verify", "--level", "data", "--repository", "offsite").code == 0
    _change(data, "third\n")
    both = _sources(two.run("backup", "--json"))
    assert {each["kind"] for each in both.values()} == {"incremental"}


def test_a_target_that_diverged_is_refused(two: Program, data: Path) -> None:
    two.run("backup")
    _change(data, "second\n")
    two.run("backup", "--repository", "default")
    _change(data, "third\n")
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
    assert _restored(through, data, target, "copies") == "third\n"


def test_an_archived_chain_needs_a_thaw_first(chained: Program, data: Path) -> None:
    _change(data, "fourth\n")
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
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(_credentials(tmp_path, rclone)))
        away = chained.configured(
            f'[[repositories]]\nname = "rclone"\nrepository = "s3://{rclone.create_bucket()}"\n'
            f'endpoint_url = "{rclone.endpoint_url}"\nprofile = "elsewhere"\n'
        )
        ran = away.run("copy", data.name, "--to", "rclone")
        assert ran.code == 0, ran.err
        assert "downloaded, checked and uploaded" in ran.out
        assert away.run("verify", "--level", "data", "--repository", "rclone").code == 0
        assert _restored(away, data, target, "rclone") == "third\n"


def test_a_copy_needs_two_repositories(chained: Program, data: Path) -> None:
    ran = chained.run("copy", data.name, "--to", "default")
    assert ran.code == 2
    assert "one repository" in ran.err
    ran = chained.run("copy", data.name, "--to", "copis")
    assert ran.code == 2
    assert "did you mean copies?" in ran.err
