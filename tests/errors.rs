//! Each way in which a command fails: one message, the next step, the right exit status,
//! and the same as one JSON object. Then what holds of every command: help, pipes, colour.
//!
//! Status 1: refused. 2: the command line makes no sense. 3: it could not be judged. 4: the world
//! failed, or what was named is not there: try again.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Author, DAY_MS, Place, Ran, append, now, words};
use std::{fs, process::Stdio};
use subak_cli::{
    context::{Context, Global},
    failure::Failure,
};
use subak_ledger::book::types::AgentKind;
use subak_node::{
    LedgerInfo, Ledgers as _,
    runtime::{Node, Options},
};

/// A commons of ana's, with a key of ben's beside it.
fn commons() -> Place {
    let place = Place::new();
    place.type_in("key new ana").done();
    place.type_in("key new ben").done();
    place.type_in("commons open our-commons --sandbox --steward ana").done();
    place
}

/// What a person sees: the result empty, at the end of the notes one message and one step.
fn check_text(ran: &Ran, status: i32, says: &str) {
    let told = format!("subak {}\n{}{}", ran.line, ran.out, ran.err);
    assert_eq!(ran.status, status, "{told}");
    assert_eq!(ran.out, "", "{told}");
    let lines: Vec<&str> = ran.err.lines().collect();
    let [.., message, next] = lines.as_slice() else { panic!("two lines at least: {told}") };
    assert!(message.starts_with("subak: ") && message.contains(says), "{says:?} in {told}");
    assert!(next.starts_with("  next: ") && next.len() > 15, "{told}");
    assert_eq!(ran.err.matches("subak: ").count(), 1, "one message: {told}");
    assert!(!ran.err.contains("panicked"), "{told}");
}

/// What a program sees: one object, with code, message and next step.
fn check_json(ran: &Ran, status: i32, says: &str) {
    assert_eq!(ran.status, status, "subak {}\n{}{}", ran.line, ran.out, ran.err);
    assert_eq!(ran.err, "", "subak {}", ran.line);
    assert_eq!(ran.out.lines().count(), 1, "subak {}\n{}", ran.line, ran.out);
    let object = ran.object();
    assert!(object["schema"].as_str().unwrap().starts_with("subak."), "{object}");
    assert_eq!(object.get("data"), None, "{object}");
    let part =
        |name: &str| object["error"][name].as_str().unwrap_or_else(|| panic!("{name} in {object}"));
    assert!(!part("code").is_empty() && !part("next").is_empty(), "{object}");
    assert!(part("message").contains(says), "{says:?} in {object}");
}

/// The same command, as a person and as a program gives it.
fn fails(place: &Place, line: &str, status: i32, says: &str) {
    check_text(&place.type_in(line), status, says);
    check_json(&place.type_in(&format!("{line} --json")), status, says);
}

#[test]
fn who_signs_must_be_who_it_says() {
    let place = commons();
    let bens = place.key("ben").display().to_string();
    fails(
        &place,
        &format!("contribute 1 --as ana --key {bens}"),
        1,
        "does not belong to the author: ana",
    );
    fails(&place, "contribute 1 --as zed", 4, "no key of zed");
    fails(&place, "contribute 1", 2, "keys of ana, ben");
    fails(&place, "contribute 1 --as ana --key nowhere.key", 4, "nowhere.key");
    fails(&place, "key new ana", 1, "ana.key");
    let nobody = Place::new();
    fails(&nobody, "commons open our-commons --steward ana", 4, "no key of ana");
}

#[test]
fn what_is_named_must_be_there() {
    let place = commons();
    fails(&place, "balance nobody", 1, "nobody");
    fails(&place, "contribute 1 --for nobody --as ana", 1, "nobody");
    fails(&place, "explain nobody", 1, "nobody");
    fails(&place, "show 17", 1, "17");
    fails(&place, "approve 17 --as ana", 1, "17");
    fails(&place, "log --ledger other", 1, "there are: our-commons");
    fails(&place, "contribute 1 --kind juggling --as ana", 1, "juggling");
    fails(&place, "commons open our-commons --steward ana", 1, "our-commons is here already");
    place.type_in("commons open second --steward ana").done();
    fails(&place, "balance", 2, "our-commons, second");
}

#[test]
fn amounts_and_dates_are_read_strictly() {
    let place = commons();
    for amount in ["12", "12 eur", "12.345 EUR", "1e3 EUR", "12.00 XQX", "1200,50 EUR", "1,5 EUR"] {
        let line = format!("income record --payer ana --amount \"{amount}\" --bank b1 --as ana");
        fails(&place, &line, 2, amount);
    }
    for quantity in ["0", "x", "1.0005", "1,5"] {
        fails(&place, &format!("contribute {quantity} --as ana"), 2, quantity);
    }
    for date in ["2026-02-30", "yesterday", "21.11.2026", "1969-12-31"] {
        fails(&place, &format!("contribute 1 --on {date} --as ana"), 2, date);
        fails(&place, &format!("contribute 1 --at {date} --as ana"), 2, date);
    }
    fails(&place, "contribute 1 --at 2001-01-01 --as ana", 1, "time");
    let real = Place::new();
    real.type_in("key new ana").done();
    real.type_in("commons open our-commons --steward ana").done();
    fails(&real, "contribute 1 --at 2026-01-01 --as ana", 1, "sandbox");
}

#[test]
fn equations_and_settings_that_do_not_hold() {
    let place = commons();
    let hours = place.type_in("equation new --template hours").done().out;
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    write("short.toml", &hours.replace("share = \"100 %\"", "share = \"99 %\""));
    fails(&place, "equation check short.toml", 1, "99 %");
    fails(&place, "equation propose short.toml --as ana", 1, "99 %");
    fails(&place, "commons open second --equation short.toml --steward ana", 1, "99 %");
    write("torn.toml", &hours.replace("[rates]", "[rates"));
    fails(&place, "equation check torn.toml", 1, "torn.toml: line 3");
    write("wrong.toml", &hours.replace("ana = \"750.00\"", "ana = \"760.00\""));
    let wrong = place.type_in("equation check wrong.toml");
    assert_eq!(wrong.status, 1, "{}{}", wrong.out, wrong.err);
    assert!(format!("{}{}", wrong.out, wrong.err).contains("760.00"), "stated beside computed");
    fails(&place, "equation check nowhere.toml", 4, "nowhere.toml");
    write("home/config.toml", "colour = 3\n");
    fails(&place, "log", 2, "config.toml");
}

/// As `type_in`, with variables set.
fn with(place: &Place, variables: &[(&str, &str)], line: &str) -> (i32, String) {
    let mut command = place.command();
    command.args(words(line)).envs(variables.iter().copied());
    let ran = command.output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn between_a_file_and_a_node_the_flag_decides_then_the_environment() {
    let place = commons();
    let server = place.serve(&[]);
    let (url, dead) = (server.url.as_str(), "http://127.0.0.1:1");
    let file = |name| ("SUBAK_DB", name);
    let node = |url| ("SUBAK_NODE", url);
    for (variables, line, status, says) in [
        (vec![file("missing.db")], format!("balance --node {url}"), 0, ""),
        (vec![node(dead)], "balance --db subak.db".to_owned(), 0, ""),
        (vec![file("missing.db")], "balance".to_owned(), 4, "missing.db"),
        (vec![file("missing.db")], "balance --db subak.db".to_owned(), 0, ""),
        (vec![node(dead)], format!("balance --node {url}"), 0, ""),
        (vec![node(dead)], format!("--node {url} balance"), 0, ""), // before the command, too
        (vec![file("a"), node(dead)], "balance".to_owned(), 2, "SUBAK_NODE"),
        (vec![], format!("balance --db subak.db --node {url}"), 2, "two places"),
    ] {
        let (found, said) = with(&place, &variables, &line);
        assert_eq!(found, status, "{variables:?} subak {line}\n{said}");
        assert!(said.contains(says), "{variables:?} subak {line}\n{said}");
    }
    std::fs::write(place.path().join("home/config.toml"), format!("node = \"{dead}\"\n")).unwrap();
    assert_eq!(with(&place, &[], "balance").0, 4, "the configuration's node is away");
    assert_eq!(with(&place, &[file("subak.db")], "balance").0, 0);
}

#[test]
fn the_operator_is_whom_one_expects_or_nothing_is_believed() {
    let place = commons();
    let key = place.data("commons show")["operator_key"].as_str().unwrap().to_owned();
    let other = place.data("key show ben")["public"].as_str().unwrap().to_owned();
    let server = place.serve(&[]);
    for at in [format!("--node {}", server.url), "--db subak.db".to_owned()] {
        for line in ["balance", "log", "show 0"] {
            place.type_in(&format!("{line} {at} --expect {key}")).done();
            place.type_in(&format!("{line} {at} --expect {other} --expect {key}")).done();
            fails(&place, &format!("{line} {at} --expect {other}"), 1, &key);
            fails(&place, &format!("{line} {at} --expect {other},{other}"), 1, &key);
            let refused = place.type_in(&format!("{line} {at} --expect {other} --json")).object();
            assert_eq!(refused["error"]["code"], "operator-unexpected", "{refused}");
        }
    }
    let at = format!("--node {}", server.url);
    fails(&place, &format!("contribute 1 --as ana {at} --expect {other}"), 1, &key);
    place.type_in(&format!("contribute 1 --as ana {at} --expect {key}")).done();
    let (status, said) = with(&place, &[("SUBAK_EXPECT", &other)], &format!("balance {at}"));
    assert!(status == 1 && said.contains(&key), "{said}");
    let audited = place.run(&["audit", &server.url, "--expect", &other, "--json"]);
    assert_eq!(audited.status, 1, "{}", audited.out);
    assert!(audited.out.contains("operator-unexpected"), "{}", audited.out);
    fails(&place, "balance --expect abc", 2, "3 characters; expected 64 hex digits");
    fails(&place, &format!("audit --expect {}", "z".repeat(64)), 2, "verifier key");
    for url in ["here", "ftp://127.0.0.1:1", "http://", "http://a b", "https://"] {
        check_json(
            &place.run(&["balance", "--json", "--node", url]),
            2,
            "expected http://HOST:PORT or https://HOST:PORT",
        );
    }
}

#[test]
fn a_list_of_ledgers_that_contradicts_their_genesis_is_a_lie() {
    let place = commons();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let global = Global { db: Some(place.db()), ..Global::default() };
        let home = Some(place.path().join("home"));
        let connection = Context::new(Global { home: home.clone(), ..global.clone() }).unwrap();
        let connection = connection.reader().await.unwrap();
        let cx = Context::within(Global { home, ..global }, connection.clone()).unwrap();
        let true_one = cx.choose(&connection, None).await.unwrap();
        let open = |listed: &LedgerInfo| cx.open_ledger(connection.clone(), listed.clone());
        let stale = LedgerInfo { size: 0, recorded_at: 0, ..true_one.clone() };
        let opened = open(&stale).await.unwrap();
        assert_eq!(opened.info, true_one, "what is used is what was folded");
        for (lie, says) in [
            (LedgerInfo { name: "another".into(), ..true_one.clone() }, "name"),
            (LedgerInfo { kind: AgentKind::Phyle, ..true_one.clone() }, "kind"),
            (LedgerInfo { sandbox: false, ..true_one.clone() }, "sandbox"),
            (LedgerInfo { operator: [7; 32], ..true_one.clone() }, "operator"),
        ] {
            let refused = open(&lie).await.err().unwrap_or_else(|| panic!("{says} was believed"));
            assert_eq!((refused.status, refused.code.as_str()), (1, "corrupt"));
            assert!(
                refused.message.contains("lies") && refused.message.contains(says),
                "{refused}"
            );
        }
    });
}

#[test]
fn files_that_are_no_ledger() {
    let place = commons();
    fs::write(place.path().join("note.txt"), "not a ledger, only a note\n".repeat(500)).unwrap();
    fs::write(place.path().join("empty.db"), "").unwrap();
    for command in ["log", "balance", "contribute 1 --as ana", "serve --listen 127.0.0.1:0"] {
        fails(&place, &format!("{command} --db note.txt"), 1, "note.txt");
        fails(&place, &format!("{command} --db empty.db"), 1, "empty.db");
        fails(&place, &format!("{command} --db missing.db"), 4, "missing.db");
    }
    for name in ["note.txt", "empty.db"] {
        fails(&place, &format!("audit {name}"), 1, name);
    }
    assert!(!place.path().join("missing.db").exists(), "a failed command makes no file");
}

/// To whoever goes by the status, 1 says of an audit that somebody is at fault.
#[test]
fn what_is_not_there_or_proves_nothing_is_nobodys_fault() {
    let place = commons();
    let missing = [
        "audit missing.db",
        "audit missing.bundle",
        "audit missing.fraud-proof",
        "audit --trust-file missing.txt",
        "balance --trust-file missing.txt",
        "bundle export x.subak --db missing.db",
        "import csv missing.csv --as ana",
        "import git missing.git --as ana",
        "receipt verify missing.tlog-proof",
        "checkpoint challenge missing.checkpoint",
        "witness serve --as ana --store missing.db --trust-file missing.txt",
    ];
    for line in missing {
        fails(&place, line, 4, "missing.");
    }
    fs::create_dir(place.path().join("folder.db")).unwrap();
    fails(&place, "audit folder.db", 4, "folder.db");
    // A proof that is cut short proves nothing, of anybody.
    let key = place.data("commons show")["operator_key"].as_str().unwrap().to_owned();
    let half = place.path().join("half.fraud-proof");
    for text in [&b"subak/fraud-proof@v1\n"[..], b"subak/fraud-proof@v1\n\xff"] {
        fs::write(&half, text).unwrap();
        fails(&place, "audit half.fraud-proof", 3, "this file proves nothing");
        fails(&place, &format!("audit half.fraud-proof --expect {key}"), 3, "proves nothing");
    }
    fs::write(&half, "subak/fraud-proof@v1\n".repeat(1_000)).unwrap();
    fails(&place, "audit half.fraud-proof", 3, "this file proves nothing");
}

#[test]
fn a_world_that_fails_is_status_4() {
    let place = commons();
    fails(&place, "log --node http://127.0.0.1:1", 4, "http://127.0.0.1:1");
    fails(&place, "contribute 1 --as ana --node http://127.0.0.1:1", 4, "http://127.0.0.1:1");
    fails(&place, "audit http://127.0.0.1:1", 4, "http://127.0.0.1:1");
    let mut server = place.serve(&[]);
    fails(&place, "contribute 1 --as ana", 4, "subak.db");
    fails(&place, "serve --listen 127.0.0.1:0", 4, "subak.db");
    place.type_in("balance").done(); // reading needs no lock
    place.type_in(&format!("contribute 1 --as ana --node {}", server.url)).done();
    let taken = server.url.trim_start_matches("http://").to_owned();
    let other = Place::new();
    fails(&other, &format!("serve --new-ledgers --listen {taken}"), 4, &taken);
    server.kill();
    place.type_in("contribute 1 --as ana").done(); // the lock went with its holder
    place.sound(&place.db());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_status_4() {
    let place = commons();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = place.command().arg("log").stdout(full).stderr(Stdio::piped()).output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{err}");
    assert!(err.contains("standard output") && err.contains("next: "), "{err}");
}

#[test]
fn a_statement_that_came_too_late_is_refused() {
    let place = Place::new();
    place.type_in("key new ana").done();
    let opened = place.data("commons open our-commons --steward ana");
    let envelope = Author::new(&place, &opened).hour_at(now() - 2 * DAY_MS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let failure = runtime.block_on(async {
        let node = Node::open(place.db(), Options::default()).await.unwrap();
        Failure::from(node.append(append(&envelope)).await.unwrap_err())
    });
    assert_eq!((failure.status, failure.code.as_str()), (1, "expired"), "{failure}");
    assert!(failure.next.contains("sign it again"), "{}", failure.next);
}

#[test]
fn a_reader_who_goes_away_is_no_error() {
    let place = commons();
    for line in [
        "log",
        "log --json",
        "balance",
        "audit",
        "--help",
        "log --help",
        "equation show",
        "completions bash",
        "--version",
    ] {
        let mut command = place.command();
        command.args(words(line)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "subak {line}: {err}");
        assert!(!err.contains("subak: ") && !err.contains("panicked"), "subak {line}: {err}");
    }
}

#[test]
fn pipes_see_no_colour() {
    let place = commons();
    for line in ["log", "balance", "audit", "commons show", "--help", "log --from x", "show 99"] {
        let ran = place.type_in(line);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "subak {line}");
        assert!(!ran.out.is_empty() || !ran.err.is_empty(), "subak {line}");
    }
}

/// Every command with its subcommands, as words.
fn commands(of: &clap::Command, path: &[String], into: &mut Vec<Vec<String>>) {
    into.push(path.to_vec());
    for sub in of.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let path: Vec<String> = path.iter().cloned().chain([sub.get_name().to_owned()]).collect();
        commands(sub, &path, into);
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let place = Place::new();
    let mut all = Vec::new();
    commands(&subak_cli::definition(), &[], &mut all);
    assert!(all.len() > 60, "{} commands", all.len());
    let mut lacking = Vec::new();
    for path in all {
        let mut words: Vec<&str> = path.iter().map(String::as_str).collect();
        words.push("--help");
        let help = place.run(&words).done().out;
        if !help.contains("Example") {
            lacking.push(format!("{}: no example", path.join(" ")));
        }
        if let Some(wide) = help.lines().find(|line| line.chars().count() > 100) {
            lacking.push(format!("{}: too wide: {wide}", path.join(" ")));
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn shells_get_completions() {
    let place = Place::new();
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef subak"), ("fish", "complete -c subak")]
    {
        let script = place.type_in(&format!("completions {shell}")).done().out;
        assert!(script.contains(mark) && script.contains("contribute"), "{shell}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_status_2() {
    let place = commons();
    for line in [
        "juggle",
        "contribute",
        "log --from x",
        "log --db a --node http://b",
        "validate",
        "audit --expect 00",
    ] {
        let ran = place.type_in(line);
        assert_eq!(ran.status, 2, "subak {line}\n{}{}", ran.out, ran.err);
        assert!(ran.out.is_empty() && ran.err.len() > 20, "subak {line}\n{}{}", ran.out, ran.err);
        check_json(&place.type_in(&format!("{line} --json")), 2, "");
    }
}
