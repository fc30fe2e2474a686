//! One question to one node about one ledger, and what is done with the answer.
//!
//! Guarantees that what is stored lies under a head that its operator has signed: the one that was
//! asked for, or on the way to it by a proof of consistency for each part. A head that cannot be true
//! beside the one of the copy becomes a fraud proof, if the node that shows it shows the
//! entry, too; else it is told, and nothing more is taken from there. Leaves out when it is asked
//! (`run`), and what of an answer may be believed (`copy`).

use super::{
    copy::{Copy, Fault},
    evidence,
    run::{Follower, now},
};
use crate::{
    Ledgers as _, Mirror, NodeError,
    client::{Remote, Verified},
    readers::off_executor,
    writer::Copied,
};
use futures::StreamExt as _;
use std::{collections::BTreeSet, pin::pin, sync::Arc};
use subak_ledger::{
    log::{
        Hash, LedgerId, PublicKey,
        checkpoint::{claimed_size, verifier_key},
        tree::verify_consistency,
    },
    store::Disclosure,
};

/// Beyond so many new texts, all are read, in their order.
const BY_NAME: usize = 1_000;

/// Why a round did not end with a whole copy.
pub(super) enum End {
    /// For now: why.
    Trouble(String),
    /// Somebody else has copied or changed what is stored: to be read again.
    Moved,
    /// This node signs for it now.
    Own,
    /// For good, until a person has looked: why.
    Stopped(String),
}

impl From<NodeError> for End {
    fn from(error: NodeError) -> Self {
        match error.code() {
            "head-moved" => Self::Moved,
            "own-ledger" => Self::Own,
            _ => Self::Trouble(error.to_string()),
        }
    }
}

/// What is to be followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) ledger: LedgerId,
    /// A key that its operator must have, or have had.
    pub(super) key: Option<Hash>,
    /// Whether the texts behind its commitments are copied too. A partner's names and invoice texts
    /// are no business of who has an agreement with it.
    pub(super) texts: bool,
}

/// A followed ledger, as far as one node has shown it.
pub(super) struct Round {
    follower: Arc<Follower>,
    url: String,
    pub(super) remote: Arc<Remote>,
    wanted: Wanted,
    copy: Option<Copy>,
    /// Entries of the newest head that witnesses have signed.
    witnessed: u64,
    /// Whether texts that came late were looked for since the start.
    caught_up: bool,
    /// What the node said last.
    heard: (u64, u64),
}

impl Round {
    pub(super) fn new(
        follower: Arc<Follower>,
        url: String,
        remote: Arc<Remote>,
        wanted: Wanted,
    ) -> Self {
        let (copy, witnessed, caught_up, heard) = (None, 0, false, (0, 0));
        Self { follower, url, remote, wanted, copy, witnessed, caught_up, heard }
    }

    pub(super) fn ledger(&self) -> LedgerId {
        self.wanted.ledger
    }

    pub(super) fn lacks_witnesses(&self, size: u64) -> bool {
        self.witnessed < size
    }

    /// Tells readers how far the copy is.
    pub(super) fn say(&self, trouble: &str) {
        let (size, heard_at) = self.heard;
        let (source, trouble) = (self.url.clone(), trouble.to_owned());
        let mirror = Mirror { source, size, heard_at, trouble };
        self.follower.node.set_mirror(self.ledger(), Some(mirror));
    }

    /// Asks for the newest head, and copies all up to it. Returns its size.
    pub(super) async fn ask(&mut self) -> Result<u64, End> {
        let turn = self.follower.turn(self.ledger());
        let held = turn.lock().await;
        if let Some(file) = self.follower.evidence.against(self.ledger()) {
            return Err(End::Stopped(proven(&file.display().to_string())));
        }
        let asked = self.copied().await;
        if asked.is_err() {
            // What is stored is read again: of what failed, nobody knows what is.
            self.copy = None;
        }
        drop(held);
        asked
    }

    async fn copied(&mut self) -> Result<u64, End> {
        let mut copy = match self.copy.take() {
            Some(copy) if self.is_newest(&copy) => copy,
            _ => self.follower.node.stored_copy(self.ledger()).await?,
        };
        self.require_ours(&copy)?;
        let note = self.remote.fetch_checkpoint(self.ledger(), false).await?;
        self.heard = (claimed_size(&note).unwrap_or_default(), now());
        match copy.judge(&note) {
            Ok(None) => {}
            Ok(Some(size)) => {
                self.say("");
                copy = self.copy_to(copy, size, &note).await?;
            }
            Err(fault) => return Err(self.fault(&copy, fault).await),
        }
        self.late_texts(&copy).await?;
        self.take_witnessed(&copy).await?;
        self.say("");
        let size = copy.size();
        self.copy = Some(copy);
        Ok(size)
    }

    /// Whether nobody else has copied since.
    fn is_newest(&self, copy: &Copy) -> bool {
        let shown = self.follower.node.shown_size(self.ledger());
        shown.is_none_or(|size| size == copy.size())
    }

    fn require_ours(&self, copy: &Copy) -> Result<(), End> {
        let operators = &copy.book().operators;
        let Some(newest) = operators.last() else { return Ok(()) };
        if self.follower.node.operates(&newest.key)? {
            return Err(End::Own);
        }
        match self.wanted.key {
            Some(expected) if !operators.iter().any(|term| term.key == expected) => {
                let (expected, found) = (hex::encode(expected), hex::encode(newest.key));
                Err(End::Trouble(format!(
                    "its operator is another than expected: expected key {expected}, found {found}"
                )))
            }
            _ => Ok(()),
        }
    }

    async fn copy_to(&self, mut copy: Copy, size: u64, note: &str) -> Result<Copy, End> {
        let limit = size.saturating_sub(copy.size());
        let mut batches = pin!(self.remote.verified(self.ledger(), copy.size(), limit));
        let mut texts = BTreeSet::new();
        while let Some(batch) = batches.next().await {
            let (pushed, read) = push(copy, batch?).await;
            copy = pushed;
            if let Err(fault) = read {
                return Err(self.fault(&copy, seen_from(&copy, fault, note)).await);
            }
            texts.extend(copy.commitments().iter().take(BY_NAME + 1));
            if copy.size() < size {
                self.on_the_way(&mut copy, size, note).await?;
            }
        }
        if copy.size() < size {
            let (found, expected) = (copy.size(), size);
            let what = format!("the signed head says {expected} entries, {found} were sent so far");
            return Err(End::Trouble(what));
        }
        if let Err(fault) = copy.reach(note) {
            return Err(self.fault(&copy, fault).await);
        }
        let disclosures = self.texts(&texts).await?;
        self.keep(&mut copy, disclosures).await?;
        Ok(copy)
    }

    /// Stores what was read so far, if it is shown to lie under the head that is on its way.
    async fn on_the_way(&self, copy: &mut Copy, size: u64, note: &str) -> Result<(), End> {
        if !copy.knows(note) {
            // Another operator has followed meanwhile, and who it is stands further on.
            let book = self.remote.book(self.ledger()).await?;
            copy.learn(book.operators.iter().copied());
        }
        let proof = self.remote.consistency(self.ledger(), copy.size(), size).await?;
        if let Err(fault) = copy.before(note, &proof) {
            return Err(self.fault(copy, fault).await);
        }
        self.keep(copy, Vec::new()).await
    }

    async fn keep(&self, copy: &mut Copy, disclosures: Vec<Disclosure>) -> Result<(), End> {
        self.require_ours(copy)?;
        let Some(effects) = copy.effects() else { return Ok(()) };
        let state = copy.book();
        let copied = Copied {
            ledger: self.ledger(),
            name: state.root().name.to_string(),
            operator: state.operator(),
            expected: effects.expected,
            entries: effects.entries.to_vec(),
            nodes: effects.nodes.to_vec(),
            checkpoint: effects.checkpoint.map(str::to_owned),
            disclosures,
            erasures: effects.erasures.to_vec(),
        };
        self.follower.node.keep_copied(copied).await?;
        if let Some(whole) = copy.committed() {
            self.follower.node.show_copy(self.ledger(), whole);
        }
        Ok(())
    }

    /// The texts behind these commitments, as far as they are given.
    async fn texts(&self, wanted: &BTreeSet<Hash>) -> Result<Vec<Disclosure>, End> {
        if !self.wanted.texts || !self.caught_up || wanted.is_empty() || wanted.len() > BY_NAME {
            return Ok(Vec::new()); // all of them are read after this
        }
        let mut left: Vec<Hash> = wanted.iter().copied().collect();
        let mut found = Vec::new();
        while !left.is_empty() {
            let some = self.remote.disclosures_of(self.ledger(), left.clone()).await?;
            let Some(last) = some.last().map(|last| last.commitment) else { break };
            left = left
                .split_off(left.iter().position(|c| *c == last).map_or(left.len(), |at| at + 1));
            found.extend(some);
        }
        Ok(found)
    }

    /// Reads all texts there once, since some may have come after their entries.
    async fn late_texts(&mut self, copy: &Copy) -> Result<(), End> {
        if self.caught_up || !self.wanted.texts {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.remote.disclosures_page(self.ledger(), after).await?;
            after = page.items.last().map(|last| last.commitment);
            self.follower.node.keep_texts(self.ledger(), copy.book(), page.items).await?;
            if !page.more {
                self.caught_up = true;
                return Ok(());
            }
        }
    }

    /// Keeps the newest head that witnesses have signed.
    async fn take_witnessed(&mut self, copy: &Copy) -> Result<(), End> {
        if !self.follower.witnessed || !self.lacks_witnesses(copy.size()) {
            return Ok(());
        }
        let note = self.remote.fetch_checkpoint(self.ledger(), true).await?;
        let state = copy.book();
        let Ok(head) = state.signed_head(&note) else { return Ok(()) };
        if head.size <= self.witnessed || head.size > copy.size() {
            return Ok(());
        }
        if let Err(fault) = self.is_of(copy, &note).await {
            return Err(self.fault(copy, fault).await);
        }
        self.follower.node.keep_witnessed(self.ledger(), note).await?;
        self.witnessed = head.size;
        Ok(())
    }

    /// Whether a signed head of no more entries than the copy has is one of the same log.
    async fn is_of(&self, copy: &Copy, note: &str) -> Result<(), Fault> {
        let lie = |what: String| Fault::Lie(what);
        let head = copy.book().signed_head(note).map_err(|reject| lie(reject.to_string()))?;
        let own = copy.head().unwrap_or_default();
        let own = copy.book().signed_head(own).map_err(|reject| lie(reject.to_string()))?;
        let holds = if head.size == own.size {
            head.root == own.root
        } else {
            let here = &self.follower.node;
            let proof = here.consistency(self.ledger(), head.size, own.size).await;
            let proof = proof.map_err(|error| lie(error.to_string()))?;
            verify_consistency(head.size, own.size, &head.root, &own.root, &proof).is_ok()
        };
        let what = format!("a signed head of {} entries under another root than here", head.size);
        if holds { Ok(()) } else { Err(Fault::Apart { theirs: note.to_owned(), what }) }
    }

    /// What a fault comes to: a fraud proof where the node shows one.
    async fn fault(&self, copy: &Copy, fault: Fault) -> End {
        let (theirs, what) = match fault {
            Fault::Lie(what) => {
                return End::Trouble(format!("{} sent what does not hold: {what}", self.url));
            }
            Fault::Older { theirs, size } => match self.is_of(copy, &theirs).await {
                Ok(()) => return self.older(copy, size).await,
                Err(Fault::Apart { theirs, what }) => (theirs, what),
                Err(Fault::Lie(what) | Fault::Older { theirs: what, .. }) => {
                    return End::Trouble(what);
                }
            },
            Fault::Apart { theirs, what } => (theirs, what),
        };
        let not_proven = || {
            End::Trouble(format!(
                "{}: {what}; it shows no entry that would prove it, and nothing more is taken from \
                 there",
                self.url
            ))
        };
        let Some(ours) = copy.head().map(str::to_owned) else { return not_proven() };
        let key = copy.book().operator_of(claimed_size(&theirs).unwrap_or(u64::MAX));
        let Ok(key) = PublicKey::admit(&key) else { return not_proven() };
        let (here, there) = (&*self.follower.node, &*self.remote);
        let proof = evidence::prove(self.ledger(), &key, (here, &ours), (there, &theirs)).await;
        let Some(proof) = proof else { return not_proven() };
        match self.follower.evidence.keep(self.ledger(), &proof).await {
            Ok(file) => {
                let whose = verifier_key(&self.ledger(), &key);
                tracing::error!(file = %file.display(), operator = %whose, "two histories are proven");
                End::Stopped(proven(&file.display().to_string()))
            }
            Err(error) => End::Trouble(error.to_string()),
        }
    }

    /// The node shows less than its operator has signed before: it is told, so that it appends
    /// nothing, if it is the operator.
    async fn older(&self, copy: &Copy, size: u64) -> End {
        let ours = copy.head().unwrap_or_default().to_owned();
        let told = self.remote.challenge(self.ledger(), ours).await;
        let answer = told.err().map_or_else(String::new, |error| format!("; it answers: {error}"));
        let own = copy.size();
        End::Trouble(format!("{} shows {size} entries, {own} were signed before{answer}", self.url))
    }
}

fn proven(file: &str) -> String {
    format!(
        "its operator has signed two histories: the proof is {file}; nothing is copied or relayed from \
         it until that file is removed"
    )
}

/// Entries that do not fit what was copied, for a head that the operator has signed, may be those of
/// another history of its.
fn seen_from(copy: &Copy, fault: Fault, note: &str) -> Fault {
    match fault {
        Fault::Lie(what) if copy.head().is_some() && copy.knows(note) => {
            Fault::Apart { theirs: note.to_owned(), what }
        }
        other => other,
    }
}

/// Takes entries off the executor.
async fn push(mut copy: Copy, batch: Verified) -> (Copy, Result<(), Fault>) {
    off_executor(move || {
        let read = batch.iter().try_for_each(|(raw, statement)| copy.push(raw, statement));
        (copy, read)
    })
    .await
}
