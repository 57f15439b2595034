"""An object of a test, in one word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from btrfs_to_s3.model.objects import Create, Role
from tests.s3.fakes import sha

if TYPE_CHECKING:
    from btrfs_to_s3.s3 import S3Store

BODY = os.urandom(400_000)


def create(store: S3Store, key: str, body: bytes, role: Role = Role.DATA) -> str:
    return store.put(key, body, sha256=sha(body), role=role, condition=Create.ONLY_NEW).etag
