//! Names the build by what a run depends on, sources, flags and compiler, so that a sweep that is taken up again counts only
//! seeds that the same program ran.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Beside this crate.
const CRATES: [&str; 5] = ["client", "jepsen", "ledger", "node", "simulation"];

/// Looks for planted bugs: has no part in a run without.
const HUNT: &str = "../simulation/src/mutants";

fn main() -> io::Result<()> {
    let root = Path::new("..");
    let mut files = vec![root.join("Cargo.lock"), root.join("Cargo.toml"), root.join(".cargo/config.toml")];
    for name in CRATES {
        // What these generate is part of the program.
        files.extend(["Cargo.toml", "build.rs"].map(|file| root.join(name).join(file)));
        for folder in ["src", "proto"] {
            let folder = root.join(name).join(folder);
            println!("cargo::rerun-if-changed={}", folder.display());
            list(&folder, &mut files)?;
        }
    }
    files.sort();
    let mut hash = FNV_OFFSET;
    for file in files.iter().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
        fold(&mut hash, file.to_string_lossy().as_bytes());
        fold(&mut hash, &fs::read(file)?);
    }
    // Planted bugs make another program of the same sources.
    let mut features: Vec<String> =
        std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("CARGO_FEATURE_")).collect();
    features.sort();
    features.iter().for_each(|feature| fold(&mut hash, feature.as_bytes()));
    for setting in ["PROFILE", "OPT_LEVEL", "DEBUG", "TARGET", "CARGO_ENCODED_RUSTFLAGS"] {
        fold(&mut hash, std::env::var(setting).unwrap_or_default().as_bytes());
    }
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    fold(&mut hash, &Command::new(compiler).arg("--version").output()?.stdout);
    println!("cargo::rustc-env=SIMULATION_BUILD={hash:016x}");
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path() == Path::new(HUNT) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// FNV-1a: the same for ever, which the standard library's hasher does not promise.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fold(hash: &mut u64, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_be_bytes();
    for byte in bytes.iter().chain(&length) {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
}
