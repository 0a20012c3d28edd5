// Cached answers, as the SDKs read them.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { collect, fronts } from "./setup.mjs";

const CHAT = { model: "gpt-4.1-mini", messages: [{ role: "user", content: "Hello, cache" }] };
const STREAM = { ...CHAT, stream: true, stream_options: { include_usage: true } };
const MESSAGE = { model: "claude-sonnet-4-5", max_tokens: 64, messages: [{ role: "user", content: "Hello, cache" }] };
const cached = () => ({ headers: { "cf-aig-cache-ttl": "60", "cf-aig-cache-key": randomUUID() } });
const status = (response) => response.headers.get("cf-aig-cache-status");

for (const front of fronts) {
  test(`chat, twice whole, then streamed (${front.name})`, async () => {
    const client = front.openai();
    const own = cached();
    const first = await client.chat.completions.create(CHAT, own).withResponse();
    const second = await client.chat.completions.create(CHAT, own).withResponse();
    assert.deepEqual([status(first.response), status(second.response)], ["MISS", "HIT"]);
    assert.deepEqual(first.data, second.data);
    const third = await client.chat.completions.create(STREAM, own).withResponse();
    assert.equal(status(third.response), "HIT");
    const chunks = await collect(third.data);
    const text = chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? "")).join("");
    assert.equal(text, first.data.choices[0].message.content);
    assert.equal(chunks.at(-1).usage.total_tokens, first.data.usage.total_tokens);
  });

  test(`a message, twice streamed, then whole (${front.name})`, async () => {
    const client = front.anthropic();
    const own = cached();
    const texts = [];
    for (const expected of ["MISS", "HIT"]) {
      const { data, response } = await client.messages.create({ ...MESSAGE, stream: true }, own).withResponse();
      assert.equal(status(response), expected);
      const events = await collect(data);
      assert.equal(events.at(-1).type, "message_stop");
      texts.push(events.map((event) => event.delta?.text ?? "").join(""));
    }
    const whole = await client.messages.create(MESSAGE, own).withResponse();
    assert.equal(status(whole.response), "HIT");
    assert.deepEqual(texts, [whole.data.content[0].text, whole.data.content[0].text]);
  });
}
