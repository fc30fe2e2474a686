//! Value equations to begin with: `equal`, `hours`, `points-with-decay`, `solo`.
//!
//! Owns the four commented TOML files and their adaptation to the institutions that a
//! commons has: the bucket of an absent one is left out, its share goes to the
//! contributors, a fallback to it becomes a comment, and the worked examples are
//! worked out anew with the code that splits real income. Guarantees that each text
//! passes [`Equation::from_wire`]. Leaves out currencies other than EUR, which a
//! commons edits in.
//!
//! The files are complete equations themselves, in blocks separated by empty lines;
//! institutions go by the handles `association`, `upstream` and `trust` there.

use super::{equation::Equation, equation_toml};
use crate::reject::{Code, Outcome, Reject};
use subak_proto::v1;

/// The names, in the order in which to offer them.
pub const NAMES: [&str; 4] = ["equal", "hours", "points-with-decay", "solo"];

/// Decimals of the euro, in which the templates' amounts are.
const EUR_EXPONENT: u8 = 2;

/// The handles of a commons' institutions, where it has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Institutions<'a> {
    /// The for-benefit association.
    pub association: Option<&'a str>,
    /// The commons that this one builds on.
    pub upstream: Option<&'a str>,
    /// The trust.
    pub trust: Option<&'a str>,
}

impl<'a> Institutions<'a> {
    /// The handle in the files, and that of this commons.
    fn each(&self) -> [(&'static str, Option<&'a str>); 3] {
        [("association", self.association), ("upstream", self.upstream), ("trust", self.trust)]
    }
}

fn file(name: &str) -> Outcome<&'static str> {
    match name {
        "equal" => Ok(include_str!("templates/equal.toml")),
        "hours" => Ok(include_str!("templates/hours.toml")),
        "points-with-decay" => Ok(include_str!("templates/points-with-decay.toml")),
        "solo" => Ok(include_str!("templates/solo.toml")),
        _ => Err(Reject::new(
            Code::Malformed,
            format!("a template is one of {}, found {name:?}", NAMES.join(", ")),
        )),
    }
}

/// The TOML of a template, with its comments, for a commons with these institutions.
pub fn template(name: &str, institutions: &Institutions<'_>) -> Outcome<String> {
    let text = file(name)?;
    let mut wire = equation_toml::parse(text, &|_| EUR_EXPONENT)
        .expect("the templates are part of this program and tested");
    adapt(&mut wire, institutions)?;
    let mut examples = wire.example.iter();
    let blocks = text.trim_end().split("\n\n").filter_map(|block| {
        if block.contains("[[bucket]]") {
            bucket_block(block, &wire)
        } else if block.contains("[[example]]") {
            let example = examples.next().expect("the text has the examples of its equation");
            Some(example_block(block, example))
        } else {
            Some(fallback_block(block, &wire))
        }
    });
    Ok(blocks.collect::<Vec<_>>().join("\n\n") + "\n")
}

/// Renames institutions, gives absent ones' shares to the contributors, and works the
/// examples out anew.
fn adapt(wire: &mut v1::Equation, institutions: &Institutions<'_>) -> Outcome {
    let ours = |agent: &str| institutions.each().into_iter().find(|(h, _)| *h == agent);
    let mut freed = 0;
    wire.bucket.retain_mut(|bucket| {
        let Some(v1::bucket::To::Agent(agent)) = &mut bucket.to else { return true };
        match ours(agent) {
            Some((_, None)) => {
                freed += bucket.share;
                return false;
            }
            Some((_, Some(handle))) => *agent = handle.to_string(),
            None => {}
        }
        true
    });
    let contributors =
        wire.bucket.iter_mut().find(|b| matches!(b.to, Some(v1::bucket::To::Contributors(_))));
    contributors.expect("every template has contributors").share += freed;
    if let Some((_, handle)) = ours(&wire.fallback) {
        wire.fallback = handle.unwrap_or_default().to_string();
    }
    let equation = Equation::read(wire.clone())?;
    for example in &mut wire.example {
        let amounts = equation.work_out(example)?;
        example.amount = amounts
            .into_iter()
            .map(|(agent, minor)| v1::ExampleAmount {
                agent: agent.to_string(),
                minor: u64::try_from(minor).expect("an example only gives"),
            })
            .collect();
    }
    Ok(())
}

/// The text of the line `key = "text"` of a block.
fn value_of<'b>(block: &'b str, key: &str) -> Option<&'b str> {
    let line = block.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(" = \""))?;
    line.strip_suffix('"')
}

/// The block with another text in that line, where it has one.
fn with_value(block: &str, key: &str, text: &str) -> String {
    match value_of(block, key) {
        Some(old) => {
            block.replace(&format!("\n{key} = \"{old}\""), &format!("\n{key} = \"{text}\""))
        }
        None => block.to_string(),
    }
}

/// The block with its share and agent as in `wire`; none where its institution is absent.
fn bucket_block(block: &str, wire: &v1::Equation) -> Option<String> {
    let name = value_of(block, "name")?;
    let bucket = wire.bucket.iter().find(|b| b.name == name)?;
    let text = with_value(block, "share", &equation_toml::share(bucket.share));
    Some(match &bucket.to {
        Some(v1::bucket::To::Agent(agent)) => with_value(&text, "agent", agent),
        _ => text,
    })
}

fn fallback_block(block: &str, wire: &v1::Equation) -> String {
    if value_of(block, "fallback").is_some() && wire.fallback.is_empty() {
        block.replace("\nfallback = ", "\n# fallback = ")
    } else {
        with_value(block, "fallback", &wire.fallback)
    }
}

fn example_block(block: &str, example: &v1::Example) -> String {
    let amounts = equation_toml::amounts(example, &|_| EUR_EXPONENT);
    let lines = block.lines().map(|l| if l.starts_with("amounts = ") { &amounts } else { l });
    lines.collect::<Vec<_>>().join("\n")
}
