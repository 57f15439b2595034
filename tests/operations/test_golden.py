"""Objects that version 1 of the format wrote once stay readable for ever.

``tests/golden/v1/objects`` is a repository with a full backup and an increment of a real Btrfs
subvolume; ``streams.json`` has the SHA-256 of the streams that ``btrfs send`` made then. These
files are never edited: a newer format gets a folder of its own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.restore.download import Download
from btrfs_to_s3.operations.verify.verify import verify_data
from tests.operations.repositories import SyntheticRepository

if TYPE_CHECKING:
    from tests.operations.conftest import Bucket

GOLDEN = Path(__file__).parents[1] / "golden/v1"


def test_a_repository_of_version_1_verifies_and_gives_the_streams_it_was_made_of(
    bucket: Bucket, tmp_path: Path
) -> None:
    for path in sorted((GOLDEN / "objects").rglob("*")):
        if path.is_file():
            key = path.relative_to(GOLDEN / "objects")
            bucket.client.put_object(
                Bucket=bucket.name, Key=f"{bucket.prefix}/{key}", Body=path.read_bytes()
            )
    store = bucket.store()
    repository = SyntheticRepository(store, tmp_path)
    services = repository.services
    [head] = repository.access.heads()

    found = {}
    for entry in head.backups:
        manifest = repository.access.manifest(head.source_id, entry)
        digest = hashlib.sha256()
        with StoredIndex(store, services.state, manifest) as index:
            Download(
                manifest,
                index.chunks(),
                store,
                repository.access.repository_id,
                2,
                services.reporter,
                services.cancel,
            ).run(digest.update, lambda: None)
        found[str(entry.backup_id)] = digest.hexdigest()
    report = verify_data(services, [head.source_id])
    store.close()

    assert found == json.loads((GOLDEN / "streams.json").read_text())
    assert report.findings == ()
