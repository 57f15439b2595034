"""Command lines that must work on a stage with backups, and those that must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from integration_tests.harness.scripting.stage import Stage

Arguments = tuple[str, ...]
COMMANDS: Final = (
    "backup",
    "plan",
    "list",
    "show",
    "status",
    "restore",
    "verify",
    "prune",
    "doctor",
    "cost",
    "thaw",
    "hold",
    "compact",
    "copy",
    "completion",
)
_USAGE: Final = 2
_FAILED: Final = 3
_UNUSABLE: Final = 4
_STALE: Final = 8

REFUSED: Final[tuple[tuple[Arguments, int], ...]] = (
    (("no-such-command",), _USAGE),
    (("list", "--no-such-option"), _USAGE),
    (("backup", "--chunk-size", "huge"), _USAGE),
    (("backup", "--compression-level", "99"), _USAGE),
    (("backup", "--bandwidth-limit", "-1MB/s"), _USAGE),
    (("backup", "--full", "--concurrency", "0"), _USAGE),
    (("restore", "data"), _USAGE),
    (("show",), _USAGE),
    (("verify", "--level", "deep"), _USAGE),
    (("prune", "--keep", "sometimes"), _USAGE),
    (("-c", "/nowhere/config.toml", "list"), _USAGE),
    (("doctor", "/proc"), _USAGE),
    (("thaw", "data", "melt"), _USAGE),
    (("thaw", "data", "plan", "--tier", "tepid"), _USAGE),
    (("hold", "remove", "data"), _USAGE),
    (("copy", "data", "--to", "nowhere"), _USAGE),
    (("plan", "--simulate", "soon"), _USAGE),
    (("cost", "--prices", "/nowhere/prices.toml"), _USAGE),
    (("list", "--repository", "http://not-s3"), _USAGE),
    (("list", "--repository", "s3://no-such-bucket-anywhere/x"), _UNUSABLE),
    (("backup", "/proc"), _FAILED),
    (("status", "--max-age", "1s"), _STALE),
)


def accepted(stage: Stage) -> list[Arguments]:
    """What must end with 0; the source may be backed up by it, nothing is removed."""
    data = str(stage.data)
    return [
        ("--version",),
        ("--help",),
        *((command, "--help") for command in COMMANDS),
        ("list",),
        ("-v", "list"),
        ("-q", "list"),
        ("--no-progress", "list"),
        ("list", "--json"),
        ("show", "data"),
        ("show", "data@latest"),
        ("status",),
        ("status", "--max-age", "7d"),
        ("plan", data),
        ("doctor", data),
        ("plan", data, "--simulate", "30d"),
        ("cost",),
        ("cost", "data", "--json"),
        ("thaw", "data", "plan"),
        ("thaw", "status", "data"),
        ("thaw", "data", "request", "--tier", "bulk", "--budget", "5"),
        ("hold", "add", "data", "--reason", "tried by hand"),
        ("hold", "list"),
        ("hold", "remove", "data"),
        ("compact", data, "--dry-run"),
        ("backup", data, "--dry-run"),
        ("backup", data, "-q"),
        ("backup", data, "--full", "--no-progress", "--compression-level", "3"),
        ("backup", data, "--force", "--chunk-size", "5MiB", "--part-size", "5MiB"),
        ("backup", data, "--force", "--concurrency", "1", "--compression-threads", "1"),
        ("backup", data, "--force", "--restart", "--bandwidth-limit", "50MB/s"),
        ("backup", data, "--force", "--storage-class", "STANDARD_IA"),
        ("verify",),
        ("verify", "--level", "data"),
        ("verify", "--checksums"),
        ("verify", "data"),
        ("prune", "--dry-run"),
        ("prune", "--keep", "last=50,daily=7", "--dry-run"),
        ("restore", "data", "--target", str(stage.target), "--dry-run"),
    ]
