"""Configured sources as jobs of a backup run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.model.policy import FullBackups, Strategy
from btrfs_to_s3.operations.backup.backup import BackupJob
from btrfs_to_s3.operations.backup.run import SourceJob
from btrfs_to_s3.operations.backup.upload import UploadSettings
from btrfs_to_s3.wiring.estimates import economy_of

if TYPE_CHECKING:
    from btrfs_to_s3.config.effective import SourceConfig
    from btrfs_to_s3.wiring.application import Application


def source_job(app: Application, source: SourceConfig) -> SourceJob:
    """One configured source as a job."""
    policy = source.policy
    elsewhere = [
        (each, own)
        for each in app.config.repositories
        for own in each.sources
        if each.name != app.config.name and own.path == source.path and each.stores(own)
    ]
    return SourceJob(
        BackupJob(
            path=source.path,
            label=source.label,
            send_protocol=policy.send_protocol.value,
            upload=UploadSettings(
                chunk_size_bytes=policy.chunk_size_bytes,
                part_size_bytes=app.config.part_size_bytes,
                compression_level=policy.compression_level,
                compression_threads=app.config.compression_threads,
                concurrency=app.concurrency,
            ),
        ),
        policy.chain,
        app.services(policy),
        policy.keep_local,
        {each.name: app.state_of(each) for each, _ in elsewhere},
        any(own.policy.chain.strategy is Strategy.TREE for _, own in elsewhere),
        economy_of(app, policy) if policy.chain.full is FullBackups.AUTO else None,
    )
