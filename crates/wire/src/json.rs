//! Tolerant JSON reading: typed, borrowed, and never upset by a field of the wrong type.
//!
//! What providers and clients send is read for a handful of facts. A field we do not understand must not
//! hide the ones we do, so here a wrong type means "absent" and of duplicate keys the last one wins, where
//! `#[derive(Deserialize)]` would refuse the whole document.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The largest count taken at its word. No call has a million million tokens; the bound lets counts be
/// added, and multiplied by a price in nano-dollars, without overflow.
pub(crate) const MAX_COUNT: u64 = 1 << 40;

/// Declares a struct read from a JSON object by [`Object`]'s rules: `field: Type = "key"`.
macro_rules! object {
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(<$life:lifetime>)? {
        $($field:ident: $type:ty = $key:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $name $(<$life>)? {
            $(pub(crate) $field: $type,)*
        }

        impl<'de $(: $life, $life)?> $crate::json::Object<'de> for $name $(<$life>)? {
            fn field<M: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
                match key {
                    $($key => self.$field = map.next_value()?,)*
                    _ => {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(())
            }
        }

        impl<'de $(: $life, $life)?> serde::de::Deserialize<'de> for $name $(<$life>)? {
            fn deserialize<D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::json::ObjectVisitor::new())
            }
        }
    };
}
pub(crate) use object;

/// An object read field by field; anything that is not an object reads as the default.
pub(crate) trait Object<'de>: Default {
    /// Takes the value of `key`, or skips it.
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error>;
}

/// A token count: `None` for anything but a number that is not negative; never above [`MAX_COUNT`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl Count {
    /// The count, with absent as zero.
    pub(crate) fn or_zero(self) -> u64 {
        self.0.unwrap_or(0)
    }

    fn of_text(text: &str) -> Option<u64> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // Only too many digits can fail here.
            return Some(text.parse().unwrap_or(MAX_COUNT).min(MAX_COUNT));
        }
        let number = text.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
        // `as` saturates, so infinity is fine.
        Some((number as u64).min(MAX_COUNT))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Raw, because serde_json refuses a document over a number like 1e999.
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let number = raw.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        Ok(Self(number.then(|| Self::of_text(raw)).flatten()))
    }
}

/// A string: `None` for any other type and for the empty string.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    pub(crate) fn of_raw(raw: &'a RawValue) -> Self {
        let Some(inner) = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Self(None);
        };
        let text = if inner.contains('\\') {
            serde_json::from_str(raw.get()).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        };
        Self(text.filter(|text| !text.is_empty()))
    }

    pub(crate) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self::of_raw)
    }
}

/// The first element of an array; `None` for an empty one or another type.
#[derive(Debug)]
pub(crate) struct First<T>(pub(crate) Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstVisitor(PhantomData))
    }
}

/// Every element of an array; empty for another type.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// Parses `text` by `T`'s rules; `None` if it is not JSON.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

pub(crate) struct ObjectVisitor<T>(PhantomData<T>);

impl<T> ObjectVisitor<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// The visits every tolerant reader answers with its default.
macro_rules! ignore_scalars {
    () => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("any JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

impl<'de, T: Object<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    ignore_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<T, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(Key(key)) = map.next_key()? {
            object.field(&key, &mut map)?;
        }
        Ok(object)
    }
}

struct FirstVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstVisitor<T> {
    type Value = First<T>;

    ignore_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<First<T>, A::Error> {
        let first = elements.next_element()?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(First(first))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<First<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(First(None))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    ignore_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(List::default())
    }
}

/// A key, borrowed unless it is written with escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    object! {
        struct Sample<'a> {
            count: Count = "count",
            text: Text<'a> = "text",
            first: First<Inner> = "first",
            inner: Inner = "inner",
        }
    }

    object! {
        struct Inner {
            count: Count = "count",
        }
    }

    fn count(json: &str) -> Option<u64> {
        serde_json::from_str::<Count>(json).unwrap().0
    }

    #[test]
    fn counts_saturate_and_ignore_nonsense() {
        for (json, expected) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("12.9", Some(12)),
            ("1.2e1", Some(12)),
            ("1e999", Some(MAX_COUNT)),
            ("99999999999999999999999", Some(MAX_COUNT)),
            ("-1", None),
            ("-0.5", None),
            ("\"12\"", None),
            ("null", None),
            ("true", None),
            ("{}", None),
            ("[1]", None),
        ] {
            assert_eq!(count(json), expected, "{json}");
        }
    }

    #[test]
    fn wrong_types_read_as_absent_and_the_last_duplicate_wins() {
        let json =
            r#"{"count":"x","text":5,"first":{"a":1},"inner":[1,{"count":3}],"count":2,"te\u0078t":"a\nb"}"#;
        let sample = read::<Sample>(json.as_bytes()).unwrap();
        assert_eq!(sample.count, Count(Some(2)));
        assert_eq!(sample.text.as_deref(), Some("a\nb"));
        assert!(sample.first.0.is_none());
        assert_eq!(sample.inner.count, Count(None));

        let sample = read::<Sample>(br#"{"first":[{"count":1},{"count":2}],"inner":null}"#).unwrap();
        assert_eq!(sample.first.0.unwrap().count, Count(Some(1)));
        assert!(read::<Sample>(b"{").is_none());
        assert!(read::<Sample>(b"[]").is_some());
    }
}
