//! Gateway tokens: what a client presents in `cf-aig-authorization`.
//!
//! The text is `gt_`, 43 base62 digits of 32 random bytes, and 6 base62 digits of a CRC-32 over what comes before,
//! so that a truncated or mistyped token is told apart from an unknown one, and secret scanners can match it.
//! Only the SHA-256 of the text is kept: 256 random bits need no slow hash.

use aws_lc_rs::{digest, rand};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Identity, Result, Secret, Store};

/// What a token may be used for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Permissions {
    /// Send requests through a gateway.
    pub run: bool,
    /// Read logs, usage and settings.
    pub read: bool,
    /// Change settings, keys and tokens.
    pub edit: bool,
}

/// What to ask for when creating a token.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// For people; unique among the tokens that are not revoked.
    pub name: String,
    pub permissions: Permissions,
    /// Gateway ids the token is good for; empty means all.
    pub gateways: Vec<String>,
    /// Milliseconds since the epoch; `None`: does not expire.
    pub expires_at_ms: Option<i64>,
    pub identity: Identity,
}

/// A token as it is stored. Its text is shown once, at creation, and cannot be recovered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenRow {
    /// Short and safe to show; what the log records.
    pub id: String,
    pub name: String,
    /// [`token_hash`] of the text.
    #[serde(skip)]
    pub hash: [u8; 32],
    /// First characters of the text, to recognise it by.
    pub preview: String,
    pub permissions: Permissions,
    pub gateways: Vec<String>,
    pub created_at_ms: i64,
    pub expires_at_ms: Option<i64>,
    pub revoked_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Identity::is_empty")]
    pub identity: Identity,
}

impl TokenRow {
    /// Neither revoked nor expired.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|end| now_ms < end)
    }
}

impl Store {
    /// Creates a token and returns its text, for the only time.
    pub fn create_token(&self, new: NewToken, now_ms: i64) -> Result<(TokenRow, Secret)> {
        let name = new.name.trim();
        if name.is_empty() || name.len() > 100 {
            return Err(Error::new(ErrorKind::Invalid, "a token needs a name of 1 to 100 characters"));
        }
        if new.expires_at_ms.is_some_and(|end| end <= now_ms) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the token would already be expired; give a later date",
            ));
        }
        let text = fresh_token()?;
        let row = TokenRow {
            id: format!("tok_{}", &base62(&random::<9>()?, 12)),
            name: name.to_owned(),
            hash: token_hash(text.as_bytes()),
            preview: format!("{}…", &text[..PREFIX.len() + 4]),
            permissions: new.permissions,
            gateways: new.gateways,
            created_at_ms: now_ms,
            expires_at_ms: new.expires_at_ms,
            revoked_at_ms: None,
            identity: new.identity,
        };
        self.settings().insert_token(&row)?;
        Ok((row, SecretString::from(text)))
    }

    /// Every token, the revoked ones too (the log may name them), oldest first.
    pub fn tokens(&self) -> Result<Vec<TokenRow>> {
        self.settings().tokens()
    }

    /// Revokes the token with this id, or the live one with this name. It stays listed.
    pub fn revoke_token(&self, id_or_name: &str, now_ms: i64) -> Result<TokenRow> {
        self.settings().revoke_token(id_or_name, now_ms)
    }
}

/// What is stored of a token and looked up for each request: SHA-256 of its text.
pub fn token_hash(presented: &[u8]) -> [u8; 32] {
    sha256(presented)
}

/// SHA-256, also for checking files.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Whether `text` has the shape of a token: prefix, length, alphabet and checksum. Says nothing about whether
/// it is known.
pub fn looks_like_token(text: &str) -> bool {
    text.len() == PREFIX.len() + RANDOM_DIGITS + CHECK_DIGITS
        && text.starts_with(PREFIX)
        && text[PREFIX.len()..].bytes().all(|byte| byte.is_ascii_alphanumeric())
        && checksum(&text[..PREFIX.len() + RANDOM_DIGITS]) == text[PREFIX.len() + RANDOM_DIGITS..]
}

const PREFIX: &str = "gt_";
const RANDOM_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;

fn fresh_token() -> Result<String> {
    let mut text = PREFIX.to_owned();
    text.push_str(&base62(&random::<32>()?, RANDOM_DIGITS));
    let check = checksum(&text);
    text.push_str(&check);
    Ok(text)
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Io, "the operating system gave no random bytes; try again"))?;
    Ok(bytes)
}

fn checksum(text: &str) -> String {
    base62(&crc32(text.as_bytes()).to_be_bytes(), CHECK_DIGITS)
}

/// `number`, big-endian, as `digits` base62 digits; the most significant come first, leading zeros kept.
fn base62(number: &[u8], digits: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = number.to_vec();
    let mut text = vec![b'0'; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0;
        for byte in &mut number {
            let value = remainder * 256 + u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    text.into_iter().map(char::from).collect()
}

/// CRC-32 as in zip and Ethernet. Bit by bit: it runs over 46 bytes, and only where a token was not found.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn base62_keeps_leading_zeros_and_every_bit() {
        assert_eq!(base62(&[0, 61], 3), "00z");
        assert_eq!(base62(&[0, 62], 3), "010");
        // 2^256 − 1 in base 62 needs 43 digits: nothing of the 32 bytes is cut off.
        assert_eq!(base62(&[255; 32], 44).as_bytes()[0], b'0');
        assert_ne!(base62(&[255; 32], 43).as_bytes()[0], b'0');
    }

    #[test]
    fn a_changed_or_cut_token_is_noticed() {
        let text = fresh_token().unwrap();
        assert!(looks_like_token(&text), "{text}");
        assert!(!looks_like_token(&text[..text.len() - 1]));
        assert!(!looks_like_token(&format!("{text}x")));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert!(!looks_like_token(std::str::from_utf8(&bytes).unwrap()), "position {at}");
        }
        assert!(!looks_like_token("gt_ä"));
    }
}
