//! Values of the file without the secrets among them.

use serde_json::Value;

use genesis_config::edit::Step;

/// What stands for a secret.
pub(super) const MASK: &str = "***";

/// `value`, which stands at `path`, with every secret in it masked. A `${VAR}` says where a secret is and not what it
/// is, so it is shown.
pub(super) fn masked(path: &[Step], value: Value) -> Value {
    let mut names: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Name(name) => name.clone(),
            Step::Index(_) => "[]".to_owned(),
        })
        .collect();
    below(&mut names, value)
}

/// Whether a mask stands in what somebody wants to write: a copy of what was shown.
pub(super) fn holds_mask(value: &str) -> bool {
    value.contains(MASK)
}

fn below(path: &mut Vec<String>, value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(name, value)| {
                    path.push(name.clone());
                    let value = below(path, value);
                    path.pop();
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(list) => {
            path.push("[]".to_owned());
            let list = list.into_iter().map(|value| below(path, value)).collect();
            path.pop();
            Value::Array(list)
        }
        Value::String(text) if is_secret_place(path) => Value::String(without_secret(&text)),
        Value::String(text) => Value::String(without_password(&text)),
        // A variable may be written as a number; the file would be refused, but it may be asked for before that.
        Value::Number(_) if is_variable(path) => Value::String(MASK.to_owned()),
        other => other,
    }
}

/// Every variable of `env` may hold a key, whatever its name.
fn is_variable(path: &[String]) -> bool {
    path.first().is_some_and(|name| name == "env")
        && !path.iter().any(|name| name == "shellEnv" || name == "cwdDotEnv")
}

fn is_secret_place(path: &[String]) -> bool {
    let name = path.iter().rev().find(|name| *name != "[]");
    is_variable(path) || name.is_some_and(|name| is_secret_name(name))
}

/// Names of fields and headers whose texts are secrets; numbers with such names (`maxTokens`) are none.
fn is_secret_name(name: &str) -> bool {
    let name: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let parts =
        ["apikey", "authorization", "token", "secret", "password", "credential", "cookie", "signature"];
    parts.iter().any(|part| name.contains(part)) || name == "key" || name.ends_with("accesskey")
}

/// The text if all of it but `${VAR}`s and a word such as `Bearer` is empty; else with a mask for the rest.
fn without_secret(text: &str) -> String {
    let (scheme, value) = match text.split_once(' ') {
        Some((scheme, value))
            if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme.trim_end_matches(':'))) =>
        {
            (format!("{scheme} "), value)
        }
        _ => (String::new(), text),
    };
    if without_variables(value).trim().is_empty() { text.to_owned() } else { format!("{scheme}{MASK}") }
}

const SCHEMES: &[&str] = &["Bearer", "Basic", "Key", "Token"];

/// The text without its `${VAR}`s.
pub(super) fn without_variables(text: &str) -> String {
    let mut rest = text;
    let mut left = String::new();
    while let Some(at) = rest.find("${") {
        let Some(length) = rest[at..].find('}') else { break };
        left.push_str(&rest[..at]);
        rest = &rest[at + length + 1..];
    }
    left + rest
}

/// An address without the password in it, be it before the host or in the query.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (address, query) =
        rest.split_once('?').map_or((rest, None), |(address, query)| (address, Some(query)));
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    // A password may hold a slash or a question mark that should have been encoded: the last `@` ends it.
    if let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, password)) = user.split_once(':')
    {
        let shown = if without_variables(password).is_empty() { password } else { MASK };
        return format!("{scheme}://{user}:{shown}@{host}");
    }
    let query = query.map(|query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            // `header_…`: what a logpush destination sends along, whatever it is called.
            Some((name, value))
                if (is_secret_name(name) || name.starts_with("header_"))
                    && !without_variables(value).is_empty() =>
            {
                format!("{name}={MASK}")
            }
            _ => pair.to_owned(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{host}{path}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use genesis_config::edit::Path;
    use serde_json::json;

    use super::*;

    fn shown(path: &str, value: Value) -> Value {
        masked(path.parse::<Path>().unwrap().steps(), value)
    }

    #[test]
    fn secrets_are_masked_wherever_one_asks() {
        let provider = json!({
            "baseUrl": "https://u:pass@host/v1", "apiKey": "sk-1",
            "headers": {"cf-aig-authorization": "Bearer abc", "x-title": "shown", "X-Api-Key": "k"},
            "models": [{"id": "m", "maxTokens": 5}], "env": ["MY_KEY"],
            "authHeader": {"name": "x-api-key", "prefix": "Key "},
        });
        let expected = json!({
            "baseUrl": "https://u:***@host/v1", "apiKey": "***",
            "headers": {"cf-aig-authorization": "Bearer ***", "x-title": "shown", "X-Api-Key": "***"},
            "models": [{"id": "m", "maxTokens": 5}], "env": ["MY_KEY"],
            "authHeader": {"name": "x-api-key", "prefix": "Key "},
        });
        assert_eq!(shown("models.providers.x", provider), expected);
        for (path, value) in [
            ("models.providers.x.apiKey", "sk"),
            ("env.ANYTHING", "sk"),
            ("env.vars.ANYTHING", "sk"),
            ("gateway.gateways.g.otel[0].authorization", "sk"),
            ("gateway.gateways.g.stripe.authorization", "sk"),
        ] {
            assert_eq!(shown(path, json!(value)), json!(MASK), "{path}");
        }
        assert_eq!(
            shown("env", json!({"shellEnv": {"timeoutMs": 5}, "A": 7})),
            json!({"shellEnv": {"timeoutMs": 5}, "A": "***"})
        );
    }

    #[test]
    fn variables_are_shown_and_what_stands_beside_them_is_not() {
        for (text, expected) in [
            ("${KEY}", "${KEY}"),
            ("Bearer ${KEY}", "Bearer ${KEY}"),
            ("Bearer: ${KEY}", "Bearer: ${KEY}"),
            ("${KEY}abc", "***"),
            ("Bearer abc${KEY}", "Bearer ***"),
            ("abc def", "***"),
        ] {
            assert_eq!(shown("a.apiKey", json!(text)), json!(expected));
        }
    }

    #[test]
    fn passwords_in_addresses_are_masked() {
        for (text, expected) in [
            ("postgres://me:pw@db/x?sslmode=require", "postgres://me:***@db/x?sslmode=require"),
            ("postgres://me:p/w?@db/x", "postgres://me:***@db/x"),
            ("redis://:pw@h:1/0", "redis://:***@h:1/0"),
            ("postgres://me:${PW}@db", "postgres://me:${PW}@db"),
            ("postgres://db/x?user=a&password=pw", "postgres://db/x?user=a&password=***"),
            ("https://h/p?a=b", "https://h/p?a=b"),
            ("sqlite:~/x.db", "sqlite:~/x.db"),
            ("https://h/?header_X-One=pw&tag=a", "https://h/?header_X-One=***&tag=a"),
            (
                "s3://b/p?region=r&access-key-id=id&secret-access-key=pw&session-token=${T}",
                "s3://b/p?region=r&access-key-id=id&secret-access-key=***&session-token=${T}",
            ),
        ] {
            assert_eq!(shown("gateway.store", json!(text)), json!(expected));
        }
    }
}
