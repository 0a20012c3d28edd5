//! The way to each provider, step by step: name, TCP, TLS, HTTP. And the clock, by what they say the time is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use genesis_config::Provider;
use http::header::DATE;
use tokio::task::JoinSet;

use super::finding::{Area, Finding, Level};
use super::keys::{in_use, stored};
use crate::assemble;
use crate::client::connection::{self, Origin, in_time};
use crate::client::{Choice, Failure, Target};
use crate::home::{Home, Settings};

/// For the whole way to one provider.
const WITHIN: Duration = Duration::from_secs(10);
/// More, and signed requests are refused and certificates misjudged.
const FAR_OFF: u64 = 300;
const OFF: u64 = 60;

pub(super) async fn findings(home: &Home, settings: &Settings) -> Vec<Finding> {
    let places = places(home, settings);
    let mut ways = JoinSet::new();
    for (at, origin) in places.keys().cloned().enumerate() {
        ways.spawn(async move { (at, walk(&origin).await) });
    }
    let mut walked = ways.join_all().await;
    walked.sort_by_key(|(at, _)| *at);
    let mut findings = Vec::new();
    let mut skews = Vec::new();
    for ((origin, users), (_, way)) in places.iter().zip(walked) {
        skews.extend(way.as_ref().ok().and_then(|way| way.skew));
        findings.push(described(origin, users, way));
        if !origin.tls && !origin.is_local() {
            let what = format!(
                "{} is called without encryption: keys and texts can be read on the way",
                origin.authority()
            );
            findings
                .push(Finding::warning(Area::Network, what).remedy("use an https address, if there is one"));
        }
    }
    // One of them may be wrong; the least is this clock's fault.
    findings.extend(skews.into_iter().min_by_key(|skew| skew.unsigned_abs()).map(clock));
    findings
}

/// Who is reached at a place.
#[derive(Default)]
struct Users {
    slugs: Vec<String>,
    /// The default model or a fallback is there.
    needed: bool,
}

fn places(home: &Home, settings: &Settings) -> BTreeMap<Origin, Users> {
    let mut places: BTreeMap<Origin, Users> = BTreeMap::new();
    if let Ok(providers) = assemble::providers(settings) {
        let stored = stored(home, settings).unwrap_or_default();
        for provider in in_use(settings, &providers, &stored) {
            if let Some(origin) = address(provider, settings) {
                places.entry(origin).or_default().slugs.push(provider.slug.clone());
            }
        }
    }
    let asked =
        Choice::of(None, settings).map(|choice| choice.models().map(str::to_owned).collect::<Vec<_>>());
    for model in asked.unwrap_or_default() {
        let Ok(target) = Target::find(&model, settings, home) else { continue };
        let users = places.entry(target.origin).or_default();
        users.needed = true;
        if !users.slugs.contains(&target.provider.slug) {
            users.slugs.push(target.provider.slug);
        }
    }
    places
}

/// Where a provider is, if that does not depend on the call.
fn address(provider: &Provider, settings: &Settings) -> Option<Origin> {
    let provider = provider.resolved(&settings.environment).ok()?;
    let url = provider.routes.last()?.url();
    let host_end = url.find("://").and_then(|at| Some(at + 3 + url[at + 3..].find('/')?));
    Origin::of(&url[..host_end.unwrap_or(url.len())])
}

/// What was met on the way.
struct Way {
    steps: Vec<String>,
    /// Seconds by which this clock is ahead.
    skew: Option<i64>,
}

async fn walk(origin: &Origin) -> Result<Way, Failure> {
    in_time(WITHIN, &format!("no answer from {}", origin.authority()), async {
        let mut steps = Vec::new();
        let mut begun = Instant::now();
        let mut step = |name: &str| {
            steps.push(format!("{name} {} ms", begun.elapsed().as_millis()));
            begun = Instant::now();
        };
        let addresses = connection::resolve(origin).await?;
        step("name");
        let stream = connection::dial(origin, &addresses).await?;
        step("TCP");
        let request = connection::request(http::Method::HEAD, origin, "/");
        let (name, answer) = if origin.tls {
            let stream = connection::secure(origin, stream, &[b"h2", b"http/1.1"]).await?;
            let session = stream.get_ref().1;
            let version = match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                _ => "TLS 1.2",
            };
            let speaks_http2 = session.alpn_protocol() == Some(b"h2");
            step(version);
            match speaks_http2 {
                true => ("HTTP/2", connection::send_http2(stream, request).await?),
                false => ("HTTP/1.1", connection::send(stream, request).await?),
            }
        } else {
            ("HTTP/1.1", connection::send(stream, request).await?)
        };
        step(name);
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        let skew = date.and_then(|date| httpdate::parse_http_date(date).ok()).map(ahead_of);
        Ok(Way { steps, skew })
    })
    .await
}

/// Seconds by which this clock is ahead of `time`.
fn ahead_of(time: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(time) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}

fn described(origin: &Origin, users: &Users, way: Result<Way, Failure>) -> Finding {
    let whose = format!("{} ({})", origin.authority(), users.slugs.join(", "));
    match way {
        Ok(way) => Finding::good(Area::Network, format!("{whose}: {}", way.steps.join(", "))),
        Err(failure) => {
            let level = if users.needed { Level::Problem } else { Level::Warning };
            let mut finding = Finding::failed(Area::Network, level, failure.into());
            finding.what = format!("{whose}: {}", finding.what);
            finding.remedy("check address, network and firewall of this machine")
        }
    }
}

fn clock(skew: i64) -> Finding {
    let direction = if skew < 0 { "behind" } else { "ahead" };
    let seconds = skew.unsigned_abs();
    let what = format!("this machine's clock is {seconds} s {direction}");
    let remedy = "set it by the network: `timedatectl set-ntp true`, or your system's equivalent";
    match seconds {
        0..OFF => Finding::good(Area::Clock, "this machine's clock is right to the minute"),
        OFF..FAR_OFF => Finding::warning(Area::Clock, what).remedy(remedy),
        _ => Finding::problem(
            Area::Clock,
            format!("{what}: signatures, tokens and certificates are misjudged"),
        )
        .remedy(remedy),
    }
}
