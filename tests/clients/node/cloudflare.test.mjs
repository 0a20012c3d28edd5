// The `cloudflare` package manages a gateway: only its base URL is changed.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import Cloudflare from "cloudflare";

import { TOKEN, collect, failure, gateway } from "./setup.mjs";

const account_id = "acct";
const ORIGIN = new URL(gateway.url).origin;
const SETTINGS = {
  cache_invalidate_on_update: true,
  cache_ttl: 0,
  collect_logs: true,
  rate_limiting_interval: 0,
  rate_limiting_limit: 0,
};

const client = (apiToken = process.env.MANAGEMENT_TOKEN) =>
  new Cloudflare({ baseURL: `${ORIGIN}/client/v4`, apiToken, maxRetries: 0, timeout: 10_000 });
const { aiGateway } = client();

/** A test with a gateway of its own. */
function withGateway(title, body) {
  test(title, async () => {
    const id = `node-${randomUUID().slice(0, 8)}`;
    await aiGateway.create({ account_id, id, ...SETTINGS });
    try {
      await body(id);
    } finally {
      await aiGateway.delete(id, { account_id }).catch(() => {});
    }
  });
}

/** Tries again until `attempt` succeeds. */
async function eventually(attempt) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A call through the gateway, once it is there; the log id. */
const call = (id, model = "gpt-4.1-mini") =>
  eventually(async () => {
    const response = await fetch(`${ORIGIN}/v1/${account_id}/${id}/openai/chat/completions`, {
      method: "POST",
      headers: { "cf-aig-authorization": `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }] }),
    });
    assert.equal(response.status, 200, await response.text());
    return response.headers.get("cf-aig-log-id");
  });

const logged = (id, count) =>
  eventually(async () => {
    const logs = await collect(aiGateway.logs.list(id, { account_id }));
    assert.equal(logs.length, count);
    return logs;
  });

withGateway("gateways are created, listed, changed and deleted", async (id) => {
  const got = await aiGateway.get(id, { account_id });
  assert.equal(got.id, id);
  const listed = await collect(aiGateway.list({ account_id, search: id, per_page: 1 }));
  assert.deepEqual(listed.map((item) => item.id), [id]);
  const changed = await aiGateway.update(id, { account_id, ...SETTINGS, cache_ttl: 120, retry_max_attempts: 3 });
  assert.deepEqual([changed.cache_ttl, changed.retry_max_attempts], [120, 3]);
  assert.equal((await aiGateway.delete(id, { account_id })).id, id);
  const error = await failure(aiGateway.get(id, { account_id }), Cloudflare.NotFoundError);
  assert.equal(error.errors[0].code, 7002);
});

test("who may not manage is refused in the SDK's own words", async () => {
  await failure(client("gt_wrong").aiGateway.get("gw", { account_id }), Cloudflare.AuthenticationError);
  await failure(client(TOKEN).aiGateway.get("gw", { account_id }), Cloudflare.PermissionDeniedError);
  const error = await failure(aiGateway.delete("gw", { account_id }), Cloudflare.ConflictError);
  assert.match(error.errors[0].message, /genesis\.json/);
});

withGateway("logs are filtered, noted and deleted", async (id) => {
  const first = await call(id);
  const second = await call(id, "gpt-4.1");
  assert.deepEqual((await logged(id, 2)).map((log) => log.id), [second, first]);
  const filters = [
    { key: "model", operator: "eq", value: ["gpt-4.1", "gpt-5"] },
    { key: "tokens_in", operator: "gt", value: [0] },
  ];
  const found = await collect(aiGateway.logs.list(id, { account_id, filters }));
  assert.deepEqual(found.map((log) => log.id), [second]);
  const where = { account_id, gateway_id: id };
  assert.equal((await aiGateway.logs.get(first, where)).model, "gpt-4.1-mini");
  assert.equal((await aiGateway.logs.request(first, where)).model, "gpt-4.1-mini");
  assert.equal((await aiGateway.logs.response(first, where)).object, "chat.completion");
  await aiGateway.logs.edit(first, { ...where, feedback: -1, metadata: { by: "node" } });
  const log = await aiGateway.logs.get(first, where);
  assert.deepEqual([log.feedback, log.metadata], [-1, { by: "node" }]);
  assert.equal((await aiGateway.logs.delete(id, { account_id, filters })).success, true);
  assert.deepEqual((await logged(id, 1)).map((log) => log.id), [first]);
});

withGateway("provider keys go in and do not come out", async (id) => {
  const config = { account_id, alias: "team", default_config: false, provider_slug: "groq", secret: "gsk-0123456789abcdefghij" };
  const created = await aiGateway.providerConfigs.create(id, config);
  const listed = await collect(aiGateway.providerConfigs.list(id, { account_id }));
  assert.ok(listed.some((item) => item.id === created.id));
  assert.doesNotMatch(JSON.stringify([created, listed]), /0123456789/);
});

withGateway("routes have versions and deployments", async (id) => {
  const elements = (model) => [
    { id: "s", type: "start", outputs: { next: { elementId: "m" } } },
    {
      id: "m",
      type: "model",
      properties: { provider: "openai", model, timeout: 1000, retries: 1 },
      outputs: { success: { elementId: "e" }, fallback: { elementId: "e" } },
    },
    { id: "e", type: "end", outputs: {} },
  ];
  const routing = aiGateway.dynamicRouting;
  const where = { account_id, gateway_id: id };
  const route = await routing.create(id, { account_id, name: "support", elements: elements("gpt-4.1") });
  await routing.createVersion(route.id, { ...where, elements: elements("gpt-5") });
  const { versions } = (await routing.listVersions(route.id, where)).data;
  assert.deepEqual(versions.map((version) => version.active), ["false", "true"]);
  await routing.createDeployment(route.id, { ...where, version_id: versions[0].version_id });
  assert.equal((await routing.get(route.id, where)).version.version_id, versions[0].version_id);
  assert.equal((await routing.listDeployments(route.id, where)).data.deployments.length, 2);
  assert.equal((await routing.update(route.id, { ...where, name: "help" })).route.name, "help");
  assert.equal((await routing.list(id, { account_id })).data.routes[0].name, "help");
  assert.equal((await routing.delete(route.id, where)).id, route.id);
});

withGateway("custom providers and urls", async (id) => {
  const slug = `up-${randomUUID().slice(0, 6)}`;
  const body = { account_id, name: "Mine", slug, base_url: "https://api.example.com/v1", enable: true };
  const created = await aiGateway.customProviders.create(body);
  const url = await aiGateway.urls.get(`custom-${slug}`, { account_id, gateway_id: id });
  assert.equal(url, `${ORIGIN}/v1/${account_id}/${id}/custom-${slug}`);
  const error = await failure(aiGateway.customProviders.create(body), Cloudflare.ConflictError);
  assert.equal(error.errors[0].code, 1003);
  assert.equal((await aiGateway.customProviders.delete(created.id, { account_id })).slug, slug);
});
