//! Ledgers of several stores against each other: the table adds up to the cent, and whoever edits
//! one side is told of, precisely.
#![allow(clippy::unwrap_used)]

mod audit_support;
mod kit;

use audit_support::*;
use kit::*;
use subak_ledger::{
    audit::{Audit, Code, Options, Row, Standing, Table, Verdict, audit, reconcile},
    book::{accounts::Account, types::Q},
    log::Hash,
};
use subak_proto::v1::{self, event::Kind};

/// Each store audited by itself, then all compared.
fn together(stores: &[&[RawLog]]) -> (Vec<Audit>, Table) {
    let options = || Options { threads: 1, several_stores: true, ..Options::default() };
    let audit = |logs: &&[RawLog]| audit(&in_memory(logs), &options()).unwrap();
    let mut audits: Vec<Audit> = stores.iter().map(audit).collect();
    let table = reconcile(&mut audits);
    assert!(audits.iter().all(|audit| audit.sides.is_empty()), "taken");
    (audits, table)
}

/// Each world in a store of its own.
fn apart(worlds: &[&World]) -> (Vec<Audit>, Table) {
    let logs: Vec<Vec<RawLog>> = worlds.iter().map(|w| vec![RawLog::of(w, vec![])]).collect();
    let stores: Vec<&[RawLog]> = logs.iter().map(Vec::as_slice).collect();
    together(&stores)
}

/// What can be found between ledgers.
const BETWEEN: [Code; 17] = [
    Code::IncomeUnmatched,
    Code::IncomeWithoutRevenue,
    Code::IncomeRefused,
    Code::SecondStory,
    Code::PayerBehind,
    Code::PayerUnjudged,
    Code::AgreementUnmatched,
    Code::CounterpartUnknown,
    Code::NotTaken,
    Code::IncomeLate,
    Code::SettlementOverdue,
    Code::CashUnmatched,
    Code::CashNotArrived,
    Code::CashNotSent,
    Code::CounterpartBehind,
    Code::OtherSideMissing,
    Code::AgreementFrozen,
];

/// What is found between ledgers: code, entry and detail, store by store.
fn between(audits: &[Audit]) -> Vec<Vec<(&'static str, Option<u64>, String)>> {
    let of = |audit: &Audit| {
        let found = audit.findings.iter().filter(|f| BETWEEN.contains(&f.code));
        found
            .map(|f| {
                let place = f.entry.map_or_else(String::new, |seq| format!("entry {seq}: "));
                let detail = f.message.strip_prefix(&format!("{place}{}: ", f.code.meaning()));
                let detail = detail.unwrap().split("; next: ").next().unwrap();
                (f.code.name(), f.entry, detail.to_owned())
            })
            .collect()
    };
    audits.iter().map(of).collect()
}

fn codes(audits: &[Audit]) -> Vec<Vec<&'static str>> {
    between(audits).iter().map(|all| all.iter().map(|it| it.0).collect()).collect()
}

fn verdicts(audits: &[Audit]) -> Vec<Verdict> {
    audits.iter().map(|audit| audit.verdict).collect()
}

fn only(table: &Table) -> &Row {
    let [row] = &table.rows[..] else { panic!("one agreement, found {:#?}", table.rows) };
    row
}

fn send(payer: &mut World, agreement: Hash, minor: u64) {
    let (agreement, bank) = (agreement.to_vec(), format!("bank:sent-{}", payer.state.size));
    let sent = v1::SettlementSent { agreement, minor, bank, item: vec![], fee: 0 };
    payer.say("sam", vec![Kind::SettlementSent(sent)]).unwrap();
}

/// What each books as owed to it by its payers, minor units.
fn receivable(world: &World, payers: &[&str]) -> i128 {
    let of = |p: &&str| world.state.accounts.balance(Account::Receivable(world.id(p)), eur());
    payers.iter().map(of).sum::<i128>() / Q
}

fn eur() -> subak_ledger::book::types::Currency {
    currency(EUR)
}

/// A phyle, a commons that has a tenth of its revenue, and the commons upstream.
struct Three {
    phyle: World,
    middle: World,
    up: World,
    below: Hash,
    above: Hash,
}

fn three() -> Three {
    let (mut phyle, mut middle, mut up) =
        (World::phyle("phyle-a"), downstream("middle"), two_contributors());
    let terms = middle.terms(&phyle, "phyle-a", 100_000);
    let below = agree(&mut phyle, &mut middle, terms);
    up.add_institution("middle", v1::AgentKind::Commons);
    let terms = up.payout_terms(&middle, "middle", "upstream");
    let above = agree(&mut middle, &mut up, terms);
    Three { phyle, middle, up, below, above }
}

impl Three {
    /// Revenue of 12,000.00, its share taken and settled, and a tenth of that passed on.
    fn cycle(&mut self, number: u64) {
        let entry = self.phyle.earn(number, 1_200_000);
        self.middle.take(&self.phyle, entry, self.below).unwrap();
        send(&mut self.phyle, self.below, 120_000);
        self.middle.settle(self.below, 120_000).unwrap();
        let run = self.middle.propose(&[("upstream", 12_000)]).unwrap();
        let paid = self.middle.paid(run, &["upstream"]).unwrap();
        self.up.take(&self.middle, paid, self.above).unwrap();
        self.up.settle(self.above, 12_000).unwrap();
    }

    fn audit(&self) -> (Vec<Audit>, Table) {
        apart(&[&self.phyle, &self.middle, &self.up])
    }
}

#[test]
fn three_ledgers_in_three_stores_reconcile_to_the_cent() {
    let mut it = three();
    it.cycle(1);
    let (audits, table) = it.audit();
    assert_eq!(verdicts(&audits), [Verdict::Sound; 3]);
    assert_eq!(codes(&audits), [[""; 0]; 3]);
    let [below, above] = [it.below, it.above]
        .map(|digest| table.rows.iter().find(|r| r.terms.digest == digest).unwrap());
    for (row, due) in [(below, 120_000), (above, 12_000)] {
        assert_eq!(row.standing, Standing::Settled);
        let sums = [row.due, row.taken, row.sent, row.received];
        assert_eq!(sums, [Some(due); 4], "{row:?}");
        let rest = [row.in_flight, row.open, row.overdue, row.fees, row.unexplained()];
        assert_eq!(rest, [Some(0); 5], "{row:?}");
    }
    // Some more revenue, of which one share is taken and one is not.
    let entry = it.phyle.earn(2, 50_000);
    it.middle.take(&it.phyle, entry, it.below).unwrap();
    it.phyle.earn(3, 10_010);
    let (audits, table) = it.audit();
    assert_eq!(verdicts(&audits), [Verdict::Sound; 3]);
    let total = table.totals[&eur()];
    assert_eq!((total.rows, total.left_out, total.unexplained), (2, 0, 0));
    assert_eq!((total.due, total.taken, total.in_flight), (138_001, 137_000, 1_001));
    assert_eq!((total.received, total.open), (132_000, 5_000));
    let books = receivable(&it.middle, &["phyle-a"]) + receivable(&it.up, &["middle"]);
    assert_eq!(total.open, books, "what the commons' accounts say");
    let owing = |world: &World| {
        let it = &table.parties[&(eur(), world.state.ledger)];
        (it.owes, it.owed)
    };
    assert_eq!(owing(&it.phyle), (6_001, 0));
    assert_eq!(owing(&it.middle), (0, 6_001));
    assert_eq!(owing(&it.up), (0, 0));
}

/// A commons that gives a quarter of its income to each of these, and the rest to ana.
fn giving(name: &str, to: &[&str]) -> World {
    let rest = 1_000_000 - 250_000 * u32::try_from(to.len()).unwrap();
    let mut buckets: Vec<(&str, u32, Option<&str>, &[u32])> =
        to.iter().map(|to| (*to, 250_000, Some(*to), &[][..])).collect();
    buckets.push(("contributors", rest, None, &[1]));
    let equation = equation(1, &buckets);
    let mut genesis = genesis(v1::AgentKind::Commons, name, 1, Some(equation));
    genesis.agent.extend(["north", "east", "west", "south"].map(|other| v1::AgentAdd {
        handle: other.into(),
        kind: v1::AgentKind::Commons as i32,
        ..Default::default()
    }));
    let mut world = World::open(genesis);
    world.add_person("ana");
    let place = world.contribute("ana", "commit", 1_000);
    world.validate("sam", place).unwrap();
    world
}

/// North gives to east and west, both of them to south, and south to north again.
#[test]
fn a_cycle_and_a_diamond_among_commons_add_up() {
    let mut worlds = [
        giving("north", &["east", "west"]),
        giving("east", &["south"]),
        giving("west", &["south"]),
        giving("south", &["north"]),
    ];
    let names = ["north", "east", "west", "south"];
    let mut pass = Vec::new();
    for (payer, commons) in [(0, 1), (0, 2), (1, 3), (2, 3), (3, 0)] {
        let [low, high] = worlds.get_disjoint_mut([payer, commons]).unwrap();
        let terms = high.payout_terms(low, names[payer], names[commons]);
        pass.push((payer, commons, agree(low, high, terms)));
    }
    worlds[0].gift(160_000);
    // Down the two sides, together at the bottom, and up again: twice round, until it is too little.
    for (payer, commons, agreement) in pass.iter().cycle().take(10) {
        let [low, high] = worlds.get_disjoint_mut([*payer, *commons]).unwrap();
        let due = low.payable(names[*commons]) - paid_so_far(low, agreement);
        let run = low.propose(&[(names[*commons], u64::try_from(due).unwrap())]).unwrap();
        let paid = low.paid(run, &[names[*commons]]).unwrap();
        high.take(low, paid, *agreement).unwrap();
        let last = *payer == 3 && due == 156;
        if !last {
            high.settle(*agreement, u64::try_from(due).unwrap()).unwrap();
        }
    }
    let refs: Vec<&World> = worlds.iter().collect();
    let (audits, table) = apart(&refs);
    assert_eq!(verdicts(&audits), [Verdict::Sound; 4], "{:#?}", between(&audits));
    let total = table.totals[&eur()];
    // A quarter of 160,000 to each side, a quarter of both to south, of that a quarter back to
    // north; and the same of what came back, in whole minor units.
    let (first, second) = (2 * 40_000 + 2 * 10_000 + 5_000, 2 * 1_250 + 2 * 312 + 156);
    assert_eq!((total.rows, total.due), (5, first + second));
    assert_eq!((total.open, total.sent - total.received), (156, 156), "the last is on its way");
    assert_eq!((total.in_flight, total.unexplained), (0, 0));
    assert_eq!(total.open, table.parties.values().map(|it| it.owes).sum::<i128>());
    assert_eq!(total.open, table.parties.values().map(|it| it.owed).sum::<i128>());
}

fn paid_so_far(world: &World, agreement: &Hash) -> i128 {
    let all = world.state.agreements[agreement].dues.items.values();
    all.map(|item| i128::from(item.due)).sum()
}

#[test]
fn a_ledger_in_several_targets_counts_once_and_its_longest_sound_copy() {
    let mut it = three();
    it.cycle(1);
    let old = RawLog::of(&it.phyle, vec![]);
    it.cycle(2);
    let own = [RawLog::of(&it.phyle, vec![])];
    // A mirror of both, from before the second revenue; and a longer copy that somebody altered.
    let middle = RawLog::of(&it.middle, vec![]);
    let mirror = [old, middle.clone()];
    it.phyle.earn(3, 5_000);
    let mut altered = [RawLog::of(&it.phyle, vec![])];
    altered[0].entries.last_mut().unwrap().1[40] ^= 1;
    for stores in [[&mirror[..], &own, &altered], [&altered, &own, &mirror]] {
        let (audits, table) = together(&stores);
        let row = table.rows.iter().find(|r| r.terms.digest == it.below).unwrap();
        assert_eq!(
            (row.due, row.last_due, row.standing),
            (Some(240_000), Some(2), Standing::Settled)
        );
        assert_eq!(table.totals[&eur()].rows, 1, "the other one's ledger upstream is not here");
        let told: Vec<&str> = codes(&audits).concat();
        assert_eq!(told, ["other-side-missing"], "what is found is found once");
    }
    // Where there is no other copy, the old one is a gap.
    let (audits, table) = together(&[&mirror]);
    assert_eq!(codes(&audits), [["payer-behind", "other-side-missing"]]);
    assert_eq!(audits[0].verdict, Verdict::Gap);
    let row = table.rows.iter().find(|r| r.terms.digest == it.below).unwrap();
    assert_eq!((row.standing, row.due), (Standing::PayerBehind, None));
    assert_eq!(table.totals[&eur()].left_out, 2);
}

#[test]
fn a_side_that_is_not_here_is_said_and_nothing_is_made_up_for_it() {
    let mut it = three();
    it.cycle(1);
    let (audits, table) = apart(&[&it.middle]);
    assert_eq!(verdicts(&audits), [Verdict::Sound]);
    let (phyle, up) = (it.phyle.state.ledger, it.up.state.ledger);
    let mut told: Vec<String> = between(&audits)[0].iter().map(|f| f.2.clone()).collect();
    told.sort();
    let expected =
        [format!("commons upstream, ledger {up}"), format!("payer phyle-a, ledger {phyle}")];
    assert_eq!(told, expected);
    let standings: Vec<_> = table.rows.iter().map(|r| (r.payer.as_str(), r.standing)).collect();
    let expected = [("middle", Standing::CommonsMissing), ("phyle-a", Standing::PayerMissing)];
    assert_eq!(standings, expected);
    assert_eq!((table.rows[1].due, table.rows[1].taken), (None, Some(120_000)));
    assert_eq!((table.totals[&eur()].rows, table.totals[&eur()].left_out), (0, 2));
}

#[test]
fn a_share_that_is_not_settled_in_time_is_overdue_by_the_logs_own_time() {
    let mut it = three();
    let entry = it.phyle.earn(1, 100_000);
    it.middle.take(&it.phyle, entry, it.below).unwrap();
    it.phyle.days(30);
    it.phyle.earn(2, 50_000);
    let (audits, table) = apart(&[&it.phyle, &it.middle]);
    assert_eq!(only_of(&table, &it.below).standing, Standing::InFlight, "the last day counts");
    assert!(!codes(&audits).concat().contains(&"settlement-overdue"));
    it.phyle.days(1);
    it.phyle.refund(1, 10_000);
    // The refund is in flight: what it takes back is overdue no more.
    let (audits, table) = apart(&[&it.phyle, &it.middle]);
    let row = only_of(&table, &it.below);
    assert_eq!((row.standing, row.overdue), (Standing::Overdue, Some(9_000)));
    assert_eq!((row.due, row.in_flight, row.open), (Some(14_000), Some(4_000), Some(10_000)));
    let told = between(&audits).concat();
    let overdue = told.iter().find(|f| f.0 == "settlement-overdue").unwrap();
    let said = "1 shares of phyle-a, 9000 minor units of EUR, the oldest due for 31 days where 30 \
                are agreed";
    assert_eq!(overdue.2, said);
    assert_eq!(verdicts(&audits), [Verdict::Sound; 2], "late is not false");
    // Settled, it is not.
    it.middle.days(31);
    it.middle.settle(it.below, 9_000).unwrap();
    let (_, table) = apart(&[&it.phyle, &it.middle]);
    assert_eq!(only_of(&table, &it.below).overdue, Some(0));
}

fn only_of<'t>(table: &'t Table, agreement: &Hash) -> &'t Row {
    table.rows.iter().find(|r| r.terms.digest == *agreement).unwrap()
}

#[test]
fn income_that_is_taken_late_or_not_at_all_is_told_with_its_days() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    payer.earn(2, 20_000);
    commons.days(45);
    let taken = commons.take(&payer, first, agreement).unwrap();
    let (audits, table) = apart(&[&payer, &commons]);
    let told = &between(&audits)[1];
    let late = "1 numbers of phyle-a, number 1 45 days after it was recorded, where 30 are agreed";
    assert!(told.contains(&("income-late", Some(taken), late.into())), "{told:#?}");
    let waits = "1 numbers of phyle-a, from 2 on, 2000 minor units of EUR, the oldest for 45 days \
                 where 30 are agreed";
    assert!(told.contains(&("numbers-not-taken", None, waits.into())), "{told:#?}");
    assert_eq!(only(&table).overdue, Some(12_000));
}

#[test]
fn cash_is_on_its_way_then_lost_or_was_never_sent() {
    let (mut payer, mut commons, agreement) = agreed();
    let entry = payer.earn(1, 1_000_000);
    commons.take(&payer, entry, agreement).unwrap();
    send(&mut payer, agreement, 40_000);
    commons.settle(agreement, 30_000).unwrap();
    payer.days(20);
    send(&mut payer, agreement, 5_000);
    let state = |payer: &World, commons: &World| {
        let (audits, table) = apart(&[payer, commons]);
        assert_eq!(verdicts(&audits), [Verdict::Sound; 2]);
        let row = only(&table);
        assert_eq!(row.unexplained(), Some(0));
        let mut told = between(&audits).remove(1);
        told.retain(|f| f.0.starts_with("cash"));
        (told, row.cash_in_flight().unwrap())
    };
    let way = "phyle-a sent 45000 minor units of EUR, 30000 minor units of EUR were received";
    let (told, flies) = state(&payer, &commons);
    assert_eq!((told, flies), (vec![("cash-unmatched", None, way.into())], 15_000));
    commons.days(31);
    commons.contribute("ana", "commit", 1);
    let lost = format!("{way}; the oldest of the rest left 31 days ago, where 30 are agreed");
    assert_eq!(state(&payer, &commons).0, [("cash-not-arrived", None, lost)]);
    // The first payment has come; the second has time.
    commons.settle(agreement, 10_000).unwrap();
    assert_eq!(state(&payer, &commons).0[0].0, "cash-unmatched");
    commons.settle(agreement, 5_001).unwrap();
    let never = "phyle-a sent 45000 minor units of EUR, 45001 minor units of EUR were received";
    let (told, flies) = state(&payer, &commons);
    assert_eq!((told, flies), (vec![("cash-not-sent", None, never.into())], -1));
}

/// What the bank keeps at the payer's cost, and what the stewards give up, are in the sums.
#[test]
fn fees_that_the_payer_bears_write_offs_and_credit_add_up() {
    let (mut payer, mut commons, agreement) = agreed();
    let entry = payer.earn(1, 500_000);
    commons.take(&payer, entry, agreement).unwrap();
    send(&mut payer, agreement, 30_000);
    let fee = Some(v1::Fee { minor: 700, bearer: "phyle-a".into() });
    let bank = "bank:fee".to_owned();
    let received = v1::SettlementReceived {
        agreement: agreement.to_vec(),
        minor: 30_000,
        bank,
        item: vec![],
        fee,
    };
    commons.say("sam", vec![Kind::SettlementReceived(received)]).unwrap();
    let (_, table) = apart(&[&payer, &commons]);
    let row = only(&table);
    assert_eq!((row.fees, row.open, row.unexplained()), (Some(700), Some(20_700), Some(0)));
    commons.decree(Kind::WriteOff(v1::WriteOff { income: vec![1] })).unwrap();
    let (audits, table) = apart(&[&payer, &commons]);
    let row = only(&table);
    assert_eq!((row.written_off, row.open, row.unexplained()), (Some(20_700), Some(0), Some(0)));
    assert_eq!(verdicts(&audits), [Verdict::Sound; 2]);
    // More cash reinstates what was given up; beyond that it is the payer's credit.
    commons.settle(agreement, 21_000).unwrap();
    let (_, table) = apart(&[&payer, &commons]);
    let row = only(&table);
    assert_eq!((row.written_off, row.open, row.unexplained()), (Some(0), Some(-300), Some(0)));
    assert_eq!(row.open, Some(receivable(&commons, &["phyle-a"])));
    assert_eq!(row.open_and_credit(), Some([0, 300]));
    let total = table.totals[&eur()];
    assert_eq!((total.open, total.credit, total.unexplained), (0, 300, 0));
}

/// A payer's operator signs what its own rules refuse, and the commons upstream takes it.
#[test]
fn income_from_an_entry_that_the_payers_own_book_refuses_is_a_fault_on_both_sides() {
    let mut it = three();
    it.cycle(1);
    let due = |number, amount| vec![v1::Due { agreement: it.above.to_vec(), number, amount }];
    let paid = |run, due| {
        let (agent, bank) = (vec!["upstream".into()], format!("bank:{run}"));
        Kind::PayoutPaid(v1::PayoutPaid { run, agent, bank, fee: None, due })
    };
    let forged = it.middle.forge("sam", vec![paid(900, due(2, 700))]);
    let after = it.middle.forge("sam", vec![paid(901, due(3, 800))]);
    let refused = it.up.take(&it.middle, forged, it.above).unwrap();
    let unjudged = it.up.take(&it.middle, after, it.above).unwrap();
    let (audits, table) = it.audit();
    assert_eq!(verdicts(&audits), [Verdict::Sound, Verdict::Fault, Verdict::Fault]);
    let rule = audits[1].findings.iter().find(|f| f.code == Code::Rule).unwrap();
    assert_eq!(rule.entry, Some(forged));
    let told = &between(&audits)[2];
    let middle = it.middle.state.ledger;
    let place = format!("entry {forged} of ledger {middle}");
    assert!(told.contains(&("income-refused", Some(refused), place)), "{told:#?}");
    let rest = format!("1 entries of middle, ledger {middle}");
    assert!(told.contains(&("payer-unjudged", Some(unjudged), rest)), "{told:#?}");
    let row = only_of(&table, &it.above);
    assert_eq!((row.standing, row.due), (Standing::Unmatched, None));
    assert_eq!(only_of(&table, &it.below).standing, Standing::Unjudged);
    assert_eq!(table.totals[&eur()].left_out, 2);
}

/// A due of another share than was agreed: the payer's own book refuses it, and so does whoever
/// should take it.
#[test]
fn a_wrong_share_stops_the_payers_book_where_it_is_stated() {
    let (mut payer, commons, agreement) = agreed();
    let mut less = payer.revenue(1, 100_000);
    less.due[0].amount = 9_000;
    let forged = payer.forge("sam", vec![Kind::RevenueRecord(less)]);
    let mut honest = commons;
    let refused = honest.take(&payer, forged, agreement).unwrap_err();
    assert_eq!(refused.code, subak_ledger::reject::Code::DueMismatch);
    let (audits, table) = apart(&[&payer, &honest]);
    assert_eq!(verdicts(&audits), [Verdict::Fault, Verdict::Sound]);
    let rule = audits[0].findings.iter().find(|f| f.code == Code::Rule).unwrap();
    assert_eq!(rule.rule.unwrap().name(), "due-mismatch");
    assert!(!codes(&audits).concat().contains(&"numbers-not-taken"), "nobody can take it");
    assert_eq!(only(&table).standing, Standing::Unjudged);
}

/// The payer shows the auditor another log than the commons: without the revenue, with another
/// amount, with another share under the number.
#[test]
fn a_payer_who_shows_another_log_is_told_of_by_entry_and_number() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut without = payer.twin();
    let mut smaller = payer.twin();
    let entry = payer.earn(1, 100_000);
    let taken = commons.take(&payer, entry, agreement).unwrap();
    payer.earn(2, 100_000);
    smaller.earn(1, 40_000);
    for world in [&mut without, &mut smaller] {
        let void = v1::InvoiceVoid { series: "other".into(), number: 1 };
        world.say("sam", vec![Kind::InvoiceVoid(void)]).unwrap();
    }
    let (audits, table) = apart(&[&without, &commons]);
    let told = &between(&audits)[1];
    let lacks =
        ("income-without-revenue", Some(taken), "number 1, 10000 minor units of EUR".to_owned());
    assert!(told.contains(&lacks), "{told:#?}");
    assert_eq!(
        (verdicts(&audits)[1], only(&table).standing),
        (Verdict::Fault, Standing::Unmatched)
    );
    assert_eq!(only(&table).unexplained(), Some(-10_000));
    let (audits, table) = apart(&[&smaller, &commons]);
    let told = &between(&audits)[1];
    let amount =
        "number 1: expected 4000 minor units of EUR due, found 10000 minor units of EUR due"
            .to_owned();
    assert!(told.contains(&("income-unmatched", Some(taken), amount)), "{told:#?}");
    assert_eq!(told.iter().filter(|f| f.0 == "income-unmatched").count(), 2, "and its entry");
    assert_eq!(only(&table).unexplained(), Some(-6_000));
    assert_eq!(table.totals[&eur()].unexplained, -6_000, "the sum does not hide it");
    // The control.
    let (audits, table) = apart(&[&payer, &commons]);
    assert_eq!(
        (codes(&audits).concat(), only(&table).standing),
        (vec!["numbers-not-taken"], Standing::InFlight)
    );
}

#[test]
fn an_agreement_that_the_other_ledger_does_not_hold_is_a_gap() {
    let mut payer = World::phyle("phyle-a");
    let mut commons = two_contributors();
    let (before_payer, before_commons) = (payer.twin(), commons.twin());
    let terms = commons.terms(&payer, "phyle-a", 100_000);
    agree(&mut payer, &mut commons, terms);
    let who = "phyle-a as the payer, our-commons as the commons";
    let (audits, table) = apart(&[&before_payer, &commons]);
    assert_eq!(between(&audits)[1], [("agreement-unmatched", None, who.to_owned())]);
    assert_eq!(verdicts(&audits), [Verdict::Sound, Verdict::Gap]);
    assert_eq!(only(&table).standing, Standing::Unjudged);
    let (audits, _) = apart(&[&payer, &before_commons]);
    assert_eq!(between(&audits)[0], [("agreement-unmatched", None, who.to_owned())]);
    let (audits, table) = apart(&[&payer, &commons]);
    assert_eq!((codes(&audits).concat().len(), only(&table).standing), (0, Standing::Settled));
}

#[test]
fn operators_that_the_two_sides_know_differently_are_told() {
    let (mut payer, mut commons, agreement) = agreed();
    let old = payer.twin();
    let entry = payer.rotate("the next");
    let (audits, _) = apart(&[&payer, &commons]);
    assert_eq!(codes(&audits), [vec![], vec!["counterpart-behind"]]);
    assert_eq!(verdicts(&audits), [Verdict::Sound; 2]);
    commons.say("clerk", vec![take_handover(&payer, entry)]).unwrap();
    let (audits, _) = apart(&[&payer, &commons]);
    assert_eq!(codes(&audits).concat(), [""; 0]);
    let earned = payer.earn(1, 1_000);
    commons.take(&payer, earned, agreement).unwrap();
    let (audits, _) = apart(&[&payer, &commons]);
    assert_eq!(codes(&audits).concat(), [""; 0]);
    // Against a copy from before the handover.
    let (audits, _) = apart(&[&old, &commons]);
    assert_eq!(codes(&audits)[1], ["counterpart-unknown", "payer-behind"]);
    assert_eq!(verdicts(&audits)[1], Verdict::Gap);
}

/// A second story freezes the agreement; what was taken before still adds up.
#[test]
fn a_frozen_agreement_is_a_row_of_its_own_kind() {
    let (mut payer, mut commons, agreement) = agreed();
    let mut liar = payer.twin();
    let first = payer.earn(1, 100_000);
    commons.take(&payer, first, agreement).unwrap();
    let other = liar.earn(1, 70_000);
    commons.take(&liar, other, agreement).unwrap();
    assert!(commons.state.agreements[&agreement].frozen.is_some());
    let (audits, table) = apart(&[&payer, &commons]);
    // The story that this copy does not hold was taken too, as evidence.
    assert_eq!(codes(&audits)[1], ["agreement-frozen", "second-story"]);
    assert_eq!(verdicts(&audits), [Verdict::Sound, Verdict::Fault]);
    assert_eq!((only(&table).standing, only(&table).unexplained()), (Standing::Frozen, Some(0)));
}

/// Who has a payer's operator key alone can make an entry that a commons takes; the payer's book
/// knows that its author is no treasurer.
#[test]
fn revenue_that_only_the_payers_operator_signed_for_is_found_out() {
    let (mut payer, mut commons, agreement) = agreed();
    let invented = Kind::RevenueRecord(payer.revenue(1, 100_000));
    let forged = payer.forge("clerk", vec![invented]);
    let taken = commons.take(&payer, forged, agreement).unwrap();
    let (audits, table) = apart(&[&payer, &commons]);
    let rule = audits[0].findings.iter().find(|f| f.code == Code::Rule).unwrap();
    assert_eq!((rule.entry, rule.rule.unwrap().name()), (Some(forged), "clerk-may-not"));
    let place = format!("entry {forged} of ledger {}", payer.state.ledger);
    assert_eq!(between(&audits)[1], [("income-refused", Some(taken), place)]);
    assert_eq!(only(&table).standing, Standing::Unmatched);
}

/// Programs and people go by `docs/AUDIT.md`.
#[test]
fn the_document_has_every_code_with_its_severity_and_every_state() {
    let text = include_str!("../../docs/AUDIT.md");
    let forks = [Code::ForkParent, Code::ForkCopied, Code::ParentMissing];
    for code in BETWEEN.into_iter().chain(forks) {
        let line = format!("| `{}` | {} |", code.name(), code.severity().word());
        assert!(text.contains(&line), "{line}");
    }
    let mut rest = text.split_once("States; of several").unwrap().1;
    for standing in Standing::ALL {
        let line = format!("\n| `{}` |", standing.word());
        rest = rest.split_once(&line).unwrap_or_else(|| panic!("{line} in its order")).1;
    }
    assert_eq!(rest.matches("\n|").count(), 0, "and no other");
}
