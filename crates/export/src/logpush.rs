//! Logpush: one JSON object a line, as Cloudflare's dataset `ai_gateway_events` has them, packed and carried to a folder, an
//! address, a bucket or standard output.
//!
//! * `line`: a record as a line; which fields there are
//! * `seal`: bodies and metadata for the holder of a private key only
//! * `pack`: a batch as one object: its name and its bytes
//! * `folder`, `http`, `s3`, `stdout`: where it goes

mod folder;
mod http;
mod line;
mod pack;
mod s3;
mod seal;
mod stdout;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use genesis_config::logpush::{Compression, LogpushBlock, LogpushFilter};
use genesis_config::money::Usd;
use genesis_config::{Destination, Environment, ExposeSecret, GatewaySettings};
use genesis_store::{LogCondition, LogField, LogValue, Operator};
use serde_json::Value;

use self::folder::Folder;
use self::http::HttpTarget;
pub use self::line::Lines;
pub use self::pack::{Packed, Packing, pack};
use self::s3::S3Target;
pub use self::seal::{BadKey, SealingKey};
use self::stdout::Stdout;
use crate::driver::Behaviour;
use crate::exports::Export;
use crate::source::{Bounds, Selection};
use crate::target::Target;

/// Exports as the settings want them; what cannot be used is said in words, and left out.
pub fn exports<'g>(
    blocks: &[LogpushBlock],
    gateways: impl IntoIterator<Item = &'g GatewaySettings>,
    environment: &Environment,
    warnings: &mut Vec<String>,
) -> Vec<Export> {
    let mut pushed = HashMap::new();
    let mut pems = String::new();
    for gateway in gateways.into_iter().filter(|gateway| gateway.logpush) {
        if blocks.is_empty() {
            warnings.push(format!(
                "gateway `{}` has `logpush: true`, and gateway.logpush names no destination",
                gateway.id
            ));
        }
        let key = match gateway.logpush_public_key.as_deref().map(SealingKey::parse).transpose() {
            Ok(key) => key,
            Err(error) => {
                // Never in the clear what somebody wanted encrypted.
                warnings.push(format!(
                    "gateway `{}` is not exported: its logpush_public_key {error}",
                    gateway.id
                ));
                continue;
            }
        };
        let _ = writeln!(pems, "{}: {:?}", gateway.id, gateway.logpush_public_key);
        pushed.insert(gateway.id.clone(), key);
    }
    let mut exports = Vec::new();
    for block in blocks.iter().filter(|block| block.enabled) {
        match export(block, &pushed, &pems, environment) {
            Ok(export) => exports.push(export),
            Err(why) => warnings.push(format!("logpush destination `{}` is not used: {why}", block.name)),
        }
    }
    exports
}

/// The target behind a destination.
pub fn target(
    destination: &Destination,
    headers: &[(String, String)],
    lines: Lines,
    compression: Option<Compression>,
    environment: &Environment,
) -> Result<Box<dyn Target>, String> {
    let usual = if *destination == Destination::Stdout { Compression::None } else { Compression::Gzip };
    let packing = Packing { lines, compression: compression.unwrap_or(usual) };
    Ok(match destination {
        Destination::Stdout => Box::new(Stdout::new(packing)),
        Destination::Folder(folder) => Box::new(Folder::new(folder.clone(), packing)),
        Destination::Http { url, headers: own } => {
            let own = own.iter().map(|(name, value)| (name.as_str(), value.0.expose_secret()));
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            Box::new(HttpTarget::new(url.clone(), own.chain(headers), packing)?)
        }
        Destination::S3(bucket) => Box::new(S3Target::new(bucket, environment, packing)?),
    })
}

/// What is read for a condition; `None` if it names what is not there.
pub fn condition(filter: &LogpushFilter) -> Option<LogCondition> {
    let field = LogField::from_name(&filter.key)?;
    let operator = Operator::from_name(&filter.operator)?;
    let values = match &filter.value {
        Value::Array(values) => values.clone(),
        value => vec![value.clone()],
    };
    let values = values.into_iter().map(|value| value_of(field, value)).collect::<Option<_>>()?;
    Some(LogCondition { field, operator, values })
}

fn export(
    block: &LogpushBlock,
    pushed: &HashMap<String, Option<SealingKey>>,
    pems: &str,
    environment: &Environment,
) -> Result<Export, String> {
    let resolve = |text: &str| environment.substitute(text).map_err(|error| error.to_string());
    let written = resolve(block.destination.expose_secret())?;
    let destination = Destination::parse(written.expose_secret()).map_err(|error| error.to_string())?;
    let mut headers = Vec::new();
    for (name, value) in &block.headers {
        headers.push((name.clone(), resolve(value)?.expose_secret().to_owned()));
    }
    let wanted = |id: &String| block.gateways.is_empty() || block.gateways.contains(id);
    let keys: HashMap<_, _> =
        pushed.iter().filter(|(id, _)| wanted(id)).map(|(id, key)| (id.clone(), key.clone())).collect();
    let gateways: BTreeSet<_> = keys.keys().cloned().collect();
    let conditions = block.filter.iter().map(condition).collect::<Option<_>>();
    let conditions = conditions.ok_or("its filter compares a field with a value of another kind")?;
    let identity = format!(
        "{}\n{headers:?}\n{:?}\n{:?}\n{pems}\n{:?}",
        written.expose_secret(),
        block.compression,
        block.fields,
        credentials(environment),
    );
    let lines = Lines::new(keys, &block.fields);
    let with_bodies = block.bodies && lines.has_bodies();
    let target = target(&destination, &headers, lines, block.compression, environment)?;
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Export {
        name: format!("logpush:{}", block.name),
        identity,
        wanted: Selection { gateways, conditions, with_bodies },
        behaviour: Behaviour {
            bounds: Bounds { records: size(block.batch.records), bytes: size(block.batch.bytes) },
            gather: Duration::from_secs(block.batch.seconds),
            ..Behaviour::default()
        },
        target,
    })
}

/// What of the environment a target may use; compared, so that a new key takes effect.
fn credentials(environment: &Environment) -> Vec<Option<&str>> {
    let value = |name: &&str| environment.lookup(name).map(|(value, _)| value.expose_secret());
    s3::VARIABLES.iter().map(value).collect()
}

/// Costs are written in dollars.
fn value_of(field: LogField, value: Value) -> Option<LogValue> {
    Some(match value {
        Value::String(text) => LogValue::Text(text),
        Value::Bool(flag) => LogValue::Flag(flag),
        Value::Number(number) if field == LogField::Cost => {
            LogValue::Integer(Usd::parse(&number.to_string())?.0)
        }
        Value::Number(number) => LogValue::Integer(number.as_i64()?),
        _ => return None,
    })
}
