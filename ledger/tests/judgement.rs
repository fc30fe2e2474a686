//! What a maintainer's signature stands for, and what others can do about it: nobody
//! answers for what they have not seen, nobody keeps somebody from claiming their own
//! work, and what is taken back is given back everywhere.
#![allow(clippy::unwrap_used)]

mod kit;

use kit::*;
use subak_ledger::reject::Code;
use subak_proto::v1::{self, event::Kind};

fn attest(place: v1::Ref, paid: v1::Remuneration) -> Kind {
    let span = vec![v1::Span { first: Some(place), last: Some(place) }];
    Kind::Validate(v1::Validate { span, remuneration: paid as i32, quantity: vec![] })
}

fn claim(reference: &str, parts: &[(&str, u64)]) -> Kind {
    let part =
        |(agent, quantity): &(&str, u64)| v1::Part { agent: (*agent).into(), quantity: *quantity };
    Kind::Contribute(v1::Contribute {
        reference: reference.into(),
        kind: "commit".into(),
        stream: v1::Stream::Love as i32,
        worked_on: 20_000,
        part: parts.iter().map(part).collect(),
        evidence: vec![],
    })
}

#[test]
fn a_plain_validation_never_confirms_another_maintainers_number() {
    let mut world = with_two(for_everybody(2, 0));
    let place = world.contribute("ana", "commit", 2_000);
    world.say("mia", vec![requantify(place, "ana", 1_000_000_000)]).unwrap();
    world.validate("sam", place).unwrap();
    assert_eq!(points(&world, "ana"), 0, "mia and sam say different things");
    world.validate("mia", place).unwrap();
    assert_eq!(points(&world, "ana"), 2_000, "now both say what was claimed");
    // What stands is what a plain validation confirms, whatever is proposed meanwhile.
    world.say("mia", vec![requantify(place, "ana", 9_000)]).unwrap();
    world.refused("sam", vec![attest(place, v1::Remuneration::Unpaid)], Code::AlreadyValidated);
    assert_eq!(points(&world, "ana"), 2_000);
    world.say("sam", vec![requantify(place, "ana", 9_000)]).unwrap();
    assert_eq!(points(&world, "ana"), 9_000, "both have signed for the number");
}

#[test]
fn under_an_equation_that_asks_for_fewer_a_word_given_before_can_be_given_again() {
    let mut world = with_two(for_everybody(2, 0));
    let place = world.contribute("ana", "commit", 2_000);
    world.validate("sam", place).unwrap();
    world.refused("sam", vec![attest(place, v1::Remuneration::Unpaid)], Code::AlreadyValidated);
    let equation = v1::Equation { version: 2, ..for_everybody(1, 0) };
    let adopt = v1::EquationAdopt { equation: Some(equation) };
    world.decree(Kind::EquationAdopt(adopt)).unwrap();
    world.days(1);
    assert_eq!(points(&world, "ana"), 0);
    world.validate("sam", place).unwrap();
    assert_eq!(points(&world, "ana"), 2_000);
}

#[test]
fn naming_somebody_does_not_keep_them_from_claiming() {
    let mut world = with_two(for_everybody(1, 0));
    world.say("ben", vec![claim("git:1", &[("ben", 1), ("ana", 1_000)])]).unwrap();
    let again = vec![claim("git:1", &[("ben", 1)])];
    world.refused("ben", again, Code::DuplicateClaim);
    let entry = world.say("ana", vec![claim("git:1", &[("ana", 5_000)])]).unwrap();
    world.validate("sam", v1::Ref { entry, event: 0 }).unwrap();
    assert_eq!((points(&world, "ana"), points(&world, "ben")), (5_000, 0));
    // A maintainer speaks for everybody: what an import claims is claimed once.
    world.say("sam", vec![claim("git:2", &[("ben", 1), ("ana", 1)])]).unwrap();
    world.refused("ana", vec![claim("git:2", &[("ana", 1)])], Code::DuplicateClaim);
}

#[test]
fn points_that_are_rejected_make_room_for_others() {
    let mut world = with_two(for_everybody(1, 0));
    let places: Vec<_> =
        (0..9).map(|_| world.contribute("ana", "hours", 1_000_000_000_000)).collect();
    for place in &places[..8] {
        world.validate("sam", *place).unwrap();
    }
    let ninth = vec![attest(places[8], v1::Remuneration::Unpaid)];
    world.refused("sam", ninth.clone(), Code::LimitExceeded);
    let reason = v1::RejectReason::NotDone as i32;
    let reject = v1::RejectContribution { contribution: Some(places[0]), reason };
    world.say("sam", vec![Kind::RejectContribution(reject)]).unwrap();
    world.say("sam", ninth).unwrap();
    assert_eq!(world.state.points, 16_000_000_000_000);
}

#[test]
fn work_attested_as_unpaid_late_waits_where_only_unpaid_work_counts() {
    let unpaid = v1::Contributors { weight: vec![1], unpaid_only: true, ..Default::default() };
    let mut equation = for_everybody(1, 10);
    equation.bucket[0].share = 500_000;
    equation.bucket.push(v1::Bucket {
        name: "volunteers".into(),
        share: 500_000,
        to: Some(v1::bucket::To::Contributors(unpaid)),
    });
    let mut world = with_two(equation);
    let (love, paid) =
        (world.contribute("ana", "commit", 1_000), world.contribute("ben", "commit", 3_000));
    world.validate("sam", love).unwrap();
    world.say("sam", vec![attest(paid, v1::Remuneration::Paid)]).unwrap();
    world.days(10);
    // The day before an income somebody calls paid work unpaid: it counts as before, and
    // among the volunteers only ten days later.
    world.say("sam", vec![attest(paid, v1::Remuneration::Unpaid)]).unwrap();
    world.gift(8_000);
    assert_eq!((world.accrued("ana"), world.accrued("ben")), (1_000 + 4_000, 3_000));
    world.days(10);
    world.gift(8_000);
    assert_eq!(world.accrued("ana"), 5_000 + 1_000 + 1_000);
    assert_eq!(world.accrued("ben"), 3_000 + 3_000 + 3_000);
    // What is called paid leaves them at once.
    world.say("sam", vec![attest(paid, v1::Remuneration::Paid)]).unwrap();
    world.gift(8_000);
    assert_eq!(world.accrued("ana"), 7_000 + 1_000 + 4_000);
    assert_eq!(world.state.check(), Vec::<String>::new());
}

#[test]
fn a_steward_who_lost_the_role_approves_anew() {
    let mut world =
        World::open(genesis(v1::AgentKind::Commons, "quorate", 2, Some(for_everybody(1, 0))));
    let digest = |world: &World, entry: u64| -> Vec<u8> {
        let envelope = &world.entries[usize::try_from(entry).unwrap()].1;
        let body = &envelope[..envelope.len() - 96];
        subak_ledger::log::statement::body_digest(body).to_vec()
    };
    let approve = |world: &World, entry: u64| {
        vec![Kind::Approve(v1::Approve { entry, digest: digest(world, entry) })]
    };
    let through = |world: &mut World, by: [&str; 2], event: Kind| {
        let event = vec![encode(event)];
        let entry = world.say(by[0], vec![Kind::Propose(v1::Propose { event })]).unwrap();
        let second = approve(world, entry);
        world.say(by[1], second).unwrap();
    };
    let opening = approve(&world, 0);
    world.say("mia", opening).unwrap();
    world.add_person("ana");
    let steward = v1::Role::Steward as i32;
    let grant = |agent: &str| Kind::RoleGrant(v1::RoleGrant { agent: agent.into(), role: steward });
    let revoke = Kind::RoleRevoke(v1::RoleRevoke { agent: "mia".into(), role: steward });
    through(&mut world, ["sam", "mia"], grant("ana"));
    let event = vec![encode(grant("clerk"))];
    let open = world.say("mia", vec![Kind::Propose(v1::Propose { event })]).unwrap();
    through(&mut world, ["sam", "ana"], revoke);
    through(&mut world, ["sam", "ana"], grant("mia"));
    assert_eq!(world.state.proposals[&open].approvals, []);
    // Hers counts again only when she gives it again; the quorum is still to be had.
    let again = approve(&world, open);
    world.say("mia", again.clone()).unwrap();
    world.refused("mia", again.clone(), Code::AlreadyApproved);
    world.refused("ana", again, Code::WrongAgentKind); // it completes the quorum and runs
}

#[test]
fn who_is_refused_makes_room_and_may_be_admitted_after_all() {
    let mut world = with_two(for_everybody(1, 0));
    let join = |name: &str| {
        let join = Kind::AgentJoin(v1::AgentJoin::default());
        vec![join, claim(&format!("git:{name}"), &[(name, 1_000)])]
    };
    let entry = world.say("new", join("new")).unwrap();
    let place = v1::Ref { entry, event: 1 };
    assert_eq!(world.state.waiting, (1, 2));
    let refuse = v1::AgentRefuse { agent: vec!["new".into()] };
    world.say("mia", vec![Kind::AgentRefuse(refuse)]).unwrap();
    assert_eq!(world.state.waiting, (0, 0));
    let range = v1::Span { first: Some(v1::Ref::default()), last: Some(place) };
    let remuneration = v1::Remuneration::Unpaid as i32;
    let routine = v1::Validate { span: vec![range], remuneration, quantity: vec![] };
    world.refused("sam", vec![Kind::Validate(routine)], Code::NothingToValidate);
    let admit = v1::AgentAdmit { agent: "new".into() };
    world.say("mia", vec![Kind::AgentAdmit(admit)]).unwrap();
    world.validate("sam", place).unwrap();
    world.say("new", vec![claim("git:more", &[("new", 1)])]).unwrap();
    assert_eq!((world.state.waiting, points(&world, "new")), ((0, 0), 1_000));
}

/// Else a rival's withdrawal would let the same commit be claimed, and paid, again.
#[test]
fn a_rival_who_withdraws_does_not_free_what_is_validated() {
    let mut world = with_two(for_everybody(1, 0));
    let first = |entry| v1::Ref { entry, event: 0 };
    let ana = first(world.say("ana", vec![claim("git:1", &[("ana", 1_000)])]).unwrap());
    let ben = first(world.say("ben", vec![claim("git:1", &[("ben", 1_000)])]).unwrap());
    world.say("sam", vec![attest(ana, v1::Remuneration::Unpaid)]).unwrap();
    let reason = v1::RejectReason::Withdrawn as i32;
    let withdraw = v1::RejectContribution { contribution: Some(ben), reason };
    world.say("ben", vec![Kind::RejectContribution(withdraw)]).unwrap();
    world.refused("ben", vec![claim("git:1", &[("ben", 1_000)])], Code::ReferenceTaken);
}
