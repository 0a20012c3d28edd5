// The `openai` package through a gateway.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";

import {
  PIXEL, TIME_SCHEMA, TOKEN, UNKNOWN_TOKEN, WEATHER_SCHEMA,
  assertMarks, collect, failure, fronts, gateway, script,
} from "./setup.mjs";

const MODEL = "gpt-4.1-mini";
const HELLO = { model: MODEL, messages: [{ role: "user", content: "Hello, gateway" }] };
const ANSWER = "Simulated answer to: Hello, gateway";
const tool = (name, parameters) => ({ type: "function", function: { name, parameters } });
const TOOLS = [tool("get_weather", WEATHER_SCHEMA), tool("get_time", TIME_SCHEMA)];

for (const front of fronts) {
  test(`chat (${front.name})`, async () => {
    const { data, response } = await front.openai().chat.completions.create(HELLO).withResponse();
    assert.equal(data.choices[0].message.content, ANSWER);
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assertMarks(response.headers);
  });

  test(`chat stream with usage (${front.name})`, async () => {
    const client = front.openai();
    const whole = await client.chat.completions.create(HELLO);
    const options = { ...HELLO, stream: true, stream_options: { include_usage: true } };
    const chunks = await collect(await client.chat.completions.create(options));
    const pieces = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? ""));
    assert.equal(pieces.join(""), ANSWER);
    assert.deepEqual(chunks.at(-1).usage, whole.usage);
    assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  });

  test(`response and its stream (${front.name})`, async () => {
    const client = front.openai();
    const whole = await client.responses.create({ model: MODEL, input: "Hello, gateway" });
    assert.equal(whole.output_text, ANSWER);
    const events = await collect(await client.responses.create({ model: MODEL, input: "Hello, gateway", stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, index) => index));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), ANSWER);
    assert.ok(events.at(-1).response.usage.output_tokens > 0);
  });

  test(`embeddings (${front.name})`, async () => {
    const options = { model: "text-embedding-3-small", input: ["one", "two"], dimensions: 16 };
    const packed = await front.openai().embeddings.create(options);
    const plain = await front.openai().embeddings.create({ ...options, encoding_format: "float" });
    assert.deepEqual(packed.data.map((row) => row.embedding.length), [16, 16]);
    packed.data.forEach((row, index) => {
      row.embedding.forEach((number, at) => assert.ok(Math.abs(number - plain.data[index].embedding[at]) < 1e-6));
    });
  });

  test(`multipart upload (${front.name})`, async () => {
    const sound = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));
    const file = await toFile(sound, "talk.mp3", { type: "audio/mpeg" });
    const { text } = await front.openai().audio.transcriptions.create({ model: "whisper-1", file });
    const surplus = Number(text.split(" ")[3]) - sound.length;
    assert.ok(surplus > 0 && surplus < 2000, "the file, and a few multipart headers");
  });

  test(`binary answer (${front.name})`, async () => {
    const options = { model: "tts-1", voice: "alloy", input: "Hello" };
    const response = await front.openai().audio.speech.create(options);
    assert.equal(response.headers.get("content-type"), "audio/mpeg");
    const sound = Buffer.from(await response.arrayBuffer());
    assert.equal(sound.readUInt16BE(0), 0xfffb);
  });

  test(`a cut stream rejects (${front.name})`, async () => {
    const chunks = [];
    const stream = await front.openai().chat.completions.create({ ...HELLO, stream: true }, script("cut=3"));
    await failure((async () => { for await (const chunk of stream) chunks.push(chunk); })(), Error);
    assert.ok(chunks.length > 0);
    assert.ok(chunks.every((chunk) => chunk.choices[0].finish_reason === null));
  });
}

test("chat tool loop with the SDK's runner", async () => {
  const asked = [];
  const weather = {
    type: "function",
    function: {
      name: "get_weather",
      parameters: WEATHER_SCHEMA,
      parse: JSON.parse,
      function: (input) => { asked.push(input); return "21 degrees"; },
    },
  };
  const messages = [{ role: "user", content: "What is the weather in Paris?" }];
  const runner = gateway.openai().chat.completions.runTools({ model: MODEL, messages, tools: [weather] });
  assert.match(await runner.finalContent(), /21 degrees/);
  assert.equal(asked.length, 1);
  assert.ok(asked[0].days >= 3);
});

test("chat streamed tool arguments", async () => {
  const messages = [{ role: "user", content: "Use both tools for the weather in Paris" }];
  const question = { model: MODEL, messages, tools: TOOLS };
  const whole = await gateway.openai().chat.completions.create(question);
  const calls = [];
  let fragments = 0;
  for await (const chunk of await gateway.openai().chat.completions.create({ ...question, stream: true })) {
    for (const { index, function: part } of chunk.choices[0].delta.tool_calls ?? []) {
      calls[index] ??= { name: part.name, arguments: "" };
      calls[index].arguments += part.arguments;
      fragments += 1;
    }
  }
  assert.equal(calls.length, 2);
  assert.ok(fragments > 4);
  assert.deepEqual(calls, whole.choices[0].message.tool_calls.map((call) => call.function));
});

test("chat image", async () => {
  const content = [
    { type: "text", text: "What is this?" },
    { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
  ];
  const completion = await gateway.openai().chat.completions.create({ model: MODEL, messages: [{ role: "user", content }] });
  assert.match(completion.choices[0].message.content, /\(1 image, 70 bytes\)/);
});

test("response tool loop", async () => {
  const client = gateway.openai();
  const tools = [{ type: "function", name: "get_weather", parameters: WEATHER_SCHEMA, strict: false }];
  const input = [{ role: "user", content: "What is the weather in Paris?" }];
  const first = await client.responses.stream({ model: MODEL, input, tools }).finalResponse();
  const call = first.output.find((item) => item.type === "function_call");
  input.push(call, { type: "function_call_output", call_id: call.call_id, output: "21 degrees" });
  const second = await client.responses.create({ model: MODEL, input, tools });
  assert.match(second.output_text, /21 degrees/);
});

test("rate limit keeps retry-after", async () => {
  const call = gateway.openai().chat.completions.create(HELLO, script("429,retry-after=7"));
  const error = await failure(call, OpenAI.RateLimitError);
  assert.equal(error.headers.get("retry-after"), "7");
  assert.equal(error.code, "rate_limit_exceeded");
  assertMarks(error.headers);
});

for (const [status, kind] of [[529, OpenAI.InternalServerError], [500, OpenAI.InternalServerError], [404, OpenAI.NotFoundError]]) {
  test(`provider error ${status} passes unchanged`, async () => {
    const error = await failure(gateway.openai().chat.completions.create(HELLO, script(`${status}`)), kind);
    assert.equal(error.status, status);
    assert.ok(error.type);
  });
}

test("the SDK retries what it may", async () => {
  const client = gateway.openai({ maxRetries: 2 });
  const completion = await client.chat.completions.create(HELLO, script("429,retry-after=0.05,first=1,delay=2ms"));
  assert.equal(completion.choices[0].message.content, ANSWER);
});

test("an error event rejects", async () => {
  const stream = await gateway.openai().chat.completions.create({ ...HELLO, stream: true }, script("error-event"));
  assert.match((await failure(collect(stream), OpenAI.APIError)).message, /server had an error/);
});

test("a cut answer rejects", async () => {
  await failure(gateway.openai().chat.completions.create(HELLO, script("cut-json")), Error);
});

for (const [name, defaultHeaders] of [["no", {}], ["an unknown", { "cf-aig-authorization": `Bearer ${UNKNOWN_TOKEN}` }]]) {
  test(`${name} token: 401 with code 2009`, async () => {
    const call = gateway.openai({ defaultHeaders }).chat.completions.create(HELLO);
    const error = await failure(call, OpenAI.AuthenticationError);
    assert.equal(error.error[0].code, 2009);
  });
}

test("unknown gateway: 400 with code 2001", async () => {
  const baseURL = gateway.url.replace(/gw$/, "nowhere/openai");
  const error = await failure(gateway.openai({ baseURL }).chat.completions.create(HELLO), OpenAI.BadRequestError);
  assert.equal(error.error[0].code, 2001);
});

test("whose key is sent", async () => {
  const own = { "cf-aig-authorization": `Bearer ${TOKEN}` };
  const credential = async (options) => {
    const { response } = await gateway.openai(options).chat.completions.create(HELLO).withResponse();
    return (await gateway.record(response.headers.get("cf-aig-log-id"))).credential;
  };
  assert.equal(await credential({}), "request");
  assert.equal(await credential({ apiKey: TOKEN, defaultHeaders: {} }), "stored:default");
  assert.equal(await credential({ defaultHeaders: { ...own, authorization: null } }), "stored:default");
  const second = { ...own, authorization: null, "cf-aig-byok-alias": "second" };
  assert.equal(await credential({ defaultHeaders: second }), "stored:second");
});

test("the log has tokens and cost, of a stream too", async () => {
  const options = script("tokens=1000:200:3000");
  for (const more of [{}, { stream: true, stream_options: { include_usage: true } }]) {
    const { data, response } = await gateway.openai().chat.completions.create({ ...HELLO, ...more }, options).withResponse();
    if (more.stream) await collect(data);
    const record = await gateway.record(assertMarks(response.headers));
    assert.equal(record.provider, "openai");
    assert.equal(record.model, MODEL);
    assert.equal(record.stream, more.stream ?? false);
    // USD per million: 0.40 in, 1.60 out, 0.10 cache read.
    assert.equal(record.cost_nano_usd, 1000 * 400 + 200 * 1600 + 3000 * 100);
  }
});
