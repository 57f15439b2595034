"""One repository and this machine, made of a configuration: adapters and what operations need."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Self

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.config.prices import load_prices
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.host.identity import host_id, host_name
from btrfs_to_s3.host.lock import RunLock
from btrfs_to_s3.host.state import state_root
from btrfs_to_s3.operations.repository.repository import Host, RepositoryAccess
from btrfs_to_s3.operations.repository.still import StillAccess
from btrfs_to_s3.operations.services import Services
from btrfs_to_s3.s3 import Limits, S3Settings, S3Store
from btrfs_to_s3.s3 import capabilities as s3_capabilities
from btrfs_to_s3.s3.gate import GateSettings
from btrfs_to_s3.s3.retry import RetryPolicy
from btrfs_to_s3.wiring.machine import affordable_here
from btrfs_to_s3.wiring.state import local_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from btrfs_to_s3.config.effective import Config, SourcePolicy
    from btrfs_to_s3.host.state import LocalStateDirectory
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.ports import Cancellation, Reporter
    from btrfs_to_s3.wiring.network import Departure

_CAPABILITIES = ("capabilities", "service")


class Application:
    """One repository and this machine, for one command. A context manager.

    ``looking`` is for commands that only say what would be done: not even a cache is written.
    ``still`` is for those that decide about one moment: nothing is read twice.
    ``shares`` is how many of them share this machine's memory. With a ``departure``, entering
    waits until the way to the service may be used; afterwards nothing goes another way.
    """

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        cancel: Cancellation,
        reporter: Reporter,
        *,
        looking: bool = False,
        still: bool = False,
        shares: int = 1,
        departure: Departure | None = None,
    ) -> None:
        self.config = config
        self._departure = departure
        self._shares = shares
        self._cancel = cancel
        self._reporter = reporter
        self._environ = environ
        self._looking = looking
        self.state = self.state_of(config)
        root = state_root(config.state_dir, environ)
        self.host = Host(host_id(root), host_name(config.host), f"pid {os.getpid()}")
        self.concurrency = self._affordable_concurrency()
        known = self.state.recall(*_CAPABILITIES)
        self.store = S3Store.open(
            self._s3_settings(),
            self._limits(),
            capabilities=s3_capabilities.decode(known) if known else None,
            way=None if departure is None else departure.way,
        ).bound(cancel)
        self._known = known
        access = StillAccess if still else RepositoryAccess
        self.access = access(self.store, self.state, self.host, reporter, utc_now)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._exit.callback(self.store.close)
        self._exit.callback(self._remember_capabilities)
        if self._departure is not None:
            try:
                self._departure.wait(self.store.destination(), self._cancel, self._reporter)
            except BaseException:
                self._exit.close()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    def while_open(self, context: AbstractContextManager[None]) -> None:
        """Enter this now, and leave it when the application is closed."""
        self._exit.enter_context(context)

    @cached_property
    def prices(self) -> PriceList:
        """The price list to reckon with; ``ConfigError`` when it cannot be used."""
        return load_prices(self.config.prices)

    @property
    def price_doubts(self) -> tuple[str, ...]:
        """Why that list may not be what this repository's service asks."""
        return self.prices.doubts(self.store.region, self.config.endpoint_url)

    def lock(self) -> RunLock:
        """The lock of runs that write to the repository; ``LockedError`` on entering."""
        return RunLock(self.state.directory)

    def restore_lock(self, filesystem: str) -> RunLock:
        """The lock of restores to one filesystem: a backup under way does not stop them."""
        return RunLock(self.state.directory / f"restore-{filesystem}")

    def thaw_lock(self, name: str) -> RunLock:
        """The lock of those that ask for the same thaw."""
        return RunLock(self.state.directory / f"thaw-{name}")

    def services(self, policy: SourcePolicy | None = None) -> Services:
        """What operations need; with a source's policy, its storage class and snapshot place."""
        access = self.access
        if policy is not None:
            access = access.using(self.store.for_data_class(policy.storage_class))
        return Services(
            access=access,
            btrfs=LocalBtrfs((policy or self.config.policy).snapshot_directory),
            state=self.state,
            reporter=self._reporter,
            cancel=self._cancel,
            clock=utc_now,
        )

    def state_of(self, config: Config) -> LocalStateDirectory:
        """What this machine keeps of a repository."""
        return local_state(config, self._environ, self._reporter.warn, looking=self._looking)

    def _affordable_concurrency(self) -> int:
        affordable = affordable_here(self.config, self._shares)
        if affordable.reason is not None:
            self._reporter.warn(affordable.reason)
        return affordable.concurrency

    def _s3_settings(self) -> S3Settings:
        config, url = self.config, self.config.required_repository()
        return S3Settings(
            bucket=url.bucket,
            prefix=url.prefix,
            endpoint_url=config.endpoint_url,
            region=config.region,
            profile=config.profile,
            addressing=config.addressing.value,
            ca_bundle=None if config.ca_bundle is None else str(config.ca_bundle),
            sse=config.sse.value,
            sse_kms_key_id=config.sse_kms_key_id,
            data_class=config.policy.storage_class,
            metadata_class=config.metadata_class,
            connect_timeout_s=config.connect_timeout.total_seconds(),
            read_timeout_s=config.read_timeout.total_seconds(),
            max_pool=config.concurrency + 4,
        )

    def _limits(self) -> Limits:
        config = self.config
        return Limits(
            retry=RetryPolicy(attempts=config.retry_attempts),
            gate=GateSettings(
                # One worker alone must be able to open the gate before it gives up.
                threshold=max(1, min(GateSettings().threshold, config.retry_attempts - 1)),
                patience_s=config.outage_patience.total_seconds(),
            ),
            upload_bytes_per_s=config.bandwidth_bytes_per_s,
            download_bytes_per_s=config.bandwidth_bytes_per_s,
        )

    def _remember_capabilities(self) -> None:
        found = self.store.capabilities
        if found is not None and self._known is None:
            self.state.remember(*_CAPABILITIES, s3_capabilities.encode(found))
