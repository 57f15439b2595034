"""``doctor``: its exit code, its lines, and that it writes nothing unasked."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from btrfs_to_s3.cli.main import run
from tests.cli.program import ROOT, Ran
from tests.stand_ins.programs import executable, found_first

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.moto import Moto
    from tests.cli.program import Program

ARCHIVES_MANIFESTS: dict[str, Any] = {
    "ID": "it's theirs",
    "Filter": {"Prefix": "pre/manifests/"},
    "Status": "Enabled",
    "Transitions": [{"Days": 3, "StorageClass": "GLACIER"}],
}
KEEPS: dict[str, Any] = {
    "ID": "logs",
    "Filter": {"Prefix": "logs/"},
    "Status": "Enabled",
    "Expiration": {"Days": 30},
}


def _bucket(program: Program) -> str:
    return program.environ["BTRFS_TO_S3_URL"].split("/")[2]


def _set(moto: Moto, program: Program, *rules: dict[str, Any]) -> None:
    with contextlib.closing(moto.client()) as client:
        client.put_bucket_lifecycle_configuration(
            Bucket=_bucket(program),
            LifecycleConfiguration={"Rules": list(rules)},  # type: ignore[arg-type]  # as JSON has it
        )


def _rules(moto: Moto, program: Program) -> list[Any]:
    with contextlib.closing(moto.client()) as client:
        try:
            found = client.get_bucket_lifecycle_configuration(Bucket=_bucket(program))
        except client.exceptions.ClientError:
            return []
        return list(found["Rules"])


def _checks(ran: Ran) -> dict[str, dict[str, Any]]:
    return {
        "/".join(filter(None, (check["subject"], check["name"]))): check
        for check in ran.document["checks"]
    }


def test_a_machine_and_a_bucket_in_order_end_with_0(program: Program, data: Path) -> None:
    first = program.run("doctor", data, "--json")
    assert first.code == 0
    assert "error" not in first.document
    assert program.run("backup", data).code == 0
    ran = program.run("doctor", data, "--json")
    assert ran.code == 0
    assert {check["verdict"] for check in _checks(ran).values()} <= {"pass", "warn"}
    assert _checks(ran)[f"{data.name}/source"]["verdict"] == "pass"
    assert _checks(ran)["repository"]["text"].startswith("backups: 1")


def test_nothing_is_written_here_or_there_without_apply(
    moto: Moto, program: Program, data: Path, filesystem: LoopbackBtrfs
) -> None:
    before = sorted(filesystem.mount_point.iterdir())
    assert program.run("doctor", data).code == 0
    assert not os.path.lexists(program.environ["BTRFS_TO_S3_STATE_DIR"])
    assert sorted(filesystem.mount_point.iterdir()) == before
    assert _rules(moto, program) == []
    with contextlib.closing(moto.client()) as client:
        assert "Contents" not in client.list_objects_v2(Bucket=_bucket(program))
        assert "Uploads" not in client.list_multipart_uploads(Bucket=_bucket(program))


def test_a_failed_check_ends_with_2_and_a_remedy(moto: Moto, program: Program, data: Path) -> None:
    _set(moto, program, ARCHIVES_MANIFESTS)
    ran = program.run("doctor", data)
    assert ran.code == 2
    assert 'fail  lifecycle_metadata: rule "it\'s theirs" moves manifests/ to GLACIER' in ran.out
    assert "      remedy: limit the rule" in ran.out
    assert ran.lines[0].endswith("checks failed: lifecycle_metadata")
    assert program.run("doctor", data, "--json").document["error"]["kind"] == "checks_failed"


def test_the_printed_command_carries_every_rule(moto: Moto, program: Program) -> None:
    _set(moto, program, ARCHIVES_MANIFESTS, KEEPS)
    out = program.run("doctor").out
    command = shlex.split(out[out.index("aws s3api") : out.rindex("'") + 1])
    given = json.loads(command[command.index("--lifecycle-configuration") + 1])
    assert [rule["ID"] for rule in given["Rules"]] == [
        "it's theirs",
        "logs",
        "btrfs-to-s3 pre: unfinished uploads",
    ]
    document = program.run("doctor", "--json").document
    assert document["lifecycle"]["configuration"] == given
    assert document["lifecycle"]["applied"] is False


def test_apply_sets_the_rules_and_keeps_those_of_others(moto: Moto, program: Program) -> None:
    _set(moto, program, KEEPS)
    ran = program.run("doctor", "--apply")
    assert "set lifecycle rules: btrfs-to-s3 pre: unfinished uploads" in ran.out
    rules = _rules(moto, program)
    assert KEEPS in rules
    assert len(rules) == 2
    again = program.run("doctor", "--apply", "--json")
    assert again.document["lifecycle"]["applied"] is False
    assert _checks(again)["lifecycle_uploads"]["verdict"] == "pass"


def test_without_a_repository_this_machine_is_looked_at_all_the_same(alone: Program) -> None:
    ran = alone.run("doctor", "--json")
    assert ran.code == 2
    checks = _checks(ran)
    assert checks["kernel"]["known"]
    assert checks["service"]["verdict"] == "fail"
    assert checks["service"]["text"] == "no repository is named"


def test_a_configuration_that_cannot_be_used_hides_nothing_of_the_machine(alone: Program) -> None:
    ran = alone.configured("chunk_size = 3\n").run("doctor", "--json")
    assert ran.code == 2
    assert ran.document["error"]["kind"] == "config"
    assert _checks(ran)["configuration"]["verdict"] == "fail"
    assert _checks(ran)["kernel"]["known"]
    assert not _checks(ran)["service"]["known"]


def test_a_profile_that_does_not_exist_is_a_failure_of_the_service_alone(
    program: Program, data: Path
) -> None:
    ran = program.run("doctor", data, "--profile", "nobody", "--json")
    assert ran.code == 2
    failed = {name for name, check in _checks(ran).items() if check["verdict"] == "fail"}
    assert failed == {"service"}
    assert _checks(ran)[f"{data.name}/nested"]["verdict"] == "pass"


def test_each_source_is_judged_by_itself(
    program: Program, data: Path, filesystem: LoopbackBtrfs
) -> None:
    plain = filesystem.mount_point / f"{data.name}-plain"
    plain.mkdir()
    inner = filesystem.subvolume(f"{data.name}/inner")
    assert inner.is_dir()
    absent = filesystem.mount_point / "absent"
    ran = program.run("doctor", data, plain, absent, "--json")
    checks = _checks(ran)
    assert ran.code == 2
    assert checks[f"{data.name}/nested"]["text"].endswith("in no backup: inner")
    assert checks[f"{plain.name}/source"]["verdict"] == "fail"
    assert "does not exist" in checks["absent/source"]["text"]
    # What is a source itself is not missed.
    both = _checks(program.run("doctor", data, inner, "--json"))
    assert both[f"{data.name}/nested"]["verdict"] == "pass"


def test_without_the_privilege_what_is_not_seen_is_said(program: Program, data: Path) -> None:
    without = ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", "--")
    done = subprocess.run(
        [*without, sys.executable, "-m", "btrfs_to_s3", "doctor", data, "--json"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **program.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    checks = _checks(Ran(done.returncode, done.stdout, done.stderr))
    assert done.returncode == 0
    assert checks["privilege"]["verdict"] == "warn"
    assert checks[f"{data.name}/source"]["verdict"] == "pass"
    for name in ("identity", "nested", "snapshot_directory"):
        assert not checks[f"{data.name}/{name}"]["known"]
    assert checks["service"]["verdict"] == "pass"


def test_a_service_that_is_away_hides_nothing_of_the_machine(program: Program, data: Path) -> None:
    ran = program.run("doctor", data, "--json", "--endpoint-url", "http://127.0.0.1:9")
    assert ran.code == 2
    checks = _checks(ran)
    assert checks["service"]["verdict"] == "fail"
    assert not checks["clock"]["known"]
    assert not checks["lifecycle"]["known"]
    assert checks[f"{data.name}/source"]["verdict"] == "pass"


def test_credentials_are_told_and_never_shown(program: Program) -> None:
    ran = program.with_environment(AWS_SECRET_ACCESS_KEY="planted-secret").run("doctor")
    assert "credentials: found in the environment" in ran.out
    assert "planted-secret" not in ran.out + ran.err
    assert program.environ["AWS_ACCESS_KEY_ID"] not in ran.out.replace("AWS_ACCESS_KEY_ID", "")


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_leaves_the_lines_out_and_keeps_the_exit_code(alone: Program, quiet: bool) -> None:
    ran = alone.run("doctor", *(["-q"] if quiet else []))
    assert ran.code == 2
    assert bool(ran.out) is not quiet
    assert "error: 1 of" in ran.err


def _timers(*arguments: str, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What doctor says of timers."""
    out = io.StringIO()
    run([*arguments, "doctor", "--json"], environ, out, io.StringIO())
    return [check for check in json.loads(out.getvalue())["checks"] if check["name"] == "timer"]


def test_it_says_whether_a_timer_starts_backups(
    alone: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = tmp_path / "blocks"
    shows = f"#!/bin/sh\n[ -e {blocks} ] && head -n $(($# > 6 ? 12 : 4)) {blocks}\n"
    found_first(monkeypatch, executable(tmp_path / "bin" / "systemctl", shows))
    elsewhere = ("-c", str(alone.file))
    (timer,) = _timers(*elsewhere, environ=alone.environ)
    assert timer["verdict"] == "warn"
    assert "another scheduler" in timer["remedy"]

    shown = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\n"
    blocks.write_text("\n".join([shown] * 3))
    (timer,) = _timers(*elsewhere, environ=alone.environ)
    assert "/etc/btrfs-to-s3/NAME.toml" in timer["remedy"]
    # Without -c the file is the default one, whose instance is "config".
    timers = _timers(environ=alone.environ)
    assert [timer["verdict"] for timer in timers] == ["pass"] * 3
    assert timers[0]["text"].startswith("btrfs-to-s3@config.timer is enabled")


@pytest.mark.filterwarnings("ignore:.*slated for removal in Python:DeprecationWarning")
def test_it_says_whether_those_who_are_to_be_told_can_be(
    alone: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = alone.with_environment(
        BTRFS_TO_S3_NOTIFY_URLS="json://localhost/5ecre7 nosuch://5ecre7",
        BTRFS_TO_S3_METRICS_FILE=str(tmp_path / "absent" / "x.prom"),
    )

    def checks(program: Program) -> dict[str, Any]:
        ran = program.run("doctor", "--json")
        assert "5ecre7" not in ran.out + ran.err
        return {check["name"]: check for check in ran.document["checks"]}

    found = checks(program)
    assert (found["notify"]["verdict"], found["metrics_file"]["verdict"]) == ("warn", "warn")
    assert "number 2 (nosuch://)" in found["notify"]["text"]
    good = program.with_environment(
        BTRFS_TO_S3_NOTIFY_URLS="json://localhost/5ecre7",
        BTRFS_TO_S3_METRICS_FILE=str(tmp_path / "x.prom"),
    )
    assert checks(good)["notify"]["verdict"] == "pass"
    assert checks(good)["metrics_file"]["verdict"] == "pass"
    assert checks(good)["metrics_file"]["text"] == str(tmp_path / "x.prom")
    unread = good.with_environment(BTRFS_TO_S3_METRICS_FILE=str(tmp_path / "x.txt"))
    assert checks(unread)["metrics_file"]["verdict"] == "warn"
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert checks(good)["notify"]["remedy"].startswith(f"{sys.executable} -m pip install ")
    assert not {"notify", "metrics_file"} & set(checks(alone))
