"""A host keeps its identity and gives nothing of its machine away."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.identity import APPLICATION_ID, host_id, host_name, machine_app_specific
from btrfs_to_s3.model.identity import LABEL_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

MACHINE_ID = "0123456789abcdef0123456789abcdef"


def test_the_id_is_fixed_for_a_machine_id_for_ever(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text(f"{MACHINE_ID}\n")
    assert host_id(tmp_path / "state", machine_id) == "724d6074810946f2a81f2f0ddf90cd1e"
    assert not (tmp_path / "state").exists()


def test_the_id_is_what_systemd_computes() -> None:
    try:
        command = ["systemd-id128", "machine-id", f"--app-specific={APPLICATION_ID.hex}"]
        theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no systemd-id128, or no machine id")
    assert host_id(Path("/nonexistent")) == theirs


def test_another_application_gets_another_id() -> None:
    machine = UUID(MACHINE_ID)
    assert machine_app_specific(machine) != machine_app_specific(machine, UUID(int=1))
    assert machine_app_specific(machine).version == 4


@pytest.mark.parametrize("content", [None, "", "uninitialized\n", "é"])
def test_without_a_machine_id_a_random_one_is_kept(tmp_path: Path, content: str | None) -> None:
    machine_id = tmp_path / "machine-id"
    if content is not None:
        machine_id.write_text(content)
    first = host_id(tmp_path / "one", machine_id)
    assert host_id(tmp_path / "one", machine_id) == first
    assert host_id(tmp_path / "two", machine_id) != first
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["host-id"]


def test_runs_that_start_together_agree_on_the_random_id(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    found: list[str] = []

    def ask() -> None:
        start.wait()
        found.append(host_id(tmp_path / "state", tmp_path / "none"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_damaged_random_id_is_not_replaced_silently(tmp_path: Path) -> None:
    (tmp_path / "host-id").write_text("half")
    with pytest.raises(UsageError, match="no identity"):
        host_id(tmp_path, tmp_path / "none")


def test_no_identity_at_all_says_what_to_do(
    public_directory: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    with ordinary_user(), pytest.raises(UsageError) as caught:
        host_id(public_directory / "state", Path("/nonexistent"))
    assert "systemd-machine-id-setup" in str(caught.value.hint)


def test_the_setting_names_the_host() -> None:
    assert host_name("web1") == "web1"
    with pytest.raises(UsageError):
        host_name("web 1")


def test_without_a_setting_the_machine_names_it() -> None:
    try:
        name = host_name(None)
    except UsageError:
        return
    assert LABEL_PATTERN.fullmatch(name)
    assert "." not in name
