"""What starting the program costs: libraries are imported by the commands that need them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from btrfs_to_s3.cli import commands
from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.cli.root import root

PACKAGE = Path(commands.__file__).parents[2]
PLACES = sorted(
    {
        place
        for path in PACKAGE.rglob("*.py")
        for place in re.findall(r'\blazily\(\s*"([^"]+)"', path.read_text())
    }
)
HEAVY = {"boto3", "botocore", "rich", "zstandard", "psutil", "btrfs_to_s3.wiring"}
SHOW_IMPORTED = """
import sys
from btrfs_to_s3.cli.main import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def imported(arguments: list[str], **environ: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTED, *arguments],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stderr.split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["completion", "bash"]])
def test_what_needs_no_repository_imports_no_library_for_one(arguments: list[str]) -> None:
    assert not imported(arguments) & HEAVY


def test_completing_a_command_imports_none() -> None:
    names = imported(
        [], _BTRFS_TO_S3_COMPLETE="bash_complete", COMP_WORDS="btrfs-to-s3 ", COMP_CWORD="1"
    )
    assert not names & HEAVY
    assert not [name for name in names if name.startswith(f"{commands.__name__}.")]


def test_help_of_a_command_speaks_to_no_service() -> None:
    assert not imported(["backup", "--help"]) & {"boto3", "botocore"}


def test_every_command_of_the_folder_is_there_under_its_name() -> None:
    folder = Path(commands.__file__).parent
    assert set(root.commands) == {path.stem for path in folder.glob("[!_]*.py")}
    assert all(command.name == name for name, command in root.commands.items())


def test_some_places_are_named_instead_of_imported() -> None:
    assert "btrfs_to_s3.wiring.application:Application" in PLACES


@pytest.mark.parametrize("place", PLACES)
def test_what_a_place_names_is_there(place: str) -> None:
    assert callable(lazily(place))
