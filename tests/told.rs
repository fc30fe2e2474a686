//! What commands tell people, beside the result: what to look at twice, what was done
//! although something else failed, what a figure is made of.

#![allow(clippy::unwrap_used)]

mod kit;

use kit::{Place, Ran};

/// A commons with two stewards, who are its maintainers; `validators` by the template.
fn commons(template: &str) -> Place {
    let place = Place::new();
    for who in ["ana", "ben", "dora", "zoe"] {
        place.type_in(&format!("key new {who}")).done();
    }
    let open = "commons open ours --sandbox --steward ana --steward ben --template";
    place.type_in(&format!("{open} {template} --phyle our-phyle")).done();
    place
}

#[track_caller]
fn says(ran: &Ran, what: &[&str]) {
    let said = format!("subak {}\n{}{}", ran.line, ran.out, ran.err);
    for what in what {
        // However the line is wrapped.
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(what), "{what:?} in {said}");
    }
}

#[test]
fn a_maintainer_is_told_what_others_read_otherwise_before_confirming_it() {
    let place = commons("equal");
    place.type_in("contribute 2 --reference pr:1 --as dora").done();
    place.type_in("validate 1.1 --quantity dora=1.5 --remuneration unpaid --as ana").done();
    let list = place.type_in("contribution list --pending").done();
    says(&list, &["pending 1/2 as 1.5"]);
    // Routine does not undo what ana has said.
    let all = place.type_in("validate --all-pending --remuneration paid --as ben");
    says(&all, &["others have said other quantities: 1 contribution", "nothing awaits your word"]);
    let one = place.type_in("validate 1.1 --remuneration paid --as ben").done();
    says(&one, &["look twice:", "1.1, dora: ana read it as 1.5, unpaid"]);

    let place = commons("equal");
    place.type_in("contribute 2 --reference pr:1 --as dora").done();
    place.type_in("contribute 9 --reference pr:1 --as zoe").done();
    let both = place.type_in("validate --all-pending --remuneration unpaid --as ana").done();
    says(&both, &["pr:1 is claimed by 1.1 of dora and 2.1 of zoe"]);
    let plain = place.type_in("contribute 1 --as dora").done();
    assert!(!plain.err.contains("look twice"));
    place.type_in("validate 1.1 --quantity dora=1.5 --remuneration unpaid --as ana").done();
    place.type_in("validate 1.1 --quantity dora=1.5 --remuneration unpaid --as ben").done();
    place.type_in("agent admit zoe --as ana").done();
    place.type_in("role grant zoe maintainer --as ana").done();
    let third = place.type_in("validate 1.1 --remuneration unpaid --as zoe").done();
    says(&third, &["1.1, dora: 1.5 stands, claimed was 2"]);
}
