//! The gRPC services, over any [`Ledgers`].
//!
//! Decides no rule: asks, and puts the answer into messages. Guarantees bounded messages.
//! Leaves out connections, limits and shutdown (`serve`).

use crate::{
    Ledgers, NodeError,
    wire::{self, MOST, malformed, status},
};
use futures::{Stream, StreamExt as _, stream};
use std::{pin::Pin, sync::Arc};
use subak_ledger::{
    book::{
        accounts::{Account, Fund},
        explain,
        state::State,
        types::{AgentId, Fixed, Handle},
    },
    log::LedgerId,
};
use subak_proto::v1::{
    self, append_reply,
    book_server::{Book, BookServer},
    log_server::{Log, LogServer},
};
use tonic::{Request, Response, Status};

/// Bytes of disclosures in one message, but for a single one.
const PAGE_BYTES: usize = 1 << 20;

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Both services.
#[derive(Clone)]
pub struct Services(Arc<dyn Ledgers>);

impl Services {
    /// The services of these ledgers.
    pub fn new(ledgers: Arc<dyn Ledgers>) -> Self {
        Self(ledgers)
    }

    /// `subak.v1.Log`.
    pub fn log(&self) -> LogServer<Self> {
        LogServer::new(self.clone()).max_decoding_message_size(MOST)
    }

    /// `subak.v1.Book`.
    pub fn book(&self) -> BookServer<Self> {
        BookServer::new(self.clone()).max_decoding_message_size(MOST)
    }

    async fn state(&self, ledger: &[u8]) -> Result<Arc<State>, Status> {
        self.0.book(id(ledger)?).await.map_err(failed)
    }
}

fn id(bytes: &[u8]) -> Result<LedgerId, Status> {
    Ok(LedgerId(wire::hash(bytes, "ledger").map_err(malformed)?))
}

#[allow(clippy::needless_pass_by_value)] // it is what map_err hands over
fn failed(error: NodeError) -> Status {
    status(&error)
}

#[tonic::async_trait]
impl Log for Services {
    type EntriesStream = Messages<v1::EntriesReply>;
    type DisclosuresStream = Messages<v1::DisclosuresReply>;

    async fn ledgers(&self, _: Request<v1::LedgersRequest>) -> Answer<v1::LedgersReply> {
        let all = self.0.ledgers().await.map_err(failed)?;
        let ledger = all.into_iter().map(wire::info_out).collect();
        Ok(Response::new(v1::LedgersReply { ledger }))
    }

    async fn prepare(&self, _: Request<v1::PrepareRequest>) -> Answer<v1::PrepareReply> {
        let (operator, clerk) = self.0.prepare().await.map_err(failed)?;
        let (operator_key, clerk_key) = (operator.to_vec(), clerk.to_vec());
        Ok(Response::new(v1::PrepareReply { operator_key, clerk_key }))
    }

    async fn append(&self, request: Request<v1::AppendRequest>) -> Answer<v1::AppendReply> {
        let append = wire::append_in(request.into_inner()).map_err(malformed)?;
        let result = match self.0.append(append).await {
            Ok(appended) => append_reply::Result::Appended(wire::appended_out(appended)),
            Err(refused @ NodeError::Refused { .. }) => {
                append_reply::Result::Refused(wire::refused_out(&refused))
            }
            Err(error) => return Err(status(&error)),
        };
        Ok(Response::new(v1::AppendReply { result: Some(result) }))
    }

    async fn entries(&self, request: Request<v1::EntriesRequest>) -> Answer<Self::EntriesStream> {
        let v1::EntriesRequest { ledger, from, limit, follow } = request.into_inner();
        let ledger = id(&ledger)?;
        let until = if limit == 0 { u64::MAX } else { from.saturating_add(limit) };
        let ledgers = self.0.clone();
        // One page is in memory at a time, and the next is read when this one was taken.
        let pages = stream::try_unfold(from, move |from| {
            let ledgers = ledgers.clone();
            async move {
                loop {
                    if from >= until {
                        return Ok(None);
                    }
                    let page = ledgers.entries(ledger, from, until - from).await.map_err(failed)?;
                    if let Some(last) = page.last() {
                        let next = last.seq.saturating_add(1);
                        let entry = page.into_iter().map(wire::entry_out).collect();
                        return Ok(Some((v1::EntriesReply { entry }, next)));
                    }
                    if !follow {
                        return Ok(None);
                    }
                    ledgers.wait_beyond(ledger, from).await.map_err(failed)?;
                }
            }
        });
        Ok(Response::new(pages.boxed()))
    }

    async fn checkpoint(
        &self,
        request: Request<v1::CheckpointRequest>,
    ) -> Answer<v1::CheckpointReply> {
        let ledger = id(&request.into_inner().ledger)?;
        let checkpoint = self.0.checkpoint(ledger).await.map_err(failed)?;
        Ok(Response::new(v1::CheckpointReply { checkpoint }))
    }

    async fn inclusion(&self, request: Request<v1::InclusionRequest>) -> Answer<v1::PathReply> {
        let v1::InclusionRequest { ledger, entry, size } = request.into_inner();
        let path = self.0.inclusion(id(&ledger)?, entry, size).await.map_err(failed)?;
        Ok(Response::new(v1::PathReply { hash: wire::bytes(&path) }))
    }

    async fn consistency(&self, request: Request<v1::ConsistencyRequest>) -> Answer<v1::PathReply> {
        let v1::ConsistencyRequest { ledger, old, new } = request.into_inner();
        let path = self.0.consistency(id(&ledger)?, old, new).await.map_err(failed)?;
        Ok(Response::new(v1::PathReply { hash: wire::bytes(&path) }))
    }

    async fn disclosures(
        &self,
        request: Request<v1::DisclosuresRequest>,
    ) -> Answer<Self::DisclosuresStream> {
        let ledger = id(&request.into_inner().ledger)?;
        let all = self.0.disclosures(ledger).await.map_err(failed)?;
        let mut left = all.into_iter().map(wire::disclosure_out).peekable();
        let pages = std::iter::from_fn(move || {
            let (mut disclosure, mut bytes) = (vec![left.next()?], 0);
            while let Some(next) = left.next_if(|next| bytes + next.text.len() < PAGE_BYTES) {
                bytes += next.text.len() + 200;
                disclosure.push(next);
            }
            Some(Ok(v1::DisclosuresReply { disclosure }))
        });
        Ok(Response::new(stream::iter(pages).boxed()))
    }
}

#[tonic::async_trait]
impl Book for Services {
    async fn balances(&self, request: Request<v1::BalancesRequest>) -> Answer<v1::BalancesReply> {
        let request = request.into_inner();
        let state = self.state(&request.ledger).await?;
        let balances = match &request.agent[..] {
            "" => state.balances(),
            agent => of_agent(&state, find(&state, agent)?),
        };
        let balance = balances.iter().map(|b| balance(&state, b)).collect();
        Ok(Response::new(v1::BalancesReply { size: state.size, balance }))
    }

    async fn accounts(&self, request: Request<v1::AccountsRequest>) -> Answer<v1::AccountsReply> {
        let state = self.state(&request.into_inner().ledger).await?;
        let line = |(account, currency, amount)| v1::AccountBalance {
            account: account_name(&state, account),
            currency: ToString::to_string(&currency),
            amount: decimal(amount),
        };
        let account = state.accounts.iter().map(line).collect();
        Ok(Response::new(v1::AccountsReply { size: state.size, account }))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Answer<v1::ExplainReply> {
        let request = request.into_inner();
        let state = self.state(&request.ledger).await?;
        let agent = find(&state, &request.agent)?;
        let currencies = state.currencies();
        let reasons = currencies.iter().flat_map(|c| state.reasons(agent, *c));
        Ok(Response::new(v1::ExplainReply {
            size: state.size,
            reason: reasons.map(|r| reason(&state, &r)).collect(),
            total: of_agent(&state, agent).iter().map(|b| balance(&state, b)).collect(),
        }))
    }
}

fn find(state: &State, agent: &str) -> Result<AgentId, Status> {
    let found = Handle::new(agent).and_then(|handle| state.find(&handle));
    found.map_err(|reject| failed(reject.into()))
}

/// All currencies, also where everything is zero: that is what was asked for.
fn of_agent(state: &State, agent: AgentId) -> Vec<explain::Balance> {
    state.currencies().into_iter().map(|currency| state.balance(agent, currency)).collect()
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
