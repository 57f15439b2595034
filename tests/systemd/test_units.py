"""The shipped units: systemd understands them, and they are as closed as the document says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import click
import pytest

from btrfs_to_s3.cli.root import root
from tests.stand_ins.programs import executable

REPOSITORY = Path(__file__).parents[2]
SHIPPED = sorted(path for path in (REPOSITORY / "systemd").iterdir() if path.is_file())
OF_USERS = sorted((REPOSITORY / "systemd" / "user").iterdir())
SERVICES = [path for path in SHIPPED if path.suffix == ".service"]
RUNS = [path for path in SERVICES if "failed" not in path.name]
DOCUMENT = (REPOSITORY / "docs" / "systemd.md").read_text("utf-8")
PROGRAM = "/usr/local/bin/btrfs-to-s3"
OTHER_VERSIONS = 0.5
"""Other versions of systemd know other directives, which moves the figure by less."""


def _analyze(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        # The colon at the end keeps the machine's own units.
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{directory}:", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def _recorded_version() -> int:
    match = re.search(r"Recorded with systemd (\d+)", DOCUMENT)
    assert match is not None
    return int(match[1])


def _settings(unit: Path) -> list[tuple[str, str]]:
    pairs = [line.partition("=") for line in unit.read_text("utf-8").splitlines()]
    return [(name, value) for name, equals, value in pairs if equals and name[:1].isalpha()]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a program that exists, where systemd-analyze looks for them."""
    program = executable(tmp_path / "program")
    units = tmp_path / "units"
    units.mkdir()
    for unit in SHIPPED:
        text = unit.read_text("utf-8").replace(PROGRAM, str(program))
        (units / unit.name).write_text(text, "utf-8")
    return units


def test_every_job_has_a_service_and_a_timer() -> None:
    jobs = ("btrfs-to-s3@", "btrfs-to-s3-prune@", "btrfs-to-s3-verify@")
    expected = {f"{job}.{kind}" for job in jobs for kind in ("service", "timer")}
    assert {unit.name for unit in SHIPPED} == {*expected, "btrfs-to-s3-failed@.service"}


@pytest.mark.parametrize("unit", SHIPPED, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, installed: Path) -> None:
    assert _analyze(installed, "verify", "--man=no", str(installed / unit.name)) == ""


@pytest.mark.parametrize("unit", OF_USERS, ids=lambda unit: unit.name)
def test_a_users_service_manager_understands_its_own(unit: Path, tmp_path: Path) -> None:
    for each in OF_USERS:
        text = each.read_text("utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / each.name).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", str(tmp_path / unit.name)],
        env={
            "PATH": os.environ["PATH"],
            "SYSTEMD_UNIT_PATH": f"{tmp_path}:",
            "XDG_RUNTIME_DIR": str(tmp_path),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""


def test_what_the_system_and_a_user_run_weekly_is_the_same_check() -> None:
    system = dict(_settings(REPOSITORY / "systemd" / "btrfs-to-s3-verify@.service"))
    user = dict(_settings(REPOSITORY / "systemd" / "user" / "btrfs-to-s3-verify@.service"))
    assert user["ExecStart"] == system["ExecStart"].replace("/etc/", "%E/")
    same = ("Type", "NotifyAccess", "SuccessExitStatus", "WatchdogSec", "KillMode", "OnFailure")
    assert [user[name] for name in same] == [system[name] for name in same]


def test_a_line_that_systemd_does_not_understand_would_be_found(installed: Path) -> None:
    broken = installed / "btrfs-to-s3@.service"
    broken.write_text(broken.read_text("utf-8") + "ProtectEverything=yes\n", "utf-8")
    assert "ProtectEverything" in _analyze(installed, "verify", "--man=no", str(broken))


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_the_recorded_exposure_is_what_systemd_says(unit: Path, installed: Path) -> None:
    version = _analyze(installed, "--version")
    said = _analyze(installed, "security", "--offline=yes", str(installed / unit.name))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    recorded = re.search(rf"^\| `{re.escape(unit.name)}` \| ([\d.]+) \|$", DOCUMENT, re.MULTILINE)
    assert found is not None
    assert recorded is not None
    if re.match(rf"systemd {_recorded_version()}\b", version):
        assert float(recorded[1]) == float(found[1])
    else:
        assert abs(float(recorded[1]) - float(found[1])) <= OTHER_VERSIONS


@pytest.mark.parametrize("unit", RUNS, ids=lambda unit: unit.name)
def test_a_service_runs_a_command_that_exists_on_its_own_file(unit: Path) -> None:
    kind = unit.name.removeprefix("btrfs-to-s3").removesuffix("@.service").lstrip("-") or "backup"
    settings = dict(_settings(unit))
    assert settings["ExecStart"] == f"{PROGRAM} -c /etc/btrfs-to-s3/%i.toml {kind}"
    assert root.get_command(click.Context(root), kind) is not None


@pytest.mark.parametrize("unit", RUNS, ids=lambda unit: unit.name)
def test_nothing_but_a_stop_passes_for_success_and_nothing_restarts(unit: Path) -> None:
    settings = _settings(unit)
    assert [value for name, value in settings if name == "SuccessExitStatus"] == ["130"]
    assert [value for name, value in settings if name == "OnFailure"] == [
        "btrfs-to-s3-failed@%n.service"
    ]
    assert not [name for name, _ in settings if name.startswith(("Restart", "Condition"))]


@pytest.mark.parametrize("unit", RUNS, ids=lambda unit: unit.name)
def test_all_services_share_state_keys_and_a_watchdog(unit: Path) -> None:
    settings = dict(_settings(unit))
    assert settings["StateDirectory"] == "btrfs-to-s3"
    assert settings["LoadCredential"] == "credentials:/etc/btrfs-to-s3/%i.credentials"
    assert settings["Environment"] == "AWS_SHARED_CREDENTIALS_FILE=%d/credentials"
    assert (settings["Type"], settings["NotifyAccess"]) == ("notify", "main")
    assert settings["WatchdogSec"] == "30min"


@pytest.mark.parametrize("unit", RUNS, ids=lambda unit: unit.name)
def test_every_capability_that_is_left_is_explained(unit: Path) -> None:
    words = set(re.findall(r"\w+", unit.read_text("utf-8").partition("CapabilityBoundingSet=")[0]))
    for capability in dict(_settings(unit))["CapabilityBoundingSet"].split():
        assert capability.removeprefix("CAP_") in words
        assert capability in DOCUMENT


@pytest.mark.parametrize("unit", [path for path in SHIPPED if path.suffix == ".timer"], ids=str)
def test_a_timer_makes_up_for_what_was_missed_at_a_time_that_exists(
    unit: Path, tmp_path: Path
) -> None:
    settings = dict(_settings(unit))
    assert settings["Persistent"] == "true"
    assert settings["DefaultInstance"] == "config"
    assert "Next elapse" in _analyze(tmp_path, "calendar", settings["OnCalendar"])


def test_the_files_that_the_document_shows_are_understood(installed: Path) -> None:
    """Each fenced drop-in names its unit in the command or the comment before its first section."""
    shown = re.findall(r"systemctl edit (\S+)\n(?:```\n\n```ini\n)?(\[.*?)```", DOCUMENT, re.DOTALL)
    assert len(shown) == 3
    for name, text in shown:
        template = re.sub(r"@\w+\.", "@.", name)
        drop_in = installed / f"{template}.d" / "override.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(text.replace("/usr/local/bin/tell-me", "/bin/true"), "utf-8")
        said = _analyze(installed, "verify", "--man=no", str(installed / template))
        assert said == "", name
