"""The program against a real Btrfs and a real service: the everyday, told as text and as JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from btrfs_to_s3.model.identity import BackupId
from tests.cli.shapes import golden_document as _golden
from tests.cli.shapes import shape as _shape

if TYPE_CHECKING:
    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from tests.cli.program import Program

pytestmark = pytest.mark.btrfs


def _change(data: Path, text: str) -> None:
    (data / "note").write_text(text)


def _snapshots(filesystem: LoopbackBtrfs, data: Path) -> list[str]:
    kept = filesystem.mount_point / ".btrfs-to-s3"
    return sorted(path.name for path in kept.glob(f"{data.name}-*"))


def test_the_everyday(
    program: Program, filesystem: LoopbackBtrfs, data: Path, target: Path
) -> None:
    label = data.name
    first = program.run("backup", data)
    assert first.code == 0
    assert first.out.startswith(f"{label}: full backup done\n  because")
    assert f"{label}: full backup starts" in first.lines

    again = program.run("backup", data)
    assert again.code == 0
    assert again.out.startswith(f"{label}: nothing to do\n  because  nothing changed since backup")

    _change(data, "second\n")
    second = program.run("backup", data, "--json")
    assert second.code == 0
    (source,) = second.document["sources"]
    assert (source["decision"], source["kind"]) == ("incremental", "incremental")
    assert source["backup"]["raw_size_bytes"] < 10_000
    assert len(source["pruned_local"]) == 1
    assert len(_snapshots(filesystem, data)) == 1
    assert "incremental backup" not in second.out.replace(json.dumps(second.document), "")

    restored = program.run("restore", label, "--target", target, "--writable", "--verify", "full")
    assert restored.code == 0
    assert (target / label / "note").read_text() == "second\n"
    assert "the same" in restored.out
    there = program.run("restore", label, "--target", target)
    assert "nothing: the snapshot was there already" in there.out

    for arguments in (["verify"], ["verify", label, "--level", "data"], ["verify", "--checksums"]):
        verified = program.run(*arguments)
        assert verified.code == 0
        assert "2 backups of 1 source" in verified.out


def test_documents_of_real_runs_have_the_keys_of_the_golden_ones(
    program: Program, data: Path, target: Path
) -> None:
    program.run("backup", data)
    _change(data, "second\n")
    planned = program.run("backup", data, "--dry-run", "--json").document
    assert _shape(planned) == _shape(_golden("backup-dry-run"))
    golden_plan = _golden("plan")
    golden_plan["prune"]["orphans"]["left"] = []
    golden_plan["cost"]["prunes"] = []
    plan = program.run("plan", data, "--json").document
    assert _shape(plan) == _shape(golden_plan)
    assert plan["prune"]["orphans"]["object_count"] is None

    done = program.run("backup", data, "--json").document
    golden = _golden("backup")
    assert set(golden) - set(done) == {"error"}
    assert _shape(done["sources"]) == _shape(golden["sources"])

    listed, golden = program.run("list", "--json").document, _golden("list")
    assert set(golden) - set(listed) == {"error"}
    assert _shape(listed["sources"]) == _shape(golden["sources"])
    assert _shape(program.run("show", data.name, "--json").document) == _shape(_golden("show"))

    status, golden = program.run("status", "--json", "--max-age", "1h").document, _golden("status")
    assert set(golden) - set(status) == {"error"}
    for each in golden["sources"]:
        each["running"] = each["last_error"] = None
    assert _shape(status["sources"]) == _shape(golden["sources"])

    arguments = ("restore", data.name, "--target", target, "--json")
    assert _shape(program.run(*arguments, "--dry-run").document) == _shape(
        _golden("restore-dry-run")
    )
    assert _shape(program.run(*arguments, "--verify", "sample").document) == _shape(
        _golden("restore")
    )

    verified, golden = program.run("verify", "--json").document, _golden("verify")
    assert set(golden) - set(verified) == {"error"}
    pruned, golden = program.run("prune", "--keep", "last=1", "--json").document, _golden("prune")
    assert set(pruned) == set(golden)
    assert set(pruned["sources"][0]) == set(golden["sources"][0])
    assert set(pruned["sources"][0]["result"]) == set(golden["sources"][0]["result"])


def test_backups_are_found_by_label_host_source_id_time_and_backup_id(
    program: Program, data: Path
) -> None:
    program.run("backup", data)
    (source,) = program.run("list", "--json").document["sources"]
    backup_id = source["backups"][0]["backup_id"]
    day = source["backups"][0]["snapshot_time"][:10]
    assert BackupId.parse(backup_id)
    for address in (
        data.name,
        f"nas/{data.name}",
        source["source_id"],
        f"{data.name}@{day}",
        f"{data.name}@{backup_id}",
        backup_id,
    ):
        ran = program.run("show", address)
        assert ran.code == 0, ran.err
        assert ran.out.startswith(f"{source['source_id']}@{backup_id}\n")
    assert program.run("list", data.name).out.count(backup_id) == 1
    for address in ("other", f"laptop/{data.name}", f"{data.name}@2020-01-01", f"{data.name}@x:y"):
        assert program.run("show", address).code == 2
    assert program.run("list", f"{data.name}@latest").code == 2
    assert program.run("show", "20200101T000000Z-full-00000000").code == 2


def test_plan_and_dry_run_write_nothing_anywhere(
    program: Program, filesystem: LoopbackBtrfs, other_filesystem: LoopbackBtrfs, data: Path,
    target: Path,
) -> None:  # fmt: skip
    def everything() -> tuple[object, ...]:
        return (
            _objects(program),
            _files(Path(program.environ["BTRFS_TO_S3_STATE_DIR"])),
            _filesystem(filesystem),
            _filesystem(other_filesystem),
        )

    program.run("backup", data)
    _change(data, "second\n")
    for made in (filesystem, other_filesystem):
        _settle(made)
    before = everything()
    for arguments in (
        ["plan", str(data)],
        ["plan", str(data), "--json"],
        ["backup", str(data), "--dry-run", "--full"],
        ["restore", data.name, "--target", str(target), "--dry-run"],
        ["prune", "--dry-run", "--keep", "last=1"],
    ):
        assert program.run(*arguments).code == 0
        assert everything() == before, arguments


def test_a_plan_before_the_first_backup_needs_no_repository_and_makes_none(
    program: Program, data: Path
) -> None:
    for arguments in (["plan", str(data)], ["backup", "--dry-run", str(data)]):
        ran = program.run(*arguments)
        assert ran.code == 0
        assert ran.out.startswith(f"{data.name}: full backup would be made\n")
        assert _objects(program) == {}
        assert not Path(program.environ["BTRFS_TO_S3_STATE_DIR"]).exists()


def test_full_force_and_new_do_what_they_say(program: Program, data: Path) -> None:
    def decision(*options: str) -> str:
        ran = program.run("backup", data, "--json", *options)
        assert ran.code == 0, ran.err
        return str(ran.document["sources"][0]["decision"])

    assert decision() == "full"
    assert decision() == "skip"
    assert decision("--force") == "incremental"
    assert decision("--full", "--force") == "full"
    assert decision("--new") == "full"
    ids = [each["source_id"] for each in program.run("list", "--json").document["sources"]]
    assert len(ids) == 2
    assert decision("--force", "--adopt", ids[0]) in ("incremental", "full")


def test_a_given_snapshot_is_backed_up_instead_of_a_new_one(
    program: Program, filesystem: LoopbackBtrfs, data: Path
) -> None:
    given = filesystem.snapshot(data, f"snapper-{data.name}")
    ran = program.run("backup", data, "--snapshot", given, "--json")
    assert ran.code == 0, ran.err
    shown = program.run("show", data.name, "--json").document
    assert shown["backup"]["snapshot_name"] == given.name
    assert given.exists()


def test_a_restore_keeps_its_links_on_demand_and_takes_a_name(
    program: Program, data: Path, target: Path
) -> None:
    program.run("backup", data)
    _change(data, "second\n")
    program.run("backup", data)
    ran = program.run(
        "restore", data.name, "--target", target, "--keep-links", "--writable", "mine", "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.document["writable"] == str(target / "mine")
    assert len(ran.document["received"]) == 2
    assert len(list(target.iterdir())) == 3
    taken = program.run("restore", data.name, "--target", target, "--writable", "mine")
    assert taken.code == 2
    assert "exists already" in taken.err


def test_every_configured_source_is_backed_up_and_one_failure_stops_no_other(
    program: Program, data: Path, tmp_path: Path
) -> None:
    ext4 = tmp_path / "not-btrfs"
    ext4.mkdir()
    several = program.configured(
        f'[[sources]]\npath = "{ext4}"\n[[sources]]\npath = "{data}"\nlabel = "mine"\n'
    )
    ran = several.run("backup")
    assert ran.code == 3
    assert ran.out.startswith("mine: full backup done\n")
    assert ran.lines[-2].startswith("error: not-btrfs: ")
    ran = several.run("backup", "--json")
    assert ran.code == 3
    assert [each["label"] for each in ran.document["sources"]] == ["not-btrfs", "mine"]
    assert ran.document["sources"][0]["error"]["code"] == 3
    assert ran.document["error"]["code"] == 3

    stale = several.run("status")
    assert stale.code == 8
    assert "error: no success: not-btrfs" in stale.lines
    assert several.run("plan").code == 3


def test_quiet_leaves_warnings_and_errors_and_verbose_tells_more(
    program: Program, data: Path
) -> None:
    quiet = program.run("-q", "backup", data)
    assert (quiet.code, quiet.out) == (0, "")
    assert all(line.startswith("warning: ") for line in quiet.lines)
    _change(data, "second\n")
    verbose = program.run("-v", "backup", data)
    assert "taking a snapshot" in verbose.lines
    assert program.run("-q", "list").out != ""


def test_a_nested_subvolume_is_named_in_a_warning(
    program: Program, filesystem: LoopbackBtrfs, data: Path
) -> None:
    filesystem.subvolume(f"{data.name}/inner")
    ran = program.run("backup", data)
    assert ran.code == 0
    assert any(line.startswith(f"warning: {data.name}: the subvolume inner") for line in ran.lines)


def _objects(program: Program) -> dict[str, str]:
    bucket = program.environ["BTRFS_TO_S3_URL"].split("/")[2]
    client = boto3.client(
        "s3", endpoint_url=program.environ["AWS_ENDPOINT_URL"], region_name="us-east-1"
    )
    try:
        found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: each["ETag"] for each in found}
    finally:
        client.close()


def _files(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _settle(filesystem: LoopbackBtrfs) -> None:
    """Wait until the kernel has cleaned up deleted subvolumes, and has nothing left to commit."""
    subprocess.run(
        ["btrfs", "subvolume", "sync", str(filesystem.mount_point)],
        check=True,
        capture_output=True,
    )
    filesystem.sync()


def _filesystem(filesystem: LoopbackBtrfs) -> tuple[str, list[str]]:
    """The superblock's generation, which every commit raises, and all subvolumes."""
    super_block = subprocess.run(
        ["btrfs", "inspect-internal", "dump-super", str(filesystem.device)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (generation,) = [line for line in super_block.splitlines() if line.startswith("generation")]
    listed = subprocess.run(
        ["btrfs", "subvolume", "list", str(filesystem.mount_point)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return generation, listed.splitlines()
