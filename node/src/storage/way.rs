//! Long work gives way. A thread that goes on for seconds keeps its processor for milliseconds at a time, and a request that
//! passes through several threads on a machine with few processors would wait so long for each.

use std::thread;

/// So many records are dealt with in a row: a tenth of a millisecond, about.
const ROW: u32 = 64;

/// Lets others have this thread's processor for a moment, if there are any who want it. Only where work blocks: in a simulation
/// there is one thread.
pub fn give(blocks: bool) {
    if blocks {
        thread::yield_now();
    }
}

/// Gives way after every few records.
pub struct Way {
    blocks: bool,
    row: u32,
}

impl Way {
    /// `blocks`: whether the work blocks its thread.
    pub fn new(blocks: bool) -> Self {
        Self { blocks, row: 0 }
    }

    /// Another record is dealt with.
    pub fn record(&mut self) {
        self.row += 1;
        if self.row == ROW {
            self.row = 0;
            give(self.blocks);
        }
    }
}
