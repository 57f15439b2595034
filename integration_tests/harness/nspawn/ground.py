"""The ground on which the units are tried: a machine, two filesystems, a service, one source.

The service and what listens for pings run on the machine's own loopback but outside of it, so that
they are still there after a halt. What is stored is read without the program, as files.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.nspawn.root import PROGRAM
from integration_tests.harness.services.paths import REPOSITORY
from integration_tests.harness.trees.compare import compare_fully
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.nspawn.machine import Machine
    from integration_tests.harness.nspawn.pings import Watch
    from integration_tests.harness.scripting.tally import Check
    from integration_tests.harness.services.service import Service

MIB: Final = 1024**2
BUCKET: Final = "backups"
SOURCES: Final = "/data"
TARGETS: Final = "/restored"
CONFIG: Final = "/etc/btrfs-to-s3/config.toml"
CREDENTIALS: Final = "/etc/btrfs-to-s3/config.credentials"
KEYS: Final = {"AWS_SHARED_CREDENTIALS_FILE": CREDENTIALS}
"""What a run by hand needs to find the units' keys."""
UNITS: Final = "/etc/systemd/system"
BACKUP: Final = "btrfs-to-s3@config.service"
TIMER: Final = "btrfs-to-s3@config.timer"
PRUNE_TIMER: Final = "btrfs-to-s3-prune@config.timer"
VERIFY_TIMER: Final = "btrfs-to-s3-verify@config.timer"
TIMERS: Final = (TIMER, PRUNE_TIMER, VERIFY_TIMER)
SOON: Final = "soon"
"""The drop-in that has it fire in a moment; read after the other one."""
LATER: Final = "later"
"""The drop-in that keeps a timer from firing by itself."""
SLOW: Final = "2MB/s"
"""A backup of the source takes about a quarter of a minute at this rate."""
_UNDER_WAY: Final = 8
"""So many chunks are there, some perhaps in part, when a backup is in the middle."""
_DATA_BYTES: Final = 24 * MIB
_RUN_TAKES_S: Final = 180.0
_LONG_AGO_S: Final = 3 * 24 * 3600.0
_SANDBOX: Final = "/run/systemd/unit-root"
"""Where systemd prepares the sandbox of a unit that is about to start."""
_SHOWN: Final = 3


@dataclass(slots=True)
class Ground:
    """What the walks share. `source` and `target` are seen inside below SOURCES and TARGETS."""

    machine: Machine
    service: Service
    watch: Watch
    source: LoopbackBtrfs
    target: LoopbackBtrfs
    objects: Path
    logs: Path
    check: Check
    say: Callable[[str], None]
    label: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The source, as it is seen from here."""
        return self.source.mount_point / self.label

    @property
    def prefix(self) -> str:
        """Where the source's repository lies in the bucket."""
        return self.label

    def install(self) -> None:
        """Install the units as a person would, with all three timers.

        They fire when a walk asks for it: not because this runs on a Saturday at noon.
        """
        self.program("systemd", "install", "--prune")
        for timer in TIMERS:
            self.drop_in(timer, LATER, "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n")
        self.machine.run("systemctl", "restart", *TIMERS)

    def copy_units(self, directory: str) -> None:
        """Have the units lie below a directory of the machine as they do in a checkout."""
        into = self.machine.tree / directory.lstrip("/") / "systemd"
        shutil.copytree(REPOSITORY / "systemd", into, dirs_exist_ok=True)

    def remove_units(self) -> None:
        """Disable and remove what was copied by hand."""
        self.machine.run("systemctl", "disable", "--now", *TIMERS)
        for unit in (self.machine.tree / UNITS.lstrip("/")).glob("btrfs-to-s3*.*"):
            if unit.is_file():
                unit.unlink()
        self.machine.run("systemctl", "daemon-reload")

    def begin(self, name: str) -> None:
        """A new source with data, a new repository, and a configuration that joins them."""
        self.label = f"{name}-{secrets.token_hex(3)}"
        self.source.subvolume(self.label)
        seed_tree(self.data, SeedSpec(seed=1, file_count=40, total_bytes=MIB, special=True))
        self.grow(_DATA_BYTES)
        self.configure()
        self.write_keys()

    def grow(self, size_bytes: int) -> None:
        """Add a file that does not compress to the source."""
        file = self.data / f"random-{secrets.token_hex(4)}"
        file.write_bytes(secrets.token_bytes(size_bytes))
        self.source.sync()

    def configure(self, **settings: str) -> None:
        """Write the configuration file, with these settings (TOML values) besides the usual."""
        self.settings = {
            "repository": f'"s3://{BUCKET}/{self.prefix}"',
            "endpoint_url": f'"{self.service.endpoint_url}"',
            "region": f'"{self.service.region}"',
            "chunk_size": '"1MiB"',
            "concurrency": "2",
            "ping_url": f'"{self.watch.url}"',
            **settings,
        }
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        lines += ["[[sources]]", f'path = "{SOURCES}/{self.label}"', ""]
        self.machine.write(CONFIG, "\n".join(lines))

    def write_keys(self, *, right: bool = True) -> None:
        """Write the keys as a person would, or wrong ones."""
        secret = self.service.secret_key if right else "wrong-secret-key"
        lines = ["[default]", f"aws_access_key_id = {self.service.access_key}"]
        lines += [f"aws_secret_access_key = {secret}", ""]
        self.machine.write(CREDENTIALS, "\n".join(lines), mode=0o600)

    def fire_in(self, unit: str, *, seconds: int = 2) -> None:
        """Have a timer fire soon: another OnCalendar=, as a person would set it in a drop-in."""
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + seconds))
        lines = ["[Timer]", "OnCalendar=", f"OnCalendar={at} UTC", "RandomizedDelaySec=0"]
        self.drop_in(unit, SOON, "\n".join([*lines, "AccuracySec=1s", ""]))
        self.machine.run("systemctl", "restart", unit)

    def drop_in(self, unit: str, name: str, text: str | None) -> None:
        """Write a drop-in of a unit as a person would with `systemctl edit`, or remove it."""
        path = f"{UNITS}/{unit}.d/{name}.conf"
        if text is None:
            (self.machine.tree / path.lstrip("/")).unlink(missing_ok=True)
        else:
            self.machine.write(path, text)
        self.machine.run("systemctl", "daemon-reload")

    def started_at(self, unit: str) -> str:
        """Which start of a unit was its last: differs from one to the next."""
        return self.machine.show(unit, "InvocationID")["InvocationID"]

    def wait_for_start(self, unit: str, before: str) -> None:
        """Return once the unit was started again since `started_at` said `before`."""
        wait_until(lambda: self.started_at(unit) not in {"", before}, poll_s=0.2)

    def wait_for_end(self, unit: str) -> dict[str, str]:
        """Wait until the unit has ended; how."""
        wait_until(
            lambda: self.machine.show(unit, "ActiveState")["ActiveState"] in {"inactive", "failed"},
            _RUN_TAKES_S,
            poll_s=0.3,
        )
        return self.machine.show(
            unit, "ActiveState", "Result", "ExecMainStatus", "ExecMainCode", "StatusText"
        )

    def start(self, unit: str = BACKUP) -> dict[str, str]:
        """Start the unit and wait for its end; how it ended."""
        before = self.started_at(unit)
        self.machine.run("systemctl", "start", "--no-block", unit)
        self.wait_for_start(unit, before)
        return self.wait_for_end(unit)

    def start_slowly(self) -> None:
        """Start a backup that takes its time, and return once it has stored some chunks."""
        before = self.started_at(BACKUP)
        stored = len(self.stored("chunks"))
        self.configure(bandwidth_limit=f'"{SLOW}"')
        self.machine.run("systemctl", "reset-failed", BACKUP)
        self.machine.run("systemctl", "start", "--no-block", BACKUP)
        self.wait_for_start(BACKUP, before)
        wait_until(lambda: len(self.stored("chunks")) >= stored + _UNDER_WAY, _RUN_TAKES_S, 0.1)

    def stored(self, folder: str) -> set[str]:
        """The keys of what the repository holds below a folder."""
        top = self.objects / BUCKET / self.prefix / folder
        return {str(path.relative_to(top)) for path in self.stored_files(folder)}

    def stored_files(self, folder: str) -> list[Path]:
        """Where the service keeps what it was given below a folder of the repository."""
        top = self.objects / BUCKET / self.prefix / folder
        return sorted(path for path in top.rglob("*") if path.is_file())

    def kinds(self) -> list[str]:
        """Full or incr, for every backup that is committed, by its head, oldest first."""
        return [
            backup["kind"]
            for head in self.stored_files("heads")
            for backup in json.loads(head.read_text(encoding="utf-8"))["backups"]
        ]

    def failed_at(self, unit: str) -> str:
        """When the unit came into its present state, as journalctl(1) takes it."""
        shown = self.machine.run(
            "systemctl", "show", unit, "--timestamp=unix", "--property=StateChangeTimestamp"
        )
        return shown.strip().partition("=")[2]

    def keep_journal(self, name: str) -> None:
        """Have what the machine said by now among the logs, as far as it is running."""
        if self.machine.is_running:
            said = self.machine.tried("journalctl", "--no-pager", "--output=short-iso").stdout
            (self.logs / f"{name}-journal.log").write_text(said, encoding="utf-8")

    def program(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON document it is
        """Run the installed program by hand, as root in the machine."""
        done = self.machine.run(str(PROGRAM), "--json", "-c", CONFIG, *arguments, variables=KEYS)
        return json.loads(done)

    def restore_and_compare(self) -> str:
        """Restore the newest backup in the machine; how it differs from the source, or nothing."""
        directory = self.target.mount_point / f"{self.label}-{secrets.token_hex(3)}"
        directory.mkdir()
        restored = self.program("restore", self.label, "--target", f"{TARGETS}/{directory.name}")
        found = compare_fully(self.data, directory / Path(restored["snapshot"]).name)
        return "; ".join(str(difference) for difference in found.differences[:_SHOWN])

    def left_behind(self) -> str:
        """What of a run is still there: processes, private mounts; empty if nothing."""
        processes = {
            name: pids
            for name in ("btrfs", "btrfs-to-s3", "unshare", "python3")
            if (pids := self.machine.processes(name))
        }
        known = {SOURCES, TARGETS}
        mounts = {
            str(point)
            for filesystem in (self.source, self.target)
            for point in self.machine.mounts_of(filesystem.device)
            if str(point).removeprefix(_SANDBOX) not in known
        }
        return f"{processes or ''}{mounts or ''}"

    def age_timer(self, unit: str) -> bool:
        """While the machine is off: have its timer believe that it fired last three days ago.

        False where it keeps no record of that (Persistent= of systemd.timer(5)).
        """
        stamp = self.machine.tree / "var" / "lib" / "systemd" / "timers" / f"stamp-{unit}"
        if not stamp.exists():
            return False
        past = time.time() - _LONG_AGO_S
        os.utime(stamp, (past, past))
        return True
