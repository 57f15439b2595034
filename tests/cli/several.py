"""What is done with, and seen of, one source in several repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.service import Service
    from tests.cli.program import Program, Ran


def change(data: Path, text: str) -> None:
    """Change the source."""
    (data / "note").write_text(text)


def started(sends: Path) -> int:
    """How many streams were begun."""
    return len(sends.read_text().splitlines())


def sources_of(ran: Ran) -> dict[str, dict[str, Any]]:
    """What became of the only source, by repository."""
    return {each["name"]: each["sources"][0] for each in ran.document["repositories"]}


def snapshots(filesystem: LoopbackBtrfs, data: Path) -> list[str]:
    """The local snapshots of the source, oldest first."""
    kept = filesystem.mount_point / ".btrfs-to-s3"
    return sorted(path.name for path in kept.glob(f"{data.name}-*"))


def restored(program: Program, data: Path, target: Path, name: str) -> str:
    """What the note of the newest backup says, restored from that repository and compared."""
    directory = target / name
    directory.mkdir()
    ran = program.run(
        "restore", data.name, "--target", directory, "--writable", "--repository", name
    )
    assert ran.code == 0, ran.err
    assert (directory / data.name / "random").read_bytes() == (data / "random").read_bytes()
    return (directory / data.name / "note").read_text()


def credentials(tmp_path: Path, service: Service) -> Path:
    """A credentials file with the profile `elsewhere` for a service."""
    file = tmp_path / "credentials"
    file.write_text(
        f"[elsewhere]\naws_access_key_id = {service.access_key}\n"
        f"aws_secret_access_key = {service.secret_key}\n"
    )
    return file
