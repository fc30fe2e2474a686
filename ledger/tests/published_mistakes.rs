//! Mistakes that published splitters and published ledgers make, each with a test that
//! this one does not make it.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test binary exports nothing

mod kit;

use kit::*;
use prost::Message as _;
use subak_ledger::{
    book::{
        accounts::Account,
        types::{fixed, whole},
    },
    log::{
        Checkpoint, Frontier, Hash, KeyCache, Leaf, LedgerId, Unverified, commit::commitment,
        entry::NO_PREVIOUS, tree,
    },
    reject::Code,
};
use subak_proto::v1::{self, event::Kind};

// ---- splitters ----

/// "Rounding": the share of those who are not there goes to the largest recipient.
#[test]
fn an_empty_buckets_money_is_held_and_not_given_to_the_largest() {
    let mut equation =
        equation(1, &[("care", 300_000, None, &[1]), ("contributors", 700_000, None, &[1])]);
    if let Some(v1::bucket::To::Contributors(c)) = &mut equation.bucket[0].to {
        c.stream = vec![v1::Stream::Care as i32];
    }
    let mut world = World::commons(equation);
    world.add_person("ana");
    let place = world.contribute("ana", "commit", 1_000_000);
    world.validate("sam", place).unwrap();
    world.gift(10_000);
    assert_eq!(world.accrued("ana"), 7_000);
    let held: Vec<_> = world
        .state
        .accounts
        .iter()
        .filter(|(account, ..)| matches!(account, Account::Held(_)))
        .map(|(_, _, amount)| amount)
        .collect();
    assert_eq!(held, [-fixed(3_000)]);
}

/// Dust goes to whoever is listed first, though nothing is due to them.
#[test]
fn dust_goes_to_nobody_without_points() {
    let mut world = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1, 0])]));
    for name in ["aaa", "bbb", "ccc", "ddd", "zero"] {
        world.add_person(name);
    }
    // The first in every order: work so old that it weighs nothing, and a claim
    // that nobody has validated.
    let old = world.contribute("aaa", "commit", 5_000);
    world.validate("sam", old).unwrap();
    world.days(31);
    world.contribute("zero", "commit", 5_000);
    for name in ["bbb", "ccc", "ddd"] {
        let place = world.contribute(name, "commit", 1_000);
        world.validate("sam", place).unwrap();
    }
    world.gift(100);
    for name in ["bbb", "ccc", "ddd"] {
        assert_eq!(world.accrued(name), 33, "{name}");
    }
    for name in ["aaa", "zero"] {
        assert_eq!(world.state.accrued(world.id(name), currency(EUR)), 0, "{name}");
    }
    // A third of a cent each is theirs still: two more incomes make it whole.
    world.gift(100);
    world.gift(100);
    for name in ["bbb", "ccc", "ddd"] {
        assert_eq!(world.accrued(name), 100, "{name}");
    }
}

/// Ties are broken by the order of a map, so by chance or by the choice of a name.
#[test]
fn who_gave_the_same_receives_the_same_in_whatever_order() {
    let split = |order: &[&str]| {
        let mut world = World::commons(equation(1, &[("contributors", 1_000_000, None, &[1])]));
        for name in order {
            world.add_person(name);
        }
        for name in order.iter().rev() {
            let place = world.contribute(name, "commit", 1_000);
            world.validate("sam", place).unwrap();
        }
        world.gift(100);
        let exact = |name| world.state.accrued(world.id(name), currency(EUR));
        ["a", "m", "z"].map(exact)
    };
    let orders = [["a", "m", "z"], ["z", "m", "a"], ["m", "z", "a"]];
    let first = split(&orders[0]);
    assert!(first.iter().all(|v| *v == first[0] && whole(*v) == 33), "{first:?}");
    for order in &orders[1..] {
        assert_eq!(split(order), first);
    }
}

/// A graph walk that has "visited" a node pays its second branch nothing.
#[test]
fn both_branches_of_a_diamond_are_paid() {
    // top pays left and right, and both pay base.
    let half = |name: &'static str| (name, 500_000, Some(name), &[][..]);
    let top = equation(1, &[half("upstream"), half("our-commons")]);
    let mut top = World::open(genesis(v1::AgentKind::Commons, "top", 1, Some(top)));
    let mut branches = [downstream("left"), downstream("right")];
    let mut base = two_contributors();
    top.gift(100_000);
    for (branch, (name, known_as)) in
        branches.iter_mut().zip([("left", "upstream"), ("right", "our-commons")])
    {
        branch.add_institution("top", v1::AgentKind::Commons);
        base.add_institution(name, v1::AgentKind::Commons);
        let terms = branch.payout_terms(&top, "top", known_as);
        let from_top = agree(&mut top, branch, terms);
        let terms = base.payout_terms(branch, name, "upstream");
        let to_base = agree(branch, &mut base, terms);
        let run = top.propose(&[(known_as, 50_000)]).unwrap();
        let paid = top.paid(run, &[known_as]).unwrap();
        branch.take(&top, paid, from_top).unwrap();
        branch.settle(from_top, 50_000).unwrap();
        let run = branch.propose(&[("upstream", 5_000)]).unwrap();
        let paid = branch.paid(run, &["upstream"]).unwrap();
        base.take(branch, paid, to_base).unwrap();
    }
    let incomes: Vec<_> = base.state.incomes.iter().map(|i| (i.payer, i.amount)).collect();
    assert_eq!(incomes, [(base.id("left"), 5_000), (base.id("right"), 5_000)]);
    assert_eq!(base.accrued("ana"), 5_000);
}

/// New rules redirect what was earned under the old ones.
#[test]
fn new_rules_leave_what_was_earned_where_it_is() {
    let (mut payer, mut commons, agreement) = agreed();
    let first = payer.earn(1, 100_000);
    commons.take(&payer, first, agreement).unwrap();
    let before = ["ana", "ben"].map(|who| commons.accrued(who));
    let all = equation(2, &[("association", 1_000_000, Some("association"), &[])]);
    let adopt = Kind::EquationAdopt(v1::EquationAdopt { equation: Some(all) });
    commons.decree(adopt).unwrap();
    assert_eq!(["ana", "ben"].map(|who| commons.accrued(who)), before);
    // Its settlement pays those who earned it, its refund takes from the same.
    commons.settle(agreement, 10_000).unwrap();
    assert_eq!((commons.payable("ana"), commons.payable("association")), (5_000, 0));
    let back = payer.refund(1, 50_000);
    commons.take(&payer, back, agreement).unwrap();
    assert_eq!((commons.accrued("ana"), commons.accrued("association")), (2_500, 0));
    // Only what comes after is split by the new rules.
    let second = payer.earn(2, 100_000);
    commons.take(&payer, second, agreement).unwrap();
    assert_eq!((commons.accrued("ana"), commons.accrued("association")), (2_500, 10_000));
}

// ---- ledgers ----

/// What an auditor does who has nothing but raw bytes and the operator's key.
fn audit(world: &World, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(Hash, Hash), String> {
    let (mut chain, mut tree, mut keys) = (NO_PREVIOUS, Frontier::default(), KeyCache::default());
    for (n, (bytes, envelope)) in entries.iter().enumerate() {
        let leaf = Leaf::from_bytes(bytes).map_err(|r| format!("{n}: {r}"))?;
        if leaf.seq != n as u64 || leaf.ledger != world.state.ledger || leaf.previous != chain {
            return Err(format!("{n}: not the next entry of this chain"));
        }
        if leaf.envelope != *blake3::hash(envelope).as_bytes() {
            return Err(format!("{n}: another envelope than the leaf's"));
        }
        let read = Unverified::parse(envelope).and_then(|u| u.verify(&mut keys));
        read.map_err(|r| format!("{n}: {r}"))?;
        chain = leaf.chain_hash();
        tree.push(tree::leaf_hash(bytes));
    }
    let operator = world.operator.public();
    let head = Checkpoint::open(&world.checkpoint(), world.state.ledger, &operator).unwrap();
    if (head.size, head.root) != (tree.size(), tree.root()) {
        return Err("not the tree that the operator has signed".into());
    }
    Ok((chain, tree.root()))
}

/// They hash one form of a record and serve another. Here what is served is what was
/// signed and hashed, and no other spelling of it is taken.
#[test]
fn what_is_served_is_what_was_signed_and_hashed() {
    let (_, commons, _) = agreed();
    let sound = audit(&commons, &commons.entries).unwrap();
    assert_eq!(sound.0, *commons.state.chain.last().unwrap());
    // Every byte of every served entry is under a hash or a signature.
    for n in 0..commons.entries.len() {
        for part in [0, 1] {
            let mut entries = commons.entries.clone();
            let bytes = if part == 0 { &mut entries[n].0 } else { &mut entries[n].1 };
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            audit(&commons, &entries).expect_err("a served byte was changed");
        }
    }
    // The same fact in another encoding is refused at the door, though rightly signed.
    let mut world = two_contributors();
    let header = world.header("sam");
    let mut longer = encode(Kind::AgentAdmit(v1::AgentAdmit { agent: "ana".into() }));
    let decoded = v1::Event::decode(&longer[..]).unwrap();
    longer.extend([0xa0, 6, 1]); // a field that this schema does not know
    assert_eq!(v1::Event::decode(&longer[..]).unwrap(), decoded, "a lenient reader sees no more");
    let draft = subak_ledger::log::Draft { header, events: vec![longer] };
    let reject = world.append(draft.sign(&key("sam"))).unwrap_err();
    assert_eq!(reject.code, Code::Malformed);
}

/// They join fields with a separator that a field may contain. Here no two lists of
/// fields give one string.
#[test]
fn fields_that_are_joined_cannot_run_into_one_another() {
    let commit = |tag: &str, author: &str, field: &str, bytes: &[u8]| {
        commitment(&[3; 32], tag, &LedgerId([1; 32]), &handle(author), field, bytes)
    };
    let one = commit("agent", "ana", "name", b"x-y");
    for other in [
        commit("agentana", "n", "ame", b"x-y"),
        commit("agent", "an", "aname", b"x-y"),
        commit("agent", "ana", "namex", b"-y"),
        commit("agent", "ana", "name-x", b"y"),
    ] {
        assert_ne!(one, other);
    }
    // No separator enters a field that is shown joined: invoices, references, handles.
    let mut phyle = World::phyle("phyle-a");
    for series in ["inv/1", "inv.1", "inv 1", "inv\n"] {
        let mut record = phyle.revenue(1, 100);
        record.invoice.as_mut().unwrap().series = series.into();
        phyle.refused("sam", vec![Kind::RevenueRecord(record)], Code::Malformed);
    }
    let mut commons = two_contributors();
    for bank in ["bank:a b", "bank:a/b", "bank:a:b", "bank:", "iban:a"] {
        let amount = Some(v1::Amount { currency: EUR.into(), minor: 1 });
        let (payer, bank) = ("phyle-b".into(), bank.to_owned());
        let gift = v1::IncomeRecord { payer, amount, bank, note: vec![] };
        commons.refused("sam", vec![Kind::IncomeRecord(gift)], Code::Malformed);
    }
}

/// One linked a chain and a tree and compared only their ends, so that a server could
/// show two histories between them. Here each leaf holds the chain before it and lies
/// in the tree itself: one other entry anywhere, and chain and tree both end elsewhere.
#[test]
fn a_history_between_two_sound_ends_is_found_at_its_first_entry() {
    let mut one = two_contributors();
    let mut other = one.twin();
    let parted = usize::try_from(one.state.size).unwrap();
    one.gift(10_000);
    other.gift(90_000);
    // The same statement ends both.
    let header = subak_ledger::log::Header { basis: None, ..one.header("sam") };
    let add = v1::AgentAdd { handle: "cleo".into(), kind: 1, ..Default::default() };
    let last = subak_ledger::log::Draft { header, events: vec![encode(Kind::AgentAdd(add))] };
    let last = last.sign(&key("sam"));
    one.append(last.clone()).unwrap();
    other.append(last).unwrap();
    let (here, there) =
        (audit(&one, &one.entries).unwrap(), audit(&other, &other.entries).unwrap());
    assert!(here.0 != there.0 && here.1 != there.1, "neither end hides it");

    // The middle of the other history between the ends of this one.
    let mut mixed = one.entries.clone();
    mixed[parted] = other.entries[parted].clone();
    let fault = audit(&one, &mixed).unwrap_err();
    assert!(fault.starts_with(&format!("{}: ", parted + 1)), "{fault}");
    // With that link mended, the tree still tells; nor does the path of the one prove
    // an entry of the other.
    mixed[parted + 1] = other.entries[parted + 1].clone();
    audit(&one, &mixed).expect_err("the operator has signed another tree");
    let path: Vec<Hash> =
        one.prove(parted as u64).path.iter().map(|h| h[..].try_into().unwrap()).collect();
    for (leaf, holds) in [(&one.entries[parted].0, true), (&mixed[parted].0, false)] {
        let (size, root) = (one.frontier.size(), one.frontier.root());
        let leaf = tree::leaf_hash(leaf);
        let proven = tree::verify_inclusion(parted as u64, size, &root, &leaf, &path);
        assert_eq!(proven.is_ok(), holds);
    }
}
