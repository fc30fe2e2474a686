//! The domain of Subak.
//!
//! `log` fixes what was said, `book` says what it means, `audit` replays both.
//! Below the I/O line, `store` keeps the log.

pub mod audit;
pub mod book;
pub mod log;
pub mod reject;
pub mod store;
