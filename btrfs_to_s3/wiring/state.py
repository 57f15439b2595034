"""What this machine keeps of a repository, whether or not that is opened."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, BinaryIO, cast

from btrfs_to_s3.host.state import LocalStateDirectory, repository_key, state_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from btrfs_to_s3.config.effective import Config


class _UnchangedState(LocalStateDirectory):
    """The state directory for commands that promise to write nothing."""

    def remember(self, kind: str, name: str, value: bytes) -> None:
        """Cache nothing."""

    def temporary(self) -> BinaryIO:
        """An unnamed file in the system's temporary directory."""
        return cast("BinaryIO", tempfile.TemporaryFile())


def local_state(
    config: Config,
    environ: Mapping[str, str],
    warn: Callable[[str], None],
    *,
    looking: bool = False,
) -> LocalStateDirectory:
    """This machine's state of the repository; ``ConfigError`` where none is named.

    ``looking`` is for commands that promise to write nothing. ``warn`` is told of damage.
    """
    kind = _UnchangedState if looking else LocalStateDirectory
    key = repository_key(str(config.required_repository()), config.endpoint_url)
    return kind(state_root(config.state_dir, environ), key, warn)
