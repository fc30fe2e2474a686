//! `subak`: fair, provable accounting of what people give to a commons and of what
//! enterprises earn on top of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    subak_cli::run()
}
