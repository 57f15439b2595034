"""The mitmproxy addon that carries out the rules; mitmdump loads it by path (`-s`).

Bodies stream through in both directions, except where a fault needs the whole of one.
"""
# ruff: noqa: ANN401 - mitmproxy's types are not installed where this is checked

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mitmproxy import http  # type: ignore[import-not-found,unused-ignore]

from integration_tests.harness.faultproxy.connections import cut, hold
from integration_tests.harness.faultproxy.operations import operation_of
from integration_tests.harness.faultproxy.rules import Act, Rule, Script, Side, read_rules

READY_PATH = "/-/fault-proxy-ready"
RULES_VARIABLE = "FAULT_PROXY_RULES"
LOG_VARIABLE = "FAULT_PROXY_LOG"
CUT = "cut by the rule"
BODILESS = {204, 304}
LOWEST_BIT = 1


@dataclass(slots=True)
class Exchange:
    """One request on its way through."""

    number: int
    rule: Rule | None
    began: float
    request_bytes: int = 0
    answer_bytes: int = 0
    acted: bool = False
    answered: bool = False
    closed: bool = False

    def due(self, *acts: Act, side: Side | None = None) -> Rule | None:
        """The rule, if it does one of `acts` (on `side`) and has not done so yet."""
        rule = self.rule
        if rule is None or self.acted or rule.act not in acts:
            return None
        return rule if side in {None, rule.side} else None


class Faults:
    """Hooks, in the order in which mitmproxy calls them for one request."""

    def __init__(self, rules: Path, log: Path) -> None:
        self._rules_path = rules
        self._rules_version: tuple[int, int] | None = None
        self._script = Script([])
        self._log_path = log
        self._count = 0

    async def requestheaders(self, flow: Any) -> None:
        """Choose the rule; delay; reset before anything reaches the service."""
        if flow.request.path == READY_PATH:
            return
        exchange = self._begin(flow)
        flow.metadata["exchange"] = exchange
        if delay := exchange.due(Act.DELAY):
            await asyncio.sleep(delay.seconds)
        reset = exchange.due(Act.RESET, side=Side.REQUEST)
        length = int(flow.request.headers.get("content-length", "0"))
        if reset and (reset.at_byte == 0 or length == 0):
            self._cut(flow, exchange, reset=True)
            flow.kill()
            return
        answered = exchange.due(Act.ANSWER)
        if answered is None or answered.processed:
            flow.request.stream = lambda data: self._request_body(flow, exchange, data, length)

    def request(self, flow: Any) -> None:
        """Answer in the service's place."""
        if flow.request.path == READY_PATH:
            flow.response = http.Response.make(204)
            return
        exchange = flow.metadata["exchange"]
        exchange.request_bytes = exchange.request_bytes or len(flow.request.raw_content or b"")
        rule = exchange.due(Act.ANSWER)
        if rule and not rule.processed:
            exchange.acted = True
            flow.response = self._error(flow, rule)

    def responseheaders(self, flow: Any) -> None:
        """Let the answer's body stream, unless the answer as a whole is lost or replaced."""
        exchange = flow.metadata.get("exchange")
        if exchange is None or exchange.due(Act.LOSE_ANSWER, Act.ANSWER):
            return
        length = flow.response.headers.get("content-length")
        no_body = flow.request.method == "HEAD" or flow.response.status_code in BODILESS
        if no_body or length == "0":
            return
        self._answered(flow, exchange)
        if flow.response.raw_content is None:  # one of ours is whole already
            size = int(length or "0")
            flow.response.stream = lambda data: self._answer_body(flow, exchange, data, size)

    async def response(self, flow: Any) -> None:
        """Lose or replace a whole answer; hit answers whose body was too short to be hit."""
        exchange = flow.metadata.get("exchange")
        if exchange is None:
            return
        if rule := exchange.due(Act.ANSWER):
            flow.response = self._error(flow, rule)
        elif exchange.due(Act.LOSE_ANSWER, Act.TRUNCATE) or exchange.due(
            Act.RESET, side=Side.ANSWER
        ):
            self._cut(flow, exchange, reset=True)
            return
        elif rule := exchange.due(Act.STALL):
            await asyncio.sleep(rule.seconds)
        exchange.acted = True
        self._answered(flow, exchange)
        self._end(exchange, None)

    def error(self, flow: Any) -> None:
        """Record that one of the two connections broke."""
        exchange = flow.metadata.get("exchange")
        if exchange is not None:
            self._end(exchange, str(flow.error))

    def _request_body(
        self,
        flow: Any,
        exchange: Exchange,
        data: bytes,
        length: int,
    ) -> Iterator[bytes]:
        start, exchange.request_bytes = exchange.request_bytes, exchange.request_bytes + len(data)
        rule = exchange.due(Act.RESET, Act.CORRUPT, side=Side.REQUEST)
        place = None if rule is None else hit(rule, start, data, length)
        if rule is None or place is None:
            yield data
        elif rule.act is Act.CORRUPT:
            exchange.acted = True
            yield flipped(data, place)
        else:
            yield data[:place]
            self._cut(flow, exchange, reset=True)

    def _answer_body(
        self,
        flow: Any,
        exchange: Exchange,
        data: bytes,
        length: int,
    ) -> Iterator[bytes]:
        start, exchange.answer_bytes = exchange.answer_bytes, exchange.answer_bytes + len(data)
        rule = exchange.due(Act.RESET, Act.CORRUPT, side=Side.ANSWER)
        rule = rule or exchange.due(Act.TRUNCATE, Act.STALL)
        place = None if rule is None else hit(rule, start, data, length)
        if rule is None or place is None:
            yield data
            return
        exchange.acted = True
        if rule.act is Act.CORRUPT:
            yield flipped(data, place)
            return
        yield data[:place]
        if rule.act is Act.STALL:
            hold(flow, rule.seconds)
            yield data[place:]
        else:
            self._cut(flow, exchange, reset=rule.act is Act.RESET)

    def _begin(self, flow: Any) -> Exchange:
        request = flow.request
        names = {name.lower() for name in request.headers}
        operation = operation_of(request.method, request.path, names)
        rule = self._current_script().rule_for(operation, request.method, request.path)
        self._count += 1
        exchange = Exchange(self._count, rule, time.monotonic())
        self._write(
            {
                "number": exchange.number,
                "time": time.time(),
                "operation": operation,
                "method": request.method,
                "path": request.path,
                "rule": rule.label if rule else None,
            }
        )
        return exchange

    def _current_script(self) -> Script:
        status = self._rules_path.stat()
        version = (status.st_ino, status.st_mtime_ns)
        if version != self._rules_version:
            self._rules_version = version
            self._script = read_rules(self._rules_path)
        return self._script

    def _error(self, flow: Any, rule: Rule) -> Any:
        body = b"" if flow.request.method == "HEAD" else rule.error_body(flow.request.path)
        headers = {"content-type": "application/xml", "x-amz-request-id": "FAULTPROXY"}
        return http.Response.make(rule.status, body, headers)

    def _cut(self, flow: Any, exchange: Exchange, *, reset: bool) -> None:
        exchange.acted = True
        cut(flow, reset=reset)
        self._end(exchange, CUT)

    def _answered(self, flow: Any, exchange: Exchange) -> None:
        # Before the client sees it: a test that got its answer finds it in the log.
        if not exchange.answered:
            exchange.answered = True
            self._write({"number": exchange.number, "status": flow.response.status_code})

    def _end(self, exchange: Exchange, error: str | None) -> None:
        if exchange.closed:
            return
        exchange.closed = True
        self._write(
            {
                "number": exchange.number,
                "request_bytes": exchange.request_bytes,
                "answer_bytes": exchange.answer_bytes,
                "seconds": time.monotonic() - exchange.began,
                "error": error,
            }
        )

    def _write(self, entry: dict[str, object]) -> None:
        with self._log_path.open("a") as log:
            log.write(json.dumps(entry) + "\n")


def hit(rule: Rule, start: int, data: bytes, length: int) -> int | None:
    """Where in `data`, which begins at `start` of a body of `length` bytes, the rule acts."""
    place = min(rule.at_byte, max(length - 1, 0)) if length else rule.at_byte
    return place - start if start <= place < start + len(data) else None


def flipped(data: bytes, place: int) -> bytes:
    """The same bytes but for one bit."""
    return data[:place] + bytes([data[place] ^ LOWEST_BIT]) + data[place + 1 :]


addons = [Faults(Path(os.environ[RULES_VARIABLE]), Path(os.environ[LOG_VARIABLE]))]
