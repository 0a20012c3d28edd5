//! Bodies and metadata that only the holder of a private key can read, as Cloudflare's Logpush encrypts them: AES-256-GCM
//! under a key of the record's own, which is wrapped with RSA-OAEP (SHA-256).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Somebody's public key.
#[derive(Clone)]
pub struct SealingKey(Arc<OaepPublicEncryptingKey>);

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no RSA public key of 2048 to 8192 bits in PEM form (`-----BEGIN PUBLIC KEY-----`)")]
pub struct BadKey;

/// One sealed value, all of it in base64. The last 16 bytes of `data` are the tag.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sealed<'s> {
    r#type: &'static str,
    key: &'s str,
    iv: String,
    data: String,
}

/// Seals the values of one record.
pub(super) struct Sealer {
    key: LessSafeKey,
    /// In base64.
    wrapped: String,
}

/// No randomness, or the key does not fit: never to be answered by sending something else.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a record could not be encrypted")]
pub struct NotSealed;

impl SealingKey {
    /// SPKI in PEM form, as `openssl rsa -pubout` writes it.
    pub fn parse(pem: &str) -> Result<Self, BadKey> {
        let inside = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----").ok_or(BadKey)?;
        let inside = inside.strip_suffix("-----END PUBLIC KEY-----").ok_or(BadKey)?;
        // Settings that went through a form may have lost their line ends.
        let inside: String = inside.replace("\\n", "").split_whitespace().collect();
        let der = STANDARD.decode(inside).map_err(|_| BadKey)?;
        let key = PublicEncryptingKey::from_der(&der).map_err(|_| BadKey)?;
        Ok(Self(Arc::new(OaepPublicEncryptingKey::new(key).map_err(|_| BadKey)?)))
    }

    pub(super) fn sealer(&self) -> Result<Sealer, NotSealed> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| NotSealed)?;
        let mut wrapped = vec![0; self.0.ciphertext_size()];
        let wrapped =
            self.0.encrypt(&OAEP_SHA256_MGF1SHA256, &key, &mut wrapped, None).map_err(|_| NotSealed)?;
        let wrapped = STANDARD.encode(wrapped);
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| NotSealed)?;
        Ok(Sealer { key: LessSafeKey::new(key), wrapped })
    }
}

impl Sealer {
    pub(super) fn seal(&self, value: &[u8]) -> Result<Sealed<'_>, NotSealed> {
        let mut iv = [0; 12];
        rand::fill(&mut iv).map_err(|_| NotSealed)?;
        let mut data = value.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut data)
            .map_err(|_| NotSealed)?;
        Ok(Sealed {
            r#type: "encrypted",
            key: &self.wrapped,
            iv: STANDARD.encode(iv),
            data: STANDARD.encode(data),
        })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({} bits)", self.0.key_size_bits())
    }
}
