//! `subak`: fair, provable accounting of what people give to a commons and of what
//! enterprises earn on top of it.

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    subak_cli::run()
}
