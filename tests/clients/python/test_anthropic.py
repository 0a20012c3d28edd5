"""The `anthropic` SDK through a gateway."""

import asyncio

import anthropic
import pytest

from conftest import OWN_KEY, PIXEL, TOKEN, UNKNOWN_TOKEN, assert_marks, script

MODEL = "claude-sonnet-4-6"
HELLO = {"model": MODEL, "max_tokens": 256, "messages": [{"role": "user", "content": "Hello, gateway"}]}
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
        "required": ["city", "days"],
    },
}
TIME = {"name": "get_time", "description": "Local time", "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}}


def ask(text, **more):
    return {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": text}]} | more


def test_message(front):
    message = front.anthropic().messages.create(**HELLO)
    assert message.role == "assistant"
    assert message.model == MODEL
    assert message.stop_reason == "end_turn"
    assert message.content[0].text == "Simulated answer to: Hello, gateway"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0


def test_simulated_answers_say_so(front):
    raw = front.anthropic().messages.with_raw_response.create(**HELLO)
    assert raw.headers["cf-aig-simulated"] == "true"


def test_stream_has_every_event_and_the_same_message(front):
    client = front.anthropic()
    whole = client.messages.create(**HELLO)
    events = list(client.messages.create(**HELLO, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == whole.content[0].text
    assert events[-2].usage.output_tokens == whole.usage.output_tokens
    assert events[0].message.usage.input_tokens == whole.usage.input_tokens


def test_stream_helper_accumulates(front):
    with front.anthropic().messages.stream(**HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text == "Simulated answer to: Hello, gateway"
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


def test_tool_loop(front):
    client = front.anthropic()
    question = ask("What is the weather in Paris?", tools=[WEATHER])
    first = client.messages.create(**question)
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.name == "get_weather"
    assert isinstance(call.input["city"], str) and call.input["days"] >= 3
    question["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}]},
    ]
    second = client.messages.create(**question)
    assert second.stop_reason == "end_turn"
    assert "21 degrees" in second.content[0].text


def test_streamed_tool_arguments_join_to_json(gateway):
    question = ask("Use both tools for the weather in Paris", tools=[WEATHER, TIME])
    fragments = {}
    with gateway.anthropic().messages.stream(**question) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                fragments.setdefault(event.index, []).append(event.delta.partial_json)
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    assert {call.name for call in calls} == {"get_weather", "get_time"}
    assert len({call.id for call in calls}) == 2
    assert all(len(parts) > 1 for parts in fragments.values()), "arguments came in one piece"
    whole = gateway.anthropic().messages.create(**question)
    assert [call.input for call in calls] == [block.input for block in whole.content if block.type == "tool_use"]


def test_forced_tool(gateway):
    message = gateway.anthropic().messages.create(
        **ask("Hello", tools=[WEATHER, TIME], tool_choice={"type": "tool", "name": "get_time"})
    )
    assert [block.name for block in message.content if block.type == "tool_use"] == ["get_time"]


def test_image(gateway):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    content = [image, {"type": "text", "text": "What is this?"}]
    message = gateway.anthropic().messages.create(**ask(content))
    assert "(1 image, 70 bytes)" in message.content[0].text


def test_thinking_survives_three_turns(gateway):
    client = gateway.anthropic()
    messages = []
    for turn in ["First", "Second", "Third"]:
        messages.append({"role": "user", "content": f"{turn} question"})
        with client.messages.stream(
            model=MODEL, max_tokens=2048, thinking={"type": "enabled", "budget_tokens": 1024}, messages=messages
        ) as stream:
            final = stream.get_final_message()
        thinking = next(block for block in final.content if block.type == "thinking")
        assert thinking.signature and f"{turn} question" in thinking.thinking
        messages.append({"role": "assistant", "content": final.content})
    # The provider checks signatures: had one been changed on its way, a turn above would have been refused.
    forged = messages[1]["content"][0].model_copy(update={"signature": "Zm9yZ2Vk"})
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        client.messages.create(
            model=MODEL,
            max_tokens=64,
            messages=[messages[0], {"role": "assistant", "content": [forged]}, messages[2]],
        )


def test_count_tokens_and_models(front):
    client = front.anthropic()
    assert client.messages.count_tokens(model=MODEL, messages=HELLO["messages"]).input_tokens > 0
    assert [model.id for model in client.models.list()]


def test_async_client(front):
    async def run():
        async with front.async_anthropic() as client:
            message = await client.messages.create(**HELLO)
            stream = await client.messages.create(**HELLO, stream=True)
            kinds = [event.type async for event in stream]
            return message, kinds

    message, kinds = asyncio.run(run())
    assert message.content[0].text
    assert kinds[-1] == "message_stop"


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_rate_limit_keeps_retry_after(front):
    with pytest.raises(anthropic.RateLimitError) as raised:
        front.anthropic().messages.create(**HELLO, extra_headers=script("429,retry-after=7"))
    error = raised.value
    assert error.status_code == 429
    assert error.response.headers["retry-after"] == "7"
    assert error.body["error"]["type"] == "rate_limit_error"
    assert error.request_id.startswith("req_")
    assert_marks(error.response.headers)


@pytest.mark.parametrize(
    ("status", "kind", "class_"),
    [
        (529, "overloaded_error", anthropic.InternalServerError),
        (500, "api_error", anthropic.InternalServerError),
        (413, "request_too_large", anthropic.APIStatusError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (401, "authentication_error", anthropic.AuthenticationError),
    ],
)
def test_provider_errors_pass_unchanged(gateway, status, kind, class_):
    with pytest.raises(class_) as raised:
        gateway.anthropic().messages.create(**HELLO, extra_headers=script(str(status)))
    assert raised.value.status_code == status
    assert raised.value.body["error"]["type"] == kind
    record = gateway.record(assert_marks(raised.value.response.headers))
    assert record["status"] == status
    assert record["outcome"] == "provider_error"


def test_errors_before_a_stream(gateway):
    with pytest.raises(anthropic.RateLimitError):
        gateway.anthropic().messages.create(**HELLO, stream=True, extra_headers=script("429"))


def test_the_sdk_retries_what_it_may(gateway):
    client = gateway.anthropic(max_retries=2)
    headers = script("529,retry-after=0.05,first=1,delay=1ms")
    raw = client.messages.with_raw_response.create(**HELLO, extra_headers=headers)
    assert raw.retries_taken == 1
    assert raw.parse().content[0].text


def test_a_cut_stream_raises(front):
    events = []
    with pytest.raises(Exception) as raised:
        for event in front.anthropic().messages.create(**HELLO, stream=True, extra_headers=script("cut=4")):
            events.append(event.type)
    assert not isinstance(raised.value, AssertionError)
    assert events[0] == "message_start"
    assert "message_stop" not in events


def test_an_error_event_raises(gateway):
    with pytest.raises(anthropic.APIStatusError) as raised:
        list(gateway.anthropic().messages.create(**HELLO, stream=True, extra_headers=script("error-event")))
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_a_cut_answer_raises(gateway):
    with pytest.raises(anthropic.APIConnectionError):
        gateway.anthropic().messages.create(**HELLO, extra_headers=script("cut-json"))


def test_a_refused_connection_is_the_gateways_own_error(gateway):
    with pytest.raises(anthropic.APIStatusError) as raised:
        gateway.anthropic().messages.create(**HELLO, extra_headers=script("reset"))
    assert raised.value.status_code == 502


def test_gzip_streams(gateway):
    with gateway.anthropic().messages.stream(**HELLO, extra_headers=script("gzip")) as stream:
        assert stream.get_final_message().content[0].text == "Simulated answer to: Hello, gateway"


# ---- the gateway's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"cf-aig-authorization": f"Bearer {UNKNOWN_TOKEN}"}], ids=["none", "unknown"])
def test_without_a_token_2009(gateway, headers):
    with pytest.raises(anthropic.AuthenticationError) as raised:
        gateway.anthropic(default_headers=headers).messages.create(**HELLO)
    assert raised.value.status_code == 401
    assert raised.value.body["error"][0]["code"] == 2009
    assert raised.value.body["internalCode"] == 2009


def test_unknown_gateway_2001(gateway):
    url = gateway.url.removesuffix("/gw") + "/nowhere/anthropic"
    with pytest.raises(anthropic.BadRequestError) as raised:
        gateway.anthropic(base_url=url).messages.create(**HELLO)
    assert raised.value.body["error"][0]["code"] == 2001


def credential_of(gateway, **options):
    raw = gateway.anthropic(**options).messages.with_raw_response.create(**HELLO)
    return gateway.record(raw.headers["cf-aig-log-id"])["credential"]


def test_whose_key_is_sent(gateway):
    assert credential_of(gateway) == "request"
    # The token in the key's place: the stored key is used.
    assert credential_of(gateway, api_key=TOKEN, default_headers={}) == "stored:default"
    # No key at all, the token in its own header.
    own = {"cf-aig-authorization": f"Bearer {TOKEN}"}
    none = own | {"Authorization": anthropic.Omit()}
    assert credential_of(gateway, api_key=None, auth_token=None, default_headers=none) == "stored:default"
    second = none | {"cf-aig-byok-alias": "second"}
    assert credential_of(gateway, api_key=None, auth_token=None, default_headers=second) == "stored:second"
    # The older slot of the same provider.
    assert credential_of(gateway, default_headers=none | {"x-api-key": OWN_KEY}) == "request"
    assert credential_of(gateway, default_headers={"Authorization": anthropic.Omit(), "x-api-key": TOKEN}) == "stored:default"


def test_unknown_alias_2040(gateway):
    headers = {"cf-aig-authorization": f"Bearer {TOKEN}", "Authorization": anthropic.Omit(), "cf-aig-byok-alias": "absent"}
    with pytest.raises(anthropic.BadRequestError) as raised:
        gateway.anthropic(default_headers=headers).messages.create(**HELLO)
    assert raised.value.body["error"][0]["code"] == 2040


def test_the_log_has_tokens_and_cost(gateway):
    headers = {
        "cf-aig-event-id": "event-of-mine",
        "cf-aig-metadata": '{"team":"search","attempt":2,"trial":true}',
        "x-simulator": "tokens=1000:200:3000:400",
    }
    raw = gateway.anthropic().messages.with_raw_response.create(**HELLO, extra_headers=headers)
    usage = raw.parse().usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1000, 3000, 400)
    record = gateway.record(assert_marks(raw.headers, event_id="event-of-mine"))
    assert record["provider"] == "anthropic"
    assert record["model"] == MODEL
    assert record["status"] == 200 and record["outcome"] == "success"
    assert record["path"] == "v1/messages"
    assert record["metadata"] == {"team": "search", "attempt": 2, "trial": True}
    assert record["event_id"] == "event-of-mine"
    assert record["user_agent"].startswith("Anthropic/Python")
    assert tokens(record) == (1000, 200, 3000, 400)
    # USD per million: 3 in, 15 out, 0.30 cache read, 3.75 cache write.
    assert record["cost_nano_usd"] == 1000 * 3000 + 200 * 15000 + 3000 * 300 + 400 * 3750


def test_the_log_of_a_stream_has_the_same_numbers(gateway):
    with gateway.anthropic().messages.with_streaming_response.create(
        **HELLO, stream=True, extra_headers=script("tokens=1000:200:3000:400")
    ) as raw:
        assert list(raw.parse())[-1].type == "message_stop"
        log_id = assert_marks(raw.headers)
    record = gateway.record(log_id)
    assert record["stream"] is True
    assert tokens(record) == (1000, 200, 3000, 400)
    assert record["cost_nano_usd"] == 1000 * 3000 + 200 * 15000 + 3000 * 300 + 400 * 3750


def test_a_client_that_leaves_is_in_the_log(gateway):
    stream = gateway.anthropic().messages.create(**HELLO, stream=True, extra_headers=script("stall"))
    assert next(iter(stream)).type == "message_start"
    log_id = stream.response.headers["cf-aig-log-id"]
    stream.close()
    assert gateway.record(log_id)["outcome"] == "client_left"


def test_no_log_if_none_is_wanted(gateway):
    raw = gateway.anthropic().messages.with_raw_response.create(
        **HELLO, extra_headers={"cf-aig-collect-log": "false"}
    )
    assert "cf-aig-log-id" not in raw.headers


def tokens(record):
    usage = record["usage"]
    return tuple(usage[name] for name in ("input", "output", "cache_read", "cache_write"))
