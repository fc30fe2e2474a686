//! What a follower keeps of an operator who has signed two histories.
//!
//! Owns the folder `<database>.evidence` and how two heads become a fraud proof: whoever has copied
//! a log has one of the histories, and asks for one entry of the other. Guarantees that a file in
//! it was verified before it was written, that it lasts, and that none is overwritten. Leaves out
//! the form and the judgement of a proof (`subak_ledger::log::fraud`), and what follows from one:
//! nothing is copied or relayed from that ledger until a person has removed the file.

use crate::{Ledgers, NodeError, readers::off_executor, refusal::world};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use subak_ledger::{
    log::{
        Hash, LedgerId, PublicKey,
        checkpoint::claimed_size,
        fraud::{FraudProof, Parting, Placed},
        tree::leaf_hash,
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
        let first = placed(here, ledger, index, a).await?;
        let second = placed(there, ledger, index, b).await?;
        Some(Parting { index, first, second })
    };
    FraudProof::new(ledger, operator, [ours, theirs], parting).ok()
}

/// What whoever was answered to an append holds: an entry under a signed head.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The entry's number.
    pub index: u64,
    /// Its leaf's bytes.
    pub leaf: &'a [u8],
    /// Its inclusion proof under the head.
    pub path: &'a [Hash],
    /// The signed note.
    pub checkpoint: &'a str,
}

/// The proof that `operator` has not kept what it has acknowledged: `held`, and the head `theirs`,
/// under which `there` shows another entry at its place. None where it shows the same, or none.
pub async fn unkept(
    ledger: LedgerId,
    operator: &PublicKey,
    held: &Held<'_>,
    (there, theirs): (&dyn Ledgers, &str),
) -> Option<FraudProof> {
    let (index, size) = (held.index, claimed_size(theirs)?);
    let first = Placed { leaf: leaf_hash(held.leaf), path: held.path.to_vec() };
    let second = placed(there, ledger, index, size).await?;
    let parting = Some(Parting { index, first, second });
    FraudProof::new(ledger, operator, [held.checkpoint, theirs], parting).ok()
}

async fn placed(log: &dyn Ledgers, ledger: LedgerId, index: u64, size: u64) -> Option<Placed> {
    let entry = log.entries(ledger, index, 1).await.ok()?.into_iter().next()?;
    let path = log.inclusion(ledger, index, size).await.ok()?;
    (entry.seq == index).then(|| Placed { leaf: leaf_hash(&entry.leaf), path })
}
