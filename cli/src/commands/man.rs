//! `subak man`: the help of every command as manual pages.

use crate::{
    context::Context,
    failure::{Done, Failure},
};
use clap::Args;
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Write a manual page of every command into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  subak man ~/.local/share/man/man1 && man subak-audit")]
pub struct Man {
    /// Folder; it is made where there is none
    dir: PathBuf,
}

impl Man {
    /// Runs it.
    pub fn run(self, cx: &Context) -> Done {
        let pages = write(&self.dir).map_err(|e| Failure::file(&self.dir, &e))?;
        let (dir, count) = (self.dir.display().to_string(), pages.len());
        let text = format!("{count} pages in {dir}; read one with `man {dir}/subak.1`");
        cx.out.result("subak.man/1", &json!({ "dir": dir, "pages": pages }), &text)
    }
}

/// Writes the pages; returns their names, in order.
fn write(dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(crate::definition(), dir)?;
    let pages = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let ours = |name: &String| name.starts_with("subak") && name.ends_with(".1");
    let pages: io::Result<Vec<Option<String>>> = pages.collect();
    let mut pages: Vec<String> = pages?.into_iter().flatten().filter(ours).collect();
    pages.sort();
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages that there must be: one for each command that can be typed.
    fn expected(command: &clap::Command, name: &str, all: &mut Vec<String>) {
        all.push(format!("{name}.1"));
        for inner in command.get_subcommands().filter(|c| c.get_name() != "help") {
            expected(inner, &format!("{name}-{}", inner.get_name()), all);
        }
    }

    #[test]
    fn every_command_has_a_page_that_says_what_its_help_says() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("share/man1");
        let pages = write(&dir).unwrap();
        let mut all = Vec::new();
        expected(&crate::definition(), "subak", &mut all);
        all.sort();
        assert_eq!(pages, all);
        for name in ["subak.1", "subak-audit.1", "subak-commons-open.1", "subak-man.1"] {
            assert!(pages.contains(&name.to_owned()), "{name}");
        }
        let page = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        for (name, words) in [
            ("subak.1", "contribute"),
            ("subak-audit.1", "TARGET"),
            ("subak-audit.1", "Exit status: 0 sound, 1 fault, 3 gap, 4"),
            ("subak-serve.1", "tls\\-cert"),
            ("subak-balance.1", "node\\-ca"),
        ] {
            assert!(page(name).contains(words), "{words} in {name}:\n{}", page(name));
        }
        // Written again over themselves, they are the same.
        let before = page("subak-serve.1");
        assert_eq!(write(&dir).unwrap(), pages);
        assert_eq!(page("subak-serve.1"), before);
    }
}
