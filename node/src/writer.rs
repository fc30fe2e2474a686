//! The one thread that appends.
//!
//! Owns the store, the sequencers and the queue before them. Group commit: everything that
//! waits is judged in order, stored in one transaction (several ledgers together), and
//! answered after it; while the disk syncs, the next group gathers. Guarantees:
//!
//! - no answer rests on anything that is not durable: neither an acknowledgement nor a
//!   refusal that a pending statement may have caused;
//! - a checkpoint is signed before its transaction, because it is stored in it, but leaves
//!   this thread only after, and when it is in the operator's head file (`headfile`): a
//!   commit is one sync of the store and one for each ledger in it;
//! - after a failed transaction everything that was pending is gone, and the next group
//!   starts from what the store says;
//! - who erases is answered after the text is gone from the store's files, or told that a
//!   reader holds on to it; then it goes as soon as that one lets go.
//!
//! Leaves out signatures, the form of events and disclosures, which are checked before a
//! job gets here: a stranger's statement costs this thread no more than its rules do.

mod copies;
mod opening;
mod signer;
mod wishes;

use crate::{
    Appended, NodeError,
    clock::Watch,
    erase::{self, Kept},
    halt,
    refusal::{OF_OTHERS, older, stopping, world},
    runtime::Clock,
    slots::Shared,
    verify::Verified,
};
pub(crate) use copies::Copied;
use opening::Open;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use subak_ledger::{
    log::{Checkpoint, Hash, LedgerId},
    store::{Batch, Reader, Store},
};
use tokio::sync::{mpsc, oneshot};
pub(crate) use wishes::Wish;

/// Statements in one transaction at most: some milliseconds of judging them.
const MOST: usize = 1_024;
/// Bytes of envelopes in one transaction at most.
const MOST_BYTES: usize = 8 << 20;
/// How long an answer waits for readers to let go of text that is erased. Appends wait too,
/// so that it is little.
const PURGE_WAIT: Duration = Duration::from_millis(250);
/// How often it is tried in that time,
const PURGE_STEP: Duration = Duration::from_millis(5);
/// and afterwards, while nothing else is to be done.
const PURGE_AGAIN: Duration = Duration::from_millis(500);

/// Reads, and sends what it found to whoever waits.
pub(crate) type Look = Box<dyn FnOnce(&dyn Reader) + Send>;

/// Something for the writer's thread.
pub(crate) enum Job {
    /// A statement to append.
    Append(Box<Order>),
    /// A look at the store, between two commits.
    Read(Look),
    /// Whether a stored ledger can be appended to.
    Ready(LedgerId, oneshot::Sender<Result<(), NodeError>>),
    /// Somebody shows a head of a stored ledger that its operator has signed.
    Challenge(Checkpoint, oneshot::Sender<Result<(), NodeError>>),
    /// Nothing more is appended, for this reason.
    Halt(NodeError),
    /// A checkpoint that witnesses have signed.
    Witnessed(LedgerId, String, oneshot::Sender<Result<(), NodeError>>),
    /// Verified entries of somebody else's ledger.
    Copy(Box<Copied>, oneshot::Sender<Result<(), NodeError>>),
    /// A StateRoot of a ledger, as it is once what waits before this is appended.
    Publish(Wish),
}

/// Heads that were stored, each with its signed note.
type Signed = BTreeMap<LedgerId, (Checkpoint, String)>;

/// Statements that were sent one after another, or one alone. Where one fails, and not by a
/// refusal, those after it may rest on it: none that is judged later is recorded.
#[derive(Clone, Default)]
pub(crate) struct Row(Arc<AtomicBool>);

impl Row {
    fn require_whole(&self) -> Result<(), NodeError> {
        if !self.0.load(Relaxed) {
            return Ok(());
        }
        let what = "a statement sent before this one could not be recorded";
        Err(world("row-broken", what, "send them again, in their order"))
    }

    fn note<T>(&self, result: &Result<T, NodeError>) {
        if result.as_ref().is_err_and(|error| !error.is_refusal()) {
            self.0.store(true, Relaxed);
        }
    }
}

/// A verified statement, and who waits for it.
pub(crate) struct Order {
    pub(crate) ledger: LedgerId,
    pub(crate) verified: Verified,
    pub(crate) row: Row,
    pub(crate) answer: oneshot::Sender<Result<Appended, NodeError>>,
}

impl Order {
    /// Whoever gave up waiting needs no answer.
    fn answer(self, result: Result<Appended, NodeError>) {
        self.row.note(&result);
        drop(self.answer.send(result));
    }
}

fn answer_all(group: Vec<Order>, error: &NodeError) {
    for order in group {
        order.answer(Err(error.clone()));
    }
}

pub(crate) struct Writer {
    store: Box<dyn Store>,
    queue: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    clock: Clock,
    watch: Watch,
    open: HashMap<LedgerId, Open>,
    /// Operator keys that stored ledgers began with, read once each.
    operators: HashMap<LedgerId, Hash>,
    /// Whether no ledger here is older than what was signed last.
    newest: bool,
    /// Why nothing more is appended: somebody has shown that this is an old copy, or a fork.
    halted: Option<NodeError>,
    /// Erased text may still stand in the store's files: a reader is, or was, in the way.
    lingers: bool,
    /// StateRoots that are to go into the next transaction, after all orders; those for one
    /// ledger share one.
    wishes: Vec<Wish>,
}

impl Writer {
    pub(crate) fn new(
        store: Box<dyn Store>,
        queue: mpsc::Receiver<Job>,
        shared: Arc<Shared>,
        clock: Clock,
    ) -> Self {
        let (watch, open, operators) = (Watch::default(), HashMap::new(), HashMap::new());
        // What a writer that crashed has left behind is unknown.
        let (newest, lingers, halted) = (false, true, None);
        let wishes = Vec::new();
        Self {
            store,
            queue,
            shared,
            clock,
            watch,
            open,
            operators,
            newest,
            halted,
            lingers,
            wishes,
        }
    }

    /// Works until nobody can send any more; then the store is closed.
    pub(crate) fn run(mut self) {
        self.purge();
        while let Some(job) = self.next() {
            let group = self.gather(job);
            if group.is_empty() && self.wishes.is_empty() {
                continue;
            }
            if self.shared.is_closing() {
                self.refuse_wishes(&stopping());
                answer_all(group, &stopping());
            } else {
                self.commit(group);
            }
        }
    }

    /// The next job, as soon as there is one. Meanwhile what lingers is tried again.
    fn next(&mut self) -> Option<Job> {
        while self.lingers {
            let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
            // Without a timer it is tried after the next transaction.
            let Ok(timer) = timer else { break };
            let next = async { tokio::time::timeout(PURGE_AGAIN, self.queue.recv()).await };
            match timer.block_on(next) {
                Ok(job) => return job,
                Err(_) => self.purge(),
            }
        }
        self.queue.blocking_recv()
    }

    fn purge(&mut self) {
        match self.store.purge() {
            Ok(done) => self.lingers = !done,
            Err(error) => tracing::error!(%error, "erased text may still be in the files"),
        }
    }

    /// Waits a little for readers.
    fn purge_soon(&mut self) {
        let begun = Instant::now();
        self.purge();
        while self.lingers && begun.elapsed() < PURGE_WAIT {
            thread::sleep(PURGE_STEP);
            self.purge();
        }
        if self.lingers {
            tracing::warn!(
                "erased text is still in the journal beside the database, which a reader holds: \
                 it is emptied as soon as that one lets go"
            );
        }
    }

    /// The first job and whatever else waits, up to a bound; reads are done on the way.
    fn gather(&mut self, first: Job) -> Vec<Order> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Read(read) => read(&*self.store),
                // Whoever gave up waiting needs no answer.
                Job::Ready(ledger, answer) => drop(answer.send(self.ready(ledger))),
                Job::Challenge(shown, answer) => drop(answer.send(self.challenge(shown))),
                Job::Halt(error) => self.halt(error),
                Job::Copy(copied, answer) => drop(answer.send(self.copy(&copied))),
                Job::Witnessed(ledger, note, answer) => {
                    let kept = self.store.keep_witnessed(&ledger.0, &note);
                    drop(answer.send(kept.map_err(NodeError::from)));
                }
                Job::Append(order) => {
                    bytes += order.verified.statement.envelope().len();
                    group.push(*order);
                }
                Job::Publish(wish) => self.wishes.push(wish),
            }
            let room = group.len() + self.wishes.len() < MOST && bytes < MOST_BYTES;
            next = if room { self.queue.try_recv().ok() } else { None };
        }
        group
    }

    fn commit(&mut self, group: Vec<Order>) {
        let now = match self.watch.judge((self.clock)()) {
            Ok(now) => now,
            Err(fault) => {
                tracing::error!(%fault, "nothing is appended");
                let fault = fault.into();
                self.refuse_wishes(&fault);
                return answer_all(group, &fault);
            }
        };
        let judged: Vec<_> = group
            .into_iter()
            .map(|mut order| {
                let verdict = self.admit(&mut order, now);
                order.row.note(&verdict);
                if verdict.is_ok() {
                    self.after_payout(&order, now);
                }
                (order, verdict)
            })
            .collect();
        let wished = self.judge_wishes(now);
        let admitted = judged.iter().filter(|(_, verdict)| verdict.is_ok());
        let mut touched: BTreeSet<LedgerId> = admitted.map(|(order, _)| order.ledger).collect();
        // What a wish found may have been stored before.
        let stated = wished.iter().filter(|(_, verdict)| verdict.is_ok()).map(|(w, _)| w.ledger);
        touched.extend(stated.filter(|l| self.open[l].sequencer.effects().is_some()));
        let stored = self.store(&touched);
        match &stored {
            Ok(signed) => self.acknowledge(judged, signed),
            Err(error) => self.take_back(judged, &touched, error),
        }
        self.answer_wishes(wished, &touched, stored.err());
        // A ledger whose genesis was refused, or not stored, is not there.
        self.open.retain(|_, open| open.sequencer.head().size > 0);
    }

    /// Judges one statement on top of what is pending.
    fn admit(&mut self, order: &mut Order, now: u64) -> Result<u64, NodeError> {
        order.row.require_whole()?;
        self.require_going()?;
        if !self.open.contains_key(&order.ledger) {
            let open = self.open(order, now)?;
            self.open.insert(order.ledger, open);
        }
        let open = self.open.get_mut(&order.ledger).expect("it was opened above");
        open.make_up(&self.shared)?;
        let Verified { statement, events, disclosures, at } = &mut order.verified;
        let erases = erase::named(events);
        let Open { sequencer, disclosures: coming, erasures: going, signer, .. } = &mut *open;
        let (store, ledger): (&dyn Reader, _) = (&*self.store, order.ledger);
        let kept = Kept { store, ledger, disclosures: coming, erasures: going };
        let mut successor = None;
        let entry = sequencer.admit_if(statement, events, *at, now, |next| {
            if signer.is_none() || next.handed_over(next.size).is_some() {
                successor = Some(self.shared.successor(ledger, &next.operator())?);
            }
            kept.judge(next, &erases, disclosures)
        })?;
        open.successor = successor.or(open.successor.take());
        open.note(disclosures, erases);
        Ok(entry)
    }

    fn require_going(&self) -> Result<(), NodeError> {
        self.halted.clone().map_or(Ok(()), Err)
    }

    /// All ledgers of a file are of one age: where one is an old copy, the others are.
    fn halt(&mut self, why: NodeError) {
        tracing::error!(%why, "nothing more is appended");
        self.open.clear();
        self.newest = false;
        self.halted.get_or_insert(why);
    }

    /// Whether a head that the operator has signed is of this history. If not, that stays known
    /// after a restart: a larger one is in the head file then, and of another the ring has a mark.
    fn challenge(&mut self, shown: Checkpoint) -> Result<(), NodeError> {
        self.ready(shown.ledger)?;
        let open = self.open.get_mut(&shown.ledger).expect("it is ready");
        let here = open.sequencer.durable();
        let (name, size) = (here.state.root().name.to_string(), here.tree.size());
        if shown.size > size {
            let last = shown.size;
            let what = format!("ends after {size} entries, its operator has signed {last}");
            let why = older(&name, &what);
            // To the bytes that its operator signed: it bears no other lines.
            let signer = open.signer()?;
            let kept = signer.head.keep(shown, &shown.sign(&signer.key));
            self.halt(why.clone());
            return kept.and(Err(why));
        }
        let signer = open.signer.as_ref().expect("it is ready: its operator's key is here");
        let holds = signer.head.holds(&*self.store, here, shown);
        // Whoever has handed over still has a key, and no say: this copy holds the handover, so that
        // what they sign now cannot show that it is an old one.
        if holds.is_err() && here.state.operator_of(shown.size) != here.state.operator() {
            let last = shown.size;
            return Err(world(
                "former-operator",
                format!(
                    "ledger {name}: an operator who has handed over has signed other {last} entries"
                ),
                "keep that head: it is evidence against who signed it; nothing ends here",
            ));
        }
        match holds {
            Err(error) if error.code() == "older-database" => {
                let last = shown.size;
                let what = format!(
                    "has not the first {last} entries that its operator has signed, as somebody has shown"
                );
                let why = older(&name, &what);
                let marked = halt::mark(&self.shared.ring, &why.to_string());
                self.halt(why.clone());
                marked.and(Err(why))
            }
            // That it holds, or that this cannot be known now.
            judged => judged,
        }
    }

    /// Stores all that is pending in one transaction. Returns the heads, and them signed.
    fn store(&mut self, touched: &BTreeSet<LedgerId>) -> Result<Signed, NodeError> {
        let pending = "a ledger is touched by an entry that is pending";
        let effects: Vec<_> = touched
            .iter()
            .map(|ledger| {
                let open = &self.open[ledger];
                let effects = open.sequencer.effects().expect(pending);
                let note = effects.head.sign(open.key());
                (*ledger, open, effects, note)
            })
            .collect();
        if effects.is_empty() {
            return Ok(Signed::new());
        }
        let batches: Vec<_> = effects
            .iter()
            .map(|(ledger, open, effects, note)| Batch {
                ledger: ledger.0,
                name: open.sequencer.name().expect(pending),
                expected: effects.expected,
                entries: effects.entries,
                nodes: effects.nodes,
                checkpoint: Some(note),
                disclosures: &open.disclosures,
                erasures: &open.erasures,
            })
            .collect();
        let erases = batches.iter().any(|batch| !batch.erasures.is_empty());
        // Before: a group whose answer was lost may be there all the same.
        self.lingers |= erases;
        self.store.append(&batches)?;
        let signed = effects.into_iter();
        let signed =
            signed.map(|(ledger, _, effects, note)| (ledger, (effects.head, note))).collect();
        self.succeed(touched);
        if erases {
            self.purge_soon();
        } else if self.lingers {
            self.purge();
        }
        Ok(signed)
    }

    fn acknowledge(&mut self, judged: Vec<(Order, Result<u64, NodeError>)>, signed: &Signed) {
        let kept = self.keep_heads(signed);
        let answers: Vec<_> = judged
            .into_iter()
            .map(|(order, verdict)| {
                let answer = verdict.and_then(|entry| {
                    kept.get(&order.ledger).map_or(Ok(()), |error| Err(error.clone()))?;
                    let mut appended = self.appended(order.ledger, entry, signed);
                    let erases = !erase::named(&order.verified.events).is_empty();
                    appended.erased_text_lingers = self.lingers && erases;
                    Ok(appended)
                });
                (order, answer)
            })
            .collect();
        // Readers first, so that who has an answer finds the entry.
        for ledger in signed.keys() {
            let open = self.open.get_mut(ledger).expect("it was stored from here");
            open.forget();
            self.shared.slots.make(*ledger).publish(open.sequencer.committed());
        }
        for (order, answer) in answers {
            order.answer(answer);
        }
    }

    /// Keeps the signed heads beside their keys; returns those ledgers where that failed. What
    /// is stored there stays, but no proof of it leaves.
    fn keep_heads(&mut self, signed: &Signed) -> BTreeMap<LedgerId, NodeError> {
        let mut failed = BTreeMap::new();
        for (ledger, (head, note)) in signed {
            let open = self.open.get_mut(ledger).expect("it was stored from here");
            match open.signer().and_then(|signer| signer.head.keep(*head, note)) {
                Ok(()) => self.shared.set_kept(*ledger, note),
                Err(error) => {
                    tracing::error!(%error, "a signed head was not kept");
                    open.unkept = Some((*head, note.clone()));
                    self.shared.set_unkept(*ledger);
                    failed.insert(*ledger, error);
                }
            }
        }
        failed
    }

    fn appended(&self, ledger: LedgerId, entry: u64, signed: &Signed) -> Appended {
        let proof = self.open[&ledger].sequencer.prove(entry);
        let (leaf, path) = proof.expect("what was just stored is still pending here");
        let checkpoint = signed[&ledger].1.clone();
        Appended { ledger, entry, leaf, path, checkpoint, erased_text_lingers: false }
    }

    /// The transaction failed: nothing of it is acknowledged, and no refusal stands that it
    /// may have caused.
    fn take_back(
        &mut self,
        judged: Vec<(Order, Result<u64, NodeError>)>,
        touched: &BTreeSet<LedgerId>,
        error: &NodeError,
    ) {
        tracing::error!(%error, "a group was not stored");
        for ledger in touched {
            let open = self.open.get_mut(ledger).expect("it was to be stored from here");
            open.sequencer.failed();
            open.forget();
            // The store may have the group all the same: then it is read again.
            let stands = self.store.head(&ledger.0).is_ok_and(|h| h == open.sequencer.head());
            if !stands {
                self.open.remove(ledger);
            }
        }
        for (order, verdict) in judged {
            let lost = |refusal: &NodeError| {
                touched.contains(&order.ledger) || OF_OTHERS.contains(&refusal.code())
            };
            let refusal = verdict.err().filter(|refusal| !lost(refusal));
            order.answer(Err(refusal.unwrap_or_else(|| error.clone())));
        }
    }
}
