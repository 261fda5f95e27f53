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

const RARE_REQUESTS: [&str; 2] = ["configure_sku", "dry_run"];

const RARE_ANSWERS: [&str; 10] = [
    "set",
    "count",
    "quarantine",
    "unquarantine",
    "write_off",
    "transfer",
    "arrive",
    "configure_sku",
    "get_sku_settings",
    "dry_run",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={INCLUDE}");
    let descriptors = protox::compile(FILES, [INCLUDE])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("earmark.v1.descriptors.bin"), descriptors.encode_to_vec())?;
    // Ids are bytes fields; `Bytes` lets them share the message they were decoded from.
    let mut config = tonic_prost_build::configure().bytes(".");
    // The rare and large ones are kept behind a pointer: every operation and every answer has the size of the largest.
    for rare in RARE_REQUESTS {
        config = config.boxed(format!(".earmark.v1.Operation.body.{rare}"));
    }
    for rare in RARE_ANSWERS {
        config = config.boxed(format!(".earmark.v1.OperationResult.body.{rare}"));
    }
    // Many operations in one message are left encoded: see `wire`.
    for (message, ours) in [
        ("TaggedOperation", "Tagged"),
        ("TaggedResult", "Tagged"),
        ("BatchRequest", "BatchRequest"),
        ("BatchResponse", "BatchResponse"),
    ] {
        config = config.extern_path(format!(".earmark.v1.{message}"), format!("crate::wire::{ours}"));
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
