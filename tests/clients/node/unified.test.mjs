// The unified API: the package of one vendor drives the models of another, named `provider/model`.

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import { PIXEL, TIME_SCHEMA, TOKEN, WEATHER_SCHEMA, assertMarks, collect, failure, gateway } from "./setup.mjs";

const HOST = gateway.url.replace("/v1/acct/gw", "");
const CLAUDE = "anthropic/claude-sonnet-4-5";
const GEMINI = "google-ai-studio/gemini-2.5-flash";
const GPT = "openai/gpt-5-mini";
const ANSWER = "Simulated answer to: Hello, gateway";
const USER = [{ role: "user", content: "Hello, gateway" }];
const HELLO = { model: GPT, max_tokens: 256, messages: USER };
const tool = (name, parameters) => ({ type: "function", function: { name, parameters } });
const TOOLS = [tool("get_weather", WEATHER_SCHEMA), tool("get_time", TIME_SCHEMA)];
const CLAUDE_TOOL = { name: "get_weather", description: "Weather of a city", input_schema: WEATHER_SCHEMA };
const CITIES = ["Paris", "Rome", "Oslo"];

/** The packages as their documentation sets them up, the gateway's token in the key's place. */
const openai = (options = {}) =>
  new OpenAI({ baseURL: `${gateway.url}/compat`, apiKey: TOKEN, maxRetries: 0, timeout: 10_000, ...options });
const anthropic = (options = {}) =>
  new Anthropic({ baseURL: HOST, apiKey: TOKEN, maxRetries: 0, timeout: 10_000, ...options });

// ---- OpenAI's chat completions and responses on other vendors' models ----------------------------------------------

for (const model of [CLAUDE, GEMINI]) {
  const provider = model.split("/")[0];

  test(`chat on every surface (${model})`, async () => {
    for (const [baseURL, defaultHeaders] of [
      [`${gateway.url}/compat`, {}],
      [`${HOST}/client/v4/accounts/acct/ai/v1`, { "cf-aig-gateway-id": "gw" }],
      [`${HOST}/v1`, {}],
    ]) {
      const client = openai({ baseURL, defaultHeaders });
      const { data, response } = await client.chat.completions.create({ model, messages: USER }).withResponse();
      assertMarks(response.headers);
      assert.equal(data.choices[0].message.content, ANSWER);
      assert.equal(data.choices[0].finish_reason, "stop");
      assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    }
  });

  test(`chat stream with usage (${model})`, async () => {
    const whole = await openai().chat.completions.create({ model, messages: USER });
    const options = { model, messages: USER, stream: true, stream_options: { include_usage: true } };
    const chunks = await collect(await openai().chat.completions.create(options));
    const pieces = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? ""));
    assert.ok(pieces.filter(Boolean).length > 1);
    assert.equal(pieces.join(""), ANSWER);
    assert.deepEqual(chunks.at(-1).usage, whole.usage);
    assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  });

  test(`chat image (${model})`, async () => {
    const content = [
      { type: "text", text: "What is this?" },
      { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
    ];
    const completion = await openai().chat.completions.create({ model, messages: [{ role: "user", content }] });
    assert.match(completion.choices[0].message.content, /\(1 image, 70 bytes\)/);
  });

  test(`chat structured output (${model})`, async () => {
    const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"], additionalProperties: false };
    const response_format = { type: "json_schema", json_schema: { name: "city", schema, strict: true } };
    const completion = await openai().chat.completions.parse({ model, messages: USER, response_format });
    assert.equal(typeof completion.choices[0].message.parsed.name, "string");
  });

  test(`chat streamed tool arguments (${model})`, async () => {
    const messages = [{ role: "user", content: "Use both tools for the weather in Paris" }];
    const question = { model, messages, tools: TOOLS };
    const whole = await openai().chat.completions.create(question);
    const streamed = await openai().chat.completions.stream(question).finalChatCompletion();
    const calls = (completion) =>
      completion.choices[0].message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
    assert.deepEqual(calls(streamed).map(([name]) => name), ["get_weather", "get_time"]);
    assert.deepEqual(calls(streamed), calls(whole));
    assert.equal(streamed.choices[0].finish_reason, "tool_calls");
    assert.equal(new Set(streamed.choices[0].message.tool_calls.map((call) => call.id)).size, 2);
  });

  test(`chat tool loop with the SDK's runner (${model})`, async () => {
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
    for (const stream of [false, true]) {
      const runner = openai().chat.completions.runTools({ model, messages, tools: [weather], stream });
      assert.match(await runner.finalContent(), /21 degrees/);
    }
    assert.equal(asked.length, 2);
    assert.ok(asked.every((input) => input.days >= 3));
  });

  test(`chat, three turns of tools with reasoning (${model})`, async () => {
    const messages = [];
    const options = { model, tools: TOOLS, reasoning_effort: "medium" };
    for (const city of CITIES) {
      messages.push({ role: "user", content: `What is the weather in ${city}?` });
      const first = (await openai().chat.completions.create({ ...options, messages })).choices[0];
      assert.equal(first.finish_reason, "tool_calls");
      assert.match(first.message.reasoning_content, new RegExp(`weather in ${city}`));
      const [call] = first.message.tool_calls;
      messages.push(first.message, { role: "tool", tool_call_id: call.id, content: `21 degrees in ${city}` });
      const second = (await openai().chat.completions.create({ ...options, messages })).choices[0];
      assert.match(second.message.content, new RegExp(`21 degrees in ${city}`));
      messages.push(second.message);
    }
    if (model === CLAUDE) {
      // The provider checks signatures: had one been lost or changed on its way, a turn above would have been refused.
      messages[1].thinking_blocks[0].signature = "Zm9yZ2Vk";
      const error = await failure(openai().chat.completions.create({ ...options, messages }), OpenAI.BadRequestError);
      assert.match(error.message, /signature/);
    }
  });

  test(`response and its stream (${model})`, async () => {
    const whole = await openai().responses.create({ model, input: "Hello, gateway" });
    assert.equal(whole.output_text, ANSWER);
    const events = await collect(await openai().responses.create({ model, input: "Hello, gateway", stream: true }));
    assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, index) => index));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), ANSWER);
    assert.deepEqual(events.at(-1).response.usage, whole.usage);
  });

  test(`response, three turns of tools with reasoning (${model})`, async () => {
    const tools = [{ type: "function", name: "get_weather", parameters: WEATHER_SCHEMA, strict: false }];
    const reasoning = { effort: "low", summary: "auto" };
    const options = { model, tools, reasoning, store: false, include: ["reasoning.encrypted_content"] };
    const input = [];
    for (const city of CITIES) {
      input.push({ role: "user", content: `What is the weather in ${city}?` });
      const first = await openai().responses.stream({ ...options, input }).finalResponse();
      const thought = first.output.find((item) => item.type === "reasoning");
      assert.match(thought.summary.map((part) => part.text).join(""), new RegExp(`weather in ${city}`));
      const call = first.output.find((item) => item.type === "function_call");
      const output = `21 degrees in ${city}`;
      input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output });
      const second = await openai().responses.create({ ...options, input });
      assert.match(second.output_text, new RegExp(output));
      input.push(...second.output);
    }
  });

  test(`rate limit keeps retry-after (${provider})`, async () => {
    for (const stream of [false, true]) {
      const call = openai().chat.completions.create({ model: `${provider}/sim-429,retry-after=7`, messages: USER, stream });
      const error = await failure(call, OpenAI.RateLimitError);
      assert.equal(error.headers.get("retry-after"), "7");
      assert.ok(error.type && error.message);
      assertMarks(error.headers);
    }
  });

  test(`a cut stream rejects (${provider})`, async () => {
    const chunks = [];
    const cut = provider === "anthropic" ? 5 : 2;
    const stream = await openai().chat.completions.create({ model: `${provider}/sim-cut=${cut}`, messages: USER, stream: true });
    await failure((async () => { for await (const chunk of stream) chunks.push(chunk); })(), OpenAI.APIError);
    assert.ok(chunks.length > 0);
    assert.ok(chunks.every((chunk) => chunk.choices[0].finish_reason === null));
  });
}

// ---- Anthropic's messages on other vendors' models -----------------------------------------------------------------

for (const model of [GPT, GEMINI]) {
  test(`message and its stream (${model})`, async () => {
    const whole = await anthropic().messages.create({ ...HELLO, model });
    assert.equal(whole.content[0].text, ANSWER);
    assert.equal(whole.stop_reason, "end_turn");
    const events = await collect(await anthropic().messages.create({ ...HELLO, model, stream: true }));
    assert.equal(events[0].type, "message_start");
    assert.equal(events.at(-1).type, "message_stop");
    assert.equal(events.at(-2).usage.output_tokens, whole.usage.output_tokens);
    const final = await anthropic().messages.stream({ ...HELLO, model }).finalMessage();
    assert.deepEqual(final.content.map((block) => block.text), [ANSWER]);
  });

  test(`message, three turns of tools (${model})`, async () => {
    const messages = [];
    const options = { model, max_tokens: 1024, tools: [CLAUDE_TOOL] };
    for (const city of CITIES) {
      messages.push({ role: "user", content: `What is the weather in ${city}?` });
      const first = await anthropic().messages.stream({ ...options, messages }).finalMessage();
      assert.equal(first.stop_reason, "tool_use");
      const call = first.content.find((block) => block.type === "tool_use");
      assert.ok(call.input.days >= 3);
      const result = { type: "tool_result", tool_use_id: call.id, content: `21 degrees in ${city}` };
      messages.push({ role: "assistant", content: first.content }, { role: "user", content: [result] });
      const second = await anthropic().messages.create({ ...options, messages });
      assert.match(second.content[0].text, new RegExp(`21 degrees in ${city}`));
      messages.push({ role: "assistant", content: second.content });
    }
  });

  test(`message thinking over three turns (${model})`, async () => {
    const messages = [];
    const options = { model, max_tokens: 2048, thinking: { type: "enabled", budget_tokens: 1024 } };
    for (const turn of ["First", "Second", "Third"]) {
      messages.push({ role: "user", content: `${turn} question` });
      const final = await anthropic().messages.stream({ ...options, messages }).finalMessage();
      const text = final.content.find((block) => block.type === "text");
      assert.equal(text.text, `Simulated answer to: ${turn} question`);
      // OpenAI does not show what it thinks on its chat endpoint; Gemini does.
      const thinking = final.content.find((block) => block.type === "thinking");
      if (model === GEMINI) assert.match(thinking.thinking, new RegExp(`${turn} question`));
      messages.push({ role: "assistant", content: final.content });
    }
  });
}

test("message errors", async () => {
  const call = anthropic().messages.create({ ...HELLO, model: "openai/sim-429,retry-after=7" });
  const error = await failure(call, Anthropic.RateLimitError);
  assert.equal(error.headers.get("retry-after"), "7");
  assert.equal(error.error.error.type, "rate_limit_error");
  const stream = await anthropic().messages.create({ ...HELLO, model: "openai/sim-cut=4", stream: true });
  const kinds = [];
  await failure((async () => { for await (const event of stream) kinds.push(event.type); })(), Anthropic.APIError);
  assert.equal(kinds[0], "message_start");
  assert.ok(!kinds.includes("message_stop"));
});

// ---- lists ---------------------------------------------------------------------------------------------------------

test("models", async () => {
  for (const baseURL of [`${gateway.url}/compat`, `${HOST}/v1`]) {
    const ids = (await collect(await openai({ baseURL }).models.list())).map((model) => model.id);
    for (const id of [CLAUDE, GEMINI, GPT]) assert.ok(ids.includes(id), id);
    assert.equal((await openai({ baseURL }).models.retrieve(CLAUDE)).id, CLAUDE);
  }
});
