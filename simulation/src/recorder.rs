//! Writes down what clients try and are told, and what they may still act upon.

use crate::trace::Trace;
use earmark_client::{
    Error, Level, Pool, Position, Reservation, ReservationId, ReservationInfo, ReservationRead, ReservationState,
    Stock, StockChange,
};
use earmark_jepsen::history::{Action, After, Balance, End, Held, History, Line, LineState, Operation, Place, Told};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where all stock lies.
pub const LOCATION: &str = "main";

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
                format!("lost-{}", written.lost)
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

fn place(position: Position) -> Place {
    Place { shard: position.shard.0, epoch: position.epoch.0, index: position.index.0, ordinal: position.ordinal }
}

fn balance(pool: &Pool) -> Balance {
    Balance {
        sku: pool.sku.clone(),
        on_hand: pool.on_hand,
        available: pool.available,
        held: pool.held,
        aside: pool.committed + pool.unavailable,
        short: pool.short,
        received: pool.received_total,
        sold: pool.sold_total,
    }
}

/// A state by name.
pub fn state(state: ReservationState) -> String {
    format!("{state:?}").to_lowercase()
}

fn held(reservation: &ReservationInfo) -> Held {
    let lines = reservation.lines.iter().map(|line| LineState {
        sku: line.sku.clone(),
        asked: line.asked,
        held: line.held,
        committed: line.committed,
        released: line.released,
        expired: line.expired,
    });
    Held {
        state: state(reservation.state),
        lines: lines.collect(),
        deadline_ms: reservation.deadline.0,
        settled: reservation.settled,
    }
}

/// How a reserve ended, and under which id.
pub fn reserved(lines: &[Line], answer: Result<Reservation, Error>) -> (End, Option<String>, Option<ReservationId>) {
    match answer {
        Ok(reservation) => {
            let lines = reservation.lines().iter().map(|line| Line { sku: line.sku.clone(), units: line.got });
            let told = Told::Reserved { lines: lines.collect(), deadline_ms: reservation.deadline().0 };
            let end = End::Done { told, place: place(reservation.position()), replayed: reservation.replayed() };
            (end, Some(reservation.id().to_string()), Some(reservation.id()))
        }
        Err(error) => {
            let id = error.reservation_id();
            let mut end = failed(&error);
            if let End::Refused { short, .. } = &mut end {
                let told = error.shortages().iter().filter_map(|shortage| {
                    let line = lines.get(usize::try_from(shortage.line).ok()?)?;
                    Some(Line { sku: line.sku.clone(), units: u64::try_from(shortage.sellable).unwrap_or(0) })
                });
                *short = told.collect();
            }
            (end, id.map(|id| id.to_string()), id.filter(|_| error.is_unknown()))
        }
    }
}

/// How a commit, release or extend ended.
pub fn changed(answer: Result<earmark_client::Change, Error>) -> End {
    match answer {
        Ok(change) => End::Done {
            told: Told::Reservation(held(&change.reservation)),
            place: place(change.position),
            replayed: change.replayed,
        },
        Err(error) => failed(&error),
    }
}

/// How a receive or an adjust ended.
pub fn stocked(answer: Result<StockChange, Error>) -> End {
    match answer {
        Ok(change) => End::Done {
            told: Told::Balance(balance(&change.pool)),
            place: place(change.position),
            replayed: change.replayed,
        },
        Err(error) => failed(&error),
    }
}

/// How a read of a SKU ended.
pub fn stock(answer: Result<Stock, Error>) -> End {
    match answer {
        Ok(stock) if stock.level == Level::Linearizable && stock.pools.len() == 1 => {
            End::Done { told: Told::Balance(balance(&stock.pools[0])), place: place(stock.position), replayed: false }
        }
        Ok(stock) => End::Unknown { why: format!("an answer of another kind: {stock:?}") },
        Err(error) => failed(&error),
    }
}

/// How a read of a reservation ended.
pub fn read(answer: Result<ReservationRead, Error>) -> End {
    match answer {
        Ok(read) if read.level == Level::Linearizable => {
            End::Done { told: Told::Reservation(held(&read.reservation)), place: place(read.position), replayed: false }
        }
        Ok(read) => End::Unknown { why: format!("an answer of another kind: {read:?}") },
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> End {
    if !error.surely_no_effect() {
        return End::Unknown { why: error.to_string() };
    }
    End::Refused {
        code: error.name().to_owned(),
        logged: error.through_log(),
        short: Vec::new(),
        state: error.state().map(|(found, _)| state(found)),
    }
}
