//! `genesis.json` described for editors, as JSON Schema: names, types and a word on each field.
//!
//! The table is kept by hand beside [`crate::file`]; a test asks the reader which fields it knows at every place and
//! compares.

use serde_json::{Map, Value, json};

/// The schema of the whole file (JSON Schema 2020-12). It describes types and names; [`crate::File::parse`] also checks
/// what they cannot say.
pub fn schema() -> Value {
    let mut root = object(
        "Configuration of Genesis, client and gateway",
        [
            ("$schema", text("For editors; not read by the product")),
            ("agents", agents()),
            (
                "models",
                object(
                    "Providers, as you change or add them",
                    [
                        (
                            "mode",
                            words(
                                "Blocks always merge over built-in rows; accepted for files written elsewhere",
                                &["merge"],
                            ),
                        ),
                        (
                            "providers",
                            map(
                                "By slug: what differs from the built-in row, or a provider of your own",
                                provider(),
                            ),
                        ),
                    ],
                ),
            ),
            ("env", env()),
            ("gateway", gateway()),
        ],
    );
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "genesis.json".into();
    root
}

fn agents() -> Value {
    let choice = object(
        "The default model and what is tried when it fails",
        [
            ("primary", text("Reference of a model, `provider/model`")),
            ("fallbacks", list("References, tried in this order", text("Reference of a model"))),
        ],
    );
    let note = object(
        "What you note about a model",
        [
            ("alias", text("A short name for it")),
            ("params", any_object("Request parameters sent with every call to it")),
        ],
    );
    object(
        "What the client commands use",
        [(
            "defaults",
            object(
                "Defaults",
                [
                    (
                        "model",
                        json!({
                            "description": "The default model: a reference, or one with fallbacks",
                            "anyOf": [text("Reference of a model, `provider/model`"), choice],
                        }),
                    ),
                    ("models", map("By reference: models you have picked out", note)),
                ],
            ),
        )],
    )
}

fn provider() -> Value {
    let cost = object(
        "US dollars per million tokens",
        [
            ("input", usd("Input")),
            ("output", usd("Output")),
            ("cacheRead", usd("Input read from the provider's cache")),
            ("cacheWrite", usd("Input written to the provider's cache")),
        ],
    );
    let model = object(
        "A model you describe",
        [
            ("id", text("Its name at the provider")),
            ("name", text("Its name for people")),
            ("reasoning", flag("Whether it reasons before it answers")),
            ("input", list("What it takes", text("`text`, `image`, …"))),
            ("cost", cost),
            ("contextWindow", whole("Tokens, input and output together")),
            ("contextTokens", whole("Tokens to use at most; default contextWindow")),
            ("maxTokens", whole("Output tokens at most")),
        ],
    );
    let mut auth_header = object(
        "The header that carries the key",
        [("name", text("Its name")), ("prefix", text("What stands before the key, such as `Bearer `"))],
    );
    auth_header["required"] = json!(["name"]);
    let dialects = [
        "anthropic-messages",
        "bedrock-converse",
        "cohere-chat",
        "gemini-generate",
        "openai-chat",
        "openai-embeddings",
        "openai-responses",
    ];
    object(
        "A provider; `${VAR}` in texts stands for a variable of the environment",
        [
            ("name", text("Its name for people")),
            ("baseUrl", text("Where it lives; a provider of your own needs it")),
            (
                "baseUrls",
                list("Instead of baseUrl: several addresses, calls are spread over them", text("Address")),
            ),
            (
                "keyAliases",
                list(
                    "Stored keys that share the load of calls which ask for none",
                    text("Alias; `default` too"),
                ),
            ),
            (
                "api",
                words(
                    "The wire format its address speaks",
                    &[
                        "anthropic-messages",
                        "openai-completions",
                        "openai-responses",
                        "google-generative-ai",
                        "bedrock-converse-stream",
                    ],
                ),
            ),
            ("apiKey", secret("Its key, best as `${VAR}`")),
            ("headers", map("Sent with every call", secret("Value of the header"))),
            (
                "providerAuth",
                words(
                    "Whether a provider key is sent: `key` must have one, `stored` never sends one (the gateway behind holds it), `auto` if one is found",
                    &["key", "stored", "auto"],
                ),
            ),
            ("authHeader", auth_header),
            ("dialects", list("Spoken natively, the preferred one first", words("Dialect", &dialects))),
            (
                "env",
                list("Variables that may hold the key, the first one set wins", text("Name of a variable")),
            ),
            ("priceProvider", text("The provider in the price table whose prices apply")),
            ("project", text("Vertex: the project that pays; a service account names its own")),
            ("region", text("Vertex, Bedrock: where the models run; a stored key may name its own")),
            ("resource", text("Azure: the resource, the first part of the host name")),
            ("models", list("Models it has, besides those of the price table", model)),
        ],
    )
}

/// Text, or where it is.
fn secret(description: &str) -> Value {
    let mut reference = object(
        "A variable that holds it, the same as `${VAR}`",
        [
            ("source", words("Where it is", &["env"])),
            ("provider", text("Accepted for files written elsewhere")),
            ("id", text("Name of the variable")),
        ],
    );
    reference["required"] = json!(["source", "id"]);
    json!({ "description": description, "anyOf": [text(description), reference] })
}

fn env() -> Value {
    let mut env = object(
        "Variables kept in the file, and which other sources are read",
        [
            ("vars", map("Variables", text("Value"))),
            (
                "shellEnv",
                object(
                    "Take missing variables from the login shell",
                    [
                        ("enabled", flag("Default false")),
                        ("timeoutMs", whole("Milliseconds it may take; default 15000")),
                    ],
                ),
            ),
            ("cwdDotEnv", flag("Read a `.env` in the working directory; default false")),
        ],
    );
    env["patternProperties"] = json!({ "^[A-Z_][A-Z0-9_]*$": text("A variable") });
    env
}

fn gateway() -> Value {
    let address = "An address and port, such as `127.0.0.1:18789`";
    object(
        "The server",
        [
            ("listen", text(&format!("{address}, which is the default"))),
            (
                "admin",
                object(
                    "Management API and dashboard",
                    [("listen", or_null(text(&format!("{address}; default: the gateway's own"))))],
                ),
            ),
            (
                "store",
                or_null(text(
                    "Where tokens, keys, settings and logs are kept; default `sqlite:~/.genesis/genesis.db`",
                )),
            ),
            ("shared", or_null(text("`redis://…`: cache, limits and budgets shared by several nodes"))),
            ("workers", or_null(whole("Worker threads; default one per core"))),
            ("drainSeconds", whole("How long exchanges may take to finish after a stop signal; default 30")),
            ("accounts", or_null(list("Account ids that are answered; default any", text("Account id")))),
            (
                "domains",
                map("Custom domains: host names that stand for a gateway", {
                    let mut domain = object(
                        "Where calls to this name go",
                        [
                            ("gateway", text("Gateway id")),
                            ("account", or_null(text("Account id; needed where accounts are named"))),
                        ],
                    );
                    domain["required"] = json!(["gateway"]);
                    domain
                }),
            ),
            (
                "cache",
                object(
                    "What the answers kept for repetition may cost; read when the gateway starts",
                    [
                        ("memoryBytes", whole("Memory for answers; 0 keeps none; default 67108864")),
                        (
                            "diskBytes",
                            whole("The database that outlives a restart; 0 keeps none; default 268435456"),
                        ),
                        ("entryBytes", whole("A longer answer is not kept; default 16777216")),
                    ],
                ),
            ),
            (
                "limits",
                object(
                    "What one client may ask of this machine",
                    [
                        ("headerBytes", whole("Request line and headers; default 65536")),
                        ("bodyBytes", whole("A body held in memory; default 104857600")),
                        ("uploadBytes", whole("A body passed on as it arrives; default 1073741824")),
                        ("headerSeconds", whole("From connection to the last header; default 10")),
                        ("connectSeconds", whole("To reach a provider; default 10")),
                        (
                            "firstByteSeconds",
                            whole("From the request sent to the first byte of the answer; default 600"),
                        ),
                        ("idleSeconds", whole("Between two pieces of an answer; default 300")),
                        ("connections", whole("Client connections at one time; default 10000")),
                        (
                            "resumableBytes",
                            whole("Memory for streams that can be resumed; 0 keeps none; default 67108864"),
                        ),
                        ("resumableStreamBytes", whole("A longer stream cannot be resumed; default 8388608")),
                    ],
                ),
            ),
            ("allowPrivate", flag("Let addresses that arrive in requests be private ones; default false")),
            (
                "gateways",
                map("By id: gateways kept in this file, read-only over the API", gateway_settings()),
            ),
            ("routes", map("By name: dynamic routes, called as `dynamic/<name>`", route())),
            ("logpush", list("Where the log is carried", logpush())),
        ],
    )
}

fn logpush() -> Value {
    let mut filter = object(
        "A condition on records; every one must hold",
        [
            ("key", words("The field", crate::logpush::FILTER_KEYS)),
            ("operator", words("The comparison", crate::logpush::OPERATORS)),
            ("value", json!({ "description": "One value or several, of which one must do" })),
        ],
    );
    filter["required"] = json!(["key", "operator", "value"]);
    let batch = object(
        "How much is sent at once",
        [
            ("seconds", whole("How long records gather; default 5")),
            ("records", whole("At most so many; default 1000")),
            ("bytes", whole("At most so many, before compression; default 8388608")),
        ],
    );
    let mut entry = object(
        "A destination of the log; `${VAR}` in destination and headers stands for a variable of the environment",
        [
            ("name", text("Unique; how far the destination has come is kept under it")),
            ("destination", text("`s3://…`, `r2://…`, `https://…`, `file:/folder` or `stdout`")),
            ("enabled", flag("Default true")),
            (
                "gateways",
                list("Of the gateways with `logpush: true`; default all of them", text("Gateway id")),
            ),
            ("filter", list("Which records; default all", filter)),
            ("bodies", flag("Carry requests and answers, too; default true")),
            ("fields", list("Only these fields; default all", words("A field", crate::logpush::FIELDS))),
            ("compression", words("Default gzip, for stdout none", &["gzip", "none"])),
            ("headers", map("Sent with every call to an http destination", text("Value"))),
            ("batch", batch),
        ],
    );
    entry["required"] = json!(["name", "destination"]);
    entry
}

fn route() -> Value {
    object(
        "A dynamic route",
        [
            ("gateways", list("Gateways that have it; default all", text("Gateway id"))),
            (
                "elements",
                list(
                    "Its elements, as in Cloudflare's API",
                    any_object("`id`, `type`, `properties`, `outputs`"),
                ),
            ),
        ],
    )
}

/// One gateway, in Cloudflare's field names.
pub fn gateway_settings() -> Value {
    let nullable = |value: Value| or_null(value);
    object(
        "Settings of a gateway",
        [
            ("id", text("Leave out: the name of the entry is the id")),
            ("authentication", flag("Callers must present a token; default true")),
            ("byok_only", flag("Refuse calls for which no provider key is found; default false")),
            ("cache_invalidate_on_update", nullable(flag("Drop cached answers when these settings change"))),
            ("cache_semantic", nullable(semantic_cache())),
            (
                "cache_stale_if_error",
                nullable(whole(
                    "Seconds an expired answer may stand in for a provider that fails; 0 is never",
                )),
            ),
            (
                "cache_stale_while_revalidate",
                nullable(whole(
                    "Seconds an expired answer may be given while a new one is fetched; 0 is never",
                )),
            ),
            ("cache_ttl", nullable(whole("Seconds an answer is cached; 0 is off"))),
            ("collect_logs", flag("Keep a record of each exchange; default true")),
            ("dlp", nullable(dlp())),
            (
                "guardrails",
                nullable(object(
                    "What is done about content categories",
                    [
                        ("prompt", map("By category, S1 to S13 and P1", action())),
                        ("response", map("By category, S1 to S13 and P1", action())),
                    ],
                )),
            ),
            ("log_classification", flag("Classify logged prompts by task")),
            ("log_management", whole("Log records kept, 10000 to 10000000; default 1000000")),
            (
                "log_management_strategy",
                words("What happens at that number", &["STOP_INSERTING", "DELETE_OLDEST"]),
            ),
            ("log_max_age", nullable(whole("Seconds a log record is kept; 0 is as long as there is room"))),
            ("logpush", flag("Export logs")),
            (
                "on_disconnect",
                nullable(words("What becomes of an answer whose client left", &["cancel", "drain"])),
            ),
            (
                "logpush_public_key",
                nullable(text("RSA public key (PEM) that exported bodies are encrypted for")),
            ),
            (
                "otel",
                nullable(list(
                    "Where OpenTelemetry spans are sent",
                    object(
                        "An exporter",
                        [
                            ("url", text("Address")),
                            ("headers", map("Sent along", text("Value of the header"))),
                            ("authorization", nullable(text("Value of the authorization header"))),
                            ("content_type", words("Encoding", &["json", "protobuf"])),
                        ],
                    ),
                )),
            ),
            ("rate_limiting_interval", nullable(whole("Seconds of a window; 0 is off"))),
            ("rate_limiting_limit", nullable(whole("Requests in a window; 0 is off"))),
            ("rate_limiting_technique", nullable(words("How a window is counted", &["fixed", "sliding"]))),
            (
                "resumable_streams",
                nullable(flag("Keep streams for some minutes, so that a client can go on where it was")),
            ),
            ("retry_backoff", nullable(words("How the delay grows", &["constant", "linear", "exponential"]))),
            ("retry_delay", nullable(whole("Milliseconds before the second attempt, at most 5000"))),
            ("retry_max_attempts", nullable(whole("Attempts in all, 1 to 5"))),
            (
                "spend_limits",
                nullable(object(
                    "Limits in US dollars per window",
                    [("enabled", flag("Whether they apply")), ("rules", list("At most 20", spend_rule()))],
                )),
            ),
            (
                "policies",
                nullable(list("Who may call what, and for how much; none: everybody anything", policy())),
            ),
            (
                "rate_limits",
                nullable(list("By token, metadata, model or provider; at most 20", rate_limit())),
            ),
            ("store_id", nullable(text("Cloudflare's Secrets Store; kept for clients that set it"))),
            (
                "strict_translation",
                flag("Refuse calls of which something would be lost in translation; default false"),
            ),
            ("stripe", nullable(stripe())),
            (
                "workers_ai_billing_mode",
                nullable(words("Kept for clients that set it", &["postpaid", "unified"])),
            ),
            ("zdr", flag("Kept for clients that set it")),
        ],
    )
}

fn action() -> Value {
    words("What is done", &["FLAG", "BLOCK"])
}

fn dlp() -> Value {
    let mut policy = object(
        "A policy",
        [
            ("id", text("Its name")),
            ("enabled", flag("Default true")),
            ("action", action()),
            ("check", list("What is looked at", words("Side", &["REQUEST", "RESPONSE"]))),
            ("profiles", list("Profiles looked for", text("Name of a profile"))),
        ],
    );
    policy["required"] = json!(["id", "action", "check", "profiles"]);
    object(
        "Data loss prevention: one action over profiles, or policies",
        [
            ("enabled", flag("Whether it applies")),
            ("action", or_null(action())),
            ("profiles", list("Profiles looked for", text("Name of a profile"))),
            ("policies", list("Policies", policy)),
        ],
    )
}

fn semantic_cache() -> Value {
    let mut semantic = object(
        "Answers for requests whose last message means nearly the same as an earlier one's",
        [
            ("model", text("The embedding model, `provider/model`")),
            (
                "threshold",
                json!({ "description": "Cosine of the embeddings, above 0, at most 1; default 0.95", "type": "number" }),
            ),
        ],
    );
    semantic["required"] = json!(["model"]);
    semantic
}

fn dimension() -> Value {
    json!({
        "description": "`filter`: only these values; `partition`: a budget for each value",
        "type": "object",
        "properties": {
            "mode": words("How the rule treats this", &["filter", "partition"]),
            "values": list("For `filter`", text("A value")),
        },
        "required": ["mode"],
        "additionalProperties": false,
    })
}

fn rate_limit() -> Value {
    let types = ["requests", "input_tokens", "output_tokens", "total_tokens", "concurrent"];
    let mut rule = object(
        "A limit",
        [
            ("id", text("Its name, once per gateway")),
            ("enabled", flag("Default true")),
            ("limitType", words("What is counted; default requests", &types)),
            ("limit", whole("At most so many")),
            ("window", whole("Seconds; none for concurrent")),
            ("technique", words("Default sliding", &["fixed", "sliding"])),
            ("metadata", map("By metadata key", dimension())),
            ("model", or_null(dimension())),
            ("provider", or_null(dimension())),
            ("token", or_null(dimension())),
        ],
    );
    rule["required"] = json!(["id", "limit"]);
    rule
}

/// A policy as JSON Schema.
pub fn policy() -> Value {
    let names = |what: &str| json!({ "description": what, "anyOf": [text("A name"), list("Names", text("A name")), { "type": "null" }] });
    let named =
        object("Only these", [("model", names("Models; `*` is a wildcard")), ("provider", names("Slugs"))]);
    let action = json!({
        "description": "What is done about the calls it applies to",
        "type": "object",
        "properties": {
            "type": words("What", &["no-limit", "block", "limit"]),
            "except": flag("Block everything else"),
            "amount": usd("US dollars"),
            "period": words("Of the UTC calendar", &["hourly", "daily", "weekly", "monthly"]),
            "technique": words("The one there is", &["named-interval"]),
        },
        "required": ["type"],
        "additionalProperties": false,
    });
    let resource = json!({ "description": "What it is about", "anyOf": [words("Anything", &["*"]), named] });
    let mut policy = object(
        "A policy",
        [
            ("id", text("Its name, once per gateway")),
            ("name", text("For people")),
            ("actor", text("Names the budget's bucket, such as `user:{metadata.user}`")),
            ("resource", resource),
            ("condition", text("CEL: whether it applies; empty: always")),
            ("action", action),
            ("simulate", flag("Evaluate and report, do not enforce")),
        ],
    );
    policy["required"] = json!(["id", "action"]);
    policy
}

fn spend_rule() -> Value {
    let mut rule = object(
        "A limit",
        [
            ("id", text("Its name, once per gateway")),
            ("enabled", flag("Default true")),
            ("limitType", words("What is counted", &["cost"])),
            ("limit", usd("US dollars")),
            ("window", whole("Seconds")),
            ("technique", words("Default sliding", &["fixed", "sliding"])),
            ("metadata", map("By metadata key", dimension())),
            ("model", or_null(dimension())),
            ("provider", or_null(dimension())),
            ("token", or_null(dimension())),
            ("unknownPrice", words("A call that cannot be priced; default refuse", &["refuse", "allow"])),
        ],
    );
    rule["required"] = json!(["id", "limit", "window"]);
    rule
}

fn stripe() -> Value {
    let mut event = object("An event", [("payload", text("Template of its body"))]);
    event["required"] = json!(["payload"]);
    let mut stripe = object(
        "Usage events posted to Stripe",
        [("authorization", text("Stripe's key")), ("usage_events", list("Events", event))],
    );
    stripe["required"] = json!(["authorization"]);
    stripe
}

fn object<const N: usize>(description: &str, fields: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> =
        fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect();
    json!({ "description": description, "type": "object", "properties": properties, "additionalProperties": false })
}

fn map(description: &str, values: Value) -> Value {
    json!({ "description": description, "type": "object", "additionalProperties": values })
}

fn any_object(description: &str) -> Value {
    json!({ "description": description, "type": "object" })
}

fn list(description: &str, items: Value) -> Value {
    json!({ "description": description, "type": "array", "items": items })
}

fn text(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

fn words(description: &str, words: &[&str]) -> Value {
    json!({ "description": description, "enum": words })
}

fn flag(description: &str) -> Value {
    json!({ "description": description, "type": "boolean" })
}

fn whole(description: &str) -> Value {
    json!({ "description": description, "type": "integer", "minimum": 0 })
}

/// A decimal number, as number or text: text keeps every digit.
fn usd(description: &str) -> Value {
    json!({ "description": description, "type": ["number", "string"] })
}

fn or_null(value: Value) -> Value {
    let description = value["description"].clone();
    json!({ "description": description, "anyOf": [value, { "type": "null" }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{self, NewValue, Path};
    use crate::file::File;

    #[test]
    fn it_accepts_every_documented_example() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let mut examples = 0;
        for entry in std::fs::read_dir(docs).unwrap().map(Result::unwrap) {
            let page = std::fs::read_to_string(entry.path()).unwrap_or_default();
            for block in page.split("```json5\n").skip(1) {
                let text = block.split("```").next().unwrap();
                // The reader asks for account and gateway to be filled in, which an example cannot do.
                for problem in File::parse(text).err().into_iter().flatten() {
                    assert!(problem.message.contains("<placeholder>"), "{entry:?}: {problem}");
                }
                assert_eq!(refusals(&schema(), &edit::whole(text).unwrap(), ""), [""; 0], "{entry:?}");
                examples += 1;
            }
        }
        assert!(examples >= 2);
    }

    #[test]
    fn it_refuses_what_the_reader_refuses() {
        for text in [
            "{ gatway: {} }",
            "{ gateway: { listen: 5 } }",
            "{ gateway: { limits: [] } }",
            "{ gateway: { gateways: { g: { log_management_strategy: 'x' } } } }",
            "{ agents: { defaults: { model: 1 } } }",
            "{ env: { lower: 'x' } }",
            "{ env: { A: 1 } }",
            "{ models: { providers: { openai: { api: 'soap' } } } }",
            "{ gateway: { gateways: { g: { cache_ttl: -1 } } } }",
        ] {
            assert!(File::parse(text).is_err(), "{text}");
            assert_ne!(refusals(&schema(), &edit::whole(text).unwrap(), ""), [""; 0], "{text}");
        }
        let both = "{ agents: { defaults: { model: 'a/b' } }, env: { A: '1' }, gateway: { store: null } }";
        assert!(File::parse(both).is_ok());
        assert_eq!(refusals(&schema(), &edit::whole(both).unwrap(), ""), [""; 0]);
    }

    /// The reader lists the fields it knows when it meets one it does not.
    #[test]
    fn it_has_the_fields_of_the_reader_everywhere() {
        let mut places = vec![(Vec::<String>::new(), schema())];
        let mut compared = 0;
        while let Some((path, schema)) = places.pop() {
            let below = |name: &str| [&path[..], &[name.to_owned()]].concat();
            for choice in schema["anyOf"].as_array().into_iter().flatten() {
                places.push((path.clone(), choice.clone()));
            }
            if schema["additionalProperties"].is_object() {
                // Names are checked where they are host names.
                let key =
                    if path.last().is_some_and(|name| name == "domains") { "[\"a.example\"]" } else { "S1" };
                places.push((below(key), schema["additionalProperties"].clone()));
            }
            if schema["items"].is_object() {
                places.push((below("[0]"), schema["items"].clone()));
            }
            let Some(properties) = schema["properties"].as_object() else { continue };
            for (name, field) in properties {
                places.push((below(name), field.clone()));
            }
            // Tagged by `mode` or `type`, which is read first.
            let has = |name| properties.contains_key(name);
            if has("mode") && has("values") || has("type") && has("amount") {
                continue;
            }
            let steps: String = below("zzzzzzzzzzzzzzzz").join(".").replace(".[", "[");
            let path: Path = steps.parse().unwrap();
            let text = edit::set("", &path, &NewValue::parse("1").unwrap()).unwrap();
            let problems = File::parse(&text).unwrap_err();
            let hint = problems
                .iter()
                .find(|problem| problem.message.contains("zzzz"))
                .and_then(|problem| problem.hint.as_deref().map(str::to_owned))
                .unwrap_or_else(|| panic!("{steps}: {problems:?}"));
            let mut known: Vec<&str> = hint.trim_start_matches("known here: ").split(", ").collect();
            let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
            known.sort_unstable();
            described.sort_unstable();
            assert_eq!(described, known, "{steps}");
            compared += 1;
        }
        assert!(compared > 15, "{compared}");
    }

    /// Where `value` breaks the keywords used above.
    fn refusals(schema: &Value, value: &Value, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(choices) = schema["anyOf"].as_array()
            && !choices.iter().any(|choice| refusals(choice, value, path).is_empty())
        {
            found.push(path.to_owned());
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            found.push(path.to_owned());
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.clone(),
            Value::Null => Vec::new(),
            kind => vec![kind.clone()],
        };
        let is = |kind: &Value| match kind.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            other => panic!("unknown type {other}"),
        };
        if !kinds.is_empty() && !kinds.iter().any(is) {
            found.push(path.to_owned());
        }
        if schema["minimum"].is_number() && value.as_i64().is_some_and(|number| number < 0) {
            found.push(path.to_owned());
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            if value.is_object() && value.get(required.as_str().unwrap()).is_none() {
                found.push(format!("{path}.{required}"));
            }
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            // The one pattern there is: variables of `env`.
            let variable = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if let Some(field) = schema["properties"].get(name) {
                found.extend(refusals(field, value, &path));
            } else if let Some(pattern) = schema["patternProperties"].as_object().filter(|_| variable) {
                found.extend(pattern.values().flat_map(|field| refusals(field, value, &path)));
            } else if schema["additionalProperties"] == false {
                found.push(path);
            } else if schema["additionalProperties"].is_object() {
                found.extend(refusals(&schema["additionalProperties"], value, &path));
            }
        }
        if schema["items"].is_object() {
            for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                found.extend(refusals(&schema["items"], value, &format!("{path}[{index}]")));
            }
        }
        found
    }
}
