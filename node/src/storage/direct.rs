//! Whether files can be written past the kernel's cache (`O_DIRECT`).

use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// What is written so must begin and end at multiples of a device's blocks, in memory too. RocksDB takes the device's own, or this.
const BLOCK_BYTES: usize = 4_096;

#[repr(align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Writes a small file in that folder as RocksDB writes a table, and removes it: ext4, XFS and btrfs take it so, older tmpfs and
/// some file systems that others serve do not.
///
/// # Errors
/// That of the step that failed.
pub fn try_in(folder: &Path) -> io::Result<()> {
    let path = folder.join("direct-io");
    let written = write(&path);
    // It may not have been made.
    fs::remove_file(&path).ok();
    written
}

fn write(path: &Path) -> io::Result<()> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).map_err(io::Error::other)?;
    let mut file = File::options().create(true).truncate(true).write(true).custom_flags(flags).open(path)?;
    let block = Block([7; BLOCK_BYTES]);
    file.write_all(&block.0)?;
    // A table ends anywhere: its last block is written whole and then cut.
    file.set_len(BLOCK_BYTES as u64 - 1)?;
    file.sync_all()?;
    let written = fs::read(path)?;
    if written != block.0[1..] { Err(io::Error::other("what was written is not there")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_and_an_error_is_told() {
        let folder = tempfile::tempdir().unwrap();
        // Both answers are right here: what a temporary folder lies on is not known.
        let possible = try_in(folder.path());
        assert!(possible.is_ok() || possible.is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let nowhere = try_in(&folder.path().join("nowhere"));
        assert_eq!(nowhere.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }
}
