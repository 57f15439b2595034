"""The configuration that counts, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.config.settings import REPOSITORY
from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from pathlib import Path

    from btrfs_to_s3.config.choices import (
        Addressing,
        OnBattery,
        Priority,
        SendProtocol,
        ServerSideEncryption,
    )
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

    ``overrides`` are the settings that its own table decides. ``repositories`` are the names of
    those it is stored in; empty for the one at hand.
    """

    path: Path
    label: str
    policy: SourcePolicy
    overrides: tuple[Effective, ...] = ()
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MachinePolicy:
    """When and how a run may use this machine; a name of an interface may hold ``*``."""

    priority: Priority
    on_battery: OnBattery
    network_interfaces: tuple[str, ...]
    network_exclude: tuple[str, ...]
    network_wait: timedelta

    @property
    def restricts_network(self) -> bool:
        """Whether it matters through which interface data goes."""
        return bool(self.network_interfaces or self.network_exclude)


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told how runs went. The URLs may hold secrets: they are never shown."""

    notify_urls: tuple[str, ...]
    ping_url: str | None
    metrics_file: Path | None


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, for one repository. What is None has no value: boto3 or the machine decides.

    ``policy`` holds for sources that the file does not name. ``file`` is the file that was read,
    None without one. ``effective`` has every setting's value and origin, in the table's order;
    ``warnings`` are sentences for a person.

    ``name`` is the repository's; ``own`` what its own table decides. ``sources`` are all of the
    file, with the policies they have in this repository; ``stores`` says which go there.
    ``repositories`` are all that the file names, each as such a ``Config``, where it has
    ``[[repositories]]``; ``chosen`` says that the command line named this one.
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
    machine: MachinePolicy
    told: Told
    policy: SourcePolicy
    sources: tuple[SourceConfig, ...]
    effective: tuple[Effective, ...]
    warnings: tuple[str, ...]
    name: str = "default"
    own: tuple[Effective, ...] = ()
    repositories: tuple[Config, ...] = ()
    chosen: bool = False

    def stores(self, source: SourceConfig) -> bool:
        """Whether a source goes into this repository."""
        return not source.repositories or self.name in source.repositories

    def places(self, sources: Sequence[SourceConfig] | None = None) -> tuple[Config, ...]:
        """The repositories to work on: the chosen one, or all that these sources name.

        Without ``sources``, all that the file's sources name; all of the file if it has none.
        """
        if self.chosen or not self.repositories:
            return (self,)
        wanted = self.sources if sources is None else sources
        found = tuple(
            each for each in self.repositories if any(each.stores(source) for source in wanted)
        )
        return found or self.repositories

    def required_repository(self) -> RepositoryUrl:
        """The repository; ``ConfigError`` when none was named."""
        if self.repository is None and self.repositories:
            raise ConfigError(
                "the configuration file names several repositories and none of them was chosen",
                hint=f"name one: {REPOSITORY.option} "
                + "|".join(each.name for each in self.repositories),
            )
        if self.repository is None:
            raise ConfigError(
                "no repository is named",
                hint=f"set {REPOSITORY.environment[0]}=s3://bucket/prefix, give "
                f'{REPOSITORY.option}, or write repository = "s3://bucket/prefix" into '
                "the configuration file",
            )
        return self.repository
