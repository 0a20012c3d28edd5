//! Ids, addresses and keys as somebody pasted them: what is meant, and what cannot be. Nothing said here repeats a
//! secret.

use genesis_config::{GatewayId, Provider, ProviderPatch, Secret};

/// Where Cloudflare's gateways are.
pub(super) const CLOUDFLARE: &str = "https://gateway.ai.cloudflare.com";

/// What an address says about a gateway.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// Scheme, host and port.
    pub(super) origin: Option<String>,
    pub(super) account: Option<String>,
    pub(super) gateway: Option<String>,
    /// What follows the gateway's id: `anthropic`, `compat`, …
    pub(super) rest: Option<String>,
}

/// Reads an address somebody pasted in the place of an id: a gateway's own (`https://host/v1/<account>/<gateway>/…`),
/// or one of Cloudflare's dashboard or API that names account and gateway. `None` if the text is no address.
pub(super) fn place(text: &str) -> Option<Place> {
    let text = bare(text);
    let (scheme, rest) = text.split_once("://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if host.ends_with("cloudflare.com") && !host.starts_with("gateway.") {
        return Some(Place {
            account: segments.iter().find(|segment| is_account(segment)).map(|id| id.to_ascii_lowercase()),
            gateway: after(&segments, "gateways").map(str::to_owned),
            ..Place::default()
        });
    }
    let ids = segments.strip_prefix(&["v1"]).unwrap_or(&[]);
    Some(Place {
        origin: Some(format!("{}://{host}", scheme.to_ascii_lowercase())),
        account: ids.first().map(|id| (*id).to_owned()),
        gateway: ids.get(1).map(|id| (*id).to_owned()),
        rest: ids.get(2).map(|rest| (*rest).to_owned()),
    })
}

fn after<'t>(segments: &[&'t str], name: &str) -> Option<&'t str> {
    let at = segments.iter().position(|segment| *segment == name)?;
    segments.get(at + 1).copied()
}

/// 32 hex digits.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The account id meant, or why it can be none.
pub(super) fn account(text: &str) -> Result<String, String> {
    let text = bare(text);
    if text.is_empty() {
        return Err("an account id is required".to_owned());
    }
    if text.contains(['<', '>']) {
        return Err("this is a placeholder; the real account id goes in its place".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(format!(
            "an account id has 32 hex digits; this has {}",
            if text.contains(char::is_whitespace) { "a blank in it" } else { "other characters in it" }
        ));
    }
    Ok(if is_account(text) { text.to_ascii_lowercase() } else { text.to_owned() })
}

/// What is odd about an account id of Cloudflare's, though it can be sent.
pub(super) fn odd_account(id: &str) -> Option<String> {
    (!is_account(id)).then(|| {
        format!(
            "`{id}` is no account id of Cloudflare's: those have 32 hex digits, this has {} characters",
            id.chars().count()
        )
    })
}

/// The gateway id meant, or why it can be none.
pub(super) fn gateway(text: &str) -> Result<String, String> {
    let text = bare(text);
    if text.is_empty() {
        return Err("a gateway id is required".to_owned());
    }
    if text.contains(['<', '>']) {
        return Err("this is a placeholder; the real gateway id goes in its place".to_owned());
    }
    GatewayId::parse(text).map(|id| id.as_str().to_owned()).map_err(|error| error.to_string())
}

/// Where a Genesis gateway is: `host:port` or an address. `http` where nothing is said.
pub(super) fn address(text: &str) -> Result<Place, String> {
    let text = bare(text);
    if text.is_empty() {
        return Err("an address is required".to_owned());
    }
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let place = place(&full).ok_or("this is no address")?;
    let origin =
        place.origin.as_deref().ok_or("this is Cloudflare's own address, not a Genesis gateway's")?;
    base_url(origin)?;
    if let Some(id) = &place.gateway {
        gateway(id)?;
    }
    Ok(place)
}

/// Whether an address is one of this machine.
pub(super) fn is_local(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]")
}

/// The address of an API as the file wants it: without the operation that is often pasted along.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let text = bare(text);
    if text.is_empty() {
        return Err("an address is required".to_owned());
    }
    let mut base = text.trim_end_matches('/');
    for operation in ["/chat/completions", "/responses", "/embeddings", "/v1/messages", "/models"] {
        base = base.strip_suffix(operation).unwrap_or(base);
    }
    let patch = ProviderPatch { base_url: Some(base.to_owned()), ..ProviderPatch::default() };
    match Provider::custom("custom", &patch) {
        Ok(_) => Ok(base.to_owned()),
        Err(problems) => {
            Err(problems.first().map_or("this is no address".to_owned(), |problem| problem.message.clone()))
        }
    }
}

/// The name meant for a provider of one's own, or why it can be none.
pub(super) fn provider_id(text: &str) -> Result<String, String> {
    let text = bare(text).to_ascii_lowercase();
    let patch = ProviderPatch { base_url: Some("http://host".to_owned()), ..ProviderPatch::default() };
    match Provider::custom(&text, &patch) {
        Ok(_) => Ok(text),
        Err(_) => Err("a provider's name has 1 to 64 of a-z, 0-9, `-`, `_` and `.`".to_owned()),
    }
}

/// The variable for the key of a provider of one's own: `my-llm` → `MY_LLM_API_KEY`.
pub(super) fn key_variable(provider: &str) -> String {
    let name: String = provider
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    let digit = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{digit}{name}_API_KEY")
}

/// The gateway token meant, or why it can be none.
pub(super) fn token(text: &str) -> Result<Secret, String> {
    let mut text = bare(text);
    if let Some((word, rest)) = text.split_at_checked(6)
        && word.eq_ignore_ascii_case("bearer")
        && !rest.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        text = rest.trim_start_matches([':', ' ']);
    }
    if text.is_empty() {
        return Err("a token is required".to_owned());
    }
    if text.starts_with("${") {
        return Err("this is the name of a variable, not its value".to_owned());
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("the token has a blank or a character in it that no header can carry".to_owned());
    }
    match maker(text) {
        Some(maker) => Err(format!("this is a key of {maker}; a gateway token comes from the gateway")),
        None => Ok(Secret::from(text)),
    }
}

/// Whose key this is, where that can be seen from how it starts.
pub(super) fn maker(key: &str) -> Option<&'static str> {
    let starts = [
        ("sk-ant-", "Anthropic"),
        ("sk-or-", "OpenRouter"),
        ("sk-proj-", "OpenAI"),
        ("AIza", "Google"),
        ("gsk_", "Groq"),
        ("xai-", "xAI"),
    ];
    starts.iter().find(|(start, _)| key.starts_with(start)).map(|(_, maker)| *maker)
}

/// Text without the blanks and quotes that were pasted along with it.
pub(super) fn bare(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
    let inner = pairs.iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    inner.unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

    fn said(origin: &str, account: &str, gateway: &str, rest: &str) -> Place {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Place { origin: some(origin), account: some(account), gateway: some(gateway), rest: some(rest) }
    }

    #[test]
    fn addresses_say_which_gateway_is_meant() {
        for (text, expected) in [
            (
                &*format!("https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/prod/anthropic"),
                said(CLOUDFLARE, ACCOUNT, "prod", "anthropic"),
            ),
            (
                &format!(" \"https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/prod/\" "),
                said(CLOUDFLARE, ACCOUNT, "prod", ""),
            ),
            (&format!("https://gateway.ai.cloudflare.com/v1/{ACCOUNT}"), said(CLOUDFLARE, ACCOUNT, "", "")),
            (
                "http://127.0.0.1:18789/v1/a/b/compat/chat/completions?x=1",
                said("http://127.0.0.1:18789", "a", "b", "compat"),
            ),
            ("http://127.0.0.1:18789", said("http://127.0.0.1:18789", "", "", "")),
            (
                &format!("https://dash.cloudflare.com/{ACCOUNT}/ai/ai-gateway/gateways/prod/settings"),
                said("", ACCOUNT, "prod", ""),
            ),
            (
                &format!("https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai-gateway/gateways/g"),
                said("", ACCOUNT, "g", ""),
            ),
        ] {
            assert_eq!(place(text), Some(expected), "{text}");
        }
        assert_eq!(place(ACCOUNT), None);
        assert_eq!(place("prod"), None);
    }

    #[test]
    fn ids_are_freed_of_what_came_along_and_checked() {
        assert_eq!(account(&format!(" '{}' ", ACCOUNT.to_uppercase())), Ok(ACCOUNT.to_owned()));
        assert_eq!(account("your-account-id"), Ok("your-account-id".to_owned()));
        assert!(odd_account("your-account-id").is_some_and(|text| text.contains("32 hex digits")));
        assert_eq!(odd_account(ACCOUNT), None);
        for wrong in ["", "  ", "\"\"", "<account_id>", "a b", "a/b"] {
            assert!(account(wrong).is_err(), "{wrong}");
        }
        assert_eq!(gateway(" prod\n"), Ok("prod".to_owned()));
        for wrong in ["", "a/b", "<gateway>", "a b", &"x".repeat(65)] {
            assert!(gateway(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_lose_the_operation_pasted_along() {
        for (text, base) in [
            ("https://llm.example/v1/", "https://llm.example/v1"),
            ("https://llm.example/v1/chat/completions", "https://llm.example/v1"),
            ("'http://127.0.0.1:8000'", "http://127.0.0.1:8000"),
            ("https://llm.example/v1/messages", "https://llm.example"),
        ] {
            assert_eq!(base_url(text).as_deref(), Ok(base), "{text}");
        }
        for wrong in
            ["", "llm.example", "ftp://x", "https://", "https://u:p@host", "https://<host>/v1", "https://h?x"]
        {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_genesis_gateway_needs_no_scheme() {
        assert_eq!(address("localhost:18789"), Ok(said("http://localhost:18789", "", "", "")));
        assert_eq!(address("10.0.0.5:80/v1/acme/prod"), Ok(said("http://10.0.0.5:80", "acme", "prod", "")));
        assert!(address("https://dash.cloudflare.com/x").is_err());
        assert!(address("").is_err() && address("a b").is_err());
        assert!(
            is_local("http://localhost:1") && is_local("http://127.0.0.1:1") && !is_local("http://10.0.0.5")
        );
    }

    #[test]
    fn tokens_are_freed_of_what_came_along() {
        use genesis_config::ExposeSecret;
        for text in ["abc", " abc\n", "'abc'", "Bearer abc", "bearer: abc", "\"Bearer abc\""] {
            assert_eq!(token(text).unwrap().expose_secret(), "abc", "{text}");
        }
        for wrong in ["", "Bearer ", "a b", "${CF_AIG_TOKEN}", "sk-ant-api03-x"] {
            assert!(token(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_become_variables() {
        assert_eq!(key_variable("my-llm"), "MY_LLM_API_KEY");
        assert_eq!(key_variable("4u.x"), "_4U_X_API_KEY");
    }
}
