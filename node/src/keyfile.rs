//! Signing keys in OpenSSH private key files.
//!
//! Owns reading and writing them. Guarantees that a written file is readable by its owner
//! only, is synced, and replaced nothing; that a key read signs for the public half in its
//! file. Leaves out where keys lie (`ring`, the command line) and asking for passphrases.

use crate::NodeError;
use crate::refusal::world;
use ssh_key::{
    Cipher, Kdf, LineEnding, PrivateKey,
    private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData},
    public::Ed25519PublicKey,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use subak_ledger::{log::SecretKey, store::sync_directory};
use zeroize::{Zeroize as _, Zeroizing};

/// bcrypt rounds, as ssh-keygen's default is: a guess costs a third of a second.
const ROUNDS: u32 = 24;

/// A key file is smaller than this, in bytes.
const MOST: u64 = 16 * 1024;

/// Why a key file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The operating system refused.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Nothing is overwritten.
    #[error("{}: it exists and is not overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not a private key in OpenSSH format.
    #[error("{}: not an OpenSSH private key: {detail}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        detail: String,
    },
    /// A key of another algorithm.
    #[error("{}: expected an Ed25519 key, found {found}", .path.display())]
    Algorithm {
        /// The file.
        path: PathBuf,
        /// Its algorithm.
        found: String,
    },
    /// The file holds a public key that its private key does not sign for.
    #[error("{}: its public half is not that of its private key", .path.display())]
    Halves {
        /// The file.
        path: PathBuf,
    },
    /// It is encrypted, and no passphrase was given.
    #[error("{}: it is protected by a passphrase", .path.display())]
    PassphraseNeeded {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase does not open it.
    #[error("{}: the passphrase does not open it", .path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// No randomness.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
}

impl KeyFileError {
    /// What the person can do next.
    pub fn next(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check the path and its permissions",
            Self::Exists { .. } => "name another file; a key that is lost cannot be made again",
            Self::Format { .. } | Self::Halves { .. } => "restore the file from your backup",
            Self::Algorithm { .. } => "make a key with `subak key new`",
            Self::PassphraseNeeded { .. } | Self::WrongPassphrase { .. } => "give its passphrase",
            Self::Random(_) => "try again",
        }
    }
}

impl From<KeyFileError> for NodeError {
    fn from(error: KeyFileError) -> Self {
        world("key-file", error.to_string(), error.next())
    }
}

/// A fresh key, from the system's randomness.
pub fn generate() -> Result<SecretKey, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    fill(&mut *seed)?;
    Ok(SecretKey::from_seed(&seed))
}

/// Reads a private key; `passphrase` is needed where the file is encrypted, and else unused.
pub fn read(path: &Path, passphrase: Option<&str>) -> Result<SecretKey, KeyFileError> {
    read_labelled(path, passphrase).map(|(key, _)| key)
}

/// As [`read`], with the file's comment, which says what the key is for.
pub fn read_labelled(
    path: &Path,
    passphrase: Option<&str>,
) -> Result<(SecretKey, String), KeyFileError> {
    let at = || path.to_path_buf();
    let text = read_text(path).map_err(|error| KeyFileError::Io { path: at(), error })?;
    let malformed = |e: ssh_key::Error| KeyFileError::Format { path: at(), detail: e.to_string() };
    let mut key = PrivateKey::from_openssh(text.as_bytes()).map_err(malformed)?;
    if key.is_encrypted() {
        let passphrase = passphrase.ok_or_else(|| KeyFileError::PassphraseNeeded { path: at() })?;
        key = key.decrypt(passphrase).map_err(|_| KeyFileError::WrongPassphrase { path: at() })?;
    }
    let KeypairData::Ed25519(pair) = key.key_data() else {
        return Err(KeyFileError::Algorithm { path: at(), found: key.algorithm().to_string() });
    };
    let mut seed = pair.private.to_bytes();
    let secret = SecretKey::from_seed(&seed);
    seed.zeroize();
    // The library takes the public half on trust. A signature under another half could
    // give the private key away (RFC 8032 signs over both).
    let halves = [pair.public.0, *key.public_key().key_data().ed25519().map_or(&[0; 32], |k| &k.0)];
    if halves != [secret.public().bytes(); 2] {
        return Err(KeyFileError::Halves { path: at() });
    }
    Ok((secret, key.comment().to_owned()))
}

/// Whether the file is encrypted, so that a caller knows to ask for a passphrase.
pub fn is_encrypted(path: &Path) -> Result<bool, KeyFileError> {
    match read(path, None) {
        Ok(_) => Ok(false),
        Err(KeyFileError::PassphraseNeeded { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes a key to a file that must not exist, for its owner only, synced; encrypted
/// (aes256-ctr, bcrypt) if there is a `passphrase`. `comment` is public.
pub fn write_new(
    path: &Path,
    key: &SecretKey,
    passphrase: Option<&str>,
    comment: &str,
) -> Result<(), KeyFileError> {
    let text = encode(path, key, passphrase, comment)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_path_buf() },
        _ => KeyFileError::Io { path: path.to_path_buf(), error },
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| sync_directory(path));
    if written.is_err() {
        // Half a key is none; what cannot be removed will not parse.
        let _ = fs::remove_file(path);
    }
    written.map_err(failed)
}

fn encode(
    path: &Path,
    key: &SecretKey,
    passphrase: Option<&str>,
    comment: &str,
) -> Result<Zeroizing<String>, KeyFileError> {
    let seed = Zeroizing::new(key.seed());
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(key.public().bytes()),
        private: Ed25519PrivateKey::from_bytes(&seed),
    };
    let malformed =
        |e: ssh_key::Error| KeyFileError::Format { path: path.into(), detail: e.to_string() };
    let mut private = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(malformed)?;
    if let Some(passphrase) = passphrase {
        let mut random = [0; 20];
        fill(&mut random)?;
        let (salt, check) = random.split_first_chunk::<16>().expect("20 bytes hold 16");
        let kdf = Kdf::Bcrypt { salt: salt.to_vec(), rounds: ROUNDS };
        let check = u32::from_be_bytes(check.try_into().expect("20 bytes less 16 are 4"));
        private =
            private.encrypt_with(Cipher::Aes256Ctr, kdf, check, passphrase).map_err(malformed)?;
    }
    private.to_openssh(LineEnding::LF).map_err(malformed)
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    io::Read::read_to_string(&mut io::Read::take(File::open(path)?, MOST), &mut text)?;
    Ok(text)
}

fn fill(bytes: &mut [u8]) -> Result<(), KeyFileError> {
    getrandom::fill(bytes).map_err(|e| KeyFileError::Random(e.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_seed(&[7; 32])
    }

    #[test]
    fn a_key_comes_back_and_is_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_new(&path, &key(), None, "wayan").unwrap();
        assert_eq!(read(&path, None).unwrap().seed(), key().seed());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let before = fs::read(&path).unwrap();
        let again = write_new(&path, &SecretKey::from_seed(&[8; 32]), None, "");
        assert!(matches!(again, Err(KeyFileError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), before, "nothing is overwritten");
    }

    #[test]
    fn a_passphrase_is_needed_and_judged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        write_new(&path, &key(), Some("padi"), "subak witness w.example").unwrap();
        let (_, comment) = read_labelled(&path, Some("padi")).unwrap();
        assert_eq!(comment, "subak witness w.example", "what it is for");
        assert!(is_encrypted(&path).unwrap());
        assert!(matches!(read(&path, None), Err(KeyFileError::PassphraseNeeded { .. })));
        assert!(matches!(read(&path, Some("jagung")), Err(KeyFileError::WrongPassphrase { .. })));
        assert_eq!(read(&path, Some("padi")).unwrap().seed(), key().seed());
    }

    #[test]
    fn another_text_or_another_public_half_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        fs::write(&path, "padi").unwrap();
        assert!(matches!(read(&path, None), Err(KeyFileError::Format { .. })));
        let pair = Ed25519Keypair {
            public: Ed25519PublicKey([9; 32]),
            private: Ed25519PrivateKey::from_bytes(&[7; 32]),
        };
        let crossed = PrivateKey::new(KeypairData::Ed25519(pair), "").unwrap();
        fs::write(&path, crossed.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        assert!(matches!(read(&path, None), Err(KeyFileError::Halves { .. })));
    }
}
