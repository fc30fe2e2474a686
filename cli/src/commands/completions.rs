//! `subak completions`: a script that completes commands in a shell.

use crate::{
    context::Context,
    failure::{Done, Failure},
};
use clap::Args;
use serde_json::json;

/// Print a script that completes `subak` in a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  subak completions bash > ~/.local/share/bash-completion/completions/subak\n  subak completions zsh > ~/.zfunc/_subak\n  subak completions fish > ~/.config/fish/completions/subak.fish"
)]
pub struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Runs it.
    pub fn run(self, cx: &Context) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::definition(), "subak", &mut script);
        let script = String::from_utf8(script).map_err(|e| {
            Failure::world("completions", e.to_string(), "report it: a script is UTF-8 text")
        })?;
        let data = json!({ "shell": self.shell.to_string(), "script": script });
        cx.out.result("subak.completions/1", &data, &script)
    }
}
