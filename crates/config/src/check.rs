//! Rules that types cannot say.

use crate::file::File;
use crate::problem::{Problem, join};
use crate::providers::Providers;

/// Everything wrong with a file that reads well. Positions are filled in by the caller.
pub(crate) fn check(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    match Providers::with(&file.models.providers) {
        Ok(providers) => problems.extend(routes(file, &providers)),
        Err(wrong) => problems.extend(wrong),
    }
    for (slug, patch) in &file.models.providers {
        for (index, model) in patch.models.iter().enumerate() {
            if model.id.is_empty() {
                let path = format!("{}.models[{index}]", join("models.providers", slug));
                problems.push(Problem::at(path, "a model needs an `id`"));
            }
        }
    }
    for (id, settings) in &file.gateway.gateways {
        let path = join("gateway.gateways", id);
        problems.extend(settings.check().into_iter().map(|mut problem| {
            // The id is the entry itself.
            problem.path =
                if problem.path == "id" { path.clone() } else { format!("{path}.{}", problem.path) };
            problem
        }));
        // Over the API this is just "off"; whoever writes it into a file expects a limit.
        if settings.rate_limiting_limit > 0 && settings.rate_limiting_interval == 0 {
            let problem =
                Problem::at(format!("{path}.rate_limiting_limit"), "limits nothing without an interval");
            problems.push(problem.with_hint("add rate_limiting_interval, in seconds"));
        }
    }
    problems.extend(server(file));
    problems.extend(logpush(file));
    problems
}

fn logpush(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, block) in file.gateway.logpush.iter().enumerate() {
        let path = format!("gateway.logpush[{index}]");
        problems.extend(block.check().into_iter().map(|mut problem| {
            problem.path = format!("{path}.{}", problem.path);
            problem
        }));
        if file.gateway.logpush[..index].iter().any(|other| other.name == block.name) {
            let problem = Problem::at(format!("{path}.name"), "is the name of another destination");
            problems.push(problem.with_hint("how far each has come is kept under its name"));
        }
    }
    problems
}

fn routes(file: &File, providers: &Providers) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, block) in &file.gateway.routes {
        let path = join("gateway.routes", name);
        problems.extend(block.route(name, providers).err().into_iter().flatten().map(|mut problem| {
            // The name is the entry itself.
            problem.path =
                if problem.path == "name" { path.clone() } else { format!("{path}.{}", problem.path) };
            problem
        }));
    }
    problems
}

fn server(file: &File) -> Vec<Problem> {
    let gateway = &file.gateway;
    let mut problems = Vec::new();
    if gateway.workers == Some(0) {
        let problem = Problem::at("gateway.workers", "no worker could answer");
        problems.push(problem.with_hint("leave it out for one worker per core"));
    }
    if gateway.accounts.as_ref().is_some_and(Vec::is_empty) {
        let problem = Problem::at("gateway.accounts", "an empty list answers nobody");
        problems.push(problem.with_hint("leave it out to answer any account id"));
    }
    for (name, domain) in &gateway.domains {
        let Some(accounts) = &gateway.accounts else { continue };
        if !domain.account.as_ref().is_some_and(|account| accounts.contains(account)) {
            let path = format!("{}.account", join("gateway.domains", name.as_str()));
            let problem = Problem::at(path, "a custom domain needs one of the accounts that are answered");
            problems.push(problem.with_hint(format!("one of {}", accounts.join(", "))));
        }
    }
    let limits = &gateway.limits;
    for (field, value) in [
        ("headerBytes", limits.header_bytes),
        ("bodyBytes", limits.body_bytes),
        ("uploadBytes", limits.upload_bytes),
        ("headerSeconds", limits.header_seconds),
        ("connectSeconds", limits.connect_seconds),
        ("firstByteSeconds", limits.first_byte_seconds),
        ("idleSeconds", limits.idle_seconds),
        ("connections", limits.connections),
    ] {
        if value == 0 {
            problems.push(Problem::at(format!("gateway.limits.{field}"), "0 would refuse every request"));
        }
    }
    problems
}
