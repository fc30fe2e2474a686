//! Whom a node follows just now, and when it asks.
//!
//! Owns the tasks: one for each peer, one for each of its ledgers that is followed. Guarantees that
//! the peers file is obeyed while the node runs, that a peer which fails is asked again after a
//! pause that doubles, with jitter, so that many followers of one node do not come back at
//! once, and that all of it ends with the node. Leaves out what one question brings (`round`).

use super::{
    evidence::Evidence,
    peers::{Peer, Peers},
    round::{End, ROUND, Round, Wanted},
};
use crate::{
    Ledgers as _, Mirror, NodeError, client::Remote, readers::lock, refusal::world, runtime::Node,
    tls::Pin, wire::away,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use subak_ledger::log::{Hash, LedgerId, policy::Policy};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time,
};

/// How often the peers file and the own agreements are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often a peer is asked which ledgers it has, where nothing new is wanted of it.
const LIST: Duration = Duration::from_secs(30);
/// The first pause after a failure.
const AGAIN: Duration = Duration::from_millis(250);
/// The longest one.
const LONGEST: Duration = Duration::from_mins(1);
/// How often a peer is asked about a ledger that does not grow: whether it still answers.
const QUIET: Duration = Duration::from_secs(20);
/// The least time from one question about a ledger that is mirrored to the next: what a busy source
/// spends on those who follow it does not grow with its appends. A partner's is asked at once.
const EASE: Duration = Duration::from_millis(100);
/// Questions that wait at one peer for a ledger to grow; beyond them its other ledgers are asked again
/// and again. A node answers 256 calls of a connection at a time, and 512 in all.
const WAITS: usize = 100;
/// Long logs that are copied at a time: each takes all cores and some tens of megabytes.
const LONG_ONES: usize = 4;
/// Before what somebody else has changed is read again.
const BREATH: Duration = Duration::from_millis(10);
/// How often witnesses' lines are asked for, where they matter and are not there yet.
const WITNESSES: Duration = Duration::from_secs(1);

/// A peer that answers.
pub(super) struct Source {
    pub(super) url: String,
    pub(super) remote: Arc<Remote>,
    waits: Semaphore,
}

/// Follows peers into a node's store.
pub struct Follower {
    pub(super) node: Arc<Node>,
    file: Option<PathBuf>,
    fixed: Vec<Peer>,
    pub(super) evidence: Evidence,
    /// Whether heads are wanted that witnesses have signed,
    pub(super) witnessed: bool,
    /// and how many of them must have, where something waits for them.
    pub(super) policy: Option<Policy>,
    /// Who copies a ledger, where several peers have it: each head is asked of all of them, and
    /// entries are copied by one at a time.
    pub(super) turns: Mutex<BTreeMap<LedgerId, Arc<tokio::sync::Mutex<()>>>>,
    /// Room for long ones.
    pub(super) long: Semaphore,
    /// The ledgers of others that the own ones have agreements with.
    partners: watch::Sender<Partners>,
}

type Partners = BTreeMap<LedgerId, Hash>;

impl Follower {
    /// Follows the peers in `file`, which may change and need not be there, and those in `fixed`.
    pub fn new(
        node: Arc<Node>,
        file: Option<PathBuf>,
        fixed: Vec<Peer>,
        evidence: Evidence,
    ) -> Self {
        Self {
            node,
            file,
            fixed,
            evidence,
            witnessed: false,
            policy: None,
            turns: Mutex::default(),
            long: Semaphore::new(LONG_ONES),
            partners: watch::Sender::new(Partners::new()),
        }
    }

    /// Copies the heads that witnesses have signed, too; with a policy only those that enough of its
    /// witnesses have, and soon.
    #[must_use]
    pub fn with_witnessed(self, policy: Option<Policy>) -> Self {
        Self { witnessed: true, policy, ..self }
    }

    /// Fetches what this node has signed of its own ledger and lost, since an old copy of the database
    /// was put back, from a node that has copied it. Returns how many entries there are then. All of
    /// it is verified as any copy; whether it is all that was signed, the head file knows.
    pub async fn restore(
        node: Arc<Node>,
        peer: &Peer,
        ledger: LedgerId,
        evidence: Evidence,
    ) -> Result<u64, NodeError> {
        let remote = Arc::new(connect(peer, None).await?);
        let source = Arc::new(Source { url: peer.url.clone(), remote, waits: Semaphore::new(0) });
        let follower = Arc::new(Self::new(node, None, Vec::new(), evidence));
        let wanted = Wanted { ledger, key: None, texts: true, restores: true };
        let mut round = Round::new(follower.clone(), source, wanted);
        let restored = loop {
            match round.ask().await {
                Err(End::Again | End::Moved) => {}
                ended => break ended,
            }
        };
        let restored = restored.map_err(|end| match end {
            End::Trouble(what) | End::Stopped(what) => {
                world("not-restored", what, "ask another node that has copied it")
            }
            End::Moved | End::Again | End::Own => {
                world("not-restored", "something else has appended meanwhile", "try again")
            }
        });
        follower.node.set_mirror(ledger, None);
        restored
    }

    /// The peers as they are now; those that the file named before, while it has a mistake.
    fn peers(&self, named: &mut Vec<Peer>, mistake: &mut String) -> Vec<Peer> {
        let read = self.file.as_deref().map_or_else(|| Ok(Peers::default()), Peers::read);
        let found = match read {
            Ok(peers) => {
                *named = peers.peer;
                String::new()
            }
            Err(error) => error.to_string(),
        };
        if !found.is_empty() && found != *mistake {
            tracing::error!(error = %found, "nothing changes in whom the peers file says to follow");
        }
        *mistake = found;
        let is_fixed = |peer: &&Peer| self.fixed.iter().any(|fixed| fixed.url == peer.url);
        let named = named.iter().filter(|peer| !is_fixed(peer));
        self.fixed.iter().chain(named).cloned().collect()
    }

    /// Follows until the node closes.
    pub async fn run(self: Arc<Self>) {
        let mut closing = self.node.closing();
        let (mut tasks, mut running) = (JoinSet::new(), BTreeMap::new());
        let (mut named, mut mistake) = (Vec::new(), String::new());
        loop {
            self.look_at_partners();
            let peers = self.peers(&mut named, &mut mistake);
            self.keep_up(peers, &mut tasks, &mut running);
            tokio::select! {
                () = time::sleep(LOOK) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    fn keep_up(
        self: &Arc<Self>,
        peers: Vec<Peer>,
        tasks: &mut JoinSet<()>,
        running: &mut BTreeMap<String, (Peer, tokio::task::AbortHandle)>,
    ) {
        running.retain(|_, (peer, task)| {
            let stays = peers.contains(peer);
            if !stays {
                task.abort();
                self.forget(&peer.url);
            }
            stays
        });
        for peer in peers {
            if !running.contains_key(&peer.url) {
                let task = tasks.spawn(self.clone().peer(peer.clone()));
                running.insert(peer.url.clone(), (peer, task));
            }
        }
    }

    /// What came from there is no copy that grows any more.
    fn forget(&self, url: &str) {
        for (ledger, mirror) in self.node.mirrors() {
            if mirror.source == url {
                let trouble = "nobody is followed for it".to_owned();
                self.node.set_mirror(ledger, Some(Mirror { trouble, ..mirror }));
            }
        }
    }

    /// Connects, and follows what is wanted there.
    async fn peer(self: Arc<Self>, peer: Peer) {
        let mut wait = AGAIN;
        let remote = loop {
            match connect(&peer, self.file.as_deref()).await {
                Ok(remote) => break Arc::new(remote),
                Err(error) => {
                    tracing::warn!(peer = %peer.url, %error, "a peer is away");
                    self.say_away(&peer, &error);
                    pause(&mut wait).await;
                }
            }
        };
        let source =
            Arc::new(Source { url: peer.url.clone(), remote, waits: Semaphore::new(WAITS) });
        let (mut tasks, mut followed) = (JoinSet::new(), BTreeMap::new());
        let mut partners = self.partners.subscribe();
        loop {
            let wanted = partners.borrow_and_update().clone();
            let there = self.there(&peer, &source.remote, &wanted);
            let late = |_| Err(away(&peer.url, "its list came to no end in time"));
            match time::timeout(ROUND, there).await.unwrap_or_else(late) {
                Ok(there) => {
                    for wanted in there.into_values() {
                        let begin = || tasks.spawn(self.clone().ledger(source.clone(), wanted));
                        followed.entry(wanted.ledger).or_insert_with(begin);
                    }
                    wait = AGAIN;
                }
                Err(error) => {
                    tracing::warn!(peer = %peer.url, %error, "a peer's ledgers were not listed");
                    pause(&mut wait).await;
                    continue;
                }
            }
            tokio::select! {
                () = time::sleep(LIST) => {}
                Ok(()) = partners.changed() => {}
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(peer = %peer.url, %error, "a copy has broken off, which is a mistake in this program");
                    }
                    // It is looked for again with the next list.
                    followed.retain(|_, task| !task.is_finished());
                    time::sleep(LOOK).await;
                }
            }
        }
    }

    fn look_at_partners(&self) {
        let found = self.node.partners();
        self.partners.send_if_modified(|partners| {
            let differs = *partners != found;
            if differs {
                *partners = found;
            }
            differs
        });
    }

    /// What is to be followed there.
    async fn there(
        &self,
        peer: &Peer,
        remote: &Remote,
        wanted: &BTreeMap<LedgerId, Hash>,
    ) -> Result<BTreeMap<LedgerId, Wanted>, NodeError> {
        // Those that are named are asked for whether they are listed or not.
        let named = peer.named()?.into_iter();
        let mut all: BTreeMap<LedgerId, Wanted> = named
            .map(|(ledger, key)| {
                (ledger, Wanted { ledger, key: Some(key.bytes()), texts: true, restores: false })
            })
            .collect();
        if !peer.all && wanted.keys().all(|ledger| all.contains_key(ledger)) {
            return Ok(all);
        }
        for info in remote.ledgers().await? {
            let (ledger, key, texts) = (info.id, wanted.get(&info.id).copied(), peer.all);
            // Two who mirror each other have their own ledgers there, too.
            if self.node.is_own(ledger) {
                continue;
            }
            if texts || key.is_some() {
                all.entry(ledger).or_insert(Wanted { ledger, key, texts, restores: false });
            }
        }
        Ok(all)
    }

    /// Follows one ledger until it is not to be followed any more.
    async fn ledger(self: Arc<Self>, source: Arc<Source>, wanted: Wanted) -> LedgerId {
        let ledger = wanted.ledger;
        let mut round = Round::new(self.clone(), source.clone(), wanted);
        let mut wait = AGAIN;
        loop {
            let asked = time::Instant::now();
            match round.ask().await {
                Ok(size) => {
                    wait = AGAIN;
                    self.grown(&source, &round, size).await;
                    if wanted.texts {
                        time::sleep_until(asked + EASE).await;
                    }
                }
                Err(End::Trouble(what)) => {
                    tracing::warn!(%ledger, %what, "a ledger is not copied just now");
                    round.say(&what);
                    pause(&mut wait).await;
                }
                Err(End::Moved | End::Again) => time::sleep(BREATH).await,
                Err(End::Own) => {
                    self.node.set_mirror(ledger, None);
                    return ledger;
                }
                Err(End::Stopped(what)) => {
                    tracing::error!(%ledger, %what, "a ledger is not copied any more");
                    round.say(&what);
                    // Until a person has removed the evidence.
                    while self.evidence.against(ledger).is_some() {
                        time::sleep(LOOK).await;
                    }
                }
            }
        }
    }

    /// Returns when there is something new to ask for; what fails is found out by asking.
    async fn grown(&self, source: &Source, round: &Round, size: u64) {
        let waits = self.policy.is_some() && round.lacks_witnesses(size);
        let patience = if waits { WITNESSES } else { QUIET };
        let there = async {
            let _place = source.waits.try_acquire().ok()?;
            source.remote.wait_beyond(round.ledger(), size).await.ok()
        };
        let here = self.node.wait_beyond(round.ledger(), size);
        tokio::select! {
            () = time::sleep(patience) => {}
            // Somebody else has copied it, or this node has taken it over.
            Ok(()) = here => {}
            grown = there => if grown.is_none() {
                // What there is no room for, or fails, is asked for again sooner than if it were quiet.
                time::sleep(patience / 4).await;
            },
        }
    }

    fn say_away(&self, peer: &Peer, error: &NodeError) {
        let mut mirrors = self.node.mirrors();
        for (ledger, _) in peer.named().unwrap_or_default() {
            let known = mirrors.remove(&ledger);
            // Another peer tells of it, or it is this node's own by now.
            let others = known.as_ref().is_some_and(|known| known.source != peer.url);
            if others || self.node.is_own(ledger) {
                continue;
            }
            let (size, heard_at) = known.map_or((0, 0), |known| (known.size, known.heard_at));
            let (source, trouble) = (peer.url.clone(), error.to_string());
            self.node.set_mirror(ledger, Some(Mirror { source, size, heard_at, trouble }));
        }
    }

    /// The right to copy a ledger, of which there is one.
    pub(super) fn turn(&self, ledger: LedgerId) -> Arc<tokio::sync::Mutex<()>> {
        lock(&self.turns).entry(ledger).or_default().clone()
    }
}

async fn connect(peer: &Peer, file: Option<&Path>) -> Result<Remote, NodeError> {
    let beside = file.and_then(Path::parent);
    let pin = peer.ca.as_ref().map(|ca| {
        let ca = beside.map_or_else(|| ca.clone(), |dir| dir.join(ca));
        let pem = fs::read(&ca).map_err(|error| {
            let what = format!("peer {}: {}: {error}", peer.url, ca.display());
            world("peer-ca", what, "put the certificate there")
        })?;
        Pin::from_pem(&pem)
    });
    Remote::connect_pinned(&peer.url, None, pin.transpose()?.as_ref()).await
}

/// Waits, longer each time, and never as long as another who failed at the same time.
async fn pause(wait: &mut Duration) {
    let mut byte = [0];
    // Without randomness all wait alike.
    let _ = getrandom::fill(&mut byte);
    let jitter = *wait * u32::from(byte[0]) / 512;
    time::sleep(*wait / 2 + jitter).await;
    *wait = (*wait * 2).min(LONGEST);
}

/// Now, milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
