"""The `cloudflare` SDK manages a gateway: only its base URL is changed."""

import os
import time
import uuid
from urllib.parse import urlsplit

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare

from conftest import GATEWAY, TOKEN

ACCOUNT = "acct"
ORIGIN = "{0.scheme}://{0.netloc}".format(urlsplit(GATEWAY.url))
SETTINGS = {
    "cache_invalidate_on_update": True,
    "cache_ttl": 0,
    "collect_logs": True,
    "rate_limiting_interval": 0,
    "rate_limiting_limit": 0,
}


def client(token: str = os.environ["MANAGEMENT_TOKEN"]) -> Cloudflare:
    return Cloudflare(base_url=f"{ORIGIN}/client/v4", api_token=token, max_retries=0, timeout=10)


@pytest.fixture
def name():
    """A gateway of its own for a test."""
    gateway = f"py-{uuid.uuid4().hex[:8]}"
    client().ai_gateway.create(account_id=ACCOUNT, id=gateway, **SETTINGS)
    yield gateway
    try:
        client().ai_gateway.delete(gateway, account_id=ACCOUNT)
    except cloudflare.NotFoundError:
        pass


def call(gateway: str, model: str = "gpt-4.1-mini", status: int = 200, provider: str = "openai", **headers: str) -> str:
    """A call through the gateway, once it is there; the log id."""
    deadline = time.monotonic() + 10
    while True:
        answer = httpx.post(
            f"{ORIGIN}/v1/{ACCOUNT}/{gateway}/{provider}/chat/completions",
            headers={"cf-aig-authorization": f"Bearer {TOKEN}", **headers},
            json={"model": model, "messages": [{"role": "user", "content": "Hello"}]},
        )
        if answer.status_code == status:
            return answer.headers["cf-aig-log-id"]
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)


def record(gateway: str, log_id: str):
    """One log, once it is there."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return client().ai_gateway.logs.get(log_id, account_id=ACCOUNT, gateway_id=gateway)
        except cloudflare.NotFoundError:
            assert time.monotonic() < deadline, log_id
            time.sleep(0.02)


def logged(gateway: str, count: int) -> list:
    """All logs of the gateway, newest first, once there are as many."""
    deadline = time.monotonic() + 5
    while True:
        logs = list(client().ai_gateway.logs.list(gateway, account_id=ACCOUNT))
        if len(logs) == count:
            return logs
        assert time.monotonic() < deadline, f"{len(logs)} logs"
        time.sleep(0.02)


# ---- gateways -------------------------------------------------------------------------------------------------------


def test_gateways_are_created_listed_changed_and_deleted(name):
    gateways = client().ai_gateway
    got = gateways.get(name, account_id=ACCOUNT)
    assert got.id == name and got.cache_ttl == 0 and got.authentication is True
    assert name in [gateway.id for gateway in gateways.list(account_id=ACCOUNT, search=name[3:])]
    changed = gateways.update(name, account_id=ACCOUNT, **(SETTINGS | {"cache_ttl": 120}))
    assert changed.cache_ttl == 120 and changed.created_at == got.created_at
    assert gateways.delete(name, account_id=ACCOUNT).id == name
    with pytest.raises(cloudflare.NotFoundError):
        gateways.get(name, account_id=ACCOUNT)


def test_pages_are_fetched_until_an_empty_one():
    names = [f"page-{uuid.uuid4().hex[:8]}" for _ in range(7)]
    for gateway in names:
        client().ai_gateway.create(account_id=ACCOUNT, id=gateway, **SETTINGS)
    listed = client().ai_gateway.list(account_id=ACCOUNT, search="page-", per_page=3)
    assert sorted(gateway.id for gateway in listed) == sorted(names)
    for gateway in names:
        client().ai_gateway.delete(gateway, account_id=ACCOUNT)


def test_a_created_gateway_takes_calls_within_a_second(name):
    begun = time.monotonic()
    call(name)
    assert time.monotonic() - begun < 3  # half a second between looks; the rest is for a busy machine


def test_declared_gateways_are_read_only():
    with pytest.raises(cloudflare.ConflictError, match="genesis.json"):
        client().ai_gateway.delete("gw", account_id=ACCOUNT)


def test_mistakes_come_as_the_sdks_own_errors(name):
    with pytest.raises(cloudflare.BadRequestError) as error:
        client().ai_gateway.update(name, account_id=ACCOUNT, **(SETTINGS | {"cache_ttl": -1}))
    [fault] = error.value.body["errors"]
    assert fault["code"] == 7001 and fault["path"] == ["body", "cache_ttl"]
    with pytest.raises(cloudflare.AuthenticationError):
        client("gt_wrong").ai_gateway.get(name, account_id=ACCOUNT)
    with pytest.raises(cloudflare.PermissionDeniedError):  # may run, not manage
        client(TOKEN).ai_gateway.get(name, account_id=ACCOUNT)


# ---- logs -----------------------------------------------------------------------------------------------------------


def test_logs_are_filtered_noted_and_deleted(name):
    first, second = call(name), call(name, model="gpt-4.1")
    assert [log.id for log in logged(name, 2)] == [second, first]
    logs = client().ai_gateway.logs

    filters = [
        {"key": "model", "operator": "eq", "value": ["gpt-4.1"]},
        {"key": "tokens_in", "operator": "gt", "value": [0]},
    ]
    found = list(logs.list(name, account_id=ACCOUNT, filters=filters, order_by="created_at", order_by_direction="asc"))
    assert [log.id for log in found] == [second]
    assert found[0].success and found[0].status_code == 200 and found[0].tokens_in > 0
    assert [log.id for log in logs.list(name, account_id=ACCOUNT, search="GPT-4.1-mini")] == [first]

    log = logs.get(first, account_id=ACCOUNT, gateway_id=name)
    assert log.model == "gpt-4.1-mini" and log.request_head_complete
    assert b"Hello" in logs.request(first, account_id=ACCOUNT, gateway_id=name).__repr__().encode()
    assert logs.response(first, account_id=ACCOUNT, gateway_id=name)["object"] == "chat.completion"

    logs.edit(first, account_id=ACCOUNT, gateway_id=name, feedback=1, score=90, metadata={"by": "python"})
    noted = [{"key": "feedback", "operator": "eq", "value": [1]}]
    assert [log.id for log in logs.list(name, account_id=ACCOUNT, filters=noted)] == [first]

    deleted = logs.delete(name, account_id=ACCOUNT, filters=[filters[0]])
    assert deleted.success
    assert [log.id for log in logged(name, 1)] == [first]


# ---- provider configs, custom providers, routes -----------------------------------------------------------------------


def test_a_stored_key_serves_the_gateway_it_was_made_for(name):
    configs = client().ai_gateway.provider_configs
    created = configs.create(
        name, account_id=ACCOUNT, alias="team", default_config=True, provider_slug="openai", secret="sk-0123456789abcdefghij"
    )
    assert created.secret_preview == "sk-…ghij"
    own = [config for config in configs.list(name, account_id=ACCOUNT) if config.id == created.id]
    assert [config.alias for config in own] == ["team"]
    # It comes before the key for all gateways, once the running gateway has noticed.
    deadline = time.monotonic() + 10
    while GATEWAY.record(call(name))["credential"] != "stored:team":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_custom_providers_are_kept_and_reached_once_enabled(name):
    custom = client().ai_gateway.custom_providers
    slug = f"up-{uuid.uuid4().hex[:6]}"
    created = custom.create(account_id=ACCOUNT, name="Mine", slug=slug, base_url="https://127.0.0.1:9", enable=True)
    assert custom.get(created.id, account_id=ACCOUNT).slug == slug
    assert slug in [row.slug for row in custom.list(account_id=ACCOUNT, enable=True)]
    # It is known to the data plane, which refuses to call this machine for it.
    refused = call(name, provider=f"custom-{slug}", status=502)
    assert "not a public address" in record(name, refused).error
    assert custom.delete(created.id, account_id=ACCOUNT).id == created.id


def test_urls_are_told(name):
    url = client().ai_gateway.urls.get("openai", account_id=ACCOUNT, gateway_id=name)
    assert url == f"{ORIGIN}/v1/{ACCOUNT}/{name}/openai"


def test_routes_have_versions_and_deployments(name):
    routing = client().ai_gateway.dynamic_routing
    elements = lambda model: [
        {"id": "s", "type": "start", "outputs": {"next": {"element_id": "m"}}},
        {
            "id": "m",
            "type": "model",
            "properties": {"provider": "openai", "model": model, "timeout": 1000, "retries": 1},
            "outputs": {"success": {"element_id": "e"}, "fallback": {"element_id": "e"}},
        },
        {"id": "e", "type": "end", "outputs": {}},
    ]
    route = routing.create(name, account_id=ACCOUNT, name="support", elements=elements("gpt-4.1"))
    where = {"account_id": ACCOUNT, "gateway_id": name}
    routing.create_version(route.id, elements=elements("gpt-5"), **where)
    versions = routing.list_versions(route.id, **where).data.versions
    assert [version.active for version in versions] == ["false", "true"]
    routing.create_deployment(route.id, version_id=versions[0].version_id, **where)
    assert routing.get(route.id, **where).version.version_id == versions[0].version_id
    assert len(routing.list_deployments(route.id, **where).data.deployments) == 2
    assert routing.update(route.id, name="help", **where).route.name == "help"
    assert [route.name for route in routing.list(name, account_id=ACCOUNT).data.routes] == ["help"]
    assert routing.delete(route.id, **where).id == route.id


def test_billing_says_what_is_true(name):
    billing = client().ai_gateway.billing
    call(name)
    balance = billing.credit_balance(account_id=ACCOUNT)
    assert balance.balance == 0 and balance.payment_method is None and balance.topup_config.amount is None
    assert billing.invoice_history(account_id=ACCOUNT).invoices == []
    assert billing.invoice_preview(account_id=ACCOUNT).amount_due == 0
    assert billing.topup.config.get(account_id=ACCOUNT).threshold is None
    assert billing.spending_limit.get(account_id=ACCOUNT).enabled is False
    with pytest.raises(cloudflare.PermissionDeniedError):
        billing.topup.create(account_id=ACCOUNT, amount=5000)
    deadline = time.monotonic() + 10
    while not (days := billing.usage_history(account_id=ACCOUNT, value_grouping_window="day").history):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert days[-1].aggregated_value >= 0 and days[-1].end_time - days[-1].start_time == 86_400_000


def test_policies_hold_once_they_are_committed(name):
    """The SDK has no resource for them, so its plain methods are used."""
    call(name)
    policies = f"/accounts/{ACCOUNT}/ai-gateway/gateways/{name}/policies"
    everyone = {"name": "Everyone", "condition": "true", "resource": "*", "action": {"type": "no-limit"}}
    mini = {"name": "No mini", "resource": {"model": "openai/gpt-*-mini"}, "action": {"type": "block"}}
    assert client().post(f"{policies}?commit=true", body=everyone, cast_to=object)["committed"] is True
    assert client().post(policies, body=mini, cast_to=object)["committed"] is False
    asked = {"identity": {}, "model": "openai/gpt-4.1-mini", "provider": "openai"}
    simulated = client().post(f"{policies}/simulate", body=asked, cast_to=object)["result"]
    assert simulated["evaluation"]["decision"] == "block" and simulated["enforcement"]["policyName"] == "No mini"
    assert client().post(f"{policies}/commit", cast_to=object)["result"]["committed"] == 1
    call(name, status=403)
    call(name, model="gpt-4.1")


def test_evaluations_evaluate_what_datasets_choose(name):
    gateway = client().ai_gateway
    good, bad = call(name), call(name, model="gpt-4.1")
    for log_id, feedback in [(good, 1), (bad, -1)]:
        record(name, log_id)
        gateway.logs.edit(log_id, account_id=ACCOUNT, gateway_id=name, feedback=feedback)
    dataset = gateway.datasets.create(
        name, account_id=ACCOUNT, name="cheap", enable=True, filters=[{"key": "cost", "operator": "lt", "value": [1]}]
    )
    kinds = [kind.id for kind in gateway.evaluation_types.list(account_id=ACCOUNT)]
    evaluation = gateway.evaluations.create(
        name, account_id=ACCOUNT, name="e", dataset_ids=[dataset.id], evaluation_type_ids=kinds
    )
    assert evaluation.datasets[0].name == "cheap" and not evaluation.processed
    deadline = time.monotonic() + 10
    while not (done := gateway.evaluations.get(evaluation.id, account_id=ACCOUNT, gateway_id=name)).processed:
        assert time.monotonic() < deadline, done
        time.sleep(0.02)
    results = {result.evaluation_type_id: result for result in done.results}
    assert done.total_logs == 2 and results["human_feedback"].result == "50"
    assert results["speed"].status == 1 and float(results["cost"].result) > 0
    assert [one.id for one in gateway.evaluations.list(name, account_id=ACCOUNT, processed=True)] == [done.id]
    assert gateway.evaluations.delete(evaluation.id, account_id=ACCOUNT, gateway_id=name).id == evaluation.id


# ---- analytics ------------------------------------------------------------------------------------------------------


def test_a_dashboards_query_is_answered(name):
    call(name)
    logged(name, 1)
    query = """query ($tag: string!, $gateway: string!) { viewer { accounts(filter: {accountTag: $tag}) {
        groups: aiGatewayRequestsAdaptiveGroups(limit: 10, filter: {gateway: $gateway}, orderBy: [count_DESC]) {
            count sum { uncachedTokensIn erroredRequests cost } dimensions { model provider } } } } }"""
    answer = client().post(
        "/graphql", body={"query": query, "variables": {"tag": ACCOUNT, "gateway": name}}, cast_to=object
    )
    [group] = answer["data"]["viewer"]["accounts"][0]["groups"]
    assert group["count"] == 1 and group["sum"]["uncachedTokensIn"] > 0
    assert group["dimensions"] == {"model": "gpt-4.1-mini", "provider": "openai"}
