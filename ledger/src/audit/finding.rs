//! What an audit can find: a closed list, each with its severity and a next step.
//!
//! Owns the codes and the list that findings are gathered in. Guarantees that a code,
//! once published, keeps its name, its severity and its meaning, and that a hostile
//! file cannot make the list longer than [`MOST`] for each code and ledger. Leaves out
//! who finds what.

use crate::{
    log::LedgerId,
    reject::{self, Reject},
};
use std::collections::BTreeMap;

/// Findings of one code in one ledger that are told one by one; the rest is counted.
pub const MOST: u64 = 20;

/// What a finding means for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; the verdict stays.
    Warning,
    /// Something could not be judged.
    Gap,
    /// A rule is broken.
    Fault,
}

impl Severity {
    /// The word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Gap => "gap",
            Self::Fault => "fault",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $name:literal $severity:ident $meaning:literal $next:literal)*) => {
        /// The closed list of what an audit can find. Names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $meaning] $variant,)* }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The stable name, as it appears in JSON and messages.
            pub fn name(self) -> &'static str { match self { $(Code::$variant => $name,)* } }

            /// What it means for the verdict.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }

            /// What the code means, in one line.
            pub fn meaning(self) -> &'static str { match self { $(Code::$variant => $meaning,)* } }

            /// What whoever reads the finding can do next.
            pub fn next(self) -> &'static str { match self { $(Code::$variant => $next,)* } }
        }
    };
}

codes! {
    // The file.
    Store "store" Fault "the file contradicts its own format" "keep it as evidence, and restore a backup or fetch the log from a mirror"
    NoLedger "no-ledger" Gap "there is no ledger here to judge" "check that this is the file or node you meant; restore a backup or fetch the log from a mirror if it held one"
    OperatorMissing "operator-missing" Fault "no ledger here has an operator that was expected" "the ledger may have been taken out: fetch it from a mirror or a backup; leave the key away if it was never here"
    OperatorShared "operator-shared" Fault "ledgers name the same operator key, so the key does not tell which of them was meant" "ask the operator which ledger was meant, and go by its id: a node gives each ledger a key of its own"
    LedgerName "ledger-name" Fault "the file lists the ledger under another name than its genesis" "go by the ledger's id, and fetch the log from a mirror"
    // The log, entry by entry.
    Sequence "sequence" Fault "entries are missing or out of order" "fetch the missing entries from a mirror or a backup"
    LeafForm "leaf-form" Fault "the leaf is not in the published form" "fetch the entry again from a mirror or a backup"
    LeafLedger "leaf-ledger" Fault "the leaf belongs to another ledger" "fetch the entry again from a mirror or a backup"
    LeafPlace "leaf-place" Fault "the leaf belongs to another place in the log" "fetch the entry again from a mirror or a backup"
    ChainBroken "chain-broken" Fault "the leaf does not follow the entry before it" "compare this entry and the one before with a mirror's"
    ChainStored "chain-stored" Fault "the stored chain hash is not that of the leaf" "fetch the log again from a mirror or a backup"
    EnvelopeDigest "envelope-digest" Fault "the leaf was made for another envelope" "compare the entry with a mirror's"
    TimeBack "time-back" Fault "the time of recording goes back" "ask the operator; a log's time never goes back"
    Statement "statement" Fault "the statement does not hold: its key, signature, form or limits" "compare the entry with a mirror's; the message names the rule"
    GenesisId "genesis-id" Fault "the ledger's id is not the hash of its genesis" "compare entry 0 with a mirror's"
    TreeNode "tree-node" Fault "a stored tree node is not that of the leaves" "fetch the log again from a mirror or a backup"
    // The signed head.
    CheckpointMissing "checkpoint-missing" Gap "no signed checkpoint is stored" "a copy that is still on its way gets one: audit it then; else fetch the checkpoint from a mirror or a backup, or ask the operator to sign this very head and to say why it was gone"
    Checkpoint "checkpoint" Fault "the stored checkpoint is not a head signed by the operator" "fetch the checkpoint again from the operator or a witness"
    CheckpointHead "checkpoint-head" Fault "the operator signed another log than this one" "keep both: two signed heads that cannot both be true are proof of a rewrite"
    HandoverHead "handover-head" Fault "the operator before has signed another log than the one that was handed over" "keep it: who took over has changed the past; fetch the log from a mirror or a backup"
    CheckpointBehind "checkpoint-behind" Gap "entries follow that no checkpoint covers" "let the operator sign the newest head, then audit again"
    WitnessedHead "witnessed-head" Fault "the head that witnesses signed is no head of this log" "keep both: witnesses have seen another log than this one; fetch it from a mirror or a backup"
    Unwitnessed "unwitnessed" Gap "the trust file asks for witnesses who have not signed this log, or not to its end" "wait until they have signed the newest head, or get a copy with their cosignatures; `subak checkpoint get --witnessed` shows what a node has"
    CheckpointUnjudged "checkpoint-unjudged" Gap "the checkpoint cannot be judged without a genesis" "restore entry 0, then audit again"
    HandoverUnjudged "handover-unjudged" Gap "stewards handed the ledger over after the entry from which on the book could not be judged" "audit with a newer version of subak, or trust the operator's key on purpose"
    OperatorUnexpected "operator-unexpected" Fault "the operator is not one that was expected" "check the key with the commons or phyle; name it too if it is right"
    // Against what was seen before, and against other targets.
    OlderThanSeen "older-than-seen" Fault "the log ends before a head that was seen before" "keep the remembered head: it is evidence; fetch the log from a mirror or a newer backup"
    RewrittenSinceSeen "rewritten-since-seen" Fault "the log is another one than was seen before" "keep both: if the head that is signed now holds too, the operator signed two histories, or the stewards handed the ledger over and left behind what was seen (`subak log` shows a Handover); else this copy was altered"
    OperatorChanged "operator-changed" Fault "another operator signs here than before" "check the key with the commons or phyle; name it with --expect or in a trust file if it is right"
    HistoriesPart "histories-part" Fault "two copies of one ledger tell two histories, under two of its operators" "keep both; the one that the ledger's stewards or its operator have handed over goes on: ask them which"
    SplitView "split-view" Fault "the operator signed two histories of one ledger" "pass the fraud proof on to everybody who relies on the ledger"
    // The book.
    Rule "rule" Fault "an entry breaks a rule" "ask the author and the operator; the message names the rule"
    UnknownEvent "unknown-event" Gap "this program does not know the event, so it cannot judge the book from here on" "audit with a newer version of subak"
    UnknownRules "unknown-rules" Gap "the ledger adopted rules that this program does not know, so it cannot judge the book from here on" "audit with a newer version of subak"
    Accounts "accounts" Fault "the accounts are not what the records give" "report this: no log should lead here"
    Disclosure "disclosure-mismatch" Fault "a disclosed text is not what the log commits to" "do not believe the text; ask its author for it again"
    ErasedPresent "erased-present" Fault "a text is still there that this entry erases" "ask the operator to erase it: a copy that was made before may have been put back"
    // Between ledgers, wherever they were found.
    IncomeUnmatched "income-unmatched" Fault "income was taken that the payer's log does not hold" "compare both entries; the proof in the commons' entry is evidence"
    PayerBehind "payer-behind" Gap "the payer's log kept here ends before what was taken from it" "bring the copy of the payer's log up to date, then audit again"
    IncomeWithoutRevenue "income-without-revenue" Fault "a number was taken that the payer's log does not state" "ask both operators for their logs; the proof in the commons' entry is evidence against the payer's"
    IncomeRefused "income-refused" Fault "income was taken from an entry that the payer's own book refuses" "do not count on it: the payer's log breaks its own rules there; settle it with the payer's stewards"
    SecondStory "second-story" Fault "the payer's operator signed an entry that its log does not hold, and an agreement is frozen for it" "keep it: both stories are in the commons' log, under the payer's signature; ask the payer's stewards"
    PayerUnjudged "payer-unjudged" Gap "income was taken from entries of the payer that could not be judged" "see what was found in the payer's ledger, and audit again when that is mended"
    AgreementUnmatched "agreement-unmatched" Gap "an agreement is in force in one of its two ledgers, and the other one does not hold it" "bring that copy up to date, then audit again; if it is up to date, its operator has signed two histories"
    CounterpartUnknown "counterpart-unknown" Gap "a ledger knows the other side of an agreement by an operator key that the other's log does not name" "bring the other side's copy up to date, then audit again; if it is up to date, ask its stewards whom they have handed over to"
    // Against the ledger that a fork cites.
    ForkParent "fork-parent" Fault "the fork cites another head than its parent's log has" "keep both: whoever founded the fork, or the parent's operator, shows another log"
    ForkCopied "fork-copy" Fault "the fork copies something else than its parent's log gives" "do not go by its points: compare both logs, and fork the parent again"
    ParentMissing "parent-missing" Gap "the log that the fork cites is not here, or cannot be judged so far" "audit both together: fetch the parent from its node, a mirror or a bundle"
    // Worth knowing.
    ClockAhead "clock-ahead" Warning "an entry is dated after a witness had signed it" "ask the operator and the witness whose clock is wrong: what an income is split over depends on it"
    ClockBehind "clock-behind" Warning "an entry is dated before a witness signed a head without it" "ask the operator and the witness whose clock is wrong: an entry that is dated back meets other points"
    NotTaken "numbers-not-taken" Warning "shares fell due that the commons has not taken yet" "take them: anyone may relay the payer's entries"
    CashUnmatched "cash-unmatched" Warning "cash that the payer sent is not what the commons received" "wait: it may be on its way; else let both treasurers compare their banks' statements"
    CashNotArrived "cash-not-arrived" Warning "cash left the payer longer ago than the agreement allows, and has not arrived" "let both treasurers compare their banks' statements"
    CashNotSent "cash-not-sent" Warning "cash arrived that the payer's log does not say it has sent" "let both treasurers compare their banks' statements; the payer's log may be older than the commons'"
    IncomeLate "income-late" Warning "income was taken later than the agreement's days after the payer had recorded it" "find out who was slow: the payer's node in showing its log, or the commons' in taking from it"
    SettlementOverdue "settlement-overdue" Warning "shares are not settled within the agreement's days" "remind the payer: `subak settle sent` says what it owes"
    CounterpartBehind "counterpart-behind" Warning "the other side of an agreement has handed over, and this ledger goes by the operator before" "tell it of the handover: `subak agreement handover`"
    OtherSideMissing "other-side-missing" Warning "the other ledger of an agreement is not among the targets" "audit both together to have them compared; alone, what was taken rests on the word of the payer's operator"
    AgreementFrozen "agreement-frozen" Warning "the payer told two stories under one number" "compare the two entries with the payer's operator"
    InvoiceGap "invoice-gap" Warning "invoice numbers are neither recorded nor void" "record or void them"
    ReciprocalValidation "reciprocal-validation" Warning "two maintainers validated each other's work, and nobody else did" "look at that work, and ask a third maintainer: `subak contribution list --agent HANDLE`"
    SingleValidator "single-validator" Warning "one maintainer alone validates work" "adopt an equation that asks for two"
    UnprovenIncome "unproven-income" Warning "income was recorded without a payer's proof" "compare it with the bank's statement"
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub code: Code,
    /// What it means for the verdict.
    pub severity: Severity,
    /// The rule that is broken, where it is one of a statement or of the book.
    pub rule: Option<reject::Code>,
    /// The ledger; none for the file as a whole.
    pub ledger: Option<LedgerId>,
    /// The entry; none where it is about no single one.
    pub entry: Option<u64>,
    /// Where, what was expected, what was found, and the next step.
    pub message: String,
}

/// Findings as they are gathered, for one ledger or for a file.
#[derive(Debug, Clone)]
pub(super) struct Findings {
    ledger: Option<LedgerId>,
    list: Vec<Finding>,
    counts: BTreeMap<Code, u64>,
}

impl Findings {
    pub(super) fn new(ledger: Option<LedgerId>) -> Self {
        Self { ledger, list: Vec::new(), counts: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, code: Code, entry: Option<u64>, detail: &str) {
        self.push(code, entry, None, detail);
    }

    /// What a guard refused.
    pub(super) fn refused(&mut self, code: Code, entry: u64, reject: &Reject) {
        self.push(code, Some(entry), Some(reject.code), &reject.to_string());
    }

    fn push(&mut self, code: Code, entry: Option<u64>, rule: Option<reject::Code>, detail: &str) {
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count > MOST {
            return;
        }
        let place = entry.map_or_else(String::new, |seq| format!("entry {seq}: "));
        let message = format!("{place}{}: {detail}; next: {}", code.meaning(), code.next());
        let (severity, ledger) = (code.severity(), self.ledger);
        self.list.push(Finding { code, severity, rule, ledger, entry, message });
    }

    pub(super) fn list(&self) -> &[Finding] {
        &self.list
    }

    /// The list, with one line more for each code of which there were too many.
    pub(super) fn close(mut self) -> Vec<Finding> {
        for (code, count) in self.counts.iter().filter(|(_, count)| **count > MOST) {
            let message = format!("{}: {} more like these", code.meaning(), count - MOST);
            self.list.push(Finding {
                code: *code,
                severity: code.severity(),
                rule: None,
                ledger: self.ledger,
                entry: None,
                message,
            });
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_of_one_style() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        let plain = |n: &&str| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.iter().all(plain), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn a_flood_of_findings_is_counted_not_kept() {
        let mut findings = Findings::new(None);
        for entry in 0..1_000 {
            findings.add(Code::Sequence, Some(entry), "x");
        }
        findings.add(Code::Store, None, "y");
        let list = findings.close();
        assert_eq!(list.len(), 22);
        assert_eq!(list[0].entry, Some(0));
        assert!(list[21].message.ends_with("980 more like these"), "{}", list[21].message);
    }
}
