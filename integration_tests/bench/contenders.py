"""Who takes part: ours and the peers, each as a pipeline of programs and what it needs first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from integration_tests.bench.measure import Program
from integration_tests.harness.services.paths import REPOSITORY
from integration_tests.harness.services.venvs import environment_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from integration_tests.bench.places import Source
    from integration_tests.harness.services.service import Service

OURS: Final = "btrfs-to-s3"
PREFIX: Final = "bench"
_SOURCE: Final = "data"
_COMPRESS: Final = ("zstd", "-q", "-T2", "-1")


def _nothing() -> None:
    """Nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work. `prepare` is not timed; `programs` form one pipeline."""

    name: str
    programs: Sequence[Program]
    prepare: Callable[[], None] = field(default=_nothing)


def floor(source: Source) -> Contender:
    """What no backup by `btrfs send` can undercut."""
    return Contender("btrfs send > /dev/null", [_send(source)])


def compressed_floor(source: Source) -> Contender:
    """The same, compressed as the shell pipeline does it."""
    return Contender(
        "btrfs send | zstd -T2 -1 > /dev/null", [_send(source), Program("zstd", _COMPRESS)]
    )


def pipeline(source: Source, service: Service, bucket: str) -> Contender:
    """What people write by hand."""
    return Contender(
        "btrfs send | zstd -T2 -1 | rclone rcat",
        [
            _send(source),
            Program("zstd", _COMPRESS),
            rclone(service, "rcat", bucket),
        ],
    )


def rclone(service: Service, verb: str, bucket: str) -> Program:
    """`rclone rcat` or `rclone cat` of the shell pipeline's one object."""
    binary = environment_for("rclone") / "bin" / "rclone"
    return Program(
        "rclone",
        [str(binary), "--config", os.devnull, verb, f"bench:{bucket}/stream.zst"],
        {
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "Rclone",
            "RCLONE_CONFIG_BENCH_ENDPOINT": service.endpoint_url,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": service.access_key,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": service.secret_key,
        },
    )


def ours(
    source: Source, service: Service, bucket: str, state: Path, level: int | None = None
) -> Contender:
    """`btrfs-to-s3 backup`, at the default settings but perhaps for the level."""
    name = f"{OURS}, {service.name}" + ("" if level is None else f", level {level}")
    arguments = ["--no-progress", "backup", str(source.subvolume), "--full"]
    arguments += ["--snapshot", str(source.snapshot)]
    arguments += [] if level is None else ["--compression-level", str(level)]
    return Contender(
        name,
        [Program(OURS, arguments, environment(service, bucket, state), "btrfs_to_s3")],
        lambda: shutil.rmtree(state, ignore_errors=True),
    )


def environment(service: Service, bucket: str, state: Path) -> dict[str, str]:
    """What our program is run with."""
    return {
        **service.environment(),
        "BTRFS_TO_S3_URL": f"s3://{bucket}/{PREFIX}",
        "BTRFS_TO_S3_STATE_DIR": str(state),
        "PYTHONPATH": str(REPOSITORY),
    }


def btrfs2s3(source: Source, service: Service, bucket: str, state: Path) -> Contender:
    """The closest existing tool; it takes the snapshot itself."""
    snapshots = source.filesystem.mount_point / "btrfs2s3"
    config = state / "btrfs2s3.yaml"
    upload = {"id": "s3", "preserve": "1y", "pipe_through": [list(_COMPRESS)]}
    endpoint = {"endpoint_url": service.endpoint_url, "region_name": service.region}

    def prepare() -> None:
        state.mkdir(parents=True, exist_ok=True)
        snapshots.mkdir(exist_ok=True)
        for old in snapshots.iterdir():
            source.filesystem.delete_subvolume(old)
        origin = {
            "path": str(source.subvolume),
            "snapshots": str(snapshots),
            "upload_to_remotes": [upload],
        }
        remote = {"id": "s3", "s3": {"bucket": bucket, "endpoint": endpoint}}
        # JSON is YAML.
        config.write_text(
            json.dumps({"timezone": "UTC", "sources": [origin], "remotes": [remote]}),
            encoding="utf-8",
        )

    program = Program(
        "btrfs2s3",
        ["update", "--force", str(config)],
        service.environment(),
        module="btrfs2s3._internal.main",
        interpreter=environment_for("btrfs2s3") / "bin" / "python",
    )
    return Contender("btrfs2s3, zstd -T2 -1", [program], prepare)


def restic(source: Source, service: Service, bucket: str, state: Path) -> Contender:
    """A file-level backup, encrypted and deduplicated; a new repository and no cache each time."""
    variables = {
        "RESTIC_REPOSITORY": f"s3:{service.endpoint_url}/{bucket}/restic",
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": str(state),
        "AWS_ACCESS_KEY_ID": service.access_key,
        "AWS_SECRET_ACCESS_KEY": service.secret_key,
    }

    def prepare() -> None:
        shutil.rmtree(state, ignore_errors=True)
        subprocess.run(
            ["restic", "-q", "init"],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
        )

    program = Program("restic", ["restic", "-q", "backup", str(source.snapshot)], variables)
    return Contender("restic", [program], prepare)


def _send(source: Source) -> Program:
    return Program("btrfs send", ["btrfs", "-q", "send", str(source.snapshot)])
