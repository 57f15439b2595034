"""Files that are whole or as they were."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.host.durable import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

WRITES_TOO_MUCH = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    from btrfs_to_s3.host.durable import write_atomically
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        write_atomically(Path(sys.argv[1]), b"new" * 10_000)
    except OSError:
        sys.exit(7)
""")


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_mode_is_what_was_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    write_atomically(file, b"one", mode)
    write_atomically(file, b"two", mode)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomically(file, b"old")
    ran = subprocess.run([sys.executable, "-c", WRITES_TOO_MUCH, file], check=False)
    assert ran.returncode == 7
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
