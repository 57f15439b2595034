"""The fault proxy as a context manager: mitmproxy in an environment of its own.

slow = slow_down(operation="PutObject", last=2)
with moto_server() as service, fault_proxy(service, slow) as proxy:
    run(command, env=os.environ | proxy.service.environment())
    assert len(proxy.requests("PutObject")) == 3
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration_tests.harness.faultproxy.rules import Rule, write_rules
from integration_tests.harness.services.paths import HARNESS, REPOSITORY, working_directory
from integration_tests.harness.services.process import (
    ServerProcess,
    reserve_port,
    wait_until_ready,
)
from integration_tests.harness.services.service import Placement, Service
from integration_tests.harness.services.venvs import environment_for

READY_PATH = "/-/fault-proxy-ready"
SETTINGS = {
    # The client signed for the proxy's own address; the service must see what was signed.
    "keep_host_header": "true",
    # Connect to the service only for requests that are to reach it.
    "connection_strategy": "lazy",
    "http2": "false",
    "flow_detail": "0",
    "termlog_verbosity": "warn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the proxy saw it, in order of arrival.

    `rule` is the label of the rule that acted; `status` what the client was sent, None if nothing
    was or not yet; `error` how a connection broke; bytes and seconds are known at the end.
    """

    number: int
    time: float
    operation: str
    method: str
    path: str
    rule: str | None
    status: int | None = None
    request_bytes: int | None = None
    answer_bytes: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FaultProxy:
    """A running proxy. `service` is the service as seen through it."""

    service: Service
    process: ServerProcess
    rules_path: Path
    log_path: Path

    @property
    def endpoint_url(self) -> str:
        """Where clients are to connect."""
        return self.service.endpoint_url

    def set_rules(self, *rules: Rule, seed: int = 0) -> None:
        """Replace the rules for every request from now on; all counters start again."""
        write_rules(self.rules_path, rules, seed)

    def requests(self, operation: str | None = None) -> list[Request]:
        """What has arrived so far, also while it is being answered; of one operation, or all."""
        merged: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self.log_path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    entry = json.loads(line)
                    merged.setdefault(entry["number"], {}).update(entry)
        found = [Request(**entry) for entry in merged.values()]
        return [request for request in found if operation in {None, request.operation}]


@contextlib.contextmanager
def fault_proxy(
    service: Service,
    *rules: Rule,
    seed: int = 0,
    directory: Path | None = None,
    placement: Placement | None = None,
) -> Iterator[FaultProxy]:
    """Run a proxy before `service`; `seed` decides about rules with a probability."""
    where = placement or Placement()
    program = environment_for("mitmproxy") / "bin" / "mitmdump"
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(working_directory("fault-proxy", directory))
        port = reserve_port(stack)
        rules_path, log_path = work / "rules.json", work / "requests.jsonl"
        settings = SETTINGS | {"confdir": str(work / "mitmproxy")}
        command = [str(program), "--mode", f"reverse:{service.endpoint_url}"]
        command += ["--listen-host", where.host, "--listen-port", str(port)]
        command += ["--scripts", str(HARNESS / "faultproxy" / "addon.py")]
        command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        process = ServerProcess(
            command,
            log_path=work / "proxy.log",
            environment=os.environ
            | {
                "PYTHONPATH": str(REPOSITORY),
                "FAULT_PROXY_RULES": str(rules_path),
                "FAULT_PROXY_LOG": str(log_path),
            },
            wrapper=where.wrapper,
        )
        url = f"http://{where.host}:{port}"
        seen_through = dataclasses.replace(service, endpoint_url=url, processes=())
        proxy = FaultProxy(seen_through, process, rules_path, log_path)
        proxy.set_rules(*rules, seed=seed)
        stack.callback(process.stop)
        process.start()
        wait_until_ready((where.host, port), READY_PATH, [process], wrapper=where.wrapper)
        yield proxy
