//! Handles: the only names that enter a log.

use crate::reject::{Code, Outcome, require};
use std::fmt;

/// The longest handle in bytes.
const MOST: usize = 32;

/// `[a-z0-9-]{1,32}`, checked. The bytes themselves, zeros after them: a clone allocates
/// nothing, and the order of the arrays is that of the texts, in which there is no zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle([u8; MOST]);

impl Handle {
    /// Checks `text` and wraps it.
    pub fn new(text: &str) -> Outcome<Self> {
        let fits = (1..=MOST).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        require(fits, Code::Malformed, || {
            format!(
                "a handle is 1 to 32 of a-z, 0-9 and -, found {:?}",
                text.chars().take(40).collect::<String>()
            )
        })?;
        let mut bytes = [0; MOST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|byte| *byte == 0).unwrap_or(MOST);
        std::str::from_utf8(&self.0[..len]).expect("only ASCII is let in")
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?})", self.as_str())
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
