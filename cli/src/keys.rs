//! Key files of people: OpenSSH format, dedicated to Subak.

use crate::failure::{Done, Failure};
use std::path::Path;
use subak_ledger::log::SecretKey;
use subak_node::keyfile::{self, KeyFileError};

/// Reads a key; a passphrase comes from `SUBAK_PASSPHRASE` or `SUBAK_PASSPHRASE_FILE`.
pub fn read(path: &Path) -> Done<SecretKey> {
    keyfile::read(path, passphrase()?.as_deref()).map_err(|e| failure(&e))
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
        KeyFileError::PassphraseNeeded { .. } | KeyFileError::WrongPassphrase { .. } => {
            "set SUBAK_PASSPHRASE, or SUBAK_PASSPHRASE_FILE to a file that holds it"
        }
        _ => e.next(),
    };
    Failure::refused(code, e.to_string(), next)
}
