//! Two ledgers that do not trust each other: the handshake, numbers taken once and in
//! order, and what a lying payer (with its operator) can and cannot do to a commons.
//!
//! `World::forge` is the log of an operator who signs what its own rules refuse;
//! `World::twin` is where one operator begins to tell two stories.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

mod kit;
#[path = "handshake/upstream.rs"]
mod upstream;

use kit::*;
use subak_ledger::{book::event::terms_digest, book::types::DAY_MS, log::Hash, reject::Code};
use subak_proto::v1::{self, event::Kind};

fn offer(terms: &v1::Terms) -> Kind {
    Kind::AgreementOffer(v1::AgreementOffer { terms: Some(terms.clone()) })
}

fn accept(terms: &v1::Terms, proof: v1::Proof) -> Kind {
    Kind::AgreementAccept(v1::AgreementAccept { terms: Some(terms.clone()), proof: Some(proof) })
}

fn activate(agreement: Hash, proof: v1::Proof) -> Kind {
    let agreement = agreement.to_vec();
    Kind::AgreementActive(v1::AgreementActive { agreement, proof: Some(proof) })
}

fn revenue(payer: &World, number: u64, net: u64, tax: u64, product: &str) -> v1::RevenueRecord {
    let tag = (!product.is_empty()).then(|| handle(product));
    let due = payer.state.dues_of_revenue(tag.as_ref(), currency(EUR), (net, tax), payer.now);
    let product = product.into();
    v1::RevenueRecord { product, tax, due, ..payer.revenue(number, net) }
}

fn record(payer: &mut World, r: v1::RevenueRecord) -> u64 {
    payer.say("sam", vec![Kind::RevenueRecord(r)]).unwrap()
}

fn due(record: &v1::RevenueRecord, agreement: Hash) -> Option<u64> {
    record.due.iter().find(|d| d.agreement == agreement).map(|d| d.amount)
}

type Alter = fn(&mut v1::Terms);

/// An agreement on what `alter` makes of the usual terms.
fn agreed_on(alter: Alter) -> (World, World, Hash) {
    let (mut payer, mut commons) = (World::phyle("phyle-a"), two_contributors());
    let mut terms = commons.terms(&payer, "phyle-a", 100_000);
    alter(&mut terms);
    let agreement = agree(&mut payer, &mut commons, terms);
    (payer, commons, agreement)
}

/// An offer is made and stated; returns its terms and the entry of the statement.
fn offered(payer: &mut World, terms: &v1::Terms) -> (Hash, u64) {
    let digest = terms_digest(terms).unwrap();
    payer.decree(offer(terms)).unwrap();
    (digest, payer.state_stage(digest, v1::Stage::Offered).unwrap())
}

#[test]
fn a_commons_accepts_no_terms_that_name_other_ledgers_keys_or_handles() {
    let cases: [(&str, Code, Alter); 6] = [
        ("id", Code::TermsInvalid, |t| t.commons = vec![1; 32]),
        ("one ledger with itself", Code::TermsInvalid, |t| t.payer = t.commons.clone()),
        ("operator", Code::TermsInvalid, |t| t.commons_operator = t.payer_operator.clone()),
        ("a handle that is not there", Code::UnknownAgent, |t| t.payer_handle = "nobody".into()),
        ("a person", Code::WrongAgentKind, |t| t.payer_handle = "ana".into()),
        ("a commons", Code::WrongAgentKind, |t| t.payer_handle = "upstream".into()),
    ];
    for (what, code, alter) in cases {
        let (mut payer, mut commons) = (World::phyle("phyle-a"), two_contributors());
        let mut terms = commons.terms(&payer, "phyle-a", 100_000);
        let (_, entry) = offered(&mut payer, &terms);
        alter(&mut terms);
        let reject = commons.refused_decree(accept(&terms, payer.prove(entry)));
        assert_eq!(reject.code, code, "{what}: {reject}");
    }
}

#[test]
fn an_acceptance_needs_the_proof_of_this_very_offer() {
    let (mut payer, mut other, mut commons) =
        (World::phyle("phyle-a"), World::phyle("phyle-b"), two_contributors());
    let terms = commons.terms(&payer, "phyle-a", 100_000);
    let cheaper = v1::Terms { share: 1, ..terms.clone() };
    let (_, entry) = offered(&mut payer, &terms);
    let (_, cheap) = offered(&mut payer, &cheaper);
    let foreign = commons.terms(&other, "phyle-b", 100_000);
    let (_, foreign) = offered(&mut other, &foreign);
    let cases = [
        ("of other terms", payer.prove(cheap), Code::ProofIrrelevant),
        ("of the proposal", payer.prove(entry - 1), Code::ProofIrrelevant),
        ("of another ledger", other.prove(foreign), Code::ProofInvalid),
    ];
    for (what, proof, code) in cases {
        let reject = commons.refused_decree(accept(&terms, proof));
        assert_eq!(reject.code, code, "{what}: {reject}");
    }
    // Under a checkpoint that somebody else has signed.
    payer.operator = key("somebody else");
    let reject = commons.refused_decree(accept(&terms, payer.prove(entry)));
    assert_eq!(reject.code, Code::ProofInvalid);
    payer.operator = key("operator of phyle-a");
    commons.decree(accept(&terms, payer.prove(entry))).unwrap();
    let reject = commons.refused_decree(accept(&terms, payer.prove(entry)));
    assert_eq!(reject.code, Code::AgreementKnown, "a second time");
}

#[test]
fn an_acceptance_is_replayed_for_nothing() {
    let (mut payer, mut commons, agreement) = agreed();
    let accepted = commons.state_stage(agreement, v1::Stage::Accepted).unwrap();
    let proof = commons.prove(accepted);
    let again = vec![activate(agreement, proof.clone())];
    payer.refused("clerk", again, Code::AgreementStageWrong);
    // The same terms but for their share, offered and never accepted.
    let dearer = commons.terms(&payer, "phyle-a", 500_000);
    let (dearer, _) = offered(&mut payer, &dearer);
    payer.refused("clerk", vec![activate(dearer, proof)], Code::ProofIrrelevant);
    // Nor does the commons' word for another stage do, should its operator sign one.
    let wrong = Kind::AgreementStage(v1::AgreementStage {
        agreement: dearer.to_vec(),
        stage: v1::Stage::Offered as i32,
    });
    let wrong = commons.forge("clerk", vec![wrong]);
    let proof = commons.prove(wrong);
    payer.refused("clerk", vec![activate(dearer, proof)], Code::ProofIrrelevant);
    // And nothing falls due under it.
    assert_eq!(payer.revenue(1, 100_000).due.len(), 1);
}

#[test]
fn nobody_states_a_stage_that_is_not_reached() {
    let (mut payer, commons) = (World::phyle("phyle-a"), two_contributors());
    let terms = commons.terms(&payer, "phyle-a", 100_000);
    let (digest, _) = offered(&mut payer, &terms);
    let reject = payer.state_stage(digest, v1::Stage::Accepted).unwrap_err();
    assert_eq!(reject.code, Code::AgreementStageWrong);
}

#[test]
fn an_income_is_taken_once_whoever_relays_it() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    let second = payer.earn(2, 100_000);
    let skipped = commons.take(&payer, second, agreement).unwrap_err();
    assert_eq!(skipped.code, Code::NumberOutOfOrder, "number 1 is not taken yet");
    let take = vec![income_take(&payer, first, agreement)];
    commons.say("ana", take).unwrap();
    // Again, by another relay, under the same and under a newer checkpoint.
    commons.refused("ben", vec![income_take(&payer, first, agreement)], Code::NumberOutOfOrder);
    payer.earn(3, 100_000);
    let again = commons.take(&payer, first, agreement).unwrap_err();
    assert_eq!(again.code, Code::NumberOutOfOrder);
    assert!(again.detail.contains("from this very entry"), "{again}");
    assert_eq!((commons.state.incomes.len(), commons.accrued("ana")), (1, 5_000));
    commons.take(&payer, second, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 10_000);
}

/// What the other side needs is found without reading the log.
#[test]
fn a_book_knows_what_was_stated_where_numbers_came_from_and_what_has_arrived() {
    let (mut payer, mut commons, agreement) = agreed();
    let kept = |world: &World| world.state.agreements[&agreement].clone();
    let stated = kept(&commons).stated.unwrap();
    assert_eq!(kept(&payer).stated.map(|entry| entry < payer.state.size), Some(true));
    commons.state_stage(agreement, v1::Stage::Accepted).unwrap();
    assert_eq!(kept(&commons).stated, Some(stated), "the first is the one");
    assert_eq!((kept(&commons).taken_from(), kept(&payer).taken_from()), (None, None));
    let due = payer.earn(1, 100_000);
    commons.take(&payer, due, agreement).unwrap();
    assert_eq!(kept(&commons).taken_from(), Some(due));
    // The payer bears the fee: so much less is settled, and all of it has arrived.
    let fee = Some(v1::Fee { minor: 150, bearer: "phyle-a".into() });
    let received = v1::SettlementReceived {
        agreement: agreement.to_vec(),
        minor: 10_000,
        bank: "bank:1".into(),
        item: vec![],
        fee,
    };
    commons.say("sam", vec![Kind::SettlementReceived(received)]).unwrap();
    let a = kept(&commons);
    assert_eq!((a.arrived, a.cash, a.settled), (10_000, 9_850, 9_850));
}

#[test]
fn a_second_story_under_one_number_freezes_the_agreement() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut other = payer.twin();
    let told_here = payer.earn(1, 100_000);
    let told_there = other.earn(1, 40_000);
    commons.take(&payer, told_here, agreement).unwrap();
    let accrued = commons.accrued("ana");
    let seen = commons.take(&other, told_there, agreement).unwrap();
    let a = &commons.state.agreements[&agreement];
    assert_eq!(a.frozen, Some(seen), "the entry that showed it");
    assert_eq!((commons.accrued("ana"), commons.postings.len()), (accrued, 0), "no money moved");
    // Both stories are in this log, each under its operator's signature.
    let evidence = [seen - 1, seen].map(|n| commons.entries[usize::try_from(n).unwrap()].1.clone());
    for story in [payer.prove(told_here).envelope, other.prove(told_there).envelope] {
        let kept = evidence.iter().any(|e| e.windows(story.len()).any(|w| w == story));
        assert!(kept, "the envelope lies in the commons' own log");
    }
    let next = payer.earn(2, 100_000);
    commons.refused("clerk", vec![income_take(&payer, next, agreement)], Code::AgreementFrozen);
    // Cash for what was owed before is still cash.
    commons.settle(agreement, 10_000).unwrap();
    assert_eq!(commons.payable("ana"), 5_000);
}

#[test]
fn a_payer_cannot_lie_about_a_due_not_even_with_its_operator() {
    let (mut payer, mut commons, agreement) = agreed();
    let truth = payer.revenue(1, 100_000);
    let lies: [fn(&mut v1::RevenueRecord); 4] = [
        |r| r.due[0].amount = 9_999,
        |r| r.due[0].amount = 10_001,
        |r| r.due[0].number = 2,
        |r| r.due.clear(),
    ];
    for lie in lies {
        let mut record = truth.clone();
        lie(&mut record);
        payer.refused("sam", vec![Kind::RevenueRecord(record)], Code::DueMismatch);
    }
    for (lie, code) in lies.into_iter().zip([
        Code::DueMismatch,
        Code::DueMismatch,
        Code::NumberOutOfOrder,
        Code::ProofIrrelevant,
    ]) {
        let mut record = truth.clone();
        lie(&mut record);
        let entry = payer.forge("sam", vec![Kind::RevenueRecord(record)]);
        commons.refused("clerk", vec![income_take(&payer, entry, agreement)], code);
    }
}

/// An operator that keeps two ledgers under one key puts what was said in one of them
/// into the tree of the other.
#[test]
fn what_was_said_to_another_ledger_proves_nothing() {
    let (mut payer, mut commons, agreement) = agreed();
    let other = World::phyle("phyle-b").state.ledger;
    let (ledger, record) = (payer.state.ledger, payer.revenue(1, 100_000));
    payer.state.ledger = other;
    let entry = payer.forge("sam", vec![Kind::RevenueRecord(record)]);
    payer.state.ledger = ledger;
    let take = vec![income_take(&payer, entry, agreement)];
    let reject = commons.refused("clerk", take, Code::ProofInvalid);
    assert!(reject.detail.contains("the leaf belongs to another ledger"), "{reject}");
    // With a leaf that says otherwise: the author's signature names the ledger.
    let mut twin = agreed().0;
    let entry = twin.forge_envelope(payer.entries.last().unwrap().1.clone());
    let take = vec![income_take(&twin, entry, agreement)];
    let reject = commons.refused("clerk", take, Code::ProofInvalid);
    assert!(reject.detail.contains("signed for another ledger"), "{reject}");
}

#[test]
fn a_forged_reversal_takes_back_no_more_than_the_rules_give() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    commons.take(&payer, first, agreement).unwrap();
    let reverse = |invoice: u64, net: u64, tax: u64, amount: u64| v1::RevenueReverse {
        invoice: Some(v1::Invoice { series: "inv".into(), number: invoice, line: 0 }),
        net,
        tax,
        cause: v1::Cause::Refund as i32,
        note: vec![],
        due: vec![v1::Due { agreement: agreement.to_vec(), number: 2, amount }],
    };
    for (what, reversal, code) in [
        ("more than the share", reverse(1, 50_000, 0, 5_001), Code::DueMismatch),
        ("more than the base", reverse(1, 100_001, 0, 10_000), Code::DueMismatch),
        ("an invoice of nothing", reverse(9, 50_000, 0, 5_000), Code::ProofIrrelevant),
        ("tax only, of a net share", reverse(1, 0, 50_000, 0), Code::ProofIrrelevant),
    ] {
        let entry = payer.forge("sam", vec![Kind::RevenueReverse(reversal)]);
        let reject = commons.refusal("clerk", vec![income_take(&payer, entry, agreement)]);
        assert_eq!(reject.code, code, "{what}: {reject}");
    }
    let told = payer.forge("sam", vec![Kind::RevenueReverse(reverse(1, 50_000, 0, 5_000))]);
    commons.take(&payer, told, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 2_500);
}

#[test]
fn only_revenue_with_the_product_tag_falls_due() {
    let (mut payer, mut commons, agreement) = agreed_on(|t| t.product = "app".into());
    for (number, product, expected) in [(1, "", None), (2, "book", None), (3, "app", Some(10_000))]
    {
        let r = revenue(&payer, number, 100_000, 0, product);
        assert_eq!(due(&r, agreement), expected, "{product:?}");
        let entry = record(&mut payer, r);
        assert_eq!(commons.take(&payer, entry, agreement).is_ok(), expected.is_some());
    }
    // A payer who takes another product's money for it: the commons sees the tag.
    let mut forged = revenue(&payer, 4, 100_000, 0, "app");
    forged.product = "book".into();
    let entry = payer.forge("sam", vec![Kind::RevenueRecord(forged.clone())]);
    commons.refused("clerk", vec![income_take(&payer, entry, agreement)], Code::ProofIrrelevant);
    forged.product = "app".into();
    forged.currency = "USD".into();
    let entry = payer.forge("sam", vec![Kind::RevenueRecord(forged)]);
    commons.refused("clerk", vec![income_take(&payer, entry, agreement)], Code::ProofIrrelevant);
}

#[test]
fn one_revenue_under_two_agreements_of_net_and_of_gross() {
    let (mut payer, mut commons, net) = agreed();
    let terms = commons.terms(&payer, "phyle-a", 100_000);
    let gross =
        agree(&mut payer, &mut commons, v1::Terms { base: v1::Base::Gross as i32, ..terms });
    let r = revenue(&payer, 1, 100_000, 20_000, "");
    assert_eq!((due(&r, net), due(&r, gross)), (Some(10_000), Some(12_000)));
    let entry = record(&mut payer, r);
    // One entry, taken once for each agreement, in either order.
    commons.take(&payer, entry, gross).unwrap();
    commons.take(&payer, entry, net).unwrap();
    assert_eq!(commons.accrued("ana"), 11_000);
    let again = commons.take(&payer, entry, gross).unwrap_err();
    assert_eq!(again.code, Code::NumberOutOfOrder);
    // The tax alone is refunded: no share of the net is touched.
    let id = subak_ledger::book::event::InvoiceId { series: handle("inv"), number: 1, line: 0 };
    let due = payer.state.dues_of_reversal(&id, 0, 20_000);
    assert_eq!(due.iter().map(|d| d.amount).collect::<Vec<_>>(), [2_000]);
    let back = v1::RevenueReverse {
        invoice: Some(v1::Invoice { series: "inv".into(), number: 1, line: 0 }),
        tax: 20_000,
        cause: v1::Cause::CreditNote as i32,
        due,
        ..Default::default()
    };
    let entry = payer.say("sam", vec![Kind::RevenueReverse(back)]).unwrap();
    let none = commons.take(&payer, entry, net).unwrap_err();
    assert_eq!(none.code, Code::ProofIrrelevant);
    commons.take(&payer, entry, gross).unwrap();
    assert_eq!(commons.accrued("ana"), 10_000);
}

#[test]
fn an_agreement_ends_after_its_notice_and_not_before() {
    let (mut payer, mut commons, agreement) = agreed();
    let end = || Kind::AgreementEnd(v1::AgreementEnd { agreement: agreement.to_vec() });
    payer.decree(end()).unwrap();
    assert_eq!(payer.refused_decree(end()).code, Code::AgreementStageWrong, "once");
    payer.now += 30 * DAY_MS - 1;
    assert_eq!(payer.revenue(1, 100_000).due.len(), 1, "the last millisecond of notice");
    let last = payer.earn(1, 100_000);
    payer.now += 1;
    assert_eq!(payer.revenue(2, 100_000).due, []);
    let free = payer.earn(2, 100_000);
    commons.take(&payer, last, agreement).unwrap();
    assert_eq!(commons.take(&payer, free, agreement).unwrap_err().code, Code::ProofIrrelevant);
    // What fell due is still taken back, and still paid.
    let back = payer.refund(1, 50_000);
    commons.take(&payer, back, agreement).unwrap();
    let (agreement, bank) = (agreement.to_vec(), "bank:1".into());
    let sent = v1::SettlementSent { agreement, minor: 5_000, bank, ..Default::default() };
    payer.say("sam", vec![Kind::SettlementSent(sent)]).unwrap();
    assert_eq!(commons.accrued("ana"), 2_500);
}

#[test]
fn both_ledgers_count_the_same_cents() {
    let (mut payer, mut commons, agreement) = agreed();
    for number in 1..=30 {
        let entry = payer.earn(number, 7);
        commons.take(&payer, entry, agreement).unwrap();
    }
    let taken: u64 = commons.state.incomes.iter().map(|i| i.amount).sum();
    assert_eq!(taken, 21, "a tenth of 30 times 7 cents, though a tenth of 7 is none");
    assert!(commons.state.incomes.iter().any(|i| i.amount == 0));
}

#[test]
fn a_statement_with_dues_is_small_enough_to_be_proven_elsewhere() {
    let mut plain = World::phyle("phyle-b");
    let (mut payer, _, agreement) = agreed();
    let invoices = |payer: &World| -> Vec<Kind> {
        let one = |n: u64| {
            let mut r = payer.revenue(n, 10);
            r.note = vec![1; 32];
            for d in &mut r.due {
                d.number = n;
                d.amount = 1;
            }
            Kind::RevenueRecord(r)
        };
        (1..=700).map(one).collect()
    };
    // 700 invoices fit where nobody else has to see them, and not where shares fall due.
    let free = invoices(&plain);
    plain.say("sam", free).unwrap();
    let reject = payer.refusal("sam", invoices(&payer.twin()));
    assert_eq!(reject.code, Code::TooLarge, "{reject}");
    let half: Vec<Kind> = invoices(&payer).into_iter().take(350).collect();
    payer.say("sam", half).unwrap();
    assert_eq!(payer.state.agreements[&agreement].dues.last, 350);
}
