//! Who keeps one ledger: when it is looked at what others have said, and what was refused.
//!
//! Owns what is waited for, and how soon something is tried again. Nothing of it is needed after
//! a restart. Leaves out how a step is carried out (`hand`).

use super::{
    hand::{Hand, Outcome},
    plan::{self, Plan, Step, how_far, other_side},
    run::{LOOK, Relay},
    status::{Waiting, Why},
};
use crate::{Ledgers as _, NodeError, runtime::Node};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use subak_ledger::{
    book::{agreement::Agreement, state::State},
    log::{Hash, LedgerId},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// What was refused is tried again after this, and after twice as long each time.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest time between two attempts.
const LONGEST: Duration = Duration::from_mins(10);
/// The longest time between two looks whether a copy is whole.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// How soon, and how late, a head with more witnesses is looked for.
const WITNESSED: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(8)];

/// When something is tried again.
#[derive(Clone, Copy)]
struct Pause {
    /// None once it is over: how long it was is remembered until something works.
    until: Option<Instant>,
    wait: Duration,
}

impl Pause {
    fn after(before: Option<&Self>, [first, longest]: [Duration; 2]) -> Self {
        let wait = before.map_or(first, |pause| (pause.wait * 2).min(longest));
        Self { until: Some(Instant::now() + wait), wait }
    }

    fn goes_on(&self) -> bool {
        self.until.is_some()
    }

    /// Returns whether it is over just now.
    fn end(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }
}

/// What grows, and whether it can be waited for any more.
type Grown = FuturesUnordered<BoxFuture<'static, (LedgerId, Result<(), NodeError>)>>;

/// What came of a plan.
struct Round {
    /// Of the other ledger, when it was looked at.
    size: u64,
    /// Whether something was appended: then there may be more.
    moved: bool,
    /// How soon it is to be looked at again by itself, if it is.
    again: Option<[Duration; 2]>,
}

/// Who keeps one ledger.
pub(super) struct Desk {
    relay: Arc<Relay>,
    own: LedgerId,
    /// What is in the store.
    here: watch::Receiver<BTreeSet<LedgerId>>,
    hand: Hand,
    /// The own book at the last look.
    seen: Option<Arc<State>>,
    /// Ledgers on the other side that were not in the store when they were looked for.
    absent: BTreeSet<LedgerId>,
    /// Ledgers to look at.
    due: BTreeSet<LedgerId>,
    /// What was refused, by agreement; a handover by the other ledger's id.
    refused: BTreeMap<Hash, Pause>,
    /// Other ledgers to look at again by themselves.
    again: BTreeMap<LedgerId, Pause>,
    /// Ledgers that are waited for.
    watched: BTreeSet<LedgerId>,
    grown: Grown,
}

impl Desk {
    pub(super) fn new(
        relay: Arc<Relay>,
        own: LedgerId,
        here: watch::Receiver<BTreeSet<LedgerId>>,
    ) -> Self {
        Self {
            hand: Hand::new(relay.clone(), own),
            relay,
            own,
            here,
            seen: None,
            absent: BTreeSet::new(),
            due: BTreeSet::new(),
            refused: BTreeMap::new(),
            again: BTreeMap::new(),
            watched: BTreeSet::new(),
            grown: Grown::new(),
        }
    }

    fn node(&self) -> &Arc<Node> {
        &self.relay.node
    }

    pub(super) async fn work(mut self) {
        let mut closing = self.node().closing();
        loop {
            self.look().await;
            let next = self.again.values().chain(self.refused.values()).filter_map(|p| p.until);
            let next = next.min();
            tokio::select! {
                Some((ledger, grown)) = self.grown.next() => {
                    self.watched.remove(&ledger);
                    match grown {
                        Ok(()) => drop(self.due.insert(ledger)),
                        // It is gone or damaged, or this is the end: not at once again.
                        Err(_) => self.pause(ledger, [AGAIN, LONGEST]),
                    }
                }
                changed = self.here.changed() => match changed {
                    Ok(()) => self.arrived(),
                    Err(_) => return,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.resume();
                }
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    /// What was paused for long enough is due.
    fn resume(&mut self) {
        let now = Instant::now();
        let over = self.again.iter_mut().filter_map(|(l, pause)| pause.end(now).then_some(*l));
        self.due.extend(over);
        let over = self.refused.iter_mut().filter_map(|(d, pause)| pause.end(now).then_some(*d));
        let agreements = self.seen.as_ref().map(|book| &book.agreements);
        let whose = |named: Hash| {
            let agreement = agreements.and_then(|all| all.get(&named));
            agreement.map_or(LedgerId(named), |a| other_side(a).0)
        };
        self.due.extend(over.map(whose));
    }

    /// What was waited for is in the store now.
    fn arrived(&mut self) {
        let here = self.here.borrow();
        self.due.extend(self.absent.iter().filter(|other| here.contains(*other)));
    }

    fn pause(&mut self, ledger: LedgerId, bounds: [Duration; 2]) {
        let pause = Pause::after(self.again.get(&ledger), bounds);
        self.again.insert(ledger, pause);
    }

    /// Plans for whatever is due, and does it. What this makes possible is due by itself: the own
    /// ledger has grown then.
    async fn look(&mut self) {
        let book = match self.node().book(self.own).await {
            Ok(book) => book,
            Err(error) => return self.trouble(&error),
        };
        if let Err(error) = self.hand.ready(&book).await {
            return self.trouble(&error);
        }
        let retry = self.due.remove(&self.own) && self.again.contains_key(&self.own);
        let changed = match &self.seen {
            Some(before) => changed(before, &book),
            None => book.agreements.values().map(|a| other_side(a).0).collect(),
        };
        if !changed.is_empty() || retry {
            self.due.extend(changed);
            match self.hand.state_stages(&book).await {
                Ok(()) => drop(self.again.remove(&self.own)),
                Err(error) => self.trouble(&error),
            }
        }
        self.watch(self.own, book.size);
        self.seen = Some(book);
        for other in std::mem::take(&mut self.due) {
            self.serve(other).await;
        }
    }

    /// The own ledger itself cannot be worked on just now.
    fn trouble(&mut self, error: &NodeError) {
        tracing::warn!(own = %self.own, %error, "nothing is relayed to this ledger for now");
        self.pause(self.own, [AGAIN, LONGEST]);
    }

    /// Waits for a ledger to have more entries, once.
    fn watch(&mut self, ledger: LedgerId, size: u64) {
        if self.watched.insert(ledger) {
            let node = self.node().clone();
            let grown = async move { (ledger, node.wait_beyond(ledger, size).await) };
            self.grown.push(grown.boxed());
        }
    }

    /// Relays all that there is from one other ledger.
    async fn serve(&mut self, other: LedgerId) {
        if !self.here.borrow().contains(&other) {
            self.absent.insert(other);
            self.again.remove(&other);
            return self.wait_all(other, &Why::NotHere);
        }
        self.absent.remove(&other);
        let mut size = None;
        let mut moved = true;
        while moved {
            // Found wanting again: after as long as the first time.
            if size.is_some() {
                self.again.remove(&other);
            }
            let round = match self.round(other).await {
                Ok(round) => round,
                Err(error) => {
                    self.wait_all(other, &refusal(&error));
                    // A copy on its way is soon whole, and nothing tells when.
                    let on_its_way = error.code() == "copy-incomplete";
                    let most = if on_its_way { ON_ITS_WAY } else { LONGEST };
                    return self.pause(other, [AGAIN, most]);
                }
            };
            moved = round.moved;
            size = Some(round.size);
            match round.again {
                Some(bounds) if !moved => self.pause(other, bounds),
                Some(_) => {}
                None => drop(self.again.remove(&other)),
            }
        }
        self.watch(other, size.expect("there was a round"));
    }

    /// One plan, and its steps.
    async fn round(&mut self, other: LedgerId) -> Result<Round, NodeError> {
        let (own, book) = (self.node().book(self.own).await?, self.node().book(other).await?);
        let digests: Vec<Hash> = plan::with(&own, other).map(|a| a.terms.digest).collect();
        let Plan { steps, obstacles } = plan::plan(&own, &book);
        let mut waiting: BTreeMap<Hash, Why> =
            obstacles.into_iter().map(|(digest, what)| (digest, what.into())).collect();
        let mut round = Round { size: book.size, moved: false, again: None };
        let mut gathered = Vec::new();
        for step in &steps {
            // A handover concerns all agreements with that ledger, and what follows rests on it.
            let named = step.agreement();
            if self.refused.get(&named.unwrap_or(other.0)).is_some_and(Pause::goes_on) {
                if named.is_none() {
                    break;
                }
                continue; // its reason is on the board
            }
            let why = if let Some(reason) = (self.relay.stop)(other) {
                round.again = Some([LOOK, LOOK]);
                Some(Why::Stopped(reason))
            } else {
                match self.hand.perform(step, &book).await {
                    Ok(Outcome::Moved) => None,
                    Ok(Outcome::Nothing) => continue,
                    Ok(Outcome::Gathered) => {
                        gathered.extend(named.map(|digest| (digest, step)));
                        continue;
                    }
                    Ok(Outcome::Waits(why)) => {
                        round.again = Some(WITNESSED);
                        Some(why)
                    }
                    Err(error) => self.refuse(step, &own, &error).await,
                }
            };
            let Some(why) = why else {
                round.moved = true;
                self.refused.remove(&named.unwrap_or(other.0));
                continue;
            };
            let whose = named.map_or_else(|| digests.clone(), |digest| vec![digest]);
            waiting.extend(whose.into_iter().map(|digest| (digest, why.clone())));
            if named.is_none() {
                break;
            }
        }
        let mut failed = self.hand.finish(book.time).await;
        for (digest, step) in gathered {
            let why = match failed.remove(&digest) {
                None => None,
                Some(error) => self.refuse(step, &own, &error).await,
            };
            if let Some(why) = why {
                waiting.insert(digest, why);
            } else {
                round.moved = true;
                self.refused.remove(&digest);
            }
        }
        self.show(other, &digests, waiting);
        Ok(round)
    }

    /// What a refused step waits for; nothing if it only shows that somebody else was faster.
    async fn refuse(&mut self, step: &Step, planned: &State, error: &NodeError) -> Option<Why> {
        let now = self.node().book(self.own).await.ok();
        if now.is_some_and(|now| !step.is_same_in(planned, &now)) {
            return None;
        }
        let named = step.agreement().unwrap_or_else(|| match step {
            Step::Handover { ledger, .. } => ledger.0,
            _ => unreachable!("every other step is of one agreement"),
        });
        let pause = Pause::after(self.refused.get(&named), [AGAIN, LONGEST]);
        self.refused.insert(named, pause);
        Some(refusal(error))
    }

    /// All agreements with another ledger wait for one thing.
    fn wait_all(&self, other: LedgerId, why: &Why) {
        let own = self.seen.iter().flat_map(|own| plan::with(own, other));
        let digests: Vec<Hash> = own.map(|a| a.terms.digest).collect();
        let waiting = digests.iter().map(|digest| (*digest, why.clone())).collect();
        self.show(other, &digests, waiting);
    }

    fn show(&self, other: LedgerId, digests: &[Hash], mut waiting: BTreeMap<Hash, Why>) {
        let board = self.node().board();
        for digest in digests {
            let Some(why) = waiting.remove(digest) else {
                let paused = self.refused.get(digest).is_some_and(Pause::goes_on);
                if !paused {
                    board.clear(self.own, *digest);
                }
                continue;
            };
            let (agreement, words) = (hex::encode(&digest[..8]), why.to_string());
            let waiting = Waiting { own: self.own, agreement: *digest, ledger: other, why };
            if board.wait(waiting) {
                tracing::warn!(own = %self.own, %agreement, why = %words, "an agreement waits");
            }
        }
    }
}

/// Ledgers of which, or of agreements with which, the own book says another thing now, as far as it
/// matters here. Both are in order of digests, and none ever goes.
fn changed(before: &State, now: &State) -> BTreeSet<LedgerId> {
    let met =
        now.counterparts.iter().filter(|(id, met)| before.counterparts.get(*id) != Some(*met));
    let met = met.map(|(id, _)| LedgerId(*id));
    if before.agreements.ptr_eq(&now.agreements) {
        return met.collect();
    }
    let mut old = before.agreements.values().peekable();
    let differs = |a: &&Arc<Agreement>| {
        let same = old.next_if(|old| old.terms.digest == a.terms.digest);
        !same.is_some_and(|old| Arc::ptr_eq(old, a) || how_far(old) == how_far(a))
    };
    now.agreements.values().filter(differs).map(|a| other_side(a).0).chain(met).collect()
}

fn refusal(error: &NodeError) -> Why {
    let (code, message, _) = error.parts();
    Why::Refused { code: code.to_owned(), message: message.to_owned() }
}
