//! Where a provider serves a model: the path of its endpoint, filled in.

use genesis_config::Provider;
use genesis_wire::Dialect;

use crate::credential::Credential;
use crate::failure::Failure;
use crate::plan::malformed;

/// Bedrock's region for API keys, which name none.
const BEDROCK_REGION: &str = "us-east-1";
/// Vertex serves its models here without asking for a region.
const VERTEX_REGION: &str = "global";

/// A model as its provider knows it, and what its name said besides.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Place<'m> {
    pub(crate) model: &'m str,
    /// Azure: `azure-openai/{resource}/{deployment}`.
    resource: Option<&'m str>,
}

impl<'m> Place<'m> {
    /// Reads what follows the provider in `provider/model`. Vertex's models begin with their maker
    /// (`google/gemini-2.5-pro`), Azure's may begin with the resource.
    pub(crate) fn read(provider: &Provider, named: &'m str) -> Result<Self, Failure> {
        let plain = Self { model: named, resource: None };
        let Some((first, rest)) = named.split_once('/') else { return Ok(plain) };
        if needs(provider, "{project}") {
            return match first {
                "google" | "anthropic" => Ok(Self { model: rest, resource: None }),
                _ => Err(malformed(format!(
                    "of {}'s models only google/… and anthropic/… have a translation; call {first}'s on the \
                     provider's own path",
                    provider.slug
                ))),
            };
        }
        if needs(provider, "{resource}") {
            return Ok(Self { model: rest, resource: Some(first) });
        }
        Ok(plain)
    }

    /// The path below the provider that serves a dialect.
    pub(crate) fn path(
        &self,
        provider: &Provider,
        dialect: Dialect,
        stream: bool,
        credential: &Credential,
    ) -> Result<String, Failure> {
        let unspoken = || malformed(format!("{} has no {} endpoint", provider.slug, dialect.name()));
        let bare = provider.endpoint(dialect, stream, &[]).ok_or_else(unspoken)?;
        let region = match provider.parameter("region").or(credential.region()) {
            Some(region) => region,
            None if bare.contains("{project}") => VERTEX_REGION,
            None => BEDROCK_REGION,
        };
        let given = [
            ("model", Some(self.model)),
            ("region", Some(region)),
            ("project", provider.parameter("project").or(credential.project())),
            ("resource", self.resource.or(provider.parameter("resource"))),
        ];
        let given: Vec<(&str, &str)> =
            given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let path = provider.endpoint(dialect, stream, &given).ok_or_else(unspoken)?;
        match path.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            None => Ok(path),
            Some((missing, _)) => Err(Failure::misconfigured(format!(
                "{slug} needs a {missing}: set models.providers.{slug}.{missing} in genesis.json, or call \
                 /v1/<account>/<gateway>/{slug}/… with the whole path",
                slug = provider.slug
            ))),
        }
    }

    /// Whether the path names the model, so that the body of an Anthropic call must not.
    pub(crate) fn model_in_path(provider: &Provider, dialect: Dialect) -> bool {
        dialect == Dialect::AnthropicMessages
            && provider.endpoint(dialect, false, &[]).is_some_and(|path| path.contains("{model}"))
    }
}

fn needs(provider: &Provider, name: &str) -> bool {
    provider
        .dialects
        .iter()
        .any(|dialect| provider.endpoint(*dialect, false, &[]).is_some_and(|path| path.contains(name)))
}

#[cfg(test)]
mod tests {
    use genesis_config::Providers;

    use super::*;

    #[test]
    fn a_models_name_says_where_it_is() {
        let providers = Providers::builtin();
        let read = |slug: &str, named: &'static str| {
            let place = Place::read(providers.find(slug).expect("built in"), named);
            place.ok().map(|place| (place.model, place.resource))
        };
        assert_eq!(read("google-vertex-ai", "google/gemini-2.5-pro"), Some(("gemini-2.5-pro", None)));
        assert_eq!(read("google-vertex-ai", "gemini-2.5-pro"), Some(("gemini-2.5-pro", None)));
        assert_eq!(read("google-vertex-ai", "anthropic/claude-x"), Some(("claude-x", None)));
        assert_eq!(read("google-vertex-ai", "meta/llama-x"), None);
        assert_eq!(read("azure-openai", "gpt-5"), Some(("gpt-5", None)));
        assert_eq!(read("azure-openai", "mine/gpt-5"), Some(("gpt-5", Some("mine"))));
        assert_eq!(read("openrouter", "openai/gpt-5"), Some(("openai/gpt-5", None)));
        assert_eq!(read("aws-bedrock", "us.amazon.nova-pro-v1:0"), Some(("us.amazon.nova-pro-v1:0", None)));
    }

    #[test]
    fn what_is_missing_is_named() {
        let providers = Providers::builtin();
        let path = |slug: &str, named: &'static str, dialect| {
            let provider = providers.find(slug).expect("built in");
            let place = Place::read(provider, named)?;
            place.path(provider, dialect, true, &Credential::None)
        };
        let failure = path("azure-openai", "gpt-5", Dialect::OpenAiChat).expect_err("no resource");
        assert!(failure.description.contains("models.providers.azure-openai.resource"), "{failure:?}");
        assert_eq!(
            path("azure-openai", "mine/gpt-5", Dialect::OpenAiChat).expect("a resource"),
            "mine/openai/v1/chat/completions"
        );
        let failure =
            path("vertex", "google/gemini-2.5-pro", Dialect::GeminiGenerate).expect_err("no project");
        assert!(failure.description.contains("google-vertex-ai.project"), "{failure:?}");
        assert_eq!(
            path("bedrock", "us.amazon.nova-pro-v1:0", Dialect::BedrockConverse).expect("a region"),
            "bedrock-runtime/us-east-1/model/us.amazon.nova-pro-v1:0/converse-stream"
        );
    }
}
