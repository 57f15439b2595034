"""``btrfs receive`` as a sink that never finalises half a stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.errors import LocalSpaceError, ReceiveError, SourceError
from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.trees import ioctls
from integration_tests.tests.btrfs.streams import (
    PROTOCOL_2,
    command_ends,
    hostile,
    read_all,
    receive,
    sent,
)
from integration_tests.tests.btrfs.test_send import wait_for_btrfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.ports import ReceiveSink, Volume

pytestmark = pytest.mark.btrfs

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def target(filesystem: LoopbackBtrfs) -> Path:
    """An ordinary directory, two levels below the top."""
    path = filesystem.mount_point / "some" / "where"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def snapshot(data: Path, volume: Volume) -> Subvolume:
    return volume.snapshot(volume.subvolume_at(data), "s")


def feed(sink: ReceiveSink, stream: bytes) -> None:
    """A whole stream, to its successful end."""
    with sink:
        sink.write(stream)
        sink.finish()


@pytest.fixture
def small(fast_directory: Path) -> Iterator[LoopbackBtrfs]:
    """Another filesystem, with little space."""
    with LoopbackBtrfs(fast_directory, size_bytes=128 * 1024**2) as made:
        yield made


def test_a_received_subvolume_is_read_only_and_carries_the_streams_identity(
    volume: Volume, snapshot: Subvolume, target: Path
) -> None:
    received = receive(volume, sent(volume, snapshot), target, "s")
    assert received.path == "some/where/s"
    assert received.readonly
    assert (received.received_uuid, received.stransid) == (snapshot.uuid, snapshot.ctransid)
    assert (target / "s" / "second").read_text() == "two\n"


def test_protocol_2_with_compressed_extents_is_received(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume, target: Path
) -> None:
    filesystem.remount("compress-force=zstd")
    (data / "soft").write_bytes(b"compressible " * 100_000)
    made = volume.snapshot(volume.subvolume_at(data), "c")
    stream = read_all(volume.send(made, None, PROTOCOL_2))
    assert len(stream) < 1_000_000
    receive(volume, stream, target, "c")
    assert (target / "c" / "soft").read_bytes() == b"compressible " * 100_000


@pytest.mark.parametrize("where", ["", "a-subvolume", "a-subvolume/directory", "plain/directory"])
def test_an_increment_finds_its_parent_although_receive_is_confined_to_the_target(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume, where: str
) -> None:
    """The parent lies outside the chroot; so does the source of the increment's clones."""
    filesystem.subvolume("a-subvolume")
    target = filesystem.mount_point / where
    target.mkdir(parents=True, exist_ok=True)
    elsewhere = filesystem.mount_point / "elsewhere"
    elsewhere.mkdir()
    first = volume.snapshot(volume.subvolume_at(data), "one")
    parent = receive(volume, sent(volume, first), elsewhere, "one")
    with (data / "first").open("rb") as old, (data / "clone").open("wb") as new:
        ioctls.clone_file(old.fileno(), new.fileno())
    with (data / "own").open("wb+") as own, (data / "own-clone").open("wb") as copy:
        own.write(os.urandom(100_000))
        own.flush()
        ioctls.clone_file(own.fileno(), copy.fileno())
    second = volume.snapshot(volume.subvolume_at(data), "two")
    stream = sent(volume, second, first)
    assert len(stream) < 150_000, "the clones are not sent as clones"
    received = receive(volume, stream, target, "two")
    assert received.parent_uuid == parent.uuid
    for name in ("first", "second", "clone", "own", "own-clone"):
        assert (target / "two" / name).read_bytes() == (data / name).read_bytes()


def test_a_target_seen_through_a_subvol_mount_and_a_bind_mount_is_the_right_directory(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume, snapshot: Subvolume, tmp_path: Path
) -> None:
    (data / "inside").mkdir()
    seen, bound = tmp_path / "seen", tmp_path / "bound"
    seen.mkdir()
    bound.mkdir()
    devices.run("mount", "-t", "btrfs", "-o", "subvol=@data", filesystem.device, seen)
    devices.run("mount", "--bind", seen / "inside", bound)
    try:
        with LocalBtrfs().open(bound, writable=True) as other:
            received = receive(other, sent(volume, snapshot), bound, "s")
            assert other.entry_exists(bound, "s")
        assert received.path == "@data/inside/s"
        assert (bound / "s" / "second").read_text() == "two\n"
    finally:
        devices.run("umount", bound)
        devices.run("umount", seen)


def test_a_stream_cannot_reach_outside_the_target(
    filesystem: LoopbackBtrfs, volume: Volume, target: Path
) -> None:
    outside = filesystem.mount_point / "outside"
    outside.mkdir()
    stream = hostile("evil", "../../../outside")  # as seen from some/where/evil
    with pytest.raises(ReceiveError, match="mkfile"):
        feed(volume.receive(target), stream)
    assert (target / "evil" / "door").is_symlink()
    assert not list(outside.iterdir())


def test_what_is_not_a_subvolume_was_not_received(volume: Volume, target: Path) -> None:
    (target / "directory").mkdir()
    (target / "file").touch()
    (target / "link").symlink_to("directory")
    for name in ("directory", "file", "link", "nothing"):
        assert volume.received_in(target, name) is None
        assert volume.entry_exists(target, name) == (name != "nothing")


def test_a_dangling_link_is_an_entry_too(volume: Volume, target: Path) -> None:
    (target / "link").symlink_to("nowhere")
    assert volume.entry_exists(target, "link")


def test_an_existing_name_fails_and_is_left_alone(
    volume: Volume, snapshot: Subvolume, target: Path
) -> None:
    stream = sent(volume, snapshot)
    first = receive(volume, stream, target, "s")
    with pytest.raises(ReceiveError, match="File exists") as caught:
        feed(volume.receive(target), stream)
    assert "At subvol" not in caught.value.message, "progress is not an error"
    assert "Chroot to" not in caught.value.message
    assert volume.received_in(target, "s") == first


def test_an_increment_without_its_parent_fails_and_says_so(
    data: Path, volume: Volume, snapshot: Subvolume, small: LoopbackBtrfs
) -> None:
    second = volume.snapshot(volume.subvolume_at(data), "second")
    stream = sent(volume, second, snapshot)
    with LocalBtrfs().open(small.mount_point, writable=True) as other:
        assert not other.receive_candidates(snapshot.uuid)
        with pytest.raises(ReceiveError, match="cannot find parent subvolume"):
            feed(other.receive(small.mount_point), stream)
        assert other.received_in(small.mount_point, "second") is None


def test_a_full_target_is_a_lack_of_local_space(
    data: Path, volume: Volume, small: LoopbackBtrfs
) -> None:
    (data / "large").write_bytes(os.urandom(10 * 1024**2))
    stream = sent(volume, volume.snapshot(volume.subvolume_at(data), "large"))
    with (
        LocalBtrfs().open(small.mount_point, writable=True) as other,
        (small.mount_point / "filler").open("wb") as filler,
    ):
        ioctls.preallocate(filler.fileno(), 0, other.free_bytes() - 4 * 1024**2)
        other.sync()
        with pytest.raises(LocalSpaceError, match="No space left"):
            feed(other.receive(small.mount_point), stream)


def test_a_read_only_opening_cannot_receive(
    data: Path, volume: Volume, snapshot: Subvolume
) -> None:
    stream = sent(volume, snapshot)
    with (
        LocalBtrfs().open(data, writable=False) as reading,
        pytest.raises(ReceiveError, match="Read-only file system"),
    ):
        feed(reading.receive(data), stream)


def test_a_missing_target_directory_is_an_error_before_anything_runs(
    volume: Volume, target: Path
) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        volume.receive(target / "missing")


@pytest.mark.parametrize("cut", ["between commands", "in a command", "before END", "at the start"])
def test_a_truncated_stream_is_never_finalised(
    volume: Volume, snapshot: Subvolume, target: Path, cut: str
) -> None:
    stream = sent(volume, snapshot)
    ends = command_ends(stream)
    size = {"between commands": ends[3], "in a command": ends[-3] - 1, "before END": ends[-2]}
    with pytest.raises(ReceiveError, match=r"unexpected EOF|short read|empty stream"):
        feed(volume.receive(target), stream[: size.get(cut, 0)])
    volume.sync()
    left = volume.received_in(target, "s")
    assert left is None or (not left.readonly and left.received_uuid is None)


def test_leaving_early_kills_and_leaves_a_writable_part_without_received_uuid(
    volume: Volume, snapshot: Subvolume, target: Path
) -> None:
    stream = sent(volume, snapshot)
    with volume.receive(target) as sink:
        sink.write(stream[: command_ends(stream)[-2]])
        process = wait_for_btrfs()
        while not volume.entry_exists(target, "s"):
            threading.Event().wait(0.005)
    assert not process.is_running()
    left = volume.received_in(target, "s")
    assert left is not None
    assert (left.readonly, left.received_uuid) == (False, None)


def test_writing_to_a_receive_that_died_raises_its_own_words(volume: Volume, target: Path) -> None:
    with volume.receive(target) as sink, pytest.raises(ReceiveError, match="unexpected header"):
        sink.write(b"this is no stream" * 1_000_000)


def test_writing_after_kill_is_an_error(volume: Volume, target: Path) -> None:
    with volume.receive(target) as sink:
        sink.kill()
        sink.kill()
        with pytest.raises(ReceiveError, match="killed by signal 9"):
            sink.write(b"more")


def test_another_thread_can_kill_a_blocked_writer(volume: Volume, target: Path) -> None:
    with volume.receive(target) as sink:
        wait_for_btrfs().suspend()
        raised: list[BaseException] = []

        def write() -> None:
            try:
                sink.write(bytes(4 * 1024**2))
            except ReceiveError as error:
                raised.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        sink.kill()
        writer.join(10)
        assert len(raised) == 1


def test_sigkill_of_this_program_finalises_nothing(
    data: Path, volume: Volume, snapshot: Subvolume, target: Path, tmp_path: Path
) -> None:
    """The kernel closes the pipe before it sends the death signal: receive may still see EOF."""
    stream = sent(volume, snapshot)
    part = tmp_path / "part"
    part.write_bytes(stream[: command_ends(stream)[-2]])
    script = """
import sys
from pathlib import Path
from btrfs_to_s3.btrfs.local import LocalBtrfs
volume = LocalBtrfs().open(Path(sys.argv[1]), writable=True)
sink = volume.receive(Path(sys.argv[1]))
sink.write(Path(sys.argv[2]).read_bytes())
print("receiving", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, target, part],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"receiving\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("btrfs" in each.name() for each in children)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    left = volume.received_in(target, "s")
    assert left is None or (not left.readonly and left.received_uuid is None)
    assert data.exists()


def test_the_receiving_process_dies_with_this_program_even_when_it_is_stuck(target: Path) -> None:
    """A stopped process reads no end of file: only the parent-death signal ends it."""
    script = """
import sys, time
from pathlib import Path
import psutil
from btrfs_to_s3.btrfs.local import LocalBtrfs
volume = LocalBtrfs().open(Path(sys.argv[1]), writable=True)
sink = volume.receive(Path(sys.argv[1]))
while not (found := [each for each in psutil.Process().children() if each.name() == "btrfs"]):
    time.sleep(0.005)
found[0].suspend()
print(found[0].pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, target],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        stuck = psutil.Process(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([stuck], timeout=10)
    for each in alive:
        each.kill()
    assert not alive
