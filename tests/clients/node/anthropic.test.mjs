// The `@anthropic-ai/sdk` package through a gateway.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import {
  OWN_KEY, PIXEL, TIME_SCHEMA, TOKEN, UNKNOWN_TOKEN, WEATHER_SCHEMA,
  assertMarks, collect, failure, fronts, gateway, script,
} from "./setup.mjs";

const MODEL = "claude-sonnet-4-6";
const HELLO = { model: MODEL, max_tokens: 256, messages: [{ role: "user", content: "Hello, gateway" }] };
const ANSWER = "Simulated answer to: Hello, gateway";
const WEATHER = { name: "get_weather", input_schema: WEATHER_SCHEMA };
const TIME = { name: "get_time", input_schema: TIME_SCHEMA };

const ask = (content, more) => ({ model: MODEL, max_tokens: 1024, messages: [{ role: "user", content }], ...more });

for (const front of fronts) {
  test(`message (${front.name})`, async () => {
    const { data, response } = await front.anthropic().messages.create(HELLO).withResponse();
    assert.equal(data.content[0].text, ANSWER);
    assert.equal(data.stop_reason, "end_turn");
    assert.ok(data.usage.input_tokens > 0 && data.usage.output_tokens > 0);
    assert.equal(response.headers.get("cf-aig-simulated"), "true");
    assertMarks(response.headers);
  });

  test(`stream has every event and the same message (${front.name})`, async () => {
    const client = front.anthropic();
    const whole = await client.messages.create(HELLO);
    const events = await collect(await client.messages.create({ ...HELLO, stream: true }));
    const kinds = events.map((event) => event.type);
    assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
    assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
    const deltas = events.filter((event) => event.type === "content_block_delta");
    assert.ok(deltas.length > 1);
    assert.equal(deltas.map((event) => event.delta.text).join(""), whole.content[0].text);
    assert.equal(events.at(-2).usage.output_tokens, whole.usage.output_tokens);
  });

  test(`a cut stream rejects (${front.name})`, async () => {
    const kinds = [];
    const stream = await front.anthropic().messages.create({ ...HELLO, stream: true }, script("cut=4"));
    await failure((async () => { for await (const event of stream) kinds.push(event.type); })(), Error);
    assert.equal(kinds[0], "message_start");
    assert.ok(!kinds.includes("message_stop"));
  });

  test(`count tokens and models (${front.name})`, async () => {
    const client = front.anthropic();
    const counted = await client.messages.countTokens({ model: MODEL, messages: HELLO.messages });
    assert.ok(counted.input_tokens > 0);
    assert.ok((await collect(client.models.list())).length > 0);
  });
}

test("the stream helper accumulates", async () => {
  const stream = gateway.anthropic().messages.stream(HELLO);
  let text = "";
  stream.on("text", (piece) => { text += piece; });
  const final = await stream.finalMessage();
  assert.equal(text, ANSWER);
  assert.equal(final.content[0].text, ANSWER);
});

test("tool loop", async () => {
  const client = gateway.anthropic();
  const question = ask("What is the weather in Paris?", { tools: [WEATHER] });
  const first = await client.messages.create(question);
  assert.equal(first.stop_reason, "tool_use");
  const call = first.content.find((block) => block.type === "tool_use");
  assert.ok(typeof call.input.city === "string" && call.input.days >= 3);
  question.messages.push(
    { role: "assistant", content: first.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "21 degrees" }] },
  );
  const second = await client.messages.create(question);
  assert.match(second.content[0].text, /21 degrees/);
});

test("streamed tool arguments join to JSON", async () => {
  const question = ask("Use both tools for the weather in Paris", { tools: [WEATHER, TIME] });
  const whole = await gateway.anthropic().messages.create(question);
  const stream = gateway.anthropic().messages.stream(question);
  let fragments = 0;
  stream.on("inputJson", () => { fragments += 1; });
  const final = await stream.finalMessage();
  const inputs = (message) => message.content.filter((block) => block.type === "tool_use").map((block) => block.input);
  assert.equal(inputs(final).length, 2);
  assert.deepEqual(inputs(final), inputs(whole));
  assert.ok(fragments > 2);
});

test("image", async () => {
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } };
  const message = await gateway.anthropic().messages.create(ask([image, { type: "text", text: "What is this?" }]));
  assert.match(message.content[0].text, /\(1 image, 70 bytes\)/);
});

test("thinking survives three turns", async () => {
  const client = gateway.anthropic();
  const messages = [];
  for (const turn of ["First", "Second", "Third"]) {
    messages.push({ role: "user", content: `${turn} question` });
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const final = await client.messages.stream({ model: MODEL, max_tokens: 2048, thinking, messages }).finalMessage();
    const block = final.content.find((block) => block.type === "thinking");
    assert.ok(block.signature && block.thinking.includes(`${turn} question`));
    messages.push({ role: "assistant", content: final.content });
  }
  // The provider checks signatures: had one been changed on its way, a turn above would have been refused.
  messages[1].content[0].signature = "Zm9yZ2Vk";
  messages.pop();
  const error = await failure(client.messages.create({ model: MODEL, max_tokens: 64, messages }), Anthropic.BadRequestError);
  assert.match(error.message, /signature/);
});

test("rate limit keeps retry-after", async () => {
  const call = gateway.anthropic().messages.create(HELLO, script("429,retry-after=7"));
  const error = await failure(call, Anthropic.RateLimitError);
  assert.equal(error.headers.get("retry-after"), "7");
  assert.equal(error.error.error.type, "rate_limit_error");
  assertMarks(error.headers);
});

for (const [status, type] of [[529, "overloaded_error"], [500, "api_error"], [403, "permission_error"]]) {
  test(`provider error ${status} passes unchanged`, async () => {
    const error = await failure(gateway.anthropic().messages.create(HELLO, script(`${status}`)), Anthropic.APIError);
    assert.equal(error.status, status);
    assert.equal(error.error.error.type, type);
    assert.equal((await gateway.record(assertMarks(error.headers))).outcome, "provider_error");
  });
}

test("the SDK retries what it may", async () => {
  const client = gateway.anthropic({ maxRetries: 2 });
  const message = await client.messages.create(HELLO, script("529,retry-after=0.05,first=1,delay=2ms"));
  assert.equal(message.content[0].text, ANSWER);
});

test("an error event rejects", async () => {
  const stream = await gateway.anthropic().messages.create({ ...HELLO, stream: true }, script("error-event"));
  const error = await failure(collect(stream), Anthropic.APIError);
  assert.equal(error.error.error.type, "overloaded_error");
});

test("a cut answer rejects", async () => {
  await failure(gateway.anthropic().messages.create(HELLO, script("cut-json")), Error);
});

for (const [name, defaultHeaders] of [["no", {}], ["an unknown", { "cf-aig-authorization": `Bearer ${UNKNOWN_TOKEN}` }]]) {
  test(`${name} token: 401 with code 2009`, async () => {
    const error = await failure(gateway.anthropic({ defaultHeaders }).messages.create(HELLO), Anthropic.AuthenticationError);
    assert.equal(error.error.error[0].code, 2009);
    assert.equal(error.error.internalCode, 2009);
  });
}

test("unknown gateway: 400 with code 2001", async () => {
  const baseURL = gateway.url.replace(/gw$/, "nowhere/anthropic");
  const error = await failure(gateway.anthropic({ baseURL }).messages.create(HELLO), Anthropic.BadRequestError);
  assert.equal(error.error.error[0].code, 2001);
});

test("whose key is sent", async () => {
  const own = { "cf-aig-authorization": `Bearer ${TOKEN}` };
  const credential = async (options) => {
    const { response } = await gateway.anthropic(options).messages.create(HELLO).withResponse();
    return (await gateway.record(response.headers.get("cf-aig-log-id"))).credential;
  };
  assert.equal(await credential({}), "request");
  assert.equal(await credential({ apiKey: TOKEN, defaultHeaders: {} }), "stored:default");
  assert.equal(await credential({ defaultHeaders: { ...own, authorization: null } }), "stored:default");
  const second = { ...own, authorization: null, "cf-aig-byok-alias": "second" };
  assert.equal(await credential({ defaultHeaders: second }), "stored:second");
  assert.equal(await credential({ defaultHeaders: { ...own, authorization: null, "x-api-key": OWN_KEY } }), "request");
});

test("the log has tokens and cost, of a stream too", async () => {
  const headers = {
    "cf-aig-event-id": "event-of-mine",
    "cf-aig-metadata": '{"team":"search","attempt":2,"trial":true}',
    "x-simulator": "tokens=1000:200:3000:400",
  };
  for (const stream of [false, true]) {
    const { data, response } = await gateway.anthropic().messages.create({ ...HELLO, stream }, { headers }).withResponse();
    if (stream) await collect(data);
    const record = await gateway.record(assertMarks(response.headers, "event-of-mine"));
    assert.equal(record.provider, "anthropic");
    assert.equal(record.model, MODEL);
    assert.equal(record.stream, stream);
    assert.deepEqual(record.metadata, { team: "search", attempt: 2, trial: true });
    const { input, output, cache_read, cache_write } = record.usage;
    assert.deepEqual([input, output, cache_read, cache_write], [1000, 200, 3000, 400]);
    // USD per million: 3 in, 15 out, 0.30 cache read, 3.75 cache write.
    assert.equal(record.cost_nano_usd, 1000 * 3000 + 200 * 15000 + 3000 * 300 + 400 * 3750);
  }
});

test("a client that leaves is in the log", async () => {
  const options = script("stall");
  const { data, response } = await gateway.anthropic().messages.create({ ...HELLO, stream: true }, options).withResponse();
  for await (const event of data) {
    assert.equal(event.type, "message_start");
    break; // ends the stream
  }
  assert.equal((await gateway.record(response.headers.get("cf-aig-log-id"))).outcome, "client_left");
});
