"""Heads, manifests, catalogs and the links between them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, MissingObjectError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.verify_report import Problem, Raw
from btrfs_to_s3.plan.chain import chain_of, link_fault
from btrfs_to_s3.plan.rebuild import entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.operations.verify_report import Counts, Findings
