//! What people and clerks do next: sign, send, ask again, relay.
//!
//! Also the two broken receivers, and the stranger who shows a commons its payer's other story.

use super::{
    check::{Log, Verdict},
    faults::{Broken, Lie, tell},
    found::{DAY, Deal, START, handle, key, sign, verified},
    net::{Addr, Answer, Appended, Ask},
    node::{Order, Process},
    people::{Pending, View},
    relay,
    world::{Event, World},
};
use prost::bytes::Bytes;
use std::sync::Arc;
use subak_ledger::{book::agreement::Progress, log::Header, store::Reader as _};
use subak_node::{
    fold::Folded,
    load,
    sequencer::{Sequencer, decode},
};

/// After which a person asks again.
const PATIENCE: u64 = 500;

impl World {
    pub fn person(&mut self, n: usize) {
        let person = &mut self.people[n];
        if person.pending.is_none() && person.left > 0 {
            // They look at what their node shows.
            if self.nodes[n].process.is_none() {
                return;
            }
            let sent = self.founded.deals.iter().map(|deal| {
                let payer = self.nodes[deal.payer].last.state.agreements.get(&deal.digest);
                payer.filter(|a| a.progress == Progress::Active).map_or(0, |a| a.cash)
            });
            let view = View {
                org: n,
                founded: &self.founded,
                book: &self.nodes[n].last.state,
                sent: sent.collect(),
                round: self.round,
                now: self.now,
            };
            let Some((envelope, what)) = person.decide(&view, &mut self.rng) else { return };
            person.left -= 1;
            person.pending = Some(Pending { envelope, what, asked: None });
        }
        let now = self.now;
        let due = |pending: &&mut Pending| pending.asked.is_none_or(|(_, at)| now > at + PATIENCE);
        let Some(pending) = person.pending.as_mut().filter(due) else { return };
        let (envelope, what) = (pending.envelope.clone(), pending.what);
        let id = self.ask(Addr::Person(n), Addr::Node(n), Ask::Append(envelope));
        self.people[n].pending.as_mut().expect("as above").asked = Some((id, now));
        self.note_node(n, &format!("is sent: {what}"));
    }

    pub fn answered(&mut self, n: usize, id: u64, answer: Answer) -> Verdict {
        let person = &mut self.people[n];
        let open = person.pending.as_ref().and_then(|pending| pending.asked);
        if open.is_none_or(|(asked, _)| asked != id) {
            return Ok(());
        }
        match answer {
            Answer::Appended(appended) => {
                let (org, note) = (&self.founded.orgs[n], appended.checkpoint.clone());
                let proven = person.receive(org.ledger, &org.operator.public(), appended);
                proven
                    .map_err(|what| format!("an answer of {} proves nothing: {what}", org.name))?;
                // A receipt that comes late, from before the newest was put back, is shown too.
                if self.quiet && self.amnesiac.contains(&n) {
                    self.challenge(n, &note)?;
                }
                Ok(())
            }
            // A rule refuses it: for good, or because it is recorded already.
            Answer::Failed(failure) if failure.refused => {
                person.pending = None;
                Ok(())
            }
            _ => Ok(()), // it is asked again
        }
    }

    /// An acknowledgement of what is not recorded, proven under a signed head.
    pub fn false_answer(&mut self, n: usize, envelope: &Bytes) -> Option<Appended> {
        let org = &self.founded.orgs[n];
        let statement = verified(envelope).ok()?;
        let mut sequencer = Sequencer::new(self.nodes[n].last.clone());
        let events = decode(&statement);
        let now = self.nodes[n].reading(self.now).wall;
        let entry = sequencer.admit(&statement, &events, None, now).ok()?;
        let (leaf, path) = sequencer.prove(entry)?;
        let checkpoint = sequencer.effects()?.head.sign(&org.operator);
        self.note_node(n, &format!("lies: acknowledges entry {entry}"));
        Some(Appended { entry, leaf, path, checkpoint })
    }

    pub fn relay(&mut self, n: usize) {
        let founded = self.founded.clone();
        let waits = |order: &Order| order.asker.is_none();
        let busy = |process: &Process| process.queue.iter().any(waits);
        if self.nodes[n].process.as_ref().is_none_or(busy) {
            return;
        }
        for deal in founded.deals.iter().filter(|deal| deal.commons == n) {
            if self.nodes[n].evidence.contains_key(&deal.payer) {
                continue;
            }
            let memory = self.misremember(n, deal);
            let sound =
                memory.as_ref().map(|m| std::mem::replace(&mut self.nodes[n].last, m.clone()));
            let (org, payer) = (&founded.orgs[n], &founded.orgs[deal.payer]);
            let whose = (&org.name[..], org.ledger);
            let clock = (self.now, &mut self.rng);
            let said = relay::statement(&self.nodes[n], whose, payer.ledger, deal, clock);
            if let Some(sound) = sound {
                self.nodes[n].last = sound;
            }
            if let Some(envelope) = said {
                let process = self.nodes[n].process();
                process.queue.push(Order { envelope, asker: None });
                process.misremembers = memory;
                self.later(8, Event::Commit(n));
            }
        }
    }

    /// The broken receivers: what the book in the memory of this node is while it relays.
    pub fn misremember(&mut self, n: usize, deal: &Deal) -> Option<Folded> {
        let broken = self.config.broken;
        if !matches!(broken, Broken::TakesLastPlusTwo | Broken::ForgetsItsCursor) {
            return None;
        }
        let process = self.nodes[n].process.as_ref()?;
        let follower = process.followers.iter().find(|f| f.source == deal.payer)?;
        let last = follower.whole.as_ref()?.state.agreements.get(&deal.digest)?.dues.last;
        let open = process.open.as_ref()?;
        let mut folded: Folded = open.sequencer.durable().clone();
        let state = Arc::make_mut(&mut folded.state);
        let agreement = Arc::make_mut(state.agreements.get_mut(&deal.digest).unwrap());
        let dues = &mut agreement.dues;
        match broken {
            Broken::TakesLastPlusTwo if dues.last + 2 <= last => dues.last += 1,
            Broken::ForgetsItsCursor if self.rng.permille(250) => {
                let item = dues.items.remove(&dues.last)?;
                dues.origins.remove(&item.origin);
                agreement.sources.remove(&dues.last);
                dues.last -= 1;
            }
            _ => return None,
        }
        Some(folded)
    }

    /// The other story goes on too.
    fn tell_more(&mut self, n: usize) {
        let founded = self.founded.clone();
        let org = &founded.orgs[n];
        let Some(twin) = self.liar.as_mut().and_then(|liar| liar.twin.as_mut()) else { return };
        let folded = load::extend(twin, org.ledger, Folded::default()).unwrap();
        tell(org, twin, folded, (self.now, &mut self.rng));
        self.logs[n].learn(twin, org.ledger);
    }

    /// Anyone may relay: somebody shows a commons what the liar has told somebody else.
    pub fn stranger(&mut self) {
        let org = match &self.liar {
            Some(liar) if liar.lie == Lie::TwoStories => liar.org,
            _ => return,
        };
        self.tell_more(org);
        let Some(twin) = self.liar.as_ref().and_then(|liar| liar.twin.clone()) else { return };
        let founded = self.founded.clone();
        let Ok(Some(note)) = twin.checkpoint(&founded.orgs[org].ledger.0) else { return };
        for deal in founded.deals.iter().filter(|deal| deal.payer == org) {
            let (node, of) = (&self.nodes[deal.commons], &founded.orgs[deal.commons]);
            let Some(own) = node.last.state.agreements.get(&deal.digest) else { continue };
            let told = twin.entries(&founded.orgs[org].ledger.0, 0, usize::MAX, usize::MAX);
            let other = told.unwrap().into_iter().find(|entry| {
                let dues = Log::dues(&entry.envelope);
                let source = *blake3::hash(&entry.envelope).as_bytes();
                let first = dues.iter().find(|due| due.agreement == deal.digest);
                let known = first.and_then(|due| own.sources.get(&due.number));
                known.is_some_and(|known| known.envelope != source)
            });
            let Some(entry) = other else { continue };
            let payer = founded.orgs[org].ledger;
            let Some(take) = relay::take(&twin, payer, deal.digest, entry.seq, &note) else {
                continue;
            };
            let (at, day) = (START + self.now, DAY);
            let header = Header {
                ledger: of.ledger,
                author: handle("ana"),
                nonce: self.rng.nonce(),
                created_at: at,
                expires_at: at + day,
                basis: None,
            };
            let envelope = sign(header, &key(&format!("ana of {}", of.name)), vec![take]);
            if let Some(process) = self.nodes[deal.commons].process.as_mut() {
                process.queue.push(Order { envelope, asker: None });
                self.later(8, Event::Commit(deal.commons));
            }
        }
    }
}
