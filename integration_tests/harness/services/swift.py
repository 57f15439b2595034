"""OpenStack Swift with its S3 interface: a real, durable, multi-process object store.

One proxy, account, container and object server each, on loopback, with one replica. It checks
signatures and checksums, and survives SIGKILL; it has no storage classes and no locks. Objects
carry their metadata in extended attributes: the directory must allow them (ext4, XFS, Btrfs;
tmpfs since Linux 6.6). No root, no syslog, no memcached needed.
"""

import configparser
import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from integration_tests.harness.services.paths import working_directory
from integration_tests.harness.services.process import ServerProcess, reserve_port
from integration_tests.harness.services.service import REGION, Placement, Service
from integration_tests.harness.services.venvs import environment_for

ACCESS_KEY = "test:tester"
SECRET_KEY = "testing"  # noqa: S105 - of a service that lives for one test
DEVICE = "disk"
STORAGE_SERVERS = ("account", "container", "object")
MOST_PARTS = 10_000  # as on AWS; Swift's own default is 1000

# swift-ring-builder, in one process instead of three calls for each of three rings.
BUILD_RINGS = """
import sys
from swift.common.ring import RingBuilder
directory, address, device, *servers = sys.argv[1:]
for server in servers:
    kind, port = server.split("=")
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    builder.add_dev({
        "region": 1, "zone": 1, "device": device, "weight": 1.0,
        "ip": address, "port": int(port), "replication_ip": address, "replication_port": int(port),
    })
    builder.rebalance()
    builder.get_ring().save(f"{directory}/{kind}.ring.gz")
"""

# The order of the pipeline is Swift's own (etc/proxy-server.conf-sample, S3 and SLO sections).
FILTERS: Mapping[str, Mapping[str, str]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "healthcheck": {},
    "listing_formats": {},
    "bulk": {},
    "s3api": {"location": REGION, "max_upload_part_num": str(MOST_PARTS)},
    "tempauth": {f"user_{ACCESS_KEY.replace(':', '_')}": f"{SECRET_KEY} .admin"},
    "copy": {},
    "slo": {"max_manifest_segments": str(MOST_PARTS)},
    "symlink": {},
    "versioned_writes": {"allow_versioned_writes": "true", "allow_object_versioning": "true"},
}


@contextlib.contextmanager
def swift_server(
    *, directory: Path | None = None, placement: Placement | None = None
) -> Iterator[Service]:
    """Run Swift with its configuration, logs and data in `directory`."""
    where = placement or Placement()
    programs = environment_for("swift") / "bin"
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(working_directory("swift", directory))
        ports = {name: reserve_port(stack) for name in (*STORAGE_SERVERS, "proxy")}
        (work / "data" / DEVICE).mkdir(parents=True, exist_ok=True)
        _configure(work, where.host, ports)
        _build_rings(programs, work, where.host, ports)
        service = Service(
            name="swift",
            endpoint_url=f"http://{where.host}:{ports['proxy']}",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            directory=work,
            processes=[_server(programs, work, name, where) for name in ports],
            probe_path="/healthcheck",
            placement=where,
        )
        stack.enter_context(service.running())
        yield service


def _server(programs: Path, work: Path, name: str, where: Placement) -> ServerProcess:
    configuration = work / f"{name}-server.conf"
    return ServerProcess(
        # The console scripts' own interpreter line may be too long for the kernel (127 bytes).
        [
            str(programs / "python"),
            str(programs / f"swift-{name}-server"),
            str(configuration),
            "--verbose",
        ],
        log_path=work / f"{name}.log",
        # Name lookups of eventlet's own resolver would leave loopback.
        environment=os.environ | {"EVENTLET_NO_GREENDNS": "yes"},
        wrapper=where.wrapper,
    )


def _configure(work: Path, host: str, ports: Mapping[str, int]) -> None:
    _write(
        work / "swift.conf",
        {
            "swift-hash": {
                "swift_hash_path_prefix": "harness",
                "swift_hash_path_suffix": "harness",
            },
            "storage-policy:0": {"name": "single", "default": "yes"},
        },
    )
    for name in STORAGE_SERVERS:
        _write(
            work / f"{name}-server.conf",
            {
                "DEFAULT": _common(work, host, ports[name])
                | {"devices": str(work / "data"), "mount_check": "false", "fallocate_reserve": "0"},
                "pipeline:main": {"pipeline": f"{name}-server"},
                f"app:{name}-server": {"use": f"egg:swift#{name}"},
            },
        )
    filters = {f"filter:{name}": {"use": f"egg:swift#{name}", **FILTERS[name]} for name in FILTERS}
    _write(
        work / "proxy-server.conf",
        {
            "DEFAULT": _common(work, host, ports["proxy"]),
            "pipeline:main": {"pipeline": " ".join([*FILTERS, "proxy-server"])},
            "app:proxy-server": {"use": "egg:swift#proxy", "account_autocreate": "true"},
            **filters,
        },
    )


def _common(work: Path, host: str, port: int) -> dict[str, str]:
    return {
        "bind_ip": host,
        "bind_port": str(port),
        "workers": "0",  # serve in the process itself: nothing forks, no other user is needed
        "swift_dir": str(work),
        "log_level": "WARNING",
    }


def _write(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    with path.open("w") as file:
        parser.write(file)


def _build_rings(programs: Path, work: Path, host: str, ports: Mapping[str, int]) -> None:
    servers = [f"{kind}={ports[kind]}" for kind in STORAGE_SERVERS]
    command = [str(programs / "python"), "-c", BUILD_RINGS, str(work), host, DEVICE, *servers]
    subprocess.run(command, check=True)
