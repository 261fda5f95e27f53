//! A disk that takes few writes a second, for one process alone: the kernel's control groups for block devices, version 1
//! (`blkio`) or 2 (`io`). Only root may.

use crate::Failed;
use procfs::process::Process;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where control groups of version 1 for block devices are mounted.
const FIRST: &str = "/sys/fs/cgroup/blkio";

/// Where those of version 2 are.
const SECOND: &str = "/sys/fs/cgroup";

/// Name of the group.
const GROUP: &str = "earmark-slow-disk";

/// As long as this is there, or until it is [ended](Self::end), the process writes slowly.
pub struct SlowDisk {
    group: PathBuf,
    pid: u32,
}

impl SlowDisk {
    /// From now on that process has so many writes a second on the device that a folder lies on.
    ///
    /// # Errors
    /// This is not root, or the kernel has no such control group.
    pub fn begin(pid: u32, folder: &Path, writes: u32) -> Result<Self, Failed> {
        let device = device(folder)?;
        let (mount, file, limit) = if Path::new(FIRST).exists() {
            (FIRST, "blkio.throttle.write_iops_device", format!("{device} {writes}"))
        } else {
            write(&Path::new(SECOND).join("cgroup.subtree_control"), "+io")?;
            (SECOND, "io.max", format!("{device} wiops={writes}"))
        };
        let slow = Self { group: Path::new(mount).join(GROUP), pid };
        match fs::create_dir(&slow.group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("{}: {error}", slow.group.display()).into());
            }
            _ => {}
        }
        write(&slow.group.join(file), &limit)?;
        write(&slow.group.join("cgroup.procs"), &pid.to_string())?;
        Ok(slow)
    }

    /// The process writes as fast as the device lets it again.
    ///
    /// # Errors
    /// It is gone.
    pub fn end(self) -> Result<(), Failed> {
        self.leave()
    }

    fn leave(&self) -> Result<(), Failed> {
        let all = self.group.parent().unwrap_or(Path::new("/"));
        write(&all.join("cgroup.procs"), &self.pid.to_string())
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // A process that ended has left, and a group that still has somebody stays for the next time.
        let _ = self.leave();
        let _ = fs::remove_dir(&self.group);
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failed> {
    fs::write(file, text).map_err(|error| format!("{}: {error}; a slow disk takes root", file.display()).into())
}

/// The device that a folder lies on, `major:minor`; of a partition its whole disk, which is what can be limited.
fn device(folder: &Path) -> Result<String, Failed> {
    let folder = fs::canonicalize(folder)?;
    let mounts = Process::myself()?.mountinfo()?;
    let mount = mounts.into_iter().filter(|mount| folder.starts_with(&mount.mount_point));
    let mount = mount.max_by_key(|mount| mount.mount_point.as_os_str().len()).ok_or("nothing is mounted at /")?;
    let node = fs::canonicalize(format!("/sys/dev/block/{}", mount.majmin))
        .map_err(|error| format!("{} is on no block device ({}: {error})", folder.display(), mount.majmin))?;
    match node.parent().filter(|_| node.join("partition").exists()) {
        Some(disk) => Ok(fs::read_to_string(disk.join("dev"))?.trim().to_owned()),
        None => Ok(mount.majmin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_on_a_device() {
        match device(Path::new(env!("CARGO_MANIFEST_DIR"))) {
            Ok(device) => assert!(
                device
                    .split_once(':')
                    .is_some_and(|(major, minor)| { major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok() })
            ),
            // In a container it may be on an overlay, which has none.
            Err(error) => assert!(error.to_string().contains("no block device"), "{error}"),
        }
    }
}
