//! Whom a command believes: operators by key, or a trust file.
//!
//! Owns the one answer to "is this the ledger's operator, to us?", and whether enough witnesses
//! have seen a history. A trust file alone decides where there is one. Leaves out the file's form
//! (`log::policy`), and the audit's own memory.

use crate::{
    context::{Context, Open},
    failure::{Done, Failure},
    files::trust_file,
    keys,
    options::Global,
};
use std::time::{Duration, Instant};
use subak_ledger::{
    log::{
        Checkpoint, Hash, Leaf, LedgerId, PublicKey, checkpoint::ledger_of_origin, policy::Policy,
        tree,
    },
    reject::{Code, Reject},
};

/// How long a command waits for witnesses, who sign a moment after the operator.
const PATIENCE: Duration = Duration::from_secs(10);
/// And how often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// Whom a command believes.
#[derive(Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    file: Option<Policy>,
}

impl Trust {
    /// As the options say; anybody is believed where they say nothing.
    pub fn new(global: &Global) -> Done<Self> {
        let Some(path) = &global.trust_file else {
            let keys = global.expect.iter().map(|key| keys::operator(key)).collect::<Done<_>>()?;
            return Ok(Self { keys, file: None });
        };
        let policy = trust_file(path)?;
        let named = policy.logs().iter().filter(|log| ledger_of_origin(log.key.name()).is_some());
        let keys = named.map(|log| log.key.key().clone()).collect();
        Ok(Self { keys, file: Some(policy) })
    }

    /// Whether nothing is said: then any operator will do.
    pub fn is_anyone(&self) -> bool {
        self.file.is_none() && self.keys.is_empty()
    }

    /// Whether a trust file decides.
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// All operators that are believed for some ledger.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The keys that are believed for a ledger, where somebody is believed at all.
    pub fn operators(&self, ledger: LedgerId) -> Vec<PublicKey> {
        match &self.file {
            Some(policy) => policy.operators(ledger).cloned().collect(),
            None => self.keys.clone(),
        }
    }

    /// Whether this key is believed to be the operator of the ledger.
    pub fn believes(&self, ledger: LedgerId, operator: &Hash) -> bool {
        self.is_anyone() || self.operators(ledger).iter().any(|key| key.bytes() == *operator)
    }

    /// The trust file, if it asks for witnesses.
    pub fn asking(&self) -> Option<&Policy> {
        self.file.as_ref().filter(|policy| policy.asks_for_witnesses())
    }

    /// The trust file.
    pub fn policy(&self) -> Option<&Policy> {
        self.file.as_ref()
    }
}

/// Before money moves: where the trust file asks for witnesses, they must have seen this very
/// history, to its end.
pub async fn require_witnessed(cx: &Context, open: &Open) -> Done {
    match cx.trust.asking() {
        Some(policy) => witnessed(policy, open).await,
        None => Ok(()),
    }
}

async fn witnessed(policy: &Policy, open: &Open) -> Done {
    let (ledgers, id, size) = (&open.connection.ledgers, open.info.id, open.book.size);
    let (head, _) = seen(policy, open, size).await?;
    // The last entry names the one before, and so all of them.
    let path = ledgers.inclusion(id, size - 1, head.size).await?;
    let raw = ledgers.entries(id, size - 1, 1).await?.into_iter().next();
    let chain = |leaf: &[u8]| Leaf::from_bytes(leaf).map(|leaf| leaf.chain_hash()).ok();
    let last = raw.filter(|raw| chain(&raw.leaf).as_ref() == open.book.chain.last());
    let is_there = last.is_some_and(|raw| {
        let leaf = tree::leaf_hash(&raw.leaf);
        tree::verify_inclusion(size - 1, head.size, &head.root, &leaf, &path).is_ok()
    });
    if is_there {
        return Ok(());
    }
    Err(Failure::refused(
        "corrupt",
        format!("ledger {id}: the witnesses have signed another history than this one"),
        "do not rely on who answered; keep both as evidence: `subak checkpoint get --witnessed`",
    ))
}

/// The head that enough witnesses have signed, and its note, with at least `size` entries. They
/// sign a moment after the operator, so this waits a little.
pub async fn seen(policy: &Policy, open: &Open, size: u64) -> Done<(Checkpoint, String)> {
    let until = Instant::now() + PATIENCE;
    loop {
        match seen_now(policy, open, size).await {
            Err(failure) if failure.code == Code::Unwitnessed.name() && Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            done => return done,
        }
    }
}

async fn seen_now(policy: &Policy, open: &Open, size: u64) -> Done<(Checkpoint, String)> {
    let (id, name) = (open.info.id, &open.info.name);
    let lacks = |what: String| {
        Failure::from(Reject::new(Code::Unwitnessed, format!("ledger {name}: {what}")))
    };
    let note = open.connection.ledgers.witnessed(id).await?;
    let note = note.ok_or_else(|| lacks("no witness has signed it".into()))?;
    let head = open.book.signed_head(&note)?;
    policy.witnessed(&note)?;
    if head.size < size {
        let found = head.size;
        return Err(lacks(format!("the witnesses have signed {found} of {size} entries so far")));
    }
    Ok((head, note))
}
