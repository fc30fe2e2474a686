//! Handles: the only names that enter a log.

use crate::reject::{Code, Outcome, require};
use std::{fmt, sync::Arc};

/// `[a-z0-9-]{1,32}`, checked. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(Arc<str>);

impl Handle {
    /// Checks `text` and wraps it.
    pub fn new(text: &str) -> Outcome<Self> {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        require(fits, Code::Malformed, || {
            format!(
                "a handle is 1 to 32 of a-z, 0-9 and -, found {:?}",
                text.chars().take(40).collect::<String>()
            )
        })?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
