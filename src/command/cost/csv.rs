//! Comma-separated values as RFC 4180 has them: quotes, doubled quotes, line breaks inside quotes.

/// The rows of a text, the first one being the names of the columns. An error names the line.
pub(super) fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let separator = separator(text.lines().next().unwrap_or_default());
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut line) = (false, 1);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            c if quoted => field.push(c),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' => {
                row.push(std::mem::take(&mut field));
                finish(&mut rows, &mut row);
            }
            c if c == separator => row.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if quoted {
        return Err(format!("a quotation mark is not closed before the end (line {line})"));
    }
    row.push(field);
    finish(&mut rows, &mut row);
    Ok(rows)
}

/// Spreadsheets in some countries write semicolons, and some exports tabs.
fn separator(head: &str) -> char {
    let count = |c: char| head.matches(c).count();
    [',', ';', '\t'].into_iter().max_by_key(|c| (count(*c), *c == ',')).unwrap_or(',')
}

/// Takes the row unless the line was empty.
fn finish(rows: &mut Vec<Vec<String>>, row: &mut Vec<String>) {
    let row = std::mem::take(row);
    if row.len() > 1 || row.first().is_some_and(|field| !field.is_empty()) {
        rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_breaks_and_separators() {
        let expected = |rows: &[&[&str]]| -> Vec<Vec<String>> {
            rows.iter().map(|row| row.iter().map(|field| (*field).to_owned()).collect()).collect()
        };
        for (text, rows_of_it) in [
            ("a,b\n1,2\n", expected(&[&["a", "b"], &["1", "2"]])),
            ("\u{feff}a,b\r\n\"x, \"\"y\"\"\",\r\n", expected(&[&["a", "b"], &["x, \"y\"", ""]])),
            ("a;b\n1,5;2", expected(&[&["a", "b"], &["1,5", "2"]])),
            ("a\tb\n\n\"1\n2\"\t3\n", expected(&[&["a", "b"], &["1\n2", "3"]])),
            ("", vec![]),
        ] {
            assert_eq!(rows(text), Ok(rows_of_it), "{text:?}");
        }
        assert!(rows("a,b\n\"1,2\n").unwrap_err().contains("not closed"));
    }
}
