//! The wire contract of Subak, compiled from `proto/subak/v1/*.proto`.
//!
//! Owns nothing but the generated types; the `.proto` files are the documentation.
//! Leaves out every rule: what may be appended is decided in `subak-ledger`.

/// Package `subak.v1`.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)] // generated code
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/subak.v1.rs"));
}

/// The compiled descriptors of all files, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
