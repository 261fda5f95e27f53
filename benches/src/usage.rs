//! What Linux counts of a process: processor time, memory, and what reached the disk; and what it counts of the machine.

use crate::Failed;
use procfs::{CurrentSI, KernelStats, process::Process};

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

/// What the processors of this machine did, up to a moment; in seconds of one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Machine {
    /// All that they could have done.
    pub whole_seconds: f64,
    /// Of it, what they were not asked to do.
    pub idle_seconds: f64,
    /// Of it, what the host of this virtual machine gave to others.
    pub stolen_seconds: f64,
}

impl Machine {
    /// Until now.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn now() -> Result<Self, Failed> {
        let spent = KernelStats::current()?.total;
        let optional = |ticks: Option<u64>| ticks.unwrap_or_default();
        let idle = spent.idle + optional(spent.iowait);
        let stolen = optional(spent.steal);
        // Time of guests is in `user` and `nice` already.
        let busy = spent.user + spent.nice + spent.system + optional(spent.irq) + optional(spent.softirq);
        let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        Ok(Self {
            whole_seconds: seconds(idle + stolen + busy),
            idle_seconds: seconds(idle),
            stolen_seconds: seconds(stolen),
        })
    }

    /// What was spent since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            whole_seconds: self.whole_seconds - earlier.whole_seconds,
            idle_seconds: self.idle_seconds - earlier.idle_seconds,
            stolen_seconds: self.stolen_seconds - earlier.stolen_seconds,
        }
    }

    /// The share of the machine that went neither to processes that used so many seconds nor was left over: to other
    /// processes, to the kernel's own threads, to other machines.
    pub fn elsewhere(&self, used_seconds: f64) -> f64 {
        let elsewhere = self.whole_seconds - self.idle_seconds - used_seconds;
        if self.whole_seconds > 0.0 { (elsewhere / self.whole_seconds).clamp(0.0, 1.0) } else { 0.0 }
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
    fn what_others_take_is_told() {
        let machine = Machine { whole_seconds: 20.0, idle_seconds: 4.0, stolen_seconds: 3.0 };
        assert_eq!(machine.elsewhere(11.0), 0.25);
        assert_eq!((machine.elsewhere(17.0), Machine::default().elsewhere(1.0)), (0.0, 0.0));
        let now = Machine::now().expect("Linux");
        assert!(now.whole_seconds > now.idle_seconds && now.idle_seconds > 0.0, "{now:?}");
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
