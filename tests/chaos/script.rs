//! What is done to the nodes, one thing after another.
//!
//! Owns the order of it, which follows from one seed, and what must be seen of a node while it is
//! done: that one on an old backup says so, and does nothing. Leaves out what must hold in the end.

use crate::{
    check,
    kit::Dice,
    load::{Kept, Talk},
    proxy::Mode,
    world::{NAMES, WAYS, World},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::sleep,
    time::{Duration, Instant},
};
use subak_node::{Ledgers as _, client::Remote};
use tokio::task::JoinHandle;

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
pub struct Done {
    pub kills: u64,
    pub stops: u64,
    pub restarts: u64,
    pub cuts: u64,
    pub backups: u64,
    pub old_databases: u64,
    pub old_keys: u64,
}

impl Done {
    /// Whether everything was done once.
    fn all(&self) -> bool {
        let Self { kills, stops, restarts, cuts, backups, old_databases, old_keys } = *self;
        [kills, stops, restarts, cuts, backups, old_databases, old_keys].iter().all(|n| *n > 0)
    }
}

pub struct Script {
    pub world: World,
    pub talk: Arc<Talk>,
    pub dice: Dice,
    pub runtime: tokio::runtime::Runtime,
    pub load: Vec<JoinHandle<Kept>>,
    /// Ways that are cut, whether their connections break in the end, and when that is.
    pub cuts: Vec<(usize, bool, Instant)>,
    pub done: Done,
    pub long: bool,
}

impl Script {
    /// Does one thing after another until the time is over, and everything at least once.
    pub fn run(&mut self, time: Duration) {
        let since = Instant::now();
        while since.elapsed() < time {
            let mut deck = DECK;
            for last in (1..deck.len()).rev() {
                deck.swap(last, usize::try_from(self.dice.below(last as u64 + 1)).unwrap());
            }
            for deed in deck {
                if since.elapsed() >= time && self.done.all() {
                    return;
                }
                self.pause(100, 900);
                self.heal(false);
                self.check_load();
                self.perform(deed);
            }
        }
    }

    /// To whom is the same for a seed, however long each deed takes.
    fn perform(&mut self, deed: Deed) {
        let who = if deed == Deed::OldKeys { 0 } else { self.below(3) };
        eprintln!("{deed:?} {}", if deed == Deed::Cut { "" } else { NAMES[who] });
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
    pub fn end(&mut self) -> Vec<Kept> {
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
        self.pause(200, if long { 45_000 } else { 3_000 });
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
        let (follower, source) = WAYS[way];
        eprintln!("  {mode:?}: {} to {}", NAMES[follower], NAMES[source]);
        self.world.ways[way].set(mode);
        self.cuts.push((way, self.dice.below(2) == 0, until));
        self.done.cuts += 1;
    }

    /// Opens the ways whose time has come, or all. What was held back may come now, or never.
    pub fn heal(&mut self, all: bool) {
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
        self.world.members[who].back_up(to);
        self.done.backups += 1;
        self.wait_for_statements(who);
    }

    fn wait_for_statements(&self, who: usize) {
        let (before, since) = (self.talk.said(who), Instant::now());
        while self.talk.said(who) < before + 2 {
            assert!(since.elapsed() < Duration::from_mins(1), "{} takes nothing", NAMES[who]);
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
            member.kill();
        } else {
            member.end();
        }
        member.put_away(&newest, false);
        member.put_in(&old, None);
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
        self.world.members[who].copy_keys(&keys);
        self.world.members[who].back_up(&old);
        self.done.backups += 1;
        self.talk.pause(who, false);
        self.wait_for_statements(who);
        self.talk.pause(who, true);
        self.wait_until(|script| script.talk.is_idle(who), "an answer");
        self.wait_until(Self::phyle_is_copied, "the commons' copy of the phyle");

        let member = &mut self.world.members[who];
        member.kill();
        member.put_away(&newest, true);
        member.put_in(&old, Some(&keys));
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

    pub fn wait_until(&self, holds: impl Fn(&Self) -> bool, what: &str) {
        let since = Instant::now();
        while !holds(self) {
            assert!(since.elapsed() < Duration::from_secs(150), "waited in vain: {what}");
            self.check_load();
            sleep(Duration::from_millis(50));
        }
    }

    pub fn phyle_is_copied(&self) -> bool {
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

/// What the head files in a keys folder say.
fn heads(keys: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
    let mut heads: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "head")).collect();
    heads.sort();
    heads.iter().map(|path| fs::read(path).unwrap()).collect()
}
