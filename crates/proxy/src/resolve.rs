//! URL → what the client addresses.

/// How a request addresses us. All parts are slices of the raw, percent-encoded path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Surface<'a> {
    /// `/v1/{account}/{gateway}/{provider}/{rest…}`
    Provider { account: &'a str, gateway: &'a str, provider: &'a str, rest: &'a str },
    /// `/v1/{account}/{gateway}`: the gateway itself, with nothing after it.
    Gateway { account: &'a str, gateway: &'a str },
    /// Health, management API, dashboard: answered beside the data plane.
    Aside,
    Unknown,
}

pub(crate) fn surface(path: &str) -> Surface<'_> {
    let Some(rest) = path.strip_prefix("/v1/") else {
        return match first_segment(path) {
            "healthz" | "readyz" | "health" | "metrics" | "client" | "dashboard" | "" => Surface::Aside,
            _ => Surface::Unknown,
        };
    };
    let (account, rest) = split(rest);
    let (gateway, rest) = split(rest);
    if account.is_empty() || gateway.is_empty() {
        return Surface::Unknown;
    }
    let (provider, rest) = split(rest);
    if provider.is_empty() {
        return Surface::Gateway { account, gateway };
    }
    Surface::Provider { account, gateway, provider, rest }
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
        assert_eq!(surface("/v1/acct/gw/"), Surface::Gateway { account: "acct", gateway: "gw" });
        assert_eq!(surface("/v1/acct"), Surface::Unknown);
        assert_eq!(surface("/v1//gw/openai"), Surface::Unknown);
        assert_eq!(surface("/healthz"), Surface::Aside);
        assert_eq!(surface("/client/v4/accounts/a/ai-gateway/gateways"), Surface::Aside);
        assert_eq!(surface("/favicon.ico"), Surface::Unknown);
    }
}
