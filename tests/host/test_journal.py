"""A journal keeps what was appended, whatever happens to the process or the file's end."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import LocalSpaceError, SourceError, UsageError
from btrfs_to_s3.host.journal import FileJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

Records = list[dict[str, object]]
REPOSITORY_ROOT = Path(__file__).parents[2]
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a tmpfs syncs for free

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("\udcff"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
records = st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=4)


def journal(path: Path, told: list[str] | None = None) -> FileJournal:
    return FileJournal(path, ([] if told is None else told).append)


def filled(path: Path, contents: Sequence[Mapping[str, object]]) -> FileJournal:
    made = journal(path)
    for record in contents:
        made.append(record)
    return made


def test_records_come_back_in_order_in_another_process_too(tmp_path: Path) -> None:
    filled(tmp_path / "j", [{"chunk": 1}, {"chunk": 2, "digest": "ab\n", "odd": "\udcff"}])
    expected = [{"chunk": 1}, {"chunk": 2, "digest": "ab\n", "odd": "\udcff"}]
    assert list(journal(tmp_path / "j").records()) == expected


def test_a_journal_that_was_never_written_is_empty_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "j"
    assert list(journal(path).records()) == []
    journal(path).remove()
    assert list(tmp_path.iterdir()) == []


def test_the_first_append_makes_private_directories_and_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "j"
    filled(path, [{}])
    modes = [p.stat().st_mode & 0o777 for p in (path.parent.parent, path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


def test_a_removed_journal_is_empty_and_can_begin_again(tmp_path: Path) -> None:
    made = filled(tmp_path / "j", [{"a": 1}])
    made.remove()
    made.remove()
    assert list(made.records()) == []
    made.append({"b": 2})
    assert list(made.records()) == [{"b": 2}]


@given(records, st.data())
def test_any_truncation_leaves_a_prefix_that_appending_continues(
    contents: Records, data: st.DataObject
) -> None:
    with TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory) / "j"
        filled(path, contents)
        whole = path.read_bytes() if path.exists() else b""
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        told: list[str] = []
        kept = list(journal(path, told).records())
        assert kept == contents[: whole[:cut].count(b"\n")]
        journal(path, told).append({"next": True})
        assert list(journal(path, told).records()) == [*kept, {"next": True}]
        assert told == []


@given(records.filter(bool), st.data())
def test_any_flipped_bit_leaves_a_prefix_that_appending_continues(
    contents: Records, data: st.DataObject
) -> None:
    with TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory) / "j"
        filled(path, contents)
        damaged = bytearray(path.read_bytes())
        bit = data.draw(st.integers(0, len(damaged) * 8 - 1))
        lines_before = bytes(damaged[: bit // 8]).count(b"\n")
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert list(journal(path).records()) == contents[:lines_before]
        journal(path).append({"next": True})
        assert list(journal(path).records()) == [*contents[:lines_before], {"next": True}]


def test_damage_in_the_middle_is_told_once_and_hides_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "j"
    filled(path, [{"n": 1}, {"n": 2}, {"n": 3}])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"n":2', b'"n":7') + lines[2])
    told: list[str] = []
    damaged = journal(path, told)
    assert list(damaged.records()) == [{"n": 1}]
    assert list(damaged.records()) == [{"n": 1}]
    assert len(told) == 1
    assert "from line 2 on" in told[0]


def test_a_line_that_was_cut_behind_its_back_is_repaired_too(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made = filled(path, [{"n": 1}, {"n": 2}])
    os.truncate(path, path.stat().st_size - 1)
    made.append({"n": 3})
    assert list(made.records()) == [{"n": 1}, {"n": 3}]


def test_threads_append_whole_lines(tmp_path: Path) -> None:
    made = journal(tmp_path / "j")

    def append_ten(number: int) -> None:
        for _ in range(10):
            made.append({"n": number})

    threads = [threading.Thread(target=append_ten, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(r["n"]) for r in made.records()) == sorted("0123" * 10)


def test_values_that_json_cannot_carry_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    made = filled(tmp_path / "j", [{"a": 1}])
    with pytest.raises(ValueError, match="JSON"):
        made.append({"a": float("nan")})
    assert list(made.records()) == [{"a": 1}]


def test_a_full_disk_is_its_own_error_and_leaves_the_journal_readable(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made = filled(path, [{"n": 1}])
    room = path.stat().st_size + 20
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(LocalSpaceError) as caught:
            made.append({"n": 2, "long": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(path) in caught.value.message
    assert path.read_bytes().endswith(b"}\n")
    made.append({"n": 3})
    assert list(made.records()) == [{"n": 1}, {"n": 3}]


def test_appending_without_permission_says_what_to_do(
    public_directory: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    made = journal(public_directory / "state" / "j")
    with ordinary_user():
        assert list(made.records()) == []
        with pytest.raises(UsageError) as caught:
            made.append({})
    assert "state_dir" in str(caught.value.hint)


def test_a_place_that_cannot_hold_a_journal_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot be used"):
        journal(tmp_path / "file" / "j").append({})
    (tmp_path / "directory").mkdir()
    with pytest.raises(SourceError, match="cannot be used"):
        list(journal(tmp_path / "directory").records())


def test_what_append_returned_for_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = textwrap.dedent("""
        import itertools, sys
        from pathlib import Path
        from btrfs_to_s3.host.journal import FileJournal
        journal = FileJournal(Path(sys.argv[1]), print)
        for number in itertools.count():
            journal.append({"n": number, "fill": "x" * 5000})
            print(number, flush=True)
    """)
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY_ROOT
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 20:
            pass
        process.kill()
        acknowledged = 20 + len(process.stdout.read().splitlines())
    numbers = [record["n"] for record in journal(path).records()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged


def test_every_append_and_new_name_is_synced_before_it_returns(tmp_path: Path) -> None:
    """Watched with strace, as a power cut would show it."""
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from btrfs_to_s3.host.journal import FileJournal
        journal = FileJournal(Path(sys.argv[1]), print)
        journal.append({"n": 1})
        journal.append({"n": 2})
    """)
    log = tmp_path / "log"
    strace = ["strace", "-f", "-y", "-e", "trace=write,fsync,fdatasync", "-o", str(log)]
    path = tmp_path / "new" / "j"
    try:
        subprocess.run(
            [*strace, sys.executable, "-c", script, str(path)], check=True, cwd=REPOSITORY_ROOT
        )
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    calls = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines() if "<" in line]
    ours = [call.partition(">")[0] for call in calls if str(tmp_path) in call]
    kinds = [call.partition("(")[0] for call in ours]
    assert kinds == ["fsync", "write", "fdatasync", "fsync", "write", "fdatasync"]
    assert [call.rpartition("<")[2] for call in ours if call.startswith("fsync")] == [
        str(tmp_path),
        str(path.parent),
    ]
