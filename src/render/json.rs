//! JSON laid out anew, token by token: order of names, digits and escapes stay as they were written.

use serde::de::IgnoredAny;

/// One name or element a line; `None` if this is no JSON.
pub(crate) fn spread(text: &str) -> Option<String> {
    laid_out(text, Some(2))
}

/// On one line, without blanks; `None` if this is no JSON.
pub(crate) fn compact(text: &str) -> Option<String> {
    laid_out(text, None)
}

fn laid_out(text: &str, indent: Option<usize>) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut rest = text.trim_ascii_start();
    while let Some(c) = rest.chars().next() {
        let mut token = c.len_utf8();
        match c {
            '"' => {
                token = string_length(rest);
                out.push_str(&rest[..token]);
            }
            '{' | '[' => {
                out.push(c);
                depth += 1;
                // An empty one stays on its line.
                if !rest[1..].trim_ascii_start().starts_with(['}', ']']) {
                    line(&mut out, indent, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                if !out.ends_with(['{', '[']) {
                    line(&mut out, indent, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, indent, depth);
            }
            ':' => out.push_str(if indent.is_some() { ": " } else { ":" }),
            other => out.push(other),
        }
        rest = rest[token..].trim_ascii_start();
    }
    Some(out)
}

fn line(out: &mut String, indent: Option<usize>, depth: usize) {
    if let Some(indent) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent * depth));
    }
}

/// How many bytes the string takes that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_changes_and_nothing_else() {
        let text = "{ \"z\" : [1.10, {}, [ ], \"a \\\" b\\\\\"],\n\"a\": {\"n\":12345678901234567890123} }";
        let spread_out = "{\n  \"z\": [\n    1.10,\n    {},\n    [],\n    \"a \\\" b\\\\\"\n  ],\n  \"a\": {\n    \
                          \"n\": 12345678901234567890123\n  }\n}";
        assert_eq!(spread(text).as_deref(), Some(spread_out));
        let one_line = "{\"z\":[1.10,{},[],\"a \\\" b\\\\\"],\"a\":{\"n\":12345678901234567890123}}";
        assert_eq!(compact(text).as_deref(), Some(one_line));
        assert_eq!(compact(spread_out).as_deref(), Some(one_line));
    }

    #[test]
    fn what_is_no_json_is_left_to_others() {
        for text in ["", "event: ping\n\n", "{\"a\":1", "{} {}"] {
            assert_eq!(spread(text), None, "{text}");
        }
    }
}
