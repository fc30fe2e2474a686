//! Crashes, restores and lies, as they happen.

use super::{
    check::Verdict,
    disk::{Disk, HeadFile},
    faults::{Fault, Liar, Lie, transplant, twin},
    world::{Event, World},
};
use subak_ledger::store::Reader as _;

impl World {
    pub fn crash(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.process = None;
        node.disk.restart(&mut self.rng);
        node.heads.crash(&mut self.rng);
        self.dirty.insert(n);
    }

    pub fn fault(&mut self, fault: Fault) -> Verdict {
        self.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::Crash(n) => {
                self.stats.crashes += 1;
                self.crash(n);
                self.later(1_500, Event::Restart(n));
            }
            Fault::Disk(n, fault) => self.nodes[n].disk.fault = Some(fault),
            Fault::Head(n, fault) => self.nodes[n].heads.fault = Some(fault),
            Fault::Die(n, death) => self.nodes[n].death = Some(death),
            Fault::Clock(n, by) => self.nodes[n].skew += by,
            Fault::Cut(sides) => {
                let side = |n: usize| sides >> n & 1 == 1;
                self.net.cut = Some((0..self.nodes.len()).map(side).collect());
            }
            Fault::Heal => self.net.cut = None,
            Fault::Backup(n) => {
                let node = &self.nodes[n];
                self.backups[n] = Some((node.disk.store.clone(), node.heads.clone()));
            }
            Fault::Restore(n, ring_too) => self.restore(n, ring_too),
            Fault::Lie => self.lie()?,
            Fault::Stranger => self.stranger(),
        }
        Ok(())
    }

    pub fn restore(&mut self, n: usize, ring_too: bool) {
        let Some((store, heads)) = self.backups[n].clone() else { return };
        self.crash(n);
        let id = self.founded.orgs[n].ledger.0;
        let older = store.head(&id).unwrap() != self.nodes[n].disk.store.head(&id).unwrap();
        self.stats.restores += 1;
        self.restored.insert(n);
        // What was put back is an old copy only if something was lost by it.
        if older && ring_too {
            self.amnesiac.insert(n);
        }
        let old = std::mem::replace(&mut self.nodes[n].disk, Disk::new(store));
        self.rescued[n] = Some(old.store);
        if ring_too {
            self.nodes[n].heads = heads;
        }
        // Its copies are those of then.
        self.copies.retain(|(reader, _), _| *reader != n);
        self.later(500, Event::Restart(n));
    }

    pub fn lie(&mut self) -> Verdict {
        let Some((n, lie)) = self.will_lie else { return Ok(()) };
        let founded = self.founded.clone();
        let org = &founded.orgs[n];
        self.note_node(n, &format!("begins to lie: {lie:?}"));
        self.stats.lies += 1;
        let readers: Vec<usize> =
            (0..founded.orgs.len()).filter(|r| founded.orgs[*r].follows.contains(&n)).collect();
        let few = self.rng.pick(&readers).into_iter().collect();
        let store = &self.nodes[n].disk.store;
        let size = store.head(&org.ledger.0).unwrap().size;
        let keep = size.saturating_sub(self.rng.below(4)).max(org.folded.state.size);
        let mut liar = Liar { org: n, lie, twin: None, readers: few };
        match lie {
            Lie::TwoStories => {
                liar.twin = Some(twin(org, store, keep, (self.now, &mut self.rng)));
            }
            Lie::Withhold | Lie::OldHead => liar.twin = Some(store.clone()),
            Lie::FalseAck => {}
            Lie::Rewrite => {
                let fork = twin(org, store, keep, (self.now, &mut self.rng));
                let store = transplant(store, org.ledger.0, &fork);
                self.crash(n);
                // The head file would tell.
                self.nodes[n].disk = Disk::new(store);
                self.nodes[n].heads = HeadFile::default();
                self.start(n);
            }
        }
        if let Some(twin) = liar.twin.as_ref().filter(|_| lie == Lie::TwoStories) {
            self.logs[n].learn(twin, org.ledger);
        }
        self.liar = Some(liar);
        self.check()
    }
}
