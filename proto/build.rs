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
        // Parts of the message that they came in, and no copies.
        .bytes(".subak.v1.StatementBody")
        .bytes(".subak.v1.Basis")
        .bytes(".subak.v1.AppendRequest.envelope")
        .bytes(".subak.v1.Appended.leaf")
        .bytes(".subak.v1.Entry")
        .compile_fds(set)?;
    Ok(())
}
