"""The unified API: the SDK of one vendor drives the models of another, named `provider/model`."""

import asyncio
import json
import os
import subprocess

import anthropic
import openai
import pytest
from pydantic import BaseModel

from conftest import DEV, GATEWAY, PIXEL, TOKEN, UNKNOWN_TOKEN, assert_marks

HOST = GATEWAY.url.removesuffix("/v1/acct/gw")
CLAUDE = "anthropic/claude-sonnet-4-5"
GEMINI = "google-ai-studio/gemini-2.5-flash"
GPT = "openai/gpt-5-mini"
ANSWER = "Simulated answer to: Hello, gateway"
USER = [{"role": "user", "content": "Hello, gateway"}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
ZONE = {
    "type": "object",
    "properties": {"zone": {"type": "string"}},
    "required": ["zone"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": ZONE, "strict": True}}

each_model = pytest.mark.parametrize("model", [CLAUDE, GEMINI], ids=["claude", "gemini"])


def openai_client(base=f"{GATEWAY.url}/compat", **options) -> openai.OpenAI:
    """The SDK as its documentation sets it up, the gateway's token in the key's place."""
    return openai.OpenAI(**{"base_url": base, "api_key": TOKEN, "max_retries": 0, "timeout": 10} | options)


def anthropic_client(**options) -> anthropic.Anthropic:
    return anthropic.Anthropic(**{"base_url": HOST, "api_key": TOKEN, "max_retries": 0, "timeout": 10} | options)


# ---- the copied line ------------------------------------------------------------------------------------------------


def test_the_copied_curl_line():
    line = """
curl -X POST $HOST/v1/$ACCOUNT_ID/default/compat/chat/completions \\
  --header "cf-aig-authorization: Bearer $CF_AIG_TOKEN" \\
  --header 'Content-Type: application/json' \\
  --data '{"model":"anthropic/claude-sonnet-4-5","messages":[{"role":"user","content":"What is Cloudflare?"}]}'
"""
    env = {"PATH": os.environ["PATH"], "HOST": HOST, "ACCOUNT_ID": "acct", "CF_AIG_TOKEN": TOKEN}
    done = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    completion = json.loads(done.stdout)
    assert completion["object"] == "chat.completion"
    [choice] = completion["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Simulated answer to: What is Cloudflare?"
    assert choice["finish_reason"] == "stop"
    assert completion["usage"]["total_tokens"] > 0


# ---- OpenAI's chat completions on other vendors' models -------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        (f"{GATEWAY.url}/compat", {}),
        (f"{HOST}/client/v4/accounts/acct/ai/v1", {"cf-aig-gateway-id": "gw"}),
        (f"{HOST}/v1", {}),
    ],
    ids=["compat", "rest", "root"],
)
@pytest.mark.parametrize("model", [CLAUDE, GEMINI, GPT], ids=["claude", "gemini", "gpt"])
def test_chat_on_every_surface(base, headers, model):
    client = openai_client(base, default_headers=headers)
    raw = client.chat.completions.with_raw_response.create(model=model, messages=USER)
    assert_marks(raw.headers)
    completion = raw.parse()
    assert completion.object == "chat.completion" and completion.id and completion.created > 0
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@each_model
def test_the_log_names_the_provider_and_the_stored_key(gateway, model):
    provider, bare = model.split("/")
    raw = openai_client().chat.completions.with_raw_response.create(model=model, messages=USER)
    usage = raw.parse().usage
    record = gateway.record(assert_marks(raw.headers))
    assert (record["provider"], record["model"]) == (provider, bare)
    assert record["credential"] == "stored:default"
    assert record["usage"]["input"] == usage.prompt_tokens
    assert record["cost_nano_usd"] > 0


@each_model
def test_chat_stream_with_usage(model):
    client = openai_client()
    whole = client.chat.completions.create(model=model, messages=USER)
    chunks = list(
        client.chat.completions.create(model=model, messages=USER, stream=True, stream_options={"include_usage": True})
    )
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == whole.choices[0].message.content == ANSWER
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


@each_model
def test_chat_stream_without_usage_has_none(model):
    chunks = list(openai_client().chat.completions.create(model=model, messages=USER, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@each_model
def test_chat_image(model):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    completion = openai_client().chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    assert "(1 image, 70 bytes)" in completion.choices[0].message.content


@each_model
def test_chat_structured_output(model):
    class City(BaseModel):
        name: str
        people: int

    completion = openai_client().chat.completions.parse(model=model, messages=USER, response_format=City)
    assert isinstance(completion.choices[0].message.parsed, City)
    with openai_client().chat.completions.stream(model=model, messages=USER, response_format=City) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == completion.choices[0].message.parsed


@each_model
def test_chat_streamed_tool_arguments(model):
    question = {
        "model": model,
        "messages": [{"role": "user", "content": "Use both tools for the weather in Paris"}],
        "tools": [WEATHER, TIME],
    }
    whole = openai_client().chat.completions.create(**question).choices[0]
    assert whole.finish_reason == "tool_calls"
    ids, names, arguments, pieces, finish = {}, {}, {}, {}, None
    for chunk in openai_client().chat.completions.create(**question, stream=True):
        finish = chunk.choices[0].finish_reason or finish
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.id:
                ids[call.index] = call.id
                names[call.index] = call.function.name
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
            pieces[call.index] = pieces.get(call.index, 0) + 1
    assert finish == "tool_calls"
    assert list(names.values()) == ["get_weather", "get_time"]
    assert [call.function.name for call in whole.message.tool_calls] == ["get_weather", "get_time"]
    assert len(set(ids.values())) == 2
    assert [json.loads(text) for text in arguments.values()] == [
        json.loads(call.function.arguments) for call in whole.message.tool_calls
    ]
    # Claude sends arguments bit by bit and so must the gateway; Gemini sends each call whole.
    if model == CLAUDE:
        assert min(pieces.values()) > 2


@each_model
def test_chat_forced_tool(model):
    completion = openai_client().chat.completions.create(
        model=model,
        messages=USER,
        tools=[WEATHER, TIME],
        tool_choice={"type": "function", "function": {"name": "get_time"}},
    )
    assert [call.function.name for call in completion.choices[0].message.tool_calls] == ["get_time"]


def ask(client, question, streamed):
    """One assistant message, whole or put together by the SDK from its stream."""
    if not streamed:
        return client.chat.completions.create(**question).choices[0]
    with client.chat.completions.stream(**question) as stream:
        return stream.get_final_completion().choices[0]


def as_sent(message):
    """A message as an agent keeps it: fields the SDK does not know included, what the SDK itself added left out."""
    parsed = {"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments"}}}}
    return message.model_dump(exclude_none=True, exclude=parsed)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@each_model
def test_chat_three_turns_of_tools_with_reasoning(model, streamed):
    client = openai_client()
    messages = []
    options = {"model": model, "tools": [WEATHER], "reasoning_effort": "medium"}
    for city in ["Paris", "Rome", "Oslo"]:
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        first = ask(client, options | {"messages": messages}, streamed)
        assert first.finish_reason == "tool_calls"
        assert f"weather in {city}" in first.message.reasoning_content
        [call] = first.message.tool_calls
        assert json.loads(call.function.arguments)["days"] >= 3
        messages.append(as_sent(first.message))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"21 degrees in {city}"})
        second = ask(client, options | {"messages": messages}, streamed)
        assert second.finish_reason == "stop"
        assert f"21 degrees in {city}" in second.message.content
        messages.append(as_sent(second.message))
    if model == CLAUDE:
        # The provider checks signatures: had one been lost or changed on its way, a turn above would have been refused.
        assert messages[1]["thinking_blocks"][0]["signature"]
        messages[1]["thinking_blocks"][0]["signature"] = "Zm9yZ2Vk"
        with pytest.raises(openai.BadRequestError, match="signature"):
            client.chat.completions.create(**options, messages=messages)


@each_model
def test_chat_async(model):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{GATEWAY.url}/compat", api_key=TOKEN, max_retries=0) as client:
            answers = await asyncio.gather(*(client.chat.completions.create(model=model, messages=USER) for _ in range(4)))
            stream = await client.chat.completions.create(model=model, messages=USER, stream=True)
            return answers, [chunk async for chunk in stream]

    answers, chunks = asyncio.run(run())
    assert {answer.choices[0].message.content for answer in answers} == {ANSWER}
    assert chunks[-1].choices[0].finish_reason == "stop"


@each_model
def test_chat_length_and_developer_messages(model):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "Hello, gateway"}]},
    ]
    for limit in ["max_tokens", "max_completion_tokens"]:
        choice = openai_client().chat.completions.create(model=model, messages=messages, **{limit: 4}).choices[0]
        assert choice.finish_reason == "length"
        assert ANSWER.startswith(choice.message.content)


def test_geminis_thought_signatures_go_back_to_it():
    client = openai_client()
    name = "gemini-2.5-flash-signed"  # used nowhere else, to be found in the log
    options = {"model": f"google-ai-studio/{name}", "tools": [WEATHER], "reasoning_effort": "low"}
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    message = ask(client, options | {"messages": messages}, streamed=True).message
    signature = message.tool_calls[0].extra_content["google"]["thought_signature"]
    messages.append(as_sent(message))
    messages.append({"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21 degrees"})
    ask(client, options | {"messages": messages}, streamed=False)
    sent = json.loads(DEV.requests(model=name, count=2)[-1])
    calls = [part for content in sent["contents"] for part in content["parts"] if "functionCall" in part]
    assert [part["thoughtSignature"] for part in calls] == [signature]


# ---- errors ---------------------------------------------------------------------------------------------------------

each_provider = pytest.mark.parametrize("provider", ["anthropic", "google-ai-studio"])


@each_provider
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_rate_limit_keeps_retry_after(gateway, provider, stream):
    model = f"{provider}/sim-429,retry-after=7"
    with pytest.raises(openai.RateLimitError) as raised:
        openai_client().chat.completions.create(model=model, messages=USER, stream=stream)
    error = raised.value
    assert error.response.headers["retry-after"] == "7"
    assert error.type and error.body["message"]
    record = gateway.record(assert_marks(error.response.headers))
    assert (record["status"], record["outcome"]) == (429, "provider_error")


@each_provider
@pytest.mark.parametrize(
    ("status", "class_"),
    [
        (529, openai.InternalServerError),
        (500, openai.InternalServerError),
        (404, openai.NotFoundError),
        (403, openai.PermissionDeniedError),
    ],
)
def test_provider_errors_come_as_openais(provider, status, class_):
    with pytest.raises(class_) as raised:
        openai_client().chat.completions.create(model=f"{provider}/sim-{status}", messages=USER)
    assert raised.value.status_code == status
    assert raised.value.body["message"] and raised.value.type


@each_provider
def test_the_sdk_retries_what_it_may(provider):
    # The simulator counts requests by script, so this one is used nowhere else.
    client = openai_client(max_retries=2)
    model = f"{provider}/sim-429,retry-after=0.05,first=1,delay=3ms"
    raw = client.chat.completions.with_raw_response.create(model=model, messages=USER)
    assert raw.retries_taken == 1
    assert raw.parse().choices[0].message.content == ANSWER


@pytest.mark.parametrize("model", ["anthropic/sim-cut=5", "google-ai-studio/sim-cut=2"])
def test_a_cut_stream_raises(gateway, model):
    chunks = []
    raw = openai_client().chat.completions.with_raw_response.create(model=model, messages=USER, stream=True)
    with pytest.raises(openai.APIError):
        for chunk in raw.parse():
            chunks.append(chunk)
    assert chunks and all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert gateway.record(assert_marks(raw.headers))["outcome"] == "upstream_broken"


@each_provider
def test_an_error_event_raises(provider):
    stream = openai_client().chat.completions.create(model=f"{provider}/sim-error-event", messages=USER, stream=True)
    with pytest.raises(openai.APIError, match="(?i)overloaded"):
        list(stream)


@each_provider
@pytest.mark.parametrize("fault", ["wrong-type", "garbage", "cut-json", "reset"])
def test_an_unreadable_answer_is_a_bad_gateway(gateway, provider, fault):
    with pytest.raises(openai.InternalServerError) as raised:
        openai_client().chat.completions.create(model=f"{provider}/sim-{fault}", messages=USER)
    assert raised.value.status_code == 502
    assert gateway.record(assert_marks(raised.value.response.headers))["outcome"] != "success"


@each_provider
def test_unknown_events_are_passed_over(provider):
    stream = openai_client().chat.completions.create(model=f"{provider}/sim-malformed", messages=USER, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == ANSWER


@each_provider
@pytest.mark.parametrize(
    "stream",
    [False, True],
    ids=["whole", "streamed"],
)
def test_a_compressed_answer_is_understood(provider, stream):
    answer = openai_client().chat.completions.create(model=f"{provider}/sim-gzip", messages=USER, stream=stream)
    chunks = [chunk.choices[0].delta for chunk in answer] if stream else [answer.choices[0].message]
    assert "".join(chunk.content or "" for chunk in chunks) == ANSWER


@each_provider
@pytest.mark.parametrize(
    "fault",
    ["gap=1ms", "cut=1", "error-event", "malformed", "gzip"],
)
def test_the_log_agrees_with_what_the_client_saw(gateway, provider, fault):
    model = f"{provider}/sim-{fault}"
    raw = openai_client().chat.completions.with_raw_response.create(model=model, messages=USER, stream=True)
    try:
        failed = list(raw.parse())[-1].choices[0].finish_reason != "stop"
    except openai.APIError:
        failed = True
    record = gateway.record(raw.headers["cf-aig-log-id"])
    assert (record["outcome"] == "success") == (not failed), record["outcome"]
    assert bool(record["error"]) == failed


@each_provider
def test_a_client_that_leaves_is_in_the_log(gateway, provider):
    model = f"{provider}/sim-gap=20ms,events=400"
    raw = openai_client().chat.completions.with_raw_response.create(model=model, messages=USER, stream=True)
    with raw.parse() as stream:
        next(iter(stream))
    assert gateway.record(raw.headers["cf-aig-log-id"])["outcome"] == "client_left"


def test_without_a_token_2009():
    for options in [{"api_key": "none"}, {"api_key": UNKNOWN_TOKEN}]:
        with pytest.raises(openai.AuthenticationError) as raised:
            openai_client(**options).chat.completions.create(model=CLAUDE, messages=USER)
        assert raised.value.body[0]["code"] == 2009


def test_a_model_without_a_provider_is_explained():
    with pytest.raises(openai.BadRequestError) as raised:
        openai_client().chat.completions.create(model="claude-sonnet-4-5", messages=USER)
    assert "provider/model" in raised.value.response.text


def test_what_cannot_be_carried_is_named():
    options = {"model": CLAUDE, "messages": USER, "seed": 7}
    raw = openai_client().chat.completions.with_raw_response.create(**options)
    assert raw.headers["cf-aig-dropped"] == "seed"
    with pytest.raises(openai.BadRequestError) as raised:
        openai_client().chat.completions.create(**options, extra_headers={"cf-aig-strict": "true"})
    assert "seed" in raised.value.response.text


# ---- OpenAI's responses on other vendors' models --------------------------------------------------------------------


@each_model
def test_response(model):
    response = openai_client().responses.create(model=model, input="Hello, gateway")
    assert response.status == "completed"
    assert response.output_text == ANSWER
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


@each_model
def test_response_stream_has_every_event(model):
    client = openai_client()
    whole = client.responses.create(model=model, input="Hello, gateway")
    events = list(client.responses.create(model=model, input="Hello, gateway", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == ANSWER
    assert events[-1].response.usage == whole.usage


@each_model
def test_response_structured_output(model):
    class City(BaseModel):
        name: str
        people: int

    response = openai_client().responses.parse(model=model, input="Hello, gateway", text_format=City)
    assert isinstance(response.output_parsed, City)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@each_model
def test_response_three_turns_of_tools_with_reasoning(model, streamed):
    client = openai_client()
    options = {
        "model": model,
        "tools": [{"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}],
        "store": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }

    def respond(items):
        if not streamed:
            return client.responses.create(input=items, **options)
        with client.responses.stream(input=items, **options) as stream:
            return stream.get_final_response()

    items = []
    for city in ["Paris", "Rome", "Oslo"]:
        items.append({"role": "user", "content": f"What is the weather in {city}?"})
        first = respond(items)
        reasoning = next(item for item in first.output if item.type == "reasoning")
        assert f"weather in {city}" in "".join(part.text for part in reasoning.summary)
        call = next(item for item in first.output if item.type == "function_call")
        assert json.loads(call.arguments)["days"] >= 3
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments": True}) for item in first.output]
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": f"21 degrees in {city}"})
        second = respond(items)
        assert f"21 degrees in {city}" in second.output_text
        items += [item.model_dump(exclude_none=True) for item in second.output]
    if model == CLAUDE:
        # As above: signatures reach the provider, which refuses a forged one.
        assert next(item for item in items if item.get("type") == "reasoning")["encrypted_content"].startswith("anthropic#")
        next(item for item in items if item.get("type") == "reasoning")["encrypted_content"] = "anthropic#Zm9yZ2Vk"
        with pytest.raises(openai.BadRequestError, match="signature"):
            respond(items)


def test_response_errors():
    with pytest.raises(openai.RateLimitError) as raised:
        openai_client().responses.create(model="anthropic/sim-429,retry-after=7", input="x")
    assert raised.value.response.headers["retry-after"] == "7"
    events = []
    with pytest.raises(openai.APIError):
        for event in openai_client().responses.create(model="anthropic/sim-cut=5", input="Hello, gateway", stream=True):
            events.append(event)
            if event.type == "response.failed":  # the SDK leaves this one to its caller
                raise openai.APIError(event.response.error.message, request=None, body=None)
    assert events[0].type == "response.created"
    assert "response.completed" not in [event.type for event in events]


# ---- Anthropic's SDK on OpenAI's models -----------------------------------------------------------------------------

HELLO = {"model": GPT, "max_tokens": 256, "messages": USER}
CLAUDE_TOOL = {"name": "get_weather", "description": "Weather of a city", "input_schema": PARAMETERS}


@pytest.mark.parametrize("model", [GPT, GEMINI], ids=["gpt", "gemini"])
def test_message(model):
    raw = anthropic_client().messages.with_raw_response.create(**HELLO | {"model": model})
    assert_marks(raw.headers)
    message = raw.parse()
    assert message.type == "message" and message.role == "assistant"
    assert message.content[0].text == ANSWER
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0


@pytest.mark.parametrize("model", [GPT, GEMINI], ids=["gpt", "gemini"])
def test_message_stream_has_every_event_and_the_same_message(model):
    client = anthropic_client()
    whole = client.messages.create(**HELLO | {"model": model})
    events = list(client.messages.create(**HELLO | {"model": model}, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert len(deltas) > 1 and "".join(deltas) == whole.content[0].text
    assert events[-2].usage.output_tokens == whole.usage.output_tokens
    with client.messages.stream(**HELLO | {"model": model}) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == ANSWER
    assert final.usage.input_tokens == whole.usage.input_tokens


def test_message_token_as_bearer():
    message = anthropic_client(api_key=None, auth_token=TOKEN).messages.create(**HELLO)
    assert message.content[0].text == ANSWER


@pytest.mark.parametrize("model", [GPT, GEMINI], ids=["gpt", "gemini"])
def test_message_three_turns_of_tools(model):
    client = anthropic_client()
    messages = []
    for city in ["Paris", "Rome", "Oslo"]:
        messages.append({"role": "user", "content": f"What is the weather in {city}?"})
        with client.messages.stream(model=model, max_tokens=1024, tools=[CLAUDE_TOOL], messages=messages) as stream:
            first = stream.get_final_message()
        assert first.stop_reason == "tool_use"
        call = next(block for block in first.content if block.type == "tool_use")
        assert call.name == "get_weather" and call.input["days"] >= 3
        result = {"type": "tool_result", "tool_use_id": call.id, "content": f"21 degrees in {city}"}
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        second = client.messages.create(model=model, max_tokens=1024, tools=[CLAUDE_TOOL], messages=messages)
        assert second.stop_reason == "end_turn"
        assert f"21 degrees in {city}" in second.content[0].text
        messages.append({"role": "assistant", "content": second.content})


def test_message_image():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]
    message = anthropic_client().messages.create(model=GPT, max_tokens=256, messages=messages)
    assert "(1 image, 70 bytes)" in message.content[0].text


@pytest.mark.parametrize("model", [GPT, GEMINI], ids=["gpt", "gemini"])
def test_message_thinking_over_three_turns(model):
    client = anthropic_client()
    messages = []
    for turn in ["First", "Second", "Third"]:
        messages.append({"role": "user", "content": f"{turn} question"})
        with client.messages.stream(
            model=model, max_tokens=2048, thinking={"type": "enabled", "budget_tokens": 1024}, messages=messages
        ) as stream:
            final = stream.get_final_message()
        if model == GEMINI:
            thinking = next(block for block in final.content if block.type == "thinking")
            assert f"{turn} question" in thinking.thinking
        text = next(block for block in final.content if block.type == "text")
        assert text.text == f"Simulated answer to: {turn} question"
        messages.append({"role": "assistant", "content": final.content})


def test_message_as_a_coding_agent_sends_it():
    system = [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}]
    with anthropic_client().beta.messages.stream(
        **HELLO,
        system=system,
        tools=[CLAUDE_TOOL | {"cache_control": {"type": "ephemeral"}}],
        metadata={"user_id": "someone"},
        stop_sequences=["END"],
        betas=["interleaved-thinking-2025-05-14"],
    ) as stream:
        final = stream.get_final_message()
    assert final.content[0].text == ANSWER and final.stop_reason == "end_turn"


def test_message_errors():
    with pytest.raises(anthropic.RateLimitError) as raised:
        anthropic_client().messages.create(**HELLO | {"model": "openai/sim-429,retry-after=7"})
    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == "rate_limit_error"
    events = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        for event in anthropic_client().messages.create(**HELLO | {"model": "openai/sim-cut=4"}, stream=True):
            events.append(event.type)
    assert events[0] == "message_start" and "message_stop" not in events
    assert raised.value.body["error"]["message"]


def test_sdks_show_what_the_gateway_says():
    """On the root short forms, which are ours, `error` is what the SDKs look into."""
    with pytest.raises(openai.AuthenticationError) as raised:
        openai_client(f"{HOST}/v1", api_key="none").chat.completions.create(model="openai/gpt-5-mini", messages=USER)
    assert (raised.value.code, raised.value.type) == ("2009", "authentication_error")
    assert "genesis token create" in raised.value.body["message"]
    with pytest.raises(anthropic.AuthenticationError) as raised:
        anthropic_client(api_key="none").messages.create(**HELLO)
    assert raised.value.body["type"] == "error"
    assert "genesis token create" in raised.value.body["error"]["message"]


def test_tokens_are_counted_by_anthropic_alone():
    with pytest.raises(anthropic.APIStatusError) as raised:
        anthropic_client().messages.count_tokens(model="openai/gpt-5-mini", messages=USER)
    assert raised.value.status_code == 501
    assert raised.value.body["error"]["message"]


def test_claude_through_its_own_sdk_is_untouched():
    client = anthropic_client()
    message = client.messages.create(**HELLO | {"model": CLAUDE, "system": [{"type": "text", "text": "Be brief."}]})
    assert message.content[0].text == ANSWER and message.model == "claude-sonnet-4-5"


# ---- embeddings, lists ----------------------------------------------------------------------------------------------


def test_embeddings():
    options = {"model": "openai/text-embedding-3-small", "input": ["one", "two"], "dimensions": 16}
    for base in [f"{GATEWAY.url}/compat", f"{HOST}/v1"]:
        vectors = openai_client(base).embeddings.create(**options)
        assert [len(row.embedding) for row in vectors.data] == [16, 16]


@pytest.mark.parametrize("base", [f"{GATEWAY.url}/compat", f"{HOST}/v1"], ids=["compat", "root"])
def test_models(base):
    client = openai_client(base)
    ids = [model.id for model in client.models.list()]
    assert {CLAUDE, GEMINI, GPT} <= set(ids)
    assert len(ids) == len(set(ids))
    assert not [one for one in ids if one.startswith("groq/")], "only what has a key"
    assert client.models.retrieve(CLAUDE).id == CLAUDE
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("anthropic/nonsense")
