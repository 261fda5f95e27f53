//! Generates the peer protocol from `proto/earmark/peer/v1/peer.proto`; protox parses it, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["proto/earmark/peer/v1/peer.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
