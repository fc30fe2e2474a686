//! What a node does with the answers of those it follows, and with what does not fit.

use super::{
    check::{Verdict, holds},
    faults::{Broken, transplant},
    follow::{Follower, Next, Told, fraud},
    net::{Addr, Answer, Ask},
    node::Node,
    world::World,
};
use subak_ledger::{log::fraud::FraudProof, store::Reader as _};
use subak_node::follow::copy;

impl World {
    pub fn poll(&mut self, n: usize, place: usize) {
        let now = self.now;
        let founded = self.founded.clone();
        if self.nodes[n].halted().is_some() {
            return; // then it copies nothing either
        }
        let Node { process, disk, evidence, .. } = &mut self.nodes[n];
        let Some(process) = process.as_mut() else { return };
        let follower = &mut process.followers[place];
        let source = follower.source;
        if evidence.contains_key(&source) || !follower.is_idle(now) {
            return;
        }
        // A write that failed may be there all the same.
        if disk.store.head(&follower.ledger.0).unwrap().size != follower.copy.size() {
            *follower = Follower::open(disk, source, &founded.orgs[source]);
        }
        let ask = Ask::Checkpoint(follower.ledger);
        let id = self.ask(Addr::Node(n), Addr::Node(source), ask);
        self.nodes[n].process().followers[place].open = Some((id, now));
    }

    pub fn followed(&mut self, n: usize, id: u64, answer: Answer) -> Verdict {
        let founded = self.founded.clone();
        let page = usize::try_from(self.rng.between(1, 6)).unwrap();
        let Node { process, disk, .. } = &mut self.nodes[n];
        let Some(process) = process.as_mut() else { return Ok(()) };
        let open = |f: &&mut Follower| f.open.is_some_and(|(asked, _)| asked == id);
        let Some(follower) = process.followers.iter_mut().find(open) else { return Ok(()) };
        follower.open = None;
        let source = follower.source;
        let name = &founded.orgs[source].name;
        let next = match answer {
            Answer::Checkpoint(note) => follower.head(note, page),
            Answer::Entries(page) => {
                follower.entries(page, disk, name, (&mut self.verified, &mut self.rng))
            }
            Answer::Consistency(proof) => follower.proof(&proof, disk, name),
            _ => {
                follower.copy.failed();
                Next::Rest
            }
        };
        let ask = match next {
            Next::Rest => None,
            Next::Ask(ask) => Some(ask),
            Next::Stored(ask) => {
                let size = follower.copy.size();
                self.note_node(n, &format!("has {size} entries of {name}"));
                self.copied(n, source);
                ask
            }
            Next::Fault(fault) => return self.doubt(n, source, &fault),
        };
        if let Some(ask) = ask {
            let id = self.ask(Addr::Node(n), Addr::Node(source), ask);
            let process = self.nodes[n].process();
            let follower = process.followers.iter_mut().find(|f| f.source == source);
            follower.expect("as above").open = Some((id, self.now));
        }
        Ok(())
    }

    pub fn copied(&mut self, n: usize, source: usize) {
        self.dirty_copies.insert((n, source));
    }

    /// What a source has sent is not taken. Who did not lie and did not forget is never doubted.
    pub fn doubt(&mut self, n: usize, source: usize, fault: &copy::Fault) -> Verdict {
        let name = self.name(source).to_owned();
        self.note_node(n, &format!("doubts {name}: {fault:?}"));
        let may = !self.bound(source) || self.restored.contains(&source);
        holds(may, || format!("{name} is honest, and doubted: {fault:?}"))?;
        let founded = self.founded.clone();
        let org = &founded.orgs[source];
        let twin = self.view(source, Addr::Node(n));
        let theirs = twin.unwrap_or_else(|| self.nodes[source].disk.store.clone());
        if self.config.broken == Broken::BelievesAnything {
            let node = &mut self.nodes[n];
            node.disk.store = transplant(&node.disk.store, org.ledger.0, &theirs);
            let follower = Follower::open(&node.disk, source, org);
            let all = &mut node.process().followers;
            *all.iter_mut().find(|f| f.source == source).expect("it follows") = follower;
            self.copied(n, source);
            return Ok(());
        }
        let ours = self.nodes[n].disk.store.clone();
        let notes = (ours.checkpoint(&org.ledger.0), theirs.checkpoint(&org.ledger.0));
        let (Ok(Some(note)), Ok(Some(other))) = notes else { return Ok(()) };
        let operator = org.operator.public();
        let (ours, theirs) =
            (Told { store: &ours, note: &note }, Told { store: &theirs, note: &other });
        if let Some(proof) = fraud(org.ledger, &operator, ours, theirs) {
            self.convict(n, source, &proof)?;
        }
        let challenge = Ask::Challenge { ledger: org.ledger, note };
        self.ask(Addr::Node(n), Addr::Node(source), challenge);
        Ok(())
    }

    /// A proof of two histories is kept, once a third person could verify it.
    pub fn convict(&mut self, n: usize, source: usize, proof: &FraudProof) -> Verdict {
        let org = &self.founded.orgs[source];
        let text = proof.to_text();
        let read = FraudProof::parse(&text).and_then(|it| it.verify(&org.operator.public()));
        holds(read.is_ok(), || format!("a proof against {} does not verify: {read:?}", org.name))?;
        holds(!self.bound(source), || format!("{} is honest, and convicted", org.name))?;
        self.stats.proofs += 1;
        self.note_node(n, "keeps a fraud proof");
        self.nodes[n].evidence.insert(source, text);
        Ok(())
    }
}
