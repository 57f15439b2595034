"""docs/format.md is the contract: its examples are read, and golden objects stay readable."""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.format import keys
from btrfs_to_s3.format.index import decode_chunk_record, encode_chunk_record
from btrfs_to_s3.format.jsonio import Fields
from btrfs_to_s3.format.manifest import (
    decode_head,
    decode_manifest,
    encode_head,
    encode_manifest,
)
from btrfs_to_s3.format.records import (
    decode_hold_note,
    decode_repository,
    decode_source,
    encode_hold_note,
    encode_repository,
    encode_source,
)
from btrfs_to_s3.format.trailer import Trailer, decode_trailer, encode_trailer
from btrfs_to_s3.model.hold import NoteKey
from btrfs_to_s3.model.identity import BackupId, SourceId

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"^```json (\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(EXAMPLE.findall((ROOT / "docs/format.md").read_text("utf-8")))


def _again_trailer(line: bytes) -> bytes:
    fields = Fields.parse(line, "example", versioned=False)
    trailer = Trailer(
        fields.text("repository_id"),
        fields.text("backup_id"),
        fields.text("name"),
        fields.integer("n"),
        fields.integer("raw_offset"),
        fields.integer("raw_size"),
        fields.sha256("raw_sha256"),
    )
    return encode_trailer(decode_trailer(encode_trailer(trailer), "example"))[8:]


AGAIN: dict[str, Callable[[bytes], bytes]] = {
    "repository": lambda data: encode_repository(decode_repository(data)),
    "source": lambda data: encode_source(decode_source(data, "example")),
    "manifest": lambda data: encode_manifest(decode_manifest(data, "example")),
    "head": lambda data: encode_head(decode_head(data, "example")),
    "index": lambda data: encode_chunk_record(decode_chunk_record(data, "example")),
    "trailer": _again_trailer,
    "hold": lambda data: encode_hold_note(decode_hold_note(data, "example")),
}


def test_the_document_shows_an_example_of_every_object() -> None:
    assert EXAMPLES.keys() == AGAIN.keys()


@pytest.mark.parametrize("name", AGAIN)
def test_each_example_is_exactly_what_the_program_writes(name: str) -> None:
    line = EXAMPLES[name].encode()

    assert AGAIN[name](line) == line


SOURCE = SourceId.parse("data-1f2e3d4c")
BACKUP = BackupId.parse("20261120T020000Z-full-1a2b3c4d")


def test_every_key_of_a_backup_tells_whose_it_is() -> None:
    written = [
        keys.manifest(SOURCE, BACKUP),
        keys.index(SOURCE, BACKUP),
        keys.chunk(SOURCE, BACKUP, 7, "9c0ffee1"),
        keys.note(SOURCE, BACKUP, BACKUP.time, "hold"),
    ]

    assert [keys.owner(key) for key in written] == [(SOURCE, BACKUP)] * 4
    assert keys.source_of_head(keys.head(SOURCE)) == SOURCE
    assert keys.source_of_record(keys.source(SOURCE)) == SOURCE


def test_the_key_of_a_note_tells_its_time_to_the_microsecond() -> None:
    time = BACKUP.time + timedelta(microseconds=7)
    key = keys.note(SOURCE, BACKUP, time.astimezone(timezone(timedelta(hours=5))), "hold")
    assert key.endswith("/20261120T020000.000007Z-hold.json")
    assert keys.note_of(key) == NoteKey(BACKUP, time, "hold")


@pytest.mark.parametrize(
    "name",
    ["20261120T020000Z-hold.json", "20261399T020000.000000Z-hold.json", "x-hold.json", "hold"],
)
def test_a_note_of_another_form_is_no_note(name: str) -> None:
    assert keys.note_of(f"{keys.notes(SOURCE, BACKUP)}{name}") is None


@pytest.mark.parametrize(
    "key", ["repository.json", "chunks/x", "chunks/../20261120T020000Z-full-1a2b3c4d/0", "a/b/c"]
)
def test_a_foreign_key_has_no_owner(key: str) -> None:
    assert keys.owner(key) is None
    assert keys.source_of_head(key) is None
