"""The command line wins over the environment, the environment over the file."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.config.choices import SendProtocol, ServerSideEncryption
from btrfs_to_s3.config.describe import as_toml
from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.repository import RepositoryUrl
from btrfs_to_s3.config.settings import SETTINGS
from btrfs_to_s3.errors import ConfigError, ExitCode
from btrfs_to_s3.model.policy import KeepPolicy
from tests.config.test_settings import ABSENT, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.config.effective import Config

MIB = 1024 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def written(file: Path, text: str, environ: Mapping[str, str] | None = None) -> Config:
    file.write_text(text)
    return load(file, environ=environ or {}, command_line={})


def refusal(file: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        written(file, text)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value


def origin(config: Config, name: str) -> str:
    return next(found.origin for found in config.effective if found.setting.name == name)


def test_without_file_and_environment_every_setting_has_its_default() -> None:
    config = load(None, environ={}, command_line={}, default_file=ABSENT)
    assert config.file is None
    assert config.policy.chunk_size_bytes == 256 * MIB
    assert config.part_size_bytes == 16 * MIB
    assert config.orphan_age == timedelta(days=7)
    assert config.policy.keep.keeps_everything
    assert config.policy.keep_local == KeepPolicy(last=1)
    assert {found.origin for found in config.effective} == {"default"}


def test_a_repository_in_the_environment_is_enough() -> None:
    config = load(
        None, environ={"BTRFS_TO_S3_URL": "s3://b-1/p/"}, command_line={}, default_file=ABSENT
    )
    assert config.required_repository() == RepositoryUrl("b-1", "p")


def test_a_missing_repository_is_an_error_only_where_it_is_needed() -> None:
    config = load(None, environ={}, command_line={}, default_file=ABSENT)
    with pytest.raises(ConfigError) as caught:
        config.required_repository()
    assert "BTRFS_TO_S3_URL" in str(caught.value.hint)


def test_each_layer_wins_over_the_one_below_and_is_named_as_the_origin(file: Path) -> None:
    file.write_text('chunk_size = "2MiB"\n')
    environ = {"BTRFS_TO_S3_CHUNK_SIZE": "3MiB"}
    default = load(None, environ={}, command_line={}, default_file=ABSENT)
    from_file = load(file, environ={}, command_line={})
    from_environment = load(file, environ=environ, command_line={})
    from_command = load(file, environ=environ, command_line={"chunk_size": "4MiB"})
    seen = [
        (config.policy.chunk_size_bytes // MIB, origin(config, "chunk_size"))
        for config in (default, from_file, from_environment, from_command)
    ]
    assert seen == [
        (256, "default"),
        (2, f"{file}: chunk_size"),
        (3, "environment BTRFS_TO_S3_CHUNK_SIZE"),
        (4, "--chunk-size"),
    ]


def test_options_that_were_not_given_and_empty_variables_decide_nothing(file: Path) -> None:
    file.write_text('region = "eu-north-1"\n')
    config = load(file, environ={"BTRFS_TO_S3_REGION": ""}, command_line={"region": None})
    assert config.region == "eu-north-1"


def test_the_default_file_is_read_when_it_exists(file: Path) -> None:
    file.write_text("concurrency = 9\n")
    config = load(None, environ={}, command_line={}, default_file=file)
    assert (config.file, config.concurrency) == (file, 9)


def test_a_file_named_with_c_must_exist(file: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(file, environ={}, command_line={})


def test_a_file_that_may_not_be_read_is_an_error_and_not_ignored() -> None:
    unreadable = Path("/proc/1/mem") if os.geteuid() else Path("/proc/self")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(None, environ={}, command_line={}, default_file=unreadable)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("concurrency = 4\nregion = \n", "line 2, column 10"),
        ("concurrency = 4\nregion eu\n", "line 2, column 8"),
        ("concurrency = 4\nkeep = [1,", "line 2, column 11"),
        ("concurrency = ", "line 1, column 15"),
    ],
)
def test_a_syntax_error_is_reported_with_its_place_and_how_lines_look(
    file: Path, text: str, place: str
) -> None:
    error = refusal(file, text)
    assert error.message.startswith(f"{file}: {place}: is not TOML: ")
    assert " (at " not in error.message
    assert 'region = "eu-central-1"' in str(error.hint)


def test_text_that_is_not_utf8_is_refused(file: Path) -> None:
    file.write_bytes(b'region = "\xff"\n')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(file, environ={}, command_line={})


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ('chunksize = "1MiB"', "chunksize", "did you mean chunk_size?"),
        ("[send]\nprotocl = 2", "send.protocl", "did you mean send.protocol?"),
        ("send_protocol = 2", "send_protocol", "did you mean send.protocol?"),
        ("[send]\nprotocol = 2\nconcurrency = 3", "send.concurrency", "whole file"),
        ('[[source]]\npath = "/a"', "source", "did you mean sources?"),
        ('aws_secret_access_key = "x"', "aws_secret_access_key", "credentials come from"),
        ('"send.protocol" = 2', '"send.protocol"', "[send] protocol"),
        ('[[sources]]\npath = "/a"\nconcurrency = 3', "concurrency of source /a", "whole file"),
        ('[[sources]]\npath = "/a"\nlable = "x"', "lable of source /a", "did you mean label?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_near_miss(
    file: Path, text: str, key: str, hint: str
) -> None:
    error = refusal(file, text)
    assert error.message == f"{file}: {key}: no such setting"
    assert hint in str(error.hint)


def test_a_group_that_is_no_table_is_refused(file: Path) -> None:
    assert "a table [send] with protocol" in refusal(file, "send = 2").message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('chunk_size = "512KiB"', "from 1MiB to 1TiB"),
        ('chunk_size = "1500000B"', "a multiple of 1MiB"),
        ('part_size = "1MiB"', "from 5MiB to 5GiB"),
        ('concurrency = "4"', "a whole number"),
        ("concurrency = 0", "from 1 to 256"),
        ("orphan_age = 7", "a duration such as"),
        ('storage_class = "GLACEIR"', "GLACIER"),
        ('metadata_class = "GLACIER"', "can be read at once"),
        ('bandwidth_limit = "20Mb/s"', "a rate such as"),
        ('snapshot_directory = "/abs"', "the name of one directory"),
        ("keep = {last = 0}", "one is above 0"),
        ("keep = {lasst = 1}", "last"),
        ("keep_local = 0", "one is above 0"),
        ('endpoint_url = "localhost:9000"', "a URL such as"),
        ('ca_bundle = "/nonexistent.pem"', "a file that exists"),
        ('sse_kms_key_id = "alias/x"', "a key needs sse = aws:kms, but sse is none (default)"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_allowed(
    file: Path, text: str, part: str
) -> None:
    error = refusal(file, text)
    assert error.message.startswith(f"{file}: {text.partition(' ')[0]}: ")
    assert part in error.message


def test_a_near_miss_of_a_word_is_named(file: Path) -> None:
    assert 'did you mean "AES256"?' in str(refusal(file, 'sse = "aes256"').hint)
    assert 'did you mean "GLACIER_IR"?' in str(refusal(file, 'storage_class = "glacier_ir"').hint)


def test_a_duration_without_a_unit_is_refused_with_how_to_write_it(file: Path) -> None:
    assert '"7d"' in str(refusal(file, "orphan_age = 7").hint)


@pytest.mark.parametrize("scheme", ["https://", ""])
def test_credentials_in_an_endpoint_are_refused_and_never_shown(file: Path, scheme: str) -> None:
    error = refusal(file, f'endpoint_url = "{scheme}someone:hidden@s3.example.org"')
    assert "credentials do not belong here" in str(error.hint)
    assert "hidden" not in f"{error.message} {error.hint}"


def test_an_endpoint_of_aws_tools_counts_where_none_of_ours_is_given(file: Path) -> None:
    aws = {"AWS_ENDPOINT_URL": "https://all.example.org/", "PATH": "/bin"}
    config = written(file, "", aws)
    assert config.endpoint_url == "https://all.example.org"
    assert origin(config, "endpoint_url") == "environment AWS_ENDPOINT_URL"
    s3_only = aws | {"AWS_ENDPOINT_URL_S3": "https://s3.example.org"}
    assert written(file, "", s3_only).endpoint_url == "https://s3.example.org"
    own = written(file, 'endpoint_url = "https://own.example.org"', s3_only)
    assert own.endpoint_url == "https://own.example.org"


def test_another_services_own_storage_class_is_accepted_with_its_endpoint(file: Path) -> None:
    endpoint = 'endpoint_url = "https://s3.example.org"\n'
    own_class = 'storage_class = "COLD_DISKS"\n'
    assert written(file, endpoint + own_class).policy.storage_class == "COLD_DISKS"
    config = written(file, own_class, {"AWS_ENDPOINT_URL": "https://s3.example.org"})
    assert config.policy.storage_class == "COLD_DISKS"


def test_a_source_cannot_name_an_unknown_class_either(file: Path) -> None:
    error = refusal(file, '[[sources]]\npath = "/a"\nstorage_class = "COLD"\n')
    assert "storage_class of source /a" in error.message


def test_every_setting_can_be_given_in_each_of_its_places(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    samples = SAMPLES | {"ca_bundle": str(bundle), "prices": str(bundle)}
    command_line = {setting.parameter: samples[setting.name] for setting in SETTINGS}
    environ = {f"BTRFS_TO_S3_{name.upper()}": text for name, text in command_line.items()}
    by_command = load(None, environ={}, command_line=command_line, default_file=ABSENT)
    by_environment = load(None, environ=environ, command_line={}, default_file=ABSENT)
    values = [
        [found.value for found in config.effective] for config in (by_command, by_environment)
    ]
    assert values[0] == values[1]
    assert all(found.origin.startswith("--") for found in by_command.effective)
    assert by_command.sse is ServerSideEncryption.KMS
    assert by_command.policy.send_protocol is SendProtocol.V1
    assert by_command.policy.keep == KeepPolicy(last=3, daily=7)
    assert by_command.bandwidth_bytes_per_s == 20_000_000
    assert by_command.machine.network_interfaces == ("eth0", "wlan*")
    assert by_command.told.notify_urls[1] == "json://127.0.0.1/?a=1,2"


def test_two_variables_of_one_setting_must_agree() -> None:
    environ = {"BTRFS_TO_S3_URL": "s3://bucket/a", "BTRFS_TO_S3_REPOSITORY": "s3://bucket/a/"}
    config = load(None, environ=environ, command_line={}, default_file=ABSENT)
    assert str(config.repository) == "s3://bucket/a"
    environ["BTRFS_TO_S3_REPOSITORY"] = "s3://bucket/b"
    with pytest.raises(ConfigError, match=r"BTRFS_TO_S3_URL .* BTRFS_TO_S3_REPOSITORY"):
        load(None, environ=environ, command_line={}, default_file=ABSENT)


def test_an_unknown_variable_of_ours_is_warned_about() -> None:
    environ = {"BTRFS_TO_S3_BANDWITH_LIMIT": "1MB/s", "PATH": "/bin"}
    config = load(None, environ=environ, command_line={}, default_file=ABSENT)
    assert len(config.warnings) == 1
    assert "did you mean BTRFS_TO_S3_BANDWIDTH_LIMIT?" in config.warnings[0]


def test_systemds_state_directory_replaces_the_default_only(file: Path) -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/btrfs-to-s3/one:/var/lib/two"}
    by_systemd = load(None, environ=environ, command_line={}, default_file=ABSENT)
    assert by_systemd.state_dir == Path("/var/lib/btrfs-to-s3/one")
    assert origin(by_systemd, "state_dir") == "environment STATE_DIRECTORY"
    assert written(file, 'state_dir = "/srv/state"', environ).state_dir == Path("/srv/state")


def test_the_described_configuration_gives_the_same_configuration_again(tmp_path: Path) -> None:
    first, again = tmp_path / "config.toml", tmp_path / "again.toml"
    first.write_text(
        'repository = "s3://bucket/it\'s \\"odd\\" é"\n'
        'keep = {last = 3, yearly = 1}\nchunk_size = "64MiB"\nfull_every = "30d"\n'
        "[send]\nprotocol = 2\n"
        '[[sources]]\npath = "/mnt/a\'b/x"\nkeep = {last = 1}\nsend.protocol = 1\n'
        'full_every = "none"\nmax_chain = 3\n'
        '[[sources]]\npath = "/mnt/ü y"\nlabel = "y"\nkeep_local = "all"\n'
    )
    environ = {"BTRFS_TO_S3_MAX_CHAIN": "9"}
    config = load(first, environ=environ, command_line={"concurrency": "7"})
    again.write_text(as_toml(config))
    reread = load(again, environ={}, command_line={})
    assert [found.value for found in reread.effective] == [f.value for f in config.effective]
    assert [(s.path, s.label, s.policy) for s in reread.sources] == [
        (s.path, s.label, s.policy) for s in config.sources
    ]
    assert config.sources[0].policy.chain.max_chain == 9
    assert f"# {first}: keep of source /mnt/a'b/x" in as_toml(config)
    assert "concurrency = 7  # --concurrency" in as_toml(config)
