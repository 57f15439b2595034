"""The place of a repository: ``s3://bucket/prefix``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from btrfs_to_s3.errors import UsageError

REPOSITORY_ALLOWED = "s3://bucket or s3://bucket/prefix"
_SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IPV4_LIKE = re.compile(r"\d+\.\d+\.\d+\.\d+")
_PREFIX_LIMIT_BYTES = 700
"""S3 keys end at 1024 bytes (UTF-8); the longest of ours takes less than 300 after the prefix."""
_BUCKET_RULES = (
    "bucket names have 3 to 63 characters, lower-case letters, digits, '.' and '-', and begin and "
    "end with a letter or digit (S3 User Guide, bucket naming rules)"
)


@dataclass(frozen=True, slots=True)
class RepositoryUrl:
    """A bucket and a prefix without slashes at its ends; the prefix may be empty."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.prefix}" if self.prefix else _SCHEME + self.bucket

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read and normalise a URL; ``UsageError`` says what is wrong with it."""
        if not text.startswith(_SCHEME):
            hint = None
            if "://" in text:
                hint = "another service than AWS is named by endpoint_url, not by the repository"
            raise UsageError(f"found {text!r}; allowed: {REPOSITORY_ALLOWED}", hint=hint)
        bucket, _, prefix = text.removeprefix(_SCHEME).partition("/")
        if not _BUCKET.fullmatch(bucket) or ".." in bucket or _IPV4_LIKE.fullmatch(bucket):
            raise UsageError(f"found {text!r} with the bucket {bucket!r}", hint=_BUCKET_RULES)
        return cls(bucket, _checked_prefix(prefix, text))


def _checked_prefix(prefix: str, text: str) -> str:
    stripped = prefix.strip("/")
    parts = stripped.split("/") if stripped else []
    if any(part in {"", ".", ".."} for part in parts):
        raise UsageError(
            f"found {text!r} with the prefix {prefix!r}",
            hint="a prefix has no empty parts and no '.' or '..' between its slashes",
        )
    if not stripped.isprintable() or "\\" in stripped:
        raise UsageError(
            f"found {text!r} with the prefix {prefix!r}",
            hint="a prefix has no control characters and no backslash",
        )
    if len(stripped.encode()) > _PREFIX_LIMIT_BYTES:
        raise UsageError(
            f"found a prefix of {len(stripped.encode())} bytes; "
            f"allowed: at most {_PREFIX_LIMIT_BYTES} (a key has room for 1024)"
        )
    return stripped
