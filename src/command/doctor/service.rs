//! The gateway as a service: whether it runs, and what it lacks. It has neither this shell's variables nor what start-up
//! files set.

use genesis_config::{Environment, Source};

use super::finding::{Area, Finding, Level};
use crate::assemble;
use crate::command::service::Report;
use crate::home::{Home, Settings};
use crate::service::Manager;

pub(super) fn findings(home: &Home, settings: &Settings) -> Vec<Finding> {
    let report = match Report::gather(Manager::of_this_machine(false), home, settings) {
        Ok(report) => report,
        Err(failed) => return vec![Finding::failed(Area::Service, Level::Warning, failed)],
    };
    if !report.is_installed() {
        return shell_variables(settings);
    }
    let words = report.service_in_words();
    let mut findings = vec![match report.is_running() {
        true => Finding::good(Area::Service, words),
        false => Finding::problem(
            Area::Service,
            format!("the gateway is installed as a service and does not run: {words}"),
        )
        .remedy("`genesis gateway logs` shows why, `genesis gateway start` starts it"),
    }];
    findings
        .extend(report.complaints().into_iter().map(|complaint| Finding::warning(Area::Service, complaint)));
    findings
}

/// One finding for each variable that a service would not see, were there one.
fn shell_variables(settings: &Settings) -> Vec<Finding> {
    let in_shell = |name: &String| matches!(settings.environment.lookup(name), Some((_, Source::Process)));
    let finding = |name: String| {
        let what =
            format!("{name} is set in this shell alone; a gateway that runs as a service does not see it");
        Finding::note(Area::Service, what)
            .remedy("before `genesis gateway install`, write it into the .env of the genesis folder")
    };
    used_variables(settings).into_iter().filter(in_shell).map(finding).collect()
}

/// Variables that may hold a key, and those the file names.
fn used_variables(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = match assemble::providers(settings) {
        Ok(providers) => providers.iter().flat_map(|provider| provider.env.iter().cloned()).collect(),
        Err(_) => Vec::new(),
    };
    names.push("GENESIS_MASTER_KEY".to_owned());
    // In an empty environment whatever the file names is missing.
    let unset = settings.file.unresolved(&Environment::default());
    names.extend(
        unset
            .iter()
            .filter_map(|problem| Some(problem.message.split_once("${")?.1.split_once('}')?.0.to_owned())),
    );
    names.sort_unstable();
    names.dedup();
    names
}
