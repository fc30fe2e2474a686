//! Compiles the `.proto` files without protoc: protox parses them, prost and
//! tonic generate the code, and the descriptor set is kept for gRPC reflection.

use prost::Message as _;
use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 3] =
        ["subak/v1/statement.proto", "subak/v1/event.proto", "subak/v1/service.proto"];
    println!("cargo::rerun-if-changed=subak");
    let set = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor.bin"), set.encode_to_vec())?;
    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        // A statement's events are read as parts of its bytes: no copy for each.
        .bytes(".subak.v1.StatementBody.event")
        .compile_fds(set)?;
    Ok(())
}
