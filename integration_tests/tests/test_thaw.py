"""Restoring what must be thawed first, on a service whose thaw takes seconds."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from btrfs_to_s3.errors import ExitCode, NotReadableYetError
from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.services.moto import moto_server
from integration_tests.harness.trees.compare import compare_trees
from integration_tests.tests.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from btrfs_to_s3.model.objects import ThawAnswer
    from btrfs_to_s3.model.storage_class import Tier
    from btrfs_to_s3.ports import Cancellation, ObjectStore
    from btrfs_to_s3.wiring.application import Application
    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.moto import Moto

pytestmark = pytest.mark.btrfs
THAW_S = 3.0


@pytest.fixture(scope="module")
def slow_moto() -> Iterator[Moto]:
    """A service whose thaw takes a while; moto thaws no object that is younger than that."""
    with moto_server() as service:
        service.thaw_after(THAW_S)
        yield service


@pytest.fixture
def archive(slow_moto: Moto, fast_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that stores in the archive, and looks every second."""
    for name, value in slow_moto.environment().items():
        monkeypatch.setenv(name, value)
    settings = {
        "chunk_size": "1MiB",
        "part_size": "5MiB",
        "host": "nas",
        "retry_attempts": "3",
        "storage_class": "DEEP_ARCHIVE",
        "thaw_poll": "1s",
    }
    return Machine(slow_moto, slow_moto.create_bucket(), fast_directory / "state", settings)


def grow_old() -> None:
    """Wait until what was stored just now can be thawed (see ``slow_moto``)."""
    time.sleep(THAW_S + 1.1)


def test_a_restore_that_waits_asks_waits_and_restores(
    archive: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    archive.backup(data)
    grow_old()
    refused = archive.run("restore", "data", "--target", str(target.mount_point))
    assert refused.returncode == ExitCode.NOT_READABLE_YET, refused.stderr
    assert "restore --wait" in refused.stderr
    assert "request" in refused.stderr
    assert list(target.mount_point.iterdir()) == []

    waited = archive.run("restore", "data", "--target", str(target.mount_point), "--wait")

    assert waited.returncode == 0, waited.stderr
    [snapshot] = target.mount_point.iterdir()
    assert compare_trees(data, snapshot) == []


def test_a_restore_begins_with_the_first_backup_that_is_ready(
    archive: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    first = archive.with_settings(storage_class="STANDARD").backup(data)
    (data / "new").write_text("new\n")
    second = archive.backup(data)
    grow_old()
    waiting = ("restore", "data", "--target", str(target.mount_point), "--wait")
    slow = archive.with_settings(thaw_poll="1s")
    with slow.start(*waiting) as process:
        wait_until(lambda: journalled(archive, first.backup_id) or process.poll() is not None)
        # The increment is still being thawed, or was a moment ago: nothing of it is there yet.
        assert not journalled(archive, second.backup_id)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    [snapshot] = target.mount_point.iterdir()
    assert compare_trees(data, snapshot) == []


def journalled(machine: Machine, backup_id: object) -> bool:
    """Whether a backup counts as received on this machine."""
    texts = [path.read_text() for path in machine.state.glob("*/received/*.jsonl")]
    return any(f'"backup_id":"{backup_id}"' in text for text in texts)


def test_a_wait_that_is_interrupted_ends_with_130_and_the_next_one_goes_on(
    archive: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    archive.backup(data)
    grow_old()
    waiting = ("restore", "data", "--target", str(target.mount_point), "--wait")
    with archive.with_settings(thaw_poll="1h").start(*waiting) as process:
        wait_until(lambda: list(archive.state.glob("*/thaw/*.jsonl")))
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED
    assert time.monotonic() - began < 10
    assert list(target.mount_point.iterdir()) == []

    again = archive.run(*waiting)

    assert again.returncode == 0, again.stderr
    assert list(archive.state.glob("*/thaw/*.jsonl")) == []


class GoesAway:
    """A store whose second chunks are refused twice, as when their copies went away."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self.left = 2
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else is the store's own
        return getattr(self._inner, name)

    def bound(self, cancel: Cancellation) -> GoesAway:
        """Itself, so that all counts are in one place."""
        del cancel
        return self

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        """Refuse, or read."""
        if self.left and "/00000001-" in key:
            self.left -= 1
            raise NotReadableYetError(f"{key} is archived", key=key)
        self._inner.get_into(key, buffer, offset=offset, version_id=version_id)

    def request_thaw(
        self, key: str, version_id: str | None, days: int | None, tier: Tier
    ) -> ThawAnswer:
        """Ask, and remember it."""
        self.asked.append(key)
        return self._inner.request_thaw(key, version_id, days, tier)


def test_copies_that_go_away_in_mid_receive_are_waited_for_within_it(
    archive: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    archive.backup(data)
    grow_old()
    stores: list[GoesAway] = []

    def install(application: Application) -> None:
        stores.append(GoesAway(application.access.store))
        application.access.store = cast("ObjectStore", stores[-1])

    archive.wrap = install
    restored = archive.restore("data", target.mount_point, wait=True)

    assert compare_trees(data, restored.snapshot) == []
    [store] = stores
    assert store.left == 0
    chunks = archive.keys("chunks/")
    assert set(store.asked) == set(chunks)
    assert len(store.asked) > len(chunks)
    assert any("asked for again" in warning for warning in archive.told.warnings)


def test_what_is_archived_is_found_before_anything_is_received(
    archive: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    archive.with_settings(storage_class="STANDARD").backup(data)
    (data / "new").write_text("new\n")
    archive.backup(data)

    with pytest.raises(NotReadableYetError):
        archive.restore("data", target.mount_point)

    # The full backup could have been received: it was not.
    assert list(target.mount_point.iterdir()) == []
    assert list(archive.state.glob("*/received/*")) == []
