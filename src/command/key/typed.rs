//! A provider key as somebody typed, pasted or piped it: read, freed of what came with it, checked for its shape.
//! Whatever is wrong is said without showing any of it.

use std::io::{IsTerminal, Read};

use genesis_config::{Auth, ExposeSecret, Provider, Secret};
use serde_json::Value;

use crate::printer::Failed;

/// More than any key; service accounts take about 2 KiB.
const LONGEST: u64 = 64 * 1024;

/// Reads the key for `provider`: from standard input if something is piped in, else hidden at a prompt.
pub(super) fn read(provider: &Provider) -> Result<Secret, Failed> {
    let text = if std::io::stdin().is_terminal() {
        let prompt = format!("Key for {} (hidden): ", provider.name);
        rpassword::prompt_password(prompt)
            .map_err(|error| Failed::new(format!("the key could not be read: {error}")).hint(PIPE))?
    } else {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST {
            return Err(Failed::new("what was piped in is too long to be a key").hint(PIPE));
        }
        String::from_utf8(bytes).map_err(|_| Failed::new("what was piped in is no text").hint(PIPE))?
    };
    accept(Secret::from(text).expose_secret(), provider)
}

/// The key in what was typed or pasted, or why there is none.
pub(in crate::command) fn accept(text: &str, provider: &Provider) -> Result<Secret, Failed> {
    let key = bare(text);
    check(key, provider)?;
    Ok(Secret::from(key))
}

const PIPE: &str =
    "pipe in the key alone, such as `genesis key set openai < key.txt`, or paste it at the prompt";

/// The key without what is often pasted along with it: blanks, quotes, `export NAME=…;`, `Bearer `.
fn bare(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    let text = assigned(text).unwrap_or(text);
    let text = unquoted(text);
    text.strip_prefix("Bearer ").unwrap_or(text).trim()
}

/// `value` of `export NAME=value;` and of `LIKE_THIS=value`.
fn assigned(text: &str) -> Option<&str> {
    let exported = ["export ", "set ", "$env:"].iter().find_map(|word| text.strip_prefix(word));
    let (name, value) = exported.unwrap_or(text).split_once('=')?;
    let name = name.trim();
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // A key may hold `=` itself; a variable for one is written in capitals with an underscore.
    let usual = name.contains('_') && !name.chars().any(|c| c.is_ascii_lowercase());
    (named && (exported.is_some() || usual)).then(|| value.trim().trim_end_matches(';').trim_end())
}

fn unquoted(text: &str) -> &str {
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
    let inner = pairs.iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    inner.unwrap_or(text).trim()
}

fn check(key: &str, provider: &Provider) -> Result<(), Failed> {
    if key.is_empty() {
        return Err(Failed::new("the key is empty; nothing was changed").hint(PIPE));
    }
    if genesis_store::looks_like_token(key) {
        return Err(Failed::new(
            "this is a gateway token: callers present it to the gateway, no provider knows it",
        )
        .hint(format!("a key for {} comes from {} itself", provider.slug, provider.name)));
    }
    if key.starts_with('{') {
        return check_form(key, provider);
    }
    let wrong = |what: &str| Err(Failed::new(format!("the key {what}; nothing was changed")).hint(PIPE));
    if key.starts_with('$') {
        return wrong("is the name of a variable, not its value");
    }
    if key.contains(['\n', '\r']) {
        return wrong("has several lines");
    }
    if key.contains(char::is_whitespace) {
        return wrong("has blanks inside");
    }
    if !key.chars().all(|c| c.is_ascii_graphic()) {
        return wrong("holds characters that no header can carry");
    }
    if matches!(provider.auth, Auth::AwsSigV4) && (key.starts_with("AKIA") || key.starts_with("ASIA")) {
        return Err(Failed::new("this is an AWS access key id, half of a key").hint(AWS_FORM));
    }
    Ok(())
}

const AWS_FORM: &str = "a Bedrock key is an API key, or JSON: {\"accessKeyId\":\"…\",\"secretAccessKey\":\"…\",\
                        \"region\":\"us-east-1\"}, with \"sessionToken\" if there is one";
const GOOGLE_FORM: &str = "a Vertex key is the JSON file of a service account (Google Cloud console, IAM, service \
                           accounts, keys), or a ready access token";

/// Keys that are JSON objects: which fields must be there.
fn check_form(key: &str, provider: &Provider) -> Result<(), Failed> {
    let (needed, optional, form): (&[&str], &[&str], _) = match provider.auth {
        Auth::AwsSigV4 => (&["accessKeyId", "secretAccessKey", "region"], &["sessionToken"], AWS_FORM),
        Auth::GoogleServiceAccount => (&["client_email", "private_key"], &["token_uri"], GOOGLE_FORM),
        Auth::Header { .. } | Auth::None => {
            return Err(Failed::new(format!(
                "this is JSON, but a key for {} is a single word",
                provider.name
            ))
            .hint(PIPE));
        }
    };
    let value: Value = serde_json::from_str(key).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Failed::new(format!("the key starts like JSON but is none ({place})")).hint(form)
    })?;
    let text = |name: &&str| value.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let missing: Vec<_> = needed.iter().filter(|name| text(name).is_none()).copied().collect();
    if !missing.is_empty() {
        return Err(Failed::new(format!("the key has no {}", missing.join(", no "))).hint(form));
    }
    let odd: Vec<_> = optional
        .iter()
        .filter(|name| value.get(name).is_some_and(|field| !field.is_null()) && text(name).is_none())
        .copied()
        .collect();
    if !odd.is_empty() {
        return Err(Failed::new(format!("{} of the key must be text", odd.join(" and "))).hint(form));
    }
    let private_key = text(&"private_key");
    if private_key.is_some_and(|pem| !pem.contains("-----BEGIN")) {
        return Err(Failed::new("private_key of the key is no PEM text").hint(form));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn what_comes_along_with_a_key_is_left_behind() {
        for text in [
            "sk-1=",
            "  sk-1=\r\n",
            "\u{feff}sk-1=\n",
            "\"sk-1=\"",
            "'sk-1=' ",
            "“sk-1=”",
            "export OPENAI_API_KEY=sk-1=",
            "export OPENAI_API_KEY=\"sk-1=\";\n",
            "OPENAI_API_KEY='sk-1='",
            "OPENAI_API_KEY = sk-1=",
            "$env:OPENAI_API_KEY = \"sk-1=\"",
            "set OPENAI_API_KEY=sk-1=",
            "export key=sk-1=",
            "Bearer sk-1=",
        ] {
            assert_eq!(bare(text), "sk-1=", "{text}");
        }
    }

    #[test]
    fn keys_that_hold_odd_characters_stay_whole() {
        for key in ["abc_DEF=", "ABC123==", "a'b", "x;", "{\"a\":\"b=c\"}", "\"", "="] {
            assert_eq!(bare(key), key);
        }
    }
}
