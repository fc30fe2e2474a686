//! `proto/EVENTS.md` held to the code: events with their ledger and author, codes with
//! meaning and next step, limits with their values.

use crate::kit::{encode, equation, genesis};
use std::{collections::BTreeSet, fs, path::Path};
use subak_ledger::{
    book::{
        apply::{Where, Who, rule},
        event::Event,
        types::Role,
    },
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

const TABLE: &str = include_str!("../../../proto/EVENTS.md");
const SCHEMA: &str = include_str!("../../../proto/subak/v1/event.proto");

/// The cells of every table row in a section, without its two head lines.
fn rows(section: &str) -> Vec<Vec<&'static str>> {
    let text = TABLE.split("\n## ").find(|s| s.starts_with(section)).expect(section);
    let cells = |line: &'static str| line.trim_matches('|').split(" | ").map(str::trim).collect();
    text.lines().filter(|l| l.starts_with('|')).map(cells).collect()
}

/// One sound event of every kind.
fn samples() -> Vec<Kind> {
    let (text, hash) = (String::from("x"), vec![1; 32]);
    let place = Some(v1::Ref { entry: 1, event: 0 });
    let bank = String::from("bank:1");
    let invoice = Some(v1::Invoice { series: text.clone(), number: 1, line: 0 });
    let equation = equation(1, &[("all", 1_000_000, None, &[1])]);
    let terms = Some(v1::Terms {
        payer: hash.clone(),
        payer_operator: hash.clone(),
        commons: hash.clone(),
        commons_operator: hash.clone(),
        payer_handle: text.clone(),
        commons_handle: text.clone(),
        base: 1,
        currency: "EUR".into(),
        random: vec![1; 16],
        ..Default::default()
    });
    let proof = Some(v1::Proof::default());
    let due = vec![v1::Due { agreement: hash.clone(), number: 1, amount: 1 }];
    let nested = vec![encode(Kind::WriteOff(v1::WriteOff { income: vec![1] }))];
    vec![
        Kind::Genesis(genesis(v1::AgentKind::Commons, "x", 1, Some(equation.clone()))),
        Kind::Approve(v1::Approve { entry: 0, digest: hash.clone() }),
        Kind::Propose(v1::Propose { event: nested }),
        Kind::Withdraw(v1::Withdraw { entry: 1 }),
        Kind::AgentJoin(v1::AgentJoin::default()),
        Kind::AgentAdd(v1::AgentAdd { handle: text.clone(), kind: 1, ..Default::default() }),
        Kind::AgentAdmit(v1::AgentAdmit { agent: text.clone() }),
        Kind::AgentClaim(v1::AgentClaim { unclaimed: text.clone(), evidence: vec![] }),
        Kind::ClaimAttest(v1::ClaimAttest { unclaimed: text.clone(), claimant: text.clone() }),
        Kind::KeyAdd(v1::KeyAdd { key: hash.clone(), possession: vec![1; 64] }),
        Kind::RoleGrant(v1::RoleGrant { agent: text.clone(), role: 1 }),
        Kind::RoleRevoke(v1::RoleRevoke { agent: text.clone(), role: 1 }),
        Kind::Contribute(super::statement::contribution("x")),
        Kind::Validate(v1::Validate {
            span: vec![v1::Span { first: place, last: place }],
            remuneration: 1,
            quantity: vec![],
        }),
        Kind::Revise(v1::Revise { contribution: place, part: vec![] }),
        Kind::RejectContribution(v1::RejectContribution { contribution: place, reason: 1 }),
        Kind::EquationAdopt(v1::EquationAdopt { equation: Some(equation) }),
        Kind::HeldRelease(v1::HeldRelease { income: vec![1], bucket: text.clone() }),
        Kind::HeldFallback(v1::HeldFallback { income: 1, bucket: text.clone() }),
        Kind::AgreementOffer(v1::AgreementOffer { terms: terms.clone() }),
        Kind::AgreementAccept(v1::AgreementAccept { terms, proof: proof.clone() }),
        Kind::AgreementStage(v1::AgreementStage { agreement: hash.clone(), stage: 1 }),
        Kind::AgreementActive(v1::AgreementActive {
            agreement: hash.clone(),
            proof: proof.clone(),
        }),
        Kind::AgreementEnd(v1::AgreementEnd { agreement: hash.clone() }),
        Kind::IncomeTake(v1::IncomeTake { agreement: hash.clone(), proof: proof.clone() }),
        Kind::IncomeRecord(v1::IncomeRecord {
            payer: text.clone(),
            amount: Some(v1::Amount { currency: "EUR".into(), minor: 1 }),
            bank: bank.clone(),
            note: vec![],
        }),
        Kind::SettlementReceived(v1::SettlementReceived {
            agreement: hash.clone(),
            minor: 1,
            bank: bank.clone(),
            ..Default::default()
        }),
        Kind::WriteOff(v1::WriteOff { income: vec![1] }),
        Kind::PayoutPropose(v1::PayoutPropose {
            currency: "EUR".into(),
            line: vec![v1::PayoutLine { agent: text.clone(), minor: 1 }],
            expires_at: 1,
            cash_of: String::new(),
        }),
        Kind::PayoutPaid(v1::PayoutPaid {
            run: 1,
            agent: vec![text.clone()],
            bank: bank.clone(),
            fee: None,
            due: due.clone(),
        }),
        Kind::PayoutFailed(v1::PayoutFailed { run: 1, agent: vec![text.clone()], reason: 1 }),
        Kind::PayoutReturned(v1::PayoutReturned {
            run: 1,
            agent: text.clone(),
            reason: 1,
            bank: bank.clone(),
            due: due.clone(),
        }),
        Kind::RevenueRecord(v1::RevenueRecord {
            invoice: invoice.clone(),
            currency: "EUR".into(),
            net: 1,
            due: due.clone(),
            ..Default::default()
        }),
        Kind::InvoiceVoid(v1::InvoiceVoid { series: text, number: 1 }),
        Kind::RevenueReverse(v1::RevenueReverse {
            invoice,
            net: 1,
            cause: 1,
            due,
            ..Default::default()
        }),
        Kind::SettlementSent(v1::SettlementSent {
            agreement: hash,
            minor: 1,
            bank,
            ..Default::default()
        }),
        Kind::AgentRefuse(v1::AgentRefuse { agent: vec!["x".into()] }),
        Kind::StateRoot(v1::StateRoot { root: vec![1; 32], leaves: 1 }),
        Kind::Erase(v1::Erase { commitment: vec![vec![1; 32]] }),
        Kind::KeyRevoke(v1::KeyRevoke { key: vec![1; 32], since: 1 }),
        Kind::KeyRecover(v1::KeyRecover {
            agent: "x".into(),
            key: vec![1; 32],
            possession: vec![1; 64],
        }),
        Kind::EffectsConfirm(v1::EffectsConfirm { key: vec![1; 32], agent: vec![] }),
        Kind::RulesVersion(v1::RulesVersion { version: 2 }),
        Kind::Handover(v1::Handover {
            key: vec![1; 32],
            clerk: vec![1; 32],
            checkpoint: "x".into(),
            possession: vec![1; 64],
            consent: vec![v1::Consent { key: vec![1; 32], signature: vec![1; 64] }],
            expires_at: 1,
        }),
        Kind::HandoverTake(v1::HandoverTake { ledger: vec![1; 32], proof }),
        Kind::AgreementUnfreeze(v1::AgreementUnfreeze {
            agreement: vec![1; 32],
            entry: 1,
            back_to: 1,
        }),
        Kind::ForkCopy(v1::ForkCopy {
            agent: vec![v1::ForkAgent { handle: "x".into(), kind: 1, ..Default::default() }],
            ..Default::default()
        }),
    ]
}

fn words((place, who): (Where, Who)) -> [String; 2] {
    let place = match place {
        Where::Both => "both",
        Where::Contribution => "contribution",
        Where::Revenue => "revenue",
    };
    let who = match who {
        Who::Genesis => "genesis".into(),
        Who::Newcomer => "newcomer".into(),
        Who::Anyone => "anyone".into(),
        Who::Member => "member".into(),
        Who::Clerk => "clerk".into(),
        Who::Quorum => "quorum".into(),
        Who::MemberOrQuorum => "member or quorum".into(),
        Who::AnyoneOrQuorum => "anyone or quorum".into(),
        Who::Roles(roles) => roles.iter().map(|r: &Role| r.word()).collect::<Vec<_>>().join(" or "),
    };
    [place.into(), who]
}

#[test]
fn every_event_stands_in_the_table_with_its_ledger_and_author() {
    let stated: Vec<Vec<&str>> = rows("3. ").split_off(2);
    let events: Vec<Event> =
        samples().into_iter().map(|kind| Event::decode(&encode(kind)).unwrap()).collect();
    assert_eq!(stated.len(), events.len());
    for (row, event) in stated.iter().zip(&events) {
        let [place, who] = words(rule(event));
        let numbered = if event.dues().is_empty() { "" } else { "dues" };
        let found: Vec<&str> = row.iter().map(|cell| cell.trim_matches([' ', '|'])).collect();
        assert_eq!(found[..3], [event.name(), &place, &who]);
        assert_eq!(found.get(3).copied().unwrap_or(""), numbered, "{}", event.name());
        let headings = TABLE.lines().filter(|l| *l == format!("### {}", event.name())).count();
        assert_eq!(headings, 1, "a section for {}", event.name());
    }
    // The samples are all there are: the schema names as many, in this order.
    let kinds = SCHEMA.split("oneof kind {").nth(1).unwrap().split('}').next().unwrap();
    let kinds: Vec<&str> = kinds.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(kinds, events.iter().map(Event::name).collect::<Vec<_>>());
}

#[test]
fn every_code_stands_in_the_table_with_its_meaning_and_next_step() {
    let line = |c: &Code| format!("| `{}` | {} | {} |", c.name(), c.meaning(), c.next());
    let stated: Vec<&str> = TABLE
        .split("\n## ")
        .find(|s| s.starts_with("7. "))
        .unwrap()
        .lines()
        .filter(|l| l.starts_with("| `"))
        .collect();
    assert_eq!(stated, Code::ALL.iter().map(line).collect::<Vec<_>>());
}

/// A guard or a form that the table names has a code that exists, and no code is in
/// the list of codes only.
#[test]
fn guards_name_codes_that_exist_and_all_of_them() {
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|c| c.name()).collect();
    let (rules, _) = TABLE.split_once("\n## 5. ").unwrap();
    let ticked = rules.split('`').skip(1).step_by(2);
    let named: BTreeSet<&str> = ticked.filter(|t| codes.contains(t)).collect();
    // Of the log alone, seen by other ledgers as `proof-invalid`, and of files beside it.
    let log = BTreeSet::from([
        "bad-leaf",
        "bad-proof",
        "bad-note",
        "bad-receipt",
        "bad-policy",
        "unwitnessed",
        "bad-fraud-proof",
        "bad-evidence",
    ]);
    assert_eq!(&codes - &named, log);
    let (_, events) = rules.split_once("\n## 4. ").unwrap();
    for line in events.lines() {
        let first = line.split_once(". `").filter(|(n, _)| n.parse::<u32>().is_ok());
        if let Some((_, rest)) = first {
            let code = rest.split('`').next().unwrap();
            assert!(codes.contains(code), "no such code: {line}");
        }
    }
}

/// Every constant `MAX_…` of log and book, with the value as it is written there.
#[test]
fn every_limit_stands_in_the_table_with_its_value() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for part in ["book", "log"] {
        for file in fs::read_dir(source.join(part)).unwrap() {
            let path = file.unwrap().path();
            let text = if path.is_file() { fs::read_to_string(path).unwrap() } else { continue };
            for line in text.lines().filter_map(|l| l.split_once("const MAX_")) {
                let (name, rest) = line.1.split_once(':').unwrap();
                let value = rest.split_once("= ").unwrap().1.trim_end_matches(';');
                found.insert((format!("`MAX_{name}`"), format!("`{value}`")));
            }
        }
    }
    let stated = rows("6. ").into_iter().filter(|r| r[0].starts_with("`MAX_"));
    let stated: BTreeSet<_> = stated.map(|r| (r[0].to_owned(), r[1].to_owned())).collect();
    assert_eq!(stated, found);
    assert!(found.len() > 10, "the constants were looked for in the right place");
}
