"""Sources come from the file or the command line, each with a label of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.sources import select_sources
from btrfs_to_s3.errors import ConfigError, UsageError
from btrfs_to_s3.model.policy import KeepPolicy
from tests.config.test_settings import ABSENT

if TYPE_CHECKING:
    from btrfs_to_s3.config.effective import Config

MIB = 1024 * 1024
ROOT = Path("/")


def configured(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load(file, environ=environ or {}, command_line={})


def test_a_source_takes_the_global_settings_but_for_its_own(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        'chunk_size = "2MiB"\nmax_chain = 5\n'
        '[[sources]]\npath = "/mnt/vol/"\nchunk_size = "3MiB"\nkeep = 4\n'
        '[[sources]]\npath = "/mnt/other"\nlabel = "o"\n',
    )
    first, second = config.sources
    assert (first.path, first.label) == (Path("/mnt/vol"), "vol")
    assert (second.path, second.label) == (Path("/mnt/other"), "o")
    assert first.policy.chunk_size_bytes == 3 * MIB
    assert first.policy.keep == KeepPolicy(last=4)
    assert first.policy.chain.max_chain == 5
    assert second.policy == config.policy


def test_the_environment_wins_over_a_sources_own_setting(tmp_path: Path) -> None:
    text = '[[sources]]\npath = "/mnt/vol"\nchunk_size = "3MiB"\nmax_chain = 2\n'
    config = configured(tmp_path, text, {"BTRFS_TO_S3_CHUNK_SIZE": "5MiB"})
    assert config.sources[0].policy.chunk_size_bytes == 5 * MIB
    assert [found.setting.name for found in config.sources[0].overrides] == ["max_chain"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sources = 3", "[[sources]] tables"),
        ("sources = [3]", "[[sources]] tables"),
        ('[[sources]]\nlabel = "x"', "source number 1 has no path"),
        ('[[sources]]\npath = "relative"', "path of source relative: "),
        ('[[sources]]\npath = "/a/../b"', "path of source /a/../b: "),
        ('[[sources]]\npath = 5\nlabel = "x"', "path of source 5: "),
        ('[[sources]]\npath = "/a"\nlabel = "x/y"', "label of source /a: "),
        ('[[sources]]\npath = "/a b"', "label of source /a b: "),
        ('[[sources]]\npath = "/a"\n[[sources]]\npath = "/a/"\nlabel = "b"', "have the path /a"),
        ('[[sources]]\npath = "/a"\nmax_chain = 0', "max_chain of source /a: found 0"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, text)
    assert part in caught.value.message


def test_colliding_labels_are_refused_with_lines_that_solve_it(tmp_path: Path) -> None:
    first = '[[sources]]\npath = "/mnt/a/data"\n'
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f'{first}[[sources]]\npath = "/mnt/b/data"\n')
    assert "/mnt/a/data and /mnt/b/data would both be called 'data'" in caught.value.message
    _, _, lines = str(caught.value.hint).partition("\n")
    assert tomllib.loads(lines) == {"sources": [{"path": "/mnt/b/data", "label": "b-data"}]}
    assert [source.label for source in configured(tmp_path, first + lines).sources] == [
        "data",
        "b-data",
    ]


def test_without_paths_all_configured_sources_are_selected(tmp_path: Path) -> None:
    config = configured(tmp_path, '[[sources]]\npath = "/a"\n[[sources]]\npath = "/b"\n')
    assert select_sources(config, [], ROOT) == config.sources


def test_without_paths_and_configured_sources_there_is_nothing_to_do() -> None:
    config = load(None, environ={}, command_line={}, default_file=ABSENT)
    with pytest.raises(UsageError, match="no source is named"):
        select_sources(config, [], ROOT)


def test_a_path_selects_the_configured_source_or_makes_one(tmp_path: Path) -> None:
    config = configured(tmp_path, 'max_chain = 3\n[[sources]]\npath = "/mnt/a"\nlabel = "x"\n')
    known, new = select_sources(config, ["/mnt/a/", "/mnt/@home"], ROOT)
    assert known == config.sources[0]
    assert (new.path, new.label, new.policy) == (Path("/mnt/@home"), "home", config.policy)


def test_relative_paths_start_at_the_given_directory_and_repeats_count_once(tmp_path: Path) -> None:
    config = configured(tmp_path, "")
    selected = select_sources(config, ["vol", "/mnt/vol", ".", "/"], Path("/mnt"))
    assert [(source.path, source.label) for source in selected] == [
        (Path("/mnt/vol"), "vol"),
        (Path("/mnt"), "mnt"),
        (Path("/"), "root"),
    ]


def test_two_dots_follow_symbolic_links_as_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    (selected,) = select_sources(configured(tmp_path, ""), ["link/.."], tmp_path)
    assert selected.path == tmp_path / "real"


@pytest.mark.parametrize(
    "paths", [["/mnt/b/data"], ["/mnt/b/data", "/mnt/a/data"], ["/b", "/mnt/b/data"]]
)
def test_a_path_may_not_take_the_label_of_a_configured_source(
    tmp_path: Path, paths: list[str]
) -> None:
    config = configured(tmp_path, '[[sources]]\npath = "/mnt/a/data"\n')
    with pytest.raises(ConfigError, match="would both be called 'data'"):
        select_sources(config, paths, ROOT)


def test_a_path_without_a_usable_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no usable label"):
        select_sources(configured(tmp_path, ""), ["/mnt/my data"], ROOT)


@given(
    st.lists(
        st.sampled_from(["/a/x", "/b/x", "/a-x", "/é/x", "/c/a-x", "/x"]), unique=True, min_size=1
    )
)
def test_the_proposed_label_is_always_free_and_usable(paths: list[str]) -> None:
    config = load(None, environ={}, command_line={}, default_file=ABSENT)
    try:
        select_sources(config, paths, ROOT)
    except ConfigError as error:
        _, _, lines = str(error.hint).partition("\n")
        (table,) = tomllib.loads(lines)["sources"]
        assert table["path"] in paths
        assert table["label"] not in {Path(path).name for path in paths}
