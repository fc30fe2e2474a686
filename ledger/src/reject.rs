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
    BadFraudProof "bad-fraud-proof" "the fraud proof proves nothing, or is not in the published form" "get the file again from whoever made it; it must not be changed"
    BadEvidence "bad-evidence" "the evidence of two stories proves nothing, or is not in the published form" "get the file again from whoever made it; it must not be changed"
    BadReceipt "bad-receipt" "the receipt is not in the published form" "get it again with `subak receipt get` and change nothing in it"
    BadPolicy "bad-policy" "the trust file cannot be obeyed" "mend the line: `log KEY [url]`, `witness NAME KEY [url]`, `group NAME all MEMBERS`, and one `quorum NAME` or `quorum none`"
    Unwitnessed "unwitnessed" "the checkpoint lacks cosignatures that the trust file asks for" "wait until its witnesses have signed and get it again; or mend the trust file, on purpose"
    // Who may say it.
    UnknownAuthor "unknown-author" "the author is not an agent of this ledger" "introduce yourself first (`subak contribute` does), or check --as and --ledger"
    KeyNotOfAuthor "key-not-of-author" "the key does not belong to the author" "sign with a key of that agent: `subak agent list` shows who has which"
    KeyRevoked "key-revoked" "the key is revoked" "sign with a key that the agent still has: `subak agent list` shows them; with none left, ask the stewards: `subak agent recover`"
    ClerkMayNot "clerk-may-not" "the clerk authors only what anyone may append" "let an agent with the role sign it"
    NotOpen "not-open" "the ledger awaits approvals of its genesis" "let the stewards run `subak approve 0`"
    WrongLedgerKind "wrong-ledger-kind" "this event belongs to another kind of ledger" "name the right ledger with --ledger"
    RoleRequired "role-required" "the author lacks the role" "ask an agent with the role, or the stewards for it: `subak role grant`"
    NotAdmitted "not-admitted" "the agent is not admitted yet" "ask one maintainer: `subak agent admit HANDLE`"
    QuorumRequired "quorum-required" "this needs the stewards' quorum" "wrap it in a proposal"
    NotProposable "not-proposable" "this event is not one for proposals" "append it directly"
    GenesisMisplaced "genesis-misplaced" "a genesis stands alone at entry 0" "open a new ledger instead"
    GenesisInvalid "genesis-invalid" "the genesis contradicts itself" "correct what the detail names and open the ledger again"
    // Quorum.
    UnknownProposal "unknown-proposal" "there is no open proposal at that entry" "list the open ones: `subak proposals`"
    WrongDigest "wrong-digest" "the approval names other bytes than the proposal's" "read the proposal again and approve what you read"
    AlreadyApproved "already-approved" "the author has approved this already" "wait for the other stewards"
    NotProposer "not-proposer" "only the proposer withdraws a proposal" "let it expire, or ask the proposer"
    // Forks.
    ParentInvalid "parent-invalid" "the parent's head is not proven" "fork again from the parent's log: `subak fork`"
    ForkIncomplete "fork-incomplete" "the ledger is a fork, and not all of its copy is there" "append the rest of it: `subak fork PARENT --continue NAME`"
    ForkCopyMisplaced "fork-copy-misplaced" "a part of a copy stands alone in its statement, in a fork whose copy is not whole" "nothing: the copy is whole, or this is no fork"
    ForkCopyFalse "fork-copy-false" "this is not the part of the copy that comes next" "copy the parent at the size that the genesis cites: `subak fork PARENT --continue NAME`"
    // Agents and roles.
    UnknownAgent "unknown-agent" "no agent has this handle here" "check the spelling: `subak agent list`"
    HandleTaken "handle-taken" "the handle belongs to another agent" "choose another handle"
    KeyTaken "key-taken" "the key belongs to an agent already" "make a new key: `subak key new`"
    AlreadyAdmitted "already-admitted" "the agent is admitted already" "nothing: go on"
    WrongAgentKind "wrong-agent-kind" "the agent is of another kind than this needs" "name an agent of the kind, or add one: `subak agent add`"
    TooManyUnadmitted "too-many-unadmitted" "newcomers have reached what they may author before somebody admits them" "ask one maintainer: `subak agent admit HANDLE`; strangers are cleared with `subak agent refuse`"
    AgentRefused "agent-refused" "a maintainer has refused this newcomer" "ask a maintainer to admit the agent after all: `subak agent admit HANDLE`"
    TooManyKeys "too-many-keys" "an agent has 16 keys at most" "sign with a key that the agent has"
    NotUnclaimed "not-unclaimed" "that agent has a key or is claimed already" "name an agent that `subak agent list --unclaimed` shows"
    UnknownClaim "unknown-claim" "there is no such claim to attest" "let the person claim first: `subak agent claim`"
    OwnClaim "own-claim" "nobody attests their own claim" "ask another maintainer"
    AlreadyAttested "already-attested" "the author has attested this claim already" "wait for another maintainer"
    AlreadyErased "already-erased" "the text is erased already, or the author has asked for it" "nothing: go on"
    BadPossession "bad-possession" "the new key's proof of possession does not verify" "sign the possession text with the new key"
    UnknownKey "unknown-key" "nobody here has this key" "look it up: `subak agent list --json` shows whole keys"
    FutureSince "future-since" "a key is revoked since a time that has come" "name a time up to now with --since"
    NothingFrozen "nothing-frozen" "nothing that this key has signed is frozen" "look at what is: `subak agent list`"
    RoleUnchanged "role-unchanged" "the agent has, or lacks, that role already" "nothing: look at `subak agent list`"
    LastStewards "last-stewards" "fewer stewards than the quorum would remain" "grant the role to another agent first"
    // Contributions.
    UnknownKind "unknown-kind" "the equation in force has no rate for this kind" "use a kind of `subak equation show`, or propose an equation with it"
    FutureWork "future-work" "work is dated after its entry" "claim it when it is done, with its date"
    DuplicateClaim "duplicate-claim" "the agent has claimed this reference already" "revise the claim there is: `subak contribution list`"
    NotOwnClaim "not-own-claim" "only a maintainer claims for others alone, and only its claimant revises a claim" "name yourself among the parts, or ask a maintainer"
    PartsInvalid "parts-invalid" "a contribution has 1 to 64 parts, each agent once, 0.001 to 10^9 units each" "correct the parts"
    UnknownContribution "unknown-contribution" "there is no contribution there" "look it up: `subak contribution list`"
    ReferenceTaken "reference-taken" "another contribution with this reference is validated" "reject this one as a duplicate, or revise the other"
    ContributionClosed "contribution-closed" "the contribution is rejected" "claim it anew"
    AlreadyValidated "already-validated" "it is validated as it stands, or the author has voted" "wait for another maintainer"
    OwnPart "own-part" "a maintainer does not validate their own part" "ask another maintainer"
    BasisRequired "basis-required" "a validation says which entries its author has seen" "sign it again with the ledger's size and chain hash as the statement's basis"
    NotSeen "not-seen" "the contribution was claimed or revised after what the author has seen" "look at it again: `subak contribution list`, then sign again"
    NothingToValidate "nothing-to-validate" "nothing in these spans awaits the author's validation" "list what does: `subak contribution list --pending`"
    SpanTooLarge "span-too-large" "a validation covers 100,000 contributions at most" "name smaller ranges"
    NotSingle "not-single" "other quantities go with exactly one contribution" "validate the others separately"
    // Value equation, held lots.
    EquationInvalid "equation-invalid" "the value equation contradicts itself" "correct what the detail names: `subak equation check FILE`"
    ExampleFails "example-fails" "the equation does not reproduce a worked example" "correct the rules or the example: `subak equation check FILE` shows both"
    EquationVersion "equation-version" "versions follow one another, one at a time" "number it one above the last adopted"
    UnknownLot "unknown-lot" "nothing is held there" "list what is: `subak held list`"
    TooEarly "too-early" "its date has not come" "append it again when it has"
    NoFallback "no-fallback" "the equation names no fallback" "let the stewards release it: `subak held release`"
    // Agreements and proofs.
    TermsInvalid "terms-invalid" "the terms do not fit the two ledgers" "offer terms with the ids, keys and handles that both ledgers show"
    AgreementKnown "agreement-known" "the agreement is here already" "look at it: `subak agreement list`"
    UnknownAgreement "unknown-agreement" "no such agreement here" "look them up: `subak agreement list`"
    AgreementStageWrong "agreement-stage-wrong" "the agreement is not at the stage this needs" "offer, accept, activate, in this order: `subak agreement list` shows where it is"
    AgreementFrozen "agreement-frozen" "two stories exist under one number: the agreement is frozen" "compare both entries with the payer's operator: `subak agreement list`"
    AgreementNotFrozen "agreement-not-frozen" "the agreement is not frozen, or not by that entry" "look at what is frozen, and by which entry: `subak agreement list`"
    NumberNotTaken "number-not-taken" "this is no number with which an entry ends that was taken" "name 0, or the last number of an entry that was taken: `subak income list`"
    StoryRefused "story-refused" "the stewards have decided against this story" "relay what the payer's ledger holds under this number"
    ProofInvalid "proof-invalid" "the proof does not hold" "fetch entry, path and checkpoint again from the ledger it is about"
    ProofIrrelevant "proof-irrelevant" "the proven entry says nothing about this" "prove the entry that does"
    NumberOutOfOrder "number-out-of-order" "numbers of an agreement are taken one after the other" "take the one after the last first: `subak agreement list`"
    DueMismatch "due-mismatch" "the stated dues are not what the rules give" "read the ledger again and sign the dues it computes"
    // Money.
    AmountOutOfRange "amount-out-of-range" "an amount lies outside its limits" "correct the amount"
    LimitExceeded "limit-exceeded" "a limit of the arithmetic is reached" "see the limits in the documentation of the split"
    BankReferenceUsed "bank-reference-used" "this bank reference is recorded already" "nothing if it is the same transfer; else give its own reference"
    UnknownIncome "unknown-income" "there is no such income, or not of this agreement" "look it up: `subak income list`"
    SettlesTooMuch "settles-too-much" "more would be settled than is open" "name at most what is open, or no items at all"
    NothingOpen "nothing-open" "nothing of it is open" "nothing: it is settled, reversed or written off"
    FeeBearer "fee-bearer" "a fee is borne by who is paid, by the payer or by an institution" "name one of these with --fee-by"
    FeeTooLarge "fee-too-large" "the fee is more than its bearer or the payment can carry" "name another bearer, or record the fee on the next payment"
    LinesInvalid "lines-invalid" "lines name 1 to 1,000 agents, ascending, each once" "correct the lines"
    Unpayable "unpayable" "the line is more than is payable to the agent" "propose at most what `subak balance` shows as payable"
    NoCash "no-cash" "the account's cash does not suffice" "wait for a settlement, or propose less"
    BelowMinimum "below-minimum" "the line is under the equation's minimum payout" "let it add up until it is above"
    PayeeUnclaimed "payee-unclaimed" "nobody has claimed this agent" "let the person claim it: `subak agent claim`"
    ClaimTooFresh "claim-too-fresh" "the delay after an attested claim has not passed" "propose it when it has"
    PrincipalStays "principal-stays" "a trust's principal accepts credits only" "leave the trust out of payouts"
    Frozen "frozen" "what this would pay rests on a key that was revoked" "let the stewards look at it and release it: `subak key confirm KEY`"
    UnknownPayout "unknown-payout" "there is no such payout run, or no such line in it" "look it up: `subak payout list`"
    LineDecided "line-decided" "the line is paid, failed, returned or expired already" "look at the run: `subak payout list`"
    NotRunTreasurer "not-run-treasurer" "the run belongs to another treasurer" "let the treasurer who proposed it record what became of it"
    // The state, published.
    StateRootMisplaced "state-root-misplaced" "a state root stands alone in its statement" "sign it by itself: it is about the state before its own entry"
    StateRootFalse "state-root-false" "the stated root is not that of the state before its entry" "let the node compose it: `subak receipt get --balance AGENT`"
    // The operator.
    HandoverMisplaced "handover-misplaced" "a handover stands alone in its statement, right after the head that it names" "make it again for the newest head: `subak operator`"
    BadConsent "bad-consent" "a handover bears signatures of its operator or of its stewards, and no others" "sign its text with those keys: `subak operator sign FILE`"
    // The rules themselves.
    RulesVersion "rules-version" "versions of the rules follow one another, one at a time" "propose the one above the version in force"
    RulesUnknown "rules-unknown" "this program does not know that version of the rules" "use a newer version of subak"
    // Revenue ledgers.
    InvoiceTaken "invoice-taken" "the invoice is recorded or void already" "use the next number, or reverse the one there is"
    UnknownInvoice "unknown-invoice" "no revenue is recorded under this invoice" "look it up: `subak revenue list`"
    ReversesTooMuch "reverses-too-much" "more would be reversed than was recorded" "reverse at most what is left of it"
    SendsTooMuch "sends-too-much" "more would be sent than is due" "send at most what `subak agreement list` shows as open"
}
