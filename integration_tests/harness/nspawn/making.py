"""Making the ground and removing it: namespace, service, filesystems, machine, program, units."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute  # type: ignore[import-untyped]

from integration_tests.harness.machine import namespaces
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.machine.network import thread_in
from integration_tests.harness.machine.state import Kind, StateFile
from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.nspawn.ground import BUCKET, MIB, SOURCES, TARGETS, UNITS, Ground
from integration_tests.harness.nspawn.machine import Machine
from integration_tests.harness.nspawn.pings import watch_service
from integration_tests.harness.nspawn.root import Root, build_wheel, install_program
from integration_tests.harness.services.rclone import rclone_server
from integration_tests.harness.services.service import Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integration_tests.harness.scripting.tally import Check


@contextlib.contextmanager
def new_ground(
    root: Root, logs: Path, check: Check, say: Callable[[str], None]
) -> Iterator[Ground]:
    """All of it, booted and with the program installed; nothing is left afterwards."""
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(loopback_namespace())
        placement = Placement(namespace=namespace)
        objects = logs / "objects"
        (objects / BUCKET).mkdir(parents=True)
        service = stack.enter_context(rclone_server(data=objects, placement=placement))
        watch = stack.enter_context(watch_service(namespace))
        source, target = (
            stack.enter_context(LoopbackBtrfs(size_bytes=1024 * MIB)) for _ in range(2)
        )
        for filesystem in (source, target):
            stack.callback(_release, filesystem)
        machine = stack.enter_context(
            Machine(
                root, namespace=namespace, logs=logs, block_devices=[source.device, target.device]
            )
        )
        install_program(machine.tree, build_wheel(machine.tree.parent / "wheel"))
        for place, filesystem in ((SOURCES, source), (TARGETS, target)):
            _mount_at_boot(machine, place, filesystem)
        machine.boot()
        ground = Ground(machine, service, watch, source, target, objects, logs, check, say)
        ground.begin("first")
        ground.install()
        yield ground


def _release(filesystem: LoopbackBtrfs) -> None:
    """Unmount it wherever it is, until nothing has it any more: a machine that ended may flush."""
    here = Path(f"/sys/fs/btrfs/{filesystem.fsid}")

    def is_released() -> bool:
        filesystem.unmount()
        return not here.exists()

    wait_until(is_released, poll_s=0.3)


def _mount_at_boot(machine: Machine, place: str, filesystem: LoopbackBtrfs) -> None:
    """A mount unit: entries of fstab that name devices are ignored in a container."""
    lines = ["[Mount]", f"What={filesystem.device}", f"Where={place}", "Type=btrfs", ""]
    name = f"{place.strip('/')}.mount"
    machine.write(f"{UNITS}/{name}", "\n".join(lines))
    wanted = machine.write(f"{UNITS}/local-fs.target.wants/{name}", "")
    wanted.unlink()
    wanted.symlink_to(f"../{name}")


@contextlib.contextmanager
def loopback_namespace() -> Iterator[str]:
    """A network namespace in which nothing but the loopback is up."""
    name, state = f"b3-machine-{secrets.token_hex(4)}", StateFile()
    record = state.add((Kind.NAMESPACE, name, ""))
    try:
        namespaces.create(name)
        with thread_in(name), IPRoute() as inside:
            inside.link("set", index=inside.link_lookup(ifname="lo")[0], state="up")
        yield name
    finally:
        namespaces.remove(name)
        state.discard(*record)
