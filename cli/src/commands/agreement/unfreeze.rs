//! `subak agreement unfreeze`: the stewards decide between two stories.

use super::approvals;
use crate::{
    commands::contribute::report,
    context::Context,
    counterpart, describe,
    failure::{Done, Failure},
    money,
};
use serde_json::json;
use subak_ledger::book::{agreement::Agreement, state::State};
use subak_proto::v1::{self, event::Kind};

/// Proposes that the agreement goes on: from `back_to` + 1, or with all that was taken.
pub(super) async fn unfreeze(cx: &Context, wanted: &str, back_to: Option<u64>) -> Done {
    let mut open = cx.write().await?;
    let digest = counterpart::resolve(&open.book, wanted)?;
    let short = describe::short(&digest);
    let agreement = open.book.agreement(&digest)?.clone();
    let Some(entry) = agreement.frozen else {
        return Err(Failure::refused(
            "agreement-not-frozen",
            format!("agreement {short} is not frozen"),
            "there is nothing to do",
        ));
    };
    let last = agreement.dues.last;
    let back_to = back_to.unwrap_or(last);
    let what = consequences(&open.book, &agreement, back_to);
    let event = v1::AgreementUnfreeze { agreement: digest.to_vec(), entry, back_to };
    let appended = cx.propose(&open, Kind::AgreementUnfreeze(event)).await?;
    cx.refresh(&mut open).await?;
    let after = open.book.agreement(&digest)?;
    let done = after.frozen != Some(entry);
    let text = if done {
        let credit = money::plain(after.credit().into(), after.terms.currency);
        format!(
            "agreement {short} goes on from number {}; {what}\n  credit of {}: {credit}",
            after.dues.last + 1,
            after.terms.payer_handle
        )
    } else {
        let left = approvals(&open.book, appended.entry);
        format!("that agreement {short} goes on is proposed: {what}; it waits for {left}")
    };
    let more = json!({
        "agreement": hex::encode(digest), "frozen_by": entry, "back_to": back_to, "last": last,
        "done": done,
    });
    report(cx, &appended, &more, &text)
}

/// What the decision undoes, in words.
fn consequences(book: &State, a: &Agreement, back_to: u64) -> String {
    if back_to >= a.dues.last {
        return "all that was taken is kept".into();
    }
    let gone = a.dues.items.range(back_to + 1..);
    let incomes = gone.filter_map(|(_, item)| book.income(item.income).ok());
    let (count, sum) = incomes.fold((0_u64, 0_i128), |(count, sum), income| {
        (count + 1, sum + i128::from(income.amount) - i128::from(income.refunded))
    });
    let refunds = a.dues.reversals.range(back_to + 1..).filter(|(_, r)| r.of <= back_to);
    let again: i128 = refunds.map(|(_, r)| i128::from(r.due)).sum();
    let mut text = format!(
        "what is numbered above {back_to} is undone: {}, {}",
        describe::count(count, "income"),
        money::show(sum, a.terms.currency)
    );
    if again > 0 {
        let again = money::show(again, a.terms.currency);
        text += &format!("; {again} that were taken back stand again");
    }
    text
}
