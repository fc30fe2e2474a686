//! Agreements between a payer and a commons: the handshake, and the arithmetic of
//! what falls due, which both ledgers run.
//!
//! Guarantees that payer and commons compute the same numbers and amounts from the
//! same facts in the same order, so that nothing is lost to rounding and nothing is
//! taken twice. Leaves out what income does to a commons (`income`).

use super::{
    event::{Event, InvoiceId, Proof, Terms},
    state::{State, Step},
    types::*,
};
use crate::{
    log::{
        Hash, LedgerId,
        key::PublicKey,
        receipt::prove,
        statement::{MAX_EFFECT_ENVELOPE, Statement},
    },
    reject::{Code, Outcome, Reject, require},
};
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

/// How far an agreement has come in this ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The payer's stewards offer it (payer's ledger).
    Offered,
    /// Shares fall due (payer's ledger).
    Active,
    /// The commons' stewards have accepted it (commons' ledger).
    Accepted,
}

/// What a numbered effect came from in the payer's ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An invoice, or a line of it.
    Invoice(InvoiceId),
    /// A line of a payout run: the run's entry.
    Payout(u64),
}

/// One share that fell due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it came from.
    pub origin: Origin,
    /// The base that the share was taken of.
    pub base: Minor,
    /// The share.
    pub due: Minor,
    /// Of the base, taken back.
    pub base_reversed: Minor,
    /// Of the share, taken back.
    pub due_reversed: Minor,
    /// Payer's ledger: sent. (A commons keeps what arrived with its income.)
    pub sent: Minor,
    /// The commons' income number; 0 in the payer's ledger.
    pub income: u64,
    /// When it was recorded here.
    pub recorded_at: u64,
}

/// The shares of one agreement, in the order of the payer's log.
#[derive(Debug, Clone, Default)]
pub struct Dues {
    /// The last number that was given out (payer) or taken (commons).
    pub last: u64,
    bases: u128,
    dues: u128,
    /// Shares by number; a reversal has a number, but no item.
    pub items: OrdMap<u64, Item>,
    /// Numbers by origin.
    pub origins: OrdMap<Origin, u64>,
}

impl Dues {
    /// What falls due on `base`: `floor(sum of bases so far * share / 10^6) - dues so far`.
    pub fn next_due(&self, base: Minor, share: u32) -> Minor {
        let all = (self.bases + u128::from(base)) * u128::from(share) / 1_000_000;
        u64::try_from(all - self.dues).expect("a share is at most its base")
    }

    /// Takes the next number for a share.
    fn add(&mut self, origin: Origin, base: Minor, due: Minor, at: u64, income: u64) -> u64 {
        self.last += 1;
        self.bases += u128::from(base);
        self.dues += u128::from(due);
        self.origins.insert(origin.clone(), self.last);
        self.items.insert(
            self.last,
            Item {
                origin,
                base,
                due,
                base_reversed: 0,
                due_reversed: 0,
                sent: 0,
                income,
                recorded_at: at,
            },
        );
        self.last
    }

    /// What more a reversal of `base` of share `number` takes back:
    /// `floor(due * R / base)` in all, R being all that was reversed of the base.
    pub fn next_reversal(&self, number: u64, base: Minor) -> Option<Minor> {
        let item = self.items.get(&number)?;
        let reversed = item.base_reversed.checked_add(base).filter(|r| *r <= item.base)?;
        let all = u128::from(item.due) * u128::from(reversed) / u128::from(item.base);
        u64::try_from(all).ok()?.checked_sub(item.due_reversed)
    }

    /// Takes the next number for a reversal.
    fn reverse(&mut self, number: u64, base: Minor, due: Minor) -> u64 {
        self.last += 1;
        let item = self.items.get_mut(&number).expect("next_reversal found it");
        item.base_reversed += base;
        item.due_reversed += due;
        self.last
    }
}

/// An agreement as one of its two ledgers knows it.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// What was agreed.
    pub terms: Arc<Terms>,
    /// How far it is.
    pub progress: Progress,
    /// The entry that first stated it to the other ledger: as offered (payer), as accepted
    /// (commons).
    pub stated: Option<u64>,
    /// When nothing more falls due.
    pub ends_at: Option<u64>,
    /// The arithmetic.
    pub dues: Dues,
    /// Digest of the source envelope that took a number (commons).
    pub sources: OrdMap<u64, Hash>,
    /// The entry of the payer's log that the last number was taken from (commons): the next
    /// number is in a later one.
    pub taken_from: Option<u64>,
    /// Two stories exist under one number: the entry that showed it.
    pub frozen: Option<u64>,
    /// Numbers (payer) or incomes (commons) with something open.
    pub open: OrdSet<u64>,
    /// Incomes with something written off (commons).
    pub written_off: OrdSet<u64>,
    /// Cash that has arrived (commons) or left (payer) under it.
    pub cash: u128,
    /// Of it, settling shares; the rest is the payer's credit.
    pub settled: u128,
    /// Cash that has arrived, fees that the payer bears included (commons): to be held against
    /// what has left.
    pub arrived: u128,
}

impl Agreement {
    fn new(terms: Arc<Terms>, progress: Progress) -> Self {
        Self {
            terms,
            progress,
            stated: None,
            ends_at: None,
            dues: Dues::default(),
            sources: OrdMap::new(),
            taken_from: None,
            frozen: None,
            open: OrdSet::new(),
            written_off: OrdSet::new(),
            cash: 0,
            settled: 0,
            arrived: 0,
        }
    }

    /// Cash beyond what it settles.
    pub fn credit(&self) -> Minor {
        u64::try_from(self.cash - self.settled).expect("cash is limited by MAX_MONEY")
    }
}

/// A proven entry of the other ledger.
pub(super) struct Proven {
    pub(super) statement: Statement,
    pub(super) digest: Hash,
    pub(super) seq: u64,
}

/// Checks that `proof` shows an entry of `ledger` under its operator's checkpoint.
pub(super) fn check_proof(proof: &Proof, ledger: Hash, operator: Hash) -> Outcome<Proven> {
    require(proof.envelope.len() <= MAX_EFFECT_ENVELOPE, Code::ProofInvalid, || {
        "the envelope is over 64 KiB".into()
    })?;
    let (key, entry) = (PublicKey::admit(&operator)?, (&proof.leaf[..], &proof.envelope[..]));
    let proven = prove(LedgerId(ledger), &key, entry, &proof.path, &proof.checkpoint)?;
    // A genesis names no ledger, wherever it lies, and says nothing that another could take.
    let named = proven.statement.header().ledger == LedgerId(ledger);
    require(named, Code::ProofInvalid, || "it is a genesis".into())?;
    let (digest, seq) = (proven.leaf.envelope, proven.leaf.seq);
    Ok(Proven { statement: proven.statement, digest, seq })
}

impl State {
    /// An agreement by digest.
    pub fn agreement(&self, digest: &Hash) -> Outcome<&Arc<Agreement>> {
        self.agreements
            .get(digest)
            .ok_or_else(|| Reject::new(Code::UnknownAgreement, hex::encode(digest)))
    }

    pub(super) fn change_agreement(&mut self, digest: &Hash, change: impl FnOnce(&mut Agreement)) {
        let slot = self.agreements.get_mut(digest).expect("the caller found it");
        change(Arc::make_mut(slot));
    }

    fn check_terms(&self, t: &Terms, payer: bool) -> Outcome {
        let fits = |holds: bool, what: &str| require(holds, Code::TermsInvalid, || what.to_owned());
        let (mine, key, other) = if payer {
            (t.payer, t.payer_operator, &t.commons_handle)
        } else {
            (t.commons, t.commons_operator, &t.payer_handle)
        };
        fits(mine == self.ledger.0, "the ledger's id is not this ledger's")?;
        fits(key == self.operator(), "the operator key is not this ledger's")?;
        fits(t.payer != t.commons, "a ledger agrees with another one")?;
        let (there, named) =
            if payer { (t.commons, t.commons_operator) } else { (t.payer, t.payer_operator) };
        let known = self.counterpart(there, named) == named;
        fits(known, "the other ledger is known here by another operator key")?;
        PublicKey::admit(if payer { &t.commons_operator } else { &t.payer_operator })?;
        fits((1..=1_000_000).contains(&t.share), "a share of 1 to 1000000 ppm")?;
        fits(t.notice_days <= 3_660 && t.due_days <= 3_660, "at most 3660 days")?;
        let upstream = t.base == Base::Payout;
        fits(
            !upstream || (t.share == 1_000_000 && t.product.is_none()),
            "a payout is passed on whole",
        )?;
        if payer {
            let commons = self.root().kind == AgentKind::Commons;
            fits(commons == upstream, "a commons pays on payouts, others on revenue")?;
        }
        let agent = self.agent(self.find(other)?);
        let expected = if payer || upstream {
            agent.kind == AgentKind::Commons
        } else {
            !matches!(agent.kind, AgentKind::Person | AgentKind::Commons)
        };
        require(expected, Code::WrongAgentKind, || format!("{other} is a {}", agent.kind))?;
        let known = self.agreements.contains_key(&t.digest);
        require(!known, Code::AgreementKnown, || hex::encode(t.digest))
    }

    /// AgreementOffer (payer's ledger).
    pub(super) fn offer(&mut self, terms: &Arc<Terms>) -> Outcome {
        self.check_terms(terms, true)?;
        let agreement = Agreement::new(terms.clone(), Progress::Offered);
        self.agreements.insert(terms.digest, Arc::new(agreement));
        Ok(())
    }

    /// AgreementAccept (commons' ledger).
    pub(super) fn accept(&mut self, terms: &Arc<Terms>, proof: &Proof) -> Outcome {
        self.check_terms(terms, false)?;
        let proven = check_proof(proof, terms.payer, terms.payer_operator)?;
        require_stage(&proven, &terms.digest, Stage::Offered)?;
        self.meet(terms.payer, terms.payer_operator);
        let agreement = Agreement::new(terms.clone(), Progress::Accepted);
        self.agreements.insert(terms.digest, Arc::new(agreement));
        Ok(())
    }

    /// AgreementStage: true, or it does not enter the log.
    pub(super) fn state_stage(&mut self, step: &Step<'_>, digest: &Hash, stage: Stage) -> Outcome {
        let progress = self.agreement(digest)?.progress;
        let holds = match stage {
            Stage::Offered => matches!(progress, Progress::Offered | Progress::Active),
            Stage::Accepted => progress == Progress::Accepted,
        };
        require(holds, Code::AgreementStageWrong, || {
            format!("stated {stage}, it is {progress:?}")
        })?;
        if self.agreement(digest)?.stated.is_none() {
            self.change_agreement(digest, |a| a.stated = Some(step.entry));
        }
        Ok(())
    }

    /// AgreementActive (payer's ledger).
    pub(super) fn activate(&mut self, digest: &Hash, proof: &Proof) -> Outcome {
        let agreement = self.agreement(digest)?.clone();
        require(agreement.progress == Progress::Offered, Code::AgreementStageWrong, || {
            format!("expected an offer that is not active yet, it is {:?}", agreement.progress)
        })?;
        let t = &agreement.terms;
        if t.base == Base::Payout {
            let rival = self.upstream(&t.commons_handle, t.currency).is_some();
            require(!rival, Code::AgreementKnown, || {
                format!("{} has an active agreement on payouts", t.commons_handle)
            })?;
        }
        let operator = self.counterpart(t.commons, t.commons_operator);
        let proven = check_proof(proof, t.commons, operator)?;
        require_stage(&proven, digest, Stage::Accepted)?;
        self.meet(t.commons, operator);
        self.change_agreement(digest, |a| a.progress = Progress::Active);
        Ok(())
    }

    /// AgreementEnd (payer's ledger): nothing more falls due after notice.
    pub(super) fn end(&mut self, step: &Step<'_>, digest: &Hash) -> Outcome {
        let agreement = self.agreement(digest)?;
        let running = agreement.progress == Progress::Active && agreement.ends_at.is_none();
        require(running, Code::AgreementStageWrong, || {
            "expected an active one, in the payer's ledger".into()
        })?;
        let ends_at = step.at + u64::from(agreement.terms.notice_days) * DAY_MS;
        self.change_agreement(digest, |a| a.ends_at = Some(ends_at));
        Ok(())
    }

    /// The active agreement under which payouts to an agent are income upstream.
    pub fn upstream(&self, agent: &Handle, currency: Currency) -> Option<Hash> {
        let fits = |a: &&Arc<Agreement>| {
            a.terms.base == Base::Payout
                && a.progress == Progress::Active
                && a.ends_at.is_none_or(|end| self.time < end)
                && a.terms.currency == currency
                && a.terms.commons_handle == *agent
        };
        self.agreements.values().find(fits).map(|a| a.terms.digest)
    }

    /// The active agreements that a revenue falls under, in order of their digests.
    pub fn matching(&self, product: Option<&Handle>, currency: Currency, at: u64) -> Vec<Hash> {
        let fits = |a: &&Arc<Agreement>| {
            a.terms.base != Base::Payout
                && a.progress == Progress::Active
                && a.ends_at.is_none_or(|end| at < end)
                && a.terms.currency == currency
                && (a.terms.product.is_none() || a.terms.product.as_ref() == product)
        };
        self.agreements.values().filter(fits).map(|a| a.terms.digest).collect()
    }

    /// Numbers a share; both ledgers come through here.
    pub(super) fn add_due(
        &mut self,
        digest: &Hash,
        origin: Origin,
        base: Minor,
        due: Minor,
        at: u64,
        income: u64,
    ) -> u64 {
        let mut number = 0;
        self.change_agreement(digest, |a| number = a.dues.add(origin, base, due, at, income));
        number
    }

    /// Numbers a reversal; both ledgers come through here.
    pub(super) fn reverse_due(&mut self, digest: &Hash, number: u64, base: Minor, due: Minor) {
        self.change_agreement(digest, |a| {
            a.dues.reverse(number, base, due);
        });
    }
}

/// The base of a revenue under an agreement.
pub fn base_of(terms: &Terms, net: Minor, tax: Minor) -> Minor {
    match terms.base {
        Base::Gross => net + tax,
        Base::Net | Base::Payout => net,
    }
}

fn require_stage(proven: &Proven, digest: &Hash, stage: Stage) -> Outcome {
    for bytes in proven.statement.events() {
        // The rest of it is of another book, and may be costly to read.
        let wire = Event::wire(bytes)?;
        if let Some(subak_proto::v1::event::Kind::AgreementStage(_)) = wire.kind
            && let Event::AgreementStage { agreement, stage: s } = Event::from_wire(wire)?
            && agreement == *digest
            && s == stage
        {
            return Ok(());
        }
    }
    Err(Reject::new(
        Code::ProofIrrelevant,
        format!("it does not state that the agreement is {stage}"),
    ))
}
