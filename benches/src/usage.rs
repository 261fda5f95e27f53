//! What Linux counts of a process: processor time, memory, and what reached the disk.

use crate::Failed;
use procfs::process::Process;

/// Of one process, or of several together, up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of processors, of the program and of the kernel on its behalf.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// Bytes sent to the storage layer.
    pub written_bytes: u64,
}

impl Usage {
    /// Of a process by its id.
    ///
    /// # Errors
    /// The process is gone, or is another user's.
    pub fn of(pid: u32) -> Result<Self, Failed> {
        Self::read(&Process::new(i32::try_from(pid)?)?)
    }

    /// Of a process and all that it started, also those that ended and were waited for. Memory that they share counts once
    /// for each.
    ///
    /// # Errors
    /// The process is gone, or is another user's.
    pub fn of_tree(root: u32) -> Result<Self, Failed> {
        let root = i32::try_from(root)?;
        let all: Vec<(i32, i32)> = procfs::process::all_processes()?
            // Those that end meanwhile are no longer there to be asked.
            .filter_map(|process| process.ok()?.stat().ok())
            .map(|stat| (stat.pid, stat.ppid))
            .collect();
        let (mut tree, mut next) = (vec![root], 0);
        while let Some(parent) = tree.get(next).copied() {
            tree.extend(all.iter().filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        let ended = Process::new(root)?.stat()?;
        let mut usage = Self::read(&Process::new(root)?)?;
        usage.cpu_seconds += (ended.cutime + ended.cstime) as f64 / procfs::ticks_per_second() as f64;
        let children = tree[1..].iter().filter_map(|pid| Self::read(&Process::new(*pid).ok()?).ok());
        Ok(children.fold(usage, Self::and))
    }

    /// Of this process.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn own() -> Result<Self, Failed> {
        Self::read(&Process::myself()?)
    }

    fn read(process: &Process) -> Result<Self, Failed> {
        let stat = process.stat()?;
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            resident_bytes: stat.rss * procfs::page_size(),
            written_bytes: process.io()?.write_bytes,
        })
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> f64 {
        mib(self.resident_bytes)
    }

    /// Together with another process.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            resident_bytes: self.resident_bytes + other.resident_bytes,
            written_bytes: self.written_bytes + other.written_bytes,
        }
    }

    /// What was used since an earlier moment; memory is that of now.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            resident_bytes: self.resident_bytes,
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_and_memory_is_there() {
        let before = Usage::own().expect("Linux");
        let mut sum = 0_u64;
        while Usage::own().expect("Linux").since(before).cpu_seconds < 0.05 {
            sum = std::hint::black_box((0..1_000_000_u64).fold(sum, u64::wrapping_add));
        }
        assert!(Usage::own().expect("Linux").resident_bytes > 100_000);
    }

    #[test]
    fn a_tree_has_what_its_children_use() {
        let mut shell = std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().expect("a shell");
        let alone = || Usage::of(shell.id()).expect("it runs");
        while Usage::of_tree(shell.id()).expect("it runs").resident_bytes <= alone().resident_bytes {
            std::thread::yield_now();
        }
        let stopped = std::process::Command::new("pkill").args(["-P", &shell.id().to_string()]).status();
        assert!(stopped.expect("pkill").success());
        shell.wait().expect("it ended");
    }
}
