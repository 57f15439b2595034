"""``btrfs send`` as a stream that cannot be mistaken for complete."""

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
from btrfs_to_s3.btrfs.process import PIPE_SIZE_BYTES
from btrfs_to_s3.errors import SendError, SourceError
from integration_tests.tests.btrfs.streams import (
    PROTOCOL_1,
    PROTOCOL_2,
    command_ends,
    first_command,
    read_all,
    receive,
    sent,
)

if TYPE_CHECKING:
    from btrfs_to_s3.model.subvolume import SendOptions, Subvolume
    from btrfs_to_s3.ports import Volume
    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def large(data: Path, volume: Volume) -> Subvolume:
    """A snapshot whose stream is larger than the pipe."""
    (data / "large").write_bytes(os.urandom(8 * 1024**2))
    return volume.snapshot(volume.subvolume_at(data), "large")


def child() -> psutil.Process:
    """The running btrfs command (not the mount's holder)."""
    for process in psutil.Process().children(recursive=True):
        if "btrfs" in process.name():
            return process
    raise AssertionError("no btrfs process")


def wait_for_btrfs() -> psutil.Process:
    for _ in range(1000):
        try:
            return child()
        except (AssertionError, psutil.NoSuchProcess):
            threading.Event().wait(0.005)
    return child()


@pytest.mark.parametrize("options", [PROTOCOL_1, PROTOCOL_2])
def test_a_stream_begins_with_the_snapshots_uuid_and_ctransid(
    data: Path, volume: Volume, options: SendOptions
) -> None:
    snapshot = volume.snapshot(volume.subvolume_at(data), "s")
    stream = read_all(volume.send(snapshot, None, options))
    assert int.from_bytes(stream[13:17], "little") == options.protocol
    first = first_command(stream)
    assert (first.uuid, first.transid) == (snapshot.stream_uuid, snapshot.ctransid)
    assert command_ends(stream)[-1] == len(stream)


def test_an_incremental_stream_holds_only_the_change(data: Path, volume: Volume) -> None:
    first = volume.snapshot(volume.subvolume_at(data), "a")
    (data / "third").write_text("small")
    second = volume.snapshot(volume.subvolume_at(data), "b")
    assert len(sent(volume, first)) > 200_000
    assert len(sent(volume, second, first)) < 2_000


def test_a_received_subvolumes_stream_carries_its_received_uuid_and_its_own_ctransid(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    """Linux 6.18, fs/btrfs/send.c, send_subvol_begin: never the stransid it was received with."""
    for _ in range(3):  # so that the two filesystem times are not equal by chance
        (data / "second").write_text("again")
        volume.sync()
    snapshot = volume.snapshot(volume.subvolume_at(data), "s")
    target = filesystem.mount_point / "target"
    target.mkdir()
    received = receive(volume, sent(volume, snapshot), target, "s")
    assert received.stransid == snapshot.ctransid
    assert received.ctransid != received.stransid
    first = first_command(sent(volume, received))
    assert (first.uuid, first.transid) == (snapshot.uuid, received.ctransid)


def test_a_writable_subvolume_cannot_be_sent_and_btrfs_says_why(data: Path, volume: Volume) -> None:
    with pytest.raises(SendError, match="not read-only"):
        sent(volume, volume.subvolume_at(data))


def test_a_snapshot_that_is_gone_is_an_error_before_anything_is_sent(
    data: Path, volume: Volume
) -> None:
    snapshot = volume.snapshot(volume.subvolume_at(data), "s")
    volume.delete(snapshot)
    with pytest.raises(SourceError, match="does not exist any more"):
        volume.send(snapshot, None, PROTOCOL_1)


def test_a_killed_send_ends_like_a_complete_one_but_does_not_finish(
    large: Subvolume, volume: Volume
) -> None:
    buffer = memoryview(bytearray(64 * 1024))
    with volume.send(large, None, PROTOCOL_1) as stream:
        assert stream.readinto(buffer)
        stream.kill()
        stream.kill()
        while stream.readinto(buffer):
            pass
        with pytest.raises(SendError, match="killed by signal 9"):
            stream.finish()


def test_finishing_before_the_end_was_read_is_an_error(large: Subvolume, volume: Volume) -> None:
    with volume.send(large, None, PROTOCOL_1) as stream:
        assert stream.readinto(memoryview(bytearray(64 * 1024)))
        with pytest.raises(SendError, match="was not read to its end"):
            stream.finish()


def test_leaving_the_stream_early_reaps_the_process(large: Subvolume, volume: Volume) -> None:
    with volume.send(large, None, PROTOCOL_1) as stream:
        assert stream.readinto(memoryview(bytearray(1)))
        process = wait_for_btrfs()
    assert not process.is_running()


def test_another_thread_can_kill_a_blocked_reader(large: Subvolume, volume: Volume) -> None:
    with volume.send(large, None, PROTOCOL_1) as stream:
        wait_for_btrfs().suspend()
        counts: list[int] = []

        def read() -> None:
            buffer = memoryview(bytearray(1024 * 1024))
            while count := stream.readinto(buffer):
                counts.append(count)
            counts.append(0)

        reader = threading.Thread(target=read)
        reader.start()
        reader.join(0.2)
        stream.kill()
        reader.join(10)
        assert counts[-1] == 0


def test_the_process_is_out_of_the_terminals_reach(large: Subvolume, volume: Volume) -> None:
    with volume.send(large, None, PROTOCOL_1):
        assert os.getsid(wait_for_btrfs().pid) != os.getsid(0)


def test_credentials_are_not_passed_on(
    large: Subvolume, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    with volume.send(large, None, PROTOCOL_1):
        assert "planted" not in wait_for_btrfs().environ().values()


def test_the_pipe_is_enlarged(large: Subvolume, volume: Volume) -> None:
    with volume.send(large, None, PROTOCOL_1) as stream:
        process = wait_for_btrfs()
        while process.status() == psutil.STATUS_RUNNING:
            threading.Event().wait(0.005)
        threading.Event().wait(0.2)  # it now waits for a reader
        assert stream.readinto(memoryview(bytearray(2 * PIPE_SIZE_BYTES))) > 512 * 1024


def test_much_on_stderr_neither_blocks_nor_fills_memory(data: Path, tmp_path: Path) -> None:
    talker = tmp_path / "btrfs"
    talker.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "for number in range(50_000): print('line', number, file=sys.stderr)\n"
        "sys.exit(3)\n"
    )
    talker.chmod(0o755)
    with LocalBtrfs(program=str(talker)).open(data, writable=True) as volume:
        snapshot = volume.snapshot(volume.subvolume_at(data), "s")
        with pytest.raises(SendError, match="line 49999") as caught:
            sent(volume, snapshot)
    assert "exit code 3" in caught.value.message
    assert len(caught.value.message) < 20_000


def test_sigkill_of_this_program_ends_the_send(data: Path, large: Subvolume) -> None:
    assert large.readonly
    script = """
import sys
from pathlib import Path
from btrfs_to_s3.btrfs.local import LocalBtrfs
machine = LocalBtrfs()
volume = machine.open(Path(sys.argv[1]), writable=True)
snapshot = volume.subvolumes()[-1]
stream = volume.send(snapshot, None, machine.best_send_options("1"))
stream.readinto(memoryview(bytearray(1)))
print("sending", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, data],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"sending\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("btrfs" in each.name() for each in children)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
