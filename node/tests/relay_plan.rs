//! What two books say is to be appended: nothing too much, nothing too little, in order.
#![allow(clippy::unwrap_used)]

#[path = "../../ledger/tests/kit/mod.rs"]
mod kit;

use kit::*;
use subak_ledger::{
    book::{agreement::Progress, event::terms_digest, types::Stage},
    log::Hash,
};
use subak_node::relay::plan::{Found, Obstacle, Plan, Step, Under, plan, unstated};
use subak_proto::v1::{self, event::Kind};

fn steps(own: &World, other: &World) -> Vec<Step> {
    let Plan { steps, obstacles } = plan(&own.state, &other.state);
    assert_eq!(obstacles, []);
    steps
}

fn to_state(own: &World) -> Vec<(Hash, Stage)> {
    unstated(&own.state).collect()
}

fn take(agreement: Hash, first: u64, last: u64, found: Found) -> Step {
    Step::Take { agreement, numbers: first..=last, found, under: Under::Newest }
}

#[test]
fn the_handshake_step_by_step() {
    let (mut payer, mut commons) = (World::phyle("phyle-a"), two_contributors());
    let terms = commons.terms(&payer, "phyle-a", 100_000);
    let agreement = terms_digest(&terms).unwrap();
    assert_eq!((steps(&payer, &commons), steps(&commons, &payer)), (vec![], vec![]));
    let offer = v1::AgreementOffer { terms: Some(terms.clone()) };
    payer.decree(Kind::AgreementOffer(offer)).unwrap();
    assert_eq!(to_state(&payer), [(agreement, Stage::Offered)]);
    assert_eq!(steps(&commons, &payer), [], "people decide on an offer");
    let offered = payer.state_stage(agreement, v1::Stage::Offered).unwrap();
    assert_eq!((steps(&payer, &commons), to_state(&payer)), (vec![], vec![]));
    let proof = Some(payer.prove(offered));
    let accept = v1::AgreementAccept { terms: Some(terms), proof };
    commons.decree(Kind::AgreementAccept(accept)).unwrap();
    assert_eq!(to_state(&commons), [(agreement, Stage::Accepted)]);
    assert_eq!(steps(&commons, &payer), []);
    assert_eq!(steps(&payer, &commons), [], "nothing proves the acceptance yet");
    let accepted = commons.state_stage(agreement, v1::Stage::Accepted).unwrap();
    assert_eq!(to_state(&commons), []);
    // Stated once more: the first is what counts.
    commons.state_stage(agreement, v1::Stage::Accepted).unwrap();
    let activate = Step::Activate { agreement, entry: accepted, under: Under::Newest };
    assert_eq!((steps(&payer, &commons), steps(&commons, &payer)), (vec![activate], vec![]));
    let active =
        v1::AgreementActive { agreement: agreement.to_vec(), proof: Some(commons.prove(accepted)) };
    payer.say("clerk", vec![Kind::AgreementActive(active)]).unwrap();
    assert_eq!((steps(&payer, &commons), steps(&commons, &payer)), (vec![], vec![]));
    assert_eq!(payer.state.agreements[&agreement].progress, Progress::Active);
}

#[test]
fn what_is_due_is_found_where_it_is() {
    let (mut payer, mut commons, agreement) = agreed();
    assert_eq!(steps(&commons, &payer), []);
    let first = payer.earn(1, 100_000);
    let second = payer.earn(2, 100_000);
    let both = Found::Entries(vec![first, second]);
    assert_eq!(steps(&commons, &payer), [take(agreement, 1, 2, both)]);
    commons.take(&payer, first, agreement).unwrap();
    assert_eq!(steps(&commons, &payer), [take(agreement, 2, 2, Found::Entries(vec![second]))]);
    // A refund in between has a number, and the book does not know its entry.
    let refund = payer.refund(1, 40_000);
    let third = payer.earn(3, 100_000);
    let known = Found::Entries(vec![second]);
    assert_eq!(steps(&commons, &payer), [take(agreement, 2, 4, known)]);
    commons.take(&payer, second, agreement).unwrap();
    let after = Found::From(second + 1);
    assert_eq!(steps(&commons, &payer), [take(agreement, 3, 4, after)]);
    commons.take(&payer, refund, agreement).unwrap();
    assert_eq!(steps(&commons, &payer), [take(agreement, 4, 4, Found::Entries(vec![third]))]);
    commons.take(&payer, third, agreement).unwrap();
    assert_eq!(steps(&commons, &payer), []);
    // An older copy of the payer's ledger gives no reason to do anything.
    assert_eq!(steps(&commons, &agreed().0), []);
}

#[test]
fn one_entry_with_several_numbers_is_one_proof() {
    let (mut payer, commons, agreement) = agreed();
    let mut twin = payer.twin();
    twin.earn(1, 100_000);
    // The second is counted on from the first, in one statement.
    let records = [payer.revenue(1, 100_000), twin.revenue(2, 50_000)];
    let both = payer.say("sam", records.map(Kind::RevenueRecord).to_vec()).unwrap();
    let found = Found::Entries(vec![both]);
    assert_eq!(steps(&commons, &payer), [take(agreement, 1, 2, found)]);
}

#[test]
fn a_payout_is_looked_for_behind_its_run() {
    let mut rice = downstream("rice");
    let mut upstream = two_contributors();
    upstream.add_institution("rice", v1::AgentKind::Commons);
    let terms = upstream.payout_terms(&rice, "rice", "upstream");
    let above = agree(&mut rice, &mut upstream, terms);
    let mut payer = World::phyle("phyle-a");
    let terms = v1::Terms {
        commons_handle: "our-commons".into(),
        ..rice.terms(&payer, "phyle-a", 100_000)
    };
    let below = agree(&mut payer, &mut rice, terms);
    let due = payer.earn(1, 1_000_000);
    rice.take(&payer, due, below).unwrap();
    rice.settle(below, 100_000).unwrap();
    assert_eq!(steps(&upstream, &rice), []);
    let run = rice.propose(&[("upstream", 10_000)]).unwrap();
    assert_eq!(steps(&upstream, &rice), [], "proposed is not paid");
    rice.gift(500);
    rice.paid(run, &["upstream"]).unwrap();
    assert_eq!(steps(&upstream, &rice), [take(above, 1, 1, Found::From(run + 1))]);
}

#[test]
fn a_frozen_agreement_waits_for_people() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut other = payer.twin();
    let (here, there) = (payer.earn(1, 100_000), other.earn(1, 40_000));
    commons.take(&payer, here, agreement).unwrap();
    let frozen = commons.take(&other, there, agreement).unwrap();
    payer.earn(2, 100_000);
    let plan = plan(&commons.state, &payer.state);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.obstacles, [(agreement, Obstacle::Frozen(frozen))]);
}

#[test]
fn another_operator_is_followed_with_consent_and_else_waits_for_the_stewards() {
    for consented in [true, false] {
        let (mut payer, commons, agreement) = agreed();
        let before = payer.earn(1, 100_000);
        let old = payer.operator.public().bytes();
        let entry =
            if consented { payer.rotate("the next") } else { payer.move_to("the next", &["sam"]) };
        let after = payer.earn(2, 100_000);
        let new = payer.operator.public().bytes();
        let Plan { steps, obstacles } = plan(&commons.state, &payer.state);
        let (ledger, numbers) = (payer.state.ledger, 1..=2);
        let found = Found::Entries(vec![before, after]);
        if consented {
            let handover = Step::Handover { ledger, entry, under: Under::Newest };
            let under = Under::Newest;
            assert_eq!(steps, [handover, Step::Take { agreement, numbers, found, under }]);
            assert_eq!(obstacles, []);
        } else {
            // What was said before can still be proven by the one who is known here.
            let under = Under::Before(entry);
            assert_eq!(steps, [Step::Take { agreement, numbers, found, under }]);
            assert_eq!(obstacles, [(agreement, Obstacle::Quorum(new))]);
        }
        // A ledger there that never had the one who is known here.
        payer.state.operators.pop_front();
        let Plan { steps, obstacles } = plan(&commons.state, &payer.state);
        assert_eq!((steps, obstacles), (vec![], vec![(agreement, Obstacle::Stranger(old))]));
    }
}
