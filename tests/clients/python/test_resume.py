"""Streams that break off on their way to the client, and go on where they were."""

import httpx
import openai
import pytest

from conftest import TOKEN, script

CHAT = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello, again and again"}], "stream": True}
MESSAGE = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello, again and again"}],
    "stream": True,
}
SLOWLY = script("events=12,gap=20ms") | {"cf-aig-resumable": "true"}


def calls(front, dialect):
    """A streamed call of either SDK."""
    if dialect == "openai":
        return front.openai().chat.completions.with_streaming_response.create(**CHAT, extra_headers=SLOWLY)
    return front.anthropic().messages.with_streaming_response.create(**MESSAGE, extra_headers=SLOWLY)


def resume(front, run_id, start):
    headers = {"cf-aig-authorization": f"Bearer {TOKEN}"} if front.name == "gateway" else {}
    return httpx.get(f"{front.url}/run/{run_id}/resume", params={"from": start}, headers=headers, timeout=10)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_lost_connection_costs_nothing(front, dialect):
    with calls(front, dialect) as whole:
        expected = b"".join(whole.iter_bytes())
    seen = b""
    with calls(front, dialect) as response:
        run_id = response.headers["cf-aig-run-id"]
        for piece in response.iter_bytes():
            seen += piece
            if seen.count(b"\n\n") >= 3:
                break  # and the connection is closed
    had = seen.count(b"\n\n")
    assert had < expected.count(b"\n\n")
    rest = resume(front, run_id, had)
    assert rest.status_code == 200
    kept = seen[: seen.rindex(b"\n\n") + 2]
    assert kept + rest.content == expected
    assert resume(front, run_id, 0).content == expected
    assert resume(front, run_id, 999).content == b""


def test_the_sdk_reads_what_is_given_again(front):
    with calls(front, "openai") as response:
        run_id = response.headers["cf-aig-run-id"]
        next(iter(response.iter_bytes()))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=again.headers, content=again.content))
    again = resume(front, run_id, 0)
    client = openai.OpenAI(api_key="none", http_client=httpx.Client(transport=transport))
    chunks = list(client.chat.completions.create(**CHAT))
    assert "Hello, again and again" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert any(chunk.choices and chunk.choices[0].finish_reason == "stop" for chunk in chunks)


def test_what_is_not_there_is_not_found(front):
    missing = resume(front, "1" * 64, 0)
    assert (missing.status_code, missing.json()) == (404, {"error": "Request not found"})
