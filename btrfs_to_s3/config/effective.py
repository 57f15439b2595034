"""The configuration that counts, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.config.settings import REPOSITORY
from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from btrfs_to_s3.config.choices import Addressing, SendProtocol, ServerSideEncryption
    from btrfs_to_s3.config.layers import Effective
    from btrfs_to_s3.config.repository import RepositoryUrl
    from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """How one source is backed up and kept."""

    storage_class: str
    chunk_size_bytes: int
    compression_level: int
    send_protocol: SendProtocol
    chain: ChainPolicy
    keep: KeepPolicy
    keep_local: KeepPolicy
    snapshot_directory: str


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One subvolume to back up: its absolute path, its label, its policy.

    ``overrides`` are the settings that its own table decides.
    """

    path: Path
    label: str
    policy: SourcePolicy
    overrides: tuple[Effective, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. What is None has no value here: boto3 or the machine decides it.

    ``policy`` holds for sources that the file does not name. ``file`` is the file that was read,
    None without one. ``effective`` has every setting's value and origin, in the table's order;
    ``warnings`` are sentences for a person.
    """

    file: Path | None
    repository: RepositoryUrl | None
    endpoint_url: str | None
    region: str | None
    profile: str | None
    addressing: Addressing
    ca_bundle: Path | None
    sse: ServerSideEncryption
    sse_kms_key_id: str | None
    metadata_class: str
    part_size_bytes: int
    concurrency: int
    compression_threads: int
    bandwidth_bytes_per_s: int | None
    outage_patience: timedelta
    retry_attempts: int
    connect_timeout: timedelta
    read_timeout: timedelta
    orphan_age: timedelta
    prices: Path | None
    thaw_poll: timedelta
    host: str | None
    state_dir: Path
    policy: SourcePolicy
    sources: tuple[SourceConfig, ...]
    effective: tuple[Effective, ...]
    warnings: tuple[str, ...]

    def required_repository(self) -> RepositoryUrl:
        """The repository; ``ConfigError`` when none was named."""
        if self.repository is None:
            raise ConfigError(
                "no repository is named",
                hint=f"set {REPOSITORY.environment[0]}=s3://bucket/prefix, give "
                f'{REPOSITORY.option}, or write repository = "s3://bucket/prefix" into '
                "the configuration file",
            )
        return self.repository
