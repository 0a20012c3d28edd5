//! A line of shell → its words: quotes, backslashes, line continuations and variables, as far as copied curl lines use
//! them.

use std::iter::Peekable;
use std::str::Chars;

use crate::printer::Failed;

/// Splits a line. `value` knows variables; commands are never run.
pub(super) fn split(line: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, Failed> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\\' if rest.peek() == Some(&'\r') => drop((rest.next(), rest.next_if_eq(&'\n'))),
            '\\' if rest.next_if_eq(&'\n').is_some() => {}
            '\\' => word.get_or_insert_default().extend(rest.next()),
            '\'' => single(&mut rest, word.get_or_insert_default())?,
            '"' => double(&mut rest, word.get_or_insert_default(), value)?,
            '$' => variable(&mut rest, word.get_or_insert_default(), value)?,
            '`' => return Err(substitution()),
            '|' | ';' | '&' | '>' | '<' | '\n' if next != '\n' || word.is_some() || !words.is_empty() => {
                break;
            }
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single(rest: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), Failed> {
    for next in rest.by_ref() {
        match next {
            '\'' => return Ok(()),
            other => word.push(other),
        }
    }
    Err(unclosed('\''))
}

fn double(
    rest: &mut Peekable<Chars<'_>>,
    word: &mut String,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Failed> {
    while let Some(next) = rest.next() {
        match next {
            '"' => return Ok(()),
            '\\' => match rest.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                Some('\n') => {}
                other => {
                    word.push('\\');
                    word.extend(other);
                }
            },
            '$' => variable(rest, word, value)?,
            '`' => return Err(substitution()),
            other => word.push(other),
        }
    }
    Err(unclosed('"'))
}

/// What follows a `$`.
fn variable(
    rest: &mut Peekable<Chars<'_>>,
    word: &mut String,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Failed> {
    if rest.peek() == Some(&'(') {
        return Err(substitution());
    }
    let braced = rest.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(next) = rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
        name.push(next);
    }
    if braced && rest.next_if_eq(&'}').is_none() {
        return Err(Failed::usage(format!("`${{{name}` is not closed, or more than a variable")));
    }
    if name.is_empty() {
        word.push('$');
        return Ok(());
    }
    let found = value(&name).ok_or_else(|| {
        Failed::usage(format!("the line uses ${name}, which is not set"))
            .hint(format!("export {name}, or write its value into the line"))
    })?;
    word.push_str(&found);
    Ok(())
}

fn unclosed(quote: char) -> Failed {
    Failed::usage(format!("a quote ({quote}) is not closed"))
        .hint("put the line between quotes of the other kind, or give it on standard input")
}

fn substitution() -> Failed {
    Failed::usage("the line runs another command ($(…) or `…`), which is not done here")
        .hint("use `genesis explain -- curl …`, so that your shell does it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let value = |name: &str| (name == "TOKEN").then(|| "a b".to_owned());
        split(line, &value).unwrap_or_else(|failed| panic!("{failed}"))
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(words("curl -H 'a: b'\"c\"\\ d \\\n  x"), ["curl", "-H", "a: bc d", "x"]);
        assert_eq!(
            words(r#"curl "x $TOKEN ${TOKEN}" '$TOKEN' "\"\n""#),
            ["curl", "x a b a b", "$TOKEN", "\"\\n"]
        );
        assert_eq!(words("curl x | jq ."), ["curl", "x"]);
        assert_eq!(words("\n curl ''\n"), ["curl", ""]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (line, why) in
            [("curl 'x", "not closed"), ("curl $NOPE", "$NOPE"), ("curl $(x)", "another command")]
        {
            let failed = split(line, &|_| None).expect_err("no words");
            assert!(failed.to_string().contains(why), "{failed}");
        }
    }
}
