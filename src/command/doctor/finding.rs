//! One thing found.

use serde::Serialize;

use crate::printer::Failed;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) area: Area,
    pub(super) level: Level,
    pub(super) what: String,
    /// What to do about it, the likeliest first.
    pub(super) remedies: Vec<String>,
    /// It was put right just now.
    pub(super) fixed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Area {
    Config,
    Files,
    Models,
    Service,
    Store,
    Port,
    Network,
    Clock,
    Probe,
}

/// From harmless to bad.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Good,
    /// Worth knowing.
    Note,
    /// May do harm one day.
    Warning,
    /// Does not work.
    Problem,
}

impl Finding {
    pub(super) fn new(area: Area, level: Level, what: impl Into<String>) -> Self {
        Self { area, level, what: what.into(), remedies: Vec::new(), fixed: false }
    }

    pub(super) fn good(area: Area, what: impl Into<String>) -> Self {
        Self::new(area, Level::Good, what)
    }

    pub(super) fn note(area: Area, what: impl Into<String>) -> Self {
        Self::new(area, Level::Note, what)
    }

    pub(super) fn warning(area: Area, what: impl Into<String>) -> Self {
        Self::new(area, Level::Warning, what)
    }

    pub(super) fn problem(area: Area, what: impl Into<String>) -> Self {
        Self::new(area, Level::Problem, what)
    }

    /// What a command would have failed with.
    pub(super) fn failed(area: Area, level: Level, failed: Failed) -> Self {
        let (what, remedies) = failed.into_parts();
        Self { remedies, ..Self::new(area, level, what) }
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Config => "Configuration",
            Self::Files => "Files",
            Self::Models => "Models and keys",
            Self::Service => "As a service",
            Self::Store => "Store",
            Self::Port => "Port",
            Self::Network => "Network",
            Self::Clock => "Clock",
            Self::Probe => "Real calls",
        })
    }
}
