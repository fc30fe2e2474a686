//! Attack by attack: each is mounted, and the audit names it. None is called sound, and the honest
//! log beside it is.
//!
//! ```text
//! attack                                           where it is mounted
//! rewritten, reordered, dropped, inserted,
//!   truncated entries, without the operator's key  audit_forgery
//! backdated entries: time that goes back           audit_forgery
//! backdated, against a witness's clock             here
//! chain and tree rebuilt with the operator's key   here; tests/audit_memory, tests/fraud
//! two histories shown to two readers               here; fraud
//! a database restored from backup                  here; node/tests/{head_file,submit}
//! a statement of another ledger, of a fork, too late   here
//! weak, torsioned, non-canonical keys, signatures  here, with published vectors; log/key
//! a stolen author's key                            keys, freeze, audit_forgery
//! a stolen operator's key, a handover that nobody
//!   wants or that changes the past                 handover; tests/operator
//! a balance root that lies                         here; state_root
//! a witness's word on another history              here
//! two stories told to a commons, the refused one
//!   relayed again, a decision that is not theirs   stories; tests/two_stories
//! a receipt, bundle, checkpoint, fraud proof, two
//!   stories with each byte flipped                 receipts, bundle, log/checkpoint, fraud, stories
//! ```
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use std::slice::from_ref;
use subak_ledger::book::types::DAY_MS;
use subak_ledger::{
    audit::{Audit, Code, Options, Seen, Verdict, audit, contradict},
    log::{
        self, Checkpoint, Draft, Frontier, LedgerId, PublicKey, SecretKey,
        checkpoint::verifier_key,
        cosignature::{CosignerKey, cosign},
        policy::Policy,
        tree,
    },
    reject,
    store::{MemoryStore, Store as _},
};
use subak_proto::v1::{self, event::Kind};

/// The small ledger that the attacks are on: sound.
fn honest() -> World {
    let mut world = with_two(for_everybody(1, 0));
    for n in 0..6 {
        world.contribute("ana", "commit", 1_000 + n);
    }
    world
}

/// Its log with one more entry that no node would have taken, signed for by the operator.
fn with_entry(world: &World, at: u64, envelope: Vec<u8>) -> RawLog {
    let mut log = RawLog::of(world, vec![]);
    let mut leaf = log.entries.last().unwrap().0.clone();
    leaf[73..81].copy_from_slice(&at.to_be_bytes());
    log.entries.push((leaf, envelope));
    log.rehash();
    log.sign(world);
    log
}

#[track_caller]
fn names(found: &Audit, code: Code) {
    assert_eq!(found.verdict, Verdict::Fault, "{:#?}", found.findings);
    assert!(found.findings.iter().any(|f| f.code == code), "{code:?}: {:#?}", found.findings);
}

#[track_caller]
fn names_rule(found: &Audit, code: reject::Code) {
    assert_eq!(found.verdict, Verdict::Fault);
    let rules: Vec<_> = found.findings.iter().filter_map(|f| f.rule).collect();
    assert_eq!(rules, [code], "{:#?}", found.findings);
}

fn seen(world: &World) -> Seen {
    let log = RawLog::of(world, vec![]);
    let mut frontier = Frontier::default();
    for (leaf, _) in &log.entries {
        frontier.push(tree::leaf_hash(leaf));
    }
    Seen {
        head: Checkpoint {
            ledger: world.state.ledger,
            size: frontier.size(),
            root: frontier.root(),
        },
        operator: world.operator.public(),
        former: vec![],
        name: "our-commons".into(),
        sandbox: true,
    }
}

fn audit_after(seen: &Seen, log: &RawLog) -> Audit {
    let options = Options { threads: 2, seen: from_ref(seen), ..Options::default() };
    audit(&in_memory(from_ref(log)), &options).unwrap()
}

#[test]
fn the_honest_log_is_sound() {
    let world = honest();
    let log = RawLog::of(&world, vec![]);
    assert_eq!(audit_logs(from_ref(&log)).verdict, Verdict::Sound);
    assert_eq!(audit_after(&seen(&world), &log).verdict, Verdict::Sound);
}

/// With the key everything can be made to fit: only who has looked before knows.
#[test]
fn what_an_operator_rebuilds_is_seen_by_whoever_looked_before() {
    let before = honest();
    let mut rebuilt = with_two(for_everybody(1, 0));
    while rebuilt.state.size < before.state.size + 3 {
        rebuilt.contribute("ana", "commit", 9_000);
    }
    let log = RawLog::of(&rebuilt, vec![]);
    assert_eq!(audit_logs(from_ref(&log)).verdict, Verdict::Sound, "alone it is as good as any");
    names(&audit_after(&seen(&before), &log), Code::RewrittenSinceSeen);
    // Each reader was shown one, signed: together they have the operator.
    let one = audit_logs(&[RawLog::of(&before, vec![])]);
    let other = audit_after(&seen(&before), &log);
    let another_size = Options {
        sizes: [(before.state.ledger, [before.state.size].into())].into(),
        ..Options::default()
    };
    let other_at = audit(&in_memory(from_ref(&log)), &another_size).unwrap();
    assert!(contradict(&one.ledgers[0], &other_at.ledgers[0]), "{other:?}");
    assert!(!contradict(&one.ledgers[0], &one.ledgers[0]));
}

#[test]
fn a_database_that_was_put_back_is_older_than_what_was_seen() {
    let mut world = honest();
    let old = RawLog::of(&world, vec![]);
    world.contribute("ana", "commit", 7);
    assert_eq!(audit_logs(from_ref(&old)).verdict, Verdict::Sound);
    names(&audit_after(&seen(&world), &old), Code::OlderThanSeen);
}

#[test]
fn a_statement_of_another_ledger_of_a_fork_or_too_late_breaks_a_rule() {
    let world = honest();
    let at = world.now;
    // What ana said in the phyle's ledger.
    let mut elsewhere = World::phyle("phyle-a");
    elsewhere.now = at;
    let header = elsewhere.header("sam");
    let event = encode(Kind::AgentAdmit(v1::AgentAdmit { agent: "ana".into() }));
    let foreign = Draft { header, events: vec![event] }.sign(&elsewhere.secret("sam"));
    names_rule(&audit_logs(&[with_entry(&world, at, foreign)]), reject::Code::WrongLedger);
    // What she said on another branch of this one.
    let mut fork = honest();
    fork.contribute("ana", "commit", 5);
    let mut header = fork.header("ana");
    header.expires_at = at + DAY_MS;
    let event = encode(Kind::Contribute(v1::Contribute {
        reference: "git:fork".into(),
        kind: "commit".into(),
        stream: v1::Stream::Love as i32,
        worked_on: fork.today(),
        part: vec![v1::Part { agent: "ana".into(), quantity: 1_000 }],
        evidence: vec![],
    }));
    let forked = Draft { header, events: vec![event.clone()] }.sign(&fork.secret("ana"));
    names_rule(&audit_logs(&[with_entry(&world, at, forked)]), reject::Code::BasisOffChain);
    // What she let expire.
    let mut late = honest();
    let mut header = late.header("ana");
    header.expires_at = at - 1;
    let expired = Draft { header, events: vec![event] }.sign(&late.secret("ana"));
    names_rule(&audit_logs(&[with_entry(&world, at, expired)]), reject::Code::Expired);
}

/// `ed25519-speccheck` (Chalkias, Garillot, Nikolaenko: Taming the many EdDSAs): key and signature of
/// each case on which implementations differ. Here none of them is a signature of anybody.
const SPECCHECK: [(&str, &str, &str); 10] = [
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
    ),
    (
        "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
    ),
    (
        "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
    ),
];

#[test]
fn no_published_edge_case_is_a_signature() {
    let mut admitted = 0;
    for (message, public, signature) in SPECCHECK {
        let [message, public, signature] =
            [message, public, signature].map(|text| hex::decode(text).unwrap());
        let Ok(key) = PublicKey::admit(&public[..].try_into().unwrap()) else { continue };
        admitted += 1;
        assert!(!key.verify(&message, &signature[..].try_into().unwrap()), "{public:02x?}");
    }
    assert_eq!(admitted, 2, "the others are weak or have torsion");
}

/// An operator who records them all the same: each is named where it stands.
#[test]
fn false_keys_and_signatures_are_named_where_they_stand() {
    let world = honest();
    let last = world.state.size;
    let mut author = honest();
    let header = author.header("ana");
    let event = encode(Kind::AgentAdmit(v1::AgentAdmit { agent: "ana".into() }));
    let signed = Draft { header, events: vec![event] }.sign(&author.secret("ana"));
    let body = signed.len() - 96;
    let put = |key: &[u8], signature: &[u8]| {
        let envelope = [&signed[..body], key, signature].concat();
        audit_logs(&[with_entry(&world, world.now, envelope)])
    };
    for (_, public, signature) in SPECCHECK {
        let found = put(&hex::decode(public).unwrap(), &hex::decode(signature).unwrap());
        names(&found, Code::Statement);
        assert!(found.findings.iter().any(|f| f.entry == Some(last)));
    }
    // The identity signs anything for a lenient verifier.
    let mut identity = [0; 32];
    identity[0] = 1;
    names(&put(&identity, &[&identity[..], &[0; 32]].concat()), Code::Statement);
    // The same signature with another S: the order of the group added.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut malleable = signed[body + 32..].to_vec();
    let mut carry = 0;
    for (byte, add) in malleable[32..].iter_mut().zip(order.unwrap()) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    names(&put(&signed[body..body + 32], &malleable), Code::Statement);
}

#[test]
fn a_balance_root_that_lies_breaks_a_rule() {
    let world = honest();
    let mut clerk = honest();
    let header = clerk.header("clerk");
    let event = encode(Kind::StateRoot(v1::StateRoot { root: vec![7; 32], leaves: 1 }));
    let lie = Draft { header, events: vec![event] }.sign(&clerk.secret("clerk"));
    let found = audit_logs(&[with_entry(&world, world.now, lie)]);
    names_rule(&found, reject::Code::StateRootFalse);
}

const WITNESS: &str = "witness.example/w1";

fn witness() -> SecretKey {
    SecretKey::from_seed(&[44; 32])
}

fn trust(world: &World, ledger: LedgerId) -> Policy {
    let log = verifier_key(&ledger, &world.operator.public());
    let witness = CosignerKey::new(WITNESS, witness().public()).unwrap();
    Policy::parse(&format!("log {log}\nwitness W1 {witness}\nquorum W1\n")).unwrap()
}

/// The log with a head of `of` that the witness has signed at `seconds`.
fn audit_witnessed(log: &RawLog, of: &World, size: usize, seconds: u64) -> Audit {
    let mut store: MemoryStore = in_memory(from_ref(log));
    let mut frontier = Frontier::default();
    for (leaf, _) in &RawLog::of(of, vec![]).entries[..size] {
        frontier.push(tree::leaf_hash(leaf));
    }
    let ledger = log::LedgerId(log.id);
    let head = Checkpoint { ledger, size: frontier.size(), root: frontier.root() };
    let line = cosign(WITNESS, &head.body(), seconds, &witness()).unwrap();
    store.keep_witnessed(&log.id, &(head.sign(&of.operator) + &line)).unwrap();
    let policy = trust(of, ledger);
    audit(&store, &Options { threads: 2, policy: Some(&policy), ..Options::default() }).unwrap()
}

#[test]
fn a_witnesss_word_is_told_and_asked_for() {
    let world = honest();
    let log = RawLog::of(&world, vec![]);
    let size = log.entries.len();
    let found = audit_witnessed(&log, &world, size, world.now / 1_000 + 5);
    assert_eq!(found.verdict, Verdict::Sound, "{:#?}", found.findings);
    let witnessed = found.ledgers[0].witnessed.clone().unwrap();
    assert_eq!(witnessed.size, size as u64);
    assert_eq!(witnessed.by, [("W1".to_owned(), world.now / 1_000 + 5)]);
    // What comes after its head is the operator's word alone: there may be two such tails.
    let tail = audit_witnessed(&log, &world, size - 2, world.now / 1_000 + 5);
    assert_eq!(tail.verdict, Verdict::Gap);
    let gap = tail.findings.iter().find(|f| f.code == Code::Unwitnessed).unwrap();
    assert_eq!(gap.entry, Some(size as u64 - 2));
    // Without its word the log cannot be judged as the trust file asks.
    let policy = trust(&world, world.state.ledger);
    let options = Options { policy: Some(&policy), ..Options::default() };
    let without = audit(&in_memory(from_ref(&log)), &options).unwrap();
    assert_eq!(without.verdict, Verdict::Gap);
    assert!(without.findings.iter().any(|f| f.code == Code::Unwitnessed));
}

#[test]
fn a_witnesss_word_on_another_history_is_a_fault() {
    let world = honest();
    let mut other = with_two(for_everybody(1, 0));
    while other.state.size < world.state.size {
        other.contribute("ana", "commit", 9_000);
    }
    let log = RawLog::of(&other, vec![]);
    let size = log.entries.len();
    names(&audit_witnessed(&log, &world, size, world.now / 1_000), Code::WitnessedHead);
}

/// A clock ahead when an entry is recorded, and one set back afterwards: dates decide which points
/// an income meets.
#[test]
fn dates_that_a_witnesss_clock_contradicts_are_told() {
    let mut world = honest();
    let early = world.now;
    world.days(2);
    world.contribute("ana", "commit", 3);
    let log = RawLog::of(&world, vec![]);
    let size = log.entries.len();
    let told = |size: usize, at: u64| {
        let found = audit_witnessed(&log, &world, size, at / 1_000);
        // One clock against another proves nothing: no fault.
        assert!(found.verdict < Verdict::Fault, "{:#?}", found.findings);
        let of = |code| found.findings.iter().find(|f| f.code == code).map(|f| f.entry);
        (of(Code::ClockAhead), of(Code::ClockBehind))
    };
    let last = size as u64 - 1;
    assert_eq!(told(size, world.now), (None, None));
    assert_eq!(told(size, early), (Some(Some(last)), None), "signed two days before its date");
    assert_eq!(told(size - 1, early + 1_000), (None, None));
    let later = world.now + DAY_MS;
    assert_eq!(
        told(size - 1, later),
        (None, Some(Some(last))),
        "not there yet a day after its date"
    );
}
