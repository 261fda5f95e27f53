//! Whether files can be written and read past the kernel's cache (`O_DIRECT`).

use rustix::fs::OFlags;
use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Whether the file system of that folder allows it: ext4, XFS, btrfs and ZFS do; older tmpfs and some that others serve
/// do not. Makes a file in it for as long as that takes.
pub fn is_possible(folder: &Path) -> bool {
    let path = folder.join("direct");
    let opened =
        File::options().create(true).truncate(true).write(true).custom_flags(OFlags::DIRECT.bits() as i32).open(&path);
    // It may not have been made.
    fs::remove_file(&path).ok();
    opened.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_out_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        // Both answers are right here: what a temporary folder lies on is not known.
        is_possible(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!is_possible(Path::new("/proc/self")), "nothing can be made there");
    }
}
