//! The figures of Subak, each beside a limit that was measured in the same run:
//!
//! ```text
//! cargo bench                          all of them, some minutes
//! cargo bench -- --quick               smaller logs, one round: seconds instead
//! cargo bench -- append                those whose name has "append" in it
//! ```
//!
//! Owns the order of the groups and the words around the table. Guarantees that every
//! ratio is of two measurements that followed each other: on a machine that does other
//! things too, figures move and ratios hold better. Leaves out judging: a figure below
//! its target says so, but nothing fails.
//!
//! What is not the node's cost is not timed: statements are signed before, by one author. Client and
//! server share this process and its cores. The client is the raw gRPC one
//! (`LogClient`), since `Remote` verifies every answer, which is the asker's cost.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, clippy::cast_precision_loss)]
#![allow(unreachable_pub)] // a binary of a few modules

#[path = "figures/append.rs"]
mod append;
#[path = "figures/audited.rs"]
mod audited;
#[path = "figures/followed.rs"]
mod followed;
#[path = "figures/income.rs"]
mod income;
#[path = "figures/limits.rs"]
mod limits;
#[path = "figures/report.rs"]
mod report;
#[path = "figures/state.rs"]
mod state;
#[path = "figures/stored.rs"]
mod stored;
#[path = "figures/world.rs"]
mod world;

use mimalloc::MiMalloc;
use report::Report;

/// As in the program.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() {
    // Cargo adds `--bench` to what it was told.
    let (options, filters): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let quick = options.iter().any(|o| o == "--quick");
    if let Some(other) = options.iter().find(|o| *o != "--quick" && *o != "--bench") {
        eprintln!("{other}: not an option; there are --quick and one filter");
        std::process::exit(2);
    }
    if filters.len() > 1 {
        eprintln!("one filter at most, found {}", filters.len());
        std::process::exit(2);
    }
    let mut report = Report::new(quick, filters.into_iter().next());
    report.open();
    append::figures(&mut report);
    stored::figures(&mut report);
    audited::figures(&mut report);
    followed::figures(&mut report);
    income::figures(&mut report);
    state::figures(&mut report);
    report.close();
}
