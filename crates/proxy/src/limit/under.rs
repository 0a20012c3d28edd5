//! Which limits a call falls under, and what it asks of each.

use std::fmt::Write as _;
use std::ops::Range;

use genesis_config::gateway::UnknownPrice;
use genesis_config::policy::Cap;

use super::ledger::{Ask, Record};
use super::rules::{Measure, Rule, Subject};
use super::window::Window;
use super::worst::Worst;
use super::{Applicant, By, GatewayLimits, refusal};
use crate::failure::Failure;

/// A limit that a call falls under.
pub(super) struct Under<'a> {
    pub(super) limit: Limit<'a>,
    /// Where the name of its counter stands.
    pub(super) key: Range<usize>,
    pub(super) by: By,
}

/// Something a call is counted under.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit<'a> {
    Rule(&'a Rule),
    Cap(&'a Cap),
}

impl GatewayLimits {
    /// The limits a call falls under; the names of their counters go into `keys`. Elements of a route come first: where
    /// one of them leads, the other limits may hold.
    pub(super) fn falls_under<'l>(
        &'l self,
        applicant: &Applicant<'l>,
        subject: &Subject<'_>,
        caps: &'l [Cap],
        keys: &mut String,
    ) -> Vec<Under<'l>> {
        let mut falls_under = Vec::with_capacity(applicant.gates.len() + self.rules.len() + caps.len() + 1);
        let mut add = |limit, start, keys: &String, by| {
            falls_under.push(Under { limit, key: start..keys.len(), by });
        };
        for (index, gate) in applicant.gates.iter().enumerate() {
            if gate.rule.measure == Measure::Cost || !gate.counted {
                let start = keys.len();
                keys.push_str(&gate.key);
                add(Limit::Rule(&gate.rule), start, keys, By::Gate(index));
            }
        }
        for rule in &self.rules {
            let start = keys.len();
            let counted = applicant.again && rule.measure == Measure::Requests;
            if !counted && rule.write_key(subject, keys) {
                add(Limit::Rule(rule), start, keys, By::Gateway);
            } else {
                keys.truncate(start);
            }
        }
        for cap in caps {
            let start = keys.len();
            let _ = write!(keys, "policy {:?}\n{}", cap.period, cap.bucket);
            add(Limit::Cap(cap), start, keys, By::Gateway);
        }
        if let Some(rule) = applicant.key {
            let start = keys.len();
            keys.push_str(&rule.key);
            add(Limit::Rule(rule), start, keys, By::Key);
        }
        falls_under
    }
}

impl Limit<'_> {
    pub(super) fn measure(&self) -> Measure {
        match self {
            Self::Rule(rule) => rule.measure,
            Self::Cap(_) => Measure::Cost,
        }
    }

    /// What it allows, for people.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Rule(rule) => rule.described(),
            Self::Cap(cap) => format!("policy `{}` allows ${} per {:?}", cap.policy, cap.amount, cap.period),
        }
    }

    pub(super) fn ask<'k>(
        &self,
        key: &'k str,
        worst: Worst,
        attempts: u32,
        subject: &Subject<'_>,
    ) -> Result<Ask<'k>, Failure> {
        let (window, limit, rule, unknown_price) = match self {
            Self::Rule(rule) => (rule.window, rule.limit, rule.key.len(), rule.unknown_price),
            Self::Cap(cap) => {
                let amount = cap.amount.0.max(0).unsigned_abs();
                let rule = key.find('\n').unwrap_or(key.len());
                (Window::Calendar(cap.period), amount, rule, UnknownPrice::Refuse)
            }
        };
        let (needs, takes, record) = match (self.measure(), worst) {
            (Measure::Requests, _) => (1, 1, Record::IfPossible),
            (Measure::Concurrent, _) => (1, 1, Record::Never),
            (Measure::InputTokens | Measure::OutputTokens | Measure::TotalTokens, _) => {
                (1, 0, Record::Afterwards)
            }
            // An attempt that fails may be billed all the same.
            (Measure::Cost, Worst::AtMost { nano_usd, .. }) => {
                let all = nano_usd.saturating_mul(attempts.into());
                (all, all, Record::Always)
            }
            (Measure::Cost, Worst::Unknown(_)) if unknown_price == UnknownPrice::Allow => {
                (1, 0, Record::Always)
            }
            (Measure::Cost, Worst::Unknown(why)) => {
                let rule = matches!(self, Self::Rule(rule) if rule.is_spend_rule());
                return Err(refusal::unbounded(subject, why, rule));
            }
        };
        Ok(Ask { key, rule, window, limit, needs, takes, record })
    }
}
