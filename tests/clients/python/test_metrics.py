"""What Prometheus' own parser makes of `/metrics`."""

from __future__ import annotations

import urllib.request

import anthropic
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import GATEWAY, Front, script


def scrape(front: Front) -> dict:
    origin = front.url.split("/v1/")[0]
    with urllib.request.urlopen(f"{origin}/metrics") as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
    families = list(text_string_to_metric_families(text))
    samples = [(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples]
    assert len(samples) == len(set(samples)), "each series comes once"
    assert all(family.type != "unknown" and family.documentation for family in families)
    return {family.name: family for family in families}


def of(families: dict, name: str, **labels: str) -> float:
    [value] = [
        sample.value
        for sample in families[name.removesuffix("_total")].samples
        if sample.name == name and sample.labels.items() >= labels.items()
    ]
    return value


def test_targets_and_what_is_open(front: Front):
    front.openai().chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "hi"}])
    before = scrape(front)
    calls = of(before, "genesis_target_calls_total", provider="openai")
    assert calls >= 1
    assert of(before, "genesis_target_up", provider="openai") == 1
    assert 0 <= of(before, "genesis_target_latency_seconds", provider="openai") < 60
    [address] = {sample.labels["address"] for sample in before["genesis_target_up"].samples if sample.labels["provider"] == "openai"}
    assert address.count("/") == 2 and "@" not in address and "?" not in address

    stream = front.openai().chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": "hi"}], stream=True, extra_headers=script("gap=200ms")
    )
    next(iter(stream))
    assert of(scrape(front), "genesis_open_streams") >= 1
    stream.close()
    assert of(scrape(front), "genesis_target_calls_total", provider="openai") == calls + 1


def test_faults_are_the_targets_own(front: Front):
    with pytest.raises(anthropic.BadRequestError):
        front.anthropic().messages.create(model="sim-400", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    before = of(scrape(front), "genesis_target_faults_total", provider="anthropic")
    with pytest.raises(anthropic.InternalServerError):
        front.anthropic().messages.create(model="sim-503", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
    assert of(scrape(front), "genesis_target_faults_total", provider="anthropic") == before + 1


def test_odd_names_survive_the_format():
    """A provider that cannot be reached, at a host with a quotation mark in its name."""
    with pytest.raises(openai.APIStatusError):
        GATEWAY.openai(base_url=f"{GATEWAY.url}/custom-odd").chat.completions.create(model="m", messages=[])
    addresses = {
        sample.labels["address"]
        for sample in scrape(GATEWAY)["genesis_target_up"].samples
        if sample.labels["provider"] == "odd"
    }
    assert addresses == {'http://a"b'}
