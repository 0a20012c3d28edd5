//! What was found, for people.

use genesis_proxy::{ExplainedCall, ExplainedCost, ExplainedStep, Explanation, Refusal};
use owo_colors::OwoColorize;

use super::typical::Typical;
use crate::printer::{Failed, Printer};
use crate::render::{self, field, milliseconds, plain};

/// What a call costs on average, if that is known.
pub(super) type Usual<'a> = &'a dyn Fn(&ExplainedCall) -> Result<Option<Typical>, Failed>;

pub(super) fn print(
    told: &Explanation,
    usual: Usual<'_>,
    source: Option<&str>,
    printer: &Printer,
) -> Result<(), Failed> {
    printer.line("Request".bold())?;
    printer.line(field("surface", told.surface))?;
    if let Some(account) = &told.account {
        printer.line(field("account", plain(account)))?;
    }
    if let Some(gateway) = &told.gateway {
        let source = source.filter(|_| told.authentication.is_some()).unwrap_or("there is none");
        printer.line(field("gateway", format!("{} ({source})", plain(gateway))))?;
        printer.line(field("token", token(told)))?;
    }
    if let Some(trail) = &told.route {
        printer.line(field("route", plain(&trail.join(" > "))))?;
    }
    if let Some(refusal) = &told.refusal {
        refused(refusal, printer)?;
    }
    for (number, call) in told.calls.iter().enumerate() {
        let heading = if number == 0 { "Call".to_owned() } else { format!("If that fails ({number})") };
        printer.line(format!("\n{}", heading.bold()))?;
        called(call, usual, printer)?;
    }
    told.steps.iter().try_for_each(|of| step(of, usual, printer))
}

/// A step of a universal request. A dynamic route may come to several models in it.
fn step(of: &ExplainedStep, usual: Usual<'_>, printer: &Printer) -> Result<(), Failed> {
    printer.line(format!("\n{}", format!("Step {}", of.step).bold()))?;
    printer.line(field("tried", plain(&of.when)))?;
    printer.line(field("endpoint", plain(&format!("{}/{}", of.provider, of.endpoint))))?;
    if let Some(trail) = &of.route {
        printer.line(field("route", plain(&trail.join(" > "))))?;
    }
    if let Some(refusal) = &of.refusal {
        refused(refusal, printer)?;
    }
    for (number, call) in of.calls.iter().enumerate() {
        if number > 0 {
            printer.line(format!("\n{}", format!("Step {}, if that fails ({number})", of.step).bold()))?;
        }
        called(call, usual, printer)?;
    }
    Ok(())
}

fn called(call: &ExplainedCall, usual: Usual<'_>, printer: &Printer) -> Result<(), Failed> {
    for (name, value) in fields(call, usual(call)?) {
        if !value.is_empty() {
            printer.line(field(name, plain(&value)))?;
        }
    }
    call.refusal.as_ref().map_or(Ok(()), |refusal| refused(refusal, printer))
}

fn token(told: &Explanation) -> String {
    let Some(token) = &told.token else {
        return match told.authentication {
            Some(true) => "none that is known; this gateway asks for one",
            _ => "none that is known; this gateway asks for none, and attaches no stored key",
        }
        .to_owned();
    };
    let rights = [("run", token.run), ("read", token.read), ("edit", token.edit)];
    let rights: Vec<_> = rights.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let gateways = match &token.gateways[..] {
        [] => "all gateways".to_owned(),
        some => some.join(", "),
    };
    let ends = token.expires_at_ms.map(|at| format!(", until {}", render::iso(at))).unwrap_or_default();
    format!("{} (may {}; {}{ends})", plain(&token.id), rights.join(", "), plain(&gateways))
}

fn refused(refusal: &Refusal, printer: &Printer) -> Result<(), Failed> {
    let Refusal { status, code, message, description } = refusal;
    let told = format!("{status}, code {code}: {}", plain(message));
    printer.line(field("refused", told.red()))?;
    printer.line(field("", plain(description)))
}

fn fields(call: &ExplainedCall, typical: Option<Typical>) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("provider", call.provider.clone()),
        ("model", call.model.clone()),
        ("URL", call.url.clone().unwrap_or_default()),
    ];
    if call.url.is_none() {
        return fields; // it did not come to a call
    }
    let name =
        |dialect: Option<genesis_wire::Dialect>| dialect.map_or("unknown", genesis_wire::Dialect::name);
    let (client, provider) = (name(call.client_dialect), name(call.provider_dialect));
    fields.push(match call.translated {
        true => ("dialect", format!("{client}, translated to {provider}")),
        false => ("dialect", format!("{provider}, passed on as it is")),
    });
    fields.push(("dropped", call.dropped.join(", ")));
    if let Some(credential) = &call.credential {
        fields.push(("credential", format!("{}: {}", credential.source, credential.why)));
        fields.push(("stands before", credential.stands_before.join(", ")));
    }
    if let Some(of) = &call.attempts {
        let pause = format!(", {} between them, {}", ms(of.delay_ms), of.backoff);
        fields.push(("attempts", format!("{}{}", of.most, if of.most > 1 { &pause } else { "" })));
        let (connect, first, idle) = (ms(of.connect_ms), ms(of.first_byte_ms), ms(of.idle_ms));
        fields.push(("timeouts", format!("connect {connect}, first byte {first}, between pieces {idle}")));
    }
    fields.push((
        "cache",
        match &call.cache {
            Some(cache) => format!("on for {} s, key {}", cache.ttl_seconds, cache.key),
            None => "off".to_owned(),
        },
    ));
    if call.limits.is_empty() && call.refusal.is_none() {
        fields.push(("limits", "none".to_owned()));
    }
    fields.extend(call.limits.iter().map(|limit| ("limit", limit.clone())));
    fields.extend(call.cost.as_ref().map(|of| ("cost", cost(of))));
    fields.extend(typical.map(|of| ("usually", of.in_words())));
    fields
}

fn cost(of: &ExplainedCost) -> String {
    let money = |nano: u64| render::money(i64::try_from(nano).unwrap_or(i64::MAX));
    match (of.most_nano_usd, of.reserved_nano_usd) {
        (Some(most), Some(reserved)) if reserved > most => {
            format!("at most {} an attempt; a budget sets aside {}", money(most), money(reserved))
        }
        (Some(most), _) => format!("at most {}", money(most)),
        _ => format!("unbounded: {}", of.unknown.unwrap_or_default()),
    }
}

fn ms(number: u64) -> String {
    milliseconds(u32::try_from(number).unwrap_or(u32::MAX))
}
