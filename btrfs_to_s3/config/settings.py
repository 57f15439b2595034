"""The table of settings: the one source of names, kinds, defaults, bounds and help texts.

Command-line options and the reference are made from ``SETTINGS``.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from btrfs_to_s3.config.choices import (
    Addressing,
    OnBattery,
    Priority,
    SendProtocol,
    ServerSideEncryption,
)
from btrfs_to_s3.config.keep import Keep
from btrfs_to_s3.config.setting import ENVIRONMENT_PREFIX, Setting, Topic
from btrfs_to_s3.config.values import (
    AbsolutePath,
    Choice,
    Duration,
    Endpoint,
    Integer,
    Maybe,
    Rate,
    Repository,
    Size,
    Text,
)
from btrfs_to_s3.config.words import Words
from btrfs_to_s3.model.identity import LABEL_PATTERN
from btrfs_to_s3.model.policy import FullBackups, KeepPolicy, Strategy
from btrfs_to_s3.model.storage_class import ARCHIVE_CLASSES

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB
_TIB = 1024 * _GIB
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_CENTURY = 36_500 * _DAY

_CLASS_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_REGION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_INTERFACE_PATTERN = re.compile(r"[^/\s,]{1,15}")
_WEB_URL = re.compile(r"https?://[^\s/]+\S*")
_ENTRY_NAME = re.compile(r"(?!\.{1,2}\Z)[^/]{1,255}")

REPOSITORY = Setting(
    "repository",
    Maybe(Repository()),
    None,
    Topic.SERVICE,
    "Where backups are stored.",
    default_note="none; needed by every command that reads or writes backups",
    extra_environment=(f"{ENVIRONMENT_PREFIX}URL",),
)
ENDPOINT_URL = Setting(
    "endpoint_url",
    Maybe(Endpoint()),
    None,
    Topic.SERVICE,
    "The S3 service, if it is not Amazon's.",
    default_note="AWS_ENDPOINT_URL, or Amazon S3",
)
REGION = Setting(
    "region",
    Maybe(Text("a region's name such as eu-central-1", "NAME", _REGION_NAME)),
    None,
    Topic.SERVICE,
    "The region of the bucket.",
    default_note="AWS_REGION or the profile's region",
)
PROFILE = Setting(
    "profile",
    Maybe(Text("a profile's name from ~/.aws/config", "NAME")),
    None,
    Topic.SERVICE,
    "The AWS profile that credentials are taken from.",
    default_note="AWS_PROFILE, or boto3's usual order",
)
ADDRESSING = Setting(
    "addressing",
    Choice(Addressing),
    Addressing.AUTO,
    Topic.SERVICE,
    "Whether the bucket stands in the path or in the host name of requests.",
)
CA_BUNDLE = Setting(
    "ca_bundle",
    Maybe(AbsolutePath("the absolute path of a PEM file", "FILE")),
    None,
    Topic.SERVICE,
    "Certificates that the service's certificate is checked against.",
    default_note="AWS_CA_BUNDLE, or the usual authorities",
)
SSE = Setting(
    "sse",
    Choice(ServerSideEncryption),
    ServerSideEncryption.NONE,
    Topic.STORAGE,
    "Encryption by the service; none leaves it to the bucket's default.",
)
SSE_KMS_KEY_ID = Setting(
    "sse_kms_key_id",
    Maybe(Text("a KMS key id, alias or ARN", "KEY")),
    None,
    Topic.STORAGE,
    "The key for sse = aws:kms.",
    default_note="the account's default key",
)
STORAGE_CLASS = Setting(
    "storage_class",
    Text("a storage class such as STANDARD_IA or DEEP_ARCHIVE", "CLASS", _CLASS_NAME),
    "STANDARD",
    Topic.STORAGE,
    "The storage class of data (chunks).",
    per_source=True,
)
METADATA_CLASS = Setting(
    "metadata_class",
    Text(
        "a storage class that can be read at once, so not "
        f"{' or '.join(sorted(ARCHIVE_CLASSES))}: metadata is read by every command",
        "CLASS",
        _CLASS_NAME,
        ARCHIVE_CLASSES,
    ),
    "STANDARD",
    Topic.STORAGE,
    "The storage class of metadata (manifests, indexes, catalogs).",
)
PRICES = Setting(
    "prices",
    Maybe(AbsolutePath("the absolute path of a TOML file with prices", "FILE")),
    None,
    Topic.STORAGE,
    "The price list that costs are reckoned with (docs/cost.md).",
    default_note="Amazon S3's of us-east-1, as built in",
)
THAW_POLL = Setting(
    "thaw_poll",
    Duration(_SECOND, _DAY),
    timedelta(minutes=10),
    Topic.STORAGE,
    "How often a run that waits for a thaw looks how far it is.",
)
PART_SIZE = Setting(
    "part_size",
    Size(5 * _MIB, 5 * _GIB),
    16 * _MIB,
    Topic.TRANSFER,
    "The size of one request; raised where a chunk would need more than 10,000 parts.",
)
CONCURRENCY = Setting(
    "concurrency",
    Integer(1, 256),
    4,
    Topic.TRANSFER,
    "How many requests with data run at the same time; memory grows with it.",
)
BANDWIDTH_LIMIT = Setting(
    "bandwidth_limit",
    Rate(_KIB),
    None,
    Topic.TRANSFER,
    "The most that is sent, or received, in a second.",
)
OUTAGE_PATIENCE = Setting(
    "outage_patience",
    Duration(timedelta(0), 30 * _DAY),
    timedelta(hours=1),
    Topic.TRANSFER,
    "How long a run waits for a service that does not answer.",
)
RETRY_ATTEMPTS = Setting(
    "retry_attempts",
    Integer(1, 100),
    8,
    Topic.TRANSFER,
    "How often a request is tried, the first time included, when its failure can heal.",
)
CONNECT_TIMEOUT = Setting(
    "connect_timeout",
    Duration(_SECOND, timedelta(hours=1)),
    10 * _SECOND,
    Topic.TRANSFER,
    "How long one connection may take to open.",
)
READ_TIMEOUT = Setting(
    "read_timeout",
    Duration(_SECOND, timedelta(hours=1)),
    60 * _SECOND,
    Topic.TRANSFER,
    "How long the service may stay silent within a request.",
)
CHUNK_SIZE = Setting(
    "chunk_size",
    Size(_MIB, _TIB, _MIB),
    256 * _MIB,
    Topic.STREAM,
    "How much of the raw stream one chunk (one data object) holds.",
    per_source=True,
)
COMPRESSION_LEVEL = Setting(
    "compression_level",
    Integer(1, 19),  # higher levels use windows that the format does not allow
    1,
    Topic.STREAM,
    "The zstd level.",
    per_source=True,
)
COMPRESSION_THREADS = Setting(
    "compression_threads",
    Integer(1, 64),
    min(2, os.cpu_count() or 1),
    Topic.STREAM,
    "How many threads compress.",
    default_note="2, or 1 on a machine with one processor",
)
SEND_PROTOCOL = Setting(
    "send.protocol",
    Choice(SendProtocol),
    SendProtocol.AUTO,
    Topic.STREAM,
    "The send stream's version; auto is 2 where kernel and btrfs-progs both know it.",
    per_source=True,
)
STRATEGY = Setting(
    "strategy",
    Choice(Strategy),
    Strategy.CHAIN,
    Topic.CHAINS,
    "What an incremental backup is built on: the last backup (chain), or the first one of its "
    "day, month or year (tree), which keeps chains short and stores more.",
    per_source=True,
)
FULL = Setting(
    "full",
    Choice(FullBackups),
    FullBackups.POLICY,
    Topic.CHAINS,
    "Who asks for a full backup that is not necessary: full_every and max_chain alone (policy), "
    "or also the planner where one makes storage and restores together cheaper (auto).",
    per_source=True,
    other_name="full_policy",
)
FULL_EVERY = Setting(
    "full_every",
    Maybe(Duration(timedelta(minutes=1), _CENTURY)),
    None,
    Topic.CHAINS,
    "A full backup is made when the last one is older than this.",
    per_source=True,
)
MAX_CHAIN = Setting(
    "max_chain",
    Integer(1, 10_000),
    60,
    Topic.CHAINS,
    "The most backups in a chain, the full one included; then a full backup is made.",
    per_source=True,
)
KEEP = Setting(
    "keep",
    Keep(),
    KeepPolicy(),
    Topic.CHAINS,
    "Which backups prune keeps in the repository, besides those that kept ones need.",
    per_source=True,
)
KEEP_LOCAL = Setting(
    "keep_local",
    Keep(),
    KeepPolicy(last=1),
    Topic.CHAINS,
    "Which local snapshots prune keeps, besides the next backup's parents.",
    per_source=True,
    default_note="1",
)
ORPHAN_AGE = Setting(
    "orphan_age",
    Duration(timedelta(0), _CENTURY),
    7 * _DAY,
    Topic.CHAINS,
    "How old objects of no backup must be before prune removes them. It must be longer than any "
    "upload of any host takes, interruptions included.",
)
HOST = Setting(
    "host",
    Maybe(Text("letters, digits, '.', '_' and '-', at most 64", "NAME", LABEL_PATTERN)),
    None,
    Topic.HOST,
    "This host's name in HOST/SOURCE.",
    default_note="the machine's name up to its first dot",
)
SNAPSHOT_DIRECTORY = Setting(
    "snapshot_directory",
    Text("the name of one directory, without '/'", "NAME", _ENTRY_NAME),
    ".btrfs-to-s3",
    Topic.HOST,
    "The directory at the filesystem's top level (subvolid=5) where snapshots are kept.",
    per_source=True,
)
STATE_DIR = Setting(
    "state_dir",
    AbsolutePath(),
    Path("/var/lib/btrfs-to-s3"),
    Topic.HOST,
    "Where journals and caches are kept.",
    default_note="systemd's STATE_DIRECTORY, or /var/lib/btrfs-to-s3",
)
PRIORITY = Setting(
    "priority",
    Choice(Priority),
    Priority.NORMAL,
    Topic.HOST,
    "Whether backup, compact, copy, prune and verify leave the processor and the disk to others "
    "(idle). Restores never wait for others.",
)
ON_BATTERY = Setting(
    "on_battery",
    Choice(OnBattery),
    OnBattery.RUN,
    Topic.HOST,
    "What backup, compact, copy, prune and verify do when they start on a machine that is not "
    "connected to power: run, wait for power, or fail at once (skip). What has begun goes on.",
)
NETWORK_INTERFACES = Setting(
    "network_interfaces",
    Words("network interfaces' names, where * stands for anything", "NAMES", _INTERFACE_PATTERN),
    (),
    Topic.NETWORK,
    "The interfaces that data may go through.",
    default_note="any",
)
NETWORK_EXCLUDE = Setting(
    "network_exclude",
    Words("network interfaces' names, where * stands for anything", "NAMES", _INTERFACE_PATTERN),
    (),
    Topic.NETWORK,
    "The interfaces that data may not go through, for example wwan*.",
)
NETWORK_WAIT = Setting(
    "network_wait",
    Duration(timedelta(0), 30 * _DAY),
    timedelta(minutes=5),
    Topic.NETWORK,
    "How long a run waits at its beginning for a route to the service that it may use.",
)
NOTIFY_URLS = Setting(
    "notify_urls",
    Words(
        "notification URLs as apprise has them, such as ntfy://host/topic or mailto://…",
        "URLS",
        re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*"),
        secret=True,
    ),
    (),
    Topic.TOLD,
    "Who is told when a run fails, and when one works again; needs the extra 'notify'.",
    secret=True,
)
PING_URL = Setting(
    "ping_url",
    Maybe(Text("a web address such as https://hc-ping.com/UUID", "URL", _WEB_URL, secret=True)),
    None,
    Topic.TOLD,
    "A watch service that hears of every backup run: its start, its success, its failure.",
    secret=True,
)
METRICS_FILE = Setting(
    "metrics_file",
    Maybe(AbsolutePath("the absolute path of a .prom file", "FILE")),
    None,
    Topic.TOLD,
    "Where Prometheus' node exporter finds how backups went (its textfile collector).",
)

CONNECTION: tuple[Setting[Any], ...] = (
    REPOSITORY,
    ENDPOINT_URL,
    REGION,
    PROFILE,
    ADDRESSING,
    CA_BUNDLE,
)
"""What leads to one repository: a repository's own table wins over the environment here."""

SETTINGS: tuple[Setting[Any], ...] = (
    REPOSITORY,
    ENDPOINT_URL,
    REGION,
    PROFILE,
    ADDRESSING,
    CA_BUNDLE,
    SSE,
    SSE_KMS_KEY_ID,
    STORAGE_CLASS,
    METADATA_CLASS,
    PRICES,
    THAW_POLL,
    PART_SIZE,
    CONCURRENCY,
    BANDWIDTH_LIMIT,
    OUTAGE_PATIENCE,
    RETRY_ATTEMPTS,
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    CHUNK_SIZE,
    COMPRESSION_LEVEL,
    COMPRESSION_THREADS,
    SEND_PROTOCOL,
    STRATEGY,
    FULL,
    FULL_EVERY,
    MAX_CHAIN,
    KEEP,
    KEEP_LOCAL,
    ORPHAN_AGE,
    HOST,
    SNAPSHOT_DIRECTORY,
    STATE_DIR,
    PRIORITY,
    ON_BATTERY,
    NETWORK_INTERFACES,
    NETWORK_EXCLUDE,
    NETWORK_WAIT,
    NOTIFY_URLS,
    PING_URL,
    METRICS_FILE,
)
"""Every setting, by topic."""
