//! The cycle by worked figures: what people would check with a pencil.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::reject::Code;

fn two_people() -> World {
    let mut commons = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1])]));
    commons.add_person("ana");
    commons.add_person("ben");
    for who in ["ana", "ben"] {
        let place = commons.contribute(who, "commit", 15_000);
        commons.validate("sam", place).unwrap();
    }
    commons
}

#[test]
fn a_hundred_over_thirty_points_gives_fifty_to_fifteen() {
    let mut commons = two_people();
    commons.gift(10_000);
    assert_eq!((commons.accrued("ana"), commons.accrued("ben")), (5_000, 5_000));
    assert_eq!((commons.payable("ana"), commons.payable("ben")), (5_000, 5_000));
}

#[test]
fn an_unsettled_million_pays_nobody_and_takes_nothing_from_others() {
    let mut commons = two_people();
    let mut a = World::phyle("phyle-a");
    let mut b = World::phyle("phyle-b");
    let terms = commons.terms(&a, "phyle-a", 100_000);
    let with_a = agree(&mut a, &mut commons, terms);
    let terms = commons.terms(&b, "phyle-b", 100_000);
    let with_b = agree(&mut b, &mut commons, terms);
    let entry = a.earn(1, 1_000_000_000);
    commons.take(&a, entry, with_a).unwrap();
    assert_eq!((commons.accrued("ana"), commons.payable("ana")), (50_000_000, 0));
    let entry = b.earn(1, 100_000);
    commons.take(&b, entry, with_b).unwrap();
    commons.settle(with_b, 10_000).unwrap();
    assert_eq!(commons.payable("ana"), 5_000);
    assert_eq!(commons.propose(&[("ana", 5_001)]).unwrap_err().code, Code::Unpayable);
    let run = commons.propose(&[("ana", 5_000), ("ben", 5_000)]).unwrap();
    commons.paid(run, &["ana", "ben"]).unwrap();
}

#[test]
fn a_refund_takes_nothing_from_who_came_later() {
    let mut commons = two_people();
    let mut a = World::phyle("phyle-a");
    let terms = commons.terms(&a, "phyle-a", 100_000);
    let agreement = agree(&mut a, &mut commons, terms);
    let first = a.earn(1, 100_000);
    commons.take(&a, first, agreement).unwrap();
    commons.add_person("cleo");
    let place = commons.contribute("cleo", "commit", 30_000);
    commons.validate("sam", place).unwrap();
    let second = a.earn(2, 100_000);
    commons.take(&a, second, agreement).unwrap();
    assert_eq!((commons.accrued("ana"), commons.accrued("cleo")), (7_500, 5_000));
    let back = a.refund(1, 100_000);
    commons.take(&a, back, agreement).unwrap();
    assert_eq!((commons.accrued("ana"), commons.accrued("cleo")), (2_500, 5_000));
}

#[test]
fn a_refund_after_payout_then_netted_settlement_strands_no_cash() {
    let mut commons = two_people();
    let mut a = World::phyle("phyle-a");
    let terms = commons.terms(&a, "phyle-a", 100_000);
    let agreement = agree(&mut a, &mut commons, terms);
    let first = a.earn(1, 100_000);
    commons.take(&a, first, agreement).unwrap();
    commons.settle(agreement, 10_000).unwrap();
    let run = commons.propose(&[("ana", 5_000), ("ben", 5_000)]).unwrap();
    commons.paid(run, &["ana", "ben"]).unwrap();
    let back = a.refund(1, 100_000);
    commons.take(&a, back, agreement).unwrap();
    assert_eq!(commons.accrued("ana"), 0);
    assert_eq!(commons.state.available(commons.id("ana"), currency(EUR)).1, -5_000);
    let second = a.earn(2, 300_000);
    commons.take(&a, second, agreement).unwrap();
    // 300.00 due, 100.00 of it is settled by the credit at once.
    assert_eq!(commons.payable("ana"), 5_000);
    commons.settle(agreement, 20_000).unwrap();
    assert_eq!(commons.payable("ana"), 15_000);
    let run = commons.propose(&[("ana", 10_000), ("ben", 10_000)]).unwrap();
    commons.paid(run, &["ana", "ben"]).unwrap();
    assert_eq!(commons.state.free_cash_in_all(commons.id("sam"), currency(EUR)), 0);
}

#[test]
fn a_claimant_withdraws_and_only_a_maintainer_judges() {
    use subak_proto::v1::{self, event::Kind};
    let mut commons = two_people();
    let claim = v1::Contribute {
        reference: "git:somebody-elses".into(),
        kind: "commit".into(),
        stream: v1::Stream::Love as i32,
        worked_on: commons.today(),
        part: vec![v1::Part { agent: "ana".into(), quantity: 1_000 }],
        evidence: vec![],
    };
    let entry = commons.say("ana", vec![Kind::Contribute(claim)]).unwrap();
    let end = |reason: v1::RejectReason| {
        let contribution = Some(v1::Ref { entry, event: 0 });
        let reason = reason as i32;
        vec![Kind::RejectContribution(v1::RejectContribution { contribution, reason })]
    };
    // Else a stranger could have public work look judged before its author claims it.
    commons.refused("ana", end(v1::RejectReason::NotDone), Code::RoleRequired);
    commons.say("ana", end(v1::RejectReason::Withdrawn)).unwrap();
}
