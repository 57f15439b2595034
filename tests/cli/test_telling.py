"""Those who are not there hear how a run went, and telling them changes nothing about it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from btrfs_to_s3.cli.following import RunFollower
from btrfs_to_s3.cli.main import run
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.host.lock import RunLock
from tests.cli.program import until
from tests.s3.fault_proxy import slow_down
from tests.stand_ins.watch_service import WatchService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from tests.cli.program import Program, Ran
    from tests.s3.fault_proxy import FaultProxy

SECRET = "5ecre7"


@pytest.fixture
def service() -> Iterator[WatchService]:
    with WatchService() as running:
        yield running


@pytest.fixture
def notified() -> Iterator[WatchService]:
    with WatchService() as running:
        yield running


def _state(program: Program) -> Path:
    (found,) = Path(program.environ["BTRFS_TO_S3_STATE_DIR"]).iterdir()
    return found


def _messages(service: WatchService) -> list[dict[str, str]]:
    return [json.loads(heard.body) for heard in service.heard]


def _samples(path: Path) -> dict[str, dict[str, float]]:
    """By metric's name and source, what a Prometheus reads."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[sample.labels["source"]] = sample.value
    return found


def _result(ran: Ran) -> str:
    """Standard output, but for what this process ever took of memory."""
    return re.sub(r'"peak_memory_bytes": \d+', "", ran.out)


@pytest.mark.parametrize("content", ['chunk_size = "many"\n', "chunk_size = \n"])
def test_a_configuration_that_comes_through_a_pipe_is_the_run_s_own(
    alone: Program, content: str
) -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as pipe:  # noqa: PTH123 - a descriptor
        pipe.write(f'repository = "s3://bucket/prefix"\n{content}')
    try:
        ran = replace(alone, file=Path(f"/dev/fd/{reading}")).run("backup", "/mnt")
    finally:
        os.close(reading)
    assert ran.code == 2
    assert f"error: /dev/fd/{reading}: " in ran.err


# ping_url


@pytest.mark.btrfs
def test_a_backup_tells_its_start_and_its_success_under_one_run_id(
    program: Program, data: Path, service: WatchService
) -> None:
    ran = program.run("backup", data, "--ping-url", f"{service.url}?create=1")
    assert ran.code == 0, ran.err
    assert service.signals == ["/start", ""]
    queries = [parse_qs(urlsplit(heard.target).query) for heard in service.heard]
    assert [query["create"] for query in queries] == [["1"], ["1"]]
    assert queries[0]["rid"] == queries[1]["rid"]
    again = program.run("backup", data, "--ping-url", service.url)
    assert again.code == 0
    assert parse_qs(urlsplit(service.heard[-1].target).query)["rid"] != queries[0]["rid"]


def test_a_failing_run_tells_the_end_of_its_log_without_secrets(
    program: Program, tmp_path: Path, service: WatchService
) -> None:
    program = program.with_environment(BTRFS_TO_S3_PING_URL=service.url)
    ran = program.run("backup", tmp_path / "absent")
    assert ran.code == 2
    assert service.signals == ["/start", "/fail"]
    body = service.heard[-1].body
    assert "error: " in body
    assert str(tmp_path / "absent") in body
    assert SECRET not in body + ran.err


def test_a_configuration_that_cannot_be_used_is_told(
    alone: Program, service: WatchService, notified: WatchService
) -> None:
    program = alone.configured(
        f'ping_url = "{service.url}"\n'
        f'notify_urls = ["json://{notified.address}/{SECRET}"]\n'
        'chunk_size = "many"\n'
    )
    ran = program.run("backup")
    assert ran.code == 2
    assert service.signals == ["/start", "/fail"]
    assert "chunk_size" in service.heard[-1].body
    (message,) = _messages(notified)
    assert "chunk_size" in message["message"]


def test_a_run_that_finds_another_at_work_is_no_failure_and_leaves_its_record(
    program: Program, data: Path, service: WatchService, notified: WatchService
) -> None:
    program.run("backup", data)
    before = (_state(program) / "runs" / f"{data.name}.cache").read_bytes()
    notify = f"json://{notified.address}/{SECRET}"
    with RunLock(_state(program)):
        ran = program.run("backup", data, "--ping-url", service.url, "--notify-urls", notify)
    assert ran.code == 7
    assert service.signals == ["/start", "/log"]
    assert notified.heard == []
    assert (_state(program) / "runs" / f"{data.name}.cache").read_bytes() == before


@pytest.mark.btrfs
def test_a_stop_that_was_asked_for_is_no_failure_but_remembered(
    program: Program, data: Path, service: WatchService, notified: WatchService
) -> None:
    program = program.with_environment(
        BTRFS_TO_S3_PING_URL=service.url,
        BTRFS_TO_S3_NOTIFY_URLS=f"json://{notified.address}/{SECRET}",
    )
    program.run("backup", data)
    service.heard.clear()
    (data / "random").write_bytes(os.urandom(2_000_000))
    with program.start("backup", data, "--bandwidth-limit", "100KB/s") as process:
        until(lambda: _running(program))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert service.signals == ["/start", "/log"]
    assert "stopped by SIGTERM" in service.heard[-1].body
    assert notified.heard == []
    (source,) = program.run("status", "--json").document["sources"]
    assert source["last_error"]["kind"] == "interrupted"
    assert program.run("backup", data).code == 0
    (source,) = program.run("status", "--json").document["sources"]
    assert source["last_error"] is None


@pytest.mark.parametrize("kind", ["hanging", "refusing", "failing"])
def test_telling_that_fails_changes_neither_the_exit_code_nor_the_result(
    program: Program, tmp_path: Path, kind: str
) -> None:
    plain = program.run("backup", tmp_path / "absent", "--json")
    with socket.create_server(("127.0.0.1", 0)) as hanging, WatchService(status=500) as failing:
        port = hanging.getsockname()[1]
        where = {
            "hanging": f"127.0.0.1:{port}",
            "refusing": "127.0.0.1:9",
            "failing": failing.address,
        }[kind]
        told = program.with_environment(
            BTRFS_TO_S3_PING_URL=f"http://{where}/{SECRET}",
            BTRFS_TO_S3_NOTIFY_URLS=f"json://{where}/{SECRET}",
            BTRFS_TO_S3_METRICS_FILE=str(tmp_path / "absent" / "x.prom"),
        )
        ran = told.run("-v", "backup", tmp_path / "absent", "--json")
    assert (ran.code, _result(ran)) == (plain.code, _result(plain))
    assert "warning: " in ran.err
    assert "ping" in ran.err
    assert "notify" in ran.err
    assert "metrics_file" in ran.err
    assert SECRET not in ran.err


def test_a_hanging_watch_service_does_not_hold_the_process(
    program: Program, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        where = f"127.0.0.1:{hanging.getsockname()[1]}"
        told = program.with_environment(
            BTRFS_TO_S3_PING_URL=f"http://{where}/{SECRET}",
            BTRFS_TO_S3_NOTIFY_URLS=f"json://{where}/{SECRET}",
        )
        with told.start("backup", tmp_path / "absent") as process:
            assert process.stderr is not None
            said = ""
            while "hint: " not in said:
                said += process.stderr.readline()
            process.send_signal(signal.SIGINT)
            # Less than the 12 s that the end waits for the outside when nobody asks.
            _, rest = process.communicate(timeout=11)
    assert process.returncode == 2, rest
    assert SECRET not in said + rest


def test_a_dry_run_tells_nobody(program: Program, tmp_path: Path, service: WatchService) -> None:
    program.run("backup", tmp_path, "--dry-run", "--ping-url", service.url)
    assert service.heard == []


def test_other_commands_do_not_pass_for_a_backup(program: Program, service: WatchService) -> None:
    program = program.with_environment(BTRFS_TO_S3_PING_URL=service.url)
    for command in (["prune"], ["verify"], ["compact"], ["status"]):
        program.run(*command)
    assert service.heard == []


class _Raises(dict[str, str]):
    """An environment that raises where the command's own configuration is read."""

    error: type[BaseException] = ZeroDivisionError
    variable = "BTRFS_TO_S3_CHUNK_SIZE"

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        if name == self.variable:
            raise self.error
        return super().get(name, default)


class _Stopped(_Raises):
    error = KeyboardInterrupt


class _Untellable(_Raises):
    """Raises where the log's secrets are hidden: something no code there expects."""

    variable = "AWS_SESSION_TOKEN"


class _Interrupting(io.StringIO):
    """A standard output at which Ctrl-C is pressed again."""

    def write(self, _text: str) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("environ", "code", "told"), [(_Raises, 1, "/fail"), (_Stopped, 130, "/log")]
)
def test_a_bug_and_ctrl_c_are_told_too(
    alone: Program, service: WatchService, environ: type[_Raises], code: int, told: str
) -> None:
    seen = environ({**alone.environ, "BTRFS_TO_S3_PING_URL": service.url})
    ran = replace(alone, environ=seen).run("backup")
    assert ran.code == code
    assert service.signals == ["/start", told]


def test_a_bug_in_the_telling_itself_is_a_warning(alone: Program, service: WatchService) -> None:
    plain = alone.run("backup", "--json")
    seen = _Untellable({**alone.environ, "BTRFS_TO_S3_PING_URL": service.url})
    ran = replace(alone, environ=seen).run("backup", "--json")
    assert (ran.code, _result(ran)) == (plain.code, _result(plain))
    assert ran.lines[-1].startswith("warning: the end of the log is told to nobody: ZeroDivision")
    assert service.signals == ["/start", "/fail"]


def test_ctrl_c_at_the_very_end_makes_no_stop_of_a_failure(
    alone: Program, service: WatchService
) -> None:
    environ = {**alone.environ, "BTRFS_TO_S3_PING_URL": service.url}
    arguments = ["-c", str(alone.file), "backup", "--json"]
    assert run(arguments, environ, _Interrupting(), io.StringIO()) == 2
    assert service.signals == ["/start", "/fail"]


@pytest.mark.btrfs
def test_ctrl_c_at_the_end_of_a_success_is_a_stop(
    program: Program, data: Path, service: WatchService
) -> None:
    arguments = ["-c", str(program.file), "backup", str(data), "--ping-url", service.url]
    assert run(arguments, program.environ, _Interrupting(), io.StringIO()) == 130
    assert service.signals == ["/start", "/log"]


class _Broken(io.StringIO):
    """A standard output that fails in a way that nothing expects."""

    def write(self, _text: str) -> int:
        raise ZeroDivisionError


def test_a_bug_in_showing_the_result_is_told_too(alone: Program, service: WatchService) -> None:
    environ = {**alone.environ, "BTRFS_TO_S3_PING_URL": service.url}
    arguments = ["-c", str(alone.file), "backup", "--json"]
    with pytest.raises(ZeroDivisionError):
        run(arguments, environ, _Broken(), io.StringIO())
    assert service.signals == ["/start", "/fail"]


@pytest.mark.btrfs
def test_a_result_that_nobody_could_read_is_told_as_a_failure(
    program: Program, data: Path, service: WatchService
) -> None:
    arguments = ["-c", str(program.file), "backup", str(data), "--ping-url", service.url]
    with Path("/dev/full").open("w") as full:
        assert run(arguments, program.environ, full, io.StringIO()) == 3
    assert service.signals == ["/start", "/fail"]
    assert "could not be written to standard output" in service.heard[-1].body


# notify_urls


@pytest.mark.btrfs
def test_a_failure_is_told_every_time_and_the_first_success_after_it(
    program: Program, data: Path, notified: WatchService
) -> None:
    program = program.configured(
        f'notify_urls = "json://{notified.address}/{SECRET}"\n[[sources]]\npath = "{data}"\n'
    )
    assert program.run("backup").code == 0
    assert notified.heard == []
    away = data.rename(data.with_name(f"{data.name}-away"))
    for _ in range(2):
        assert program.run("backup").code == 3
    away.rename(data)
    assert program.run("backup").code == 0
    assert program.run("backup").code == 0

    failed, _, works = _messages(notified)
    assert failed["title"] == "btrfs-to-s3 on nas: backup failed"
    assert failed["type"] == "failure"
    assert "exit code 3" in failed["message"]
    assert program.environ["BTRFS_TO_S3_URL"] in failed["message"]
    assert f"{data.name}: FAILED\n  error: " in failed["message"]
    assert "\n  last success: 20" in failed["message"]
    assert works["title"] == "btrfs-to-s3 on nas: backup works again"
    assert works["type"] == "success"
    assert "It had failed since 20" in works["message"]


def test_every_command_that_runs_unattended_is_told_of(
    program: Program, notified: WatchService
) -> None:
    told = program.with_environment(
        BTRFS_TO_S3_URL="s3://no-such-bucket-here/pre",
        BTRFS_TO_S3_NOTIFY_URLS=f"json://{notified.address}/{SECRET}",
    )
    for command in (["prune"], ["verify"], ["copy", "data", "--to", "s3://no-such/pre"]):
        assert told.run(*command).code == 4, command
        message = _messages(notified)[-1]
        assert f"{command[0]} failed" in message["title"]
        assert "no-such" in message["message"]
    assert len(notified.heard) == 3
    for command in (["list"], ["status"], ["show", "data"], ["prune", "--dry-run"]):
        assert told.run(*command).code == 4
    assert len(notified.heard) == 3


def test_without_apprise_a_warning_says_what_to_install(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = program.with_environment(BTRFS_TO_S3_NOTIFY_URLS=f"json://127.0.0.1:9/{SECRET}")
    monkeypatch.setitem(sys.modules, "apprise", None)
    ran = told.run("backup", tmp_path / "absent")
    assert ran.code == 2
    assert "apprise is not installed" in ran.err
    assert "pip install 'btrfs-to-s3[notify]'" in ran.err


# metrics_file


@pytest.mark.btrfs
def test_metrics_say_how_each_source_went_and_keep_those_of_others(
    program: Program, data: Path, filesystem: LoopbackBtrfs, tmp_path: Path
) -> None:
    other = filesystem.subvolume(f"other-{data.name}")
    (other / "note").write_text("other\n")
    file = tmp_path / "backup.prom"
    program = program.configured(
        f'metrics_file = "{file}"\n[[sources]]\npath = "{data}"\n[[sources]]\npath = "{other}"\n'
    )
    began = time.time()
    done = program.run("backup", "--json").document["sources"]
    first = _samples(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    for source in done:
        label, backup = source["label"], source["backup"]
        assert first["btrfs_to_s3_last_run_exit_code"][label] == 0
        assert began <= first["btrfs_to_s3_last_success_timestamp_seconds"][label] <= time.time()
        assert first["btrfs_to_s3_last_backup_raw_bytes"][label] == backup["raw_size_bytes"]
        assert first["btrfs_to_s3_last_backup_stored_bytes"][label] == backup["stored_size_bytes"]
        assert first["btrfs_to_s3_chain_length"][label] == 1
        assert first["btrfs_to_s3_live_backups"][label] == 1
    (data / "note").write_text("second\n")
    program.run("backup", data)
    second = _samples(file)
    assert second["btrfs_to_s3_chain_length"] == {data.name: 2, other.name: 1}
    assert second["btrfs_to_s3_live_backups"] == {data.name: 2, other.name: 1}
    success = "btrfs_to_s3_last_success_timestamp_seconds"
    assert second[success][other.name] == first[success][other.name]
    assert second[success][data.name] > first[success][data.name]

    away = other.rename(other.with_name(f"{other.name}-away"))
    assert program.run("backup").code == 3
    third = _samples(file)
    assert third["btrfs_to_s3_last_run_exit_code"] == {data.name: 0, other.name: 3}
    assert third[success][other.name] == first[success][other.name]
    assert third["btrfs_to_s3_last_backup_raw_bytes"] == second["btrfs_to_s3_last_backup_raw_bytes"]
    away.rename(other)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_metrics_take_the_place_of_no_device_pipe_or_directory(
    alone: Program, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    place = tmp_path / "special"
    make(place)
    before = place.lstat()
    ran = alone.run("backup", "--metrics-file", str(place))
    assert ran.code == 2
    assert f"warning: metrics_file: {place} is no file; nothing was written" in ran.lines
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.btrfs
def test_a_repository_that_cannot_be_reached_is_measured_in_one_file_with_the_other(
    two: Program, data: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    file = tmp_path / "backup.prom"
    two = two.with_environment(BTRFS_TO_S3_METRICS_FILE=str(file))
    assert two.run("backup").code == 0
    (data / "note").write_text("second\n")
    proxy.fail("/", slow_down, times=1000)
    assert two.run("backup").code == 4
    codes = {
        sample.labels["repository"]: sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
        if sample.name == "btrfs_to_s3_last_run_exit_code"
    }
    assert sorted(codes.values()) == [0, 4]
    assert codes[two.environ["BTRFS_TO_S3_URL"]] == 0


def test_a_run_that_cannot_say_which_process_it_is_leaves_no_record_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "absent"))
    with RunFollower("backup", utc_now).within(tmp_path / "state"):
        assert not (tmp_path / "state").exists()


def _running(program: Program) -> list[Path]:
    return list(Path(program.environ["BTRFS_TO_S3_STATE_DIR"]).glob("*/running/*.json"))
