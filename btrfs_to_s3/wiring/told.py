"""What this machine remembers of a repository, without opening the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.host.state import LocalStateDirectory, repository_key, state_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from btrfs_to_s3.config.effective import Config


def local_state(
    config: Config, environ: Mapping[str, str], warn: Callable[[str], None]
) -> LocalStateDirectory | None:
    """This machine's state of the repository; None where no repository is named."""
    if config.repository is None:
        return None
    root = state_root(config.state_dir, environ)
    key = repository_key(str(config.repository), config.endpoint_url)
    return LocalStateDirectory(root, key, warn)
