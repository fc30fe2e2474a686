//! What a statement must state: the dues that the rules will compute for it.
//!
//! For whoever composes statements. Guarantees the same figures as the guards; leaves
//! out every judgement: an impossible wish simply gets no dues, and its refusal later.

use super::{
    agreement::{Origin, Progress, base_of},
    event::InvoiceId,
    state::State,
    types::*,
};
use subak_proto::v1::Due;

impl State {
    /// The dues of a RevenueRecord that is recorded at `at`.
    pub fn dues_of_revenue(
        &self,
        product: Option<&Handle>,
        currency: Currency,
        (net, tax): (Minor, Minor),
        at: u64,
    ) -> Vec<Due> {
        let due = |digest: &crate::log::Hash| {
            let a = &self.agreements[digest];
            let amount = a.dues.next_due(base_of(&a.terms, net, tax), a.terms.share);
            Due { agreement: digest.to_vec(), number: a.dues.last + 1, amount }
        };
        self.matching(product, currency, at).iter().map(due).collect()
    }

    /// The dues of a RevenueReverse.
    pub fn dues_of_reversal(&self, invoice: &InvoiceId, net: Minor, tax: Minor) -> Vec<Due> {
        let Some(row) = self.revenues.get(invoice) else { return Vec::new() };
        let due = |(digest, number): &(crate::log::Hash, u64)| {
            let a = &self.agreements[digest];
            let base = base_of(&a.terms, net, tax);
            let amount = a.dues.next_reversal(*number, base).filter(|_| base > 0)?;
            Some(Due { agreement: digest.to_vec(), number: a.dues.last + 1, amount })
        };
        row.under.iter().filter_map(due).collect()
    }

    /// The dues of a PayoutPaid: what upstream commons receive is their income.
    pub fn dues_of_payment(&self, run: u64, agents: &[Handle]) -> Vec<Due> {
        let Some(r) = self.runs.get(&run) else { return Vec::new() };
        let mut dues: Vec<Due> = agents
            .iter()
            .filter_map(|handle| {
                let digest = self.upstream(handle, r.currency)?;
                let line = r.lines.iter().find(|l| self.agent(l.agent).handle == *handle)?;
                let number = self.agreements[&digest].dues.last + 1;
                Some(Due { agreement: digest.to_vec(), number, amount: line.minor })
            })
            .collect();
        dues.sort_by(|a, b| a.agreement.cmp(&b.agreement));
        dues
    }

    /// The dues of a PayoutReturned.
    pub fn dues_of_return(&self, run: u64, agent: &Handle) -> Vec<Due> {
        let paid = |a: &&std::sync::Arc<super::agreement::Agreement>| {
            a.terms.base == Base::Payout
                && a.progress == Progress::Active
                && a.terms.commons_handle == *agent
                && a.dues.origins.contains_key(&Origin::Payout(run))
        };
        let due = |a: &std::sync::Arc<super::agreement::Agreement>| {
            let number = a.dues.origins[&Origin::Payout(run)];
            let amount = a.dues.items[&number].due;
            Due { agreement: a.terms.digest.to_vec(), number: a.dues.last + 1, amount }
        };
        self.agreements.values().find(paid).map(due).into_iter().collect()
    }
}
