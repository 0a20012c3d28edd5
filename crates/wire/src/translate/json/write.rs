//! Writing JSON by appending bytes.

use serde_json::Number;

/// Appends an object whose fields `fill` writes.
pub(crate) fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, empty: true });
    out.push(b'}');
}

/// Appends an array whose items `fill` writes.
pub(crate) fn array(out: &mut Vec<u8>, fill: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    fill(&mut Array { out, empty: true });
    out.push(b']');
}

/// Appends a quoted, escaped string.
pub(crate) fn string(out: &mut Vec<u8>, value: &str) {
    let bytes = value.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut written = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(eight) = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok())
            && is_plain(u64::from_ne_bytes(eight))
        {
            at += 8;
            continue;
        }
        let byte = bytes[at];
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[written..at]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        at += 1;
        written = at;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

/// Whether none of eight bytes needs an escape, looked at all at once.
fn is_plain(bytes: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let has_below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes & (ONES << 7);
    let has = |byte: u8| has_below(bytes ^ (ONES * u64::from(byte)), 1);
    has_below(bytes, 0x20) | has(b'"') | has(b'\\') == 0
}

/// Appends a whole number.
pub(crate) fn integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn into_text(bytes: Vec<u8>) -> String {
    // Everything appended came from `str`s.
    String::from_utf8(bytes).unwrap_or_default()
}

/// An object being appended.
#[derive(Debug)]
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    /// Starts a field named by us, in letters that need no escape; its value goes to the returned buffer.
    pub(crate) fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        let start: &[u8] = if std::mem::replace(&mut self.empty, false) { b"\"" } else { b",\"" };
        self.out.reserve(start.len() + key.len() + 2);
        self.out.extend_from_slice(start);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Starts a field named by someone else.
    pub(crate) fn any_key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        string(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub(crate) fn string(&mut self, key: &'static str, value: &str) {
        string(self.key(key), value);
    }

    pub(crate) fn string_if(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    /// A value that is JSON text already.
    pub(crate) fn raw(&mut self, key: &'static str, value: &str) {
        self.key(key).extend_from_slice(value.as_bytes());
    }

    pub(crate) fn raw_if(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.raw(key, value);
        }
    }

    pub(crate) fn integer(&mut self, key: &'static str, value: u64) {
        integer(self.key(key), value);
    }

    pub(crate) fn number_if(&mut self, key: &'static str, value: Option<&Number>) {
        if let Some(value) = value {
            self.raw(key, &value.to_string());
        }
    }

    pub(crate) fn bool(&mut self, key: &'static str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self, key: &'static str) {
        self.raw(key, "null");
    }

    pub(crate) fn object(&mut self, key: &'static str, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.key(key), fill);
    }

    pub(crate) fn array(&mut self, key: &'static str, fill: impl FnOnce(&mut Array<'_>)) {
        array(self.key(key), fill);
    }

    pub(crate) fn strings<T: AsRef<str>>(&mut self, key: &'static str, values: &[T]) {
        self.array(key, |array| {
            values.iter().for_each(|value| array.string(value.as_ref()));
        });
    }
}

/// An array being appended.
#[derive(Debug)]
pub(crate) struct Array<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl Array<'_> {
    /// Starts an item; its value goes to the returned buffer.
    pub(crate) fn next(&mut self) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        self.out
    }

    pub(crate) fn string(&mut self, value: &str) {
        string(self.next(), value);
    }

    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        object(self.next(), fill);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_escaped_as_they_should_be(text in "[a-z\"\\\\\n\r\t\u{0}-\u{1f}é🌍 ]{0,40}") {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("a JSON string"), text);
        }

        #[test]
        fn integers_are_written_in_decimal(value in any::<u64>()) {
            let mut out = Vec::new();
            integer(&mut out, value);
            prop_assert_eq!(into_text(out), value.to_string());
        }
    }

    #[test]
    fn commas_stand_between_fields_and_items() {
        let mut out = Vec::new();
        object(&mut out, |body| {
            body.string("a", "x");
            body.array("b", |list| {
                list.string("y");
                list.object(|_| {});
            });
            body.null("c");
        });
        assert_eq!(into_text(out), r#"{"a":"x","b":["y",{}],"c":null}"#);
    }
}
