//! Every reason for which a statement is refused: one closed list of codes.
//!
//! Owns the codes, their meaning and the next step a person can take. Guarantees
//! that a code, once published, keeps its name and its meaning. Leaves out the
//! failures of the world (disk, network: `Error` of the part concerned) and our
//! own bugs (assertions).

use std::fmt;

/// Bad input: a code, and what exactly was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The stable reason.
    pub code: Code,
    /// Where, what was expected, what was found: for people, not for programs.
    pub detail: String,
}

impl Reject {
    /// A refusal with its particulars.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.code.meaning(), self.detail, self.code.name())
    }
}

impl std::error::Error for Reject {}

/// Shorthand for what every guard returns.
pub type Outcome<T = ()> = Result<T, Reject>;

/// Refuses with `code` unless `holds`; the detail is only built on refusal.
pub fn require(holds: bool, code: Code, detail: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Reject::new(code, detail())) }
}

macro_rules! codes {
    ($($variant:ident $name:literal $meaning:literal $next:literal)*) => {
        /// The closed list of reasons. Names are stable; documentation, CLI,
        /// services and the audit use the same.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $meaning] $variant,)* }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The stable name, as it appears in proto, JSON and messages.
            pub fn name(self) -> &'static str { match self { $(Code::$variant => $name,)* } }

            /// What the code means, in one line.
            pub fn meaning(self) -> &'static str { match self { $(Code::$variant => $meaning,)* } }

            /// What the person who was refused can do next.
            pub fn next(self) -> &'static str { match self { $(Code::$variant => $next,)* } }
        }
    };
}

codes! {
    // The statement itself (log).
    Malformed "malformed" "the bytes are not a canonical statement" "encode it again with the published schema; change nothing after signing"
    TooLarge "too-large" "the statement is over its size limit" "split it into several statements"
    TooManyEvents "too-many-events" "a statement carries 1 to 1,000 events" "split it into several statements"
    BadKey "bad-key" "the public key is weak, torsioned or not canonically encoded" "make a new key with `subak key new`"
    BadSignature "bad-signature" "the signature does not verify" "sign the body's exact bytes with the key named in the envelope"
    WrongLedger "wrong-ledger" "the statement was signed for another ledger" "sign it again for this ledger's id"
    Expired "expired" "the statement's time has passed" "sign it again with a later expires_at"
    ExpiresTooLate "expires-too-late" "a statement may be valid for 30 days at most" "sign it again with an earlier expires_at"
    Replayed "replayed" "this very statement is in the ledger already" "nothing: it was recorded before; look for it with `subak log`"
    BasisOffChain "basis-off-chain" "the statement builds on a history that is not this ledger's" "read the ledger again; if it once showed that history, keep both as evidence"
    BadLeaf "bad-leaf" "an entry's leaf is not in the published form" "fetch the entry again; a node that serves such a leaf is faulty"
    BadProof "bad-proof" "the proof does not connect these hashes" "fetch the proof again; if it fails again, keep it with both checkpoints as evidence"
    BadNote "bad-note" "the signed note or verifier key is not in the published form" "fetch it again from its source and change nothing in it"
    BadCheckpoint "bad-checkpoint" "this is not a head of this ledger signed by this operator" "check the ledger id and the operator's key, then fetch the checkpoint again"
}
