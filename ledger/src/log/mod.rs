//! What was said: statements, entries, chain, tree, checkpoints. Knows nothing of the book.
pub mod handle;
