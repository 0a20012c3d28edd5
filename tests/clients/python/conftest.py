"""What the tests share: the two gateways, a client of each SDK, and the log as `genesis logs` shows it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from dataclasses import dataclass

import anthropic
import openai
import pytest

TOKEN = os.environ["GATEWAY_TOKEN"]
OWN_KEY = "sk-brought-by-the-client"
UNKNOWN_TOKEN = "gt_0000000000000000000000000000000000000000000"


@dataclass
class Front:
    """A gateway as a client sees it."""

    name: str
    url: str
    home: str

    def openai(self, **options) -> openai.OpenAI:
        return openai.OpenAI(**self._options("openai", options))

    def anthropic(self, **options) -> anthropic.Anthropic:
        return anthropic.Anthropic(**self._options("anthropic", options))

    def async_openai(self, **options) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._options("openai", options))

    def async_anthropic(self, **options) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(**self._options("anthropic", options))

    def _options(self, provider: str, options: dict) -> dict:
        headers = {"cf-aig-authorization": f"Bearer {TOKEN}"} if self.name == "gateway" else {}
        usual = {
            "base_url": f"{self.url}/{provider}",
            "api_key": OWN_KEY,
            "max_retries": 0,
            "timeout": 10,
            "default_headers": headers,
        }
        return usual | options

    def record(self, log_id: str) -> dict:
        """The log record of a call, once it is durable: at most one commit interval after the answer's end."""
        [record] = self._logs(log_id, count=1)
        return record

    def requests(self, model: str, count: int) -> list[str]:
        """The bodies of the `count` requests for `model`, in order, once they are all durable."""
        records = self._logs("--model", model, count=count)
        return [self._run("logs", record["id"], "--body", "request").stdout for record in records]

    def _logs(self, *which: str, count: int) -> list[dict]:
        deadline = time.monotonic() + 5
        while True:
            shown = self._run("logs", *which, "--json")
            lines = shown.stdout.splitlines() if shown.returncode == 0 else []
            if len(lines) == count:
                return [json.loads(line) for line in lines]
            assert time.monotonic() < deadline, f"not {count} of {which} within 5 s: {shown.stdout}{shown.stderr}"
            time.sleep(0.02)

    def _run(self, *command: str) -> subprocess.CompletedProcess:
        env = os.environ | {"GENESIS_HOME": self.home}
        return subprocess.run([os.environ["GENESIS"], *command], env=env, capture_output=True, text=True)


GATEWAY = Front("gateway", os.environ["GATEWAY_URL"], os.environ["GATEWAY_HOME"])
DEV = Front("dev", os.environ["DEV_URL"], os.environ["DEV_HOME"])


@pytest.fixture
def gateway() -> Front:
    return GATEWAY


@pytest.fixture(params=[GATEWAY, DEV], ids=lambda front: front.name)
def front(request) -> Front:
    """Both gateways, one after the other."""
    return request.param


def script(text: str) -> dict[str, str]:
    """Headers that order a fault from the simulator."""
    return {"x-simulator": text}


def assert_marks(headers, event_id: str | None = None) -> str:
    """The gateway's response headers are all there; the log id."""
    log_id = headers["cf-aig-log-id"]
    assert uuid.UUID(log_id).version == 7
    assert headers["cf-aig-step"] == "0"
    assert headers["cf-aig-request-id"]
    if event_id:
        assert headers["cf-aig-event-id"] == event_id
    else:
        assert uuid.UUID(headers["cf-aig-event-id"]).version == 7
    return log_id


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel: 70 bytes before base64."""
