//! URL → what the client addresses.

use genesis_wire::Dialect;

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
        dialect: Dialect,
    },
    /// The models that can be called there; all, or one.
    Models {
        account: &'a str,
        gateway: Option<&'a str>,
        id: Option<&'a str>,
    },
    /// `/v1/{account}/{gateway}`: the universal endpoint.
    Universal {
        account: &'a str,
        gateway: &'a str,
    },
    /// Health, management API, dashboard: answered beside the data plane.
    Aside,
    Unknown,
}

pub(crate) fn surface(path: &str) -> Surface<'_> {
    let Some(rest) = path.strip_prefix("/v1/") else {
        if let Some(surface) = rest_api(path) {
            return surface;
        }
        return match first_segment(path) {
            "healthz" | "readyz" | "health" | "metrics" | "client" | "dashboard" | "" => Surface::Aside,
            _ => Surface::Unknown,
        };
    };
    if let Some(surface) = endpoint(rest, ROOT_ACCOUNT, Some("default")) {
        return surface;
    }
    let (account, rest) = split(rest);
    let (gateway, rest) = split(rest);
    if account.is_empty() || gateway.is_empty() {
        return Surface::Unknown;
    }
    let (provider, rest) = split(rest);
    if provider.is_empty() {
        return Surface::Universal { account, gateway };
    }
    if provider == "compat" {
        let endpoint_of = rest.strip_prefix("v1/").unwrap_or(rest);
        return endpoint(endpoint_of, account, Some(gateway)).unwrap_or(Surface::Unknown);
    }
    Surface::Provider { account, gateway, provider, rest }
}

/// The account of requests whose URL names none.
const ROOT_ACCOUNT: &str = "default";

/// `/client/v4/accounts/{account}/ai/v1/…`
fn rest_api(path: &str) -> Option<Surface<'_>> {
    let (account, rest) = path.strip_prefix("/client/v4/accounts/")?.split_once('/')?;
    endpoint(rest.strip_prefix("ai/v1/")?, account, None)
}

/// The dialect of a path below `compat`.
pub(crate) fn unified_dialect(path: &str) -> Option<Dialect> {
    match endpoint(path.strip_prefix("v1/").unwrap_or(path), "", None)? {
        Surface::Unified { dialect, .. } => Some(dialect),
        _ => None,
    }
}

/// What a path after the surface's own prefix asks for.
fn endpoint<'a>(path: &'a str, account: &'a str, gateway: Option<&'a str>) -> Option<Surface<'a>> {
    let dialect = match path {
        "chat/completions" => Dialect::OpenAiChat,
        "responses" => Dialect::OpenAiResponses,
        "embeddings" => Dialect::OpenAiEmbeddings,
        "messages" => Dialect::AnthropicMessages,
        "models" | "models/" => return Some(Surface::Models { account, gateway, id: None }),
        path => {
            let id = path.strip_prefix("models/")?;
            return Some(Surface::Models { account, gateway, id: Some(id) });
        }
    };
    Some(Surface::Unified { account, gateway, dialect })
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
        let chat = |account, gateway| Surface::Unified { account, gateway, dialect: Dialect::OpenAiChat };
        assert_eq!(surface("/v1/acct/gw/compat/chat/completions"), chat("acct", Some("gw")));
        assert_eq!(surface("/v1/acct/gw/compat/v1/chat/completions"), chat("acct", Some("gw")));
        assert_eq!(surface("/v1/chat/completions"), chat("default", Some("default")));
        assert_eq!(surface("/client/v4/accounts/acct/ai/v1/chat/completions"), chat("acct", None));
        let model = Surface::Models { account: "acct", gateway: Some("gw"), id: Some("openai/gpt-5") };
        assert_eq!(surface("/v1/acct/gw/compat/models/openai/gpt-5"), model);
        assert_eq!(surface("/v1/acct/gw/compat/nonsense"), Surface::Unknown);
        assert_eq!(surface("/healthz"), Surface::Aside);
        assert_eq!(surface("/client/v4/accounts/a/ai-gateway/gateways"), Surface::Aside);
        assert_eq!(surface("/favicon.ico"), Surface::Unknown);
    }
}
