//! Whom `payout propose --all` pays.
//!
//! Guarantees that a line that is chosen is one that the rules would take; what is left out
//! is named with its reason. Pure.

use crate::money;
use subak_ledger::book::{
    accounts::Fund,
    state::State,
    types::{AgentId, AgentKind, Currency, DAY_MS, Handle, Minor},
};

/// Somebody whom `--all` leaves out, with what is free and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Who.
    pub agent: Handle,
    /// What is free, minor units.
    pub free: i128,
    /// Why not.
    pub why: String,
}

/// The lines of a run, in order of handles, and who is left out.
pub type Choice = (Vec<(Handle, Minor)>, Vec<Skipped>);

/// The treasurer's cash that lines not yet reserved may still take.
struct Purse {
    common: i128,
    all: i128,
}

/// The lines of `--all`: who has at least `minimum` free, as far as the treasurer's cash
/// goes, in order of handles; and who is left out, with the reason.
pub fn choose(
    book: &State,
    treasurer: AgentId,
    currency: Currency,
    minimum: Minor,
    at: u64,
) -> Choice {
    let minimum = i128::from(minimum.max(least(book, currency)).max(1));
    let mut purse = Purse {
        common: book.free_cash(treasurer, Fund::Contributors, currency),
        all: book.free_cash_in_all(treasurer, currency),
    };
    let (mut lines, mut skipped) = (Vec::new(), Vec::new());
    for (handle, id) in &book.handles {
        let (own, common) = book.available(*id, currency);
        let free = own + common;
        if free <= 0 {
            continue;
        }
        let payable = barred(book, *id, at).map_or_else(
            || take(book, (treasurer, *id, currency), (own, common), minimum, &mut purse),
            Err,
        );
        match payable {
            Ok(minor) => lines.push((handle.clone(), minor)),
            Err(why) => skipped.push(Skipped { agent: handle.clone(), free, why }),
        }
    }
    (lines, skipped)
}

/// The equation's minimum for a payout line.
fn least(book: &State, currency: Currency) -> Minor {
    let minimum = book.equation.as_ref().and_then(|e| e.minimum_payout.get(&currency));
    minimum.copied().unwrap_or(0)
}

/// Why an agent cannot be paid at all, if so.
pub fn barred(book: &State, id: AgentId, at: u64) -> Option<String> {
    let agent = book.agent(id);
    if agent.kind == AgentKind::Trust {
        return Some("a trust's principal stays".into());
    }
    if agent.is_keyless() {
        let Some((_, since)) = agent.alias else { return Some("unclaimed".into()) };
        let delay = book.equation.as_ref().map_or(0, |e| e.claim_delay_days);
        let from = since + u64::from(delay) * DAY_MS;
        if at < from {
            return Some(format!("claimed too lately: from {} on", money::show_date(from)));
        }
    }
    if !agent.admitted {
        return Some("not admitted".into());
    }
    book.frozen(id).map(|frozen| format!("frozen: {}", book.why(&frozen)))
}

/// Takes what is free out of the purse, its own fund first, as the rules draw it.
fn take(
    book: &State,
    (treasurer, id, currency): (AgentId, AgentId, Currency),
    (own, common): (i128, i128),
    minimum: i128,
    purse: &mut Purse,
) -> Result<Minor, String> {
    let free = own + common;
    if free < minimum {
        let text = money::show(minimum, currency);
        return Err(format!("below the minimum of {text}"));
    }
    // Where one fund is negative the other makes it good before anything is free.
    let from_own = own.clamp(0, free);
    let cash = book.free_cash(treasurer, Fund::Agent(id), currency).max(0);
    let from_own_paid = from_own.min(cash).min(purse.all);
    // The contributors' fund is drawn only for what lies beyond the agent's own.
    let from_common = if from_own_paid == from_own {
        (free - from_own).min(purse.common).min(purse.all - from_own)
    } else {
        0
    };
    let minor = from_own_paid + from_common.max(0);
    if minor < minimum {
        return Err("not enough cash with this treasurer".into());
    }
    purse.all -= minor;
    purse.common -= from_common.max(0);
    Ok(u64::try_from(minor).expect("at least the minimum, and within MAX_MONEY"))
}
