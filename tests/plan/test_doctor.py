"""What doctor thinks of observed facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from btrfs_to_s3.model.bucket import ObjectLock, Versioning
from btrfs_to_s3.model.check import Verdict
from btrfs_to_s3.model.objects import Capabilities
from btrfs_to_s3.model.place import SnapshotDirectory, SourcePlace, StatePlace
from btrfs_to_s3.model.subvolume import SendOptions
from btrfs_to_s3.plan import doctor
from tests.plan.build import chain, snapshot_of

GIB = 1024**3
PLACE = SourcePlace(Path("/data"), "/", False, True, 50 * GIB, 100 * GIB)
SNAPSHOT = snapshot_of(chain(1)[0])
SOURCE = replace(SNAPSHOT, path="data", readonly=False, received_uuid=None)
OURS = SnapshotDirectory(".btrfs-to-s3", exists=True, private=True)


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("5.16.20", Verdict.WARN),
        ("5.17", Verdict.PASS),
        ("5.19.0-50-generic", Verdict.PASS),
        ("6.18.44-fc", Verdict.PASS),
        ("what", Verdict.WARN),
    ],
)
def test_an_old_kernel_is_a_warning(release: str, verdict: Verdict) -> None:
    assert doctor.judge_kernel(release).verdict is verdict


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("5.16", Verdict.PASS),
        ("6.0", Verdict.WARN),
        ("6.0.1", Verdict.WARN),
        ("6.0.2", Verdict.PASS),
        ("6.2", Verdict.PASS),
        ("", Verdict.WARN),
    ],
)
def test_progs_that_receive_protocol_2_wrongly_are_a_warning(
    version: str, verdict: Verdict
) -> None:
    assert doctor.judge_progs(version).verdict is verdict


def test_a_process_without_privilege_is_a_warning_with_a_remedy() -> None:
    check = doctor.judge_privilege(privileged=False)
    assert (check.verdict, check.remedy) == (
        Verdict.WARN,
        "sudo -E btrfs-to-s3 doctor looks at more",
    )
    assert doctor.judge_privilege(privileged=True).verdict is Verdict.PASS


def test_the_protocol_says_what_auto_comes_to() -> None:
    check = doctor.judge_protocol("auto", SendOptions(2, compressed_data=True))
    assert check.text == "auto is protocol 2 here, compressed data as it is"


@pytest.mark.parametrize(
    ("place", "verdict"),
    [
        (StatePlace(Path("/s"), exists=True, writable=True, free_bytes=GIB), Verdict.PASS),
        (StatePlace(Path("/s"), exists=False, writable=True, free_bytes=GIB), Verdict.PASS),
        (StatePlace(Path("/s"), exists=True, writable=True, free_bytes=1), Verdict.WARN),
        (StatePlace(Path("/s"), exists=True, writable=False, free_bytes=GIB), Verdict.FAIL),
    ],
)
def test_a_state_directory_must_be_writable_and_have_room(
    place: StatePlace, verdict: Verdict
) -> None:
    assert doctor.judge_state(place).verdict is verdict


def test_too_little_memory_is_a_warning_that_says_so() -> None:
    assert doctor.judge_memory(4, 4, None).verdict is Verdict.PASS
    check = doctor.judge_memory(4, 1, "100 MiB of memory are free")
    assert check.verdict is Verdict.WARN
    assert check.remedy is not None
    assert "concurrency = 1" in check.remedy


def _of_place(name: str, **changed: object) -> tuple[Verdict, str]:
    place = replace(PLACE, **changed)  # type: ignore[arg-type]  # by name
    [check] = [each for each in doctor.judge_place(place, "data") if each.name == name]
    assert check.subject == "data"
    return check.verdict, check.text


def test_a_source_in_order_passes_every_check() -> None:
    assert {each.verdict for each in doctor.judge_place(PLACE, "data")} == {Verdict.PASS}


def test_a_plain_directory_is_no_source() -> None:
    assert _of_place("source", subvolume_root=False)[0] is Verdict.FAIL


def test_a_read_only_filesystem_is_a_failure() -> None:
    assert _of_place("mount", readonly=True)[0] is Verdict.FAIL


def test_a_nearly_full_filesystem_is_a_warning() -> None:
    assert _of_place("free_space", free_bytes=5 * GIB)[0] is Verdict.PASS
    assert _of_place("free_space", free_bytes=5 * GIB - 1)[0] is Verdict.WARN


def test_an_active_swapfile_is_a_failure_that_names_it() -> None:
    verdict, text = _of_place("swapfile", swapfiles=("/data/swap",))
    assert verdict is Verdict.FAIL
    assert "/data/swap" in text


def test_a_writable_source_with_a_received_uuid_is_a_failure() -> None:
    received = replace(SOURCE, received_uuid=uuid4())
    [check, *_] = doctor.judge_subvolume(received, [], [], OURS, "data")
    assert check.verdict is Verdict.FAIL
    assert "carries a received_uuid" in check.text


def test_subvolumes_inside_that_nobody_backs_up_are_a_warning() -> None:
    inside = [replace(SOURCE, path=f"data/{n}", uuid=uuid4()) for n in range(7)]
    [_, check, _] = doctor.judge_subvolume(SOURCE, inside, [inside[0].uuid], OURS, "data")
    assert check.verdict is Verdict.WARN
    assert check.text.endswith("in no backup: 1, 2, 3, 4, 5 and 1 more")
    stored = [each.uuid for each in inside]
    [_, check, _] = doctor.judge_subvolume(SOURCE, inside, stored, OURS, "data")
    assert check.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("exists", "private", "verdict"),
    [(False, False, Verdict.PASS), (True, True, Verdict.PASS), (True, False, Verdict.FAIL)],
)
def test_a_snapshot_directory_that_others_can_write_is_a_failure(
    exists: bool, private: bool, verdict: Verdict
) -> None:
    directory = SnapshotDirectory("s", exists=exists, private=private)
    [_, _, check] = doctor.judge_subvolume(SOURCE, [], [], directory, "data")
    assert check.verdict is verdict


@pytest.mark.parametrize(
    ("skew_s", "verdict"),
    [
        (0, Verdict.PASS),
        (300, Verdict.PASS),
        (-301, Verdict.WARN),
        (301, Verdict.WARN),
        (900, Verdict.WARN),
        (901, Verdict.FAIL),
        (-901, Verdict.FAIL),
    ],
)
def test_a_clock_that_is_off_is_a_warning_and_then_a_failure(skew_s: int, verdict: Verdict) -> None:
    check = doctor.judge_clock(timedelta(seconds=skew_s))
    assert check.verdict is verdict
    assert ("behind" in check.text) == (skew_s <= 0)


def test_a_clock_that_could_not_be_compared_is_not_known() -> None:
    assert not doctor.judge_clock(None).known


def test_another_region_than_the_buckets_is_a_warning() -> None:
    assert doctor.judge_region("eu-central-1", "us-east-1").verdict is Verdict.WARN
    for configured, found in (("a", "a"), ("a", None), (None, "a")):
        assert doctor.judge_region(configured, found).verdict is Verdict.PASS


def test_what_the_service_lacks_is_a_warning_each() -> None:
    good = Capabilities(*[True] * 4)
    assert {each.verdict for each in doctor.judge_capabilities(good)} == {Verdict.PASS}
    bad = Capabilities(*[False] * 4)
    assert {each.verdict for each in doctor.judge_capabilities(bad)} == {Verdict.WARN}
    assert not any(each.known for each in doctor.judge_capabilities(None))


def test_versions_and_locks_are_told() -> None:
    texts = {doctor.judge_versioning(each).text for each in Versioning}
    assert len(texts) == 3
    assert "GOVERNANCE for 3 days" in doctor.judge_lock(ObjectLock("GOVERNANCE for 3 days")).text
    assert "without" in doctor.judge_lock(ObjectLock(None)).text
    assert "off" in doctor.judge_lock(None).text
