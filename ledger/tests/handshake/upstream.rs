//! A commons pays another commons: its payout is an income there, its return a reversal.

use crate::kit::*;
use subak_ledger::{
    book::types::{DAY_MS, MAX_MONEY},
    log::Hash,
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

/// A commons `down`, a commons that it knows as `upstream`, and their agreement.
fn agreed_upstream() -> (World, World, Hash) {
    let (mut down, mut up) = (downstream("down"), two_contributors());
    up.add_institution("down", v1::AgentKind::Commons);
    let terms = up.payout_terms(&down, "down", "upstream");
    let agreement = agree(&mut down, &mut up, terms);
    (down, up, agreement)
}

#[test]
fn a_payout_is_an_income_upstream_and_a_return_takes_it_back() {
    let (mut down, mut up, agreement) = agreed_upstream();
    down.gift(100_000);
    let run = down.propose(&[("ana", 50_000), ("upstream", 10_000)]).unwrap();
    let paid = down.paid(run, &["ana", "upstream"]).unwrap();
    up.take(&down, paid, agreement).unwrap();
    assert_eq!((up.accrued("ana"), up.payable("ana")), (5_000, 0));
    up.settle(agreement, 10_000).unwrap();
    assert_eq!(up.payable("ana"), 5_000);
    let back = down.returned(run, "upstream").unwrap();
    up.take(&down, back, agreement).unwrap();
    assert_eq!((up.accrued("ana"), up.payable("ana")), (0, 0));
    assert_eq!(up.state.agreements[&agreement].credit(), 10_000, "the cash is the payer's");
    // Paid once more, the cash that is there settles it at once.
    let run = down.propose(&[("upstream", 10_000)]).unwrap();
    let paid = down.paid(run, &["upstream"]).unwrap();
    up.take(&down, paid, agreement).unwrap();
    assert_eq!((up.accrued("ana"), up.payable("ana")), (5_000, 5_000));
}

/// What a commons may take in is not less for what it has passed on.
#[test]
fn cash_that_went_upstream_is_not_counted_as_cash_that_came() {
    let (mut down, _up, _) = agreed_upstream();
    let mut phyle = World::phyle("phyle-a");
    let terms =
        v1::Terms { commons_handle: "our-commons".into(), ..down.terms(&phyle, "phyle-a", 100) };
    let agreement = agree(&mut phyle, &mut down, terms);
    down.gift(MAX_MONEY);
    let run = down.propose(&[("upstream", MAX_MONEY / 10)]).unwrap();
    down.paid(run, &["upstream"]).unwrap();
    down.settle(agreement, MAX_MONEY).unwrap();
    assert_eq!(down.state.agreements[&agreement].credit(), MAX_MONEY);
    assert_eq!(down.state.check(), Vec::<String>::new());
    assert_eq!(down.settle(agreement, 1).unwrap_err().code, Code::LimitExceeded);
}

#[test]
fn a_payout_without_an_active_agreement_is_nobodys_income() {
    let (mut down, mut up) = (downstream("down"), two_contributors());
    up.add_institution("down", v1::AgentKind::Commons);
    down.gift(100_000);
    let run = down.propose(&[("upstream", 10_000)]).unwrap();
    let paid = down.paid(run, &["upstream"]).unwrap();
    let terms = up.payout_terms(&down, "down", "upstream");
    let agreement = agree(&mut down, &mut up, terms);
    up.refused("clerk", vec![income_take(&down, paid, agreement)], Code::ProofIrrelevant);
    // Nor is the return of what never was.
    let back = down.returned(run, "upstream").unwrap();
    up.refused("clerk", vec![income_take(&down, back, agreement)], Code::ProofIrrelevant);
}

#[test]
fn a_payer_states_its_payouts_as_they_are() {
    let (mut down, _, agreement) = agreed_upstream();
    down.gift(100_000);
    let run = down.propose(&[("ana", 50_000), ("upstream", 10_000)]).unwrap();
    let due = |amount| vec![v1::Due { agreement: agreement.to_vec(), number: 1, amount }];
    let paid = |agents: &[&str], due| {
        let agent = agents.iter().map(ToString::to_string).collect();
        Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank: "bank:1".into(), fee: None, due })
    };
    for lie in [
        paid(&["ana", "upstream"], due(9_999)),
        paid(&["ana", "upstream"], vec![]),
        paid(&["ana"], due(10_000)),
    ] {
        down.refused("sam", vec![lie], Code::DueMismatch);
    }
    down.say("sam", vec![paid(&["ana", "upstream"], due(10_000))]).unwrap();
    let part = v1::PayoutReturned {
        run,
        agent: "upstream".into(),
        reason: v1::FailReason::Other as i32,
        bank: "bank:2".into(),
        due: vec![v1::Due { agreement: agreement.to_vec(), number: 2, amount: 1 }],
    };
    down.refused("sam", vec![Kind::PayoutReturned(part)], Code::DueMismatch);
}

/// A payer that lies together with its operator: whatever it signs, the commons
/// upstream refuses what the rules cannot give, and never comes to harm.
#[test]
fn a_forged_payout_of_nothing_or_return_of_a_part_is_refused() {
    let (mut down, mut up, agreement) = agreed_upstream();
    let due = |number, amount| vec![v1::Due { agreement: agreement.to_vec(), number, amount }];
    let paid = |agent: &str, run, due| {
        let (agent, bank) = (vec![agent.into()], "bank:1".into());
        Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank, fee: None, due })
    };
    let back = |agent: &str, run, due| {
        let (agent, bank, reason) = (agent.into(), "bank:2".into(), 1);
        Kind::PayoutReturned(v1::PayoutReturned { run, agent, reason, bank, due })
    };
    let refused = |down: &mut World, up: &mut World, event, code| {
        let entry = down.forge("sam", vec![event]);
        up.refused("clerk", vec![income_take(down, entry, agreement)], code);
    };
    refused(&mut down, &mut up, paid("upstream", 5, due(1, 0)), Code::DueMismatch);
    refused(&mut down, &mut up, paid("upstream", 5, due(1, u64::MAX)), Code::DueMismatch);
    refused(&mut down, &mut up, paid("ana", 5, due(1, 700)), Code::ProofIrrelevant);
    refused(&mut down, &mut up, back("upstream", 5, due(1, 700)), Code::ProofIrrelevant);
    let told = down.forge("sam", vec![paid("upstream", 5, due(1, 700))]);
    up.take(&down, told, agreement).unwrap();
    refused(&mut down, &mut up, paid("upstream", 5, due(2, 700)), Code::ProofIrrelevant);
    for amount in [0, 1, 699, 701] {
        refused(&mut down, &mut up, back("upstream", 5, due(2, amount)), Code::DueMismatch);
    }
    refused(&mut down, &mut up, back("ana", 5, due(2, 700)), Code::ProofIrrelevant);
    let told = down.forge("sam", vec![back("upstream", 5, due(2, 700))]);
    up.take(&down, told, agreement).unwrap();
    assert_eq!(up.accrued("ana"), 0);
    refused(&mut down, &mut up, back("upstream", 5, due(3, 700)), Code::DueMismatch);
}

#[test]
fn one_active_agreement_for_each_upstream_commons() {
    let (mut down, mut up, _) = agreed_upstream();
    let terms = v1::Terms { random: vec![8; 16], ..up.payout_terms(&down, "down", "upstream") };
    let digest = subak_ledger::book::event::terms_digest(&terms).unwrap();
    let offer = v1::AgreementOffer { terms: Some(terms.clone()) };
    down.decree(Kind::AgreementOffer(offer)).unwrap();
    let offered = down.state_stage(digest, v1::Stage::Offered).unwrap();
    let proof = Some(down.prove(offered));
    up.decree(Kind::AgreementAccept(v1::AgreementAccept { terms: Some(terms), proof })).unwrap();
    let accepted = up.state_stage(digest, v1::Stage::Accepted).unwrap();
    let (agreement, proof) = (digest.to_vec(), Some(up.prove(accepted)));
    let active = Kind::AgreementActive(v1::AgreementActive { agreement, proof });
    down.refused("clerk", vec![active], Code::AgreementKnown);
}

/// A commons in the middle: the one it pays and the one that pays it know it and are
/// known to it by the same handle, and their runs have the same number.
#[test]
fn a_return_never_touches_the_agreement_that_pays_this_commons() {
    for random in 0..8 {
        let (mut low, mut middle, mut high) =
            (downstream("low"), downstream("middle"), two_contributors());
        middle.add_institution("low", v1::AgentKind::Commons);
        high.add_institution("middle", v1::AgentKind::Commons);
        let mut terms = middle.payout_terms(&low, "low", "upstream");
        terms.random = vec![random; 16];
        let below = agree(&mut low, &mut middle, terms);
        let terms = high.payout_terms(&middle, "middle", "upstream");
        let above = agree(&mut middle, &mut high, terms);
        low.gift(100_000);
        middle.gift(100_000);
        // Entries that mean nothing, until the runs have one number, and room for one take.
        while low.state.size < middle.state.size + 3 {
            low.state_stage(below, v1::Stage::Offered).unwrap();
        }
        let run = low.propose(&[("upstream", 10_000)]).unwrap();
        let paid = low.paid(run, &["upstream"]).unwrap();
        middle.take(&low, paid, below).unwrap();
        while middle.state.size < run {
            middle.state_stage(above, v1::Stage::Offered).unwrap();
        }
        assert_eq!(middle.propose(&[("upstream", 10_000)]).unwrap(), run);
        let paid = middle.paid(run, &["upstream"]).unwrap();
        high.take(&middle, paid, above).unwrap();
        let back = middle.returned(run, "upstream").unwrap();
        high.take(&middle, back, above).unwrap();
        assert_eq!(high.accrued("ana"), 0);
        assert_eq!(middle.state.agreements[&below].dues.last, 1, "nothing came back from below");
    }
}

#[test]
fn an_ended_agreement_makes_later_payouts_private_again() {
    let (mut down, mut up, agreement) = agreed_upstream();
    down.gift(100_000);
    let first = down.propose(&[("upstream", 4_000)]).unwrap();
    let paid = down.paid(first, &["upstream"]).unwrap();
    up.take(&down, paid, agreement).unwrap();
    let end = v1::AgreementEnd { agreement: agreement.to_vec() };
    down.decree(Kind::AgreementEnd(end)).unwrap();
    down.now += 30 * DAY_MS;
    let second = down.propose(&[("upstream", 6_000)]).unwrap();
    down.paid(second, &["upstream"]).unwrap();
    assert_eq!(down.state.agreements[&agreement].dues.last, 1);
    // What was a number while it lasted still comes back as one.
    let back = down.returned(first, "upstream").unwrap();
    up.take(&down, back, agreement).unwrap();
    assert_eq!(up.accrued("ana"), 0);
}
