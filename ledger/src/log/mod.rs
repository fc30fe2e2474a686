//! What was said: statements, entries, chain, tree, checkpoints. Knows nothing of the book.
pub mod handle;

/// 32 bytes of BLAKE3 or SHA-256.
pub type Hash = [u8; 32];
