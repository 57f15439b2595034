"""Local state is private, atomic and only a cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.state import (
    LocalStateDirectory,
    checked_name,
    observe_root,
    repository_key,
    state_root,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from btrfs_to_s3.ports import LocalState


def state(root: Path, key: str = "bucket-1") -> LocalStateDirectory:
    told: list[str] = []
    return LocalStateDirectory(root, key, told.append)


def test_it_is_a_local_state(tmp_path: Path) -> None:
    port: LocalState = state(tmp_path)
    port.journal("upload", "a").append({"n": 1})
    assert list(port.journal("upload", "a").records()) == [{"n": 1}]


def test_nothing_is_created_before_something_is_written(tmp_path: Path) -> None:
    fresh = state(tmp_path / "state")
    fresh.journal("upload", "a")
    assert list(fresh.journals("upload")) == []
    assert fresh.recall("capabilities", "a") is None
    assert not (tmp_path / "state").exists()


def test_everything_created_is_private(tmp_path: Path) -> None:
    made = state(tmp_path / "state")
    made.remember("capabilities", "a", b"x")
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_journals_are_listed_by_kind_and_name(tmp_path: Path) -> None:
    made = state(tmp_path)
    for kind, name in (("upload", "b"), ("upload", "a.x"), ("restore", "c")):
        made.journal(kind, name).append({})
    made.remember("upload", "d", b"a cache is no journal")
    assert list(made.journals("upload")) == ["a.x", "b"]
    made.journal("upload", "b").remove()
    assert list(made.journals("upload")) == ["a.x"]


def test_a_cached_value_comes_back_until_it_is_replaced_or_deleted(tmp_path: Path) -> None:
    made = state(tmp_path)
    made.remember("head", "a", b"1")
    made.remember("head", "a", b"\x00two")
    assert state(tmp_path).recall("head", "a") == b"\x00two"
    (made.directory / "head" / "a.cache").unlink()
    assert made.recall("head", "a") is None


def test_repositories_do_not_share_state(tmp_path: Path) -> None:
    state(tmp_path, "one").remember("head", "a", b"1")
    assert state(tmp_path, "two").recall("head", "a") is None


def test_caching_leaves_no_temporary_files(tmp_path: Path) -> None:
    made = state(tmp_path)
    for number in range(3):
        made.remember("head", "a", b"%d" % number)
    assert [path.name for path in (made.directory / "head").iterdir()] == ["a.cache"]


def test_a_value_that_cannot_replace_the_old_one_leaves_it_and_no_rubbish(tmp_path: Path) -> None:
    made = state(tmp_path)
    (made.directory / "head" / "a.cache").mkdir(parents=True)
    made.remember("head", "a", b"x")
    assert [path.name for path in (made.directory / "head").iterdir()] == ["a.cache"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/etc", "a\0", "a\n", "é", "x" * 201]
)
def test_names_that_could_leave_their_directory_are_refused(tmp_path: Path, name: str) -> None:
    made = state(tmp_path)
    for use in (
        lambda: made.journal("upload", name),
        lambda: made.journal(name, "a"),
        lambda: made.journals(name),
        lambda: made.remember("head", name, b""),
        lambda: made.recall(name, "a"),
        lambda: state(tmp_path, name),
    ):
        with pytest.raises(ValueError, match="cannot name local state"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_source_and_backup_ids_are_names() -> None:
    for name in (".config-1a2b3c4d", "20261120T020000Z-full-1a2b3c4d", "a@b"):
        assert checked_name(name) == name


@given(st.text(max_size=300), st.none() | st.text(max_size=20))
def test_any_repository_gives_a_usable_directory_name(url: str, endpoint: str | None) -> None:
    url = url.encode("utf-8", "replace").decode()
    endpoint = endpoint and endpoint.encode("utf-8", "replace").decode()
    assert checked_name(repository_key(url, endpoint))


def test_different_repositories_have_different_keys() -> None:
    keys = {
        repository_key(url, endpoint)
        for url in ("s3://b/a", "s3://b/a-b", "s3://b-a", "s3://b/a/b")
        for endpoint in (None, "http://127.0.0.1:9000")
    }
    assert len(keys) == 8
    assert repository_key("s3://bucket/hosts", None).startswith("bucket-hosts-")


def test_a_temporary_file_is_unnamed_and_in_the_state_directory(tmp_path: Path) -> None:
    made = state(tmp_path)
    with made.temporary() as file:
        file.write(b"catalog")
        file.seek(0)
        assert file.read() == b"catalog"
        where = str(Path(f"/proc/self/fd/{file.fileno()}").readlink())
        assert where.startswith(str(made.directory))
        assert where.endswith("(deleted)")
        assert list(made.directory.iterdir()) == []


def test_without_permission_reading_works_and_caching_does_nothing(
    public_directory: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    with ordinary_user():
        closed = state(public_directory / "state")
        closed.remember("head", "a", b"x")
        assert closed.recall("head", "a") is None
        assert list(closed.journals("upload")) == []
        assert list(closed.journal("upload", "a").records()) == []
        with closed.temporary() as file:
            assert file.write(b"x") == 1
        with pytest.raises(UsageError, match="cannot be used"):
            closed.journal("upload", "a").append({})
    assert list(public_directory.iterdir()) == []


def test_another_users_private_state_is_no_error_to_a_reader(
    public_directory: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's directory")
    state(public_directory).remember("head", "a", b"x")
    with ordinary_user():
        assert state(public_directory).recall("head", "a") is None
        assert list(state(public_directory).journals("upload")) == []


def test_an_ordinary_user_gets_a_cache_directory_where_the_configured_one_is_not_theirs(
    public_directory: Path,
    tmp_path: Path,
    ordinary_user: Callable[[], AbstractContextManager[None]],
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700 if os.geteuid() == 0 else 0o500)
    with ordinary_user():
        for closed in (public_directory / "state", private / "deep" / "state"):
            environ = {"HOME": "/home/me", "XDG_CACHE_HOME": "/cache"}
            assert state_root(closed, environ) == Path("/cache/btrfs-to-s3")
            environ["XDG_CACHE_HOME"] = "relative"
            assert state_root(closed, environ) == Path("/home/me/.cache/btrfs-to-s3")


def test_an_ordinary_user_keeps_a_configured_directory_of_their_own(
    public_directory: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    public_directory.chmod(0o777)
    with ordinary_user():
        assert state_root(public_directory / "state", {}) == public_directory / "state"


def test_root_always_gets_the_configured_directory() -> None:
    if os.geteuid() == 0:
        assert state_root(Path("/proc/nowhere"), {}) == Path("/proc/nowhere")


def test_a_state_directory_is_observed_without_being_made(tmp_path: Path) -> None:
    absent = observe_root(tmp_path / "a" / "b")
    assert (absent.exists, absent.writable) == (False, True)
    assert absent.free_bytes > 0
    assert not (tmp_path / "a").exists()
    assert observe_root(tmp_path).exists
    file = tmp_path / "file"
    file.write_text("")
    assert not observe_root(file / "below").writable
