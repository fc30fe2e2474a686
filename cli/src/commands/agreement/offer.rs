//! `subak agreement offer`: the payer's side proposes terms.

use super::{approvals, state_stage, with};
use crate::{
    commands::{contribute::report, payout::code},
    context::{Context, Open, random},
    counterpart::Elsewhere,
    describe,
    failure::{Done, Failure},
};
use clap::Args;
use serde_json::json;
use std::sync::Arc;
use subak_ledger::book::{
    agreement::{Agreement, Progress},
    decimal,
    event::terms_digest,
    types::{AgentKind, Base, Handle, Stage},
};
use subak_proto::v1::{self, event::Kind};

/// Arguments of `agreement offer`.
#[derive(Debug, Args)]
pub struct Offer {
    /// The ledger of the commons: its name or (the beginning of) its id
    #[arg(long, value_name = "NAME|ID")]
    commons_ledger: String,
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// The share, as in "10 %" [default: 100 % of payouts]
    #[arg(long, value_name = "PERCENT")]
    share: Option<String>,
    /// What it is a share of: net, gross or payout [default: net; a commons: payout]
    #[arg(long)]
    base: Option<String>,
    /// Currency
    #[arg(long)]
    currency: String,
    /// Days until a share that falls due should be paid
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    due_days: u32,
    /// Days between the end's announcement and the end
    #[arg(long, default_value_t = 30, value_name = "DAYS")]
    notice_days: u32,
    /// Only revenue with this tag [default: all revenue in the currency]
    #[arg(long, value_name = "TAG")]
    product: Option<String>,
    /// The payer's handle in the commons' ledger [default: the payer's ledger's name]
    #[arg(long, value_name = "HANDLE")]
    payer_handle: Option<String>,
    /// The commons' handle in the payer's ledger [default: the commons' ledger's name]
    #[arg(long, value_name = "HANDLE")]
    commons_handle: Option<String>,
}

impl Offer {
    pub(super) async fn run(self, cx: &Context) -> Done {
        let mut open = cx.write().await?;
        let there = self.elsewhere.reader(cx, &open.connection).await?;
        let info = cx.choose(&there, Some(&self.commons_ledger)).await?;
        let other = cx.open_ledger(there, info).await?;
        let terms = self.terms(&open, &other)?;
        let digest = terms_digest(&terms)?;
        let beside = beside(&open, &terms);
        let offer = Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms) });
        let appended = cx.propose(&open, offer).await?;
        cx.refresh(&mut open).await?;
        let more = json!({ "agreement": hex::encode(digest) });
        if !open.book.agreements.contains_key(&digest) {
            let text = format!(
                "agreement {} is proposed; it waits for {}\n  then: `subak agreement state {0} --ledger {}`",
                describe::short(&digest),
                approvals(&open.book, appended.entry),
                open.info.name
            );
            return report(cx, &appended, &more, &(text + &beside));
        }
        let stated = state_stage(cx, &open, &digest, Stage::Offered).await?;
        let short = describe::short(&digest);
        let (name, hint) = (&other.info.name, self.elsewhere.hint(cx));
        let text = format!(
            "agreement {short} is offered to {name} (stated in entry {stated})\n  next, the commons: `subak agreement accept {short} --ledger {name}{hint}`"
        );
        report(cx, &appended, &with(more, "stated", stated), &(text + &beside))
    }

    fn terms(&self, open: &Open, other: &Open) -> Done<v1::Terms> {
        let kind = open.book.root().kind;
        let base = match self.base.as_deref() {
            Some(word) => Base::from_word(word).ok_or_else(|| {
                Failure::usage(format!("base {word:?}"), "use net, gross or payout")
            })?,
            None if kind == AgentKind::Commons => Base::Payout,
            None => Base::Net,
        };
        let share = match (&self.share, base) {
            (Some(text), _) => share(text)?,
            (None, Base::Payout) => 1_000_000,
            (None, _) => {
                return Err(Failure::usage("which share?", "say it with --share, as in \"10 %\""));
            }
        };
        let named = |given: &Option<String>, ledger: &str| {
            Handle::new(given.as_deref().unwrap_or(ledger)).map(|h| h.to_string())
        };
        let payer_handle = named(&self.payer_handle, &open.info.name)?;
        let commons_handle = named(&self.commons_handle, &other.info.name)?;
        require_agent(other, &payer_handle, kind, "--payer-handle")?;
        require_agent(open, &commons_handle, AgentKind::Commons, "--commons-handle")?;
        Ok(v1::Terms {
            payer: open.info.id.0.to_vec(),
            payer_operator: open.book.operator().to_vec(),
            commons: other.info.id.0.to_vec(),
            commons_operator: other.book.operator().to_vec(),
            payer_handle,
            commons_handle,
            share,
            base: base.to_wire(),
            currency: code(&self.currency)?.to_string(),
            due_days: self.due_days,
            notice_days: self.notice_days,
            product: self.product.clone().unwrap_or_default(),
            random: random::<16>()?.to_vec(),
        })
    }
}

/// What the new terms would stand beside: it may be meant, and costs twice if it is not.
fn beside(open: &Open, terms: &v1::Terms) -> String {
    let covers = |a: &&Arc<Agreement>| {
        let (old, product) = (&a.terms, a.terms.product.as_ref());
        old.commons[..] == terms.commons[..]
            && old.currency.as_str() == terms.currency
            && old.base.to_wire() == terms.base
            && (terms.product.is_empty() || product.is_none_or(|p| p.as_str() == terms.product))
            && a.progress == Progress::Active
            && a.ends_at.is_none()
    };
    let line = |a: &Arc<Agreement>| {
        let short = describe::short(&a.terms.digest);
        format!(
            "\n  note: agreement {short} with {} in {} is active already; under both,\n    \
             both shares fall due. `subak agreement end {short}` ends it",
            terms.commons_handle, terms.currency
        )
    };
    open.book.agreements.values().filter(covers).map(line).collect()
}

/// Both ledgers must know each other's keeper as an agent: said now, with the command,
/// rather than when the last steward approves.
fn require_agent(open: &Open, handle: &str, kind: AgentKind, option: &str) -> Done {
    if open.book.handles.contains_key(&Handle::new(handle)?) {
        return Ok(());
    }
    Err(Failure::refused(
        "unknown-agent",
        format!("ledger {} has no agent {handle}", open.info.name),
        format!(
            "add it: `subak agent add {handle} --kind {kind} --ledger {}`, or name another with {option}",
            open.info.name
        ),
    ))
}

/// `10 %`, `10%` or `2.5 %` as parts per million.
fn share(text: &str) -> Done<u32> {
    let digits = text.trim().trim_end_matches('%').trim_end();
    decimal::read(digits, 4)
        .filter(|ppm| (1..=1_000_000).contains(ppm) && text.trim().ends_with('%'))
        .and_then(|ppm| u32::try_from(ppm).ok())
        .ok_or_else(|| {
            Failure::usage(
                format!("share {text:?}: expected 0.0001 % to 100 %"),
                "write it as in \"10 %\" or \"2.5 %\"",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages_with_a_sign() {
        assert_eq!(share("10 %").unwrap(), 100_000);
        assert_eq!(share("2.5%").unwrap(), 25_000);
        assert_eq!(share("100 %").unwrap(), 1_000_000);
        assert_eq!(share("0.0001 %").unwrap(), 1);
        for bad in ["10", "0 %", "101 %", "0.00001 %", "-1 %", "%", "ten %"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
