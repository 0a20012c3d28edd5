// What the tests share: the two gateways, a client of each SDK, and the log as `genesis logs` shows it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const run = promisify(execFile);

export const TOKEN = process.env.GATEWAY_TOKEN;
export const UNKNOWN_TOKEN = "gt_0000000000000000000000000000000000000000000";
export const OWN_KEY = "sk-brought-by-the-client";
/** A PNG of one pixel: 70 bytes before base64. */
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

export const WEATHER_SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer", minimum: 3 } },
  required: ["city", "days"],
};
export const TIME_SCHEMA = { type: "object", properties: { zone: { type: "string" } }, required: ["zone"] };

/** A gateway as a client sees it. */
class Front {
  constructor(name, url, home) {
    Object.assign(this, { name, url, home });
  }

  openai(options = {}) {
    return new OpenAI({ ...this.#usual("openai"), ...options });
  }

  anthropic(options = {}) {
    return new Anthropic({ ...this.#usual("anthropic"), ...options });
  }

  #usual(provider) {
    return {
      baseURL: `${this.url}/${provider}`,
      apiKey: OWN_KEY,
      maxRetries: 0,
      timeout: 10_000,
      defaultHeaders: this.name === "gateway" ? { "cf-aig-authorization": `Bearer ${TOKEN}` } : {},
    };
  }

  /** The log record of a call, once it is durable: at most one commit interval after the answer's end. */
  async record(id) {
    const env = { ...process.env, GENESIS_HOME: this.home };
    const deadline = Date.now() + 5000;
    for (;;) {
      try {
        const { stdout } = await run(process.env.GENESIS, ["logs", id, "--json"], { env });
        if (stdout.trim()) return JSON.parse(stdout);
      } catch (error) {
        assert.ok(Date.now() < deadline, `no record ${id} within 5 s: ${error.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

export const gateway = new Front("gateway", process.env.GATEWAY_URL, process.env.GATEWAY_HOME);
export const dev = new Front("dev", process.env.DEV_URL, process.env.DEV_HOME);
export const fronts = [gateway, dev];

/** Options that order a fault from the simulator. */
export const script = (text) => ({ headers: { "x-simulator": text } });

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** The gateway's response headers are all there; the log id. */
export function assertMarks(headers, eventId) {
  assert.match(headers.get("cf-aig-log-id"), UUID_V7);
  assert.equal(headers.get("cf-aig-step"), "0");
  assert.ok(headers.get("cf-aig-request-id"));
  if (eventId) assert.equal(headers.get("cf-aig-event-id"), eventId);
  else assert.match(headers.get("cf-aig-event-id"), UUID_V7);
  return headers.get("cf-aig-log-id");
}

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** What `promise` fails with. */
export async function failure(promise, kind) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error instanceof kind, `expected ${kind.name}, got ${error}`);
  return error;
}
