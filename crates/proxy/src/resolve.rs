//! URL → what the client addresses.

use genesis_wire::Dialect;
use http::{HeaderMap, Uri};

use crate::snapshot::{Domain, Snapshot};

/// How a request addresses us. All parts are slices of the raw, percent-encoded path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Surface<'a> {
    /// `/v1/{account}/{gateway}/{provider}/{rest…}`
    Provider {
        account: &'a str,
        gateway: &'a str,
        provider: &'a str,
        rest: &'a str,
    },
    /// One endpoint for every provider, the model in the body as `provider/model`: `…/compat/…`, the REST API, or the
    /// root short forms. `gateway` is `None` where a header names it.
    Unified {
        account: &'a str,
        gateway: Option<&'a str>,
        asks: Asks<'a>,
        manner: Manner,
    },
    /// The models that can be called there; all, or one.
    Models {
        account: &'a str,
        gateway: Option<&'a str>,
        id: Option<&'a str>,
        manner: Manner,
    },
    /// `/v1/{account}/{gateway}`: the universal endpoint.
    Universal {
        account: &'a str,
        gateway: &'a str,
    },
    /// A stream given again.
    Resume(Resume<'a>),
    /// Health, management API, dashboard: answered beside the data plane.
    Aside,
    Unknown,
}

/// `…/run/{id}/resume` below a gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Resume<'a> {
    /// `None` in the form of the Workers binding, which names none.
    pub(crate) account: Option<&'a str>,
    pub(crate) gateway: &'a str,
    pub(crate) id: &'a str,
}

/// What the body of a call of the unified API is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asks<'a> {
    /// A request in this dialect, to be answered.
    Answer(Dialect),
    /// An Anthropic Messages request whose tokens are to be counted.
    TokenCount,
    /// `{model, input}`, or the input of the model in the path. The answer goes into Cloudflare's envelope.
    Run(Option<&'a str>),
    /// `{model, input, provider}`. The answer goes into the envelope of Cloudflare's Run API.
    RunPreview,
}

/// How the gateway's own errors are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Manner {
    /// Cloudflare's data-plane envelope, where `error` is a list.
    #[default]
    Gateway,
    /// The same, but `error` is what an SDK of this dialect reads, and the list is called `errors`, as on Cloudflare's
    /// REST API. For paths Cloudflare's gateway does not have.
    Client(Dialect),
}

/// By its path, or at a custom domain, where the host stands for account and gateway.
pub(crate) fn addressed<'a>(snapshot: &'a Snapshot, uri: &'a Uri, headers: &HeaderMap) -> Surface<'a> {
    match snapshot.domain(uri, headers) {
        Some(domain) => at_domain(domain, uri.path()),
        None => surface(uri.path()),
    }
}

/// `/{provider}/…`, `/compat/…` and `/run`. Whoever knows a custom domain is to know nothing but the gateway behind it, so there is
/// no management API, no other gateway and no metrics; that the process is alive is what load balancers ask.
fn at_domain<'a>(domain: &'a Domain, path: &'a str) -> Surface<'a> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    match below_gateway(&domain.account, &domain.gateway, rest) {
        _ if rest == "healthz" => Surface::Aside,
        Surface::Universal { .. } => Surface::Unknown,
        surface => surface,
    }
}

fn surface(path: &str) -> Surface<'_> {
    let Some(rest) = path.strip_prefix("/v1/") else {
        if let Some(surface) = rest_api(path).or_else(|| resume_beside(path)) {
            return surface;
        }
        return match first_segment(path) {
            "healthz" | "readyz" | "health" | "metrics" | "client" | "dashboard" | "" => Surface::Aside,
            _ => Surface::Unknown,
        };
    };
    if let Some(surface) = endpoint(rest, ROOT_ACCOUNT, Some("default"), true) {
        return surface;
    }
    let (account, rest) = split(rest);
    let (gateway, rest) = split(rest);
    if account.is_empty() || gateway.is_empty() {
        return Surface::Unknown;
    }
    below_gateway(account, gateway, rest)
}

/// `{provider}/{rest…}`, `compat/…`, or nothing: the universal endpoint
fn below_gateway<'a>(account: &'a str, gateway: &'a str, path: &'a str) -> Surface<'a> {
    let (provider, rest) = split(path);
    if provider.is_empty() {
        return Surface::Universal { account, gateway };
    }
    if provider == "compat" {
        let endpoint_of = rest.strip_prefix("v1/").unwrap_or(rest);
        return endpoint(endpoint_of, account, Some(gateway), false).unwrap_or(Surface::Unknown);
    }
    if provider == "run" {
        if rest.is_empty() {
            let (gateway, asks, manner) = (Some(gateway), Asks::RunPreview, Manner::Gateway);
            return Surface::Unified { account, gateway, asks, manner };
        }
        if let Some(id) = resumed(rest) {
            return Surface::Resume(Resume { account: Some(account), gateway, id });
        }
    }
    Surface::Provider { account, gateway, provider, rest }
}

/// The id in what follows `run/`.
fn resumed(rest: &str) -> Option<&str> {
    rest.strip_suffix("/resume").filter(|id| !id.is_empty() && !id.contains('/'))
}

/// `/client/v4/accounts/{account}/ai-gateway/gateways/{gateway}/run/{id}/resume`, and the same from `/ai-gateway` on
fn resume_beside(path: &str) -> Option<Surface<'_>> {
    let (account, rest) = match path.strip_prefix("/client/v4/accounts/") {
        Some(rest) => rest.split_once('/').map(|(account, rest)| (Some(account), rest))?,
        None => (None, path.strip_prefix('/')?),
    };
    let (gateway, rest) = rest.strip_prefix("ai-gateway/gateways/")?.split_once("/run/")?;
    Some(Surface::Resume(Resume { account, gateway, id: resumed(rest)? }))
}

/// The account of requests whose URL names none.
pub(crate) const ROOT_ACCOUNT: &str = "default";

/// `/client/v4/accounts/{account}/ai/v1/…` and `…/ai/run`
fn rest_api(path: &str) -> Option<Surface<'_>> {
    let (account, rest) = path.strip_prefix("/client/v4/accounts/")?.split_once('/')?;
    if let Some(model) = rest.strip_prefix("ai/run") {
        let model = model.strip_prefix('/').filter(|model| !model.is_empty());
        if model.is_none() && rest.trim_end_matches('/') != "ai/run" {
            return None;
        }
        let manner = Manner::Client(Dialect::OpenAiChat);
        return Some(Surface::Unified { account, gateway: None, asks: Asks::Run(model), manner });
    }
    endpoint(rest.strip_prefix("ai/v1/")?, account, None, true)
}

/// What a path below `compat` asks for.
pub(crate) fn unified_asks(path: &str) -> Option<Asks<'_>> {
    match endpoint(path.strip_prefix("v1/").unwrap_or(path), "", None, false)? {
        Surface::Unified { asks, .. } => Some(asks),
        _ => None,
    }
}

/// What a path after the surface's own prefix asks for. `for_sdks`: its errors are told in the caller's dialect.
fn endpoint<'a>(
    path: &'a str,
    account: &'a str,
    gateway: Option<&'a str>,
    for_sdks: bool,
) -> Option<Surface<'a>> {
    let manner = |dialect| if for_sdks { Manner::Client(dialect) } else { Manner::Gateway };
    let (asks, dialect) = match path {
        "chat/completions" => (Asks::Answer(Dialect::OpenAiChat), Dialect::OpenAiChat),
        "responses" => (Asks::Answer(Dialect::OpenAiResponses), Dialect::OpenAiResponses),
        "embeddings" => (Asks::Answer(Dialect::OpenAiEmbeddings), Dialect::OpenAiEmbeddings),
        "messages" => (Asks::Answer(Dialect::AnthropicMessages), Dialect::AnthropicMessages),
        "messages/count_tokens" => (Asks::TokenCount, Dialect::AnthropicMessages),
        path => {
            let id = path.strip_prefix("models").filter(|id| id.is_empty() || id.starts_with('/'))?;
            let id = id.strip_prefix('/').filter(|id| !id.is_empty());
            return Some(Surface::Models { account, gateway, id, manner: manner(Dialect::OpenAiChat) });
        }
    };
    Some(Surface::Unified { account, gateway, asks, manner: manner(dialect) })
}

fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

fn first_segment(path: &str) -> &str {
    split(path.trim_start_matches('/')).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_domain_has_providers_and_compat_and_nothing_else() {
        let domain = Domain { account: "acct".to_owned(), gateway: "gw".to_owned() };
        let at = |path| at_domain(&domain, path);
        let (account, gateway) = ("acct", "gw");
        assert_eq!(
            at("/openai/v1/chat/completions"),
            Surface::Provider { account, gateway, provider: "openai", rest: "v1/chat/completions" }
        );
        let asks = Asks::Answer(Dialect::OpenAiChat);
        let manner = Manner::Gateway;
        for path in ["/compat/chat/completions", "/compat/v1/chat/completions"] {
            assert_eq!(at(path), Surface::Unified { account, gateway: Some(gateway), asks, manner });
        }
        assert_eq!(
            at("/compat/models"),
            Surface::Models { account, gateway: Some(gateway), id: None, manner }
        );
        assert_eq!(at("/healthz"), Surface::Aside);
        for path in ["/", "", "//", "/compat", "/compat/nonsense"] {
            assert_eq!(at(path), Surface::Unknown, "{path}");
        }
        for path in ["/client/v4/accounts", "/metrics", "/dashboard", "/readyz", "/v1/acct/other/openai/x"] {
            assert!(matches!(at(path), Surface::Provider { gateway: "gw", .. }), "{path}");
        }
    }

    #[test]
    fn urls_name_their_surface() {
        assert_eq!(
            surface("/v1/acct/gw/anthropic/v1/messages"),
            Surface::Provider { account: "acct", gateway: "gw", provider: "anthropic", rest: "v1/messages" }
        );
        assert_eq!(
            surface("/v1/acct/gw/openai"),
            Surface::Provider { account: "acct", gateway: "gw", provider: "openai", rest: "" }
        );
        assert_eq!(
            surface("/v1/acct/gw/openai/a%2Fb//c/"),
            Surface::Provider { account: "acct", gateway: "gw", provider: "openai", rest: "a%2Fb//c/" }
        );
        assert_eq!(surface("/v1/acct/gw/"), Surface::Universal { account: "acct", gateway: "gw" });
        assert_eq!(surface("/v1/acct"), Surface::Unknown);
        assert_eq!(surface("/v1//gw/openai"), Surface::Unknown);
        let sdk = Manner::Client(Dialect::OpenAiChat);
        let asks = Asks::Answer(Dialect::OpenAiChat);
        let chat = |account, gateway, manner| Surface::Unified { account, gateway, asks, manner };
        assert_eq!(surface("/v1/acct/gw/compat/chat/completions"), chat("acct", Some("gw"), Manner::Gateway));
        assert_eq!(
            surface("/v1/acct/gw/compat/v1/chat/completions"),
            chat("acct", Some("gw"), Manner::Gateway)
        );
        assert_eq!(surface("/v1/chat/completions"), chat("default", Some("default"), sdk));
        let rest = "/client/v4/accounts/acct/ai";
        assert_eq!(surface(&format!("{rest}/v1/chat/completions")), chat("acct", None, sdk));
        let run = |asks| Surface::Unified { account: "acct", gateway: None, asks, manner: sdk };
        assert_eq!(surface(&format!("{rest}/run")), run(Asks::Run(None)));
        assert_eq!(surface(&format!("{rest}/run/@cf/meta/llama")), run(Asks::Run(Some("@cf/meta/llama"))));
        assert_eq!(surface(&format!("{rest}/runs")), Surface::Aside);
        assert!(matches!(
            surface("/v1/messages/count_tokens"),
            Surface::Unified { asks: Asks::TokenCount, gateway: Some("default"), .. }
        ));
        let (manner, gateway) = (Manner::Gateway, Some("gw"));
        let model = Surface::Models { account: "acct", gateway, id: Some("openai/gpt-5"), manner };
        assert_eq!(surface("/v1/acct/gw/compat/models/openai/gpt-5"), model);
        assert_eq!(surface("/v1/acct/gw/compat/nonsense"), Surface::Unknown);
        let (asks, manner) = (Asks::RunPreview, Manner::Gateway);
        let preview = Surface::Unified { account: "acct", gateway: Some("gw"), asks, manner };
        assert!(surface("/v1/acct/gw/run") == preview && surface("/v1/acct/gw/run/") == preview);
        for (account, path) in [
            (Some("acct"), "/v1/acct/gw/run/x/resume"),
            (Some("acct"), "/client/v4/accounts/acct/ai-gateway/gateways/gw/run/x/resume"),
            (None, "/ai-gateway/gateways/gw/run/x/resume"),
        ] {
            let resume = Resume { account, gateway: "gw", id: "x" };
            assert_eq!(surface(path), Surface::Resume(resume), "{path}");
        }
        for path in ["/v1/acct/gw/run/x", "/v1/acct/gw/run/x/y/resume", "/v1/acct/gw/run/resume"] {
            assert!(matches!(surface(path), Surface::Provider { provider: "run", .. }), "{path}");
        }
        assert_eq!(surface("/ai-gateway/gateways/gw/run/x"), Surface::Unknown);
        assert_eq!(surface("/healthz"), Surface::Aside);
        assert_eq!(surface("/client/v4/accounts/a/ai-gateway/gateways"), Surface::Aside);
        assert_eq!(surface("/favicon.ico"), Surface::Unknown);
    }
}
