//! Key files of people: OpenSSH format, dedicated to Subak.

use crate::failure::{Done, Failure};
use std::path::Path;
use subak_ledger::log::{PublicKey, SecretKey, checkpoint::parse_verifier_key};
use subak_node::keyfile::{self, KeyFileError};

/// How the comment of a witness's key begins; the name that it signs under follows.
pub const WITNESS: &str = "subak witness ";

/// Reads a key; a passphrase comes from `SUBAK_PASSPHRASE` or `SUBAK_PASSPHRASE_FILE`.
/// The key of a witness is refused: it signs nothing else.
pub fn read(path: &Path) -> Done<SecretKey> {
    let read = keyfile::read_labelled(path, passphrase()?.as_deref());
    let (key, comment) = read.map_err(|e| failure(&e))?;
    if comment.starts_with(WITNESS) {
        return Err(Failure::refused(
            "witness-key",
            format!("{}: this key was made for a witness, and signs nothing else", path.display()),
            "name a person's key; `subak key new HANDLE` makes one",
        ));
    }
    Ok(key)
}

/// The passphrase that the environment gives, if any.
pub fn passphrase() -> Done<Option<String>> {
    if let Ok(text) = std::env::var("SUBAK_PASSPHRASE") {
        return Ok(Some(text));
    }
    let Some(file) = std::env::var_os("SUBAK_PASSPHRASE_FILE") else { return Ok(None) };
    let text = std::fs::read_to_string(&file).map_err(|e| Failure::file(Path::new(&file), &e))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A key file's error as the command line says it.
pub fn failure(e: &KeyFileError) -> Failure {
    let code = match e {
        KeyFileError::Io { .. } => "key-file",
        KeyFileError::Exists { .. } => "key-exists",
        KeyFileError::Format { .. } | KeyFileError::Halves { .. } => "key-damaged",
        KeyFileError::Algorithm { .. } => "key-algorithm",
        KeyFileError::PassphraseNeeded { .. } => "passphrase-needed",
        KeyFileError::WrongPassphrase { .. } => "wrong-passphrase",
        KeyFileError::Random(_) => "random",
    };
    let next = match e {
        KeyFileError::PassphraseNeeded { .. } => {
            "set SUBAK_PASSPHRASE, or SUBAK_PASSPHRASE_FILE to a file that holds it"
        }
        KeyFileError::WrongPassphrase { .. } => {
            "set SUBAK_PASSPHRASE to the right one; where it is lost, so is the key: make another \
             with `subak key new HANDLE --out FILE`, and let the stewards give it to you with \
             `subak agent recover`"
        }
        _ => e.next(),
    };
    match e {
        KeyFileError::Io { .. } | KeyFileError::Random(_) => {
            Failure::world(code, e.to_string(), next)
        }
        _ => Failure::refused(code, e.to_string(), next),
    }
}

/// An author's public key as people pass it on: 64 hex digits.
pub fn public(text: &str) -> Done<Vec<u8>> {
    hex::decode(text).ok().filter(|k| k.len() == 32).ok_or_else(|| {
        Failure::usage(
            format!("key {text:?}: expected 64 hex digits"),
            "let the person run `subak key show`",
        )
    })
}

/// An operator's public key as people pass it on: 64 hex digits, or a verifier key
/// (`name+hash+base64`, as C2SP's signed notes name keys).
pub fn operator(text: &str) -> Done<PublicKey> {
    if let Ok((_, key)) = parse_verifier_key(text) {
        return Ok(key);
    }
    let bad = |why: &str| {
        Failure::usage(
            format!(
                "operator key {text:?}: {why}; expected 64 hex digits, or a verifier key as in \
                 subak/ID+12345678+BASE64"
            ),
            "`subak commons show` prints the operator's key",
        )
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|e| match e {
        hex::FromHexError::InvalidStringLength | hex::FromHexError::OddLength => {
            bad(&format!("it has {} characters", text.chars().count()))
        }
        hex::FromHexError::InvalidHexCharacter { .. } => bad("it is neither"),
    })?;
    PublicKey::admit(&bytes).map_err(|_| bad("it is no Ed25519 key that may sign"))
}
