"""The harness's settings: every refusal names the key, and the environment wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.scripting.settings import (
    CONFIG_DIRECTORY,
    S3,
    Settings,
    SettingsError,
    load,
)

if TYPE_CHECKING:
    from pathlib import Path

    Monkey = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: Monkey) -> None:
    for name in ("BTRFS_TO_S3_CMD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ENDPOINT", "BUCKET", "PREFIX", "REGION"):
        monkeypatch.delenv(f"HARNESS_{name}", raising=False)


def loaded(tmp_path: Path, toml: str = "", env: str = "") -> Settings:
    (tmp_path / "some.toml").write_text(toml)
    (tmp_path / "some.env").write_text(env)
    return load(tmp_path / "some.toml", tmp_path / "some.env")


@pytest.mark.parametrize(
    "path", sorted(CONFIG_DIRECTORY.glob("*.toml")), ids=lambda path: path.stem
)
def test_every_shipped_configuration_loads_beside_the_template(path: Path) -> None:
    settings = load(path)
    assert settings.is_embedded
    assert settings.command[1:] == ["-m", "btrfs_to_s3"]


def test_the_small_configuration_is_one_chunk_and_the_large_one_many() -> None:
    small, large = (
        load(CONFIG_DIRECTORY / "test_small.toml"),
        load(CONFIG_DIRECTORY / "test_large.toml"),
    )
    assert (small.data.size.bytes, small.backup["chunk_size"]) == (1024**2, "10MiB")
    assert large.data.size.bytes >= 256 * 1024**2


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("surprise = 1", "'surprise' is unknown"),
        ("[data]\nsurprise = 1", "data: 'surprise' is unknown"),
        ('[data]\nsize = "some"', "data: size: 'some' is not a size"),
        ("[data]\nsize = 5", "data: size: 5 is not"),
        ("[data]\nseed = true", "data: seed: True is not"),
        ('[archive]\nthaw = "soon"', "thaw: 'soon' is not a duration"),
        ("[filesystem]\nmount_options = [1]", "mount_options"),
        ("[backup]\nconcurrency = 4", "[backup] holds strings"),
        ("[data", "some.toml"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, toml)
    assert said in str(caught.value)
    assert "some.toml" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["python3 -m btrfs_to_s3", '"python3"', "[]", '["python3", 1]', "{}", "["]
)
def test_only_a_json_array_of_strings_is_a_command(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="BTRFS_TO_S3_CMD"):
        _ = loaded(tmp_path, env=f"BTRFS_TO_S3_CMD={text}").command


def test_a_command_is_taken_from_the_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: Monkey
) -> None:
    env = 'BTRFS_TO_S3_CMD=["one", "two"]'
    assert loaded(tmp_path, env=env).command == ["one", "two"]
    monkeypatch.setenv("BTRFS_TO_S3_CMD", '["three"]')
    assert loaded(tmp_path, env=env).command == ["three"]


def test_a_placeholder_is_refused_by_its_name_once_it_is_used(tmp_path: Path) -> None:
    settings = loaded(tmp_path, env="AWS_ACCESS_KEY_ID=CHANGE_ME")
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID is still CHANGE_ME"):
        settings.variable("AWS_ACCESS_KEY_ID")
    with pytest.raises(SettingsError, match="HARNESS_BUCKET is still CHANGE_ME"):
        loaded(tmp_path, env="HARNESS_BUCKET=CHANGE_ME")


def test_the_service_can_be_given_by_variables(tmp_path: Path) -> None:
    env = "HARNESS_ENDPOINT=http://127.0.0.1:1\nHARNESS_BUCKET='mine' \n# comment\n"
    settings = loaded(tmp_path, '[s3]\nprefix = "p"', env)
    assert settings.s3 == S3("http://127.0.0.1:1", "mine", "p")
    assert not settings.is_embedded


def test_a_line_that_is_no_assignment_is_refused_with_its_number(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"some\.env:2"):
        loaded(tmp_path, env="A=1\nexport B=2")
