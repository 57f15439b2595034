"""A repository read by docs/format.md alone: plain S3, JSON, SHA-256 and zstd, none of our code.

So a mistake that the program makes both in writing and in reading is seen here. Everything found
wrong is a sentence; nothing wrong is an empty list.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

_FRAME_BYTES = 4 * 1024 * 1024
_TRAILER_MAGIC = bytes.fromhex("5b2a4d18")
_FOLDERS = frozenset(
    {"sources", "heads", "manifests", "indexes", "catalogs", "notes", "chunks", "repository.json"}
)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One object as a listing shows it. The ETag has no quotation marks."""

    size_bytes: int
    etag: str
    storage_class: str


@dataclass(frozen=True)
class StoredRepository:
    """The objects below `prefix` of a bucket."""

    client: S3Client
    bucket: str
    prefix: str

    @cached_property
    def objects(self) -> dict[str, StoredKey]:
        """Every object, by its key relative to the prefix; read once."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}/"
        )
        return {
            entry["Key"].removeprefix(f"{self.prefix}/"): StoredKey(
                entry["Size"], entry["ETag"].strip('"'), entry.get("StorageClass", "STANDARD")
            )
            for page in pages
            for entry in page.get("Contents", ())
        }

    @cached_property
    def heads(self) -> list[dict[str, Any]]:
        """Every source's head."""
        return [
            self.document(key)
            for key in sorted(self.objects)
            if key.startswith("heads/") and key.endswith("/current.json")
        ]

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        answer = self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{key}")
        with answer["Body"] as body:
            return body.read()

    def document(self, key: str) -> dict[str, Any]:
        """An object's first line, as JSON."""
        found: dict[str, Any] = json.loads(self.read(key).split(b"\n", 1)[0])
        return found

    def manifest_key(self, head: dict[str, Any], backup: dict[str, Any]) -> str:
        """Where a listed backup's manifest is."""
        return f"manifests/{head['source_id']}/{backup['id']}.json"

    def index(self, manifest: dict[str, Any]) -> list[dict[str, Any]]:
        """A backup's chunk records, in order."""
        packed = self.read(manifest["index"]["key"])
        text = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read()
        return [json.loads(line) for line in text.splitlines()]

    def backups(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """Head, its entry and the manifest of every live backup."""
        for head in self.heads:
            for backup in head["backups"]:
                yield head, backup, self.document(self.manifest_key(head, backup))

    def linked(self) -> list[str]:
        """What is wrong with heads, manifests and indexes: digests, parents, sums, ranges."""
        problems = []
        for head, backup, manifest in self.backups():
            name = backup["id"]
            problems += [
                f"{name}: {what}"
                for what in (
                    *self._of_digests(head, backup, manifest),
                    *_of_entry(head, backup, manifest),
                    *_of_index(manifest, self.index(manifest)),
                )
            ]
        return problems

    def present(self) -> list[str]:
        """What is wrong with the objects: missing, of another size or ETag, or unknown."""
        problems = []
        named = {"repository.json"}
        for head, backup, manifest in self.backups():
            named |= {
                f"heads/{head['source_id']}/current.json",
                f"sources/{head['source_id']}.json",
            }
            named |= {self.manifest_key(head, backup), manifest["index"]["key"]}
            for record in self.index(manifest):
                named.add(record["key"])
                stored = self.objects.get(record["key"])
                if stored is None:
                    problems.append(f"{record['key']} is missing")
                elif (stored.size_bytes, stored.etag) != (record["stored_size"], record["etag"]):
                    problems.append(f"{record['key']} is {stored}, not what the index says")
                elif stored.storage_class != manifest["storage"]["data"]:
                    problems.append(f"{record['key']} has class {stored.storage_class}")
        problems += [f"{key} is missing" for key in sorted(named - set(self.objects))]
        strange = [key for key in self.objects if key.split("/", 1)[0] not in _FOLDERS]
        return problems + [f"{key} is not of the format" for key in sorted(strange)]

    def orphans(self) -> list[str]:
        """Chunks, indexes and manifests that no live backup names."""
        named = set()
        for head, backup, manifest in self.backups():
            named |= {self.manifest_key(head, backup), manifest["index"]["key"]}
            named |= {record["key"] for record in self.index(manifest)}
        return sorted(
            key
            for key in self.objects
            if key.startswith(("chunks/", "indexes/", "manifests/")) and key not in named
        )

    def uploads(self) -> list[str]:
        """Multipart uploads that were begun and neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        return [upload["Key"] for upload in found.get("Uploads", ())]

    def damaged(self) -> list[str]:
        """What is wrong with the chunks' bytes; downloads and decompresses all of them."""
        return [
            f"{record['key']}: {what}"
            for _, _, manifest in self.backups()
            for record in self.index(manifest)
            for what in _of_chunk(record, self.read(record["key"]))
        ]

    def _of_digests(
        self, head: dict[str, Any], backup: dict[str, Any], manifest: dict[str, Any]
    ) -> Iterator[str]:
        manifest_bytes = self.read(self.manifest_key(head, backup))
        if _sha256(manifest_bytes) != backup["manifest_sha256"]:
            yield "the manifest is not the one the head names"
        index_bytes = self.read(manifest["index"]["key"])
        if (len(index_bytes), _sha256(index_bytes)) != (
            manifest["index"]["size"],
            manifest["index"]["sha256"],
        ):
            yield "the index is not the one the manifest names"


def _of_entry(
    head: dict[str, Any], backup: dict[str, Any], manifest: dict[str, Any]
) -> Iterator[str]:
    for name in ("raw_size", "stored_size", "chunk_count", "stream", "parent", "kind"):
        if backup[name] != manifest[name]:
            yield f"{name} differs between head and manifest"
    by_id = {entry["id"]: entry for entry in head["backups"]}
    parent = by_id.get(backup["parent"])
    if (backup["kind"] == "full") != (backup["parent"] is None):
        yield "a full backup has no parent, an increment has one"
    elif backup["parent"] is not None and parent is None:
        yield "the parent is not live"
    elif parent is not None:
        if manifest["parent_manifest_sha256"] != parent["manifest_sha256"]:
            yield "the parent's manifest is another one"
        if backup["stream"]["parent_uuid"] != parent["stream"]["uuid"]:
            yield "the stream continues another stream"


def _of_index(manifest: dict[str, Any], records: list[dict[str, Any]]) -> Iterator[str]:
    if [record["n"] for record in records] != list(range(manifest["chunk_count"])):
        yield "the index does not number its chunks from 0"
    offset = 0
    for record in records:
        if record["raw_offset"] != offset:
            yield f"chunk {record['n']} begins at {record['raw_offset']}, not at {offset}"
        offset += record["raw_size"]
        frames, parts = -(-record["raw_size"] // _FRAME_BYTES), len(record["parts"])
        if len(record["frames"]) != frames:
            yield f"chunk {record['n']} has {len(record['frames'])} frames, not {frames}"
        if parts != max(1, -(-record["stored_size"] // record["part_size"])):
            yield f"chunk {record['n']} has {parts} digests of parts"
    if offset != manifest["raw_size"]:
        yield "the chunks are not as long as the stream"
    if sum(record["stored_size"] for record in records) != manifest["stored_size"]:
        yield "the stored sizes do not add up"


def _of_chunk(record: dict[str, Any], stored: bytes) -> Iterator[str]:
    if _sha256(stored) != record["stored_sha256"]:
        yield "the stored bytes do not have the recorded digest"
        return
    size = record["part_size"]
    parts = [_sha256(stored[at : at + size]) for at in range(0, len(stored), size)]
    if parts != record["parts"]:
        yield "a part does not have the recorded digest"
    raw = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True).read()
    if (len(raw), _sha256(raw)) != (record["raw_size"], record["raw_sha256"]):
        yield "the raw bytes do not have the recorded size and digest"
    trailer = stored[sum(record["frames"]) :]
    if trailer[:4] != _TRAILER_MAGIC or json.loads(trailer[8:])["n"] != record["n"]:
        yield "the trailer is not this chunk's"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
