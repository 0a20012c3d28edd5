//! Money and rates as integers. Decimal text is converted digit by digit, never through a float.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// Nano-USD in one US dollar.
pub const NANO: i64 = 1_000_000_000;

/// An amount of money in nano-USD, written as a decimal number of US dollars.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Usd(pub i64);

impl Usd {
    /// Reads decimal text such as `25`, `0.075` or `3e-6`; digits below a nano-USD are rounded half up.
    /// `None` for anything but a decimal number that fits.
    pub fn parse(text: &str) -> Option<Self> {
        scaled(text, 9).and_then(|nano| i64::try_from(nano).ok()).map(Self)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, mut part) = (self.0.unsigned_abs() / NANO as u64, self.0.unsigned_abs() % NANO as u64);
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        let mut digits = 9;
        while part.is_multiple_of(10) {
            part /= 10;
            digits -= 1;
        }
        write!(f, "{sign}{whole}.{part:0digits$}")
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // JSON's numbers are read as doubles by most clients, so a double is what they get; the value kept and
        // compared by this product stays the integer.
        match self.0 % NANO {
            0 => serializer.serialize_i64(self.0 / NANO),
            _ => serializer.serialize_f64(self.0 as f64 / NANO as f64),
        }
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsdVisitor)
    }
}

struct UsdVisitor;

impl Visitor<'_> for UsdVisitor {
    type Value = Usd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount in US dollars")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Usd, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Usd, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Usd, E> {
        // The shortest text that reads back as this double is what the author typed.
        self.visit_str(&value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Usd, E> {
        Usd::parse(value).ok_or_else(|| E::custom("expected an amount in US dollars, such as 25 or 0.5"))
    }
}

/// Decimal text times 10^`exponent`, as an integer, rounded half up (away from zero for negatives).
pub fn scaled(text: &str, exponent: i32) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, part].concat();
    if digits.is_empty() || digits.len() > 60 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let shift = exponent.checked_add(power)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    let value = if shift >= 0 {
        let value = digits.trim_start_matches('0');
        if value.is_empty() {
            0
        } else {
            value.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?
        }
    } else {
        // Cut off digit by digit; only the first one lost decides the rounding.
        let cut = shift.unsigned_abs() as usize;
        let padded = format!("{digits:0>width$}", width = (cut + 1).min(200).max(digits.len()));
        if cut >= padded.len() {
            0
        } else {
            let (kept, lost) = padded.split_at(padded.len() - cut);
            let kept = kept.trim_start_matches('0');
            let kept = if kept.is_empty() { 0 } else { kept.parse::<i128>().ok()? };
            kept + i128::from(lost.as_bytes()[0] >= b'5')
        }
    };
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_becomes_an_exact_integer() {
        for (text, nano) in [
            ("25", Some(25_000_000_000)),
            ("0.075", Some(75_000_000)),
            (".5", Some(500_000_000)),
            ("3e-6", Some(3_000)),
            ("1.5E2", Some(150_000_000_000)),
            ("0.0000000005", Some(1)),
            ("0.0000000004999", Some(0)),
            ("1e-300", Some(0)),
            ("-0.5", Some(-500_000_000)),
            ("9223372036", Some(9_223_372_036_000_000_000)),
            ("9999999999", None),
            ("1e400", None),
            ("", None),
            (".", None),
            ("1,5", None),
            ("NaN", None),
        ] {
            assert_eq!(Usd::parse(text).map(|usd| usd.0), nano, "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_without_trailing_zeros() {
        assert_eq!(Usd(25_000_000_000).to_string(), "25");
        assert_eq!(Usd(75_000_000).to_string(), "0.075");
        assert_eq!(Usd(-1).to_string(), "-0.000000001");
    }
}
