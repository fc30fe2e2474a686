//! Whoever knows the formats, holds some of the keys and hashes everything anew.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use subak_ledger::{
    audit::{Audit, Code, Finding, Options, Severity, Verdict, audit, operators},
    log::{Basis, Draft},
    reject,
};
use subak_proto::v1::{self, event::Kind};

fn found(audit: &Audit) -> Vec<(Code, Option<u64>)> {
    let worse = audit.findings.iter().filter(|f| f.severity > Severity::Warning);
    worse.map(|f| (f.code, f.entry)).collect()
}

fn rule(audit: &Audit) -> Option<&Finding> {
    audit.findings.iter().find(|f| f.code == Code::Rule)
}

/// The commons' log, with what `change` does to its entries, hashed anew.
fn rewritten(change: impl FnOnce(&mut RawLog)) -> (World, RawLog) {
    let cycle = cycle();
    let mut log = cycle.logs()[0].clone();
    change(&mut log);
    log.rehash();
    (cycle.commons, log)
}

#[test]
fn without_the_operator_a_rewrite_fails_at_the_checkpoint() {
    let changes: [fn(&mut RawLog); 5] = [
        |log| drop(log.entries.remove(9)),
        |log| log.entries.swap(7, 8),
        |log| log.entries.insert(9, log.entries[8].clone()),
        |log| log.entries.truncate(20),
        |log| log.entries[9].1 = log.entries[12].1.clone(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let (_, log) = rewritten(change);
        let result = audit_logs(&[log]);
        assert_eq!(result.verdict, Verdict::Fault, "change {n}");
        assert!(found(&result).iter().any(|f| f.0 == Code::CheckpointHead), "{n}: {result:#?}");
    }
}

#[test]
fn a_tail_cut_off_is_named_where_it_is_missing() {
    let (_, log) = rewritten(|log| log.entries.truncate(20));
    assert_eq!(found(&audit_logs(&[log])), [(Code::CheckpointHead, Some(20))]);
}

/// A valid prefix, checkpoint and all, is a sound ledger: only who saw a later head
/// knows better. Written down so that nobody expects it of the audit alone.
#[test]
fn an_old_state_of_the_whole_ledger_is_sound_in_itself() {
    let (world, mut log) = rewritten(|log| log.entries.truncate(20));
    log.sign(&world);
    log.disclosures.clear();
    assert_eq!(audit_logs(&[log]).verdict, Verdict::Sound);
}

#[test]
fn the_operator_cannot_alter_what_an_author_signed() {
    let (world, mut log) = rewritten(|log| log.entries[9].1[40] ^= 1);
    log.sign(&world);
    let result = audit_logs(&[log]);
    assert_eq!(found(&result), [(Code::Statement, Some(9))]);
    let commons = &result.ledgers[0];
    assert_eq!(commons.stopped_book_at, Some(9));
    assert_eq!(commons.checkpoint_size, Some(world.state.size));
    let finding = &result.findings[0];
    assert_eq!(finding.rule, Some(reject::Code::BadSignature));
    assert!(finding.message.contains("entry 9") && finding.message.contains("next: "));
}

#[test]
fn the_log_layers_go_on_after_the_book_has_stopped() {
    let (world, mut log) = rewritten(|log| {
        for seq in [9, 15, 30] {
            log.entries[seq].1[40] ^= 1;
        }
    });
    log.sign(&world);
    let expected = [9, 15, 30].map(|seq| (Code::Statement, Some(seq)));
    assert_eq!(found(&audit_logs(&[log])), expected);
}

#[test]
fn an_entry_for_another_of_the_same_author_is_the_leafs_to_refuse() {
    let cycle = cycle();
    let [mut log, phyle] = cycle.logs();
    // sam's signature holds on it, and the rules would admit it: it is just not this one.
    log.entries[9].1 = log.entries[12].1.clone();
    assert!(verifies(&log.entries[9].1));
    let result = audit_logs(&[log, phyle]);
    assert_eq!(found(&result), [(Code::EnvelopeDigest, Some(9))]);
}

/// The commons' honest log and then one entry that no node would have admitted, signed
/// by author and operator alike.
fn colluding(author: &str, events: impl FnOnce(&World) -> Vec<Kind>) -> Audit {
    let mut cycle = cycle();
    let events = events(&cycle.commons).into_iter().map(encode).collect();
    let header = cycle.commons.header(author);
    let envelope = Draft { header, events }.sign(&cycle.commons.secret(author));
    colluding_with(&cycle, envelope)
}

fn colluding_with(cycle: &Cycle, envelope: Vec<u8>) -> Audit {
    let [mut log, phyle] = cycle.logs();
    let leaf = log.entries.last().unwrap().0.clone();
    log.entries.push((leaf, envelope));
    log.rehash();
    log.sign(&cycle.commons);
    audit_logs(&[log, phyle])
}

fn require_rule(result: &Audit, code: reject::Code) {
    let size = result.ledgers[0].size;
    let finding = rule(result).unwrap_or_else(|| panic!("no rule: {:#?}", result.findings));
    assert_eq!((finding.rule, finding.entry), (Some(code), Some(size - 1)), "{finding:?}");
    assert!(finding.message.contains(code.name()), "{}", finding.message);
    assert_eq!(result.verdict, Verdict::Fault);
    assert_eq!(result.ledgers[0].stopped_book_at, Some(size - 1));
    assert_eq!(found(result).len(), 1, "and nothing else: {:#?}", result.findings);
}

#[test]
fn author_and_operator_together_cannot_break_a_rule_unnoticed() {
    let pay = |handle: &str, minor: u64| {
        let agent = handle.into();
        move |world: &World| {
            vec![Kind::PayoutPropose(v1::PayoutPropose {
                currency: EUR.into(),
                line: vec![v1::PayoutLine { agent, minor }],
                expires_at: world.now + 1_000_000,
                cash_of: String::new(),
            })]
        }
    };
    require_rule(&colluding("sam", pay("ana", 50_000_000)), reject::Code::Unpayable);
    require_rule(&colluding("sam", pay("trust", 1)), reject::Code::PrincipalStays);
    require_rule(&colluding("ben", pay("ben", 1)), reject::Code::RoleRequired);
    let alone = |_: &World| vec![Kind::WriteOff(v1::WriteOff { income: vec![2] })];
    require_rule(&colluding("sam", alone), reject::Code::QuorumRequired);
    let paid = |world: &World| {
        let run = *world.state.runs.keys().next_back().unwrap();
        let due = vec![v1::Due { agreement: vec![1; 32], number: 1, amount: 5 }];
        let bank = "bank:colluding".into();
        let agent = vec!["ana".into()];
        vec![Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank, fee: None, due })]
    };
    require_rule(&colluding("sam", paid), reject::Code::DueMismatch);
    let sum = |_: &World| {
        let mut equation = equation(3, &[("all", 999_999, None, &[1])]);
        equation.validators = 1;
        let event = v1::EquationAdopt { equation: Some(equation) };
        vec![Kind::Propose(v1::Propose { event: vec![encode(Kind::EquationAdopt(event))] })]
    };
    require_rule(&colluding("sam", sum), reject::Code::EquationInvalid);
}

#[test]
fn a_key_of_somebody_else_is_a_rule_broken() {
    let mut cycle = cycle();
    let header = cycle.commons.header("sam");
    let join = encode(Kind::AgentAdmit(v1::AgentAdmit { agent: "ben".into() }));
    let envelope = Draft { header, events: vec![join] }.sign(&key("mia"));
    require_rule(&colluding_with(&cycle, envelope), reject::Code::KeyNotOfAuthor);
}

/// A stolen key, revoked: what it signed before stands, and what an operator lets it sign
/// afterwards is named.
#[test]
fn a_key_that_signs_after_its_revocation_is_a_rule_broken() {
    let mut cycle = cycle();
    let claim = |reference: &str| {
        let part = vec![v1::Part { agent: "ana".into(), quantity: 9_000 }];
        let reference = reference.into();
        Kind::Contribute(v1::Contribute {
            reference,
            kind: "commit".into(),
            stream: v1::Stream::Love as i32,
            worked_on: 0,
            part,
            evidence: vec![],
        })
    };
    let since = cycle.commons.now;
    cycle.commons.say("ana", vec![claim("git:stolen")]).unwrap();
    cycle.commons.say("ana", vec![key_revoke("ana", since)]).unwrap();
    assert_eq!(audit_logs(&cycle.logs()).verdict, Verdict::Sound);
    let header = cycle.commons.header("ana");
    let late = Draft { header, events: vec![encode(claim("git:late"))] }.sign(&key("ana"));
    require_rule(&colluding_with(&cycle, late), reject::Code::KeyRevoked);
}

#[test]
fn a_statement_recorded_twice_is_a_rule_broken() {
    let cycle = cycle();
    let again = cycle.commons.entries.last().unwrap().1.clone();
    require_rule(&colluding_with(&cycle, again), reject::Code::Replayed);
}

#[test]
fn a_history_that_the_author_never_saw_is_a_rule_broken() {
    let mut cycle = cycle();
    let mut header = cycle.commons.header("sam");
    header.basis = Some(Basis { size: 3, chain: [9; 32] });
    let event = encode(Kind::AgentAdmit(v1::AgentAdmit { agent: "ben".into() }));
    let envelope = Draft { header, events: vec![event] }.sign(&key("sam"));
    require_rule(&colluding_with(&cycle, envelope), reject::Code::BasisOffChain);
}

#[test]
fn time_that_goes_back_is_a_fault_at_its_entry() {
    let cycle = cycle();
    let [mut log, phyle] = cycle.logs();
    let early = (START - 1).to_be_bytes();
    log.entries[9].0[73..81].copy_from_slice(&early);
    log.rehash();
    log.sign(&cycle.commons);
    assert_eq!(found(&audit_logs(&[log, phyle])), [(Code::TimeBack, Some(9))]);
}

/// An event of a later version: no rule is known to be broken, and none known to hold.
#[test]
fn what_this_program_does_not_know_is_a_gap() {
    let unknown = vec![0x9a, 0x06, 0x00]; // field 99, no bytes
    let nested = encode(Kind::Propose(v1::Propose { event: vec![unknown.clone()] }));
    for event in [unknown, nested] {
        let mut cycle = cycle();
        let header = cycle.commons.header("sam");
        let envelope = Draft { header, events: vec![event] }.sign(&key("sam"));
        let result = colluding_with(&cycle, envelope);
        let last = result.ledgers[0].size - 1;
        assert_eq!(found(&result), [(Code::UnknownEvent, Some(last))]);
        assert_eq!(result.verdict, Verdict::Gap);
        assert_eq!(result.ledgers[0].stopped_book_at, Some(last));
        assert_eq!(result.ledgers[0].checkpoint_size, Some(last + 1));
    }
}

/// The stewards adopt rules of a later version: neither can be judged by these.
#[test]
fn rules_that_this_program_does_not_know_are_a_gap() {
    let mut world = two_contributors();
    let rules = encode(Kind::RulesVersion(v1::RulesVersion { version: 2 }));
    let header = world.header("sam");
    let propose = encode(Kind::Propose(v1::Propose { event: vec![rules] }));
    let envelope = Draft { header, events: vec![propose] }.sign(&key("sam"));
    let mut log = RawLog::of(&world, vec![]);
    let leaf = log.entries.last().unwrap().0.clone();
    log.entries.push((leaf, envelope));
    log.rehash();
    log.sign(&world);
    let result = audit_logs(&[log]);
    let last = result.ledgers[0].size - 1;
    assert_eq!(result.verdict, Verdict::Gap, "{:#?}", result.findings);
    assert!(found(&result).contains(&(Code::UnknownRules, Some(last))));
    assert_eq!(result.ledgers[0].stopped_book_at, Some(last));
    assert_eq!(result.ledgers[0].checkpoint_size, Some(last + 1), "the log is judged to its end");
}

#[test]
fn entries_that_no_checkpoint_covers_are_a_gap() {
    let cycle = cycle();
    let [mut log, phyle] = cycle.logs();
    let all = log.entries.clone();
    log.entries.truncate(30);
    log.sign(&cycle.commons);
    log.entries = all;
    let result = audit_logs(&[log, phyle]);
    assert_eq!(found(&result), [(Code::CheckpointBehind, Some(30))]);
    assert_eq!(result.verdict, Verdict::Gap);
}

#[test]
fn an_operator_is_authenticated_only_if_expected() {
    let cycle = cycle();
    let store = in_memory(&cycle.logs()[1..]);
    let with = |keys: Vec<_>| {
        let options = Options { expect_operator: keys, ..Options::default() };
        audit(&store, &options).unwrap()
    };
    let right = with(vec![cycle.phyle.operator.public()]);
    assert_eq!(right.verdict, Verdict::Sound);
    assert!(right.ledgers[0].operator_authenticated);
    assert!(!with(vec![]).ledgers[0].operator_authenticated);
    let wrong = with(vec![key("somebody").public()]);
    let missing = (Code::OperatorMissing, None);
    assert_eq!(found(&wrong), [missing, (Code::OperatorUnexpected, Some(0))]);
    let more = with(vec![key("somebody").public(), cycle.phyle.operator.public()]);
    assert_eq!(found(&more), [missing], "each of them is expected, not any of them");
}

/// Somebody opens a ledger under the operator key of another one: each is sound by itself.
#[test]
fn an_operator_key_that_two_ledgers_name_is_a_fault() {
    let first = World::phyle("phyle-a");
    let operator = first.operator.public();
    let mut genesis = genesis(v1::AgentKind::Phyle, "phyle-b", 1, None);
    genesis.operator_key = operator.bytes().to_vec();
    let mut second = World::open(genesis);
    second.operator = key("operator of phyle-a");
    let logs = [RawLog::of(&first, vec![]), RawLog::of(&second, vec![])];
    let options =
        || Options { threads: 1, expect_operator: vec![operator.clone()], ..Options::default() };
    for (log, what) in logs.iter().zip(["the first", "the second"]) {
        let alone = audit(&in_memory(std::slice::from_ref(log)), &options()).unwrap();
        assert_eq!(alone.verdict, Verdict::Sound, "{what}");
    }
    let both = in_memory(&logs);
    for expected in [options(), Options { expect_operator: vec![], ..options() }] {
        let result = audit(&both, &expected).unwrap();
        assert_eq!(found(&result), [(Code::OperatorShared, None)]);
        let told = &result.findings[0].message;
        let ids = [first.state.ledger, second.state.ledger];
        assert!(ids.iter().all(|id| told.contains(&id.to_string())), "{told}");
        assert_eq!(result.verdict, Verdict::Fault);
    }
    // In two stores it is seen by whoever audits both; a copy of a ledger is no other ledger.
    let several = Options { several_stores: true, ..options() };
    let reports = audit(&both, &several).unwrap().ledgers;
    let shared = operators(&reports, std::slice::from_ref(&operator));
    assert_eq!(shared.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::OperatorShared]);
    assert_eq!(operators([&reports[0], &reports[0]], &[operator]), vec![]);
}

/// The payer's operator shows the commons one log and everybody else another.
#[test]
fn income_that_the_payers_log_does_not_hold_is_a_fault_where_it_was_taken() {
    let shown = cycle();
    let (mut commons, mut other) =
        (World::commons(equation(1, &[("all", 1_000_000, None, &[1])])), World::phyle("phyle-a"));
    let terms = commons.terms(&other, "phyle-a", 100_000);
    let agreement = agree(&mut other, &mut commons, terms);
    let before = other.entries.len();
    let entry = other.earn(1, 100_000);
    let taken = commons.take(&other, entry, agreement).unwrap();
    // The same log up to the invoice, and then a smaller invoice under its number.
    let mut told = RawLog::of(&other, vec![]);
    let mut header = other.header("sam");
    header.created_at += 1;
    let smaller = Kind::RevenueRecord(v1::RevenueRecord {
        invoice: Some(v1::Invoice { series: "inv".into(), number: 1, line: 0 }),
        currency: EUR.into(),
        net: 10_000,
        due: vec![v1::Due { agreement: agreement.to_vec(), number: 1, amount: 1_000 }],
        ..Default::default()
    });
    told.entries[before].1 = Draft { header, events: vec![encode(smaller)] }.sign(&key("sam"));
    told.rehash();
    told.sign(&other);
    let result = audit_logs(&[RawLog::of(&commons, vec![]), told]);
    assert!(found(&result).contains(&(Code::IncomeUnmatched, Some(taken))), "{result:#?}");
    assert_eq!(audit_logs(&shown.logs()).verdict, Verdict::Sound, "the control");
}

#[test]
fn what_is_not_taken_yet_is_told_and_a_stale_copy_is_a_gap() {
    let mut cycle = cycle();
    cycle.phyle.earn(4, 50_000);
    let result = audit_logs(&cycle.logs());
    assert_eq!(result.verdict, Verdict::Sound);
    let told = result.findings.iter().find(|f| f.code == Code::NotTaken).unwrap();
    assert!(
        told.message.contains("1 numbers of phyle-a, from 4 on, 5000 minor units of EUR"),
        "{}",
        told.message
    );

    let [commons, mut stale] = cycle.logs();
    stale.entries.truncate(5);
    stale.sign(&cycle.phyle);
    let result = audit_logs(&[commons, stale]);
    assert_eq!(result.verdict, Verdict::Gap);
    assert!(found(&result).iter().all(|f| f.0 == Code::PayerBehind), "{result:#?}");
}

#[test]
fn cash_that_only_one_side_knows_of_is_a_warning() {
    let sent = |cycle: &mut Cycle, minor: u64| {
        let agreement = cycle.agreement.to_vec();
        let bank = "bank:sent-2".to_owned();
        let sent = v1::SettlementSent { agreement, minor, bank, item: vec![], fee: 0 };
        cycle.phyle.say("sam", vec![Kind::SettlementSent(sent)]).unwrap();
    };
    let told = |cycle: &Cycle| {
        let result = audit_logs(&cycle.logs());
        assert_eq!(result.verdict, Verdict::Sound, "cash may be on its way");
        let cash = |code| [Code::CashUnmatched, Code::CashNotSent].contains(&code);
        let warnings = result.findings.into_iter().filter(|f| cash(f.code));
        warnings.map(|f| f.message).collect::<Vec<_>>()
    };
    let mut cycle = cycle();
    let agreement = cycle.agreement;
    assert_eq!(told(&cycle), Vec::<String>::new(), "the control");
    sent(&mut cycle, 500);
    let way = "phyle-a sent 10500 minor units of EUR, 10000 minor units of EUR were received";
    assert!(told(&cycle)[0].contains(way), "{:?}", told(&cycle));
    // What the bank keeps of it is not missing: the payment is recorded whole.
    let fee = Some(v1::Fee { minor: 20, bearer: "phyle-a".into() });
    let (agreement_bytes, bank) = (agreement.to_vec(), "bank:received-2".to_owned());
    let received =
        v1::SettlementReceived { agreement: agreement_bytes, minor: 500, bank, item: vec![], fee };
    cycle.commons.say("sam", vec![Kind::SettlementReceived(received)]).unwrap();
    assert_eq!(told(&cycle), Vec::<String>::new(), "it has come");
    cycle.commons.settle(agreement, 7).unwrap();
    assert!(
        told(&cycle)[0]
            .contains("sent 10500 minor units of EUR, 10507 minor units of EUR were received")
    );
}

#[test]
fn a_gap_in_an_invoice_series_is_a_warning() {
    let mut phyle = World::phyle("phyle-a");
    phyle.earn(7, 1_000);
    phyle.earn(10, 1_000);
    phyle.earn(u64::MAX, 1_000);
    let result = audit_logs(&[RawLog::of(&phyle, vec![])]);
    assert_eq!(result.verdict, Verdict::Sound);
    let messages: Vec<_> = result.findings.iter().map(|f| f.message.as_str()).collect();
    assert!(messages[0].contains("series inv, 8 to 9"), "{messages:?}");
    assert_eq!(messages.len(), 2);
}
