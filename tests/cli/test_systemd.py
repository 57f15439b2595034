"""``systemd``: what it writes, what it leaves alone, what it says. systemctl is a stand-in."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from btrfs_to_s3.cli.main import run
from btrfs_to_s3.cli.session import Machine
from tests.cli.program import ROOT, Ran
from tests.cli.shapes import golden_document, shape
from tests.stand_ins.programs import executable, found_first

CONFIG = """\
repository = "s3://bucket/pre"
[[sources]]
path = "/data"
"""
FAILED = """\
ActiveState=failed
Result=exit-code
MainPID=0
ExecMainCode=1
ExecMainStatus=4
ExecMainStartTimestamp=Sat 2026-11-21 03:07:01 UTC
ExecMainExitTimestamp=Sat 2026-11-21 03:09:30 UTC
"""
RUNNING = """\
ActiveState=active
Result=success
MainPID=4711
ExecMainStartTimestamp=Sat 2026-11-21 03:07:01 UTC
ExecMainExitTimestamp=
"""
SYSTEMCTL = """\
#!/bin/sh
# Keeps what is enabled and active, and answers from the unit files. STATE has calls (a line for
# each), active-TIMER, loaded (lines of list-units), SERVICE (what is shown of it) and down.
state={state} units={units}
[ "$1" = --user ] && {{ units={user_units}; shift; }}
if [ -e "$state/down" ]; then
    echo 'System has not been booted with systemd as init system' >&2
    exit 1
fi
shift 2
echo "$*" >> "$state/calls"
verb=$1
shift
[ "$verb" = list-units ] && [ -e "$state/loaded" ] && cat "$state/loaded"
for name; do
    case "$verb $name" in
    *\\ -*) ;;
    enable*)
        mkdir -p "$units/timers.target.wants"
        ln -sf "$units/$name" "$units/timers.target.wants/$name" ;;
    restart*) touch "$state/active-$name" ;;
    disable*) rm -f "$units/timers.target.wants/$name" "$state/active-$name" ;;
    show*)
        [ -e "$units/${{name%%@*}}@.${{name##*.}}" ] && known=loaded || known=not-found
        printf 'Id=%s\\nLoadState=%s\\n' "$name" $known
        case "$name" in *.service)
            cat "$state/$name" 2>/dev/null || echo Result=success
            echo
            continue ;;
        esac
        [ -h "$units/timers.target.wants/$name" ] && echo UnitFileState=enabled
        if [ -e "$state/active-$name" ]; then
            echo ActiveState=active
            echo 'NextElapseUSecRealtime=Sun 2026-11-22 00:43:12 UTC'
        fi
        echo ;;
    esac
done
exit 0
"""
SHIPPED = {path.name for path in (ROOT / "systemd").iterdir() if path.is_file()}


@dataclass(frozen=True)
class Host:
    """A machine below a directory: its files, its systemctl and what that was asked."""

    root: Path
    state: Path
    home: Path
    program: Path

    @property
    def units(self) -> Path:
        return self.root / "etc" / "systemd" / "system"

    @property
    def user_units(self) -> Path:
        return self.home / ".config" / "systemd" / "user"

    def config(self, name: str = "config") -> Path:
        return self.root / "etc" / "btrfs-to-s3" / f"{name}.toml"

    def run(self, *arguments: str | Path) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        machine = Machine(root=self.root, program=str(self.program), unsafe=())
        given = list(map(str, arguments))
        code = run(given, {"HOME": str(self.home)}, out, err, machine)
        return Ran(code, out.getvalue(), err.getvalue())

    def systemd(self, action: str, *arguments: str | Path, name: str = "config") -> Ran:
        return self.run("-c", self.config(name), "systemd", action, *arguments)

    def files(self) -> dict[str, str]:
        """Every file of the machine with its text; links with their target."""
        return {
            str(path.relative_to(self.root)): (
                f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
            )
            for path in sorted(self.root.rglob("*"))
            if path.is_symlink() or path.is_file()
        }

    def calls(self) -> list[str]:
        """What changed the manager."""
        asked = (self.state / "calls").read_text().splitlines()
        told = [line.removeprefix("--no-pager --no-ask-password ") for line in asked]
        return [line for line in told if not line.startswith(("show", "list-units"))]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A machine with a configuration file and nothing installed."""
    root, state, home, bin_ = (tmp_path / name for name in ("root", "state", "home", "bin"))
    program = tmp_path / "btrfs-to-s3"
    made = Host(root, state, home, program)
    for path in (made.units, made.config().parent, state, home):
        path.mkdir(parents=True)
    made.config().write_text(CONFIG)
    systemctl = SYSTEMCTL.format(state=state, units=made.units, user_units=made.user_units)
    executable(program)
    found_first(monkeypatch, executable(bin_ / "systemctl", systemctl))
    return made


def test_installing_writes_the_shipped_units_with_the_running_program(host: Host) -> None:
    before = host.files()
    ran = host.systemd("install")
    assert ran.code == 0, ran.err
    written = {name: text for name, text in host.files().items() if name not in before}
    units = {Path(name).name for name, text in written.items() if not text.startswith("-> ")}
    assert units == SHIPPED
    assert all(name.startswith("etc/systemd/system/") for name in written)
    service = (host.units / "btrfs-to-s3@.service").read_text()
    assert f"\nExecStart={host.program} -c /etc/btrfs-to-s3/%i.toml backup\n" in service
    assert service.startswith("# Written by 'btrfs-to-s3 systemd install'")
    assert all((host.units / name).stat().st_mode & 0o777 == 0o644 for name in SHIPPED)
    shipped = (ROOT / "systemd" / "btrfs-to-s3@.service").read_text()
    rest = service.partition("\n")[2].replace(str(host.program), "/usr/local/bin/btrfs-to-s3")
    assert rest == shipped


def test_it_says_what_it_wrote_what_is_enabled_when_it_runs_and_how_to_watch_it(
    host: Host,
) -> None:
    out = host.systemd("install").out
    for name in SHIPPED:
        assert f"wrote {host.units / name}\n" in out
    assert "btrfs-to-s3@config.timer is enabled, next run 2026-11-22T00:43:12Z\n" in out
    assert "btrfs-to-s3-verify@config.timer is enabled" in out
    assert "btrfs-to-s3-prune@config.timer is not enabled: it deletes" in out
    assert "journalctl -u btrfs-to-s3@config.service -f" in out
    assert host.calls() == [
        "daemon-reload",
        "enable -- btrfs-to-s3@config.timer btrfs-to-s3-verify@config.timer",
        "restart -- btrfs-to-s3@config.timer btrfs-to-s3-verify@config.timer",
    ]


@pytest.mark.parametrize(
    ("option", "enabled"),
    [("--prune", ["", "-prune", "-verify"]), ("--no-verify", [""])],
)
def test_the_timers_beside_the_backups_are_a_choice(
    host: Host, option: str, enabled: list[str]
) -> None:
    host.systemd("install", option)
    links = {path.name for path in (host.units / "timers.target.wants").iterdir()}
    assert links == {f"btrfs-to-s3{job}@config.timer" for job in enabled}
    assert host.systemd("install").code == 0
    assert {path.name for path in (host.units / "timers.target.wants").iterdir()} >= links


def test_installing_again_changes_nothing_and_says_so(host: Host) -> None:
    host.systemd("install", "--on-calendar", "daily")
    before, calls = host.files(), host.calls()
    again = host.systemd("install")
    assert again.code == 0
    assert host.files() == before
    assert host.calls() == calls
    assert "are as they should be" in again.out
    assert "all timers: btrfs-to-s3 systemd status\n" in again.out
    assert "wrote" not in again.out


def test_a_time_is_chosen_once_and_stays_until_another_one_is(host: Host) -> None:
    ran = host.systemd("install", "--on-calendar", "Mon..Fri 22:30")
    chosen = host.units / "btrfs-to-s3@config.timer.d" / "50-btrfs-to-s3.conf"
    assert chosen.read_text().endswith("[Timer]\nOnCalendar=\nOnCalendar=Mon..Fri 22:30\n")
    assert f"wrote {chosen}" in ran.out
    host.systemd("install")
    assert "22:30" in chosen.read_text()
    calls = len(host.calls())
    host.systemd("install", "--on-calendar", "hourly")
    assert "OnCalendar=hourly\n" in chosen.read_text()
    assert host.calls()[calls] == "daemon-reload"
    assert host.calls()[-1].startswith("restart -- btrfs-to-s3@config.timer")


@pytest.mark.parametrize("when", ["whenever", "", "daily\nUnit=evil.service"])
def test_a_time_that_systemd_does_not_understand_is_refused(host: Host, when: str) -> None:
    before = host.files()
    ran = host.systemd("install", "--on-calendar", when)
    assert ran.code == 2
    assert ran.lines[0].startswith("error: --on-calendar ")
    assert "systemd.time(7)" in ran.err
    assert host.files() == before


def test_without_systemd_analyze_the_time_is_taken_as_it_is(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = host.state.parent / "bin" / "systemctl"
    script.write_text(script.read_text().replace("#!/bin/sh", "#!/bin/sh\nPATH=/usr/bin:/bin"))
    monkeypatch.setenv("PATH", str(script.parent))
    assert host.systemd("install", "--on-calendar", "whenever").code == 0


@pytest.mark.parametrize("by_hand", ["# mine\n[Service]\n", None])
def test_a_file_that_a_person_wrote_or_changed_is_never_replaced(
    host: Host, by_hand: str | None
) -> None:
    file = host.units / "btrfs-to-s3@.service"
    if by_hand is None:
        host.systemd("install")
        by_hand = file.read_text().replace("Nice=19", "Nice=5")
    file.write_text(by_hand)
    host.config("other").write_text(CONFIG)
    before, calls = host.files(), len(host.calls()) if (host.state / "calls").exists() else 0
    for arguments in (["install"], ["install", "--dry-run"]):
        ran = host.systemd(*arguments, name="other")
        assert ran.code == 2
        assert str(file) in ran.lines[0]
        assert "drop-in" in ran.lines[1]
    assert host.files() == before
    assert len(host.calls()) == calls
    removed = host.systemd("uninstall")
    assert removed.code == 0
    assert file.read_text() == by_hand
    assert f"left {file}" in removed.out


def test_another_version_is_renewed(host: Host) -> None:
    host.systemd("install")
    other = executable(host.program.with_name("other") / "btrfs-to-s3")
    newer = Host(host.root, host.state, host.home, other)
    told = newer.systemd("status")
    assert "of another version or program" in told.out
    assert newer.systemd("install").code == 0
    assert f"ExecStart={other} " in (host.units / "btrfs-to-s3@.service").read_text()
    assert "another version" not in newer.systemd("status").out


def test_uninstalling_leaves_what_a_person_added_and_can_be_called_again(host: Host) -> None:
    before = host.files()
    host.systemd("install", "--on-calendar", "daily", "--prune")
    mine = host.units / "btrfs-to-s3@config.timer.d" / "override.conf"
    mine.write_text("[Timer]\nRandomizedDelaySec=0\n")
    ran = host.systemd("uninstall")
    assert ran.code == 0
    assert host.files() == {**before, str(mine.relative_to(host.root)): mine.read_text()}
    timers = [f"btrfs-to-s3{job}@config.timer" for job in ("", "-prune", "-verify")]
    services = [name.replace(".timer", ".service") for name in timers]
    assert host.calls()[-3:] == [
        f"disable --now -- {' '.join(timers)}",
        "daemon-reload",
        f"reset-failed -- {' '.join(services)}",
    ]
    assert f"removed {host.units / 'btrfs-to-s3@.service'}\n" in ran.out
    again = host.systemd("uninstall")
    assert (again.code, again.out) == (0, "nothing was removed\n")


def test_units_that_another_instance_uses_stay(host: Host) -> None:
    host.config("other").write_text(CONFIG)
    other = host.systemd("install", name="other")
    assert f"then: btrfs-to-s3 -c {host.config('other')} systemd install --prune\n" in other.out
    host.systemd("install", "--on-calendar", "daily")
    looked = host.systemd("uninstall", "--dry-run")
    ran = host.systemd("uninstall")
    assert ran.code == 0
    assert ran.out == looked.out.replace("would remove", "removed").replace("would stop", "stopped")
    assert ran.out.splitlines()[:2] == [
        "stopped btrfs-to-s3@config.timer",
        "stopped btrfs-to-s3-verify@config.timer",
    ]
    assert "the units themselves stay for btrfs-to-s3-verify@other.timer" in ran.out
    assert {path.name for path in host.units.iterdir() if path.is_file()} == SHIPPED
    assert not (host.units / "btrfs-to-s3@config.timer.d").exists()
    host.systemd("uninstall", name="other")
    assert not [path for path in host.units.rglob("*") if path.is_file()]


def test_units_of_an_instance_that_only_runs_stay_too(host: Host) -> None:
    host.systemd("install")
    (host.state / "loaded").write_text(
        "btrfs-to-s3@other.service loaded active running Back up\n"
        "btrfs-to-s3@gone.service not-found failed failed Back up\n"
    )
    ran = host.systemd("uninstall", "--json")
    assert ran.document["used_by"] == ["btrfs-to-s3@other.service"]
    assert (host.units / "btrfs-to-s3@.service").exists()


def test_a_run_under_way_goes_on_with_its_files(host: Host) -> None:
    host.systemd("install")
    (host.state / "btrfs-to-s3@config.service").write_text(RUNNING)
    files = host.files()
    ran = host.systemd("uninstall")
    assert ran.code == 7
    assert "btrfs-to-s3@config.service runs: its timer is stopped" in ran.lines[0]
    assert not any("stop" in call for call in host.calls())
    assert "disable --now" in host.calls()[-1]
    assert {name: text for name, text in files.items() if not text.startswith("->")} == host.files()


def test_status_tells_of_every_timer_and_ends_with_0_while_all_is_well(host: Host) -> None:
    assert host.systemd("status").code == 2
    assert "is not installed" in host.systemd("status").err
    host.systemd("install")
    ran = host.systemd("status")
    assert ran.code == 0, ran.err
    assert "  next run     2026-11-22T00:43:12Z\n" in ran.out
    assert "btrfs-to-s3-prune@config.timer\n  is           not enabled, stopped\n" in ran.out
    assert str(host.units) not in ran.out


@pytest.mark.parametrize("job", ["", "-verify"])
def test_status_ends_with_2_when_the_last_run_failed(host: Host, job: str) -> None:
    host.systemd("install")
    (host.state / f"btrfs-to-s3{job}@config.service").write_text(FAILED)
    ran = host.systemd("status")
    assert ran.code == 2
    assert "  last result  exit-code 4, 2026-11-21T03:09:30Z\n" in ran.out
    assert f"journalctl -u btrfs-to-s3{job}@config.service -n 50" in ran.err
    documented = host.systemd("status", "--json").document
    assert documented["error"]["kind"] == "checks_failed"
    golden = golden_document("systemd-status")
    assert set(documented) == set(golden)
    assert set(documented["timers"][0]) == set(golden["timers"][0])
    assert golden["timers"][2]["last_run"].keys() == {"result", "code", "ended_time"}


def test_status_tells_of_files_that_were_changed(host: Host) -> None:
    host.systemd("install")
    file = host.units / "btrfs-to-s3@.timer"
    file.write_text(file.read_text() + "# mine\n")
    ran = host.systemd("status")
    assert ran.code == 0
    assert f"{file}: changed by hand" in ran.out


def test_a_dry_run_says_what_would_be_done_and_does_not_do_it(host: Host) -> None:
    before = host.files()
    ran = host.systemd("install", "--dry-run", "--on-calendar", "daily")
    assert ran.code == 0
    assert f"would write {host.units / 'btrfs-to-s3@.service'}\n" in ran.out
    assert "would enable btrfs-to-s3@config.timer\n" in ran.out
    assert host.files() == before
    host.systemd("install")
    there = host.files()
    gone = host.systemd("uninstall", "--dry-run")
    assert f"would remove {host.units / 'btrfs-to-s3@.service'}\n" in gone.out
    assert host.files() == there
    documented = host.systemd("install", "--dry-run", "--json").document
    assert shape(documented | {"running": [""]}) == shape(golden_document("systemd-install"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('repository = "s3://bucket/pre"\n', "no source is named"),
        ("chunk_size = 3\n", "chunk_size"),
        ('[[sources]]\npath = "/data"\n', "no repository is named"),
        ('[[sources]]\npath = "/data"\n', "config.env: units see nothing of this shell"),
        (None, "no such file"),
        (None, "units see nothing of this shell"),
    ],
)
def test_a_configuration_that_could_not_run_is_not_scheduled(
    host: Host, text: str | None, told: str
) -> None:
    host.config().unlink()
    if text is not None:
        host.config().write_text(text)
    before = host.files()
    ran = host.systemd("install")
    assert ran.code == 2
    assert told in ran.err
    assert host.files() == before


def test_what_stands_in_the_units_environment_file_counts_and_this_shells_does_not(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.config().write_text('[[sources]]\npath = "/data"\n')
    monkeypatch.setenv("BTRFS_TO_S3_URL", "s3://shell/pre")
    assert host.systemd("install", "--dry-run").code == 2
    host.config().with_suffix(".env").write_text('# keys\nBTRFS_TO_S3_URL="s3://bucket/pre"\n')
    assert host.systemd("install", "--dry-run").code == 0


def test_keys_that_units_would_not_find_are_told_of(host: Host) -> None:
    keys = host.config().with_suffix(".credentials")
    assert any(f"{keys} does not exist" in line for line in host.systemd("install").lines)
    keys.touch()
    assert host.systemd("install").lines == []
    keys.unlink()
    host.config().with_suffix(".env").write_text("AWS_PROFILE=nas\n")
    assert host.systemd("install").lines == []


def test_a_file_elsewhere_is_refused_with_where_it_belongs(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(CONFIG)
    ran = host.run("-c", file, "systemd", "install")
    assert ran.code == 2
    assert f"move it to {host.config().parent}/NAME.toml" in ran.err


def test_services_may_write_where_the_configuration_has_them_write(host: Host) -> None:
    host.config().write_text(f'metrics_file = "/srv/node exporter/b.prom"\n{CONFIG}')
    host.systemd("install")
    drop_in = host.units / "btrfs-to-s3@config.service.d" / "50-btrfs-to-s3.conf"
    assert 'ReadWritePaths="-/srv/node exporter"\n' in drop_in.read_text()
    usual = "/var/lib/prometheus/node-exporter"
    assert f"ReadWritePaths=-{usual}\n" in (host.units / "btrfs-to-s3@.service").read_text()
    host.config().write_text(f'metrics_file = "{usual}/b.prom"\n{CONFIG}')
    host.systemd("install")
    assert not drop_in.parent.exists()


def test_without_a_service_manager_nothing_is_written(host: Host) -> None:
    (host.state / "down").touch()
    before = host.files()
    for action in ("install", "uninstall", "status"):
        ran = host.systemd(action)
        assert ran.code == 2
        assert re.search("systemd does not run|no service manager", ran.err)
    assert host.files() == before
    assert host.systemd("status", "--json").document["timers"] is None


def test_a_users_own_manager_verifies_only(host: Host) -> None:
    file = host.home / ".config" / "btrfs-to-s3" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('repository = "s3://bucket/pre"\n')
    before = host.files()
    ran = host.run("systemd", "install", "--user", "--on-calendar", "weekly")
    assert ran.code == 0, ran.err
    assert host.files() == before
    there = {path.name for path in host.user_units.iterdir() if path.is_file()}
    assert there == {path.name for path in (ROOT / "systemd" / "user").iterdir()}
    service = (host.user_units / "btrfs-to-s3-verify@.service").read_text()
    assert f"ExecStart={host.program} -c %E/btrfs-to-s3/%i.toml verify\n" in service
    assert "journalctl --user -u btrfs-to-s3-verify@config.service" in ran.out
    assert host.run("systemd", "status", "--user").code == 0
    assert host.run("systemd", "uninstall", "--user").code == 0
    assert not [path for path in host.user_units.rglob("*") if path.is_file()]
    assert host.run("systemd", "install", "--user", "--prune").code == 2


def test_options_of_an_installation_are_for_that_alone(host: Host) -> None:
    for option in (["--prune"], ["--no-verify"], ["--on-calendar", "daily"]):
        assert host.systemd("uninstall", *option).code == 2
        assert host.systemd("status", *option).code == 2
