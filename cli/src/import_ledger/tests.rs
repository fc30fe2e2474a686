//! Importing into a ledger file, as people do it.

use super::{
    history::{Claiming, ImportOutcome, dry_run, import_history},
    rows,
};
use crate::{
    Cli,
    context::{Connection, Context, Global, Open},
    failure::{Done, Failure},
    import::{
        History, Person, Work,
        csv::{Mapping, read_csv},
    },
    money,
};
use clap::Parser as _;
use serde_json::Value;
use std::sync::Arc;
use subak_ledger::book::types::{Handle, Reference, day_of};
use subak_node::runtime::{Node, Options};
use tempfile::TempDir;

/// A commons of ana (steward, maintainer) in a folder of its own.
struct Commons {
    folder: TempDir,
    connection: Connection,
}

impl Commons {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::open(folder.path().join("t.db"), Options::default()).await.unwrap();
        let node = Arc::new(node);
        let connection = Connection { ledgers: node.clone(), embedded: Some(node), file: None };
        let commons = Self { folder, connection };
        for person in ["ana", "zoe"] {
            commons.run(&format!("key new {person}")).await.unwrap();
        }
        let open = "commons open ours --steward ana --template solo --sandbox";
        commons.run(&format!("{open} --at 2026-01-01")).await.unwrap();
        commons
    }

    fn context(&self, global: Global) -> Context {
        let home = Some(self.folder.path().join("home"));
        let db = Some(self.folder.path().join("t.db"));
        Context::within(Global { db, home, ..global }, self.connection.clone()).unwrap()
    }

    /// Runs a command line; its result.
    async fn run(&self, line: &str) -> Done<Value> {
        let cli = Cli::try_parse_from(["subak"].into_iter().chain(line.split(' '))).unwrap();
        let cx = self.context(cli.global);
        cli.command.run(&cx).await?;
        Ok(cx.out.taken().unwrap_or_default())
    }

    async fn open(&self) -> Open {
        self.context(Global::default()).read().await.unwrap()
    }

    async fn import_at(&self, at: Option<&str>, who: &str, h: &History) -> Done<ImportOutcome> {
        let cx = self.context(Global { at: at.map(Into::into), ..Global::default() });
        let author = Handle::new(who).unwrap();
        let secret = cx.secret(&author)?;
        import_history(&cx, &self.open().await, &author, &secret, h, Claiming::default()).await
    }

    async fn import(&self, h: &History) -> ImportOutcome {
        self.import_at(None, "ana", h).await.unwrap()
    }

    /// Handles of the parts claimed under a commit.
    async fn whose(&self, commit: u32) -> Vec<Vec<String>> {
        let book = self.open().await.book;
        let reference = Reference::new(&format!("git:{}", hash(commit))).unwrap();
        let claims = book.contributions.values().filter(|c| c.reference == reference);
        claims
            .map(|c| c.parts.iter().map(|p| book.agent(p.agent).handle.to_string()).collect())
            .collect()
    }
}

fn hash(commit: u32) -> String {
    format!("{commit:040x}")
}

const DORA: (&str, &str) = ("Dora", "dora@example.org");
const EVE: (&str, &str) = ("Eve", "eve@example.org");

/// Commits by number with their people, all of one day.
fn history(commits: &[(u32, &[(&str, &str)])]) -> History {
    let mut people: Vec<Person> = Vec::new();
    let mut works = Vec::new();
    for (commit, who) in commits {
        let share = 1_000 / who.len() as u64;
        let mut parts = Vec::new();
        for (name, email) in *who {
            let person = Person { name: (*name).into(), email: (*email).into() };
            let known = people.iter().position(|p| *p == person);
            let index = known.unwrap_or_else(|| {
                people.push(person);
                people.len() - 1
            });
            parts.push((index, share));
        }
        works.push(Work { hash: hash(*commit), day: money::day("2026-03-01").unwrap(), parts });
    }
    let (cancelled, summary) = (Vec::new(), crate::import::Summary::default());
    History { kind: "commit".into(), people, works, cancelled, summary }
}

#[tokio::test]
async fn importing_again_adds_only_what_is_new_and_people_stay_who_they_are() {
    let commons = Commons::new().await;
    let first = commons.import(&history(&[(1, &[DORA]), (2, &[EVE, DORA])])).await;
    assert_eq!((first.new_agents, first.new_contributions, first.known), (2, 2, 0));
    assert_eq!((first.statements, first.first_entry, first.last_entry), (2, Some(1), Some(2)));
    let dora = first.agents[0].clone().unwrap().to_string();

    let again = commons.import(&history(&[(1, &[DORA]), (2, &[EVE, DORA])])).await;
    assert_eq!((again.new_agents, again.new_contributions, again.known), (0, 0, 2));
    assert_eq!(again.statements, 0);

    // Grown, and Dora writes from another address that the mailmap joins: her known
    // commits still tell who she is.
    let renamed = ("Dora M.", "dora@new.example.org");
    let grown = history(&[(1, &[renamed]), (2, &[EVE, renamed]), (3, &[renamed])]);
    let plan = dry_run(&commons.context(Global::default()), &commons.open().await, &grown).await;
    assert_eq!(plan.unwrap().new_contributions, 1);
    let third = commons.import(&grown).await;
    assert_eq!((third.new_agents, third.new_contributions, third.known), (0, 1, 2));
    assert_eq!(commons.whose(3).await, [[dora.clone()]]);

    // A history without any known commit: the disclosure tells.
    let other = commons.import(&history(&[(9, &[("D.", "Dora@Example.org")])])).await;
    assert_eq!(other.new_agents, 0);
    assert_eq!(commons.whose(9).await, [[dora]]);
}

#[tokio::test]
async fn a_claim_by_hand_neither_hides_a_commit_nor_tells_whose_it_is() {
    let commons = Commons::new().await;
    let claim = format!("contribute 1 --kind commit --reference git:{} --as zoe", hash(1));
    let zoes = commons.run(&claim).await.unwrap()["contribution"].clone();
    let both = history(&[(1, &[DORA]), (2, &[DORA])]);
    let outcome = commons.import(&both).await;
    assert_eq!((outcome.known, outcome.new_contributions, outcome.new_agents), (0, 2, 1));
    let dora = outcome.agents[0].clone().unwrap().to_string();
    assert_eq!(commons.whose(1).await, [["zoe"], [dora.as_str()]], "maintainers decide");
    assert_eq!(commons.whose(2).await, [[dora.as_str()]]);
    let [rival] = outcome.rivals.as_slice() else { panic!("{:?}", outcome.rivals) };
    assert_eq!((rival.claimed_by.as_str(), rival.beside), ("zoe", true));
    assert_eq!(rival.contribution, zoes);
    // Once it is claimed for whose it is, the next import has nothing to do.
    let again = commons.import(&both).await;
    assert_eq!((again.known, again.new_contributions, again.rivals.len()), (2, 0, 0));
}

#[tokio::test]
async fn a_claim_by_hand_of_the_same_person_is_not_doubled() {
    let commons = Commons::new().await;
    let first = commons.import(&history(&[(1, &[DORA])])).await;
    let dora = first.agents[0].clone().unwrap().to_string();
    let claim = format!("contribute 1 --kind commit --reference git:{}", hash(2));
    commons.run(&format!("{claim} --as zoe")).await.unwrap();
    commons.run("agent admit zoe --as ana").await.unwrap();
    commons.run(&format!("agent claim {dora} --as zoe")).await.unwrap();
    commons.run(&format!("agent claim {dora} --attest zoe --as ana")).await.unwrap();
    let grown = history(&[(1, &[DORA]), (2, &[DORA, EVE])]);
    let second = commons.import(&grown).await;
    assert_eq!((second.known, second.claimed_by_hand, second.new_contributions), (2, 1, 0));
    assert_eq!((second.new_agents, second.statements), (0, 0), "nobody is added for nothing");
    let [rival] = second.rivals.as_slice() else { panic!("{:?}", second.rivals) };
    assert!(!rival.beside);
    // Ended as the wrong person's, it is claimed for whose it is.
    let place = &rival.contribution;
    let end = format!("contribution reject {place} --reason wrong-agent --as ana");
    commons.run(&end).await.unwrap();
    let third = commons.import(&grown).await;
    assert_eq!((third.new_contributions, third.new_agents), (1, 1));
}

#[tokio::test]
async fn a_stranger_who_names_the_author_does_not_get_their_commit() {
    let commons = Commons::new().await;
    let first = commons.import(&history(&[(1, &[DORA])])).await;
    let dora = first.agents[0].clone().unwrap().to_string();
    let theft = format!("contribute 1000 --kind commit --reference git:{}", hash(0xabc));
    let theft = theft.replace("abc", "ABC"); // one commit, however it is typed
    commons.run(&format!("{theft} --with {dora}=0.001 --as zoe")).await.unwrap();
    let grown = history(&[(1, &[DORA]), (0xabc, &[DORA])]);
    let second = commons.import(&grown).await;
    assert_eq!((second.claimed_by_hand, second.new_contributions), (0, 1));
    assert_eq!(second.rivals.len(), 1);
    commons.run("validate --all-pending --remuneration unpaid --as ana").await.unwrap();
    let book = commons.open().await.book;
    let validated = book.contributions.values().filter(|c| c.parts[0].standing.is_some());
    let whose: Vec<_> = validated.map(|c| book.agent(c.claimant).handle.to_string()).collect();
    assert_eq!(whose, ["ana", "ana"], "what the import claimed, and nothing of zoe's");
    let again = commons.import(&grown).await;
    assert_eq!((again.known, again.new_contributions), (2, 0));
}

#[tokio::test]
async fn what_is_rejected_of_a_stranger_does_not_bar_the_author() {
    let commons = Commons::new().await;
    let claim = format!("contribute 7 --kind commit --reference git:{}", hash(1));
    let zoes = commons.run(&format!("{claim} --as zoe")).await.unwrap();
    let place = zoes["contribution"].as_str().unwrap();
    commons.run(&format!("contribution reject {place} --reason not-done --as ana")).await.unwrap();
    let one = history(&[(1, &[DORA])]);
    let outcome = commons.import(&one).await;
    assert_eq!((outcome.ended, outcome.new_contributions), (0, 1));
    // A claim by hand that had been validated was looked at: what ended it holds.
    let claim = format!("contribute 1 --kind commit --reference git:{} --as zoe", hash(2));
    let zoes = commons.run(&claim).await.unwrap();
    let place = zoes["contribution"].as_str().unwrap();
    commons.run(&format!("validate {place} --remuneration unpaid --as ana")).await.unwrap();
    commons
        .run(&format!("contribution reject {place} --reason not-useful --as ana"))
        .await
        .unwrap();
    let outcome = commons.import(&history(&[(2, &[DORA])])).await;
    assert_eq!((outcome.ended, outcome.new_contributions), (1, 0));
}

#[tokio::test]
async fn a_claim_by_hand_does_not_bring_back_what_maintainers_ended() {
    let commons = Commons::new().await;
    let one = history(&[(1, &[DORA])]);
    let entry = commons.import(&one).await.last_entry.unwrap();
    let end = format!("contribution reject {entry}.0 --reason not-useful --as ana");
    commons.run(&end).await.unwrap();
    let claim = format!("contribute 1 --kind commit --reference git:{} --as zoe", hash(1));
    commons.run(&claim).await.unwrap();
    let again = commons.import(&one).await;
    assert_eq!((again.known, again.ended, again.new_contributions), (1, 1, 0));
}

#[tokio::test]
async fn what_was_ended_stays_out_unless_it_was_for_the_wrong_person() {
    let commons = Commons::new().await;
    let both = history(&[(1, &[DORA]), (2, &[EVE])]);
    let entry = commons.import(&both).await.last_entry.unwrap();
    commons
        .run(&format!("contribution reject {entry}.0 --reason not-useful --as ana"))
        .await
        .unwrap();
    commons
        .run(&format!("contribution reject {entry}.1 --reason wrong-agent --as ana"))
        .await
        .unwrap();
    let again = commons.import(&both).await;
    assert_eq!((again.known, again.ended, again.new_contributions), (1, 1, 1));
    assert_eq!(commons.whose(2).await.len(), 2);
}

#[tokio::test]
async fn who_claims_an_agent_keeps_it_for_later_imports() {
    let commons = Commons::new().await;
    let first = commons.import(&history(&[(1, &[DORA])])).await;
    let dora = first.agents[0].clone().unwrap().to_string();
    commons.run("contribute 1 --as zoe").await.unwrap();
    commons.run("agent admit zoe --as ana").await.unwrap();
    commons.run(&format!("agent claim {dora} --as zoe")).await.unwrap();
    commons.run(&format!("agent claim {dora} --attest zoe --as ana")).await.unwrap();
    let second = commons.import(&history(&[(1, &[DORA]), (2, &[DORA])])).await;
    assert_eq!(second.new_agents, 0);
    assert_eq!(commons.whose(2).await, [[dora]]);
}

#[tokio::test]
async fn work_after_the_date_of_the_import_waits_for_the_next() {
    let commons = Commons::new().await;
    let h = history(&[(1, &[DORA])]);
    let early = commons.import_at(Some("2026-02-28"), "ana", &h).await.unwrap();
    assert_eq!((early.later, early.new_contributions, early.new_agents), (1, 0, 0));
    let later = commons.import_at(Some("2026-03-01"), "ana", &h).await.unwrap();
    assert_eq!((later.later, later.new_contributions, later.new_agents), (0, 1, 1));
}

#[tokio::test]
async fn an_author_who_may_not_leaves_nothing_behind() {
    let commons = Commons::new().await;
    commons.run("contribute 1 --as zoe").await.unwrap();
    let size = commons.open().await.book.size;
    let refused = commons.import_at(None, "zoe", &history(&[(1, &[DORA])])).await;
    assert_eq!(refused.map(|_| ()).map_err(|f| f.code), Err("role-required".into()));
    let other_kind = History { kind: "dance".into(), ..history(&[(1, &[DORA])]) };
    let refused = commons.import_at(None, "ana", &other_kind).await;
    assert_eq!(refused.map(|_| ()).map_err(|f| f.code), Err("unknown-kind".into()));
    assert_eq!(commons.open().await.book.size, size);
}

async fn import_csv(
    commons: &Commons,
    text: &str,
) -> Result<(rows::RowsOutcome, Vec<u64>), Failure> {
    let cx = commons.context(Global::default());
    let report = read_csv(text.as_bytes(), &Mapping::default(), day_of(cx.at()?)).unwrap();
    let open = commons.open().await;
    let plan = rows::plan(&open, &report.rows).await?;
    let bad = plan.bad.iter().map(|b| b.line).collect();
    let author = Handle::new("ana").unwrap();
    let secret = cx.secret(&author)?;
    Ok((rows::import_rows(&cx, &open, &author, &secret, &plan).await?, bad))
}

#[tokio::test]
async fn rows_of_a_time_tracker_are_claimed_once() {
    let commons = Commons::new().await;
    let text = "date,person,quantity,reference\n\
        2026-03-01,ana,1.5,\n\
        2026-03-01,Dora <dora@example.org>,2:30,meet:1\n\
        2026-03-01,Eve Stone,1,meet:1\n\
        2026-03-01,nobody,1,\n\
        2026-03-02,ana,1,meet:1\n\
        2026-03-01,Eve Stone,1,meet:1\n";
    // Unknown handle; another day under one reference; the same person twice, which the
    // reader of the file sees already.
    let (first, bad) = import_csv(&commons, text).await.unwrap();
    assert_eq!(bad, [5, 6]);
    assert_eq!((first.new_contributions, first.new_rows, first.new_agents), (2, 3, 2));
    let (again, bad) = import_csv(&commons, text).await.unwrap();
    assert_eq!((again.new_rows, again.new_agents, again.known, again.statements), (0, 0, 3, 0));
    assert_eq!(bad, [5, 6]);
    // By e-mail and by name people are found again in another file.
    let other = "date,person,quantity\n2026-03-05,DORA@example.org,1\n2026-03-05,Eve Stone,1\n";
    let (other, bad) = import_csv(&commons, other).await.unwrap();
    assert_eq!((other.new_rows, other.new_agents, bad.len()), (2, 0, 0));
}

#[tokio::test]
async fn rows_are_claimed_beside_what_somebody_else_claimed_by_hand() {
    let commons = Commons::new().await;
    let zoes = "contribute 9 --kind hours --on 2026-03-01 --reference meet:1 --as zoe";
    commons.run(zoes).await.unwrap();
    let text = "date,person,quantity,reference\n\
        2026-03-01,zoe,1,meet:1\n\
        2026-03-01,Dora <dora@example.org>,2,meet:1\n";
    let (first, bad) = import_csv(&commons, text).await.unwrap();
    assert_eq!(bad, [0; 0]);
    assert_eq!((first.new_contributions, first.new_rows, first.known), (1, 1, 1));
    assert_eq!(first.rivals.iter().map(|r| r.claimed_by.as_str()).collect::<Vec<_>>(), ["zoe"]);
    let (again, bad) = import_csv(&commons, text).await.unwrap();
    assert_eq!((again.new_contributions, again.known, bad), (0, 2, vec![]));
}

#[tokio::test]
async fn a_commit_in_a_row_is_one_however_its_hash_is_typed() {
    let commons = Commons::new().await;
    for (hash, new) in [("ABC1", 1), ("abc1", 0), ("aBc1", 0)] {
        let text = format!("date,person,quantity,reference\n2026-03-01,zoe z,1,git:{hash}\n");
        let (outcome, bad) = import_csv(&commons, &text).await.unwrap();
        assert_eq!((outcome.new_contributions, outcome.known, bad), (new, 1 - new, vec![]));
    }
    assert!(
        commons
            .open()
            .await
            .book
            .contributions
            .values()
            .all(|c| c.reference.as_str() == "git:abc1")
    );
}

/// The promise on speed, from the repository to the disk:
/// `cargo test --release -p subak-cli -- --ignored --nocapture durably`.
#[cfg(feature = "git")]
#[tokio::test]
#[ignore = "a measurement: minutes in a debug build"]
async fn sixty_thousand_commits_are_durably_claimed_within_three_times_git_log() {
    use crate::import::{Options as Reading, made, read};
    use std::process::{Command, Stdio};
    use std::time::Instant;

    const COMMITS: u32 = 60_000;
    let today = day_of(money::now());
    let spec = made::Spec { seed: 1, commits: COMMITS, people: 400, last_day: today, days: 3_650 };
    let folder = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder.path()).args(args).stdout(Stdio::null());
        command
    };
    assert!(git(&["init", "--quiet", "--bare"]).status().unwrap().success());
    let mut child = git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    made::fast_import_stream(&spec, &mut child.stdin.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(git(&["symbolic-ref", "HEAD", "refs/heads/main"]).status().unwrap().success());
    assert!(git(&["gc", "--quiet"]).status().unwrap().success());

    let timed = |start: Instant| start.elapsed().as_millis();
    let mut log = u128::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let format = "--format=%aN %aE%n%B";
        assert!(git(&["log", "--use-mailmap", format]).status().unwrap().success());
        log = log.min(timed(start));
    }
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM unknown");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let mut best = u128::MAX;
    for round in 1..=3 {
        let commons = Commons::new().await;
        for import in ["first", "second"] {
            let start = Instant::now();
            let history = read(folder.path(), &Reading::new(today), &|_| ()).unwrap();
            let read_in = timed(start);
            let outcome = commons.import(&history).await;
            let all = timed(start);
            println!(
                "round {round}, {import} import: reading {read_in} ms, in all {all} ms, \
                 git log {log} ms; {} claimed, {} known, {} statements; {}",
                outcome.new_contributions,
                outcome.known,
                outcome.statements,
                memory()
            );
            if import == "first" {
                best = best.min(all);
                assert_eq!(outcome.new_contributions, history.works.len() as u64);
            } else {
                assert_eq!((outcome.new_contributions, outcome.new_agents), (0, 0));
            }
        }
    }
    assert!(best <= 3 * log, "{best} ms against {log} ms of git log");
}
