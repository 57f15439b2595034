"""An S3 service that reads data and forgets it, so that a benchmark times the client alone.

`python -m integration_tests.bench.sink PORT [--keep]`. Chunks leave only their size and ETag; with
`--keep` they stay too, bodies that are equal once. Everything else is kept in memory. Conditional
writes are honoured. It checks no signature, and no digest of what it forgets.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import re
import socket
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_SMALL_BYTES: Final = 1024 * 1024
_PAGE: Final = 1000
_TIME: Final = "2026-11-21T00:00:00.000Z"
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its ETag and its pieces; the bytes of a forgotten piece are None."""

    etag: str
    sizes: tuple[int, ...]
    pieces: tuple[bytes | None, ...]

    @property
    def size(self) -> int:
        """The object's size in bytes."""
        return sum(self.sizes)

    def read(self, start: int, end: int) -> list[memoryview]:
        """The bytes from start to end; LookupError if they were forgotten."""
        found, offset = [], 0
        for size, piece in zip(self.sizes, self.pieces, strict=True):
            low, high = max(start - offset, 0), min(end - offset, size)
            if low < high:
                if piece is None:
                    raise LookupError("this sink keeps no data")
                found.append(memoryview(piece)[low:high])
            offset += size
        return found


@dataclass(slots=True)
class Contents:
    """All that is stored, by `bucket/key`, and the multipart uploads under way."""

    keep: bool
    objects: dict[str, Stored] = field(default_factory=dict)
    uploads: dict[str, dict[int, Stored]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    _bodies: dict[str, bytes] = field(default_factory=dict)

    def wants(self, path: str) -> bool:
        """Whether the bytes written to a path are to be kept."""
        return self.keep or "/chunks/" not in path

    def once(self, body: bytes) -> bytes:
        """The same bytes, held once however often they are stored."""
        return self._bodies.setdefault(hashlib.sha256(body).hexdigest(), body)


class Handler(BaseHTTPRequestHandler):
    """One connection; a thread of its own reads it."""

    contents: ClassVar[Contents]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _scratch = memoryview(bytearray(_SMALL_BYTES))

    def setup(self) -> None:
        """Begin a connection."""
        super().setup()
        self._bucket = self._key = self._path = ""
        self._query: dict[str, str] = {}

    def do_PUT(self) -> None:
        """PutObject, UploadPart, CreateBucket."""
        self._look()
        part = self._query.get("partNumber")
        if not self._key:
            self._body(keep=False)
            return self._answer()
        stored = self._body(keep=self.contents.wants(self._path))
        with self.contents.lock:
            if part is not None:
                parts = self.contents.uploads.get(self._query["uploadId"])
                if parts is None:
                    return self._refuse(HTTPStatus.NOT_FOUND, "NoSuchUpload")
                parts[int(part)] = stored
            else:
                refusal = self._condition()
                if refusal is not None:
                    return self._refuse(*refusal)
                self.contents.objects[self._path] = stored
        return self._answer(headers={"ETag": f'"{stored.etag}"'})

    def do_POST(self) -> None:
        """CreateMultipartUpload and CompleteMultipartUpload."""
        self._look()
        self._body(keep=False)
        where = f"<Bucket>{self._bucket}</Bucket><Key>{escape(self._key)}</Key>"
        if "uploads" in self._query:
            name = f"upload-{next(self.contents.numbers)}"
            self.contents.uploads[name] = {}
            body = f"<UploadId>{name}</UploadId>"
            return self._xml("InitiateMultipartUploadResult", where + body)
        with self.contents.lock:
            parts = self.contents.uploads.get(self._query.get("uploadId", ""))
            refusal = self._condition()
            if parts is None:
                return self._refuse(HTTPStatus.NOT_FOUND, "NoSuchUpload")
            if refusal is not None:
                return self._refuse(*refusal)
            self.contents.objects[self._path] = stored = _joined(parts)
            del self.contents.uploads[self._query["uploadId"]]
        body = f"<ETag>&quot;{stored.etag}&quot;</ETag>"
        return self._xml("CompleteMultipartUploadResult", where + body)

    def do_GET(self) -> None:
        """GetObject (also a range of it), ListObjectsV2; empty answers for other lists."""
        self._look()
        if not self._key:
            if {"versioning", "uploads", "versions"} & self._query.keys():
                return self._xml("Result", "")
            return self._list()
        return self._get(body=True)

    def do_HEAD(self) -> None:
        """HeadObject and HeadBucket."""
        self._look()
        return self._get(body=False) if self._key else self._answer()

    def do_DELETE(self) -> None:
        """DeleteObject and AbortMultipartUpload."""
        self._look()
        with self.contents.lock:
            if "uploadId" in self._query:
                self.contents.uploads.pop(self._query["uploadId"], None)
            else:
                self.contents.objects.pop(self._path, None)
        self._answer(HTTPStatus.NO_CONTENT)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing of every request."""

    def _look(self) -> None:
        parts = urlsplit(self.path)
        self._path = unquote(parts.path).lstrip("/")
        self._bucket, _, self._key = self._path.partition("/")
        found = parse_qs(parts.query, keep_blank_values=True)
        self._query = {name: values[0] for name, values in found.items()}

    def _body(self, *, keep: bool) -> Stored:
        size = int(self.headers.get("Content-Length", 0))
        if keep:
            body = self.rfile.read(size)
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            return Stored(etag, (size,), (self.contents.once(body),))
        self._discard(size)
        digest = self.headers.get("x-amz-content-sha256", "")
        return Stored(digest[:32].ljust(32, "0"), (size,), (None,))

    def _discard(self, size: int) -> None:
        left = size
        # What the buffered reader has read already comes from it, the rest is never copied at all:
        # tcp(7), MSG_TRUNC.
        while left:
            buffered = len(self.rfile.peek()[:left]) if left == size else 0  # type: ignore[attr-defined]
            if buffered:
                left -= len(self.rfile.read(buffered))
                continue
            wanted = min(left, _SMALL_BYTES)
            count = self.connection.recv_into(self._scratch, wanted, socket.MSG_TRUNC)
            if not count:
                raise ConnectionError("the client hung up within a body")
            left -= count

    def _condition(self) -> tuple[HTTPStatus, str] | None:
        """Why a conditional write is refused; the lock is held."""
        present = self.contents.objects.get(self._path)
        wanted = self.headers.get("If-Match")
        if wanted is not None and present is None:
            return HTTPStatus.NOT_FOUND, "NoSuchKey"
        exists = self.headers.get("If-None-Match") == "*" and present is not None
        if exists or (wanted is not None and present and wanted.strip('"') != present.etag):
            return HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed"
        return None

    def _get(self, *, body: bool) -> None:
        stored = self.contents.objects.get(self._path)
        if stored is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "NoSuchKey")
        start, end, status = 0, stored.size, HTTPStatus.OK
        headers = {"ETag": f'"{stored.etag}"', "Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT"}
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked:
            start = int(asked[1])
            end = min(int(asked[2]) + 1 if asked[2] else end, end)
            if start >= end:
                return self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange")
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        pieces = stored.read(start, end) if body else []
        self._answer(status, pieces, headers, length=end - start)
        return None

    def _list(self) -> None:
        prefix = f"{self._bucket}/{self._query.get('prefix', '')}"
        after = self._query.get("continuation-token") or self._query.get("start-after", "")
        with self.contents.lock:
            paths = sorted(
                path
                for path in self.contents.objects
                if path.startswith(prefix) and path.partition("/")[2] > after
            )[: _PAGE + 1]
        page, more = paths[:_PAGE], len(paths) > _PAGE
        body = "".join(
            f"<Contents><Key>{escape(path.partition('/')[2])}</Key>"
            f"<LastModified>{_TIME}</LastModified>"
            f"<ETag>&quot;{self.contents.objects[path].etag}&quot;</ETag>"
            f"<Size>{self.contents.objects[path].size}</Size></Contents>"
            for path in page
        )
        if more:
            token = escape(page[-1].partition("/")[2])
            body += f"<NextContinuationToken>{token}</NextContinuationToken>"
        truncated = str(more).lower()
        self._xml("ListBucketResult", f"<IsTruncated>{truncated}</IsTruncated>{body}")

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        if self.command == "HEAD":
            return self._answer(status)
        return self._xml("Error", f"<Code>{code}</Code><Message>{code}</Message>", status)

    def _xml(self, name: str, body: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?><{name}>{body}</{name}>'.encode()
        self._answer(status, [memoryview(text)], {"Content-Type": "application/xml"})

    def _answer(
        self,
        status: HTTPStatus = HTTPStatus.OK,
        pieces: list[memoryview] | None = None,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        given = pieces or []
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        total = sum(map(len, given)) if length is None else length
        self.send_header("Content-Length", str(total))
        self.end_headers()
        for piece in given:
            self.wfile.write(piece)


def _joined(parts: dict[int, Stored]) -> Stored:
    """A multipart object; its ETag is the MD5 of its parts' ETags (S3 API, "Object")."""
    ordered = [parts[number] for number in sorted(parts)]
    joined = b"".join(bytes.fromhex(part.etag) for part in ordered)
    etag = f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(ordered)}"
    sizes = tuple(size for part in ordered for size in part.sizes)
    return Stored(etag, sizes, tuple(piece for part in ordered for piece in part.pieces))


def main() -> None:
    """Serve on loopback until killed."""
    parser = argparse.ArgumentParser(prog="python -m integration_tests.bench.sink")
    parser.add_argument("port", type=int)
    parser.add_argument("--keep", action="store_true", help="keep chunks, equal bodies once")
    arguments = parser.parse_args()
    Handler.contents = Contents(arguments.keep)
    ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
