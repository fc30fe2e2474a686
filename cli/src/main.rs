//! `subak`: fair, provable accounting of what people give to a commons and of what
//! enterprises earn on top of it.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// The book is made of many small pieces: this allocator takes them apart and together some
/// percent faster than the system's, with 64 statements in flight and in the audit.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    subak_cli::run()
}
