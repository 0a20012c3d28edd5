//! What is wrong with a configuration, said so that its author can mend it.

use std::fmt;

/// One mistake. Its text names fields and shapes, never a value that could be a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Dotted path from the root, such as `gateway.limits.bodyBytes`; empty for the text as a whole.
    pub path: String,
    /// Line in the file, from 1; 0 where the mistake has no place in the text.
    pub line: usize,
    /// Column in that line, in characters, from 1; 0 as for `line`.
    pub column: usize,
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem whose place in the text is looked up later, from its path.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, column: 0, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Fills in line and column, from the text, of problems that know only their path.
    pub fn locate(text: &str, problems: &mut [Self]) {
        crate::read::locate(text, problems);
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("genesis.json")?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// The candidate a typist most probably meant, if any is close enough to be worth saying.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A path with one more name: dotted if the name is plain, else `["…"]` as `genesis config get` takes it.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-$".contains(c));
    match (path.is_empty(), plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{}]", serde_json::Value::from(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(nearest("listn", ["listen", "store"]), Some("listen"));
        assert_eq!(nearest("BaseURL", ["baseUrl", "api"]), Some("baseUrl"));
        assert_eq!(nearest("antropic", ["anthropic", "openai"]), Some("anthropic"));
        assert_eq!(nearest("telephone", ["listen", "store"]), None);
    }

    #[test]
    fn unusual_names_are_quoted_in_paths() {
        assert_eq!(
            join("models.providers", "cloudflare-ai-gateway"),
            "models.providers.cloudflare-ai-gateway"
        );
        assert_eq!(join("models", "a.b/c"), "models[\"a.b/c\"]");
    }
}
