//! The domain of Subak.
//!
//! `log` fixes what was said, `book` says what it means, `audit` replays both.
//! `dense` is what both keep their longest tables in. Below the I/O line, `store` keeps the log.

pub mod audit;
pub mod book;
pub mod dense;
pub mod log;
pub mod reject;
pub mod store;
