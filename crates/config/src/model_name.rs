//! The many ways one model's name is written.

/// Names to try in the price table for a name as a client or provider writes it: lower case, the most specific first.
pub(crate) fn candidates(model: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Paths carry Bedrock's colon percent-encoded.
    let name = model.trim().to_ascii_lowercase().replace("%3a", ":").replace("%2f", "/").replace("%40", "@");
    // `models/gemini-…`, `publishers/google/models/…`, `arn:…:foundation-model/…`, `arn:…:inference-profile/…`
    let path_free = ["models/", "foundation-model/", "inference-profile/"]
        .iter()
        .find_map(|marker| name.rfind(marker).map(|at| name[at + marker.len()..].to_owned()));
    // `anthropic/claude-…`
    let bare = name.rsplit_once('/').map(|(_, last)| last.to_owned());
    add(&mut names, name);
    path_free.into_iter().for_each(|name| add(&mut names, name));
    bare.into_iter().for_each(|name| add(&mut names, name));
    // `us.anthropic.claude-…` has a row of its own where the region changes the price; otherwise the region means nothing.
    for name in names.clone() {
        if let Some((region, rest)) = name.split_once('.')
            && REGIONS.contains(&region)
        {
            add(&mut names, rest.to_owned());
        }
    }
    // `claude-haiku-4.5`, as Cloudflare and OpenRouter write it, is `claude-haiku-4-5` to Anthropic.
    for name in names.clone() {
        if let Some(dashed) = dashed_claude(&name) {
            add(&mut names, dashed);
        }
    }
    for name in names.clone() {
        if let Some(dashed) = dashed_date(&name) {
            add(&mut names, dashed);
        }
    }
    // A dated snapshot costs what its family costs, unless the table lists it.
    for name in names.clone() {
        if let Some(family) = family(&name) {
            add(&mut names, family);
        }
    }
    names
}

/// The maker of a model that someone else sells, as a provider of the tables, and the maker's name for it:
/// `openrouter`'s `anthropic/claude-x`, `aws`'s `anthropic.claude-x-v1:0`, `azure`'s `gpt-x`.
pub(crate) fn made_by<'a>(seller: &str, name: &'a str) -> Option<(&'a str, String)> {
    if seller == "azure" {
        return Some(("openai", name.to_owned()));
    }
    if let Some(at) = name.find("claude") {
        let model = &name[at..];
        // Bedrock ends its names with a version of its own: `-v1:0`, `-v2`.
        let version =
            model.rfind("-v").filter(|at| model[at + 2..].starts_with(|c: char| c.is_ascii_digit()));
        let model = version.map_or(model, |at| &model[..at]);
        return Some(("anthropic", model.to_owned()));
    }
    let (maker, model) = name.rsplit_once('/')?;
    let maker = match maker.rsplit('/').next()? {
        "z-ai" | "zai-org" => "zai",
        "deepseek-ai" => "deepseek",
        "mistralai" => "mistral",
        "xai" => "x-ai",
        maker => maker,
    };
    Some((maker, model.to_owned()))
}

/// `claude-haiku-4.5` as `claude-haiku-4-5`: the only makers' names with dots where sellers write dashes.
pub fn dashed_claude(name: &str) -> Option<String> {
    let at = name.find("claude-")?;
    let (before, model) = name.split_at(at);
    let dotted =
        model.as_bytes().windows(3).any(|w| w[0].is_ascii_digit() && w[1] == b'.' && w[2].is_ascii_digit());
    dotted.then(|| format!("{before}{}", model.replace('.', "-")))
}

/// Bedrock's prefixes of cross-region inference profiles.
const REGIONS: [&str; 9] = ["us", "us-gov", "eu", "apac", "global", "jp", "au", "in", "ca"];

fn add(names: &mut Vec<String>, name: String) {
    if !name.is_empty() && !names.contains(&name) {
        names.push(name);
    }
}

/// `gpt-5.2-20251211` as `gpt-5.2-2025-12-11`.
fn dashed_date(name: &str) -> Option<String> {
    let (before, digits) = name.rsplit_once('-')?;
    is_compact_date(digits).then(|| format!("{before}-{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]))
}

/// The name without `-20251211`, `@20251211`, `-2025-12-11` or `-latest` at its end.
fn family(name: &str) -> Option<String> {
    if let Some(family) = name.strip_suffix("-latest") {
        return Some(family.to_owned());
    }
    if let Some((family, date)) = name.rsplit_once(['-', '@'])
        && is_compact_date(date)
    {
        return Some(family.to_owned());
    }
    let (family, date) =
        name.is_char_boundary(name.len().checked_sub(11)?).then(|| name.split_at(name.len() - 11))?;
    let parts: Vec<&str> = date.split('-').collect();
    match parts.as_slice() {
        ["", year, month, day] if is_compact_date(&[*year, *month, *day].concat()) => Some(family.to_owned()),
        _ => None,
    }
}

fn is_compact_date(text: &str) -> bool {
    text.len() == 8 && text.starts_with("20") && text.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_as_written_is_tried_first_and_its_family_last() {
        let names = candidates("us.anthropic.claude-haiku-4-5-20251001-v1%3A0");
        assert_eq!(names.first().map(String::as_str), Some("us.anthropic.claude-haiku-4-5-20251001-v1:0"));
        assert!(names.contains(&"anthropic.claude-haiku-4-5-20251001-v1:0".to_owned()));

        let names = candidates("openai/GPT-5.2-20251211");
        assert_eq!(names.first().map(String::as_str), Some("openai/gpt-5.2-20251211"));
        assert!(names.contains(&"gpt-5.2-2025-12-11".to_owned()));
        assert_eq!(names.last().map(String::as_str), Some("gpt-5.2"));
    }

    #[test]
    fn sellers_names_lead_to_the_maker() {
        for (seller, name, maker) in [
            ("azure", "gpt-5", Some(("openai", "gpt-5"))),
            ("aws", "us.anthropic.claude-opus-4-6-v1:0", Some(("anthropic", "claude-opus-4-6"))),
            ("google", "claude-sonnet-4-5@20250929", Some(("anthropic", "claude-sonnet-4-5@20250929"))),
            ("openrouter", "z-ai/glm-5", Some(("zai", "glm-5"))),
            ("groq", "llama-3.3-70b-versatile", None),
        ] {
            let found = made_by(seller, name);
            assert_eq!(
                found.as_ref().map(|(maker, model)| (*maker, model.as_str())),
                maker,
                "{seller}/{name}"
            );
        }
        assert_eq!(dashed_claude("claude-haiku-4.5").as_deref(), Some("claude-haiku-4-5"));
        assert_eq!(dashed_claude("us.anthropic.claude-haiku-4-5"), None);
    }

    #[test]
    fn no_name_breaks_it() {
        for name in [
            "",
            "/",
            "-",
            "é-2025-01-01",
            "日本語モデル",
            "models/",
            "a-2025-1-011",
            "🦀🦀🦀🦀",
            "claude",
            "claude-v",
            "claude-é.1",
        ] {
            candidates(name);
            made_by("openrouter", name);
        }
    }
}
