//! When nothing fails any more: owners put right what they can, everything is delivered, and who
//! lied or forgot can be convicted.

use super::{
    check::{self, Verdict, holds},
    disk::Disk,
    faults::transplant,
    follow::{Follower, Told, fraud},
    people::Receipt,
    world::World,
};
use subak_ledger::{
    log::{
        Checkpoint, LedgerId, PublicKey,
        checkpoint::claimed_size,
        fraud::{FraudProof, Parting, Placed},
        tree,
    },
    store::{MemoryStore, Reader as _},
};

/// What owners do: whoever holds a receipt shows it, and where a node has halted because its
/// database is an old copy, the newest is put back: the one that was set aside, or what another node
/// has copied.
pub fn repair(world: &mut World) -> Verdict {
    for n in 0..world.nodes.len() {
        if world.liar.as_ref().is_some_and(|liar| liar.org == n) {
            continue;
        }
        show_receipts(world, n)?;
        if world.nodes[n].halted().is_some() && world.nodes[n].mark.is_none() {
            put_back(world, n);
            show_receipts(world, n)?;
        }
        if world.nodes[n].halted().is_some() {
            world.stats.halted += 1;
        } else if !world.logs[n].parted {
            // The newest is back, so all that was promised is to be there.
            world.restored.remove(&n);
        }
    }
    Ok(())
}

/// Whoever holds a receipt shows it to the node.
fn show_receipts(world: &mut World, n: usize) -> Verdict {
    let receipts = &world.people[n].receipts;
    // All of them matter only where something was put back.
    let most = if world.restored.contains(&n) { usize::MAX } else { 1 };
    let newest = receipts.iter().rev().take(most);
    let shown: Vec<String> = newest.map(|receipt| receipt.checkpoint.clone()).collect();
    for note in shown {
        world.challenge(n, &note)?;
    }
    look(world, n);
    Ok(())
}

/// Opens a node's own ledger for appending, which finds out whether it may be.
fn look(world: &mut World, n: usize) {
    let org = &world.founded.clone().orgs[n];
    drop(world.nodes[n].checkpoint(org));
}

fn put_back(world: &mut World, n: usize) {
    let founded = world.founded.clone();
    let (org, ledger) = (&founded.orgs[n], founded.orgs[n].ledger);
    let rescued = world.rescued[n].clone().filter(|_| world.rng.permille(500));
    let size = |store: &MemoryStore| store.head(&ledger.0).unwrap().size;
    let copied = || {
        let holders = (0..founded.orgs.len()).filter(|r| founded.orgs[*r].follows.contains(&n));
        let stores = holders.map(|r| world.nodes[r].disk.store.clone());
        // Of a copy on its way to a signed head nothing is served beyond the last one.
        let whole = |store: &MemoryStore| {
            let note = store.checkpoint(&ledger.0).unwrap();
            note.as_deref().and_then(claimed_size) == Some(size(store))
        };
        stores.filter(whole).max_by_key(size)
    };
    let Some(from) = rescued.or_else(copied) else { return };
    if size(&from) <= size(&world.nodes[n].disk.store) {
        return;
    }
    let store = transplant(&world.nodes[n].disk.store, ledger.0, &from);
    world.note(|| format!("{:<5} is put back from elsewhere", org.name));
    world.nodes[n].disk = Disk::new(store);
    let open =
        |source: &usize| Follower::open(&world.nodes[n].disk, *source, &founded.orgs[*source]);
    let followers = org.follows.iter().map(open).collect();
    world.nodes[n].start(org, followers, &org.folded);
}

/// Whether everything is delivered; if not, what is missing.
pub fn settled(world: &mut World) -> Result<(), String> {
    let founded = world.founded.clone();
    let lies = |n: usize| world.liar.as_ref().is_some_and(|liar| liar.org == n);
    for (n, node) in world.nodes.iter().enumerate() {
        let name = &founded.orgs[n].name;
        let Some(process) = &node.process else { return Err(format!("{name} is down")) };
        if lies(n) || node.halted().is_some() {
            continue;
        }
        holds(process.open.is_some(), || format!("{name} is not open"))?;
        let person = &world.people[n];
        holds(person.pending.is_none(), || format!("somebody waits for {name}"))?;
        for source in &founded.orgs[n].follows {
            let other = &world.nodes[*source];
            if lies(*source) || other.halted().is_some() || node.evidence.contains_key(source) {
                continue;
            }
            let id = founded.orgs[*source].ledger.0;
            let (here, there) = (node.disk.store.head(&id), other.disk.store.head(&id));
            let (here, there) = (here.unwrap(), there.unwrap());
            holds(here == there, || {
                format!("{name} has {} at {here}, it is {there}", founded.orgs[*source].name)
            })?;
        }
    }
    for deal in &founded.deals {
        let (payer, commons) = (&world.nodes[deal.payer], &world.nodes[deal.commons]);
        let away = lies(deal.payer)
            || lies(deal.commons)
            || payer.halted().is_some()
            || commons.halted().is_some()
            || commons.evidence.contains_key(&deal.payer);
        let of = |node: &super::node::Node| node.last.state.agreements[&deal.digest].clone();
        let (due, taken) = (of(payer), of(commons));
        if away || taken.frozen.is_some() {
            continue;
        }
        // A payer who forgot, and gave numbers out again, may have been taken at its first word.
        let said_twice = world.logs[deal.payer].parted;
        holds(said_twice || due.dues.last == taken.dues.last, || {
            let (a, b) = (&founded.orgs[deal.payer].name, &founded.orgs[deal.commons].name);
            format!("{a} owes {b} {} numbers, taken are {}", due.dues.last, taken.dues.last)
        })?;
    }
    Ok(())
}

/// The last checks of a run.
pub fn review(world: &mut World) -> Verdict {
    let founded = world.founded.clone();
    let sample = world.config.seed.is_multiple_of(4);
    for (n, org) in founded.orgs.iter().enumerate() {
        let node = &world.nodes[n];
        let frozen = node.last.state.agreements.values().filter(|a| a.frozen.is_some());
        world.stats.frozen += frozen.count() as u64;
        world.stats.entries += node.last.state.size - org.folded.state.size;
        world.stats.taken +=
            node.last.state.incomes.iter().filter(|i| i.source.is_some()).count() as u64;
        if sample {
            // Every now and then from the very first entry on.
            let none = subak_node::fold::Folded::default();
            let base = if world.config.seed.is_multiple_of(64) { &none } else { &org.folded };
            check::replays(node, org.ledger, base).map_err(|e| format!("{}: {e}", org.name))?;
        }
        let halted = node.halted().is_some();
        let known = world.restored.contains(&n);
        holds(!halted || known || !world.bound(n), || format!("{} has halted", org.name))?;
        if world.bound(n) && !halted {
            world.logs[n]
                .keeps_its_word(node.disk.store.head(&org.ledger.0).unwrap())
                .map_err(|e| format!("{}: {e}", org.name))?;
        }
        // Who forgot what somebody still holds a proof of is found out.
        let lies = world.liar.as_ref().is_some_and(|liar| liar.org == n);
        if world.amnesiac.contains(&n) && !halted && !lies {
            let receipts = &world.people[n].receipts;
            let lost =
                receipts.iter().find(|receipt| !stands(receipt, &node.disk.store, org.ledger));
            holds(lost.is_none(), || {
                format!("{} has lost a receipt's entry, and goes on", org.name)
            })?;
        }
        convictable(world, n)?;
    }
    Ok(())
}

fn stands(receipt: &Receipt, store: &MemoryStore, ledger: LedgerId) -> bool {
    let found = store.entries(&ledger.0, receipt.seq, 1, 0).unwrap();
    found.first().is_some_and(|entry| entry.leaf == receipt.leaf)
}

/// Whatever two honest parties hold of an operator's words is of one history, or convicts it.
fn convictable(world: &mut World, n: usize) -> Verdict {
    let founded = world.founded.clone();
    let (org, operator) = (&founded.orgs[n], founded.orgs[n].operator.public());
    let holders: Vec<MemoryStore> = (0..founded.orgs.len())
        .filter(|r| founded.orgs[*r].follows.contains(&n))
        .map(|r| world.nodes[r].disk.store.clone())
        .collect();
    let mut proofs = Vec::new();
    for (place, one) in holders.iter().enumerate() {
        for other in &holders[place + 1..] {
            if let Some(proof) = between_copies(org.ledger, &operator, one, other)? {
                proofs.push(proof);
            }
        }
        for receipt in &world.people[n].receipts {
            if let Some(proof) = of_receipt(org.ledger, &operator, receipt, one)? {
                proofs.push(proof);
            }
        }
    }
    for proof in proofs {
        let read = FraudProof::parse(&proof.to_text()).and_then(|it| it.verify(&operator));
        holds(read.is_ok(), || format!("a proof against {} does not verify", org.name))?;
        holds(!world.bound(n), || format!("{} is honest, and can be convicted", org.name))?;
        world.stats.proofs += 1;
    }
    Ok(())
}

/// None where the one is a prefix of the other.
fn between_copies(
    ledger: LedgerId,
    operator: &PublicKey,
    one: &MemoryStore,
    other: &MemoryStore,
) -> Result<Option<FraudProof>, String> {
    let note = |store: &MemoryStore| store.checkpoint(&ledger.0).unwrap();
    let (Some(first), Some(second)) = (note(one), note(other)) else { return Ok(None) };
    let size = claimed_size(&first).min(claimed_size(&second)).unwrap_or(0);
    let chain = |store: &MemoryStore| {
        let last = store.entries(&ledger.0, size - 1, 1, 0).unwrap();
        last.first().map(|entry| entry.chain)
    };
    if chain(one) == chain(other) {
        return Ok(None);
    }
    let told = (Told { store: one, note: &first }, Told { store: other, note: &second });
    let proof = fraud(ledger, operator, told.0, told.1);
    proof.map(Some).ok_or_else(|| "two copies of two histories, and no proof of it".into())
}

/// None where the copy holds what was acknowledged, or ends before it.
fn of_receipt(
    ledger: LedgerId,
    operator: &PublicKey,
    receipt: &Receipt,
    copy: &MemoryStore,
) -> Result<Option<FraudProof>, String> {
    let Some(note) = copy.checkpoint(&ledger.0).unwrap() else { return Ok(None) };
    let size = claimed_size(&note).unwrap_or(0);
    if size <= receipt.seq || stands(receipt, copy, ledger) {
        return Ok(None);
    }
    let read = |level, index| super::node::tree_node(copy, ledger.0, level, index).ok_or(());
    let leaf = copy.entries(&ledger.0, receipt.seq, 1, 0).unwrap().remove(0).leaf;
    let path = tree::prove_inclusion(receipt.seq, size, read).map_err(|()| "a hole in a copy")?;
    let head = Checkpoint::open(&note, ledger, operator).map_err(|e| e.to_string())?;
    assert_eq!(head.size, size, "a note claims the size that it has");
    let parting = Parting {
        index: receipt.seq,
        first: Placed { leaf: tree::leaf_hash(&receipt.leaf), path: receipt.path.clone() },
        second: Placed { leaf: tree::leaf_hash(&leaf), path },
    };
    let notes = [&receipt.checkpoint[..], &note];
    let proof = FraudProof::new(ledger, operator, notes, Some(parting));
    proof.map(Some).map_err(|e| format!("an entry was acknowledged, another copied: {e}"))
}
