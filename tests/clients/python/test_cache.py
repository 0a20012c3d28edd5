"""Cached answers, as the SDKs read them: whole and streamed, whichever was asked first."""

import uuid

import pytest

CHAT = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "Hello, cache"}]}
MESSAGE = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello, cache"}]}
INCLUDE = {"stream_options": {"include_usage": True}}


def headers(key=None):
    """Caching for this test alone."""
    return {"cf-aig-cache-ttl": "60", "cf-aig-cache-key": key or uuid.uuid4().hex}


def status(response):
    return response.headers["cf-aig-cache-status"]


def test_openai_hits(front):
    client, own = front.openai(), headers()
    answers = [client.chat.completions.with_raw_response.create(**CHAT, extra_headers=own) for _ in range(2)]
    assert [status(answer) for answer in answers] == ["MISS", "HIT"]
    assert answers[0].parse() == answers[1].parse()
    record = front.record(answers[1].headers["cf-aig-log-id"])
    assert record["cached"] is True


def test_openai_stream_hits(front):
    client, own = front.openai(), headers()
    seen = []
    for expected in ["MISS", "HIT"]:
        with client.chat.completions.with_streaming_response.create(
            **CHAT, **INCLUDE, stream=True, extra_headers=own
        ) as response:
            assert status(response) == expected
            seen.append(b"".join(response.iter_bytes()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("first_streams", [True, False])
def test_openai_either_shape_answers_for_the_other(front, first_streams):
    client, own = front.openai(), headers()

    def whole():
        raw = client.chat.completions.with_raw_response.create(**CHAT, extra_headers=own)
        completion = raw.parse()
        return status(raw), completion.choices[0].message.content, completion.usage.total_tokens

    def streamed():
        raw = client.chat.completions.with_raw_response.create(**CHAT, **INCLUDE, stream=True, extra_headers=own)
        chunks = list(raw.parse())
        pieces = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
        return status(raw), "".join(pieces), chunks[-1].usage.total_tokens

    first, second = (streamed, whole) if first_streams else (whole, streamed)
    (missed, *one), (hit, *two) = first(), second()
    assert (missed, hit) == ("MISS", "HIT")
    assert one == two


@pytest.mark.parametrize("first_streams", [True, False])
def test_anthropic_either_shape_answers_for_the_other(front, first_streams):
    client, own = front.anthropic(), headers()

    def whole():
        raw = client.messages.with_raw_response.create(**MESSAGE, extra_headers=own)
        return status(raw), raw.parse()

    def streamed():
        with client.messages.stream(**MESSAGE, extra_headers=own) as stream:
            message = stream.get_final_message()
            return stream.response.headers["cf-aig-cache-status"], message

    first, second = (streamed, whole) if first_streams else (whole, streamed)
    (missed, one), (hit, two) = first(), second()
    assert (missed, hit) == ("MISS", "HIT")
    assert one.content[0].text == two.content[0].text
    assert one.usage.output_tokens == two.usage.output_tokens
    assert (one.id, one.stop_reason) == (two.id, two.stop_reason)


def test_another_key_sees_nothing(front):
    own = headers()
    for key in ["sk-one", "sk-two"]:
        raw = front.openai(api_key=key).chat.completions.with_raw_response.create(**CHAT, extra_headers=own)
        assert status(raw) == "MISS"
