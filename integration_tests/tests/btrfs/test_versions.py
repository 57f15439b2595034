"""Which send options a kernel and btrfs-progs allow; no filesystem is needed."""

from __future__ import annotations

import pytest

from btrfs_to_s3.btrfs.versions import PROTOCOL_1, PROTOCOL_2, choose_send_options
from btrfs_to_s3.errors import UsageError


@pytest.mark.parametrize(
    ("stream_version", "kernel", "progs"),
    [(2, "6.0.0", "6.0.2"), (3, "6.18.44-fc", "6.2"), (2, "7.1-rc2+", "6.15-rc1")],
)
def test_auto_takes_protocol_2_where_kernel_and_progs_have_it(
    stream_version: int, kernel: str, progs: str
) -> None:
    for wanted in ("auto", "2"):
        chosen = choose_send_options(
            wanted, stream_version=stream_version, kernel=kernel, progs=progs
        )
        assert chosen == PROTOCOL_2


@pytest.mark.parametrize(
    ("stream_version", "kernel", "progs"),
    [(1, "6.1.0", "6.2"), (2, "5.19.17", "6.2"), (2, "6.1.0", "6.0.1"), (2, "6.1.0", "5.16.2")],
)
def test_one_old_part_means_protocol_1_and_a_demand_for_2_is_refused(
    stream_version: int, kernel: str, progs: str
) -> None:
    assert (
        choose_send_options("auto", stream_version=stream_version, kernel=kernel, progs=progs)
        == PROTOCOL_1
    )
    with pytest.raises(UsageError, match=progs):
        choose_send_options("2", stream_version=stream_version, kernel=kernel, progs=progs)


def test_protocol_1_can_always_be_asked_for() -> None:
    chosen = choose_send_options("1", stream_version=2, kernel="6.18.0", progs="6.2")
    assert chosen == PROTOCOL_1
