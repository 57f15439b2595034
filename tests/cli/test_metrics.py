"""The metrics file is what Prometheus reads, whatever a source or a repository is called."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from btrfs_to_s3.cli.rendering.metrics import Series, text
from btrfs_to_s3.model.account import Figures, LastRun, SourceHistory, Standing, Trouble
from tests.plan.build import SOURCE_ID, T0

RUN = LastRun("backup", T0, T0 + timedelta(seconds=90.5), None)
HISTORY = SourceHistory(
    "data",
    SOURCE_ID,
    RUN,
    RUN.finished,
    None,
    Figures(timedelta(seconds=80), 10**13, 5, 4, 30, 2),
    Standing(live_backups=9, chain_length=3),
)


def _read(*series: Series) -> dict[tuple[str, str], float]:
    """By metric's name and source."""
    found = {}
    for family in text_string_to_metric_families(text(series)):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            found[sample.name.removeprefix("btrfs_to_s3_"), sample.labels["source"]] = sample.value
    return found


def test_every_figure_of_a_source_is_there() -> None:
    assert _read(Series("nas", "s3://b/pre", HISTORY)) == {
        ("last_success_timestamp_seconds", "data"): RUN.finished.timestamp(),
        ("last_run_timestamp_seconds", "data"): RUN.finished.timestamp(),
        ("last_run_exit_code", "data"): 0,
        ("last_run_duration_seconds", "data"): 90.5,
        ("last_backup_duration_seconds", "data"): 80,
        ("last_backup_raw_bytes", "data"): 10**13,
        ("last_backup_stored_bytes", "data"): 5,
        ("last_backup_reused_bytes", "data"): 4,
        ("last_backup_requests", "data"): 30,
        ("last_backup_retries", "data"): 2,
        ("chain_length", "data"): 3,
        ("live_backups", "data"): 9,
    }


def test_a_source_that_never_succeeded_has_a_success_in_1970_so_that_alerts_see_it() -> None:
    lost = replace(RUN, trouble=Trouble(4, "unreachable", "no answer"))
    history = SourceHistory("new", None, lost, None, lost.finished, None, None)
    found = _read(Series("nas", "s3://b/pre", HISTORY), Series("nas", "s3://b/pre", history))
    assert found["last_success_timestamp_seconds", "new"] == 0
    assert found["last_run_exit_code", "new"] == 4
    assert ("chain_length", "new") not in found


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\\nb", "ü{}, =", ""])
def test_labels_come_out_as_they_went_in(name: str) -> None:
    written = text([Series(name, f"s3://{name}", HISTORY)])
    samples = [
        sample for family in text_string_to_metric_families(written) for sample in family.samples
    ]
    assert len(samples) == 12
    assert {sample.labels["host"] for sample in samples} == {name}
    assert {sample.labels["repository"] for sample in samples} == {f"s3://{name}"}


def test_a_host_without_sources_gives_a_file_that_can_be_read() -> None:
    assert _read() == {}
