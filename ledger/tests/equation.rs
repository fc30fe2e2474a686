//! What a steward meets when writing a value equation: the TOML, its faults with their
//! lines, the templates, and worked examples that must come out.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use subak_ledger::{
    book::{
        equation::*,
        equation_toml::{parse, print},
        horizon::Horizon,
        templates::{self, Institutions},
        types::*,
    },
    reject::Code,
};
use subak_proto::v1;

/// As ISO 4217 has it.
fn exponent(currency: Currency) -> u8 {
    match currency.as_str() {
        "JPY" => 0,
        "BHD" => 3,
        _ => 2,
    }
}

const FULL: &str = r#"name = "ours"
version = 3
validators = 2
maturity_days = 14
notice_days = 30
claim_delay_days = 14
held_days = 365
fallback = "association"
[minimum_payout]
EUR = "10.00"
JPY = "1000"
[rates]
commit = 10
hours = 20
[[bucket]]
name = "association"
share = "15.5 %"
agent = "association"
[[bucket]]
name = "carers"
ppm = 145000
kinds = ["hours"]
streams = ["care", "love"]
unpaid_only = true
weights = [3, 2, 1, 0]
[[bucket]]
name = "contributors"
share = "70%"
horizon = "last-year"
[[example]]
income = "1000.00 EUR"
work = [
  { agent = "ana", kind = "commit", quantity = "15", stream = "livelihood", remuneration = "paid", age_months = 11 },
  { agent = "ben", kind = "hours", quantity = "7.5", stream = "care" },
]
amounts = { ana = "350.00", association = "155.00", ben = "495.00" }
"#;

#[test]
fn every_key_is_read_exactly() {
    let wire = parse(FULL, &exponent).unwrap();
    assert_eq!(wire.minimum_payout[0].minor, 1_000);
    assert_eq!(wire.minimum_payout[1].minor, 1_000, "a yen has no decimals");
    let shares: Vec<u32> = wire.bucket.iter().map(|b| b.share).collect();
    assert_eq!(shares, [155_000, 145_000, 700_000]);
    let Some(v1::bucket::To::Contributors(carers)) = &wire.bucket[1].to else { panic!() };
    assert_eq!(carers.kind, ["hours"]);
    assert_eq!(carers.stream, [v1::Stream::Love as i32, v1::Stream::Care as i32]);
    assert!(carers.unpaid_only);
    assert_eq!(carers.weight, [3, 2, 1, 0]);
    let work = &wire.example[0].work;
    assert_eq!((work[0].quantity, work[0].age_months), (15_000, 11));
    assert_eq!((work[1].quantity, work[1].age_months), (7_500, 0));
    assert_eq!(work[1].remuneration, v1::Remuneration::Unpaid as i32);

    let equation = Equation::from_wire(wire.clone()).unwrap();
    assert_eq!(equation.rates[&Handle::new("commit").unwrap()], 10);
    assert_eq!(parse(&print(&wire, &exponent), &exponent).unwrap(), wire);
}

/// What `FULL` says after `from` is replaced by `to`.
fn check_fault(from: &str, to: &str, expected: &str) {
    assert_eq!(FULL.matches(from).count(), 1, "{from:?} must be there once");
    let fault = parse(&FULL.replace(from, to), &exponent).expect_err(to);
    assert_eq!(fault.to_string(), expected);
}

#[test]
fn faults_say_where_what_and_what_next() {
    check_fault(
        "version = 3",
        "version = 3\nvalidator = 2",
        "line 3: validator: expected only name, version, validators, maturity_days, \
         notice_days, claim_delay_days, held_days, fallback, minimum_payout, rates, bucket, \
         example, found `validator`; correct its spelling or remove it",
    );
    check_fault(
        "validators = 2",
        "validators = 12",
        "line 3: validators: expected a whole number from 1 to 9, found 12; write a number \
         within these bounds",
    );
    check_fault(
        "held_days = 365\n",
        "",
        "line 1: held_days: expected `held_days`, found nothing; add for example \
         `held_days = 365`",
    );
    check_fault(
        "commit = 10\n",
        "commit = 1.5\n",
        "line 13: rates.commit: expected a whole number from 1 to 1000000, found the number 1.5 \
         with a point; write a number within these bounds",
    );
    check_fault(
        "EUR = \"10.00\"",
        "EUR = 10.00",
        "line 10: minimum_payout.EUR: expected an amount of EUR from \"0.01\" to \
         \"10000000000000.00\", found the number 10.00 with a point; write it in quotation marks",
    );
    check_fault(
        "JPY = \"1000\"",
        "JPY = \"1000.5\"",
        "line 11: minimum_payout.JPY: expected an amount of JPY from \"1\" to \
         \"1000000000000000\", found \"1000.5\"; write digits, a point and at most 0 decimals",
    );
    check_fault(
        "share = \"70%\"",
        "share = \"69.9995 %\"",
        "line 15: bucket.share: expected shares that sum to exactly 100 %, found 99.9995 %: \
         association 15.5 %, carers 14.5 %, contributors 69.9995 %; add the missing 0.0005 % \
         to a bucket",
    );
    check_fault(
        "share = \"70%\"",
        "share = \"71 %\"",
        "line 15: bucket.share: expected shares that sum to exactly 100 %, found 101 %: \
         association 15.5 %, carers 14.5 %, contributors 71 %; take 1 % off a bucket",
    );
    check_fault(
        "share = \"70%\"",
        "share = \"70.00001 %\"",
        "line 28: bucket[3].share: expected a share from \"0.0001 %\" to \"100 %\", found \
         \"70.00001 %\"; write digits, at most 4 decimals and the sign, as in \"12.5 %\"",
    );
    check_fault(
        "share = \"70%\"",
        "share = 0.7",
        "line 28: bucket[3].share: expected a share from \"0.0001 %\" to \"100 %\", found the \
         number 0.7 with a point; write it in quotation marks",
    );
    check_fault(
        "ppm = 145000",
        "ppm = 145000\nshare = \"14.5 %\"",
        "line 21: bucket[2].ppm: expected `share` or `ppm`, found both; remove one of them",
    );
    check_fault(
        "kinds = [\"hours\"]",
        "kinds = [\"hours\", \"talks\"]",
        "line 22: bucket[2].kinds[2]: expected a kind that has a rate, found \"talks\"; add it \
         under [rates], or use one of commit, hours",
    );
    check_fault(
        "streams = [\"care\", \"love\"]",
        "streams = [\"care\", \"care\"]",
        "line 23: bucket[2].streams[2]: expected each of the streams once, found \"care\"; \
         remove the second",
    );
    check_fault(
        "weights = [3, 2, 1, 0]",
        "weights = [0, 0]",
        "line 25: bucket[2].weights: expected 1 to 600 weights by age in months, at least one \
         above 0, found none above 0; write it as [3, 2, 1]; the last repeats for ever",
    );
    check_fault(
        "horizon = \"last-year\"",
        "horizon = \"half-life:99\"",
        "line 29: bucket[3].horizon: expected \"lifetime\", \"last-year\" or \
         \"half-life:MONTHS\" with 1 to 85 months, found \"half-life:99\"; name one of these, \
         or write `weights`",
    );
    check_fault(
        "name = \"carers\"",
        "name = \"association\"",
        "line 20: bucket[2].name: expected a name that no other bucket has, found \
         \"association\"; line 16 has it already; rename one",
    );
    check_fault(
        "agent = \"association\"",
        "agent = \"association\"\nhorizon = \"lifetime\"",
        "line 19: bucket[1].horizon: expected only name, share, ppm, agent, found `horizon`; \
         correct its spelling or remove it",
    );
    check_fault(
        "stream = \"care\" }",
        "stream = \"cares\" }",
        "line 34: example[1].work[2].stream: expected \"livelihood\" or \"love\" or \"care\", \
         found \"cares\"; write one of these words",
    );
    check_fault(
        "quantity = \"7.5\"",
        "quantity = \"7.5005\"",
        "line 34: example[1].work[2].quantity: expected a quantity from \"0.001\" to \
         \"1000000\", found \"7.5005\"; write digits and at most 3 decimals in quotation marks",
    );
    check_fault(
        "income = \"1000.00 EUR\"",
        "income = \"1000.00 eur\"",
        "line 31: example[1].income: expected an amount and its currency, as in \
         \"1000.00 EUR\", found \"1000.00 eur\"; a currency is three capital letters, found \
         \"eur\"",
    );
    check_fault(
        "fallback = \"association\"",
        "fallback = \"Association\"",
        "line 8: fallback: expected a handle, 1 to 32 of a-z, 0-9 and -, found \"Association\"; \
         a handle is 1 to 32 of a-z, 0-9 and -, found \"Association\"",
    );
}

#[test]
fn a_document_that_is_no_toml_names_its_line() {
    let fault = parse(&FULL.replace("notice_days = 30", "notice_days = "), &exponent).unwrap_err();
    assert_eq!((fault.line, fault.key.as_str()), (5, ""));
    let fault = parse(&FULL.replace("notice_days = 30", "version = 4"), &exponent).unwrap_err();
    assert_eq!(fault.line, 5, "a key twice: {fault}");
}

#[test]
fn a_limit_without_a_line_is_still_told() {
    let rates: Vec<String> = (0..101).map(|n| format!("k{n} = 1")).collect();
    let fault =
        parse(&FULL.replace("[rates]\n", &format!("[rates]\n{}\n", rates.join("\n"))), &exponent)
            .unwrap_err();
    assert_eq!(fault.found, "1 to 100 rates, found 103");
}

#[test]
fn an_equation_that_misses_its_example_is_refused_with_both_results() {
    let wrong = FULL.replace("ana = \"350.00\"", "ana = \"351.00\"");
    let reject = Equation::from_wire(parse(&wrong, &exponent).unwrap()).unwrap_err();
    assert_eq!(reject.code, Code::ExampleFails);
    assert_eq!(
        reject.detail,
        "example 1: stated ana 35100, association 15500, ben 49500; \
         computed ana 35000, association 15500, ben 49500"
    );
}

#[test]
fn work_that_nobody_could_have_done_is_refused_before_it_is_counted() {
    // One line of it keeps within its limits; together they leave those of the split.
    let line = "  { agent = \"ana\", kind = \"hours\", quantity = \"1000000\" },\n";
    let huge = FULL.replace("work = [\n", &format!("work = [\n{}", line.repeat(1_000)));
    let reject = Equation::from_wire(parse(&huge, &exponent).unwrap()).unwrap_err();
    assert_eq!(reject.code, Code::EquationInvalid);
    assert_eq!(reject.detail, "example: more than 17592186044416 thousandths of a point in all");
}

#[test]
fn an_examples_work_is_checked_even_where_no_bucket_counts_it() {
    let mut wire = parse(FULL, &exponent).unwrap();
    wire.bucket.truncate(1);
    wire.bucket[0].share = 1_000_000;
    wire.example[0].amount =
        vec![v1::ExampleAmount { agent: "association".into(), minor: 100_000 }];
    assert!(Equation::from_wire(wire.clone()).is_ok());
    wire.example[0].work[0].quantity = 0;
    assert_eq!(Equation::from_wire(wire).unwrap_err().code, Code::EquationInvalid);
}

#[test]
fn income_that_meets_no_work_accrues_to_nobody() {
    let idle = FULL.replace("age_months = 11", "age_months = 12").replace(
        "amounts = { ana = \"350.00\", association = \"155.00\", ben = \"495.00\" }",
        "amounts = { association = \"155.00\" }",
    );
    let idle = idle.replace("stream = \"care\" }", "stream = \"livelihood\", age_months = 700 }");
    Equation::from_wire(parse(&idle, &exponent).unwrap()).unwrap();
}

fn institutions(n: usize) -> Institutions<'static> {
    let have = |bit: usize, handle| (n >> bit & 1 == 1).then_some(handle);
    Institutions {
        association: have(0, "friends-of-it"),
        upstream: have(1, "association"), // a name that another institution has in the file
        trust: have(2, "reserve"),
    }
}

#[test]
fn templates_hold_with_whatever_institutions_a_commons_has() {
    for name in templates::NAMES {
        for n in 0..8 {
            let have = institutions(n);
            let text = templates::template(name, &have).unwrap();
            let wire = parse(&text, &exponent).unwrap_or_else(|e| panic!("{name} {n}: {e}"));
            let equation = Equation::from_wire(wire).unwrap_or_else(|e| panic!("{name} {n}: {e}"));
            assert_eq!(equation.name.as_str(), name);
            assert!(!equation.wire.example.is_empty(), "{name} explains itself");
            let solo = name == "solo";
            assert_eq!(equation.validators, if solo { 1 } else { 2 });
            let agents: BTreeSet<String> = equation
                .buckets
                .iter()
                .filter_map(|b| match &b.to {
                    Whose::Agent(h) => Some(h.to_string()),
                    Whose::Contributors(_) => None,
                })
                .collect();
            let expected: BTreeSet<String> = [have.association, have.upstream, have.trust]
                .into_iter()
                .flatten()
                .filter(|_| name == "points-with-decay")
                .map(String::from)
                .collect();
            assert_eq!(agents, expected, "{name} {n}");
            let fallback = equation.fallback.map(|h| h.to_string());
            assert_eq!(fallback.as_deref(), have.association.filter(|_| !solo), "{name} {n}");
        }
    }
}

#[test]
fn an_absent_institutions_share_goes_to_the_contributors() {
    let have = Institutions { association: Some("friends"), ..Institutions::default() };
    let text = templates::template("points-with-decay", &have).unwrap();
    assert!(text.contains("share = \"85 %\"\nhorizon = \"half-life:24\""), "{text}");
    assert!(text.contains("\nfallback = \"friends\""), "{text}");
    assert!(
        text.contains("amounts = { ana = \"425.00\", ben = \"425.00\", friends = \"150.00\" }"),
        "{text}"
    );
    assert!(text.contains("# 15 commits of today"), "a steward can still read why: {text}");
    assert!(!text.contains("name = \"upstream\""), "{text}");
}

#[test]
fn the_template_files_state_their_own_amounts() {
    let all = Institutions {
        association: Some("association"),
        upstream: Some("upstream"),
        trust: Some("trust"),
    };
    for (name, file) in templates::NAMES.into_iter().zip([
        include_str!("../src/book/templates/equal.toml"),
        include_str!("../src/book/templates/hours.toml"),
        include_str!("../src/book/templates/points-with-decay.toml"),
        include_str!("../src/book/templates/solo.toml"),
    ]) {
        Equation::from_wire(parse(file, &exponent).unwrap()).unwrap();
        assert_eq!(templates::template(name, &all).unwrap(), file, "nothing to adapt");
    }
}

#[test]
fn an_unknown_template_is_refused_with_those_there_are() {
    let reject = templates::template("fair", &Institutions::default()).unwrap_err();
    assert_eq!(
        reject.detail,
        "a template is one of equal, hours, points-with-decay, solo, found \"fair\""
    );
    let odd = Institutions { trust: Some("The Trust"), ..Institutions::default() };
    let reject = templates::template("points-with-decay", &odd).unwrap_err();
    assert_eq!(reject.code, Code::Malformed);
}

// ------------------------------------------------------- print and parse, any equation

fn handle() -> impl Strategy<Value = String> {
    "[a-z0-9-]{1,32}"
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop_oneof![
        Just(Horizon::Lifetime.weights()),
        Just(Horizon::LastYear.weights()),
        (1_u32..=85).prop_map(|h| Horizon::HalfLife(h).weights()),
        prop::collection::vec(0_u32..65_536, 1..20)
            .prop_filter("not all zero", |w| w.iter().any(|x| *x > 0)),
    ]
}

fn bucket(kinds: &[String]) -> impl Strategy<Value = v1::bucket::To> + use<> {
    prop_oneof![
        handle().prop_map(v1::bucket::To::Agent),
        (
            prop::sample::subsequence(kinds.to_vec(), 0..=kinds.len()),
            prop::sample::subsequence(Stream::ALL.to_vec(), 0..=3),
            any::<bool>(),
            weights()
        )
            .prop_map(|(kind, stream, unpaid_only, weight)| {
                let stream = stream.into_iter().map(Stream::to_wire).collect();
                v1::bucket::To::Contributors(v1::Contributors { kind, stream, unpaid_only, weight })
            }),
    ]
}

fn work(kinds: Vec<String>) -> impl Strategy<Value = v1::ExampleWork> {
    (
        handle(),
        prop::sample::select(kinds),
        prop::sample::select(Stream::ALL),
        prop::sample::select(Remuneration::ALL),
        1_u64..100_000,
        0_u32..1_000,
    )
        .prop_map(|(agent, kind, stream, remuneration, quantity, age_months)| {
            v1::ExampleWork {
                agent,
                kind,
                stream: stream.to_wire(),
                remuneration: remuneration.to_wire(),
                quantity,
                age_months,
            }
        })
}

fn amounts() -> impl Strategy<Value = Vec<v1::Amount>> {
    prop::collection::btree_map("EUR|JPY|BHD|CHF", 1..=MAX_MONEY, 0..4).prop_map(|m| {
        m.into_iter().map(|(currency, minor)| v1::Amount { currency, minor }).collect()
    })
}

prop_compose! {
    fn equation()
        (rates in prop::collection::btree_map(handle(), 1..=MAX_RATE, 1..6))
        (
            to in prop::collection::btree_map(
                handle(), bucket(&rates.keys().cloned().collect::<Vec<_>>()), 1..6),
            cuts in prop::collection::btree_set(1_u32..1_000_000, 5),
            examples in prop::collection::vec(
                (amounts(), prop::collection::vec(work(rates.keys().cloned().collect()), 0..5)), 0..3),
            rates in Just(rates),
            (name, version) in (handle(), 1..=u32::MAX),
            validators in 1_u32..=9,
            days in prop::array::uniform4(0_u32..=3_660),
            fallback in prop_oneof![Just(String::new()), handle()],
            minimum_payout in amounts(),
        ) -> v1::Equation {
            let mut cuts: Vec<u32> = cuts.into_iter().take(to.len() - 1).collect();
            cuts.extend([0, 1_000_000]);
            cuts.sort_unstable();
            let shares: Vec<u32> = cuts.windows(2).map(|w| w[1] - w[0]).collect();
            let [maturity_days, notice_days, claim_delay_days, held_days] = days;
            let example = examples.into_iter().filter_map(|(income, work)| {
                Some(v1::Example { income: Some(income.first()?.clone()), work, amount: vec![] })
            }).collect();
            let mut wire = v1::Equation {
                name, version, validators, maturity_days, notice_days, claim_delay_days,
                held_days, fallback, minimum_payout, example,
                rate: rates.into_iter().map(|(kind, points)| v1::Rate { kind, points }).collect(),
                bucket: to.into_iter().zip(shares).map(|((name, to), share)| {
                    v1::Bucket { name, share, to: Some(to) }
                }).collect(),
            };
            let equation = Equation::read(wire.clone()).unwrap();
            for example in &mut wire.example {
                let out: BTreeMap<Handle, i128> = equation.work_out(example).unwrap();
                example.amount = out.into_iter().map(|(agent, minor)| v1::ExampleAmount {
                    agent: agent.to_string(), minor: minor.try_into().unwrap(),
                }).collect();
            }
            wire
        }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("SUBAK_LONG").is_some() { 10_000 } else { 200 }
    ))]

    #[test]
    fn what_is_printed_is_read_back_exactly(wire in equation()) {
        prop_assert!(Equation::from_wire(wire.clone()).is_ok());
        let text = print(&wire, &exponent);
        let back = parse(&text, &exponent).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(back, wire, "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(at in 0..FULL.len(), to in "\\PC{0,8}") {
        let mut text = FULL.to_string();
        text.replace_range(at..=at, &to);
        let _ = parse(&text, &exponent);
    }
}
