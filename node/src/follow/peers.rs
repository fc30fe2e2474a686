//! Whom a node follows: a file that people read, and commands write.
//!
//! Owns the file `<database>.peers`. Guarantees that what is written can be read again, that it is
//! written whole or not at all, and that a mistake in it is named with its place. Leaves out what
//! following means (`run`).
//!
//! ```toml
//! [[peer]]
//! url = "https://phyle.example:7117"
//! ca = "phyle.pem"                    # believe this certificate alone; relative to this file
//! follow = ["subak/<ledger id>+…"]    # these ledgers, by these operators' C2SP verifier keys
//! all = true                          # every ledger that is there
//! ```
//!
//! Whatever else is said, the ledgers with which this node's own ones have agreements are followed
//! where a peer has them: the terms name the ledger's id and its operator's key.

use crate::{NodeError, refusal::world};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use subak_ledger::{
    log::{LedgerId, PublicKey, checkpoint::parse_verifier_key},
    store::sync_directory,
};

/// A node that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// The file of the only certificates that are believed, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Ledgers to follow, by their operators' verifier keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow: Vec<String>,
    /// Follow every ledger there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

impl Peer {
    /// The ledgers that it names, each with an operator's key that its log must have had.
    pub fn named(&self) -> Result<Vec<(LedgerId, PublicKey)>, NodeError> {
        let read = |text: &String| {
            parse_verifier_key(text)
                .map_err(|reject| malformed(&format!("peer {}, {text:?}: {reject}", self.url)))
        };
        self.follow.iter().map(read).collect()
    }
}

/// All of them, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// The nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer: Vec<Peer>,
}

/// The file that belongs to a database.
pub fn file_of(database: &Path) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(".peers");
    file.into()
}

impl Peers {
    /// Reads the file; nobody is followed where there is none.
    pub fn read(file: &Path) -> Result<Self, NodeError> {
        match fs::read_to_string(file) {
            Ok(text) => {
                Self::parse(&text).map_err(|what| malformed(&format!("{}: {what}", file.display())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unusable(file, &error)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let peers: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (place, peer) in peers.peer.iter().enumerate() {
            if peers.peer[..place].iter().any(|before| before.url == peer.url) {
                return Err(format!("the peer {} twice", peer.url));
            }
            peer.named().map_err(|error| error.to_string())?;
        }
        Ok(peers)
    }

    /// Writes the file in place of the one before; it lasts when this returns.
    pub fn write(&self, file: &Path) -> Result<(), NodeError> {
        let text = toml::to_string(self).expect("strings, lists and flags have a form in TOML");
        let text = format!("# Whom this node follows; `subak peer` changes it.\n\n{text}");
        let part = file.with_extension("peers-part");
        let written = fs::File::create(&part)
            .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
            .and_then(|()| fs::rename(&part, file))
            .and_then(|()| sync_directory(file));
        written.map_err(|error| unusable(file, &error))
    }
}

fn malformed(what: &str) -> NodeError {
    NodeError::Refused {
        code: "peers-malformed".into(),
        message: what.to_owned(),
        next: "mend that line, or remove the peer and add it again: `subak peer --help`".into(),
    }
}

fn unusable(file: &Path, error: &io::Error) -> NodeError {
    let what = format!("{}: {error}", file.display());
    world("peers", what, "see that the folder of the database can be read and written")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_of(&dir.path().join("a.db"));
        assert_eq!(Peers::read(&file).unwrap(), Peers::default());
        let peer = Peer {
            url: "https://phyle.example:7117".into(),
            ca: Some("phyle.pem".into()),
            follow: Vec::new(),
            all: true,
        };
        let peers = Peers { peer: vec![peer] };
        peers.write(&file).unwrap();
        assert_eq!(Peers::read(&file).unwrap(), peers);
        assert!(fs::read_to_string(&file).unwrap().starts_with("# Whom"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, expected) in [
            ("[[peer]]\nurl = \"a\"\n[[peer]]\nurl = \"a\"\n", "twice"),
            ("[[peer]]\nurl = \"a\"\nfollow = [\"x\"]\n", "peer a, \"x\""),
            ("[[peer]]\nurl = \"a\"\nfolow = []\n", "unknown field `folow`"),
            ("[[peer]]\nall = true\n", "missing field `url`"),
        ] {
            let found = Peers::parse(text).unwrap_err();
            assert!(found.contains(expected), "{found}");
        }
    }
}
