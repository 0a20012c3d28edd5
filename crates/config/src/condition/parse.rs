//! Text → expression, by recursive descent; the functions are in the order of precedence, loosest first.

use serde_json::{Number, Value};

use super::{Comparison, Expression, TextTest};

/// Longest expression, in bytes.
const LONGEST: usize = 4096;
/// Deepest nesting; each level is a few frames on the stack.
const DEEPEST: usize = 64;

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an expression: {message} (column {column})")]
pub struct ConditionError {
    pub message: String,
    /// In characters, from 1.
    pub column: usize,
}

pub(super) fn parse(text: &str) -> Result<Expression, ConditionError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if text.len() > LONGEST {
        return Err(parser.wrong(format!("it is longer than {LONGEST} bytes")));
    }
    let expression = parser.choice()?;
    match parser.rest() {
        "" => Ok(expression),
        rest if rest.starts_with(['+', '-', '*', '/', '%']) => {
            Err(parser.wrong("there is no arithmetic here"))
        }
        rest if rest.starts_with('=') => Err(parser.wrong("two values are compared with `==`")),
        _ => Err(parser.wrong("this should be the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Parsed = Result<Expression, ConditionError>;

impl<'a> Parser<'a> {
    fn choice(&mut self) -> Parsed {
        self.deeper(|parser| {
            let condition = parser.either()?;
            if !parser.takes("?") {
                return Ok(condition);
            }
            let then = parser.choice()?;
            parser.must_take(":")?;
            let otherwise = parser.choice()?;
            Ok(Expression::Choice(Box::new([condition, then, otherwise])))
        })
    }

    fn either(&mut self) -> Parsed {
        let mut left = self.both()?;
        while self.takes("||") {
            left = Expression::Either(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        while self.takes("&&") {
            left = Expression::Both(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Parsed {
        const SIGNS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let left = self.not()?;
        let how = match SIGNS.iter().find(|(sign, _)| self.takes(sign)) {
            Some((_, how)) => *how,
            None if self.word() == "in" => {
                self.at += 2;
                Comparison::In
            }
            None => return Ok(left),
        };
        Ok(Expression::Compare(how, Box::new(left), Box::new(self.not()?)))
    }

    fn not(&mut self) -> Parsed {
        if !self.rest().starts_with("!=") && self.takes("!") {
            return self.deeper(|parser| Ok(Expression::Not(Box::new(parser.not()?))));
        }
        self.member()
    }

    /// A value and what is asked of it: `.field`, `["field"]`, `.method(…)`.
    fn member(&mut self) -> Parsed {
        let mut value = self.primary()?;
        loop {
            if self.takes(".") {
                let from = self.at;
                let name = self.name()?;
                value = if self.takes("(") {
                    self.method(from, name, value)?
                } else {
                    self.field(from, name, value)?
                };
            } else if matches!(value, Expression::Field(_)) && self.takes("[") {
                let from = self.at;
                let Expression::Literal(Value::String(name)) = self.primary()? else {
                    self.at = from;
                    return Err(self.wrong("a field is named by text"));
                };
                self.must_take("]")?;
                value = self.field(from, name, value)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn field(&mut self, from: usize, name: String, of: Expression) -> Parsed {
        match of {
            Expression::Field(mut path) => {
                path.push(name);
                Ok(Expression::Field(path))
            }
            _ => {
                self.at = from;
                Err(self.wrong("only fields have fields"))
            }
        }
    }

    fn method(&mut self, from: usize, name: String, of: Expression) -> Parsed {
        let test = match name.as_str() {
            "size" => {
                self.must_take(")")?;
                return Ok(Expression::Size(Box::new(of)));
            }
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            "contains" => TextTest::Contains,
            _ => {
                self.at = from;
                return Err(self.wrong(format!(
                    "there is no `{name}`; there are startsWith, endsWith, contains and size"
                )));
            }
        };
        let part = self.choice()?;
        self.must_take(")")?;
        Ok(Expression::Text(test, Box::new(of), Box::new(part)))
    }

    fn primary(&mut self) -> Parsed {
        if self.takes("(") {
            let inner = self.choice()?;
            self.must_take(")")?;
            return Ok(inner);
        }
        if self.takes("[") {
            return self.list();
        }
        let rest = self.rest();
        match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            Some(digit) if digit.is_ascii_digit() || digit == '-' => self.number(),
            _ => self.named(),
        }
    }

    fn list(&mut self) -> Parsed {
        let mut items = Vec::new();
        while !self.takes("]") {
            items.push(self.choice()?);
            if !self.takes(",") {
                self.must_take("]")?;
                break;
            }
        }
        Ok(Expression::List(items))
    }

    fn quoted(&mut self, quote: char) -> Parsed {
        let mut text = String::new();
        let mut chars = self.rest()[1..].char_indices();
        let open = || "the text is not closed";
        while let Some((offset, found)) = chars.next() {
            if found == quote {
                self.at += offset + 2;
                return Ok(Expression::Literal(Value::String(text)));
            }
            if found != '\\' {
                text.push(found);
                continue;
            }
            match chars.next().ok_or_else(|| self.wrong(open()))?.1 {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                same @ ('\\' | '\'' | '"' | '`' | '?') => text.push(same),
                'u' => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let number = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                    let found = number.and_then(char::from_u32);
                    text.push(found.ok_or_else(|| self.wrong("`\\u` takes four hexadecimal digits"))?);
                }
                _ => return Err(self.wrong("unknown escape in the text")),
            }
        }
        Err(self.wrong(open()))
    }

    fn number(&mut self) -> Parsed {
        let rest = self.rest();
        let length =
            rest[1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| end + 1);
        let number: Result<Number, _> = rest[..length].parse();
        let number = number.map_err(|_| self.wrong("not a number"))?;
        self.at += length;
        Ok(Expression::Literal(Value::Number(number)))
    }

    fn named(&mut self) -> Parsed {
        let from = {
            self.rest();
            self.at
        };
        let name = self.name()?;
        if !self.rest().starts_with('(') {
            return Ok(match name.as_str() {
                "true" => Expression::Literal(Value::Bool(true)),
                "false" => Expression::Literal(Value::Bool(false)),
                "null" => Expression::Literal(Value::Null),
                _ => Expression::Field(vec![name]),
            });
        }
        let inside = self.at + 1;
        self.at = inside;
        match name.as_str() {
            "has" => {
                let argument = self.member()?;
                let Expression::Field(path) = argument else {
                    self.at = inside;
                    return Err(self.wrong("has() asks for a field"));
                };
                self.must_take(")")?;
                Ok(Expression::Has(path))
            }
            "size" => {
                let argument = self.choice()?;
                self.must_take(")")?;
                Ok(Expression::Size(Box::new(argument)))
            }
            _ => {
                self.at = from;
                Err(self.wrong(format!("there is no function `{name}`; there are has and size")))
            }
        }
    }

    fn name(&mut self) -> Result<String, ConditionError> {
        let name = self.word().to_owned();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong("a value is missing"));
        }
        self.at += name.len();
        Ok(name)
    }

    /// The word that comes next, if any.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    }

    fn takes(&mut self, sign: &str) -> bool {
        let takes = self.rest().starts_with(sign);
        if takes {
            self.at += sign.len();
        }
        takes
    }

    fn must_take(&mut self, sign: &str) -> Result<(), ConditionError> {
        if self.takes(sign) { Ok(()) } else { Err(self.wrong(format!("expected `{sign}`"))) }
    }

    /// What is still to be read, from the next character that is not a space.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEEPEST {
            return Err(self.wrong(format!("it is nested deeper than {DEEPEST}")));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn wrong(&self, message: impl Into<String>) -> ConditionError {
        let column = self.text[..self.at.min(self.text.len())].chars().count() + 1;
        ConditionError { message: message.into(), column }
    }
}
