//! Sealing of provider keys: AES-256-GCM under one master key.
//!
//! A sealed key is a version byte, a random 96-bit nonce, the ciphertext and its tag. The row's identity is
//! authenticated with it, so that a ciphertext copied to another row does not open.
//! The master key comes from the caller (the `GENESIS_MASTER_KEY` variable) or from `master.key` beside the store.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind as IoKind, Read, Write},
    path::Path,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice};

use crate::{Error, ErrorKind, Result, Secret, token::random};

const VERSION: u8 = 1;

/// Which row a sealed key belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) provider: &'a str,
    pub(crate) alias: &'a str,
    pub(crate) gateway: Option<&'a str>,
}

/// Where the master key comes from. Read when first needed: a store without keys needs none.
#[derive(Debug)]
pub(crate) enum MasterSource {
    Given(Secret),
    File,
}

impl MasterSource {
    /// The key to unseal with; it has to exist.
    pub(crate) fn for_opening(&self, path: &Path) -> Result<MasterKey> {
        match self {
            Self::Given(text) => MasterKey::parse(text.expose_secret(), "GENESIS_MASTER_KEY"),
            Self::File => MasterKey::read(path)?.ok_or_else(|| missing(path)),
        }
    }

    /// The key to seal with; a missing file is created unless keys sealed under an earlier one exist.
    pub(crate) fn for_sealing(&self, path: &Path, keys_exist: bool) -> Result<MasterKey> {
        match self {
            Self::Given(_) => self.for_opening(path),
            Self::File => match MasterKey::read(path)? {
                Some(key) => Ok(key),
                None if keys_exist => Err(missing(path)),
                None => MasterKey::create(path),
            },
        }
    }
}

/// 32 bytes that seal and unseal.
pub(crate) struct MasterKey(LessSafeKey);

impl MasterKey {
    pub(crate) fn seal(&self, identity: &Identity<'_>, text: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut ciphertext = text.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated(identity)),
                &mut ciphertext,
            )
            .map_err(|_| Error::new(ErrorKind::MasterKey, "the key could not be sealed; it is too long"))?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&nonce);
        sealed.append(&mut ciphertext);
        Ok(sealed)
    }

    pub(crate) fn open(&self, identity: &Identity<'_>, sealed: &[u8]) -> Result<String> {
        let refused = || {
            let Identity { provider, alias, .. } = identity;
            Error::new(
                ErrorKind::MasterKey,
                format!(
                    "the stored key `{provider}/{alias}` does not open: the master key is not the one it was sealed \
                     under, or the row was altered; restore the right GENESIS_MASTER_KEY or master.key, or remove \
                     the stored keys and set them again"
                ),
            )
        };
        let (version, rest) = sealed.split_first().ok_or_else(refused)?;
        if *version != VERSION {
            return Err(Error::new(
                ErrorKind::Newer,
                format!(
                    "the stored key `{}` was sealed by a newer version of Genesis; update",
                    identity.provider
                ),
            ));
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(refused)?;
        let mut text = ciphertext.to_vec();
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(associated(identity)), &mut text)
            .map_err(|_| refused())?
            .len();
        text.truncate(length);
        String::from_utf8(text).map_err(|_| refused())
    }

    /// `None` if there is no such file.
    fn read(path: &Path) -> Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(path, error)),
        };
        refuse_shared(path, &file)?;
        let mut text = SecretText(String::new());
        file.read_to_string(&mut text.0).map_err(|error| unreadable(path, error))?;
        Self::parse(text.0.trim(), &path.display().to_string()).map(Some)
    }

    fn create(path: &Path) -> Result<Self> {
        let bytes = random::<32>()?;
        let failed = |error| {
            Error::caused(
                ErrorKind::MasterKey,
                format!(
                    "cannot create the master key {}; make its folder writable, or set GENESIS_MASTER_KEY",
                    path.display()
                ),
                error,
            )
        };
        // Written aside and linked into place: never seen half-written, and a racing process's file is kept.
        let aside = path.with_extension(format!("key.{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&aside).and_then(|mut file| {
            writeln!(file, "{}", STANDARD.encode(bytes))?;
            file.sync_all()
        });
        let linked = written.and_then(|()| fs::hard_link(&aside, path));
        let _ = fs::remove_file(&aside);
        match linked {
            Ok(()) => Self::from_bytes(&bytes),
            Err(error) if error.kind() == IoKind::AlreadyExists => {
                Self::read(path)?.ok_or_else(|| missing(path))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// `text`: 32 bytes as base64 or 64 hex digits. `origin` is for the message.
    fn parse(text: &str, origin: &str) -> Result<Self> {
        let text = text.trim();
        let bytes = match text.len() {
            64 => (0..32).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect(),
            _ => STANDARD.decode(text).ok(),
        };
        let bytes: SecretSlice<u8> = bytes.unwrap_or_default().into();
        if bytes.expose_secret().len() != 32 {
            return Err(Error::new(
                ErrorKind::MasterKey,
                format!(
                    "the master key in {origin} is not 32 bytes in base64 or hex; make one with \
                     `openssl rand -base64 32`"
                ),
            ));
        }
        Self::from_bytes(bytes.expose_secret())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        UnboundKey::new(&AES_256_GCM, bytes)
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| Error::new(ErrorKind::MasterKey, "the master key is not 32 bytes long"))
    }
}

/// Text that is wiped when dropped.
struct SecretText(String);

impl Drop for SecretText {
    fn drop(&mut self) {
        drop(SecretSlice::from(std::mem::take(&mut self.0).into_bytes()));
    }
}

/// Each part with its length in front, so that no two rows have the same bytes.
fn associated(identity: &Identity<'_>) -> Vec<u8> {
    let mut bytes = b"genesis-key\x01".to_vec();
    for part in [Some(identity.provider), Some(identity.alias), identity.gateway] {
        match part {
            Some(part) => {
                bytes.push(1);
                bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part.as_bytes());
            }
            None => bytes.push(0),
        }
    }
    bytes
}

#[cfg(unix)]
fn refuse_shared(path: &Path, file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(|error| unreadable(path, error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Error::new(
        ErrorKind::MasterKey,
        format!(
            "other users may read the master key {path} (mode {:03o}); run `chmod 600 {path}`",
            mode & 0o777
        ),
    ))
}

#[cfg(not(unix))]
fn refuse_shared(_path: &Path, _file: &File) -> Result<()> {
    Ok(())
}

fn missing(path: &Path) -> Error {
    let path = path.display();
    Error::new(
        ErrorKind::MasterKey,
        format!(
            "keys are stored, but the master key {path} that seals them is gone; restore it (or set \
             GENESIS_MASTER_KEY), or remove the stored keys and set them again"
        ),
    )
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot read the master key {}; check its owner and mode", path.display());
    Error::caused(ErrorKind::MasterKey, message, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity<'_> = Identity { provider: "openai", alias: "default", gateway: None };

    fn key(byte: u8) -> MasterKey {
        MasterKey::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn opens_what_it_sealed_and_never_twice_the_same() {
        let (one, two) = (key(1).seal(&HERE, b"sk-1").unwrap(), key(1).seal(&HERE, b"sk-1").unwrap());
        assert_ne!(one, two);
        assert_eq!(key(1).open(&HERE, &one).unwrap(), "sk-1");
        assert_eq!(key(2).open(&HERE, &one).unwrap_err().kind(), ErrorKind::MasterKey);
    }

    #[test]
    fn any_changed_byte_and_any_other_row_is_refused() {
        let sealed = key(1).seal(&HERE, b"sk-1").unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key(1).open(&HERE, &altered).is_err(), "byte {at}");
            assert!(key(1).open(&HERE, &sealed[..at]).is_err(), "cut at {at}");
        }
        for other in [
            Identity { provider: "openaid", alias: "efault", gateway: None },
            Identity { gateway: Some(""), ..HERE },
            Identity { alias: "work", ..HERE },
        ] {
            assert!(key(1).open(&other, &sealed).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_master_key_is_32_bytes_in_base64_or_hex() {
        let sealed = key(0xAB).seal(&HERE, b"sk-1").unwrap();
        for text in ["ab".repeat(32), STANDARD.encode([0xAB; 32])] {
            assert_eq!(MasterKey::parse(&text, "test").unwrap().open(&HERE, &sealed).unwrap(), "sk-1");
        }
        for text in ["", "password", &"zz".repeat(32), &STANDARD.encode([1; 31])] {
            let message = MasterKey::parse(text, "GENESIS_MASTER_KEY").err().unwrap().to_string();
            assert!(message.contains("openssl rand"), "{message}");
            assert!(text.is_empty() || !message.contains(text), "{message}");
        }
    }
}
