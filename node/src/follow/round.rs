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
    run::{Follower, Source, now},
};
use crate::{
    Ledgers as _, Mirror, NodeError, client::Verified, disclose, page::MOST_ASKED,
    readers::off_executor, writer::Copied,
};
use futures::StreamExt as _;
use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};
use subak_ledger::{
    log::{
        Hash, LedgerId, PublicKey,
        checkpoint::{claimed_size, verifier_key},
        tree::verify_consistency,
    },
    store::Disclosure,
};
use tokio::time::{Instant, timeout};

/// More entries than this are copied from one source at a time.
const LONG: u64 = 4_096;
/// For so long; then others have a chance.
const LEASE: Duration = Duration::from_secs(30);
/// How long what is asked may take, with all that is copied then: longer than a lease.
pub(super) const ROUND: Duration = Duration::from_mins(3);
/// Bytes of texts that are stored at a time, but for an answer's last ones.
const TEXTS: usize = 8 << 20;

/// Why a round did not end with a whole copy.
#[derive(Debug)]
pub(super) enum End {
    /// For now: why.
    Trouble(String),
    /// It goes on at once, after others had a chance.
    Again,
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
    /// It is this node's own ledger, of which an old copy was put back.
    pub(super) restores: bool,
}

/// A followed ledger, as far as one node has shown it.
pub(super) struct Round {
    follower: Arc<Follower>,
    source: Arc<Source>,
    wanted: Wanted,
    copy: Option<Copy>,
    /// Entries of the newest head that witnesses have signed,
    witnessed: u64,
    /// and the one that was kept last.
    kept: String,
    /// What the node said last.
    heard: (u64, u64),
}

impl Round {
    pub(super) fn new(follower: Arc<Follower>, source: Arc<Source>, wanted: Wanted) -> Self {
        let (copy, witnessed, kept, heard) = (None, 0, String::new(), (0, 0));
        Self { follower, source, wanted, copy, witnessed, kept, heard }
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
        let (source, trouble) = (self.source.url.clone(), trouble.to_owned());
        let mirror = Mirror { source, size, heard_at, trouble };
        self.follower.node.set_mirror(self.ledger(), Some(mirror));
    }

    /// Asks for the newest head, and copies all up to it. Returns its size.
    pub(super) async fn ask(&mut self) -> Result<u64, End> {
        if let Some(file) = self.follower.evidence.against(self.ledger()) {
            return Err(End::Stopped(proven(&file.display().to_string())));
        }
        let asked = self.copied().await;
        if let Err(End::Moved) = asked {
            self.copy = None;
        }
        asked
    }

    async fn copied(&mut self) -> Result<u64, End> {
        let mut copy = self.stored().await?;
        self.require_ours(&copy)?;
        let asked = self.source.remote.fetch_checkpoint(self.ledger(), false);
        let note = in_time(async { Ok(asked.await?) }).await?;
        match copy.judge(&note) {
            Ok(None) => self.heard = (copy.size(), now()),
            Ok(Some(size)) => {
                // Of a log that is not known yet anybody can say any number; of one that is, only who
                // signs for it, or has read who does.
                if copy.head().is_none() || copy.knows(&note) {
                    self.heard = (size, now());
                }
                // Of several sources of a long log one is enough.
                let turn = self.follower.turn(self.ledger());
                let long = size.saturating_sub(copy.size()) > LONG;
                let follower = self.follower.clone();
                // Room first: who waits for it holds nothing up. Then in the order of asking.
                let _place = if long { follower.long.acquire().await.ok() } else { None };
                let free = if long { turn.try_lock().ok() } else { None };
                let waits = long && free.is_none();
                let _held = match free {
                    None if long => match timeout(LEASE, turn.lock()).await {
                        Ok(held) => Some(held),
                        Err(_) => return Ok(size),
                    },
                    free => free,
                };
                if waits {
                    // Whoever had it has copied.
                    copy = self.follower.node.stored_copy(self.ledger()).await?;
                    if copy.size() >= size {
                        return Err(End::Moved);
                    }
                }
                self.say("");
                let until = long.then(|| Instant::now() + LEASE);
                copy = in_time(self.copy_to(copy, size, &note, until)).await?;
            }
            Err(fault) => {
                return in_time(async { Err(self.fault(&copy, fault).await) }).await;
            }
        }
        in_time(self.take_witnessed(&copy)).await?;
        self.say("");
        Ok(copy.size())
    }

    /// The copy as it is stored: as it was left, or read again if somebody else has copied since.
    async fn stored(&mut self) -> Result<Copy, End> {
        let shown = self.follower.node.shown_size(self.ledger());
        let newest = |copy: &&Copy| shown.is_none_or(|size| size <= copy.size());
        let copy = match self.copy.as_ref().filter(newest) {
            Some(copy) => copy.clone(),
            None => self.follower.node.stored_copy(self.ledger()).await?,
        };
        // What was stored by somebody who was stopped then is shown now.
        if let Some(whole) = copy.whole().filter(|whole| Some(whole.state.size) != shown) {
            self.follower.node.show_copy(self.ledger(), whole.clone());
        }
        self.copy = Some(copy.clone());
        Ok(copy)
    }

    fn require_ours(&self, copy: &Copy) -> Result<(), End> {
        let operators = &copy.book().operators;
        let Some(newest) = operators.last() else { return Ok(()) };
        if !self.wanted.restores && self.follower.node.operates(&newest.key)? {
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

    async fn copy_to(
        &mut self,
        mut copy: Copy,
        size: u64,
        note: &str,
        until: Option<Instant>,
    ) -> Result<Copy, End> {
        if copy.size() > size {
            let (own, url) = (copy.size(), &self.source.url);
            let what = format!("{url} shows {size} entries, {own} were copied under a later head");
            return Err(End::Trouble(what));
        }
        let limit = size - copy.size();
        let mut batches = pin!(self.source.remote.verified(self.ledger(), copy.size(), limit));
        while copy.size() < size {
            let Some(batch) = batches.next().await else {
                let found = copy.size();
                let what = format!("the signed head says {size} entries, {found} were sent so far");
                return Err(End::Trouble(what));
            };
            let (pushed, read) = push(copy, batch?, self.wanted.texts).await;
            copy = pushed;
            let mut wanted: Vec<Hash> = match &read {
                Ok(commitments) => commitments.iter().copied().collect(),
                Err(_) => Vec::new(),
            };
            let texts = match read {
                Ok(_) => self.texts(&copy, &mut wanted).await?,
                Err(fault) => return Err(self.fault(&copy, seen_from(&copy, fault, note)).await),
            };
            if copy.size() < size {
                self.on_the_way(&mut copy, size, note, texts).await?;
            } else {
                self.arrived(&mut copy, note, texts).await?;
            }
            while !wanted.is_empty() {
                let texts = self.texts(&copy, &mut wanted).await?;
                self.store(&copy, texts).await?;
            }
            if copy.size() < size && until.is_some_and(|until| Instant::now() > until) {
                return Err(End::Again);
            }
        }
        if limit == 0 {
            self.arrived(&mut copy, note, Vec::new()).await?;
        }
        Ok(copy)
    }

    /// Stores what was read to the end, under its head.
    async fn arrived(
        &mut self,
        copy: &mut Copy,
        note: &str,
        texts: Vec<Disclosure>,
    ) -> Result<(), End> {
        match copy.reach(note) {
            Ok(()) => self.keep(copy, texts).await,
            Err(fault) => Err(self.fault(copy, fault).await),
        }
    }

    /// Stores what was read so far, if it is shown to lie under the head that is on its way.
    async fn on_the_way(
        &mut self,
        copy: &mut Copy,
        size: u64,
        note: &str,
        texts: Vec<Disclosure>,
    ) -> Result<(), End> {
        if !copy.knows(note) {
            // Another operator has followed meanwhile, and who it is stands further on.
            let book = self.source.remote.book(self.ledger()).await?;
            copy.learn(book.operators.iter().copied());
        }
        let proof = self.source.remote.consistency(self.ledger(), copy.size(), size).await?;
        if let Err(fault) = copy.before(note, &proof) {
            return Err(self.fault(copy, fault).await);
        }
        self.keep(copy, texts).await
    }

    async fn keep(&mut self, copy: &mut Copy, disclosures: Vec<Disclosure>) -> Result<(), End> {
        self.require_ours(copy)?;
        self.store(copy, disclosures).await?;
        if let Some(whole) = copy.committed() {
            self.follower.node.show_copy(self.ledger(), whole);
        }
        self.copy = Some(copy.clone());
        Ok(())
    }

    /// Stores what is pending, and these texts.
    async fn store(&self, copy: &Copy, disclosures: Vec<Disclosure>) -> Result<(), End> {
        let effects = copy.effects();
        if effects.is_none() && disclosures.is_empty() {
            return Ok(());
        }
        let state = copy.book();
        let copied = Copied {
            ledger: self.ledger(),
            name: state.root().name.to_string(),
            operator: state.operator(),
            restores: self.wanted.restores,
            expected: copy.stored(),
            entries: effects.as_ref().map_or(Vec::new(), |e| e.entries.to_vec()),
            nodes: effects.as_ref().map_or(Vec::new(), |e| e.nodes.to_vec()),
            checkpoint: effects.as_ref().and_then(|e| e.checkpoint.map(str::to_owned)),
            disclosures,
            erasures: effects.as_ref().map_or(Vec::new(), |e| e.erasures.to_vec()),
        };
        Ok(self.follower.node.keep_copied(copied).await?)
    }

    /// Some of the texts behind these commitments, as far as they are given and not erased; what is
    /// left of `wanted` is to be asked for again.
    async fn texts(&self, copy: &Copy, wanted: &mut Vec<Hash>) -> Result<Vec<Disclosure>, End> {
        let (mut found, mut size) = (Vec::new(), 0);
        while !wanted.is_empty() && size < TEXTS {
            let asked = wanted[..wanted.len().min(MOST_ASKED)].to_vec();
            let some = self.source.remote.disclosures_of(self.ledger(), asked.clone()).await?;
            // An answer may hold fewer than there are: it ends with the last one.
            let last = some.last().map(|last| last.commitment);
            let at = last.and_then(|last| asked.iter().position(|c| *c == last));
            wanted.drain(..at.map_or(asked.len(), |at| at + 1));
            size += some.iter().map(|d| d.bytes.len()).sum::<usize>();
            found.extend(some);
        }
        let book = copy.book();
        found.retain(|d| book.erasure_of(&d.commitment, &d.author, &d.field).is_none());
        Ok(found)
    }

    /// Keeps the newest head that witnesses have signed.
    async fn take_witnessed(&mut self, copy: &Copy) -> Result<(), End> {
        let follower = &self.follower;
        if !follower.witnessed || !self.lacks_witnesses(copy.size()) {
            return Ok(());
        }
        let note = self.source.remote.fetch_checkpoint(self.ledger(), true).await?;
        if note == self.kept {
            return Ok(());
        }
        let state = copy.book();
        let Ok(head) = state.signed_head(&note) else { return Ok(()) };
        // Fewer lines never take the place of more that something may wait for.
        let enough = follower.policy.as_ref().is_none_or(|policy| policy.witnessed(&note).is_ok());
        if head.size <= self.witnessed || head.size > copy.size() || !enough {
            return Ok(());
        }
        if let Err(fault) = self.is_of(copy, &note).await {
            return Err(self.fault(copy, fault).await);
        }
        self.follower.node.keep_witnessed(self.ledger(), note.clone()).await?;
        self.kept = note;
        if self.follower.policy.is_some() {
            self.witnessed = head.size;
        }
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
                return End::Trouble(format!(
                    "{} sent what does not hold: {what}",
                    self.source.url
                ));
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
                self.source.url
            ))
        };
        let Some(ours) = copy.head().map(str::to_owned) else { return not_proven() };
        let key = copy.book().operator_of(claimed_size(&theirs).unwrap_or(u64::MAX));
        let Ok(key) = PublicKey::admit(&key) else { return not_proven() };
        let (here, there) = (&*self.follower.node, &*self.source.remote);
        let proof = evidence::prove(self.ledger(), &key, (here, &ours), (there, &theirs)).await;
        let Some(proof) = proof else { return not_proven() };
        match self.follower.evidence.keep(self.ledger(), &proof).await {
            Ok(file) => {
                let whose = verifier_key(&self.ledger(), &key);
                tracing::error!(file = %file.display(), operator = %whose, "two histories are proven");
                // Whoever goes on with the other history does not do so unknowingly.
                let _ = there.challenge(self.ledger(), ours).await;
                End::Stopped(proven(&file.display().to_string()))
            }
            Err(error) => End::Trouble(error.to_string()),
        }
    }

    /// The node shows less than its operator has signed before: it is told, so that it appends
    /// nothing, if it is the operator.
    async fn older(&self, copy: &Copy, size: u64) -> End {
        let ours = copy.head().unwrap_or_default().to_owned();
        let told = self.source.remote.challenge(self.ledger(), ours).await;
        let answer = told.err().map_or_else(String::new, |error| format!("; it answers: {error}"));
        let own = copy.size();
        End::Trouble(format!(
            "{} shows {size} entries, {own} were signed before{answer}",
            self.source.url
        ))
    }
}

/// A node may answer every ping, and never to the end.
async fn in_time<T>(asked: impl Future<Output = Result<T, End>>) -> Result<T, End> {
    let late = |_| Err(End::Trouble("its node came to no end in time".to_owned()));
    timeout(ROUND, asked).await.unwrap_or_else(late)
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

/// Takes entries, off the executor; returns the commitments in them where their texts are wanted.
async fn push(
    mut copy: Copy,
    batch: Verified,
    texts: bool,
) -> (Copy, Result<BTreeSet<Hash>, Fault>) {
    off_executor(move || {
        let mut committed = BTreeSet::new();
        let read = batch.iter().try_for_each(|(raw, statement)| {
            if texts {
                committed.extend(disclose::commitments(statement));
            }
            copy.push(raw, statement)
        });
        (copy, read.map(|()| committed))
    })
    .await
}
