//! What an audit is pointed at: a ledger file, a bundle, a node, a fraud proof, two stories.
//!
//! Owns how a target is told from another and opened. Guarantees one state throughout for each.
//! Leaves out what is found there.

use crate::{
    afar::NodeReader,
    context::Context,
    failure::{Done, Failure},
};
use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};
use subak_ledger::{
    book::two_stories,
    log::{LedgerId, fraud},
    store::{BundleReader, Reader, SqliteReader, StoreError},
};

/// A file so named is one, whatever is left of it.
const PROOF: &str = "fraud-proof";
const STORIES: &str = "two-stories";

/// Where to look, as it was named.
#[derive(Debug, Clone)]
pub struct Target {
    named: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Bundle,
    Node,
    Proof,
    Stories,
}

/// An open target.
pub enum Source {
    /// A ledger file.
    File(SqliteReader),
    /// A bundle.
    Bundle(BundleReader),
    /// A node.
    Node(NodeReader),
}

impl Target {
    /// Told by its form, and a file by its first bytes.
    pub fn of(named: &str) -> Self {
        let path = Path::new(named);
        let kind = if named.starts_with("http://") || named.starts_with("https://") {
            Kind::Node
        } else if BundleReader::is_bundle(path) {
            Kind::Bundle
        } else if is_proof(path, fraud::FORMAT, PROOF) {
            Kind::Proof
        } else if is_proof(path, two_stories::FORMAT, STORIES) {
            Kind::Stories
        } else {
            Kind::File
        };
        Self { named: named.to_owned(), kind }
    }

    /// The file, if it is a fraud proof.
    pub fn proof(&self) -> Option<&Path> {
        (self.kind == Kind::Proof).then(|| Path::new(&self.named))
    }

    /// The file, if it is evidence of two stories.
    pub fn stories(&self) -> Option<&Path> {
        (self.kind == Kind::Stories).then(|| Path::new(&self.named))
    }

    /// A place that one comes back to: whoever was found there is expected again. A bundle is
    /// carried about and is none.
    pub fn place(&self) -> Option<String> {
        match self.kind {
            Kind::File => {
                let path = Path::new(&self.named).canonicalize();
                Some(path.unwrap_or_else(|_| PathBuf::from(&self.named)).display().to_string())
            }
            Kind::Node => Some(self.named.trim_end_matches('/').to_owned()),
            Kind::Bundle | Kind::Proof | Kind::Stories => None,
        }
    }

    /// Opens it. A node is asked for its heads, and connected to.
    pub async fn open(&self, cx: &Context) -> Done<Source> {
        let path = Path::new(&self.named);
        match self.kind {
            Kind::Node => Ok(Source::Node({
                // Nodes with TLS and without may be audited together.
                let ca = cx.node_ca().filter(|_| self.named.starts_with("https:"));
                NodeReader::open(&self.named, ca).await?
            })),
            Kind::Bundle => {
                let opened = BundleReader::open(path);
                Ok(Source::Bundle(opened.map_err(|e| unjudged("bundle-version", e))?))
            }
            Kind::File | Kind::Proof | Kind::Stories => {
                let opened = SqliteReader::open(path);
                let reader = opened.map_err(|e| unjudged("file-version", e))?;
                reader.freeze()?;
                Ok(Source::File(reader))
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named)
    }
}

impl Source {
    /// The store in it.
    pub fn reader(&self) -> &dyn Reader {
        match self {
            Self::File(reader) => reader,
            Self::Bundle(reader) => reader,
            Self::Node(reader) => reader,
        }
    }

    /// Which ledgers are said to be copies there, and the URLs that they are copied from.
    pub fn copies(&self) -> BTreeMap<LedgerId, String> {
        match self {
            Self::Node(reader) => reader.copies().collect(),
            Self::File(_) | Self::Bundle(_) => BTreeMap::new(),
        }
    }

    /// What a failed read means to the person.
    pub fn failure(&self, error: StoreError) -> Failure {
        match self {
            Self::Node(reader) => reader.failure(error),
            Self::File(_) | Self::Bundle(_) => error.into(),
        }
    }
}

/// Of another version it is not judged, and nothing is known to be wrong.
fn unjudged(code: &str, error: StoreError) -> Failure {
    match error {
        StoreError::TooNew { .. } | StoreError::TooOld { .. } => {
            Failure::gap(code, error.to_string(), error.next())
        }
        error => error.into(),
    }
}

fn is_proof(path: &Path, format: &str, extension: &str) -> bool {
    let mut start = vec![0; format.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let begins = read.is_ok() && start == format.as_bytes();
    begins || path.extension().is_some_and(|it| it == extension)
}
