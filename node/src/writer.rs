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
mod signer;
mod wishes;

use crate::{
    Appended, NodeError,
    clock::Watch,
    erase::{self, Kept},
    fold::damaged,
    halt,
    headfile::{self, HeadFile},
    load,
    refusal::{KEY_MISSING, OF_OTHERS, Refusal, older, stopping, world},
    ring::Use,
    runtime::Clock,
    sequencer::{Sequencer, genesis},
    slots::Shared,
    verify::Verified,
};
pub(crate) use copies::Copied;
use signer::Signer;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use subak_ledger::{
    book::event::Genesis,
    log::{Checkpoint, Handle, Hash, LedgerId, PublicKey, SecretKey},
    store::{Batch, Disclosure, Head, Reader, Store},
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

/// A ledger that is being written.
struct Open {
    sequencer: Sequencer,
    /// None where the operator's key is not here: then nothing is appended but a handover.
    signer: Option<Signer>,
    /// Who takes over with what is pending.
    successor: Option<Signer>,
    /// What is stored and could not be kept in the head file: it comes before anything else.
    unkept: Option<(Checkpoint, String)>,
    /// Of what is pending.
    disclosures: Vec<Disclosure>,
    /// Of what is pending, too.
    erasures: Vec<Hash>,
}

impl Open {
    fn new(sequencer: Sequencer, signer: Option<Signer>) -> Self {
        let (disclosures, erasures) = (Vec::new(), Vec::new());
        Self { sequencer, signer, successor: None, unkept: None, disclosures, erasures }
    }

    /// Who signs what is stored.
    fn signer(&mut self) -> Result<&mut Signer, NodeError> {
        let ledger = self.sequencer.durable().state.ledger;
        self.signer.as_mut().ok_or_else(|| {
            world(
                KEY_MISSING,
                format!(
                    "ledger {ledger}: its operator's key is not here, and a handover is prepared"
                ),
                "finish it: `subak operator take FILE`; or append through the node that has the \
                 key (--node)",
            )
        })
    }

    /// Nothing is pending any more.
    fn forget(&mut self) {
        self.disclosures.clear();
        self.erasures.clear();
        self.successor = None;
    }

    /// Takes what came beside an admitted statement. A text that came and goes in one
    /// transaction is not even written.
    fn note(&mut self, disclosures: &mut Vec<Disclosure>, erasures: Vec<Hash>) {
        self.disclosures.append(disclosures);
        if !erasures.is_empty() {
            self.disclosures.retain(|d| !erasures.contains(&d.commitment));
            self.erasures.extend(erasures);
        }
    }

    /// What signs what is pending.
    fn key(&self) -> &SecretKey {
        let signer = self.successor.as_ref().or(self.signer.as_ref());
        &signer.expect("without one only a handover is admitted, to one that is here").key
    }

    /// Keeps what could not be kept before.
    fn make_up(&mut self, shared: &Shared) -> Result<(), NodeError> {
        if let Some((head, note)) = self.unkept.take() {
            let kept = self.signer().and_then(|signer| signer.head.keep(head, &note));
            if let Err(error) = kept {
                self.unkept = Some((head, note));
                return Err(error);
            }
            shared.set_kept(head.ledger, &note);
        }
        Ok(())
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

    fn open(&mut self, order: &Order, now: u64) -> Result<Open, NodeError> {
        let new = order.verified.statement.header().ledger == LedgerId::ZERO
            && self.store.head(&order.ledger.0)?.size == 0;
        if new { self.open_new(order, now) } else { self.open_stored(order.ledger) }
    }

    /// The ledgers of a database are of one age: where one ends before what its operator has
    /// signed, an old copy was put back, and what is added to the others would be lost when
    /// the newest is put back.
    fn require_newest(&mut self) -> Result<(), NodeError> {
        if self.newest {
            return Ok(());
        }
        if let Some((reason, file)) = halt::marked(&self.shared.ring) {
            return Err(NodeError::Corrupt {
                code: "older-database".into(),
                message: format!("{reason} ({})", file.display()),
                next: "put back the newest copy of the database, see with `subak checkpoint \
                       challenge` that it goes on from every head that others hold, and only then \
                       remove that file"
                    .into(),
            });
        }
        let heads = headfile::all(&self.shared.ring)?;
        for row in self.store.ledgers()? {
            for head in heads.iter().filter(|head| head.ledger() == Some(LedgerId(row.id))) {
                head.require_size(&row.name, self.store.head(&row.id)?.size)?;
            }
        }
        self.newest = true;
        Ok(())
    }

    /// The operator key that the genesis of a stored ledger names.
    fn operator(&mut self, ledger: LedgerId) -> Result<Hash, NodeError> {
        Ok(match self.operators.entry(ledger) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => *place.insert(load::operator(&*self.store, ledger)?),
        })
    }

    /// A ledger to be: its genesis must stand, and name an operator key of this node that no
    /// other ledger has. Whoever trusts a key trusts what it signs, so one key is one ledger.
    fn open_new(&mut self, order: &Order, now: u64) -> Result<Open, NodeError> {
        if !self.shared.allow_new_ledgers {
            return Err(Refusal::NewLedgersClosed.into());
        }
        let Verified { statement, events, at, .. } = &order.verified;
        // What the rules say of it comes before what this node keeps.
        Sequencer::default().admit(statement, events, *at, now)?;
        let genesis = genesis(events).expect("the rules open a ledger by a genesis");
        if self.is_kept(&genesis.name)? {
            return Err(Refusal::NameTaken(genesis.name.to_string()).into());
        }
        // It may have become an operator's by a handover: then its head file is of that ledger.
        let ring = &self.shared.ring;
        let signed = |key| HeadFile::open(ring, order.ledger, &key).is_err();
        let elsewhere = ring.has_signed(&genesis.operator)
            && PublicKey::admit(&genesis.operator).is_ok_and(signed);
        if elsewhere || self.has_ledger(&genesis.operator)? {
            return Err(Refusal::OperatorTaken(hex::encode(genesis.operator)).into());
        }
        self.require_newest()?;
        let operator = self.keep_keys(genesis)?;
        let signer = Signer::open(&self.shared.ring, order.ledger, operator)?;
        // It was here before, and is in no database that was put back.
        signer.head.require_size(genesis.name.as_str(), 0)?;
        Ok(Open::new(Sequencer::default(), Some(signer)))
    }

    /// Whether a ledger of this name is stored or pending here.
    fn is_kept(&self, name: &Handle) -> Result<bool, NodeError> {
        let pending = self.open.values().any(|o| o.sequencer.name() == Some(name.as_str()));
        Ok(pending || self.store.ledgers()?.iter().any(|row| row.name == name.as_str()))
    }

    /// Whether a ledger that is stored or pending here names this operator key.
    fn has_ledger(&mut self, operator: &Hash) -> Result<bool, NodeError> {
        for row in self.store.ledgers()? {
            self.operator(LedgerId(row.id))?;
        }
        let pending = self.open.values().any(|o| o.sequencer.operator() == Some(*operator));
        Ok(pending || self.operators.values().any(|known| known == operator))
    }

    /// The operator's key of a ledger to be. It and the clerk's are in files before the
    /// ledger is; after a crash between the two they are files of no ledger.
    fn keep_keys(&self, genesis: &Genesis) -> Result<SecretKey, NodeError> {
        let Shared { ring, prepared, .. } = &*self.shared;
        prepared.keep(ring, &genesis.operator, Use::Operator)?;
        let Some(operator) = ring.find(&genesis.operator, Use::Operator)? else {
            return Err(Refusal::OperatorNotHere(hex::encode(genesis.operator)).into());
        };
        prepared.keep(ring, &genesis.clerk, Use::Clerk)?;
        Ok(operator)
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

    fn ready(&mut self, ledger: LedgerId) -> Result<(), NodeError> {
        self.require_going()?;
        if !self.open.contains_key(&ledger) {
            let open = self.open_stored(ledger)?;
            self.open.insert(ledger, open);
        }
        let open = self.open.get_mut(&ledger).expect("it was opened above");
        open.signer()?;
        open.make_up(&self.shared)
    }

    /// Goes on from what readers have folded, after a look whether the store agrees.
    fn open_stored(&mut self, ledger: LedgerId) -> Result<Open, NodeError> {
        let head = self.store.head(&ledger.0)?;
        if head == Head::EMPTY {
            return Err(load::unknown(&ledger)); // a stranger's id, or of a genesis that was refused
        }
        self.require_newest()?;
        let slot = self.shared.slots.make(ledger);
        let mut folded = slot.get().as_deref().cloned().unwrap_or_default();
        if folded.head() != head {
            folded = load::extend(&*self.store, ledger, folded)?;
            slot.publish(folded.clone());
        }
        let mut signer = self.shared.signer(&folded.state)?;
        if folded.head() != head && signer.is_none() {
            return Err(load::on_its_way(&ledger, folded.head().size, head.size));
        }
        if folded.head() != head {
            let what = format!("the log goes on to {head}, without a signed head");
            return Err(damaged(&ledger, folded.head().size, &what));
        }
        if let Some(Signer { key, head }) = &mut signer {
            head.require(&*self.store, &folded)?;
            // What was committed just before a crash is signed, and not kept yet.
            if let Some(note) = self.store.checkpoint(&ledger.0)? {
                let signed = folded.open(&note).map_err(|what| damaged(&ledger, 0, &what))?;
                // Signed anew, to the same bytes: a stored note may bear others' lines as well.
                head.keep(signed, &signed.sign(key))?;
                self.shared.set_kept(ledger, &note);
            }
        }
        Ok(Open::new(Sequencer::new(folded), signer))
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
