//! Who signs a ledger's heads, from which entry on.
//!
//! Owns the handover to another operator, and what this ledger believes of the operators of ledgers
//! that it has agreements with. Guarantees that each head has exactly one key that signs it, a
//! question of its size alone; that no key comes back; that the new key takes over at a head
//! that the one before has signed; and that either that one or a quorum of stewards wants it.
//! Leaves out whether the head's root is that of the entries: a state has no tree, so whoever
//! folds a log compares it ([`State::handed_over`]: the node, its clients, the audit).
//!
//! Anyone may append a handover, and it is judged on the one thread that appends: so what costs
//! nothing is looked at first, and no signature of a key that has no say is ever checked.

use super::{
    agreement::check_proof,
    event::{Event, Handover, Proof},
    keys::Revoked,
    state::{CLERK, State, Step},
    types::*,
};
use crate::{
    log::{
        Checkpoint, Hash, LedgerId,
        checkpoint::{bears, claimed_size, own_line},
        key::PublicKey,
        statement::MAX_LIFETIME_MS,
    },
    reject::{Code, Outcome, Reject, require},
};
use imbl::{OrdSet, Vector};

/// Signatures under one handover at most: a ledger opens with at most as many stewards.
pub const MAX_CONSENTS: usize = 99;

/// The time of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure {
    /// Entries of the smallest head that it signs.
    pub from: u64,
    /// Its key.
    pub key: Hash,
    /// The root of all entries before the handover to it, as the one before has signed it; that of
    /// no entry for the first.
    pub root: Hash,
    /// Whether the one before has signed the handover; else the stewards did without. True of
    /// the first.
    pub consented: bool,
}

impl Tenure {
    /// That of the operator whom a genesis names.
    pub fn first(key: Hash) -> Self {
        Self { from: 0, key, root: crate::log::tree::EMPTY_ROOT, consented: true }
    }
}

/// Of operators in their order, the one who signs the head of so many entries.
pub fn signer_of<'t>(
    tenures: impl DoubleEndedIterator<Item = &'t Tenure>,
    size: u64,
) -> Option<Hash> {
    tenures.rev().find(|tenure| tenure.from <= size).map(|tenure| tenure.key)
}

/// What is signed for a handover of the ledger, at its `head`, from the key `before` to `key`,
/// valid until `expires_at` (ms): see event.proto.
pub fn handover_text(
    head: &Checkpoint,
    before: &Hash,
    (key, clerk): (&Hash, &Hash),
    expires_at: u64,
) -> Vec<u8> {
    let mut text = b"subak operator handover v1".to_vec();
    text.extend_from_slice(&head.ledger.0);
    text.extend_from_slice(&head.size.to_be_bytes());
    text.extend_from_slice(&head.root);
    for key in [before, key, clerk] {
        text.extend_from_slice(key);
    }
    text.extend_from_slice(&expires_at.to_be_bytes());
    text
}

impl Handover {
    /// The tenure that begins with it, in the place of the operator with the key `before`: all that
    /// can be judged without knowing the stewards. Refuses as `bad-checkpoint`, `bad-key`,
    /// `bad-possession`, `bad-consent`.
    pub fn verify(&self, ledger: LedgerId, before: &Hash) -> Outcome<Tenure> {
        let head = self.head(ledger, before)?;
        let text = handover_text(&head, before, (&self.key, &self.clerk), self.expires_at);
        let proven = PublicKey::admit(&self.key)?.verify(&text, &self.possession);
        require(proven, Code::BadPossession, || hex::encode(self.key))?;
        let consented = self.has_consent_of(before);
        if consented {
            self.verify_consents(&text, |key| key == before)?;
        }
        let from = head.size.saturating_add(1);
        Ok(Tenure { from, key: self.key, root: head.root, consented })
    }

    fn head(&self, ledger: LedgerId, before: &Hash) -> Outcome<Checkpoint> {
        let operator = PublicKey::admit(before)?;
        let head = Checkpoint::open(&self.checkpoint, ledger, &operator)
            .map_err(|reject| Reject::new(Code::BadCheckpoint, reject.detail))?;
        // Nobody consents to further lines, which could make it too large to be proven elsewhere.
        let own = own_line(&self.checkpoint, &ledger, &operator);
        require(own.as_ref() == Some(&self.checkpoint), Code::BadCheckpoint, || {
            "expected no line but the operator's".into()
        })?;
        Ok(head)
    }

    fn verify_consents(&self, text: &[u8], of: impl Fn(&Hash) -> bool) -> Outcome {
        self.consent.iter().filter(|(key, _)| of(key)).try_for_each(|(key, signature)| {
            let holds = PublicKey::admit(key)?.verify(text, signature);
            require(holds, Code::BadConsent, || {
                format!("the signature of key {} does not verify", hex::encode(key))
            })
        })
    }

    /// Whether this key is among those who consent.
    pub fn has_consent_of(&self, key: &Hash) -> bool {
        self.consent.iter().any(|(by, _)| by == key)
    }
}

impl State {
    /// The key that signs the newest head. There is one once anything is applied.
    pub fn operator(&self) -> Hash {
        self.operator_of(u64::MAX)
    }

    /// The key that signs the head of so many entries. There is one once anything is applied.
    pub fn operator_of(&self, size: u64) -> Hash {
        let key = signer_of(self.operators.iter(), size);
        key.expect("apply admits only a genesis before there is an operator")
    }

    /// The head in `text`, if it is a checkpoint of this ledger and signed by whoever is its
    /// operator at that size, as far as the log goes. Refused as `bad-checkpoint` if not.
    pub fn signed_head(&self, text: &str) -> Outcome<Checkpoint> {
        // What names no size is found to be no checkpoint, whoever should have signed it.
        let size = claimed_size(text).unwrap_or(u64::MAX);
        let operator = signer_of(self.operators.iter(), size).ok_or_else(|| {
            Reject::new(
                Code::BadCheckpoint,
                "there is no genesis that names an operator".to_owned(),
            )
        })?;
        Checkpoint::open(text, self.ledger, &PublicKey::admit(&operator)?)
    }

    /// Where the operator changed at this entry: the root that the entries before it must have.
    pub fn handed_over(&self, entry: u64) -> Option<Hash> {
        let tenure = self.operators.last().filter(|tenure| tenure.from == entry + 1);
        tenure.filter(|_| self.operators.len() > 1).map(|tenure| tenure.root)
    }

    /// The key that signs the heads of another ledger now, as far as is known here; `named`: as
    /// terms have it.
    pub fn counterpart(&self, ledger: Hash, named: Hash) -> Hash {
        let known = self.counterparts.get(&ledger).and_then(Vector::last);
        known.copied().unwrap_or(named)
    }

    /// An agreement has shown who signs the heads of another ledger.
    pub(super) fn meet(&mut self, ledger: Hash, operator: Hash) {
        if self.counterpart(ledger, [0; 32]) != operator {
            self.counterparts.entry(ledger).or_default().push_back(operator);
        }
    }

    /// Handover.
    pub(super) fn hand_over(&mut self, step: &Step<'_>, h: &Handover) -> Outcome {
        require(step.alone, Code::HandoverMisplaced, || "expected no other event".into())?;
        let named = claimed_size(&h.checkpoint).unwrap_or(u64::MAX);
        require(named == step.entry, Code::HandoverMisplaced, || {
            format!("it is for entry {named}, found at entry {}", step.entry)
        })?;
        require(h.expires_at >= step.at, Code::Expired, || {
            format!("the consents end at {}, found at {}", h.expires_at, step.at)
        })?;
        let latest = step.at.saturating_add(MAX_LIFETIME_MS);
        require(h.expires_at <= latest, Code::ExpiresTooLate, || {
            format!("at most {latest}, found {}", h.expires_at)
        })?;
        self.check_new_key(h.key)?;
        require(h.key != h.clerk, Code::KeyTaken, || "operator and clerk have one each".into())?;
        let before = self.operator();
        self.require_consent(h)?;
        let tenure = h.verify(self.ledger, &before)?;
        let head = Checkpoint { ledger: self.ledger, size: step.entry, root: tenure.root };
        let text = handover_text(&head, &before, (&h.key, &h.clerk), h.expires_at);
        h.verify_consents(&text, |key| *key != before)?;
        self.replace_clerk_key(step, h.clerk)?;
        self.operators.push_back(tenure);
        Ok(())
    }

    /// The stewards among those who consent; refused as `bad-consent` where somebody else does but
    /// the operator. Signatures are not looked at.
    pub fn consenting(&self, h: &Handover) -> Outcome<OrdSet<AgentId>> {
        let before = self.operator();
        let others = h.consent.iter().filter(|(key, _)| *key != before);
        others
            .map(|(key, _)| {
                self.steward(key).ok_or_else(|| {
                    let what = format!("key {} is no steward's", hex::encode(key));
                    Reject::new(Code::BadConsent, what)
                })
            })
            .collect()
    }

    /// The steward who signs with a key.
    pub fn steward(&self, key: &Hash) -> Option<AgentId> {
        let owner = *self.keys.get(key).filter(|_| !self.revoked.contains_key(key))?;
        self.agent(owner).roles.contains(&Role::Steward).then_some(owner)
    }

    /// That of the operator, or of as many stewards as the quorum. Nobody else signs.
    pub fn require_consent(&self, h: &Handover) -> Outcome {
        let (quorum, found) = (self.root().quorum as usize, self.consenting(h)?.len());
        let enough = h.has_consent_of(&self.operator()) || found >= quorum;
        require(enough, Code::QuorumRequired, || {
            format!("expected {quorum} stewards, or the operator; found {found}")
        })
    }

    /// A node has its own clerk key: the one before signs nothing any more.
    fn replace_clerk_key(&mut self, step: &Step<'_>, key: Hash) -> Outcome {
        let clerk = Handle::new(CLERK).expect("a constant handle is well-formed");
        let clerk = self.find(&clerk)?;
        if self.agent(clerk).keys.contains(&key) {
            return Ok(());
        }
        self.check_new_key(key)?;
        self.tell_keys_apart(clerk);
        for old in self.agent(clerk).keys.clone() {
            let revoked = Revoked { since: step.at, entry: step.entry, at: step.at };
            self.revoked.insert(old, revoked);
        }
        self.keys.insert(key, clerk);
        self.change_agent(clerk, |agent| {
            agent.keys = vec![key];
            agent.had_keys = true;
        });
        Ok(())
    }

    /// HandoverTake.
    pub(super) fn take_handover(
        &mut self,
        step: &Step<'_>,
        ledger: Hash,
        proof: &Proof,
    ) -> Outcome {
        let known = self.counterparts.get(&ledger).cloned().ok_or_else(|| {
            let what = format!("none with ledger {} is proven", hex::encode(ledger));
            Reject::new(Code::UnknownAgreement, what)
        })?;
        let now = known.last().copied().expect("whoever is met has a key");
        let h = handover_in(&proof.envelope)?;
        // Who stole an operator's key can hand over to one of their own. So the stewards, and only
        // they, may follow any operator who was ever known here.
        let signed = |key: &&Hash| {
            PublicKey::admit(key).is_ok_and(|key| bears(&h.checkpoint, &LedgerId(ledger), &key))
        };
        let former = || known.iter().rev().find(signed).copied();
        let before = if step.quorum { former().unwrap_or(now) } else { now };
        require(h.has_consent_of(&before) || step.quorum, Code::QuorumRequired, || {
            "the operator who is known here has not consented".into()
        })?;
        let tenure = h.verify(LedgerId(ledger), &before)?;
        let seq = check_proof(proof, ledger, h.key)?.seq;
        require(tenure.from == seq.saturating_add(1), Code::ProofIrrelevant, || {
            format!("it is for entry {}, found at entry {seq}", tenure.from - 1)
        })?;
        self.meet(ledger, h.key);
        Ok(())
    }
}

/// The handover that an envelope carries. Its signature is checked with the proof.
fn handover_in(envelope: &[u8]) -> Outcome<Handover> {
    let irrelevant = || Reject::new(Code::ProofIrrelevant, "it is no handover".to_owned());
    let statement = crate::log::Unverified::parse(envelope)?.trust_stored()?;
    let [only] = statement.events() else { return Err(irrelevant()) };
    // Nothing else is read: it is of another book, and may be costly.
    let wire = Event::wire(only)?;
    let Some(subak_proto::v1::event::Kind::Handover(_)) = wire.kind else {
        return Err(irrelevant());
    };
    let Event::Handover(h) = Event::from_wire(wire)? else { return Err(irrelevant()) };
    Ok(h)
}
