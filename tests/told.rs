//! What commands tell people, beside the result: what to look at twice, what was done
//! although something else failed, what a figure is made of.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{DAY_MS, Place, Ran, now, words};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::Stdio,
};
use subak_cli::money::{show_date, show_time};
use subak_ledger::log::{
    SecretKey,
    cosignature::{CosignerKey, cosign},
    note::Note,
    receipt::Receipt,
};

/// A commons with two stewards, who are its maintainers; `validators` by the template.
fn commons(template: &str) -> Place {
    let place = Place::new();
    for who in ["ana", "ben", "dora", "zoe"] {
        place.type_in(&format!("key new {who}")).done();
    }
    let open = "commons open ours --sandbox --steward ana --steward ben --template";
    place.type_in(&format!("{open} {template} --phyle our-phyle")).done();
    place
}

#[test]
fn a_maintainer_is_told_what_others_read_otherwise_before_confirming_it() {
    let place = commons("equal");
    place.type_in("contribute 2 --reference pr:1 --as dora").done();
    place.type_in("agent admit dora --as ana").done();
    place.type_in("validate 1.1 --quantity dora=1.5 --remuneration unpaid --as ana").done();
    let list = place.type_in("contribution list --pending").done();
    list.says(&["pending 1/2 as 1.5"]);
    // Routine does not undo what ana has said.
    let all = place.type_in("validate --all-pending --remuneration paid --as ben");
    all.says(&["others have said other quantities: 1 contribution", "nothing awaits your word"]);
    let one = place.type_in("validate 1.1 --remuneration paid --as ben").done();
    one.says(&["look twice:", "1.1, dora: ana read it as 1.5, unpaid"]);

    let place = commons("equal");
    place.type_in("contribute 2 --reference pr:1 --as dora").done();
    place.type_in("contribute 9 --reference pr:1 --as zoe").done();
    let strangers = place.type_in("validate --all-pending --remuneration unpaid --as ana");
    assert_eq!(strangers.status, 1, "{}", strangers.err);
    strangers.says(&["(dora, zoe): 2 contributions", "`subak agent admit HANDLE`"]);
    place.type_in("agent admit dora --as ana").done();
    place.type_in("agent admit zoe --as ana").done();
    let contested = "pr:1 is claimed by 1.1 of dora and 2.1 of zoe";
    let both = place.type_in("validate --all-pending --remuneration unpaid --as ana");
    assert_eq!(both.status, 1, "{}", both.err);
    both.says(&[contested, "by its place"]);
    place.type_in("contribute 1 --reference pr:2 --as dora").done();
    let rest = place.type_in("validate --all-pending --remuneration unpaid --as ana").done();
    rest.says(&["left out", contested, "1 contribution, your word"]);
    let range = place.type_in("validate 1..2 --remuneration unpaid --as ben").done();
    range.says(&["look twice:", contested]);
    let plain = place.type_in("contribute 1 --as dora").done();
    assert!(!plain.err.contains("look twice"));
    place.type_in("validate 1.1 --quantity dora=1.5 --remuneration unpaid --as ana").done();
    place.type_in("validate 1.1 --quantity dora=1.5 --remuneration unpaid --as ben").done();
    place.type_in("role grant zoe maintainer --as ana").done();
    let third = place.type_in("validate 1.1 --remuneration unpaid --as zoe").done();
    third.says(&["1.1, dora: 1.5 stands, claimed was 2"]);
}

/// A phyle beside the commons, with an agreement; its digest.
fn agreed(place: &Place) -> String {
    place.type_in("key new tess").done();
    place.type_in("phyle open our-phyle --sandbox --steward tess --commons ours").done();
    let offer = "agreement offer --ledger our-phyle --commons-ledger ours --share \"10 %\"";
    let offered = place.data(&format!("{offer} --currency EUR --as tess"));
    let digest = offered["agreement"].as_str().unwrap().to_owned();
    place.type_in(&format!("agreement accept {digest} --ledger ours --as ana")).done();
    digest
}

#[test]
fn a_reversal_that_is_taken_is_said_and_signed_by_whom_one_names() {
    let place = commons("solo");
    agreed(&place);
    let record = "revenue record a/1 --net \"1000.00 EUR\" --ledger our-phyle --as tess";
    place.type_in(record).done();
    let taken = place.type_in("income take --ledger ours").done();
    taken.says(&["1 income taken", "income 1: 100.00 EUR from our-phyle", "signed as clerk"]);
    place
        .type_in(
            "revenue reverse a/1 --net \"400.00 EUR\" --cause refund --ledger our-phyle --as tess",
        )
        .done();
    let back = place.type_in("income take --ledger ours --as ana").done();
    back.says(&["1 reversal taken over", "income 1: 40.00 EUR our-phyle took back, of 100.00"]);
    back.says(&["signed as ana"]);
    // Who is no agent there cannot sign, and is told who does instead.
    let other = "revenue record a/2 --net \"10.00 EUR\" --ledger our-phyle --as tess";
    place.type_in(other).done();
    let taken = place.type_in("income take --ledger ours --as tess").done();
    taken.says(&["tess is no agent of ours: the clerk signs", "signed as clerk"]);
    // Amounts without a currency of their own are shown in the agreement's.
    let sent = "settle sent ours --amount \"60.00 EUR\" --bank b1 --ledger our-phyle --as tess";
    place.type_in(sent).done().says(&["SettlementSent: 60.00 EUR under agreement"]);
    place.type_in("log --ledger our-phyle --limit 1").done().says(&["60.00 EUR"]);
    place.sound(&place.db());
}

#[test]
fn a_payer_who_is_refused_does_not_keep_the_others_income_away() {
    let place = commons("solo");
    place.type_in("key new tess").done();
    let most = 10_000_000_000_000_i64; // euros: 10^15 cents, as `book::types::MAX_MONEY` has it
    let mut offered = Vec::new();
    for phyle in ["our-phyle", "second", "third"] {
        place
            .type_in(&format!("phyle open {phyle} --sandbox --steward tess --commons ours"))
            .done();
        if phyle != "our-phyle" {
            let add = "--kind phyle --ledger ours --as ana";
            place.type_in(&format!("agent add {phyle} {add}")).done();
        }
        let offer =
            format!("agreement offer --ledger {phyle} --commons-ledger ours --share \"100 %\"");
        let offered_now = place.data(&format!("{offer} --currency EUR --as tess"));
        let digest = offered_now["agreement"].as_str().unwrap().to_owned();
        place.type_in(&format!("agreement accept {digest} --ledger ours --as ana")).done();
        offered.push((digest, phyle));
    }
    let earns = |phyle: &str, euros: i64| {
        let net = format!("--net \"{euros}.00 EUR\"");
        place.type_in(&format!("revenue record a/1 {net} --ledger {phyle} --as tess")).done();
    };
    // Nearly all that a ledger can take in; so the next such payer is refused.
    earns("our-phyle", most - 10);
    place.type_in("income take --ledger ours --agreement our-phyle").done();
    let mut others = offered.split_off(1);
    others.sort(); // as they are taken: the one that is refused first
    earns(others[0].1, most - 10);
    let alone = place.type_in("income take --ledger ours");
    assert_eq!(alone.status, 1, "{}", alone.err);
    alone.says(&[others[0].1, "limit-exceeded", &others[0].0[..8]]);
    earns(others[1].1, 5);
    let both = place.type_in("income take --ledger ours");
    assert_eq!(both.status, 1, "{}{}", both.out, both.err);
    let income = format!("income 2: 5.00 EUR from {}", others[1].1);
    both.says(&["1 income taken", &income, others[0].1, "limit-exceeded", "next:"]);
    let again = place.type_in("income take --ledger ours");
    assert_eq!(again.status, 1, "{}{}", again.out, again.err);
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_recorded_is_said_although_the_answer_could_not_be_written() {
    let place = commons("solo");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = place.command();
    command.args(words("contribute 1 --as dora")).stdout(full).stderr(Stdio::piped());
    let ended = command.output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{err}");
    assert!(err.contains("entry 1 of ledger") && err.contains("is recorded"), "{err}");
    assert!(err.contains("do not repeat it"), "{err}");
    assert_eq!(place.data("contribution list")["total"], 1);
}

#[test]
fn work_is_shown_before_there_is_money() {
    let place = commons("solo");
    place.type_in("contribute 2 --reference pr:1 --as dora").done();
    place.type_in("validate 1.1 --remuneration unpaid --as ana").done();
    place.type_in("contribute 1 --reference pr:2 --as dora").done();
    for line in ["balance dora", "explain dora"] {
        let ran = place.type_in(line).done();
        ran.says(&["no income has come to this ledger yet", "1 claim to be validated: 3.0"]);
        let points = place.data(line)["work"].clone();
        assert_eq!(points["pending"], serde_json::json!(["3.0"]), "{points}");
        let q = |name: &str| points[name].as_str().unwrap().parse::<u32>().unwrap();
        assert!(q("points") + q("maturing") >= 2, "{points}");
    }
    place.type_in("balance nobody").says(&["nobody"]);
}

#[test]
fn a_ledger_of_the_wrong_kind_does_not_reassure() {
    let place = commons("solo");
    place.type_in("key new tess").done();
    place.type_in("phyle open our-phyle --steward tess --commons ours").done();
    for line in
        ["balance", "explain tess", "held list", "income list", "payout list", "contribution list"]
    {
        let ran = place.type_in(&format!("{line} --ledger our-phyle"));
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{line}: {}", ran.err);
        ran.says(&["revenue ledger of a phyle", "wrong-ledger-kind", "next:"]);
        let right = place.type_in(&format!("{line} --ledger ours"));
        assert!(line.starts_with("explain") || right.status == 0, "{line}: {}", right.err);
    }
    place.type_in("revenue list --ledger ours").says(&["keeps no revenue", "wrong-ledger-kind"]);
}

#[test]
fn an_equation_is_given_the_version_that_comes_next_and_what_comes_is_said() {
    let place = Place::new();
    let first = place.type_in("equation new --template hours").done();
    assert!(first.out.contains("\nversion = 1\n"), "{}", first.out);
    let place = commons("equal");
    let next = place.type_in("equation new --template hours").done();
    assert!(next.out.contains("\nversion = 2\n"), "{}", next.out);
    next.says(&["the next one of ours"]);
    fs::write(place.path().join("eq.toml"), &next.out).unwrap();
    place.type_in("equation propose eq.toml --as ana").done();
    let shown = place.type_in("equation show").done();
    shown.says(&["equal version 1, in force since", "# version 2 is adopted, in force from"]);
    assert_eq!(place.data("equation show")["adopted"]["version"], 2);
    let second = place.type_in("equation show --version 2").done();
    assert!(!second.out.contains("version 3"), "{}", second.out);
}

#[test]
fn a_commons_with_too_few_maintainers_is_warned() {
    let place = Place::new();
    place.type_in("key new ana").done();
    let open = place.type_in("commons open ours --steward ana --template equal").done();
    open.says(&["asks for 2 validators, and the ledger opens with 1 maintainer:"]);
    let open = place.type_in("commons open other --steward ana --template solo").done();
    assert!(!open.err.contains("validators"), "{}", open.err);
    for handle in ["clerk", "operator", "contributors"] {
        let refused = place.type_in(&format!("key new {handle}"));
        assert_eq!(refused.status, 2, "{}", refused.err);
        refused.says(&["ledgers use themselves"]);
        assert!(!place.key(handle).exists());
    }
}

#[test]
fn dates_and_amounts_that_do_not_fit_are_refused_in_dates_and_amounts() {
    let place = commons("solo");
    let early = place.type_in("contribute 1 --as dora --at 2001-01-01");
    early.says(&["--at 2001-01-01: expected a time from 20", "the last entry's", "to now"]);
    assert_eq!(early.status, 1, "{}", early.err);
    let later =
        place.type_in(&format!("contribute 1 --as dora --at {}", show_time(now() + 2 * DAY_MS)));
    later.says(&[&format!("--at {}", &show_date(now() + 2 * DAY_MS))]);
    let given = "income record --payer our-phyle --bank b1 --as ana --amount";
    let minus = place.type_in(&format!("{given} \"-5.00 EUR\""));
    assert_eq!(minus.status, 2, "{}", minus.err);
    minus.says(&["-5.00 EUR", "is below zero", "without a sign"]);
    let minus = place.type_in("contribute -1 --as dora");
    assert_eq!(minus.status, 2, "{}", minus.err);
    minus.says(&["expected a number above 0"]);
    place.type_in(&format!("{given} \"5.00 EUR\"")).done();
    let past = place.type_in("payout propose --all --expires 2020-01-01 --as ana");
    assert_eq!(past.status, 2, "{}", past.err);
    past.says(&["--expires 2020-01-01: expected after 20"]);
}

/// What a server says when it is ready, and its log until then.
fn served_once(place: &Place) -> (serde_json::Value, String) {
    let mut command = place.command();
    command.args(words("serve --json --listen 127.0.0.1:0"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    (serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}{log}")), log)
}

#[test]
fn a_server_without_a_ledgers_key_says_so() {
    let place = commons("solo");
    fs::remove_dir_all(place.path().join("subak.db.keys")).unwrap();
    let (told, log) = served_once(&place);
    assert_eq!(told["data"]["without_key"], serde_json::json!(["ours"]), "{log}");
    assert!(log.contains("nothing can be appended"), "{log}");
}

#[test]
fn an_old_copy_is_read_and_neither_served_nor_appended_to() {
    let place = commons("solo");
    place.type_in("contribute 1 --as ana").done();
    let old = place.path().join("old.db");
    place.type_in(&format!("backup {}", old.display())).done();
    place.type_in("contribute 2 --as ana").done();
    fs::copy(&old, place.db()).unwrap();
    for line in ["contribute 3 --as ana", "serve --listen 127.0.0.1:0"] {
        let refused = place.type_in(line);
        assert_eq!(refused.status, 1, "no retry helps: {}", refused.err);
        refused.says(&["ours ends after 2 entries, its operator has signed 3", "newest copy"]);
    }
    place.type_in("audit").done().says(&["sound ours: 2 entries"]);
}

#[test]
fn commands_at_the_same_time_take_turns() {
    let place = commons("solo");
    let run = |n: u32| {
        let mut command = place.command();
        command.args(words(&format!("contribute 1 --reference pr:{n} --as ana")));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<_> = (0..8).map(run).collect();
    for child in all {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(place.data("contribution list")["total"], 8);
}

#[test]
fn long_lines_fit_a_terminal() {
    let place = commons("solo");
    for n in 0..3 {
        let reference = format!("git:{}", format!("{n}").repeat(40));
        let line = format!("contribute 1.5 --kind commit --reference {reference} --as dora");
        place.type_in(&line).done();
    }
    place.type_in("agent admit dora --as ana").done();
    place.type_in("validate --all-pending --remuneration unpaid --as ana").done();
    let given = "income record --payer our-phyle --amount \"5000.00 EUR\" --bank b1 --as ana";
    place.type_in(given).done();
    let run = place.data("payout propose --all --as ana")["run"].as_u64();
    let run = run.map_or_else(String::new, |n| format!("payout list {n}"));
    for line in ["explain dora --income 1 --all", "explain dora", "balance", "payout list", &run] {
        let ran = place.type_in(line).done();
        let wide = ran.out.lines().find(|l| l.chars().count() > 80);
        assert_eq!(wide, None, "subak {line}\n{}", ran.out);
    }
}

#[test]
fn a_trusts_principal_is_not_called_free_to_be_paid() {
    let place = Place::new();
    place.type_in("key new ana").done();
    let open = "commons open ours --steward ana --template points-with-decay --trust our-trust";
    let opened = place.type_in(&format!("{open} --association our-association --phyle friends"));
    opened.done();
    let given = "income record --payer friends --amount \"100.00 EUR\" --bank b1 --as ana";
    place.type_in(given).done();
    let trust = place.type_in("explain our-trust").done();
    trust.says(&["principal: it stays, no payout carries it"]);
    assert!(!trust.out.contains("a payout could carry it now"), "{}", trust.out);
    let other = place.type_in("explain our-association").done();
    other.says(&["a payout could carry it now"]);
}

/// Whoever reads the answer may go away: what was found is in the exit status all the same.
#[test]
fn a_closed_pipe_changes_no_verdict() {
    let place = commons("equal");
    place.type_in("contribute 2 --reference pr:1 --as dora").done();
    let status = |text: &str| {
        let mut command = place.command();
        command.args(text.split(' ')).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        child.wait().unwrap().code()
    };
    let db = place.db().display().to_string();
    assert_eq!(status(&format!("audit {db}")), Some(0));
    let conn = rusqlite::Connection::open(place.db()).unwrap();
    conn.execute_batch("DROP TRIGGER entry_delete; DELETE FROM entry WHERE seq = 1").unwrap();
    drop(conn);
    assert_eq!(status(&format!("audit {db}")), Some(1), "a fault");
    assert_eq!(status(&format!("--json audit {db}")), Some(1), "a fault");
}

/// Both shares would fall due, and a stage that has passed is not stated again.
#[test]
fn an_agreement_beside_another_is_said_and_an_active_one_is_left_alone() {
    let place = commons("solo");
    let digest = agreed(&place);
    let offer = "agreement offer --ledger our-phyle --commons-ledger ours --share \"5 %\"";
    let more = place.type_in(&format!("{offer} --currency EUR --as tess")).done();
    more.says(&["offered to ours", &digest[..16], "is active already", "both shares fall due"]);
    for command in ["state", "activate"] {
        let again = place.type_in(&format!("agreement {command} {digest} --ledger our-phyle"));
        again.done().says(&["is active already", "nothing to do"]);
    }
}

/// One who validates again has changed their mind, and is told what that does.
#[test]
fn a_second_word_says_what_became_of_the_first() {
    let place = commons("equal");
    place.type_in("contribute 2 --as dora").done();
    place.type_in("contribute 3 --as dora").done();
    place.type_in("agent admit dora --as ana").done();
    let word = |place_: &str, paid: &str, who: &str| {
        place.type_in(&format!("validate {place_} --remuneration {paid} --as {who}"))
    };
    let silent = |ran: Ran| assert!(!ran.done().out.contains("your word"));
    silent(word("1", "unpaid", "ana")); // entry 4
    let again = word("1", "paid", "ana").done();
    again.says(&["pending 1/2", "it replaces your word of entry 4"]);
    assert!(word("1", "paid", "ana").err.contains("[already-validated]"), "the same word");
    silent(word("1", "paid", "ben")); // entry 6: it holds now
    let data = place.data("validate 1..2 --remuneration unpaid --as ana"); // entry 7
    assert_eq!(data["again"].as_array().unwrap().len(), 1, "{data:#}");
    assert_eq!((&data["again"][0]["entry"], &data["again"][0]["holds"]), (&5.into(), &true.into()));
    let other = word("1", "unknown", "ana").done();
    other.says(&["it replaces your word of entry 7"]);
    let ben = word("1..2", "unpaid", "ben").done();
    ben.says(&["what holds by your word of entry 6 holds until as many maintainers agree"]);
    let help = place.type_in("validate --help").done();
    help.says(&["Other words for what you have validated replace yours"]);
    place.sound(&place.db());
}

/// Taking a text away breaks nothing; who audits learns that it is not there.
#[test]
fn an_audit_counts_the_texts_that_are_gone() {
    let place = commons("equal");
    place.type_in("contribute 2 --as dora --note tea").done();
    let whole = place.type_in("audit").done();
    assert!(!whole.out.contains("not disclosed"), "{}", whole.out);
    let file = rusqlite::Connection::open(place.db()).unwrap();
    assert!(file.execute("DELETE FROM disclosure", []).unwrap() > 0);
    drop(file);
    place.type_in("audit").done().says(&["sound ours", "1 of 1 committed text not disclosed"]);
}

/// The copy of a ledger file, its keys beside it but for what its operator has signed last.
fn put_back_without_head(place: &Place, older: &Path) {
    fs::copy(older, place.db()).unwrap();
    for file in fs::read_dir(place.path().join("subak.db.keys")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|it| it == "head") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Whether it is an older copy, nobody here can know: a person is asked to look, once.
#[test]
fn a_ledger_whose_last_head_is_forgotten_is_not_silently_gone_on_with() {
    let place = commons("solo");
    place.type_in("contribute 1 --as ana").done();
    let old = place.path().join("old.db");
    place.type_in(&format!("backup {}", old.display())).done();
    let usual = place.type_in("contribute 2 --as ana").done();
    assert!(!usual.err.contains("warning"), "{}", usual.err);
    put_back_without_head(&place, &old);
    let reads = place.type_in("balance").done();
    assert!(!reads.err.contains("second history"), "{}", reads.err);
    let told = ["warning: ledger ours", "second history", "`subak checkpoint challenge FILE`"];
    place.type_in("contribute 3 --as ana").done().says(&told);
    let again = place.type_in("contribute 4 --as ana").done();
    assert!(!again.err.contains("warning"), "once: {}", again.err);
    // A program that reads JSON does not swallow it.
    put_back_without_head(&place, &old);
    let ran = place.type_in("contribute 3 --as ana --json").done();
    assert!(ran.err.contains("second history") && ran.object()["data"].is_object(), "{}", ran.err);
    put_back_without_head(&place, &old);
    let (_, log) = served_once(&place);
    assert!(log.contains("second history"), "{log}");
    let (_, log) = served_once(&place);
    assert!(!log.contains("second history"), "{log}");
}

/// To compare a copy with a head takes no key, and leaves no trace.
#[test]
fn a_copy_is_held_against_a_head_without_its_operators_key() {
    let place = commons("solo");
    let backup = |name: &str| {
        let to = place.path().join(name);
        place.type_in(&format!("backup {}", to.display())).done();
    };
    backup("old.db");
    place.type_in("contribute 1 --as ana").done();
    place.type_in("checkpoint get --out kept.checkpoint --ledger ours").done();
    backup("same.db");
    place.type_in("contribute 2 --as ana").done();
    backup("newer.db");
    let challenge =
        |db: &str| place.type_in(&format!("checkpoint challenge kept.checkpoint --db {db}"));
    for db in ["same.db", "newer.db"] {
        challenge(db).done().says(&["holds: ledger ours", "goes on from that head of"]);
    }
    let older = challenge("old.db");
    assert_eq!(older.status, 1, "{}", older.err);
    older.says(&["its operator has signed", "[older-database]"]);
    for db in ["old.db", "same.db", "newer.db"] {
        assert!(!place.path().join(format!("{db}.keys")).exists(), "nothing is written");
    }
    // Another history, of which only the copy is at hand.
    put_back_without_head(&place, &place.path().join("old.db"));
    place.type_in("contribute 7 --as ana").done();
    place.type_in("contribute 8 --as ana").done();
    backup("forked.db");
    let forked = challenge("forked.db");
    assert_eq!(forked.status, 1, "{}", forked.err);
    forked.says(&["has not the first", "[older-database]"]);
}

/// What a node sends that cannot be true is what an audit is there to find, and no end of it.
#[test]
fn a_nodes_false_text_is_found_and_the_rest_is_judged() {
    let place = commons("equal");
    place.type_in("contribute 2 --as dora --note tea").done();
    let file = rusqlite::Connection::open(place.db()).unwrap();
    assert!(file.execute("UPDATE disclosure SET author = 'No Handle!'", []).unwrap() > 0);
    drop(file);
    let server = place.serve(&[]);
    let audited = place.type_in(&format!("audit {} --json", server.url));
    assert_eq!(audited.status, 1, "{}{}", audited.out, audited.err);
    let data = audited.object()["data"].take();
    let all = data["findings"].as_array().unwrap().iter();
    let faults: Vec<_> = all.filter(|f| f["severity"] == "fault").collect();
    let [fault] = &faults[..] else { panic!("one: {data:#}") };
    assert_eq!(fault["code"], "store");
    let message = fault["message"].as_str().unwrap();
    assert!(message.contains("no handle") && message.contains(&server.url), "{message}");
    let ledger = &data["ledgers"][0];
    assert_eq!((&ledger["name"], &ledger["size"]), (&"ours".into(), &ledger["checkpoint_size"]));
}

/// To a friend, a court, a newspaper: without this program's server, or any.
#[test]
fn a_receipt_is_verified_without_the_ledger_by_whom_one_trusts() {
    let place = commons("solo");
    place.type_in("contribute 2 --as dora").done();
    let told = place.type_in("receipt get 1.1 --out claim.tlog-proof").done();
    told.says(&["the receipt of entry 1 of ours", "receipt verify claim.tlog-proof --expect"]);
    place.type_in("receipt get 1 --out claim.tlog-proof").says(&["is not overwritten"]);
    let printed = place.type_in("receipt get 1").done();
    let kept = fs::read_to_string(place.path().join("claim.tlog-proof")).unwrap();
    assert_eq!(printed.out.trim_end(), kept.trim_end());
    let line = place.type_in("commons show --vkey").done().out;
    let operator = place.data("commons show")["operator_key"].as_str().unwrap().to_owned();
    fs::write(place.path().join("trust.txt"), format!("{line}quorum none\n")).unwrap();
    fs::write(place.path().join("nobody.txt"), "quorum none\n").unwrap();
    fs::remove_file(place.db()).unwrap();
    fs::remove_dir_all(place.path().join("subak.db.keys")).unwrap();
    let verify = "receipt verify claim.tlog-proof";
    for trust in [format!("--expect {operator}"), "--trust-file trust.txt".into()] {
        let holds = place.type_in(&format!("{verify} {trust}")).done();
        holds.says(&["holds: entry 1", &operator, "signed as dora"]);
    }
    let stranger = "ab".repeat(31);
    let author =
        place.data(&format!("{verify} --trust-file trust.txt"))["key"].as_str().unwrap().to_owned();
    for (trust, status, what) in [
        (String::new(), 2, "whose signature is believed?"),
        ("--trust-file nobody.txt".into(), 1, "which the trust file does not name"),
        ("--trust-file absent.txt".into(), 4, "absent.txt"),
        (format!("--trust-file claim.tlog-proof --expect {operator}"), 1, "line 1: expected log"),
        (
            format!("--trust-file nobody.txt --expect {operator}"),
            1,
            "which the trust file does not name",
        ),
        (format!("--expect {author}"), 1, "signed by no key that you trust"),
        (format!("--expect {stranger}"), 2, "key"),
    ] {
        let refused = place.type_in(&format!("{verify} {trust}"));
        assert_eq!(refused.status, status, "{trust}: {}", refused.err);
        refused.says(&[what]);
    }
    // A trust file may ask for a witness: without its word the receipt is not enough.
    let (witness, name) = (SecretKey::from_seed(&[77; 32]), "witness.example/w1");
    let key = CosignerKey::new(name, witness.public()).unwrap();
    fs::write(place.path().join("seen.txt"), format!("{line}witness W1 {key}\nquorum W1\n"))
        .unwrap();
    let refused = place.type_in(&format!("{verify} --trust-file seen.txt"));
    assert_eq!(refused.status, 1);
    refused.says(&["expected the quorum of the trust file, found none", "[unwitnessed]"]);
    let receipt = Receipt::parse(&kept).unwrap();
    let note = Note::parse(&receipt.checkpoint).unwrap();
    let word = cosign(name, note.text, 1_790_000_000, &witness).unwrap();
    fs::write(place.path().join("claim.tlog-proof"), format!("{kept}{word}")).unwrap();
    let holds = place.type_in(&format!("{verify} --trust-file seen.txt")).done();
    holds.says(&["holds: entry 1", "seen by W1 at 2026-09-21T14:13:20Z"]);
    fs::write(place.path().join("claim.tlog-proof"), kept.replace("index 1", "index 0")).unwrap();
    let changed = place.type_in(&format!("{verify} --trust-file trust.txt"));
    assert_eq!(changed.status, 1);
    changed.says(&["the proof does not hold", "[proof-invalid]"]);
}
