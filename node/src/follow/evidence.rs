//! What a follower keeps of an operator who has signed two histories.
//!
//! Owns the folder `<database>.evidence` and how two heads become a fraud proof: whoever has copied
//! a log has one of the histories, and asks for one entry of the other; whoever holds a receipt has
//! one entry, and asks for what is in its place. Guarantees that a file in
//! it was verified before it was written, that it lasts, and that none is overwritten. Leaves out
//! the form and the judgement of a proof (`subak_ledger::log::fraud`), and what follows from one:
//! nothing is copied or relayed from that ledger until a person has removed the file.

use crate::{
    Ledgers, NodeError,
    readers::off_executor,
    refusal::{not_found, world},
};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use subak_ledger::{
    log::{
        Checkpoint, Frontier, Hash, LedgerId, PublicKey,
        checkpoint::claimed_size,
        fraud::{FraudProof, Parting, Placed, Prefix},
        receipt::{Proven, Receipt},
        tree::{self, leaf_hash},
    },
    store::sync_directory,
};

/// A folder of fraud proofs, one a ledger.
#[derive(Debug, Clone)]
pub struct Evidence {
    dir: PathBuf,
}

impl Evidence {
    /// The folder that belongs to a database.
    pub fn beside(database: &Path) -> Self {
        let mut dir = database.as_os_str().to_owned();
        dir.push(".evidence");
        Self { dir: dir.into() }
    }

    /// The proof that the operator of this ledger has signed two histories, if there is one.
    pub fn against(&self, ledger: LedgerId) -> Option<PathBuf> {
        let file = self.file(ledger);
        file.exists().then_some(file)
    }

    /// Keeps a proof; one that is there already stands. Returns its file.
    pub async fn keep(&self, ledger: LedgerId, proof: &FraudProof) -> Result<PathBuf, NodeError> {
        let (dir, file, text) = (self.dir.clone(), self.file(ledger), proof.to_text());
        off_executor(move || {
            let named = file.display().to_string();
            write(&dir, &file, &text).map(|()| file).map_err(|error| {
                let what = format!("the fraud proof {named} was not written: {error}");
                world("evidence", what, "see that the folder of the database can be written")
            })
        })
        .await
    }

    fn file(&self, ledger: LedgerId) -> PathBuf {
        self.dir.join(format!("{ledger}.fraud-proof"))
    }
}

fn write(dir: &Path, file: &Path, text: &str) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    fs::create_dir_all(dir)?;
    sync_directory(dir)?;
    // Two sources may show it at the same time.
    let part = file.with_extension(format!("part-{}", NEXT.fetch_add(1, Relaxed)));
    let mut out = fs::File::create(&part)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    let kept = match fs::hard_link(&part, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(part)?;
    kept?;
    sync_directory(file)
}

/// The proof that `operator` has signed two histories: the head `ours`, up to which `here` has the
/// log, and the head `theirs`, of which `there` shows one entry. None where that one does not show
/// it, or shows the same entry.
pub async fn prove(
    ledger: LedgerId,
    operator: &PublicKey,
    (here, ours): (&dyn Ledgers, &str),
    (there, theirs): (&dyn Ledgers, &str),
) -> Option<FraudProof> {
    let (a, b) = (claimed_size(ours)?, claimed_size(theirs)?);
    let parting = if a == b {
        None
    } else {
        // Each leaf holds the chain hash of the one before it: where anything differs, the last
        // entry that both have does.
        let index = a.min(b).checked_sub(1)?;
        let first = placed(here, ledger, index, a).await.ok()?;
        let second = placed(there, ledger, index, b).await.ok()?;
        Some(Parting { index, first, second })
    };
    FraudProof::new(ledger, operator, [ours, theirs], parting).ok()
}

/// What became of an entry that somebody holds a receipt of.
#[derive(Debug)]
pub enum Kept {
    /// It lies under the newest head, which goes on from the receipt's.
    Yes,
    /// It does not: the operator has signed two histories.
    No(FraudProof),
    /// Neither is shown: what is, in a sentence.
    Open(String),
}

impl Kept {
    fn no_or(proof: Option<FraudProof>, what: String) -> Self {
        proof.map_or(Self::Open(what), Self::No)
    }
}

/// Whether what `operator` has acknowledged is kept in the log that `there` shows under its newest
/// head, `note`, which was opened as `newest`. `proven` is what the receipt proves of that operator.
/// An error only where nobody answers.
pub async fn kept(
    receipt: &Receipt,
    proven: &Proven,
    operator: &PublicKey,
    there: &dyn Ledgers,
    (note, newest): (&str, &Checkpoint),
) -> Result<Kept, NodeError> {
    let (ledger, index) = (proven.leaf.ledger, receipt.index);
    let (signed, size) = (proven.head.size, newest.size);
    if size <= index {
        return Ok(Kept::Open(format!(
            "the log that is shown ends after {size} entries, before entry {index}; its operator \
             has signed {signed}"
        )));
    }
    let Some(shown) = answered(placed(there, ledger, index, size).await)? else {
        return Ok(Kept::Open(format!("entry {index} of {size} is not shown")));
    };
    let held = Placed { leaf: leaf_hash(&receipt.leaf), path: receipt.path.clone() };
    if shown.leaf != held.leaf {
        let parting = Some(Parting { index, first: held, second: shown });
        let proof = FraudProof::new(ledger, operator, [&receipt.checkpoint, note], parting);
        let what = format!("another entry {index} is shown, and no proof under a head of that key");
        return Ok(Kept::no_or(proof.ok(), what));
    }
    if tree::verify_inclusion(index, size, &newest.root, &shown.leaf, &shown.path).is_err() {
        return Ok(Kept::Open(format!("entry {index} is not shown to lie under the newest head")));
    }
    if signed > size {
        return Ok(Kept::Open(format!(
            "entry {index} is there, but the log that is shown ends after {size} entries; its \
             operator has signed {signed}"
        )));
    }
    goes_on(proven, operator, &receipt.checkpoint, there, (note, newest)).await
}

/// Whether a log goes on from the head that it had, which is no larger than its newest.
async fn goes_on(
    proven: &Proven,
    operator: &PublicKey,
    before: &str,
    there: &dyn Ledgers,
    (note, newest): (&str, &Checkpoint),
) -> Result<Kept, NodeError> {
    let (ledger, old, size) = (proven.leaf.ledger, proven.head, newest.size);
    let proof = if old.size == size {
        Vec::new()
    } else {
        answered(there.consistency(ledger, old.size, size).await)?.unwrap_or_default()
    };
    if tree::verify_consistency(old.size, size, &old.root, &newest.root, &proof).is_ok() {
        return Ok(Kept::Yes);
    }
    let root = answered(root(there, ledger, old.size).await)?.flatten();
    let proof = root.and_then(|root| {
        let prefix = Prefix { root, proof };
        FraudProof::of_prefix(ledger, operator, [before, note], prefix).ok()
    });
    let what = format!(
        "entry {} is there, but the log is not shown to go on from the {} entries that its \
         operator has signed",
        proven.leaf.seq, old.size
    );
    Ok(Kept::no_or(proof, what))
}

/// None where the answer is a refusal or does not hold; nobody to answer stays an error.
fn answered<T>(answer: Result<T, NodeError>) -> Result<Option<T>, NodeError> {
    match answer {
        Err(away @ NodeError::World { .. }) => Err(away),
        answer => Ok(answer.ok()),
    }
}

async fn placed(
    log: &dyn Ledgers,
    ledger: LedgerId,
    index: u64,
    size: u64,
) -> Result<Placed, NodeError> {
    let page = log.entries(ledger, index, 1).await?;
    let entry = page.into_iter().find(|entry| entry.seq == index);
    let entry = entry.ok_or_else(|| {
        not_found(format!("there is no entry {index} of ledger {ledger}"), "look at its head")
    })?;
    let path = log.inclusion(ledger, index, size).await?;
    Ok(Placed { leaf: leaf_hash(&entry.leaf), path })
}

/// The root of a log's first entries, by their leaves; none where it sends fewer.
async fn root(log: &dyn Ledgers, ledger: LedgerId, size: u64) -> Result<Option<Hash>, NodeError> {
    let mut tree = Frontier::default();
    while tree.size() < size {
        let rest = size - tree.size();
        let page = log.entries(ledger, tree.size(), rest).await?;
        if page.is_empty() {
            return Ok(None);
        }
        for entry in page.iter().take(usize::try_from(rest).unwrap_or(usize::MAX)) {
            tree.push(leaf_hash(&entry.leaf));
        }
    }
    Ok(Some(tree.root()))
}
