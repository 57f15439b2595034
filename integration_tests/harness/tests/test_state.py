"""A sweep removes what dead owners recorded and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import devices, group, namespaces
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.machine.state import Kind, ProcessIdentity, StateError, StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[3]

CRASHING_RUN = """
import subprocess, sys
from pathlib import Path
from integration_tests.harness.machine import group, namespaces
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.machine.state import Kind, StateFile

state = StateFile(Path(sys.argv[1]) / "state.json")
filesystem = LoopbackBtrfs(Path(sys.argv[1]), state=state)
filesystem.create()
child = subprocess.Popen(["sleep", "600"], cwd=filesystem.mount_point)
state.add_process(child.pid)
namespace = filesystem.directory.name
state.add((Kind.NAMESPACE, namespace, ""))
namespaces.create(namespace)
tree = Path(sys.argv[1]) / "tree"
state.add((Kind.TREE, tree, ""))
(tree / "full").mkdir(parents=True)
path = group.group_path(f"btrfs-to-s3-test-{namespace}")
state.add((Kind.GROUP, path, ""))
subprocess.run([*group.entering(path), "sh", "-c", "setsid sleep 600 &"])
print(child.pid, filesystem.image, flush=True)
sys.stdin.read()
"""
ADDING_RUN = """
import sys
from pathlib import Path
from integration_tests.harness.machine.state import Kind, StateFile

state = StateFile(Path(sys.argv[1]))
for number in range(15):
    state.add((Kind.FILE, f"{sys.argv[2]}-{number}", ""))
sys.stdin.read()
"""


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def dead_owner() -> ProcessIdentity:
    """Return the identity of a process that has ended."""
    with subprocess.Popen(["sleep", "600"]) as process:
        identity = ProcessIdentity.of(process.pid)
        process.kill()
    return identity


@pytest.fixture
def crashed(tmp_path: Path, state: StateFile) -> Iterator[tuple[int, Path]]:
    """Return the child's pid and the image of a run that was killed with all in place."""
    with start(CRASHING_RUN, tmp_path) as run:
        assert run.stdout is not None
        pid, image = run.stdout.readline().split()
        run.kill()
    yield int(pid), Path(image)
    state.sweep()


@pytest.mark.btrfs
def test_a_sweep_removes_all_that_a_killed_run_left(
    state: StateFile, crashed: tuple[int, Path]
) -> None:
    pid, image = crashed
    assert devices.loops_backed_by(image)
    assert namespaces.exists(image.parent.name)
    members = group.group_path(f"btrfs-to-s3-test-{image.parent.name}")
    assert len(group.processes(members)) == 1
    report = state.sweep()
    assert report.failed == ()
    assert {resource.kind for resource in report.removed} == set(Kind)
    assert not image.parent.exists()
    assert not (image.parents[1] / "tree").exists()
    assert (group.processes(members), members.exists()) == ([], False)
    assert not namespaces.exists(image.parent.name)
    assert devices.loops_backed_by(image) == []
    assert all(image.parent not in mount.point.parents for mount in devices.mounts())
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(pid)
    assert state.resources() == ()


@pytest.mark.btrfs
def test_a_namespace_goes_with_what_still_runs_inside(
    state: StateFile, dead_owner: ProcessIdentity
) -> None:
    name = f"test-{os.getpid()}"
    state.add((Kind.NAMESPACE, name, ""))
    namespaces.create(name)
    enter = ["nsenter", f"--net={namespaces.path_of(name)}", "--", "sleep", "600"]
    with subprocess.Popen(enter) as inside:
        while inside.pid not in namespaces.processes(name):
            assert inside.poll() is None
        rewrite_owner(state, dead_owner)
        assert state.sweep().failed == ()
        assert inside.wait(10) == -signal.SIGKILL
    assert not namespaces.exists(name)


@pytest.mark.btrfs
def test_a_sweep_leaves_a_live_run_alone(
    tmp_path: Path, state: StateFile, crashed: tuple[int, Path]
) -> None:
    with LoopbackBtrfs(tmp_path, state=state) as live:
        recorded = {entry for entry in state.resources() if str(live.directory) in entry.name}
        report = state.sweep()
        assert report.in_use == len(recorded) == 5
        assert live.is_mounted
        assert set(state.resources()) == recorded
    assert not crashed[1].exists()


@pytest.mark.btrfs
def test_a_sweep_can_be_repeated(state: StateFile, crashed: tuple[int, Path]) -> None:
    assert crashed[1].exists()
    state.sweep()
    report = state.sweep()
    assert (report.removed, report.failed, report.in_use) == ((), (), 0)


@pytest.mark.btrfs
def test_a_mount_that_someone_else_made_there_is_left_alone(
    tmp_path: Path, state: StateFile, dead_owner: ProcessIdentity
) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    (resource,) = state.add((Kind.MOUNT, point, tmp_path / "image"))
    rewrite_owner(state, dead_owner)
    devices.run("mount", "-t", "tmpfs", "foreign", point)
    try:
        report = state.sweep()
        assert [entry.name for entry, _ in report.failed] == [resource.name]
        assert any(mount.point == point for mount in devices.mounts())
    finally:
        devices.unmount(point)


def test_a_process_that_reused_the_pid_is_not_killed(
    tmp_path: Path, dead_owner: ProcessIdentity
) -> None:
    state = StateFile(tmp_path / "state.json")
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            start_ticks = ProcessIdentity.of(bystander.pid).start_ticks
            state.add((Kind.PROCESS, str(bystander.pid), str(start_ticks - 1)))
            rewrite_owner(state, dead_owner)
            assert state.sweep().failed == ()
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_recorded_process_of_a_dead_owner_is_killed(
    tmp_path: Path, dead_owner: ProcessIdentity
) -> None:
    state = StateFile(tmp_path / "state.json")
    with subprocess.Popen(["sleep", "600"]) as child:
        state.add_process(child.pid)
        rewrite_owner(state, dead_owner)
        state.sweep()
        assert child.wait(10) == -signal.SIGKILL


def test_a_directory_that_holds_foreign_files_is_left_alone(
    tmp_path: Path, dead_owner: ProcessIdentity
) -> None:
    state = StateFile(tmp_path / "state.json")
    directory = tmp_path / "used"
    directory.mkdir()
    (directory / "foreign").touch()
    state.add((Kind.DIRECTORY, directory, ""))
    rewrite_owner(state, dead_owner)
    assert len(state.sweep().failed) == 1
    assert (directory / "foreign").exists()


@pytest.mark.btrfs
def test_a_tree_in_which_something_is_mounted_is_left_alone(
    tmp_path: Path, state: StateFile, dead_owner: ProcessIdentity
) -> None:
    point = tmp_path / "tree" / "mnt"
    point.mkdir(parents=True)
    (tmp_path / "tree" / "file").touch()
    state.add((Kind.TREE, tmp_path / "tree", ""))
    rewrite_owner(state, dead_owner)
    devices.run("mount", "-t", "tmpfs", "foreign", point)
    try:
        assert len(state.sweep().failed) == 1
        assert (tmp_path / "tree" / "file").exists()
    finally:
        devices.unmount(point)
    assert state.sweep().failed == ()
    assert not (tmp_path / "tree").exists()


def test_an_owner_of_an_earlier_boot_is_dead() -> None:
    own = ProcessIdentity.of(os.getpid())
    assert own.is_alive()
    assert not replace(own, boot_id="another").is_alive()
    assert not replace(own, start_ticks=own.start_ticks - 1).is_alive()


def test_parallel_writers_lose_nothing(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.json")
    runs = [start(ADDING_RUN, state.path, name) for name in ("one", "two", "three")]
    for run in runs:
        run.communicate("")
        assert run.returncode == 0
    assert len({resource.name for resource in state.resources()}) == 3 * 15
    assert state.sweep().failed == ()


def test_a_state_file_that_is_none_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"resources": [{"kind": "castle"}]}')
    with pytest.raises(StateError, match=r"state\.json"):
        StateFile(path).resources()


def rewrite_owner(state: StateFile, owner: ProcessIdentity) -> None:
    """Make everything recorded belong to another process."""
    text = state.path.read_text()
    own = ProcessIdentity.of(os.getpid())
    text = text.replace(f'"pid": {own.pid}', f'"pid": {owner.pid}')
    text = text.replace(f'"start_ticks": {own.start_ticks}', f'"start_ticks": {owner.start_ticks}')
    state.path.write_text(text)


def test_what_is_kept_stays_until_it_is_asked_for(tmp_path: Path) -> None:
    made = tmp_path / "kept"
    made.write_text("x")
    state = StateFile(tmp_path / "state.json", keeps=True)
    state.add((Kind.FILE, made, ""))
    assert state.sweep().removed == ()
    assert made.exists()
    report = state.sweep(kept=True)
    assert [resource.name for resource in report.removed] == [str(made)]
    assert (made.exists(), state.resources()) == (False, ())
