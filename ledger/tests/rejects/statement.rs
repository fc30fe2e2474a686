//! Refusals of the statement itself, of its author, and of genesis and quorum.

use super::{Row, row};
use crate::kit::*;
use subak_ledger::{
    book::two_stories::TwoStories,
    log::{
        Basis, Checkpoint, Draft, Leaf, LedgerId, cosignature::CosignerKey, fraud::FraudProof,
        note::Note, policy::Policy, receipt::Receipt, statement::MAX_ENVELOPE,
        statement::MAX_LIFETIME_MS, tree,
    },
    reject::{Code, Reject},
};
use subak_proto::v1::{self, event::Kind};

/// A commons of two stewards whose quorum is both.
pub fn two_of_two() -> v1::Genesis {
    let equation = equation(1, &[("contributors", 1_000_000, None, &[1])]);
    genesis(v1::AgentKind::Commons, "our-commons", 2, Some(equation))
}

/// That commons, open.
pub fn quorum_of_two() -> World {
    let mut world = World::open(two_of_two());
    let digest = world.state.root().digest.to_vec();
    world.say("mia", vec![Kind::Approve(v1::Approve { entry: 0, digest })]).unwrap();
    world
}

pub fn grant(agent: &str, role: v1::Role) -> Kind {
    Kind::RoleGrant(v1::RoleGrant { agent: agent.into(), role: role as i32 })
}

pub fn propose(event: Kind) -> Kind {
    Kind::Propose(v1::Propose { event: vec![encode(event)] })
}

fn withdraw(entry: u64) -> Kind {
    Kind::Withdraw(v1::Withdraw { entry })
}

fn approve(entry: u64, digest: [u8; 32]) -> Kind {
    Kind::Approve(v1::Approve { entry, digest: digest.to_vec() })
}

fn state_root(root: [u8; 32], leaves: u64) -> Kind {
    Kind::StateRoot(v1::StateRoot { root: root.to_vec(), leaves })
}

/// A sound draft by sam; `alter` makes it otherwise before it is signed.
fn altered(alter: fn(&mut Draft)) -> Reject {
    let mut world = two_contributors();
    let mut draft = Draft { header: world.header("sam"), events: vec![encode(withdraw(7))] };
    alter(&mut draft);
    let size = world.state.size;
    let reject = world.append(draft.sign(&key("sam"))).unwrap_err();
    assert_eq!(world.state.size, size);
    reject
}

/// An envelope of sam's that was sound until `tamper`.
fn tampered(tamper: fn(&mut Vec<u8>)) -> Reject {
    let mut world = two_contributors();
    let draft = Draft { header: world.header("sam"), events: vec![encode(withdraw(7))] };
    let mut envelope = draft.sign(&key("sam"));
    tamper(&mut envelope);
    world.append(envelope).unwrap_err()
}

pub const ROWS: &[Row] = &[
    row(Code::Malformed, "an event that is no event", "event", || {
        altered(|d| d.events.push(vec![0xff]))
    }),
    row(Code::Malformed, "the same event in a second spelling", "byte", || {
        altered(|d| d.events[0].extend([0xa0, 6, 1]))
    }),
    row(Code::Malformed, "a time after the year 9999", "expires_at", || {
        altered(|d| d.header.expires_at = 253_402_300_800_000)
    }),
    row(Code::TooLarge, "one byte too many", "262145", || {
        tampered(|e| e.resize(MAX_ENVELOPE + 1, 0))
    }),
    row(Code::TooManyEvents, "no event", "found 0", || altered(|d| d.events.clear())),
    row(Code::BadKey, "a key that signs anything", "small order", || {
        tampered(|e| {
            let key = e.len() - 96;
            e[key..key + 32].fill(0);
        })
    }),
    row(Code::BadSignature, "one bit of the body", "does not verify", || tampered(|e| e[40] ^= 1)),
    row(Code::WrongLedger, "a statement for another ledger", "0101", || {
        altered(|d| d.header.ledger = LedgerId([1; 32]))
    }),
    row(Code::Expired, "a millisecond late", "1767225599999", || {
        altered(|d| d.header.expires_at = START - 1)
    }),
    row(Code::ExpiresTooLate, "a millisecond over 30 days", "expected at most", || {
        altered(|d| d.header.expires_at = START + MAX_LIFETIME_MS + 1)
    }),
    row(Code::Replayed, "the same envelope again", "body", || {
        let mut world = two_contributors();
        let envelope = world.entries.last().unwrap().1.clone();
        world.append(envelope).unwrap_err()
    }),
    row(Code::BasisOffChain, "a history that this ledger never had", "basis of 2 entries", || {
        altered(|d| d.header.basis = Some(Basis { size: 2, chain: [9; 32] }))
    }),
    row(Code::BasisOffChain, "a history that is still to come", "basis of 99 entries", || {
        altered(|d| d.header.basis = Some(Basis { size: 99, chain: [9; 32] }))
    }),
    row(Code::BadLeaf, "a leaf cut short", "113", || {
        Leaf::from_bytes(&two_contributors().entries[1].0[..112]).unwrap_err()
    }),
    row(Code::BadProof, "a proof of another entry", "inclusion of leaf 1", || {
        let world = two_contributors();
        let path: Vec<_> =
            world.prove(2).path.iter().map(|h| h.as_slice().try_into().unwrap()).collect();
        let (leaf, size) = (tree::leaf_hash(&world.entries[1].0), world.frontier.size());
        tree::verify_inclusion(1, size, &world.frontier.root(), &leaf, &path).unwrap_err()
    }),
    row(Code::BadNote, "a checkpoint without its signature", "note", || {
        let note = two_contributors().checkpoint();
        Note::parse(note.split("\n\n").next().unwrap()).unwrap_err()
    }),
    row(Code::BadCheckpoint, "a checkpoint of another operator", "expected one signature", || {
        let world = two_contributors();
        let other = key("operator of nobody").public();
        Checkpoint::open(&world.checkpoint(), world.state.ledger, &other).unwrap_err()
    }),
    row(Code::BadFraudProof, "a checkpoint for a fraud proof", "expected its lines", || {
        FraudProof::parse(&two_contributors().checkpoint()).unwrap_err()
    }),
    row(Code::BadEvidence, "a checkpoint for two stories", "expected its lines", || {
        TwoStories::parse(&two_contributors().checkpoint()).unwrap_err()
    }),
    row(Code::BadReceipt, "a checkpoint for a receipt", "first line", || {
        let text = format!("\n\n{}", two_contributors().checkpoint());
        Receipt::parse(&text).unwrap_err()
    }),
    row(Code::BadPolicy, "a trust file without a quorum", "expected one line `quorum", || {
        Policy::parse("# nobody\n").unwrap_err()
    }),
    row(Code::Unwitnessed, "a checkpoint that no witness has signed", "found none", || {
        let witness = CosignerKey::new("witness.example", key("witness").public()).unwrap();
        let policy = Policy::parse(&format!("witness w {witness}\nquorum w\n")).unwrap();
        policy.witnessed(&two_contributors().checkpoint()).unwrap_err()
    }),
    row(Code::UnknownAuthor, "a stranger", "nobody", || {
        two_contributors().refusal("nobody", vec![withdraw(7)])
    }),
    row(Code::KeyNotOfAuthor, "mia's name under sam's key", "mia", || {
        let mut world = two_contributors();
        world.keys.insert("mia".into(), key("sam").seed());
        world.refusal("mia", vec![withdraw(7)])
    }),
    row(Code::ClerkMayNot, "the clerk proposes", "Withdraw", || {
        two_contributors().refusal("clerk", vec![withdraw(7)])
    }),
    row(Code::NotOpen, "one of two stewards has approved", "1 of 2", || {
        World::open(two_of_two()).refusal("sam", vec![withdraw(7)])
    }),
    row(Code::WrongLedgerKind, "work in a phyle's ledger", "phyle", || {
        let mut phyle = World::phyle("phyle-a");
        phyle.refusal("sam", vec![Kind::Contribute(contribution("sam"))])
    }),
    row(Code::WrongLedgerKind, "a proposal that belongs elsewhere", "WriteOff", || {
        let off = Kind::WriteOff(v1::WriteOff { income: vec![1] });
        World::phyle("phyle-a").refused_decree(off)
    }),
    row(Code::RoleRequired, "a contributor withdraws", "steward, ana is not", || {
        two_contributors().refusal("ana", vec![withdraw(7)])
    }),
    row(Code::RoleRequired, "a steward states what everybody has", "clerk, sam is not", || {
        two_contributors().refusal("sam", vec![state_root([0; 32], 2)])
    }),
    row(Code::WrongLedgerKind, "a state root in a phyle's ledger", "phyle", || {
        World::phyle("phyle-a").refusal("clerk", vec![state_root([0; 32], 0)])
    }),
    row(Code::StateRootFalse, "a root of something else", "0909 over 2", || {
        two_contributors().refusal("clerk", vec![state_root([9; 32], 2)])
    }),
    row(Code::StateRootFalse, "the root with another number of leaves", "over 3", || {
        let mut world = two_contributors();
        let (root, leaves) = subak_ledger::book::state_root::root(&world.state);
        world.refusal("clerk", vec![state_root(root, leaves + 1)])
    }),
    row(Code::StateRootMisplaced, "two in one statement", "no other event", || {
        let mut world = two_contributors();
        let (root, leaves) = subak_ledger::book::state_root::root(&world.state);
        world.refusal("clerk", vec![state_root(root, leaves), state_root(root, leaves)])
    }),
    row(Code::RulesVersion, "rules that skip one", "expected 2, found 3", || {
        let rules = Kind::RulesVersion(v1::RulesVersion { version: 3 });
        two_contributors().refused_decree(rules)
    }),
    row(Code::RulesUnknown, "rules of a later program", "knows those up to 1", || {
        let rules = Kind::RulesVersion(v1::RulesVersion { version: 2 });
        two_contributors().refused_decree(rules)
    }),
    row(Code::NotProposable, "a state root before the stewards", "StateRoot", || {
        two_contributors().refused_decree(state_root([0; 32], 2))
    }),
    row(Code::QuorumRequired, "a steward alone grants", "RoleGrant", || {
        two_contributors().refusal("sam", vec![grant("ana", v1::Role::Maintainer)])
    }),
    row(Code::NotProposable, "a proposal of what needs none", "Withdraw", || {
        two_contributors().refused_decree(withdraw(7))
    }),
    row(Code::NotProposable, "a proposal within a proposal", "within", || {
        two_contributors().refused_decree(propose(grant("ana", v1::Role::Maintainer)))
    }),
    row(Code::GenesisMisplaced, "a second genesis", "has one", || {
        two_contributors().refusal("sam", vec![Kind::Genesis(two_of_two())])
    }),
    row(Code::GenesisMisplaced, "a genesis with company", "alone", || {
        let mut world = World::open(two_of_two());
        world.state = subak_ledger::book::state::State::default();
        world.refusal("sam", vec![Kind::Genesis(two_of_two()), withdraw(7)])
    }),
    row(Code::GenesisInvalid, "three of two stewards", "quorum", || {
        World::refused_genesis(v1::Genesis { quorum: 3, ..two_of_two() })
    }),
    row(Code::GenesisInvalid, "an agent with the operator's key", "operator", || {
        let mut genesis = two_of_two();
        genesis.agent[0].key.clone_from(&genesis.operator_key);
        World::refused_genesis(genesis)
    }),
    row(Code::UnknownProposal, "an entry that proposes nothing", "entry 1", || {
        two_contributors().refusal("sam", vec![approve(1, [1; 32])])
    }),
    row(Code::UnknownProposal, "a genesis that is open already", "genesis", || {
        let mut world = two_contributors();
        let digest = world.state.root().digest;
        world.refusal("mia", vec![approve(0, digest)])
    }),
    row(Code::WrongDigest, "an approval of other bytes", "0505", || {
        World::open(two_of_two()).refusal("mia", vec![approve(0, [5; 32])])
    }),
    row(Code::AlreadyApproved, "the proposer approves again", "entry", || {
        let mut world = quorum_of_two();
        let entry = world.say("sam", vec![propose(grant("mia", v1::Role::Treasurer))]);
        let entry = entry.unwrap();
        let digest = world.state.proposals[&entry].digest;
        world.refusal("sam", vec![approve(entry, digest)])
    }),
    row(Code::NotProposer, "mia withdraws sam's", "entry", || {
        let mut world = quorum_of_two();
        let entry = world.say("sam", vec![propose(grant("mia", v1::Role::Maintainer))]);
        world.refusal("mia", vec![withdraw(entry.unwrap())])
    }),
];

/// A sound claim by `agent`, of one part.
pub fn contribution(agent: &str) -> v1::Contribute {
    v1::Contribute {
        reference: "git:abc".into(),
        kind: "commit".into(),
        stream: v1::Stream::Love as i32,
        worked_on: u32::try_from(START / 86_400_000).unwrap(),
        part: vec![v1::Part { agent: agent.into(), quantity: 1_000 }],
        evidence: vec![],
    }
}
