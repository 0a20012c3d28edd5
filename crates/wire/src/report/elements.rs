//! JSON objects in a row: the elements of an array that arrives in chunks, or just one object.
//!
//! Gemini streams this way unless asked for server-sent events.

use memchr::memchr2;

/// The largest object taken in, in bytes.
const DEFAULT_LIMIT: usize = 1024 * 1024;

/// Cuts a stream into its outermost objects. What stands between them is skipped.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    /// The unfinished object; empty while skipping an oversized one.
    tail: Vec<u8>,
    /// How many braces and brackets of the current object are open.
    depth: usize,
    string: StringState,
    skipping: bool,
    limit: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StringState {
    Outside,
    Inside,
    AfterBackslash,
}

impl Elements {
    pub(super) fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    pub(super) fn with_limit(limit: usize) -> Self {
        Self { tail: Vec::new(), depth: 0, string: StringState::Outside, skipping: false, limit }
    }

    /// Takes the next bytes and calls `on_element` with each object they complete; one that lies wholly in the
    /// chunk is a slice of it.
    pub(super) fn push(&mut self, mut chunk: &[u8], mut on_element: impl FnMut(&[u8])) {
        loop {
            if self.depth == 0 {
                let Some(start) = memchr::memchr(b'{', chunk) else {
                    return;
                };
                chunk = &chunk[start..];
            }
            let Some(end) = self.element_end(chunk) else {
                self.keep(chunk);
                return;
            };
            let (element, after) = chunk.split_at(end);
            chunk = after;
            if self.tail.is_empty() && !self.skipping {
                if element.len() <= self.limit {
                    on_element(element);
                }
                continue;
            }
            self.keep(element);
            if !self.skipping {
                on_element(&self.tail);
            }
            self.tail.clear();
            self.skipping = false;
        }
    }

    /// Scans on and finds where the current object ends in `bytes`.
    fn element_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let byte = *bytes.get(at)?;
            match (self.string, byte) {
                (StringState::AfterBackslash, _) => self.string = StringState::Inside,
                (StringState::Inside, _) => {
                    at += memchr2(b'"', b'\\', &bytes[at..])?;
                    self.string =
                        if bytes[at] == b'"' { StringState::Outside } else { StringState::AfterBackslash };
                }
                (StringState::Outside, b'"') => self.string = StringState::Inside,
                (StringState::Outside, b'{' | b'[') => self.depth += 1,
                (StringState::Outside, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                (StringState::Outside, _) => {}
            }
            at += 1;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !self.skipping && self.tail.len() + bytes.len() <= self.limit {
            self.tail.extend_from_slice(bytes);
        } else {
            self.tail = Vec::new();
            self.skipping = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_cut_out_wherever_the_chunks_end() {
        let stream = br#" [{"a":"}]\\\"{","b":[{}]}
            ,
            {"much too long, this one":0}, {"c":{"d":1}}] {}"#;
        let expected: [&[u8]; 3] = [br#"{"a":"}]\\\"{","b":[{}]}"#, br#"{"c":{"d":1}}"#, b"{}"];
        for cut in 0..=stream.len() {
            let mut elements = Elements::with_limit(26);
            let mut seen = Vec::new();
            for chunk in [&stream[..cut], &stream[cut..]] {
                elements.push(chunk, |element| seen.push(element.to_vec()));
            }
            assert_eq!(seen, expected, "cut at {cut}");
        }
    }
}
