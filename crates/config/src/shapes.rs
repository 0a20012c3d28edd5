//! Fields that may be written in more than one shape, or whose names are data.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::file::{EnvBlock, ModelChoice};
use crate::secret::Secret;

/// `"provider/model"` or `{primary, fallbacks}`.
pub(crate) fn model_choice<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModelChoice, D::Error> {
    struct Choice;
    impl<'de> Visitor<'de> for Choice {
        type Value = ModelChoice;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a model reference or {primary, fallbacks}")
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<ModelChoice, E> {
            Ok(ModelChoice { primary: Some(value.to_owned()), fallbacks: Vec::new() })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelChoice, A::Error> {
            ModelChoice::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Choice)
}

/// An object of header names and values, in the order written.
pub(crate) fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Headers;
    impl<'de> Visitor<'de> for Headers {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of header names and values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut headers: Vec<(String, String)> = Vec::new();
            while let Some((name, Text(value))) = map.next_entry()? {
                let name: String = name;
                if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                    return Err(A::Error::custom(format!("header `{name}` is given twice")));
                }
                headers.push((name, value));
            }
            Ok(headers)
        }
    }
    deserializer.deserialize_map(Headers)
}

/// A key: text, or where it is.
pub(crate) fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Some(Secret::from(Text::deserialize(deserializer)?.0)))
}

/// Text, or `{source: "env", id: "NAME"}`, which means `${NAME}`.
struct Text(String);

/// A secret named by where it is, as files written elsewhere have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    #[serde(rename = "source")]
    _source: Place,
    /// There is one environment only.
    #[serde(default, rename = "provider")]
    _provider: Option<IgnoredAny>,
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Env,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                let reference = Reference::deserialize(MapAccessDeserializer::new(map))?;
                if !is_variable(&reference.id) {
                    return Err(A::Error::custom(
                        "`id` must be the name of a variable, such as CF_AIG_TOKEN",
                    ));
                }
                Ok(Text(format!("${{{}}}", reference.id)))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    struct Address;
    impl Visitor<'_> for Address {
        type Value = SocketAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an address and port such as \"127.0.0.1:18789\"")
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<SocketAddr, E> {
            let unnamed = value.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
            unnamed.as_deref().unwrap_or(value).parse().map_err(|_| {
                E::custom("expected an address and port such as \"127.0.0.1:18789\" or \"[::1]:18789\"")
            })
        }
    }
    deserializer.deserialize_str(Address)
}

pub(crate) fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    struct Wrapped(SocketAddr);
    impl<'de> Deserialize<'de> for Wrapped {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            address(deserializer).map(Self)
        }
    }
    Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
}

/// `null` counts as missing, as Cloudflare's API has it.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Variables stand beside the two switches, so the names decide: capitals are variables.
impl<'de> Deserialize<'de> for EnvBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Block;
        impl<'de> Visitor<'de> for Block {
            type Value = EnvBlock;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EnvBlock, A::Error> {
                let mut block = EnvBlock::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "shellEnv" => block.shell_env = map.next_value()?,
                        "cwdDotEnv" => block.cwd_dot_env = map.next_value()?,
                        "vars" => block.values.extend(map.next_value::<BTreeMap<String, Secret>>()?),
                        _ if is_variable(&name) => {
                            block.values.insert(name, map.next_value()?);
                        }
                        _ => map.next_value_seed(Unknown(&name))?,
                    }
                }
                Ok(block)
            }
        }
        deserializer.deserialize_map(Block)
    }
}

/// Refuses a field in the place of its value, so that the error's path includes it.
struct Unknown<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Unknown<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::unknown_field(self.0, &["shellEnv", "cwdDotEnv", "vars"]))
    }
}

fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase() || c == '_')
        && letters.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
