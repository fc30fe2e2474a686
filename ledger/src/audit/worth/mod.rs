//! What an auditor mentions although no rule is broken.
//!
//! Owns the list of such things. Guarantees that none of them changes the verdict, and that each is
//! said with numbers, since who reads it has to judge. Leaves out what breaks a rule.

mod invoices;
mod reciprocal;

use super::finding::{Code, Findings};
use crate::book::{state::State, types::Currency};
use std::collections::BTreeMap;

/// Says it of a book that went through to its end.
pub(super) fn knowing(state: &State, findings: &mut Findings) {
    for gap in invoices::missing(state) {
        findings.add(Code::InvoiceGap, None, &gap.to_string());
    }
    for pair in reciprocal::pairs(state) {
        findings.add(Code::ReciprocalValidation, None, &pair.to_string());
    }
    if let Some(equation) = state.equation.as_ref().filter(|e| e.validators == 1) {
        let detail = format!("equation {} version {}", equation.name, equation.version);
        findings.add(Code::SingleValidator, None, &detail);
    }
    gifts(state, findings);
    for agreement in state.agreements.values() {
        if let Some(entry) = agreement.frozen {
            let payer = &agreement.terms.payer_handle;
            findings.add(Code::AgreementFrozen, Some(entry), &format!("payer {payer}"));
        }
    }
}

/// Income that no payer's log proves.
fn gifts(state: &State, findings: &mut Findings) {
    let mut gifts: BTreeMap<Currency, (u64, u128)> = BTreeMap::new();
    for income in state.incomes.iter().filter(|income| income.source.is_none()) {
        let (count, sum) = gifts.entry(income.currency).or_default();
        (*count, *sum) = (*count + 1, *sum + u128::from(income.amount));
    }
    for (currency, (count, sum)) in gifts {
        let detail = format!("{count} incomes, {sum} minor units of {currency} in all");
        findings.add(Code::UnprovenIncome, None, &detail);
    }
}
