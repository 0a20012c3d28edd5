"""The `openai` SDK through a gateway."""

import asyncio
import io
import math

import openai
import pytest
from pydantic import BaseModel

from conftest import PIXEL, TOKEN, UNKNOWN_TOKEN, assert_marks, script

MODEL = "gpt-4.1-mini"
USER = [{"role": "user", "content": "Hello, gateway"}]
HELLO = {"model": MODEL, "messages": USER}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}}}


# ---- chat completions -----------------------------------------------------------------------------------------------


def test_chat(front):
    completion = front.openai().chat.completions.create(**HELLO)
    assert completion.model == MODEL
    assert completion.choices[0].message.content == "Simulated answer to: Hello, gateway"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_the_version_segment_is_optional(front):
    with_version = front.openai(base_url=f"{front.url}/openai/v1").chat.completions.create(**HELLO)
    assert with_version == front.openai().chat.completions.create(**HELLO)


def test_chat_stream_with_usage(front):
    client = front.openai()
    whole = client.chat.completions.create(**HELLO)
    chunks = list(client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True}))
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_chat_stream_without_usage_has_none(front):
    # The gateway must not ask the provider for what the client did not want to see.
    chunks = list(front.openai().chat.completions.create(**HELLO, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_chat_tool_loop(front):
    client = front.openai()
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls"
    [call] = first.message.tool_calls
    assert call.function.name == "get_weather" and '"city"' in call.function.arguments
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0]
    assert "21 degrees" in second.message.content


def test_chat_streamed_tool_arguments(gateway):
    question = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Use both tools for the weather in Paris"}],
        "tools": [WEATHER, TIME],
    }
    whole = gateway.openai().chat.completions.create(**question).choices[0].message.tool_calls
    names, arguments, pieces = {}, {}, {}
    for chunk in gateway.openai().chat.completions.create(**question, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.function.name:
                names[call.index] = call.function.name
            arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
            pieces[call.index] = pieces.get(call.index, 0) + 1
    assert [names[index] for index in sorted(names)] == [call.function.name for call in whole]
    assert [arguments[index] for index in sorted(arguments)] == [call.function.arguments for call in whole]
    assert len(whole) == 2 and min(pieces.values()) > 2


def test_chat_structured_output(gateway):
    class City(BaseModel):
        name: str
        people: int

    completion = gateway.openai().chat.completions.parse(**HELLO, response_format=City)
    assert isinstance(completion.choices[0].message.parsed, City)


def test_chat_image(gateway):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    completion = gateway.openai().chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert "(1 image, 70 bytes)" in completion.choices[0].message.content


# ---- responses ------------------------------------------------------------------------------------------------------


def test_response(front):
    response = front.openai().responses.create(model=MODEL, input="Hello, gateway")
    assert response.status == "completed"
    assert response.output_text == "Simulated answer to: Hello, gateway"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_response_stream_has_every_event(front):
    events = list(front.openai().responses.create(model=MODEL, input="Hello, gateway", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "Simulated answer to: Hello, gateway"
    assert events[-1].response.usage.output_tokens > 0


def test_response_reasoning_and_tool_loop(gateway):
    client = gateway.openai()
    tool = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
    options = {
        "model": "gpt-5",
        "tools": [tool],
        "store": False,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    items = [{"role": "user", "content": "What is the weather in Paris?"}]
    with client.responses.stream(input=items, **options) as stream:
        first = stream.get_final_response()
    reasoning = next(item for item in first.output if item.type == "reasoning")
    assert reasoning.encrypted_content
    call = next(item for item in first.output if item.type == "function_call")
    items += first.output
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"})
    second = client.responses.create(input=items, **options)
    assert "21 degrees" in second.output_text


# ---- embeddings, sound, lists ---------------------------------------------------------------------------------------


def test_embeddings(front):
    # The SDK asks for base64 unless told otherwise, and decodes it.
    client = front.openai()
    packed = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=16)
    plain = client.embeddings.create(
        model="text-embedding-3-small", input=["one", "two"], dimensions=16, encoding_format="float"
    )
    assert [len(row.embedding) for row in packed.data] == [16, 16]
    for left, right in zip(packed.data, plain.data, strict=True):
        assert all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(left.embedding, right.embedding, strict=True))
    assert packed.usage.prompt_tokens > 0


def test_multipart_upload(front):
    sound = bytes(range(256)) * 4096  # 1 MiB, every byte value
    name = ("talk.mp3", io.BytesIO(sound), "audio/mpeg")
    transcription = front.openai().audio.transcriptions.create(model="whisper-1", file=name)
    size = int(transcription.text.split()[3])
    assert 0 < size - len(sound) < 2000, "the file, and a few multipart headers"


def test_binary_answer(front):
    client = front.openai()
    sound = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello").content
    assert sound[:2] == b"\xff\xfb"
    with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="Hello") as streamed:
        assert streamed.headers["content-type"] == "audio/mpeg"
        assert b"".join(streamed.iter_bytes()) == sound


def test_models(front):
    client = front.openai()
    assert [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4.1-mini").id == "gpt-4.1-mini"


def test_async_client(front):
    async def run():
        async with front.async_openai() as client:
            answers = await asyncio.gather(*(client.chat.completions.create(**HELLO) for _ in range(8)))
            stream = await client.chat.completions.create(**HELLO, stream=True)
            return answers, [chunk async for chunk in stream]

    answers, chunks = asyncio.run(run())
    assert len({answer.choices[0].message.content for answer in answers}) == 1
    assert chunks[-1].choices[0].finish_reason == "stop"


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_rate_limit_keeps_retry_after(front):
    with pytest.raises(openai.RateLimitError) as raised:
        front.openai().chat.completions.create(**HELLO, extra_headers=script("429,retry-after=7"))
    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.request_id
    assert_marks(raised.value.response.headers)


@pytest.mark.parametrize(
    ("status", "class_"),
    [
        (529, openai.InternalServerError),
        (500, openai.InternalServerError),
        (404, openai.NotFoundError),
        (401, openai.AuthenticationError),
    ],
)
def test_provider_errors_pass_unchanged(gateway, status, class_):
    with pytest.raises(class_) as raised:
        gateway.openai().chat.completions.create(**HELLO, extra_headers=script(str(status)))
    assert raised.value.status_code == status
    assert raised.value.body["type"]
    assert gateway.record(assert_marks(raised.value.response.headers))["status"] == status


def test_the_provider_judges_the_body(gateway):
    with pytest.raises(openai.BadRequestError) as raised:
        gateway.openai().chat.completions.create(model=MODEL, messages=[])
    assert raised.value.param == "messages"


def test_the_sdk_retries_what_it_may(gateway):
    client = gateway.openai(max_retries=2)
    headers = script("429,retry-after=0.05,first=1,delay=1ms")
    raw = client.chat.completions.with_raw_response.create(**HELLO, extra_headers=headers)
    assert raw.retries_taken == 1
    assert raw.parse().choices[0].message.content


def test_a_cut_stream_raises(front):
    chunks = []
    with pytest.raises(Exception) as raised:
        for chunk in front.openai().chat.completions.create(**HELLO, stream=True, extra_headers=script("cut=3")):
            chunks.append(chunk)
    assert not isinstance(raised.value, AssertionError)
    assert chunks and all(chunk.choices[0].finish_reason is None for chunk in chunks)


def test_an_error_event_raises(gateway):
    with pytest.raises(openai.APIError, match="server had an error"):
        list(gateway.openai().chat.completions.create(**HELLO, stream=True, extra_headers=script("error-event")))


def test_a_cut_answer_raises(gateway):
    with pytest.raises(openai.APIConnectionError):
        gateway.openai().chat.completions.create(**HELLO, extra_headers=script("cut-json"))


# ---- the gateway's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"cf-aig-authorization": f"Bearer {UNKNOWN_TOKEN}"}], ids=["none", "unknown"])
def test_without_a_token_2009(gateway, headers):
    with pytest.raises(openai.AuthenticationError) as raised:
        gateway.openai(default_headers=headers).chat.completions.create(**HELLO)
    body = raised.value.response.json()
    assert body["error"][0]["code"] == body["internalCode"] == 2009
    assert body["success"] is False and body["httpCode"] == 401


def test_unknown_gateway_2001(gateway):
    url = gateway.url.removesuffix("/gw") + "/nowhere/openai"
    with pytest.raises(openai.BadRequestError) as raised:
        gateway.openai(base_url=url).chat.completions.create(**HELLO)
    assert raised.value.response.json()["error"][0]["code"] == 2001


def test_unknown_provider_2008(gateway):
    with pytest.raises(openai.BadRequestError) as raised:
        gateway.openai(base_url=f"{gateway.url}/openia").chat.completions.create(**HELLO)
    body = raised.value.response.json()
    assert body["error"][0]["code"] == 2008
    assert "`openai`" in body["description"]


def test_the_token_as_api_key_uses_the_stored_key(gateway):
    raw = gateway.openai(api_key=TOKEN, default_headers={}).chat.completions.with_raw_response.create(**HELLO)
    assert gateway.record(raw.headers["cf-aig-log-id"])["credential"] == "stored:default"


def test_no_provider_key_uses_the_stored_key(gateway):
    raw = gateway.openai().chat.completions.with_raw_response.create(
        **HELLO, extra_headers={"Authorization": openai.Omit()}
    )
    assert gateway.record(raw.headers["cf-aig-log-id"])["credential"] == "stored:default"


def test_the_log_has_tokens_and_cost(gateway):
    raw = gateway.openai().chat.completions.with_raw_response.create(**HELLO, extra_headers=script("tokens=1000:200:3000"))
    assert raw.parse().usage.prompt_tokens == 4000
    record = gateway.record(assert_marks(raw.headers))
    assert (record["provider"], record["model"], record["status"]) == ("openai", MODEL, 200)
    usage = record["usage"]
    assert (usage["input"], usage["output"], usage["cache_read"]) == (1000, 200, 3000)
    # USD per million: 0.40 in, 1.60 out, 0.10 cache read.
    assert record["cost_nano_usd"] == 1000 * 400 + 200 * 1600 + 3000 * 100


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_the_log_of_a_stream_has_the_same_numbers(gateway, kind):
    client, headers = gateway.openai(), script("tokens=1000:200:3000")
    if kind == "chat":
        options = HELLO | {"stream": True, "stream_options": {"include_usage": True}}
        call = client.chat.completions.with_streaming_response.create(**options, extra_headers=headers)
    else:
        options = {"model": MODEL, "input": "Hello", "stream": True}
        call = client.responses.with_streaming_response.create(**options, extra_headers=headers)
    with call as raw:
        assert list(raw.parse())
        log_id = assert_marks(raw.headers)
    record = gateway.record(log_id)
    assert record["stream"] is True
    assert record["cost_nano_usd"] == 1000 * 400 + 200 * 1600 + 3000 * 100


def test_embeddings_have_a_cost(gateway):
    raw = gateway.openai().embeddings.with_raw_response.create(model="text-embedding-3-small", input="Hello" * 100)
    record = gateway.record(raw.headers["cf-aig-log-id"])
    # USD per million: 0.02 in.
    assert record["cost_nano_usd"] == raw.parse().usage.prompt_tokens * 20


def test_custom_cost(gateway):
    headers = script("tokens=10:2") | {"cf-aig-custom-cost": '{"per_token_in":0.000001,"per_token_out":0.000002}'}
    raw = gateway.openai().chat.completions.with_raw_response.create(**HELLO, extra_headers=headers)
    record = gateway.record(raw.headers["cf-aig-log-id"])
    assert record["custom_cost"] is True
    assert record["cost_nano_usd"] == 10 * 1000 + 2 * 2000


def test_upload_and_speech_are_logged(gateway):
    client = gateway.openai()
    name = ("talk.mp3", io.BytesIO(b"sound"), "audio/mpeg")
    upload = client.audio.transcriptions.with_raw_response.create(model="whisper-1", file=name)
    record = gateway.record(upload.headers["cf-aig-log-id"])
    assert (record["status"], record["path"]) == (200, "audio/transcriptions")
    assert record["request_content_type"].startswith("multipart/form-data")
    speech = client.audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input="Hello")
    record = gateway.record(speech.headers["cf-aig-log-id"])
    assert record["response_content_type"] == "audio/mpeg"
    assert record["response_size"] == len(speech.content)
