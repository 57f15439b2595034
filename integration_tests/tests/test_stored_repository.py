"""The reader by docs/format.md alone: silent about what is stored well, loud about damage."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.repository import StoredRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


@pytest.fixture
def client(machine: Machine, data: Path) -> Iterator[S3Client]:
    """A plain client of a bucket with a full backup and an increment."""
    machine.backup(data)
    (data / "new").write_bytes(b"new" * 1000)
    machine.backup(data)
    with contextlib.closing(machine.client()) as made:
        yield made


def keys(client: S3Client, machine: Machine, folder: str) -> list[str]:
    found = client.list_objects_v2(Bucket=machine.bucket, Prefix=f"prefix/{folder}/")
    return [entry["Key"] for entry in found["Contents"]]


def rewrite(client: S3Client, machine: Machine, key: str, change: Callable[[bytes], bytes]) -> None:
    body = client.get_object(Bucket=machine.bucket, Key=key)["Body"].read()
    client.put_object(Bucket=machine.bucket, Key=key, Body=change(body))


def flip(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


def without_parent(body: bytes) -> bytes:
    head = json.loads(body)
    head["backups"] = head["backups"][1:]
    return json.dumps(head).encode() + b"\n"


def stranger(body: bytes) -> bytes:
    head = json.loads(body)
    head["backups"][1]["stream"]["parent_uuid"] = "00000000-0000-4000-8000-000000000000"
    return json.dumps(head).encode() + b"\n"


def test_nothing_is_wrong_with_what_the_program_stores(machine: Machine, client: S3Client) -> None:
    stored = StoredRepository(client, machine.bucket, "prefix")
    assert [backup["kind"] for _, backup, _ in stored.backups()] == ["full", "incr"]
    found = (stored.linked(), stored.present(), stored.orphans(), stored.uploads())
    assert found == ([], [], [], [])
    assert stored.damaged() == []


@pytest.mark.parametrize(
    ("folder", "change", "look", "said"),
    [
        ("manifests", lambda body: body + b" ", "linked", "not the one the head names"),
        ("heads", without_parent, "linked", "the parent is not live"),
        ("heads", stranger, "linked", "continues another stream"),
        ("chunks", flip, "damaged", "do not have the recorded digest"),
        ("chunks", flip, "present", "not what the index says"),
    ],
)
def test_every_change_is_found(
    machine: Machine,
    client: S3Client,
    folder: str,
    change: Callable[[bytes], bytes],
    look: str,
    said: str,
) -> None:
    rewrite(client, machine, keys(client, machine, folder)[-1], change)
    problems = getattr(StoredRepository(client, machine.bucket, "prefix"), look)()
    assert any(said in problem for problem in problems), problems


def test_what_is_missing_unknown_or_left_over_is_found(machine: Machine, client: S3Client) -> None:
    chunk = keys(client, machine, "chunks")[0]
    client.delete_object(Bucket=machine.bucket, Key=chunk)
    for extra in ("prefix/strange", f"{chunk[:-20]}99999999-00000000.zst"):
        client.put_object(Bucket=machine.bucket, Key=extra, Body=b"x")
    client.create_multipart_upload(Bucket=machine.bucket, Key="prefix/chunks/unfinished")
    stored = StoredRepository(client, machine.bucket, "prefix")
    present = stored.present()
    assert f"{chunk.removeprefix('prefix/')} is missing" in present
    assert "strange is not of the format" in present
    assert len(stored.orphans()) == 1
    assert stored.uploads() == ["prefix/chunks/unfinished"]
