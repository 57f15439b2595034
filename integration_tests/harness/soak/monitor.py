"""`monitor.log`: one JSON line every few seconds about the program, the soak and the bucket."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil
from botocore.exceptions import BotoCoreError, ClientError

from integration_tests.harness.soak.events import read_lines
from integration_tests.harness.soak.faults import FREEZE
from integration_tests.harness.soak.traffic import Traffic
from integration_tests.harness.soak.world import chain_length

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from integration_tests.harness.soak.judgement import FaultHistory
    from integration_tests.harness.soak.runner import Runner
    from integration_tests.harness.soak.world import World

MONITOR_FILE: Final = "monitor.log"
_SERVICE_LOG_LIMIT_BYTES: Final = 8 * 1024**2
_CLIENT_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at everything. `time_s` is since 1970; counts of requests are since the start.

    `program_*` are of the largest run alive, None while there is none; what the bucket holds is
    None while the service does not answer.
    """

    time_s: float
    soak_rss_bytes: int
    soak_descriptors: int
    soak_threads: int
    program_count: int = 0
    program_rss_bytes: int | None = None
    program_descriptors: int | None = None
    program_threads: int | None = None
    service_rss_bytes: int | None = None
    proxy_rss_bytes: int | None = None
    object_count: int | None = None
    object_bytes: int | None = None
    backup_count: int | None = None
    chain_length: int | None = None
    image_bytes: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Monitor:
    """Takes samples until it is stopped; `dead` names a server that ended by itself."""

    world: World
    runner: Runner
    history: FaultHistory
    interval_s: float
    dead: list[str] = field(default_factory=list)
    traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.world.proxy.log_path)

    def watch(self, stop: threading.Event) -> None:
        """Write samples until `stop`, or until a server is dead."""
        with (
            contextlib.closing(self.world.service.client(read_timeout_s=_CLIENT_TIMEOUT_S)) as s3,
            (self.world.directory / MONITOR_FILE).open("a", encoding="utf-8") as log,
        ):
            while True:
                ended = stop.is_set()
                log.write(json.dumps(dataclasses.asdict(self.sample(s3))) + "\n")
                log.flush()
                self._shorten_logs()
                self.dead = self.world.dead_services()
                if ended or self.dead:
                    return
                stop.wait(self.interval_s)

    def sample(self, client: S3Client) -> Sample:
        """Look once."""
        self.traffic.update()
        return Sample(
            time_s=time.time(),
            image_bytes=self.world.image_bytes(),
            requests=dict(self.traffic.requests),
            errors=dict(self.traffic.errors),
            request_bytes=self.traffic.request_bytes,
            answer_bytes=self.traffic.answer_bytes,
            faults=self.history.active(),
            service_rss_bytes=_memory_bytes(self.world.service.pids[0]),
            proxy_rss_bytes=_memory_bytes(self.world.proxy.process.pid),
            **self._soak(),
            **self._programs(),
            **self._bucket(client),
        )

    def _soak(self) -> dict[str, int]:
        own = psutil.Process(os.getpid())
        return {
            "soak_rss_bytes": own.memory_info().rss,
            "soak_descriptors": own.num_fds(),
            "soak_threads": own.num_threads(),
        }

    def _programs(self) -> dict[str, int]:
        seen: list[tuple[int, int, int]] = []
        for _, process in self.runner.running():
            with contextlib.suppress(psutil.Error):
                one = psutil.Process(process.pid)
                seen.append((one.memory_info().rss, one.num_fds(), one.num_threads()))
        if not seen:
            return {}
        memory, descriptors, threads = (max(values) for values in zip(*seen, strict=True))
        return {
            "program_count": len(seen),
            "program_rss_bytes": memory,
            "program_descriptors": descriptors,
            "program_threads": threads,
        }

    def _bucket(self, client: S3Client) -> dict[str, int]:
        if FREEZE in self.history.active():
            return {}
        try:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.world.bucket)
            sizes = [entry["Size"] for page in pages for entry in page.get("Contents", ())]
            live = self.world.live_backups(client)
        except (BotoCoreError, ClientError):
            return {}
        return {
            "object_count": len(sizes),
            "object_bytes": sum(sizes),
            "backup_count": len(live),
            "chain_length": chain_length(live),
        }

    def _shorten_logs(self) -> None:
        """Empty the servers' logs when they are long: they are opened for appending."""
        servers = (self.world.service.processes[0], self.world.proxy.process)
        for server in servers:
            if server.log_path.stat().st_size > _SERVICE_LOG_LIMIT_BYTES:
                os.truncate(server.log_path, 0)


def _memory_bytes(pid: int) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return None


def read_samples(path: Path) -> list[Sample]:
    """Every whole line of the file; ValueError or TypeError for one that is no sample."""
    return [Sample(**entry) for entry in read_lines(path)]
