//! The whole world at one moment: what each home and each participant has applied, what was sent, and what the checker
//! remembers beside them to judge by.

use super::messages::{Line, Message, Number, Truth, Units, Verdict};
use std::{collections::BTreeSet, fmt};

/// Shards in the model. A cart's home is one of them; all others may be participants.
pub const SHARDS: usize = 3;

/// One value for each shard.
pub type PerShard<T = Units> = [T; SHARDS];

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// The last number each shard gave as a home. In its applied state.
    pub counters: PerShard<Number>,
    /// What homes know, cart by cart.
    pub carts: Vec<Cart>,
    /// What participants know, cart by cart.
    pub records: Vec<PerShard<Option<Record>>>,
    /// By participant, then by home: no number below this is unanswered.
    pub floors: PerShard<PerShard<Number>>,
    /// Everything ever sent that could still matter.
    pub sent: BTreeSet<Message>,
    /// How many of the cart's deadlines have passed. Each cart has a clock of its own, as only its own deadlines matter:
    /// so every order of the deadlines of two carts is tried.
    pub passed: Vec<u8>,
    /// What the caller of each cart has asked for so far.
    pub callers: Vec<Caller>,
    /// What each participant's pool sold and got back, cart by cart. It outlives the records.
    pub pools: Vec<PerShard<Sold>>,
    /// What home ever decided to sell and take back. It outlives the cart.
    pub decided: Vec<PerShard<Sold>>,
    /// Numbers given, as a set of bits for each home, and whether one was given twice.
    pub given: PerShard<u64>,
    pub reused: bool,
    /// The first thing that no shard may do.
    pub broken: Option<Broken>,
}

/// A cart at its home.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Cart {
    pub phase: Phase,
    pub held: PerShard,
    pub committed: PerShard,
    pub returned: PerShard,
    /// Lines that are being prepared, and the number they were asked under; 0 if none are.
    pub pending: PerShard,
    pub pending_number: Number,
    /// Participants that were asked under that number, and those that have not granted their lines yet.
    pub asked: PerShard<bool>,
    pub awaited: PerShard<bool>,
    /// Which deadline ends the hold; 0 if it has none.
    pub deadline: u8,
    /// The last number sent to each participant.
    pub last: PerShard<Number>,
    /// At most one unanswered message to each participant.
    pub rows: PerShard<Option<Message>>,
    /// While a row is open, the oldest number sent there since the last answer from there; else 0. This and `was` are
    /// kept only in worlds where something is forgotten: elsewhere they can matter to nobody.
    pub oldest: PerShard<Number>,
    /// The truth as each participant last acknowledged it, without the deadline.
    pub was: PerShard<Truth>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Phase {
    /// Never heard of, or forgotten.
    #[default]
    Unknown,
    Open,
    Rejected {
        contended: bool,
    },
    /// Something is held; something may be committed already, and a replacement may be pending.
    Held,
    Committed,
    Released,
    Expired,
    /// Expired, and a late commit prepares the lines anew.
    Reviving,
}

/// A cart at a participant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Record {
    pub number: Number,
    pub base: Units,
    pub pending: Units,
    pub committed: Units,
    pub returned: Units,
    pub deadline: u8,
    /// Between a Prepare that was granted and the next Decide.
    pub undecided: bool,
    /// What was answered to `number`, for whoever asks again.
    pub answer: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Caller {
    pub tries: u8,
    pub replaces: u8,
    pub extends: u8,
    pub revives: u8,
    pub returns: u8,
    /// How often the cart went from Open to Held.
    pub held_times: u8,
    /// How often its id, forgotten after its end, was used for a new cart.
    pub anew: u8,
    /// The reservation and its end are older than the retention and the return window: its id is refused, and so is
    /// every return.
    pub too_old: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Sold {
    pub committed: Units,
    pub returned: Units,
}

/// What must never happen, by the moment at which it does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Broken {
    /// A message named units as held or to be sold, and the participant does not have them.
    UnitsMissing,
    /// A participant was told a smaller total than before.
    TotalFell,
    /// Home let something succeed that needs a live hold, at or after its deadline.
    LiveAfterDeadline,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnitsMissing => "a shard is told to hold or sell units that it does not have",
            Self::TotalFell => "a shard is told a smaller total than before",
            Self::LiveAfterDeadline => "this needs a live hold, and the deadline has passed",
        })
    }
}

impl State {
    pub fn new(carts: usize) -> Self {
        Self {
            counters: [0; SHARDS],
            carts: vec![Cart::default(); carts],
            records: vec![[None; SHARDS]; carts],
            floors: [[0; SHARDS]; SHARDS],
            sent: BTreeSet::new(),
            passed: vec![0; carts],
            callers: vec![Caller::default(); carts],
            pools: vec![[Sold::default(); SHARDS]; carts],
            decided: vec![[Sold::default(); SHARDS]; carts],
            given: [0; SHARDS],
            reused: false,
            broken: None,
        }
    }

    /// Whether the hold's deadline has passed.
    pub fn overdue(&self, cart: usize) -> bool {
        self.carts[cart].deadline > 0 && self.passed[cart] >= self.carts[cart].deadline
    }

    /// Keeps the first thing that went wrong.
    pub fn breaks(&mut self, what: Broken) {
        self.broken.get_or_insert(what);
    }
}

impl Cart {
    pub fn settled(&self) -> bool {
        self.rows.iter().all(Option::is_none)
    }

    pub fn preparing(&self) -> bool {
        self.pending_number > 0
    }

    /// What home would tell this participant now.
    pub fn truth(&self, participant: usize) -> Truth {
        let held = self.held[participant];
        Truth {
            held,
            committed: self.committed[participant],
            returned: self.returned[participant],
            deadline: if held > 0 { self.deadline } else { 0 },
        }
    }

    /// The line as messages to this participant name it: not before it was held.
    pub fn line(&self, participant: usize) -> Option<Line> {
        let named = !matches!(self.phase, Phase::Unknown | Phase::Open | Phase::Rejected { .. });
        named.then(|| Line { now: self.truth(participant), was: self.was[participant] })
    }
}

impl Record {
    /// Units taken out of the pool for this cart and not sold.
    pub fn units(&self) -> Units {
        self.base.max(self.pending)
    }

    /// Nothing is held any more. Something may be sold.
    pub fn ended(&self) -> bool {
        self.units() == 0 && !self.undecided
    }
}

impl Sold {
    /// Units that are out of the pool.
    pub fn out(&self) -> Units {
        self.committed - self.returned
    }
}
