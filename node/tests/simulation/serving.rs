//! What a node does with what it is asked, and with what waits to be written.

use super::{
    check::{Verdict, holds},
    faults::{Broken, Lie},
    net::{Addr, Answer, Ask, Body, Failure, Message},
    node::{Order, tree_node},
    world::{Event, World},
};
use subak_ledger::{
    log::tree,
    store::{MemoryStore, Reader as _},
};
use subak_node::RawEntry;

impl World {
    pub fn send(&mut self, from: Addr, to: Addr, id: u64, body: Body) {
        for after in self.net.arrivals(&mut self.rng, from, to) {
            let message = Message { from, to, id, body: body.clone() };
            self.at(self.now + after, Event::Deliver(message));
        }
    }

    pub fn ask(&mut self, from: Addr, to: Addr, ask: Ask) -> u64 {
        self.tickets += 1;
        let id = self.tickets;
        self.send(from, to, id, Body::Ask(ask));
        id
    }

    pub fn deliver(&mut self, message: Message) -> Verdict {
        let Message { from, to, id, body } = message;
        match (to, body) {
            (Addr::Node(n), Body::Ask(ask)) => {
                if self.nodes[n].process.is_none() {
                    return Ok(());
                }
                if let Some(answer) = self.serve(n, from, id, ask)? {
                    self.send(to, from, id, Body::Answer(answer));
                }
                Ok(())
            }
            (Addr::Node(n), Body::Answer(answer)) => self.followed(n, id, answer),
            (Addr::Person(n), Body::Answer(answer)) => self.answered(n, id, answer),
            (Addr::Person(_), Body::Ask(_)) => unreachable!("nobody asks people"),
        }
    }

    /// What an operator shows to whoever asks: the liar has two histories.
    pub fn view(&mut self, n: usize, asker: Addr) -> Option<MemoryStore> {
        let liar = self.liar.as_ref().filter(|liar| liar.org == n)?;
        let reader = matches!(asker, Addr::Node(reader) if liar.readers.contains(&reader));
        let turns = liar.lie == Lie::OldHead && self.rng.permille(500);
        (reader && !turns).then(|| liar.twin.clone()).flatten()
    }

    pub fn serve(
        &mut self,
        n: usize,
        from: Addr,
        id: u64,
        ask: Ask,
    ) -> Result<Option<Answer>, String> {
        let org = self.founded.orgs[n].ledger;
        let twin = self.view(n, from);
        let founded = self.founded.clone();
        let node = &mut self.nodes[n];
        Ok(Some(match ask {
            Ask::Append(envelope) => {
                let lies = self.liar.as_ref().is_some_and(|l| l.org == n && l.lie == Lie::FalseAck);
                if lies && self.rng.permille(500) {
                    return Ok(self.false_answer(n, &envelope).map(Answer::Appended));
                }
                let node = &mut self.nodes[n];
                node.process().queue.push(Order { envelope, asker: Some((from, id)) });
                self.later(8, Event::Commit(n));
                return Ok(None);
            }
            Ask::Checkpoint(ledger) => {
                let note = match &twin {
                    Some(twin) => Ok(twin.checkpoint(&ledger.0).unwrap().unwrap()),
                    None => node.checkpoint(&founded.orgs[n]),
                };
                match note {
                    Ok(note) => {
                        self.shown(n, &note)?;
                        Answer::Checkpoint(note)
                    }
                    Err(failure) => Answer::Failed(failure),
                }
            }
            Ask::Entries { ledger, from, limit } => {
                let store = twin.as_ref().unwrap_or(&node.disk.store);
                let found = store.entries(&ledger.0, from, limit, usize::MAX).unwrap();
                let raw = |e: subak_ledger::store::StoredEntry| RawEntry {
                    seq: e.seq,
                    leaf: e.leaf,
                    envelope: e.envelope,
                };
                Answer::Entries(found.into_iter().map(raw).collect())
            }
            Ask::Consistency { ledger, old, new } => {
                let store = twin.as_ref().unwrap_or(&node.disk.store);
                let read = |level, index| tree_node(store, ledger.0, level, index).ok_or(());
                match tree::prove_consistency(old, new, read) {
                    Ok(proof) => Answer::Consistency(proof),
                    Err(()) => Answer::Failed(Failure::world("not-found")),
                }
            }
            Ask::Challenge { ledger, note } => {
                let lies = self.liar.as_ref().is_some_and(|liar| liar.org == n);
                assert_eq!(ledger, org, "a challenge goes to the operator");
                if !lies && self.challenge(n, &note)? {
                    return Ok(Some(Answer::Failed(Failure::world("older-database"))));
                }
                Answer::Challenged
            }
        }))
    }

    /// Shows a node a head of its own. Whether it halts.
    pub fn challenge(&mut self, n: usize, note: &str) -> Result<bool, String> {
        let org = &self.founded.clone().orgs[n];
        let was = self.nodes[n].halted().is_some();
        let told = self.nodes[n].challenge(org, note);
        let halts = self.nodes[n].halted().is_some();
        if halts && !was {
            let why = self.nodes[n].halted().unwrap_or_default().to_owned();
            self.note_node(n, &format!("halts: {why}"));
            let behind = self.restored.contains(&n) || !self.bound(n);
            holds(behind, || format!("{} halts: {why}, {told:?}", org.name))?;
        }
        Ok(halts)
    }

    /// A head leaves a node.
    pub fn shown(&mut self, n: usize, note: &str) -> Verdict {
        if !self.bound(n) {
            return Ok(());
        }
        let org = &self.founded.orgs[n];
        self.logs[n].sync(&self.nodes[n], org.ledger, true)?;
        self.logs[n].show(note, self.nodes[n].heads.synced.as_deref())
    }

    pub fn commit(&mut self, n: usize) -> Verdict {
        let org = &self.founded.clone().orgs[n];
        let node = &mut self.nodes[n];
        if node.process.as_ref().is_none_or(|process| process.queue.is_empty()) {
            return Ok(());
        }
        let first = self.config.broken == Broken::AcknowledgesFirst;
        let committed = node.commit(org, self.now, first);
        self.dirty.insert(n);
        for (order, answer) in committed.answers {
            let done = match &answer {
                Ok(appended) => {
                    if self.bound(n) {
                        self.logs[n].acknowledge(appended.entry, &order.envelope);
                        if !first {
                            self.shown(n, &appended.checkpoint)?;
                        }
                    }
                    self.stats.acks += 1;
                    format!("entry {}", appended.entry)
                }
                Err(failure) => failure.code.clone(),
            };
            let whom = if order.asker.is_some() { "a person" } else { "the clerk" };
            self.note_node(n, &format!("answers {whom}: {done}"));
            if let Some((asker, id)) = order.asker {
                let answer = answer.map_or_else(Answer::Failed, Answer::Appended);
                self.send(Addr::Node(n), asker, id, Body::Answer(answer));
            }
        }
        if let Some(death) = committed.died {
            self.note_node(n, &format!("dies {death:?}"));
            self.crash(n);
            self.later(800, Event::Restart(n));
        }
        Ok(())
    }
}
