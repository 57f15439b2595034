"""Every exit code of the design that applies, provoked by a real run of a real process."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.cli.program import Ran

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.moto import Moto
    from tests.cli.program import Program

pytestmark = pytest.mark.btrfs
SLOW = ("--bandwidth-limit", "50KiB/s", "--concurrency", "1")
"""The rest of the stream takes most of a minute."""


@pytest.fixture
def s3(program: Program) -> S3Client:
    return boto3.client(
        "s3", endpoint_url=program.environ["AWS_ENDPOINT_URL"], region_name="us-east-1"
    )


def _bucket(program: Program) -> str:
    return program.environ["BTRFS_TO_S3_URL"].split("/")[2]


def _wait_for_chunk(program: Program, s3: S3Client, process: subprocess.Popen[str]) -> None:
    """Until the first chunk is stored: from there on there is something to go on with."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        found = s3.list_objects_v2(Bucket=_bucket(program), Prefix="pre/chunks/")
        if found["KeyCount"]:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def _stop(program: Program, s3: S3Client, data: Path, number: signal.Signals) -> Ran:
    """A backup that is stopped in its middle by a signal to its whole process group."""
    process = program.start("backup", data, *SLOW, "--json", process_group=0)
    _wait_for_chunk(program, s3, process)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    return Ran(process.returncode, out, err)


def test_0_when_done_and_when_nothing_is_due(program: Program, data: Path) -> None:
    assert program.spawn("backup", data).code == 0
    again = program.spawn("backup", data, "--json")
    assert again.code == 0
    assert again.document["sources"][0]["decision"] == "skip"
    assert "error" not in again.document


def test_2_when_there_is_no_repository(program: Program) -> None:
    for command in ("list", "status", "verify", "prune"):
        ran = program.run(command)
        assert ran.code == 2
        assert ran.lines[0].startswith("error: there is no repository at s3://")


def test_2_when_a_path_of_the_command_line_does_not_exist(
    program: Program, data: Path, tmp_path: Path
) -> None:
    missing = str(tmp_path / "nothing")
    for arguments in (
        ["backup", missing],
        ["backup", missing, "--dry-run"],
        ["plan", missing],
        ["backup", str(data), "--snapshot", missing],
    ):
        ran = program.run(*arguments, "--json")
        assert ran.code == 2, arguments
        assert ran.document["error"]["kind"] == "usage"
        assert f"{missing} does not exist" in ran.document["error"]["message"]
    program.run("backup", data)
    for arguments in ([], ["--dry-run"]):
        ran = program.run("restore", data.name, "--target", missing, *arguments, "--json")
        assert ran.code == 2
        assert ran.document["error"]["kind"] == "usage"


def test_a_missing_path_of_the_command_line_stops_no_other_source(
    program: Program, data: Path, tmp_path: Path
) -> None:
    ran = program.run("backup", tmp_path / "nothing", data)
    assert ran.code == 2
    assert ran.out.startswith(f"{data.name}: full backup done\n")


def test_3_when_a_configured_source_is_not_mounted(program: Program, tmp_path: Path) -> None:
    configured = program.configured(f'[[sources]]\npath = "{tmp_path}/unmounted"\n')
    for arguments in (["backup"], ["plan"]):
        ran = configured.run(*arguments, "--json")
        assert ran.code == 3
        assert ran.document["error"]["kind"] == "source"


def test_3_when_the_only_source_cannot_be_backed_up_and_no_repository_is_made(
    program: Program, s3: S3Client, tmp_path: Path
) -> None:
    ran = program.spawn("backup", tmp_path, "--json")
    assert ran.code == 3
    assert ran.document["error"]["code"] == 3
    assert ran.document["error"]["kind"] == "source"
    assert ran.lines[-2].startswith(f"error: {tmp_path.name}: ")
    assert s3.list_objects_v2(Bucket=_bucket(program))["KeyCount"] == 0


def test_3_when_the_target_is_no_btrfs(program: Program, data: Path, tmp_path: Path) -> None:
    program.run("backup", data)
    for arguments in ([], ["--dry-run"]):
        ran = program.run("restore", data.name, "--target", tmp_path, *arguments)
        assert ran.code == 3
        assert "is not on a Btrfs filesystem" in ran.lines[-2]


def test_3_also_in_a_dry_run_when_the_source_would_be_refused(
    program: Program, filesystem: LoopbackBtrfs, data: Path
) -> None:
    program.run("backup", data)
    filesystem.delete_subvolume(data)
    filesystem.subvolume(data.name)
    path = str(data)
    for arguments in (["backup", path], ["backup", path, "--dry-run"], ["plan", path, "--json"]):
        ran = program.run(*arguments)
        assert ran.code == 3
        assert "--adopt" in ran.err


def test_4_when_the_bucket_does_not_exist(program: Program, data: Path) -> None:
    other = program.with_environment(BTRFS_TO_S3_URL="s3://no-such-bucket-here/pre")
    path = str(data)
    for arguments in (["backup", path], ["list"], ["plan", path], ["backup", path, "--dry-run"]):
        ran = other.run(*arguments, "--json")
        assert ran.code == 4
        assert ran.document["error"]["kind"] == "repository"


def test_4_when_nobody_answers(program: Program, data: Path, filesystem: LoopbackBtrfs) -> None:
    ran = program.run(
        "backup",
        data,
        "--endpoint-url",
        "http://127.0.0.1:9",
        "--retry-attempts",
        "1",
        "--outage-patience",
        "0",
    )
    assert ran.code == 4
    assert ran.lines[-1].startswith("hint: ")
    assert not list((filesystem.mount_point / ".btrfs-to-s3").glob(f"{data.name}-*"))


def test_a_service_that_does_not_answer_is_told_before_it_is_waited_for(program: Program) -> None:
    dead = program.with_environment(BTRFS_TO_S3_OUTAGE_PATIENCE="1s")
    ran = dead.run("-q", "list", "--endpoint-url", "http://127.0.0.1:9")
    assert ran.code == 4
    told = [line for line in ran.lines if line.startswith("warning: ")]
    assert len(told) == 1
    assert "no connection to http://127.0.0.1:9: Failed to establish" in told[0]
    assert told[0].endswith("waiting up to 1 s for the service")


def test_4_when_credentials_are_missing(
    program: Program, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    ran = program.run("backup", data)
    assert ran.code == 4
    assert ran.lines[0].startswith("error: no usable credentials for s3://")
    assert "sudo -E" in ran.lines[1]
    assert "units of systemd read /etc/btrfs-to-s3/NAME.credentials" in ran.lines[1]


def test_4_when_access_is_denied(
    program: Program, moto: Moto, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}],
    }
    program.run("backup", data)
    limited = moto.require_credentials(read_only)
    try:
        for name, value in limited.environment().items():
            if value:
                monkeypatch.setenv(name, value)
        ran = program.run("backup", data, "--force")
        assert ran.code == 4
        assert "access denied" in ran.err
        assert program.run("list").code == 0
    finally:
        moto.accept_any_credentials()


def test_5_when_a_manifest_was_edited(program: Program, s3: S3Client, data: Path) -> None:
    program.run("backup", data)
    bucket = _bucket(program)
    (manifest,) = s3.list_objects_v2(Bucket=bucket, Prefix="pre/manifests/")["Contents"]
    s3.put_object(Bucket=bucket, Key=manifest["Key"], Body=b"{}")
    shown = program.run("show", data.name, "--json")
    assert shown.code == 5
    assert shown.document["error"]["kind"] == "integrity"
    verified = program.run("verify", "--json")
    assert verified.code == 5
    assert verified.document["error"]["code"] == 5
    assert [each["problem"] for each in verified.document["findings"]] == ["manifest"]
    told = program.run("-q", "verify")
    assert (told.code, told.out) == (5, "")
    assert told.lines[0].startswith("error: verification found 1 fault in ")
    assert "advice" in program.run("verify").out
    assert program.run("-q", "verify", "--json").document["findings"]


def test_5_when_a_head_was_rolled_back_and_0_after_it_was_rebuilt(
    program: Program, s3: S3Client, data: Path
) -> None:
    bucket = _bucket(program)
    program.run("backup", data)
    (head,) = s3.list_objects_v2(Bucket=bucket, Prefix="pre/heads/")["Contents"]
    old = s3.get_object(Bucket=bucket, Key=head["Key"])["Body"].read()
    program.run("backup", data, "--force")
    s3.put_object(Bucket=bucket, Key=head["Key"], Body=old)
    for command in ("list", "status"):
        ran = program.run(command, "--json")
        assert ran.code == 5
        assert len(ran.document["unreadable"]) == 1
        assert "was rolled back" in ran.err
    assert program.run("list", data.name).code == 5
    rebuilt = program.run("verify", data.name, "--rebuild-head")
    assert rebuilt.code == 0
    assert "rebuilt from the manifests: 2 backups" in rebuilt.out
    assert program.run("list").out.count(data.name) == 2


def test_6_when_archived_data_would_have_to_be_read(
    program: Program, data: Path, target: Path
) -> None:
    assert program.run("backup", data, "--storage-class", "DEEP_ARCHIVE").code == 0
    ran = program.spawn("restore", data.name, "--target", target, "--json")
    assert ran.code == 6
    assert ran.document["error"]["kind"] == "not_readable_yet"
    assert not list(target.iterdir())
    assert program.run("verify").code == 0
    assert program.run("verify", "--level", "data").code == 6


def test_7_while_another_run_holds_the_lock_130_when_stopped_and_then_it_goes_on(
    program: Program, s3: S3Client, data: Path
) -> None:
    process = program.start("backup", data, *SLOW, process_group=0)
    _wait_for_chunk(program, s3, process)
    for arguments in (["backup", data], ["prune"], ["verify", data.name, "--rebuild-head"]):
        locked = program.run(*arguments, "--json")
        assert locked.code == 7
        assert locked.document["error"]["kind"] == "locked"
        assert locked.document["error"]["context"]["pid"] == process.pid
    assert program.run("plan", data).code == 0

    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"error: {data.name}: stopped by SIGINT" in err.splitlines()
    assert err.splitlines()[-1] == (
        "hint: run the same command again: it goes on where this run stopped"
    )

    resumed = program.run("backup", data, "--json")
    assert resumed.code == 0
    (source,) = resumed.document["sources"]
    assert (source["decision"], source["backup"]["resumed"]) == ("resume", True)
    assert source["backup"]["reused_bytes"] >= 1024**2


def test_130_by_sigterm_with_one_json_document_and_restart_begins_anew(
    program: Program, s3: S3Client, data: Path, filesystem: LoopbackBtrfs
) -> None:
    stopped = _stop(program, s3, data, signal.SIGTERM)
    assert stopped.code == 130
    assert stopped.document["error"] == {
        "code": 130,
        "kind": "interrupted",
        "message": f"{data.name}: stopped by SIGTERM",
        "hint": "run the same command again: it goes on where this run stopped",
        "context": {},
    }
    again = program.run("backup", data, "--restart", "--json")
    assert again.code == 0
    (source,) = again.document["sources"]
    assert (source["decision"], source["backup"]["reused_bytes"]) == ("full", 0)
    kept = filesystem.mount_point / ".btrfs-to-s3"
    assert len(list(kept.glob(f"{data.name}-*"))) == 1


def test_130_leaves_the_sources_behind_unattempted(
    program: Program, s3: S3Client, data: Path, filesystem: LoopbackBtrfs
) -> None:
    other = filesystem.subvolume(f"other-{data.name}")
    process = program.start("backup", data, other, *SLOW, "--json", process_group=0)
    _wait_for_chunk(program, s3, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    ran = Ran(process.returncode, out, err)
    assert ran.code == 130
    attempted = [each["label"] for each in ran.document["sources"]]
    assert attempted + ran.document["not_attempted"] == [data.name, other.name]


def test_130_when_a_restore_is_stopped_and_then_it_goes_on(
    program: Program, data: Path, target: Path
) -> None:
    program.run("backup", data)
    process = program.start("restore", data.name, "--target", target, *SLOW, process_group=0)
    deadline = time.monotonic() + 30
    while not list(target.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "error: stopped by SIGINT" in err.splitlines()
    assert not list(target.iterdir())
    assert program.run("restore", data.name, "--target", target).code == 0


def test_8_when_a_source_is_stale(program: Program, data: Path) -> None:
    program.run("backup", data)
    assert program.run("status", "--max-age", "26h").code == 0
    assert program.run("-q", "status", "--max-age", "26h").out == ""
    quiet = program.run("-q", "status", "--max-age", "0")
    assert (quiet.code, quiet.out) == (8, "")
    assert quiet.lines[0].startswith("error: no success for ")
    stale = program.spawn("status", "--max-age", "0", "--json")
    assert stale.code == 8
    assert stale.document["sources"][0]["stale"] is True
    assert stale.document["error"]["kind"] == "stale"
    assert stale.document["error"]["context"]["sources"] == [f"nas/{data.name}"]


def test_status_works_from_another_machine_and_counts_unchanged_runs_here_only(
    program: Program, data: Path, tmp_path: Path
) -> None:
    program.run("backup", data)
    assert program.run("backup", data).code == 0
    elsewhere = program.with_environment(
        BTRFS_TO_S3_STATE_DIR=str(tmp_path / "other"), BTRFS_TO_S3_HOST="laptop"
    )
    (here,), (there,) = (
        each.run("status", "--json").document["sources"] for each in (program, elsewhere)
    )
    assert (
        here["last_success_time"] > there["last_success_time"] == there["newest"]["finished_time"]
    )
    assert there["host"] == "nas"


def test_ctrl_c_on_a_terminal_takes_the_bar_away(
    program: Program, s3: S3Client, data: Path
) -> None:
    leader, follower = os.openpty()
    process = program.start(
        "backup", data, *SLOW, stdin=follower, stdout=follower, stderr=follower, process_group=0
    )
    os.close(follower)
    _wait_for_chunk(program, s3, process)
    os.killpg(process.pid, signal.SIGINT)
    said = b""
    while True:
        try:
            said += os.read(leader, 65536)
        except OSError:  # EIO: the program has ended
            break
    os.close(leader)
    assert process.wait(timeout=30) == 130
    shown = said.decode()
    assert f"{data.name}: full backup" in shown
    # Up one line, erase it: what follows stands where the bar was.
    assert f"\x1b[1A\x1b[2Kerror: {data.name}: stopped by SIGINT\r\n" in shown


def test_3_a_target_on_a_read_only_mount_of_a_writable_filesystem(
    program: Program, data: Path, target: Path, other_filesystem: LoopbackBtrfs
) -> None:
    assert program.spawn("backup", data).code == 0
    other_filesystem.remount("bind", "ro")
    try:
        ran = program.spawn("restore", data.name, "--target", target)
    finally:
        other_filesystem.remount("bind", "rw")
    assert ran.code == 3, ran.err
    assert f"error: {target} is mounted read-only" in ran.err
    assert not list(target.iterdir())
