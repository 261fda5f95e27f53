//! Writes down what clients try and are told, and what they may still act upon.

mod told;

pub use told::*;

use crate::trace::Trace;
use earmark_jepsen::history::{Action, After, End, History, Operation, nameless};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where most stock lies.
pub const LOCATION: &str = "main";

/// The name of a pool in a history.
pub fn pool(sku: &str, location: &str) -> String {
    if location == LOCATION { sku.to_owned() } else { format!("{sku}@{location}") }
}

/// SKU and location of a pool by its name.
pub fn pool_of(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, LOCATION))
}

/// The history of a run as it grows. Clones are the same.
#[derive(Clone)]
pub struct Recorder {
    trace: Trace,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    history: History,
    next_process: u64,
    /// Reserves that were cut off before their client knew its id.
    lost: u64,
}

/// An operation that was sent and has no end yet. Dropped without one, it is unknown.
pub struct Sent {
    recorder: Recorder,
    process: u64,
    invoked_ns: u64,
    action: Option<Action>,
}

impl Recorder {
    /// An empty history of a run that begins at that true time, in which commands take effect within so long.
    pub fn new(trace: Trace, epoch_ms: u64, effect_ms_max: u64) -> Self {
        let history = History { epoch_ms, effect_ms_max, ..History::default() };
        Self { trace, written: Arc::new(Mutex::new(Written { history, ..Written::default() })) }
    }

    /// A number for a process that no other has.
    pub fn process(&self) -> u64 {
        let mut written = self.written();
        written.next_process += 1;
        written.next_process
    }

    /// Notes that an operation is about to be sent.
    pub fn send(&self, process: u64, action: Action) -> Sent {
        self.trace.words("invoke", &format!("{process} {action:?}"));
        Sent { recorder: self.clone(), process, invoked_ns: self.trace.now_ns(), action: Some(action) }
    }

    /// Everything so far.
    pub fn history(&self) -> History {
        self.written().history.clone()
    }

    /// Everything so far, unless it is being written to: for whoever must not wait.
    pub fn history_at_once(&self) -> Option<History> {
        Some(self.written.try_lock().ok()?.history.clone())
    }

    /// The virtual time, in nanoseconds since the run began.
    pub fn now_ns(&self) -> u64 {
        self.trace.now_ns()
    }

    /// Keeps what was read when all was quiet.
    pub fn set_after(&self, after: After) {
        self.written().history.after = Some(after);
    }

    /// How many operations have ended.
    pub fn ended(&self) -> usize {
        self.written().history.operations.len()
    }

    /// How many reserves were sent under an id that nobody knows.
    pub fn lost(&self) -> u64 {
        self.written().lost
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// Notes the end. Whether the process may go on under its number.
    pub fn end(mut self, end: End, id: Option<String>) -> bool {
        self.finish(end, id)
    }

    fn finish(&mut self, end: End, known: Option<String>) -> bool {
        let Some(mut action) = self.action.take() else { return false };
        let trace = &self.recorder.trace;
        let mut written = self.recorder.written();
        if let Action::Reserve { id, .. } = &mut action
            && id.is_empty()
        {
            *id = known.unwrap_or_else(|| {
                written.lost += 1;
                nameless(written.lost)
            });
        }
        trace.words("end", &format!("{} {action:?} {end:?}", self.process));
        let goes_on = !matches!(end, End::Unknown { .. });
        let (process, invoked_ns, ended_ns) = (self.process, self.invoked_ns, trace.now_ns());
        written.history.operations.push(Operation { process, invoked_ns, ended_ns, action, end });
        goes_on
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.finish(End::Unknown { why: "the client went away".to_owned() }, None);
    }
}
