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
//!   starts from what the store says.
//!
//! Leaves out signatures, the form of events and disclosures, which are checked before a
//! job gets here: a stranger's statement costs this thread no more than its rules do.

use crate::{
    Appended, NodeError,
    clock::Watch,
    fold::damaged,
    headfile::HeadFile,
    load,
    publish::{self, Pace},
    refusal::{OF_OTHERS, Refusal, stopping, world},
    ring::Use,
    runtime::Clock,
    sequencer::{Sequencer, decode, genesis},
    slots::Shared,
    verify::Verified,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::Instant,
};
use subak_ledger::{
    book::event::Genesis,
    log::{Checkpoint, Handle, Hash, LedgerId, PublicKey, SecretKey},
    store::{Batch, Disclosure, Reader, Store},
};
use tokio::sync::{mpsc, oneshot};

/// Statements in one transaction at most: some milliseconds of judging them.
const MOST: usize = 1_024;
/// Bytes of envelopes in one transaction at most.
const MOST_BYTES: usize = 8 << 20;

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
    /// A StateRoot of a ledger, as it is once what waits before this is appended.
    Publish(Wish),
}

/// A StateRoot, and who waits for its number.
pub(crate) struct Wish {
    pub(crate) ledger: LedgerId,
    pub(crate) answer: oneshot::Sender<Result<u64, NodeError>>,
}

/// What goes into one transaction. Wishes come last, and those for one ledger share a root.
#[derive(Default)]
struct Group {
    orders: Vec<Order>,
    wishes: Vec<Wish>,
}

/// Heads that were stored, each with its signed note.
type Signed = BTreeMap<LedgerId, (Checkpoint, String)>;

/// A verified statement, and who waits for it.
pub(crate) struct Order {
    pub(crate) ledger: LedgerId,
    pub(crate) verified: Verified,
    pub(crate) answer: oneshot::Sender<Result<Appended, NodeError>>,
}

impl Order {
    /// Whoever gave up waiting needs no answer.
    fn answer(self, result: Result<Appended, NodeError>) {
        drop(self.answer.send(result));
    }
}

fn answer_all(group: Group, error: &NodeError) {
    for order in group.orders {
        order.answer(Err(error.clone()));
    }
    for wish in group.wishes {
        drop(wish.answer.send(Err(error.clone())));
    }
}

/// What was judged, and not answered yet.
struct Judged {
    orders: Vec<(Order, Result<u64, NodeError>)>,
    wishes: Vec<(Wish, Result<u64, NodeError>)>,
}

/// A ledger that is being written.
struct Open {
    sequencer: Sequencer,
    operator: SecretKey,
    head: HeadFile,
    /// What is stored and could not be kept in the head file: it comes before anything else.
    unkept: Option<(Checkpoint, String)>,
    /// Of what is pending.
    disclosures: Vec<Disclosure>,
    pace: Pace,
}

impl Open {
    fn new(sequencer: Sequencer, operator: SecretKey, head: HeadFile) -> Self {
        let (disclosures, pace) = (Vec::new(), Pace::default());
        Self { sequencer, operator, head, unkept: None, disclosures, pace }
    }

    /// Keeps what could not be kept before.
    fn make_up(&mut self, shared: &Shared) -> Result<(), NodeError> {
        if let Some((head, note)) = &self.unkept {
            self.head.keep(*head, note)?;
            shared.set_kept(head.ledger, note);
            self.unkept = None;
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
    /// Operator keys of stored ledgers, read once each: no later entry changes them.
    operators: HashMap<LedgerId, Hash>,
    /// Whether no ledger here is older than what was signed last.
    newest: bool,
}

impl Writer {
    pub(crate) fn new(
        store: Box<dyn Store>,
        queue: mpsc::Receiver<Job>,
        shared: Arc<Shared>,
        clock: Clock,
    ) -> Self {
        let (watch, open, operators) = (Watch::default(), HashMap::new(), HashMap::new());
        Self { store, queue, shared, clock, watch, open, operators, newest: false }
    }

    /// Works until nobody can send any more; then the store is closed.
    pub(crate) fn run(mut self) {
        while let Some(job) = self.queue.blocking_recv() {
            let group = self.gather(job);
            if group.orders.is_empty() && group.wishes.is_empty() {
                continue;
            }
            if self.shared.is_closing() {
                answer_all(group, &stopping());
            } else {
                self.commit(group);
            }
        }
    }

    /// The first job and whatever else waits, up to a bound; reads are done on the way.
    fn gather(&mut self, first: Job) -> Group {
        let (mut group, mut bytes) = (Group::default(), 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Read(read) => read(&*self.store),
                // Whoever gave up waiting needs no answer.
                Job::Ready(ledger, answer) => drop(answer.send(self.ready(ledger))),
                Job::Append(order) => {
                    bytes += order.verified.statement.envelope().len();
                    group.orders.push(*order);
                }
                Job::Publish(wish) => group.wishes.push(wish),
            }
            let room = group.orders.len() + group.wishes.len() < MOST && bytes < MOST_BYTES;
            next = if room { self.queue.try_recv().ok() } else { None };
        }
        group
    }

    fn commit(&mut self, group: Group) {
        let now = match self.watch.judge((self.clock)()) {
            Ok(now) => now,
            Err(fault) => {
                tracing::error!(%fault, "nothing is appended");
                return answer_all(group, &fault.into());
            }
        };
        let judged = self.judge(group, now);
        // What a wish found may have been stored before.
        let touched: BTreeSet<LedgerId> =
            self.open.iter().filter(|o| o.1.sequencer.effects().is_some()).map(|o| *o.0).collect();
        match self.store(&touched) {
            Ok(signed) => self.acknowledge(judged, &signed),
            Err(error) => self.take_back(judged, &touched, &error),
        }
        // A ledger whose genesis was refused, or not stored, is not there.
        self.open.retain(|_, open| open.sequencer.head().size > 0);
    }

    fn judge(&mut self, group: Group, now: u64) -> Judged {
        let orders = group.orders.into_iter().map(|mut order| {
            let verdict = self.admit(&mut order, now);
            let payout = order.verified.events.as_deref().is_ok_and(publish::proposes_payout);
            if verdict.is_ok() && payout {
                // Before anything else can be said of the run. It stands without, too.
                if let Err(error) = self.state_root(order.ledger, now) {
                    tracing::warn!(%error, ledger = %order.ledger, "a payout without a state root");
                }
            }
            (order, verdict)
        });
        let orders = orders.collect();
        let wishes = group.wishes.into_iter().map(|wish| {
            let verdict = self.wanted_root(wish.ledger, now);
            (wish, verdict)
        });
        Judged { orders, wishes: wishes.collect() }
    }

    /// As [`Writer::state_root`], for whoever asks, and so not without end.
    fn wanted_root(&mut self, ledger: LedgerId, now: u64) -> Result<u64, NodeError> {
        self.ready(ledger)?;
        let open = &self.open[&ledger];
        if let Some(stated) = open.sequencer.pending().stated {
            return Ok(stated);
        }
        let begun = Instant::now();
        open.pace.require(begun)?;
        let entry = self.state_root(ledger, now);
        let open = self.open.get_mut(&ledger).expect("it is open, see above");
        open.pace.took(begun, Instant::now());
        entry
    }

    /// The clerk's StateRoot on top of what is pending: composed here, between two statements,
    /// it cannot have become false. The ledger is open.
    fn state_root(&mut self, ledger: LedgerId, now: u64) -> Result<u64, NodeError> {
        let open = self.open.get_mut(&ledger).expect("the caller has opened it");
        let ring = &self.shared.ring;
        let (statement, at) = publish::compose(ring, open.sequencer.pending(), now)?;
        Ok(open.sequencer.admit(&statement, &decode(&statement), at, now)?)
    }

    /// Judges one statement on top of what is pending.
    fn admit(&mut self, order: &mut Order, now: u64) -> Result<u64, NodeError> {
        if !self.open.contains_key(&order.ledger) {
            let open = self.open(order, now)?;
            self.open.insert(order.ledger, open);
        }
        let open = self.open.get_mut(&order.ledger).expect("it was opened above");
        open.make_up(&self.shared)?;
        let Verified { statement, events, disclosures, at } = &mut order.verified;
        let entry = open.sequencer.admit(statement, events, *at, now)?;
        open.disclosures.append(disclosures);
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
        for row in self.store.ledgers()? {
            let ledger = LedgerId(row.id);
            let operator = PublicKey::admit(&self.operator(ledger)?)?;
            let head = HeadFile::open(&self.shared.ring, ledger, &operator)?;
            head.require_size(&row.name, self.store.head(&row.id)?.size)?;
        }
        self.newest = true;
        Ok(())
    }

    /// The operator key that a stored ledger names.
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
        if self.has_ledger(&genesis.operator)? {
            return Err(Refusal::OperatorTaken(hex::encode(genesis.operator)).into());
        }
        self.require_newest()?;
        let operator = self.keep_keys(genesis)?;
        let head = HeadFile::open(&self.shared.ring, order.ledger, &operator.public())?;
        // It was here before, and is in no database that was put back.
        head.require_size(genesis.name.as_str(), 0)?;
        Ok(Open::new(Sequencer::default(), operator, head))
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
        let pending = self.open.values().any(|o| o.sequencer.operator() == Some(operator));
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

    fn ready(&mut self, ledger: LedgerId) -> Result<(), NodeError> {
        if !self.open.contains_key(&ledger) {
            let open = self.open_stored(ledger)?;
            self.open.insert(ledger, open);
        }
        self.open.get_mut(&ledger).expect("it was opened above").make_up(&self.shared)
    }

    /// Goes on from what readers have folded, after a look whether the store agrees.
    fn open_stored(&mut self, ledger: LedgerId) -> Result<Open, NodeError> {
        self.require_newest()?;
        let slot = self.shared.slots.make(ledger);
        let mut folded = slot.get().as_deref().cloned().unwrap_or_default();
        let head = self.store.head(&ledger.0)?;
        if folded.head() != head {
            folded = load::extend(&*self.store, ledger, folded)?;
            slot.publish(folded.clone());
        }
        if folded.head() != head {
            let what = format!("the log goes on to {head}, without a signed head");
            return Err(damaged(&ledger, folded.head().size, &what));
        }
        let root = folded.state.root();
        let Some(operator) = self.shared.ring.find(&root.operator, Use::Operator)? else {
            return Err(world(
                "operator-key-missing",
                format!(
                    "ledger {ledger}: its operator key {} is not in {}",
                    hex::encode(root.operator),
                    self.shared.ring.dir().display()
                ),
                "put the key file back, or append through the node that has it (--node)",
            ));
        };
        let mut head = HeadFile::open(&self.shared.ring, ledger, &operator.public())?;
        head.require(&*self.store, &folded)?;
        // What was committed just before a crash is signed, and not kept yet.
        if let Some(note) = self.store.checkpoint(&ledger.0)? {
            let signed = folded.open(&note).map_err(|what| damaged(&ledger, 0, &what))?;
            // Signed anew, to the same bytes: a stored note may bear others' lines as well.
            head.keep(signed, &signed.sign(&operator))?;
            self.shared.set_kept(ledger, &note);
        }
        Ok(Open::new(Sequencer::new(folded), operator, head))
    }

    /// Stores all that is pending in one transaction. Returns the heads, and them signed.
    fn store(&mut self, touched: &BTreeSet<LedgerId>) -> Result<Signed, NodeError> {
        let pending = "a ledger is touched by an entry that is pending";
        let effects: Vec<_> = touched
            .iter()
            .map(|ledger| {
                let open = &self.open[ledger];
                let effects = open.sequencer.effects().expect(pending);
                let note = effects.head.sign(&open.operator);
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
                erasures: &[],
            })
            .collect();
        self.store.append(&batches)?;
        let signed = effects.into_iter();
        Ok(signed.map(|(ledger, _, effects, note)| (ledger, (effects.head, note))).collect())
    }

    fn acknowledge(&mut self, judged: Judged, signed: &Signed) {
        let failed = self.keep_heads(signed);
        let kept =
            |ledger: &LedgerId| failed.get(ledger).map_or(Ok(()), |error| Err(error.clone()));
        let answers: Vec<_> = judged
            .orders
            .into_iter()
            .map(|(order, verdict)| {
                let answer = verdict.and_then(|entry| {
                    kept(&order.ledger)?;
                    Ok(self.appended(order.ledger, entry, signed))
                });
                (order, answer)
            })
            .collect();
        // Readers first, so that who has an answer finds the entry.
        for ledger in signed.keys() {
            let open = self.open.get_mut(ledger).expect("it was stored from here");
            open.disclosures.clear();
            self.shared.slots.make(*ledger).publish(open.sequencer.committed());
        }
        for (order, answer) in answers {
            order.answer(answer);
        }
        for (wish, verdict) in judged.wishes {
            let answer = verdict.and_then(|entry| kept(&wish.ledger).map(|()| entry));
            drop(wish.answer.send(answer));
        }
    }

    /// Keeps the signed heads beside their keys; returns those ledgers where that failed. What
    /// is stored there stays, but no proof of it leaves.
    fn keep_heads(&mut self, signed: &Signed) -> BTreeMap<LedgerId, NodeError> {
        let mut failed = BTreeMap::new();
        for (ledger, (head, note)) in signed {
            let open = self.open.get_mut(ledger).expect("it was stored from here");
            match open.head.keep(*head, note) {
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
        Appended { ledger, entry, leaf, path, checkpoint: signed[&ledger].1.clone() }
    }

    /// The transaction failed: nothing of it is acknowledged, and no refusal stands that it
    /// may have caused.
    fn take_back(&mut self, judged: Judged, touched: &BTreeSet<LedgerId>, error: &NodeError) {
        tracing::error!(%error, "a group was not stored");
        for ledger in touched {
            let open = self.open.get_mut(ledger).expect("it was to be stored from here");
            open.sequencer.failed();
            open.disclosures.clear();
            // The store may have the group all the same: then it is read again.
            let stands = self.store.head(&ledger.0).is_ok_and(|h| h == open.sequencer.head());
            if !stands {
                self.open.remove(ledger);
            }
        }
        for (order, verdict) in judged.orders {
            let lost = |refusal: &NodeError| {
                touched.contains(&order.ledger) || OF_OTHERS.contains(&refusal.code())
            };
            let refusal = verdict.err().filter(|refusal| !lost(refusal));
            order.answer(Err(refusal.unwrap_or_else(|| error.clone())));
        }
        for (wish, verdict) in judged.wishes {
            let lost = touched.contains(&wish.ledger);
            drop(wish.answer.send(if lost { Err(error.clone()) } else { verdict }));
        }
    }
}
