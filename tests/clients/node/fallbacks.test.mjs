// Cloudflare's own package drives the universal endpoint. It knows one host only, so that is redirected here.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createAiGateway } from "ai-gateway-provider";
import { createAnthropic } from "ai-gateway-provider/providers/anthropic";
import { createOpenAI } from "ai-gateway-provider/providers/openai";
import { unified } from "ai-gateway-provider/providers/unified";
import { generateText, streamText } from "ai";

import { OWN_KEY, TOKEN, UNKNOWN_TOKEN, gateway } from "./setup.mjs";

const ANSWER = "Simulated answer to: Hello, gateway";
const ASKED = { prompt: "Hello, gateway", maxRetries: 0 };
const CLOUDFLARE = "https://gateway.ai.cloudflare.com/v1/acct/gw";

const original = globalThis.fetch;
/** Headers of the answers, the last one at the end. */
const answers = [];

before(() => {
  globalThis.fetch = async (url, options) => {
    assert.ok(String(url).startsWith(CLOUDFLARE), `the package calls ${url}`);
    const answer = await original(String(url).replace(CLOUDFLARE, gateway.url), options);
    answers.push(answer.headers);
    return answer;
  };
});
after(() => {
  globalThis.fetch = original;
});

const through = (options = {}, apiKey = TOKEN) =>
  createAiGateway({ accountId: "acct", gateway: "gw", apiKey, options });
const anthropic = createAnthropic();
const openai = createOpenAI();
const last = () => answers.at(-1);

test("the first of two steps answers", async () => {
  const { text } = await generateText({ ...ASKED, model: through()([anthropic("claude-sonnet-4-5"), openai.chat("gpt-5-mini")]) });
  assert.equal(text, ANSWER);
  assert.equal(last().get("cf-aig-step"), "0");
  assert.equal(last().get("cf-aig-attempts"), null);
});

for (const script of ["sim-503", "sim-401", "sim-reset"]) {
  test(`the second step takes over what the first fails at (${script})`, async () => {
    const model = through()([anthropic(script), openai.chat("gpt-5-mini")]);
    const { text, usage } = await generateText({ ...ASKED, model });
    assert.equal(text, ANSWER);
    assert.ok(usage.inputTokens > 0);
    assert.equal(last().get("cf-aig-step"), "1");
    const record = await gateway.record(last().get("cf-aig-log-id"));
    assert.deepEqual([record.step, record.provider, record.attempts.length], [1, "openai", 2]);
  });
}

test("a stream comes from the second step, event by event", async () => {
  const model = through()([openai.chat("sim-529"), anthropic("claude-sonnet-4-5")]);
  const pieces = [];
  for await (const piece of streamText({ ...ASKED, model }).textStream) pieces.push(piece);
  assert.equal(pieces.join(""), ANSWER);
  assert.ok(pieces.length > 1);
  assert.equal(last().get("cf-aig-step"), "1");
});

test("retries of the options hold for each step", async () => {
  const retries = { maxAttempts: 2, retryDelayMs: 1, backoff: "constant" };
  const model = through({ retries, metadata: { team: "search" } })([anthropic("sim-529"), openai.chat("gpt-5-mini")]);
  assert.equal((await generateText({ ...ASKED, model })).text, ANSWER);
  assert.equal(last().get("cf-aig-attempts"), "anthropic 529, anthropic 529, openai 200");
  const record = await gateway.record(last().get("cf-aig-log-id"));
  assert.deepEqual(record.metadata, { team: "search" });
});

test("a dynamic route, through the unified API", async () => {
  const { text } = await generateText({ ...ASKED, model: through()(unified("dynamic/support")) });
  assert.equal(text, ANSWER);
  assert.equal(last().get("cf-aig-provider"), "openai");
  assert.equal(last().get("cf-aig-model"), "gpt-5-mini");
});

test("a client's own key goes to its own step", async () => {
  const own = createOpenAI({ apiKey: OWN_KEY });
  const { text } = await generateText({ ...ASKED, model: through()([own.chat("gpt-5-mini")]) });
  assert.equal(text, ANSWER);
  assert.equal((await gateway.record(last().get("cf-aig-log-id"))).credential, "request");
});

test("an unknown token is told in the package's own words", async () => {
  const model = through({}, UNKNOWN_TOKEN)([openai.chat("gpt-5-mini")]);
  await assert.rejects(generateText({ ...ASKED, model }), /authentication|unauthorized/i);
});
