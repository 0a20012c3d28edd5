//! The management API as a table: what routes requests also describes them.

use http::{Method, Response};
use serde_json::json;

use crate::access::Right;
use crate::call::{Call, moment};
use crate::envelope::{Body, Refusal, json_body, one, result_with};
use crate::logs::{self, item};
use crate::policies::simulate;
use crate::query::{PAGE, PER_PAGE_50, PER_PAGE_100};
use crate::shape::{Param, Shape, param};
use crate::{
    analytics, billing, custom_domains, custom_providers, evaluations, gateways, graphql, openapi, policies,
    provider_configs, routes, tail,
};

/// One operation.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// Names in braces are parts of the path.
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    pub(crate) right: Right,
    pub(crate) query: &'static [Param],
    pub(crate) body: Option<Shape>,
    pub(crate) answer: Answer,
    pub(crate) run: fn(&Call<'_>) -> Result<Response<Body>, Refusal>,
}

/// What an endpoint answers when all is well.
pub(crate) enum Answer {
    /// In the usual envelope.
    One(Shape),
    /// A page of these in the usual envelope.
    Page(Shape),
    /// A page of these under `data`, by this name.
    Data(&'static str, Shape),
    /// In the usual envelope, where `success` says whether all of it was done.
    Partly(Shape),
    /// An object without `result`, with these fields beside `success`.
    Beside(&'static str, Shape),
    /// Another media type, or JSON in no envelope.
    Raw(&'static str),
}

impl Endpoint {
    /// Whether a token limited to some gateways may call it. Lists of gateways narrow themselves.
    pub(crate) fn in_scope(&self, call: &Call<'_>) -> bool {
        if self.right == Right::None || call.caller.reaches_all() {
            return true;
        }
        if self.path.contains("{gateway}") {
            return call.caller.reaches(call.param("gateway"));
        }
        matches!(self.path, GATEWAYS | VERIFY | ACCOUNT_VERIFY | GRAPHQL)
    }
}

const VERIFY: &str = "/client/v4/user/tokens/verify";
const ACCOUNT_VERIFY: &str = "/client/v4/accounts/{account}/tokens/verify";
const GRAPHQL: &str = "/client/v4/graphql";
const GATEWAYS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways";
const GATEWAY: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}";
const CACHE: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/cache";
const URL: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/url/{provider}";
const CONFIGS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/provider_configs";
const CONFIG: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/provider_configs/{id}";
const CUSTOMS: &str = "/client/v4/accounts/{account}/ai-gateway/custom-providers";
const CUSTOM: &str = "/client/v4/accounts/{account}/ai-gateway/custom-providers/{id}";
const ROUTES: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/routes";
const ROUTE: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/routes/{id}";
const VERSIONS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/routes/{id}/versions";
const VERSION: &str =
    "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/routes/{id}/versions/{version}";
const DEPLOYMENTS: &str =
    "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/routes/{id}/deployments";
const POLICIES: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/policies";
const POLICY: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/policies/{id}";
const COMMIT: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/policies/commit";
const SIMULATE: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/policies/simulate";
const DOMAINS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/custom-domains";
const DOMAIN: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/custom-domains/{hostname}";
const LOGS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/logs";
const TAIL: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/logs/tail";
const LOG: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/logs/{id}";
const REQUEST: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/logs/{id}/request";
const RESPONSE: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/logs/{id}/response";
const ANALYTICS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/analytics";
const BALANCE: &str = "/client/v4/accounts/{account}/ai-gateway/billing/credit-balance";
const INVOICES: &str = "/client/v4/accounts/{account}/ai-gateway/billing/invoice-history";
const PREVIEW: &str = "/client/v4/accounts/{account}/ai-gateway/billing/invoice-preview";
const HISTORY: &str = "/client/v4/accounts/{account}/ai-gateway/billing/usage-history";
const TOPUP: &str = "/client/v4/accounts/{account}/ai-gateway/billing/topup";
const TOPUP_STATUS: &str = "/client/v4/accounts/{account}/ai-gateway/billing/topup/status";
const TOPUP_CONFIG: &str = "/client/v4/accounts/{account}/ai-gateway/billing/topup/config";
const LIMIT: &str = "/client/v4/accounts/{account}/ai-gateway/billing/spending-limit";
const TYPES: &str = "/client/v4/accounts/{account}/ai-gateway/evaluation-types";
const DATASETS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/datasets";
const DATASET: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/datasets/{id}";
const EVALUATIONS: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/evaluations";
const EVALUATION: &str = "/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/evaluations/{id}";

const SEARCH: Param = param("search", Shape::Prose(256), "Part of the name or id, in either case");
const ENABLE: Param = param("enable", Shape::Flag, "Only enabled ones, or only others");
const NAME: Param = param("name", Shape::Prose(256), "Exactly this name");
const ORDER: Param = param("order_by", Shape::Prose(64), "`name ASC` or `name DESC`");
const TYPE_ORDER: Param =
    param("order_by", Shape::OneOf(&["id", "name", "type", "description"]), "Default: id");
const DIRECTION: Param = param("order_by_direction", Shape::OneOf(&["asc", "desc"]), "Default: asc");
const PROCESSED: Param = param("processed", Shape::Flag, "Only processed ones, or only others");
const GATEWAY_SHOWN: Shape = Shape::Described(gateways::schema);
const EMPTY: Shape = Shape::Map(&Shape::Anything);
const TOKEN_SHOWN: Shape = Shape::Map(&Shape::Anything);

use Answer::{Beside, Data, One, Page, Partly, Raw};
use Right::{Edit, None as Nobody, Read};

type Run = fn(&Call<'_>) -> Result<Response<Body>, Refusal>;

const fn get(
    path: &'static str,
    about: &'static str,
    query: &'static [Param],
    answer: Answer,
    run: Run,
) -> Endpoint {
    Endpoint { method: Method::GET, path, about, right: Read, query, body: None, answer, run }
}

const fn change(
    method: Method,
    path: &'static str,
    about: &'static str,
    body: Option<Shape>,
    answer: Answer,
    run: Run,
) -> Endpoint {
    Endpoint { method, path, about, right: Edit, query: &[], body, answer, run }
}

#[rustfmt::skip] // one line each: a table
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    Endpoint { method: Method::GET, path: "/client/v4/openapi.json", about: "This description", right: Nobody, query: &[], body: None, answer: Raw("application/json"), run: description },
    get(VERIFY, "Whether the token is good", &[], One(TOKEN_SHOWN), verify),
    get(ACCOUNT_VERIFY, "Whether the token is good", &[], One(TOKEN_SHOWN), verify),
    // Gateways
    get(GATEWAYS, "List gateways", &[PAGE, PER_PAGE_50, SEARCH], Page(GATEWAY_SHOWN), gateways::list),
    change(Method::POST, GATEWAYS, "Create a gateway", Some(gateways::CREATED), One(GATEWAY_SHOWN), gateways::create),
    get(GATEWAY, "Get a gateway", &[], One(GATEWAY_SHOWN), gateways::get),
    change(Method::PUT, GATEWAY, "Replace a gateway's settings", Some(gateways::REPLACED), One(GATEWAY_SHOWN), gateways::replace),
    change(Method::DELETE, GATEWAY, "Delete a gateway with its log", None, One(GATEWAY_SHOWN), gateways::delete),
    change(Method::DELETE, CACHE, "Remove the gateway's cached answers", None, Beside("removed", Shape::Whole(0, i64::MAX)), gateways::purge),
    get(URL, "Where a provider is reached through the gateway", &[], One(Shape::Text(2048)), gateways::url),
    // Provider configs
    get(CONFIGS, "List stored provider keys", &[PAGE, PER_PAGE_100], Page(provider_configs::SHOWN), provider_configs::list),
    change(Method::POST, CONFIGS, "Store a provider key", Some(provider_configs::CREATED), One(provider_configs::SHOWN), provider_configs::create),
    get(CONFIG, "Get a stored provider key's description", &[], One(provider_configs::SHOWN), provider_configs::get),
    change(Method::PUT, CONFIG, "Change a stored provider key", Some(provider_configs::CHANGED), One(provider_configs::SHOWN), provider_configs::change),
    change(Method::PATCH, CONFIG, "Change a stored provider key", Some(provider_configs::CHANGED), One(provider_configs::SHOWN), provider_configs::change),
    change(Method::DELETE, CONFIG, "Delete a stored provider key", None, One(provider_configs::SHOWN), provider_configs::delete),
    // Custom providers
    get(CUSTOMS, "List custom providers", &[PAGE, PER_PAGE_100, ENABLE, BETA, SEARCH, ORDER], Page(custom_providers::SHOWN), custom_providers::list),
    change(Method::POST, CUSTOMS, "Create a custom provider", Some(custom_providers::CREATED), One(custom_providers::SHOWN), custom_providers::create),
    get(CUSTOM, "Get a custom provider", &[], One(custom_providers::SHOWN), custom_providers::get),
    change(Method::PATCH, CUSTOM, "Change a custom provider", Some(custom_providers::CHANGED), One(custom_providers::SHOWN), custom_providers::change),
    change(Method::DELETE, CUSTOM, "Delete a custom provider", None, One(custom_providers::SHOWN), custom_providers::delete),
    // Dynamic routes
    get(ROUTES, "List dynamic routes", &[PAGE, PER_PAGE_100], Data("routes", routes::SHOWN), routes::list),
    change(Method::POST, ROUTES, "Create a dynamic route and deploy it", Some(routes::CREATED), One(routes::SHOWN), routes::create),
    get(ROUTE, "Get a dynamic route", &[], One(routes::SHOWN), routes::get),
    change(Method::PATCH, ROUTE, "Rename a dynamic route", Some(routes::RENAMED), Beside("route", routes::SHOWN), routes::rename),
    change(Method::DELETE, ROUTE, "Delete a dynamic route", None, One(routes::SHOWN), routes::delete),
    get(VERSIONS, "List a route's versions, newest first", &[PAGE, PER_PAGE_100], Data("versions", routes::VERSION), routes::versions),
    change(Method::POST, VERSIONS, "Save a version, to be deployed later", Some(routes::SAVED), One(routes::SHOWN), routes::save),
    get(VERSION, "Get a version of a route", &[], One(routes::SHOWN), routes::version),
    get(DEPLOYMENTS, "List a route's deployments, newest first", &[PAGE, PER_PAGE_100], Data("deployments", routes::DEPLOYMENT), routes::deployments),
    change(Method::POST, DEPLOYMENTS, "Make a version serve", Some(routes::DEPLOYED), One(routes::SHOWN), routes::deploy),
    // Policies
    get(POLICIES, "List policies", &[policies::STAGING], One(Shape::List(&policies::SHOWN)), policies::list),
    Endpoint { method: Method::POST, path: POLICIES, about: "Create a policy, or a draft of it", right: Edit, query: &[policies::COMMIT], body: Some(policies::CREATED), answer: One(policies::SHOWN), run: policies::create },
    change(Method::POST, COMMIT, "Put all drafts in force", None, Partly(policies::COMMITTED), policies::commit),
    Endpoint { method: Method::POST, path: SIMULATE, about: "What policies and drafts say about a request", right: Read, query: &[], body: Some(simulate::ASKED), answer: One(simulate::ANSWERED), run: simulate::simulate },
    get(POLICY, "Get a policy, or its draft", &[policies::STAGING], One(policies::SHOWN), policies::get),
    Endpoint { method: Method::PUT, path: POLICY, about: "Change fields of a policy, or draft the change", right: Edit, query: &[policies::COMMIT], body: Some(policies::CHANGED), answer: Beside("committed", Shape::Flag), run: policies::change },
    change(Method::DELETE, POLICY, "Delete a policy with its draft", None, One(policies::SHOWN), policies::delete),
    // Custom domains
    get(DOMAINS, "List custom domains", &[PAGE, PER_PAGE_100], Page(custom_domains::SHOWN), custom_domains::list),
    change(Method::POST, DOMAINS, "Make a host name stand for the gateway", Some(custom_domains::CREATED), One(custom_domains::SHOWN), custom_domains::create),
    get(DOMAIN, "Get a custom domain", &[], One(custom_domains::SHOWN), custom_domains::get),
    change(Method::DELETE, DOMAIN, "Delete a custom domain", None, One(custom_domains::SHOWN), custom_domains::delete),
    // The log. `tail` stands before `{id}`, which it would fit too.
    get(LOGS, "List logs", logs::LIST_QUERY, Page(item::SHOWN), logs::list),
    Endpoint { method: Method::DELETE, path: LOGS, about: "Delete logs", right: Edit, query: logs::DELETE_QUERY, body: None, answer: Beside("deleted", Shape::Whole(0, i64::MAX)), run: logs::delete },
    get(TAIL, "Exchanges as they happen, as server-sent events", tail::QUERY, Raw("text/event-stream"), tail::listen),
    get(LOG, "Get a log", &[], One(item::SHOWN), logs::get),
    change(Method::PATCH, LOG, "Note feedback, a score or metadata", Some(logs::NOTE), One(Shape::Map(&Shape::Anything)), logs::note),
    get(REQUEST, "The request's body", &[], Raw("*/*"), logs::request),
    get(RESPONSE, "The response's body", &[], Raw("*/*"), logs::response),
    // Analytics
    get(ANALYTICS, "Sums and percentiles", analytics::QUERY, One(analytics::SHOWN), analytics::get),
    Endpoint { method: Method::POST, path: GRAPHQL, about: "Analytics as GraphQL", right: Read, query: &[], body: Some(graphql::ASKED), answer: Raw("application/json"), run: graphql::ask },
    // Billing
    get(BALANCE, "The balance of credits, which is 0", &[], One(billing::BALANCE_SHOWN), billing::balance),
    get(INVOICES, "List invoices; there are none", &[billing::INVOICES], One(billing::INVOICES_SHOWN), billing::invoices),
    get(PREVIEW, "The next invoice, which is over nothing", &[], One(billing::PREVIEW_SHOWN), billing::preview),
    get(HISTORY, "What calls cost with their providers, in cents", billing::HISTORY, One(billing::HISTORY_SHOWN), billing::history),
    change(Method::POST, TOPUP, "Buy credits; always refused", Some(billing::TOPUP), One(EMPTY), billing::refuse_topup),
    change(Method::POST, TOPUP_STATUS, "How a payment stands; there is none", Some(billing::TOPUP_STATUS), One(EMPTY), billing::no_payment),
    get(TOPUP_CONFIG, "When credits are bought, which is never", &[], One(billing::TOPUP_CONFIG_SHOWN), billing::topup_config),
    change(Method::POST, TOPUP_CONFIG, "Buy credits from time to time; always refused", Some(billing::TOPUP_CONFIG), One(EMPTY), billing::refuse_topup),
    change(Method::DELETE, TOPUP_CONFIG, "Buy no credits", None, One(EMPTY), billing::nothing),
    get(LIMIT, "The account's spending limit; there is none", &[], One(billing::LIMIT_SHOWN), billing::limit),
    change(Method::POST, LIMIT, "Limit spending; always refused, as on Cloudflare", Some(billing::LIMIT), One(EMPTY), billing::refuse_limit),
    change(Method::DELETE, LIMIT, "Do not limit spending", None, One(EMPTY), billing::nothing),
    // Evaluations
    get(TYPES, "List evaluation types", &[PAGE, PER_PAGE_100, TYPE_ORDER, DIRECTION], Page(evaluations::TYPE_SHOWN), evaluations::types),
    get(DATASETS, "List datasets", &[PAGE, PER_PAGE_100, ENABLE, NAME, SEARCH], Page(evaluations::DATASET_SHOWN), evaluations::datasets),
    change(Method::POST, DATASETS, "Create a dataset", Some(evaluations::DATASET), One(evaluations::DATASET_SHOWN), evaluations::create_dataset),
    get(DATASET, "Get a dataset", &[], One(evaluations::DATASET_SHOWN), evaluations::dataset),
    change(Method::PUT, DATASET, "Replace a dataset", Some(evaluations::DATASET), One(evaluations::DATASET_SHOWN), evaluations::replace_dataset),
    change(Method::DELETE, DATASET, "Delete a dataset", None, One(evaluations::DATASET_SHOWN), evaluations::delete_dataset),
    get(EVALUATIONS, "List evaluations", &[PAGE, PER_PAGE_100, NAME, PROCESSED, SEARCH], Page(evaluations::EVALUATION_SHOWN), evaluations::evaluations),
    change(Method::POST, EVALUATIONS, "Create an evaluation, which is processed at once", Some(evaluations::EVALUATION), One(evaluations::EVALUATION_SHOWN), evaluations::create_evaluation),
    get(EVALUATION, "Get an evaluation", &[], One(evaluations::EVALUATION_SHOWN), evaluations::evaluation),
    change(Method::DELETE, EVALUATION, "Delete an evaluation", None, One(evaluations::EVALUATION_SHOWN), evaluations::delete_evaluation),
];

const BETA: Param = param("beta", Shape::Flag, "Only those in beta, or only others");

fn description(_: &Call<'_>) -> Result<Response<Body>, Refusal> {
    Ok(json_body(http::StatusCode::OK, &openapi()))
}

/// What Cloudflare's own tools ask before anything else.
fn verify(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let Some(token) = &call.caller.token else {
        return Ok(one(json!({ "id": "none", "status": "active" })));
    };
    let mut result = json!({ "id": token.id, "status": "active" });
    if let Some(end) = token.expires_at_ms {
        result["expires_on"] = moment(end).into();
    }
    let valid = json!([{ "code": 10000, "message": "This API Token is valid and active", "type": null }]);
    Ok(result_with(result, serde_json::Map::from_iter([("messages".to_owned(), valid)])))
}
