//! Generates the wire types, client stubs and server stubs from the public contract in `proto/`.
//!
//! protox compiles the files, so no protoc has to be installed. The descriptor set is kept beside the code for the
//! node's reflection service.

use prost::Message;
use std::{env, error::Error, fs, path::PathBuf};

const INCLUDE: &str = "proto";
const FILES: [&str; 7] = [
    "proto/earmark/v1/common.proto",
    "proto/earmark/v1/pool.proto",
    "proto/earmark/v1/settings.proto",
    "proto/earmark/v1/stockkeeping.proto",
    "proto/earmark/v1/stock.proto",
    "proto/earmark/v1/reservations.proto",
    "proto/earmark/v1/cluster.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={INCLUDE}");
    let descriptors = protox::compile(FILES, [INCLUDE])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("earmark.v1.descriptors.bin"), descriptors.encode_to_vec())?;
    // Ids are bytes fields; `Bytes` lets them share the message they were decoded from.
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
