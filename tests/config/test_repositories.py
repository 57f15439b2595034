"""Several repositories in one file: their settings, their sources, and which one is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.config.describe import as_toml
from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.sources import select_by_repository
from btrfs_to_s3.errors import ConfigError, UsageError
from btrfs_to_s3.model.policy import KeepPolicy

if TYPE_CHECKING:
    from btrfs_to_s3.config.effective import Config

ROOT = Path("/")
TWO = """
repository = "s3://home/p"
region = "eu-central-1"
max_chain = 9
storage_class = "STANDARD_IA"

[[repositories]]
name = "offsite"
repository = "s3://away/p"
region = "eu-west-1"
profile = "away"
storage_class = "DEEP_ARCHIVE"
keep = 3

[[sources]]
path = "/mnt/both"
repositories = ["default", "offsite"]

[[sources]]
path = "/mnt/home"

[[sources]]
path = "/mnt/away"
repositories = ["offsite"]
storage_class = "GLACIER"
"""


def loaded(
    tmp_path: Path,
    text: str = TWO,
    environ: dict[str, str] | None = None,
    **command_line: str,
) -> Config:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load(file, environ=environ or {}, command_line=command_line)


def test_a_repositorys_table_decides_and_the_top_level_gives_the_rest(tmp_path: Path) -> None:
    home, away = loaded(tmp_path).repositories
    assert (home.name, str(home.repository)) == ("default", "s3://home/p")
    assert (away.name, str(away.repository)) == ("offsite", "s3://away/p")
    assert (home.region, home.profile) == ("eu-central-1", None)
    assert (away.region, away.profile) == ("eu-west-1", "away")
    assert (home.policy.storage_class, away.policy.storage_class) == ("STANDARD_IA", "DEEP_ARCHIVE")
    assert away.policy.keep == KeepPolicy(last=3)
    assert home.policy.keep.keeps_everything
    assert away.policy.chain.max_chain == home.policy.chain.max_chain == 9


def test_a_sources_own_setting_wins_over_the_repositorys(tmp_path: Path) -> None:
    _, away = loaded(tmp_path).repositories
    classes = {source.label: source.policy.storage_class for source in away.sources}
    assert classes == {"both": "DEEP_ARCHIVE", "home": "DEEP_ARCHIVE", "away": "GLACIER"}


def test_the_environment_and_the_command_line_win_over_both(tmp_path: Path) -> None:
    environ = {"BTRFS_TO_S3_STORAGE_CLASS": "STANDARD"}
    assert {
        source.policy.storage_class
        for place in loaded(tmp_path, environ=environ).repositories
        for source in place.sources
    } == {"STANDARD"}
    given = loaded(tmp_path, environ=environ, storage_class="GLACIER_IR")
    assert {place.policy.storage_class for place in given.repositories} == {"GLACIER_IR"}


def test_what_leads_to_a_repository_is_not_taken_from_another_ones_environment(
    tmp_path: Path,
) -> None:
    environ = {"BTRFS_TO_S3_URL": "s3://other", "BTRFS_TO_S3_REGION": "us-east-1"}
    environ |= {"BTRFS_TO_S3_PROFILE": "mine"}
    home, away = loaded(tmp_path, environ=environ).repositories
    assert (str(home.repository), home.region, home.profile) == ("s3://other", "us-east-1", "mine")
    assert (str(away.repository), away.region, away.profile) == ("s3://away/p", "eu-west-1", "away")


def test_the_command_line_leads_to_the_repository_it_names(tmp_path: Path) -> None:
    chosen = loaded(tmp_path, repository="offsite", region="eu-north-1")
    assert (chosen.name, chosen.region, chosen.profile) == ("offsite", "eu-north-1", "away")
    assert chosen.places() == (chosen,)
    with pytest.raises(UsageError, match="--region is for one repository") as caught:
        loaded(tmp_path, region="eu-north-1")
    assert "--repository NAME" in str(caught.value.hint)


def test_a_url_of_the_file_means_that_repository_with_its_settings(tmp_path: Path) -> None:
    assert loaded(tmp_path, repository="s3://away/p/").profile == "away"
    other = loaded(tmp_path, repository="s3://elsewhere")
    assert (str(other.repository), other.region) == ("s3://elsewhere", "eu-central-1")
    assert other.policy.storage_class == "STANDARD_IA"
    assert all(other.stores(source) for source in other.sources)


def test_sources_go_where_they_say_and_others_to_the_default(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    by_place = select_by_repository(config, [], ROOT)
    assert {place.name: [source.label for source in sources] for place, sources in by_place} == {
        "default": ["both", "home"],
        "offsite": ["both", "away"],
    }
    one = select_by_repository(config, ["/mnt/away", "/mnt/new"], ROOT)
    assert {place.name: [source.label for source in sources] for place, sources in one} == {
        "default": ["new"],
        "offsite": ["away"],
    }
    chosen = loaded(tmp_path, repository="offsite")
    [(_, sources)] = select_by_repository(chosen, [], ROOT)
    assert [source.label for source in sources] == ["both", "away"]
    [(_, sources)] = select_by_repository(chosen, ["/mnt/home"], ROOT)
    assert [source.label for source in sources] == ["home"]


def test_work_is_done_on_every_repository_that_a_source_names(tmp_path: Path) -> None:
    assert [place.name for place in loaded(tmp_path).places()] == ["default", "offsite"]
    unused = TWO.replace('["default", "offsite"]', '["default"]').replace(
        '["offsite"]', '["default"]'
    )
    assert [place.name for place in loaded(tmp_path, unused).places()] == ["default"]


def test_a_file_without_tables_is_one_repository_as_ever(tmp_path: Path) -> None:
    config = loaded(tmp_path, 'repository = "s3://b-1"\n[[sources]]\npath = "/a"\n')
    assert (config.name, config.repositories, config.places()) == ("default", (), (config,))
    assert [source.repositories for source in config.sources] == [("default",)]
    elsewhere = loaded(tmp_path, "", repository="s3://b-2")
    assert str(elsewhere.required_repository()) == "s3://b-2"


def test_the_only_named_repository_is_the_default(tmp_path: Path) -> None:
    text = '[[repositories]]\nname = "one"\nrepository = "s3://b-1"\n[[sources]]\npath = "/a"\n'
    config = loaded(tmp_path, text)
    assert str(config.required_repository()) == "s3://b-1"
    assert [place.name for place in config.places()] == ["one"]


def test_with_several_and_no_default_one_must_be_named(tmp_path: Path) -> None:
    tables = "".join(
        f'[[repositories]]\nname = "{name}"\nrepository = "s3://b-{name}"\n' for name in ("x", "y")
    )
    with pytest.raises(ConfigError, match="none of them was chosen") as caught:
        loaded(tmp_path, tables).required_repository()
    assert "x|y" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="none is named") as caught:
        loaded(tmp_path, tables + '[[sources]]\npath = "/a"\n')
    assert "x, y" in str(caught.value.hint)


def test_the_configuration_that_counts_can_be_read_again(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    again = loaded(tmp_path, as_toml(config))
    for old, new in zip(config.repositories, again.repositories, strict=True):
        assert (old.name, old.repository, old.profile) == (new.name, new.repository, new.profile)
        assert old.policy == new.policy
        assert [(s.label, s.policy, s.repositories) for s in old.sources] == [
            (s.label, s.policy, s.repositories) for s in new.sources
        ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("repositories = 3", "[[repositories]] tables"),
        ("[[repositories]]\nrepository = 's3://b-1'", "repository number 1 has no name"),
        ("[[repositories]]\nname = 'a'", "repository a has no URL"),
        ("[[repositories]]\nname = 'a b'\nrepository = 's3://b-1'", "name of repository a b"),
        ("[[repositories]]\nname = 'default'\nrepository = 's3://b-1'", "file's top level"),
        ("[[repositories]]\nname = 'a'\nrepository = 's3://b-1'\ntypo = 1", "no such setting"),
        ("[[repositories]]\nname = 'a'\nrepository = 's3://b-1'\nhost = 'x'", "no such setting"),
        (
            "[[repositories]]\nname = 'a'\nrepository = 's3://b-1'\nkeep_local = 2",
            "no such setting",
        ),
        (
            (
                "[[repositories]]\nname = 'a'\nrepository = 's3://b-1'\n"
                "[[repositories]]\nname = 'a'\nrepository = 's3://b-2'"
            ),
            "two [[repositories]] have the name a",
        ),
        (
            "repository = 's3://b-1/'\n[[repositories]]\nname = 'a'\nrepository = 's3://b-1'",
            "default and a are both s3://b-1",
        ),
        (
            "repository = 's3://b-1'\n[[sources]]\npath = '/a'\nrepositories = ['b']",
            'found ["b"]; allowed: a list of names, of: default',
        ),
        (
            (
                "repository = 's3://b-1'\n[[sources]]\npath = '/a'\n"
                "repositories = ['default', 'default']"
            ),
            "allowed: a list of names",
        ),
        ("repository = 's3://b-1'\n[[sources]]\npath = '/a'\nrepositories = []", "found []"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(
    tmp_path: Path, text: str, part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert part in caught.value.message


def test_one_url_at_two_services_is_two_repositories(tmp_path: Path) -> None:
    text = TWO.replace("s3://away/p", "s3://home/p").replace(
        'name = "offsite"', 'name = "offsite"\nendpoint_url = "https://s3.example.org"'
    )
    assert len(loaded(tmp_path, text).repositories) == 2
    with pytest.raises(UsageError, match="more than one repository"):
        loaded(tmp_path, text, repository="s3://home/p")


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"configuration file \(default, offsite\)") as caught:
        loaded(tmp_path, repository="ofsite")
    assert caught.value.hint == "did you mean offsite?"
    with pytest.raises(ConfigError, match="--repository"):
        loaded(tmp_path, "", repository="offsite")
