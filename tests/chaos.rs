//! Three nodes under load, while a script kills, stops and restarts them, cuts them off from one
//! another and puts old backups in the place of their databases.
//!
//! A phyle, the commons that it pays and the commons upstream of it, each `subak serve` with a
//! database, keys and a port of its own, follow each other by ways that can be cut. People record
//! revenue, work, cash and payouts at all three all the while. In the end all is healed, and nothing
//! acknowledged may be lost, no income doubled, every copy is its source's, and the audit over all
//! three is sound and reconciles. A node on an old backup must say that it is one, and do nothing.
//!
//! What happens, and to whom, follows from one seed; when, from the machine. `SUBAK_SEED` sets another,
//! `SUBAK_CHAOS_SECONDS` how long it goes on (20), `SUBAK_LONG=1` makes that ten minutes. At least
//! one of everything happens in each run. A script that kills is no power cut: see `crash.rs`.

#![allow(clippy::unwrap_used, unreachable_pub)] // the files of one test share it

mod kit;

#[path = "chaos/check.rs"]
mod check;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/proxy.rs"]
mod proxy;
#[path = "chaos/world.rs"]
mod world;

use kit::Dice;
use load::{Client, HANDS, Kept, Talk};
use proxy::Mode;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::sleep,
    time::{Duration, Instant},
};
use subak_node::{Ledgers as _, client::Remote};
use tokio::task::JoinHandle;
use world::{NAMES, WAYS, World};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// SIGKILL, and it starts again.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Stop,
    /// SIGTERM, and it starts again.
    Restart,
    /// A way between two is cut for a while.
    Cut,
    /// An old backup is put in the place of the database; the keys folder is the newest.
    OldDatabase,
    /// An old backup, and the keys folder of its day: only others know better.
    OldKeys,
}

/// One round of deeds, before it is shuffled.
const DECK: [Deed; 14] = {
    use Deed::{Cut, Kill, OldDatabase, OldKeys, Restart, Stop};
    [Kill, Kill, Kill, Kill, Stop, Stop, Restart, Restart, Cut, Cut, Cut, Cut, OldDatabase, OldKeys]
};

/// How often each was done.
#[derive(Debug, Default)]
struct Done {
    kills: u64,
    stops: u64,
    restarts: u64,
    cuts: u64,
    backups: u64,
    old_databases: u64,
    old_keys: u64,
}

struct Script {
    world: World,
    talk: Arc<Talk>,
    dice: Dice,
    runtime: tokio::runtime::Runtime,
    load: Vec<JoinHandle<Kept>>,
    /// Ways that are cut, whether their connections break in the end, and when that is.
    cuts: Vec<(usize, bool, Instant)>,
    done: Done,
    long: bool,
}

impl Script {
    /// Does one thing after another until the time is over, and everything at least once.
    fn run(&mut self, time: Duration) {
        let since = Instant::now();
        while since.elapsed() < time {
            let mut deck = DECK;
            for last in (1..deck.len()).rev() {
                deck.swap(last, usize::try_from(self.dice.below(last as u64 + 1)).unwrap());
            }
            for deed in deck {
                self.pause(100, 900);
                self.heal(false);
                self.check_load();
                self.perform(deed);
            }
        }
    }

    /// From the first deck on this is the same for a seed, however long each deed takes.
    fn perform(&mut self, deed: Deed) {
        let who = usize::try_from(self.dice.below(3)).unwrap();
        eprintln!("{deed:?} {}", NAMES[who]);
        match deed {
            Deed::Kill => self.kill(who),
            Deed::Stop => self.stop(who),
            Deed::Restart => self.restart(who),
            Deed::Cut => self.cut(),
            Deed::OldDatabase => self.old_database(who),
            Deed::OldKeys => self.old_keys(),
        }
    }

    /// Whether anybody who speaks has given up.
    fn check_load(&self) {
        assert!(!self.load.iter().any(JoinHandle::is_finished), "a client has failed: see above");
    }

    /// All is healed, what is under way arrives, and nothing more is said.
    fn end(&mut self) -> Vec<Kept> {
        self.heal(true);
        self.talk.closing.store(true, Ordering::SeqCst);
        let healed = self.runtime.block_on(check::quiet(&self.world));
        let paid =
            |script: &Self| script.talk.bank.iter().all(|cash| cash.lock().unwrap().is_empty());
        self.wait_until(paid, "the cash that was sent");
        self.talk.ended.store(true, Ordering::SeqCst);
        let load = std::mem::take(&mut self.load);
        let kept = load.into_iter().map(|client| self.runtime.block_on(client).unwrap()).collect();
        let quiet = self.runtime.block_on(check::quiet(&self.world));
        println!("whole again after {healed:.1?}, quiet after {quiet:.1?} more");
        kept
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.dice.below(n as u64)).unwrap()
    }

    fn pause(&mut self, least: u64, more: u64) {
        sleep(Duration::from_millis(least + self.dice.below(more)));
    }

    /// Now and then another one, too.
    fn kill(&mut self, who: usize) {
        let other = Some((who + 1) % 3).filter(|_| self.dice.below(4) == 0);
        let all: Vec<usize> = other.into_iter().chain([who]).collect();
        for who in &all {
            self.world.members[*who].kill();
            self.done.kills += 1;
        }
        self.pause(0, 500);
        for who in all {
            self.world.members[who].start();
        }
    }

    fn stop(&mut self, who: usize) {
        self.world.members[who].signal("STOP");
        // In a long run also for as long as it takes until those who wait give up.
        let long = self.long && self.dice.below(8) == 0;
        self.pause(200, if long { 60_000 } else { 3_000 });
        self.world.members[who].signal("CONT");
        self.done.stops += 1;
    }

    fn restart(&mut self, who: usize) {
        self.world.members[who].end();
        self.pause(0, 500);
        self.world.members[who].start();
        self.done.restarts += 1;
    }

    /// Cuts a way, for what else happens meanwhile.
    fn cut(&mut self) {
        let way = self.below(WAYS.len());
        let mode = [Mode::Refuse, Mode::Hold, Mode::Delay][self.below(3)];
        let until = Instant::now() + Duration::from_millis(500 + self.dice.below(4_000));
        self.world.ways[way].set(mode);
        self.cuts.push((way, self.dice.below(2) == 0, until));
        self.done.cuts += 1;
    }

    /// Opens the ways whose time has come, or all. What was held back may come now, or never.
    fn heal(&mut self, all: bool) {
        let now = Instant::now();
        let (over, on): (Vec<_>, Vec<_>) =
            self.cuts.drain(..).partition(|(_, _, until)| all || *until <= now);
        self.cuts = on;
        for (way, breaks, _) in over {
            if breaks {
                self.world.ways[way].break_off();
            }
            self.world.ways[way].set(Mode::Open);
        }
    }

    /// A backup, and then more statements.
    fn backup(&mut self, who: usize, to: &Path) {
        let line = format!("backup {}", to.display());
        self.world.members[who].place.type_in(&line).done();
        self.done.backups += 1;
        self.wait_for_statements(who);
    }

    fn wait_for_statements(&self, who: usize) {
        let (before, since) = (self.talk.said(who), Instant::now());
        while self.talk.said(who) < before + 2 {
            assert!(since.elapsed() < Duration::from_secs(60), "{} takes nothing", NAMES[who]);
            sleep(Duration::from_millis(20));
        }
    }

    fn beside(&self, who: usize, name: &str) -> PathBuf {
        self.world.members[who].path(name)
    }

    /// The newest keys folder says what was signed: the node does not start.
    fn old_database(&mut self, who: usize) {
        let (old, newest) = (self.beside(who, "old.db"), self.beside(who, "newest"));
        self.backup(who, &old);
        let member = &mut self.world.members[who];
        if self.dice.below(2) == 0 {
            member.kill()
        } else {
            member.end()
        }
        member.put_away(&newest, false);
        fs::rename(&old, member.path("subak.db")).unwrap();
        let ran = member.starts_not();
        assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
        let ledger = format!("ledger sample-{} ends after", NAMES[who]);
        ran.says(&["older-database", &ledger, "its operator has signed", "put back the newest"]);
        member.put_back(&newest);
        member.start();
        self.done.old_databases += 1;
    }

    /// Nothing there says that it is old: it serves, until a follower shows it a later head. Nobody
    /// may say anything to it meanwhile, else it would sign a second history; so this is done with the
    /// phyle, to which nothing is relayed.
    fn old_keys(&mut self) {
        let who = 0;
        let (old, newest) = (self.beside(who, "old.db"), self.beside(who, "newest"));
        self.heal(true);
        self.talk.pause(who, true);
        self.wait_until(|script| script.talk.is_idle(who), "an answer");
        // The keys folder goes with a backup during which nothing is signed.
        let keys = self.beside(who, "old.keys");
        copy_folder(&self.beside(who, "subak.db.keys"), &keys);
        let line = format!("backup {}", old.display());
        self.world.members[who].place.type_in(&line).done();
        self.done.backups += 1;
        self.talk.pause(who, false);
        self.wait_for_statements(who);
        self.talk.pause(who, true);
        self.wait_until(|script| script.talk.is_idle(who), "an answer");
        self.wait_until(Self::phyle_is_copied, "the commons' copy of the phyle");

        let member = &mut self.world.members[who];
        member.kill();
        member.put_away(&newest, true);
        fs::rename(&old, member.path("subak.db")).unwrap();
        fs::rename(&keys, member.path("subak.db.keys")).unwrap();
        let before = heads(&member.path("subak.db.keys"));
        member.start();
        let told = |script: &Self| heads(&script.beside(who, "subak.db.keys")) != before;
        self.wait_until(told, "that the commons tells the phyle what it has signed");
        self.refuses_all(who);
        let member = &mut self.world.members[who];
        member.kill();
        let ran = member.starts_not();
        assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
        ran.says(&["older-database", "its operator has signed", "put back the newest"]);
        member.put_back(&newest);
        member.start();
        self.talk.pause(who, false);
        self.done.old_keys += 1;
    }

    fn wait_until(&self, holds: impl Fn(&Self) -> bool, what: &str) {
        let since = Instant::now();
        while !holds(self) {
            assert!(since.elapsed() < Duration::from_secs(150), "waited in vain: {what}");
            self.check_load();
            sleep(Duration::from_millis(50));
        }
    }

    fn phyle_is_copied(&self) -> bool {
        let ledger = self.world.members[0].ledger;
        let sizes = [0, 1].map(|who| {
            let url = self.world.members[who].url();
            self.runtime.block_on(async {
                let list = Remote::connect(&url, None).await.ok()?.ledgers().await.ok()?;
                list.into_iter().find(|info| info.id == ledger).map(|info| info.size)
            })
        });
        sizes[0].is_some() && sizes[0] == sizes[1]
    }

    /// It serves, and takes nothing.
    fn refuses_all(&self, who: usize) {
        let member = &self.world.members[who];
        let line =
            format!("revenue record z/1 --net \"1.00 EUR\" --as tess --node {}", member.url());
        let ran = member.place.type_in(&line);
        assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
        ran.says(&["older-database", "its operator has signed"]);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What the head files in a keys folder say.
fn heads(keys: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
    let mut heads: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "head")).collect();
    heads.sort();
    heads.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The folder of a run, which stays where the test fails, and how to do it again.
struct Folder {
    dir: Option<tempfile::TempDir>,
    seed: u64,
    seconds: u64,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = self.dir.take().map(tempfile::TempDir::keep);
            let Self { seed, seconds, .. } = self;
            eprintln!(
                "again: SUBAK_SEED={seed} SUBAK_CHAOS_SECONDS={seconds} cargo test -p subak-cli \
                 --test chaos -- --nocapture; the nodes' files and logs are in {kept:?}"
            );
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_or_doubled_whatever_becomes_of_the_nodes() {
    let long = std::env::var_os("SUBAK_LONG").is_some_and(|v| v == "1");
    let seconds = number("SUBAK_CHAOS_SECONDS").unwrap_or(if long { 600 } else { 20 });
    let seed = number("SUBAK_SEED").unwrap_or(20_261_122);
    let folder = Folder { dir: Some(tempfile::tempdir().unwrap()), seed, seconds };
    let world = World::new(folder.dir.as_ref().unwrap().path());
    let talk = Arc::new(Talk::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let client = |(who, hand): (usize, usize)| {
        let seed = seed.wrapping_add(1 + (who * HANDS + hand) as u64);
        runtime.spawn(Client::new(&world, (who, hand), &talk, seed).run())
    };
    let everybody = (0..3).flat_map(|who| (0..HANDS).map(move |hand| (who, hand)));
    let load = everybody.map(client).collect();
    let (dice, cuts, done, long) = (Dice(seed), Vec::new(), Done::default(), seconds >= 120);
    let mut script = Script { world, talk, dice, runtime, load, cuts, done, long };
    script.run(Duration::from_secs(seconds));
    let kept = script.end();

    let (world, runtime) = (&script.world, &script.runtime);
    let incomes = runtime.block_on(check::all(world, &kept));
    check::audit(world);
    let acknowledged: usize = kept.iter().map(|kept| kept.acknowledged.len()).sum();
    let found: usize = kept.iter().map(|kept| kept.found.len()).sum();
    let kinds: Vec<_> = kept.iter().step_by(HANDS).map(|kept| &kept.kinds).collect();
    println!(
        "seed {seed}, {seconds} s: {:?}; {acknowledged} statements acknowledged, all there, \
         {found} found there without an answer; {incomes} incomes relayed, each once; said: {kinds:?}",
        script.done
    );
    assert!(incomes > 0 && acknowledged > 100, "there was no load");
}
