//! The gRPC service of the book: what the log means, at a glance, over any [`Ledgers`].
//!
//! Decides no rule: asks the folded state, and puts the answer into messages. Guarantees
//! that answers are bounded in lines, and that working them out neither blocks the executor
//! nor takes more cores than there are. Leaves out proof: whoever wants to be sure folds the
//! log.
//!
//! [`Ledgers`]: crate::Ledgers

use crate::{
    readers::bounded,
    service::{Answer, Services, failed, id},
};
use std::sync::Arc;
use subak_ledger::book::{
    accounts::{Account, Fund},
    explain,
    state::State,
    types::{AgentId, Fixed, Handle},
};
use subak_proto::v1::{self, book_server::Book};
use tonic::{Request, Response, Status};

/// Lines in one answer at most, but for one agent's balances.
const LINES: usize = 1_000;

impl Services {
    /// Works an answer out of a ledger's state, off the executor.
    async fn of_state<T: Send + 'static>(
        &self,
        ledger: &[u8],
        answer: impl FnOnce(&State) -> Result<T, Status> + Send + 'static,
    ) -> Answer<T> {
        let state: Arc<State> = self.ledgers.book(id(ledger)?).await.map_err(failed)?;
        bounded(&self.cores, move || answer(&state)).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl Book for Services {
    async fn balances(&self, request: Request<v1::BalancesRequest>) -> Answer<v1::BalancesReply> {
        let v1::BalancesRequest { ledger, agent, after, limit } = request.into_inner();
        let answer = move |state: &State| {
            let (balances, more) = if agent.is_empty() {
                let after = (!after.is_empty()).then(|| find(state, &after)).transpose()?;
                of_everyone(state, after, lines(limit))
            } else {
                (of_agent(state, find(state, &agent)?), false)
            };
            let balance = balances.iter().map(|b| balance(state, b)).collect();
            Ok(v1::BalancesReply { size: state.size, balance, more })
        };
        self.of_state(&ledger, answer).await
    }

    async fn accounts(&self, request: Request<v1::AccountsRequest>) -> Answer<v1::AccountsReply> {
        let v1::AccountsRequest { ledger, from, limit } = request.into_inner();
        let answer = move |state: &State| {
            let line = |(account, currency, amount)| v1::AccountBalance {
                account: account_name(state, account),
                currency: ToString::to_string(&currency),
                amount: decimal(amount),
            };
            let (part, more) = part(state.accounts.iter(), from, limit);
            let account = part.into_iter().map(line).collect();
            Ok(v1::AccountsReply { size: state.size, account, more })
        };
        self.of_state(&ledger, answer).await
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Answer<v1::ExplainReply> {
        let v1::ExplainRequest { ledger, agent, from, limit } = request.into_inner();
        let answer = move |state: &State| {
            let agent = find(state, &agent)?;
            let currencies = state.currencies();
            let reasons = currencies.iter().flat_map(|c| state.reasons(agent, *c));
            let (part, more) = part(reasons, from, limit);
            Ok(v1::ExplainReply {
                size: state.size,
                reason: part.iter().map(|r| reason(state, r)).collect(),
                total: of_agent(state, agent).iter().map(|b| balance(state, b)).collect(),
                more,
            })
        };
        self.of_state(&ledger, answer).await
    }
}

fn find(state: &State, agent: &str) -> Result<AgentId, Status> {
    let found = Handle::new(agent).and_then(|handle| state.find(&handle));
    found.map_err(|reject| failed(reject.into()))
}

/// How many lines an answer may have, of those that were asked for.
fn lines(limit: u64) -> usize {
    match usize::try_from(limit) {
        Ok(0) | Err(_) => LINES,
        Ok(limit) => limit.min(LINES),
    }
}

/// The lines from `from` on, up to `limit`, and whether there are more.
fn part<T>(all: impl Iterator<Item = T>, from: u64, limit: u64) -> (Vec<T>, bool) {
    let mut left = all.skip(usize::try_from(from).unwrap_or(usize::MAX));
    let part: Vec<T> = left.by_ref().take(lines(limit)).collect();
    (part, left.next().is_some())
}

/// All currencies, also where everything is zero: that is what was asked for.
fn of_agent(state: &State, agent: AgentId) -> Vec<explain::Balance> {
    state.currencies().into_iter().map(|currency| state.balance(agent, currency)).collect()
}

/// Everyone's that are not all zero, in order of arrival. An agent's are not split, so that
/// `after` can be a name.
fn of_everyone(
    state: &State,
    after: Option<AgentId>,
    limit: usize,
) -> (Vec<explain::Balance>, bool) {
    let currencies = state.currencies();
    let any = |b: &explain::Balance| (b.accrued, b.payable, b.reserved, b.paid) != (0, 0, 0, 0);
    let mut found: Vec<explain::Balance> = Vec::new();
    for agent in state.agents.iter().filter(|agent| after.is_none_or(|after| agent.id > after)) {
        let own: Vec<_> =
            currencies.iter().map(|c| state.balance(agent.id, *c)).filter(any).collect();
        if !found.is_empty() && !own.is_empty() && found.len() + own.len() > limit {
            return (found, true);
        }
        found.extend(own);
    }
    (found, false)
}

/// Amounts lie far within 64 bits: a ledger takes in 10^15 minor units at most.
fn int(minor: impl TryInto<i64>) -> i64 {
    minor.try_into().unwrap_or(i64::MAX)
}

fn balance(state: &State, b: &explain::Balance) -> v1::Balance {
    v1::Balance {
        agent: state.agent(b.agent).handle.to_string(),
        currency: b.currency.to_string(),
        accrued: int(b.accrued),
        payable: int(b.payable),
        reserved: int(b.reserved),
        paid: int(b.paid),
        available: int(b.available),
        points: int(state.points(b.agent)),
    }
}

fn reason(state: &State, r: &explain::Reason) -> v1::Reason {
    let income = state.income(r.income).expect("a reason names an income of its own state");
    v1::Reason {
        income: r.income,
        payer: state.agent(income.payer).handle.to_string(),
        recorded_at: income.recorded_at,
        currency: income.currency.to_string(),
        income_amount: int(income.amount),
        income_reversed: int(income.refunded.saturating_add(income.written_off)),
        income_settled: int(income.settled),
        bucket: r.bucket.to_string(),
        share: r.share,
        points: r.points.to_string(),
        all_points: r.all_points.to_string(),
        accrued: decimal(r.accrued),
        payable: decimal(r.payable),
    }
}

/// An account's name, as in EVENTS.md, section 2; an agreement by 16 digits of its digest.
fn account_name(state: &State, account: Account) -> String {
    let agent = |id| &state.agent(id).handle;
    let bucket = |id| state.buckets.get(id).map_or("?", |bucket| bucket.def.name.as_str());
    let short = |digest: &[u8; 32]| hex::encode(&digest[..8]);
    match account {
        Account::Receivable(payer) => format!("receivable:{}", agent(payer)),
        Account::Cash(holder, Fund::Contributors) => format!("cash:{}/contributors", agent(holder)),
        Account::Cash(holder, Fund::Agent(owner)) => {
            format!("cash:{}/{}", agent(holder), agent(owner))
        }
        Account::Bucket(b) => format!("bucket:{}", bucket(&b)),
        Account::Principal(b) => format!("principal:{}", bucket(&b)),
        Account::Reserved(run) => format!("reserved:{run}"),
        Account::Held(b) => format!("held:{}", bucket(&b)),
        Account::Carry(b) => format!("carry:{}", bucket(&b)),
        Account::Fees => "fees".into(),
        Account::WriteOff => "writeoff".into(),
        Account::Revenue => "revenue".into(),
        Account::Due(agreement) => format!("due:{}", short(&agreement)),
        Account::Sent(agreement) => format!("sent:{}", short(&agreement)),
        Account::Credit(agreement) => format!("credit:{}", short(&agreement)),
        Account::Till => "cash".into(),
    }
}

/// Q64 minor units as a decimal, rounded to the nearest of 6 places, without idle zeros.
fn decimal(v: Fixed) -> String {
    const MILLION: u128 = 1_000_000;
    let (whole, part) = (v.unsigned_abs() >> 64, v.unsigned_abs() & u128::from(u64::MAX));
    let millionths = whole * MILLION + ((part * MILLION + (1 << 63)) >> 64);
    let sign = if v < 0 && millionths > 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:06}", millionths / MILLION, millionths % MILLION);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use subak_ledger::book::types::Q;

    #[test]
    fn amounts_are_decimals_of_minor_units() {
        for (value, text) in [
            (0, "0"),
            (120 * Q, "120"),
            (-120 * Q, "-120"),
            (Q / 2, "0.5"),
            (-Q / 4, "-0.25"),
            (Q / 3, "0.333333"),
            (2 * Q / 3, "0.666667"),
            (50 * Q - 1, "50"),
            (-1, "0"),
        ] {
            assert_eq!(decimal(value), text);
        }
    }
}
