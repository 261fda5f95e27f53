//! What operations answer, as plain values: pools, reservations, and where in the ledger they were seen.
//!
//! They are made from wire messages at this one border. What a message must have and has not is an unreadable answer,
//! never a default.

mod keeping;
mod settings;

pub use keeping::{
    DryRun, ExpectedReceipt, ExpiringHold, HoldAtRisk, Page, PageToken, PoolShortage, StockCorrection, TransferInfo,
    Transferred, WouldHold,
};
pub use settings::{Allocation, SettingsChange, SettingsRead, SkuSettings, Strategy, UnitLimit};

use crate::error::Code;
use crate::outcomes::code_of;
use crate::wire::v1;
use earmark_ledger::outcome::ReservationState;
use earmark_ledger::types::{Epoch, LogIndex, PoolKind, Position, ReservationId, ShardId, TimeMs};
use std::time::Duration;

/// Why a message can't be read; names what is missing or wrong in it.
pub(crate) type Unreadable = &'static str;

/// The balance of one pool: on_hand + short = available + held + committed + unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Tenant or brand.
    pub namespace: String,
    /// Article.
    pub sku: String,
    /// Shop or warehouse.
    pub location: String,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: String,
    /// Physically there by the books.
    pub on_hand: u64,
    /// Free to hold.
    pub available: u64,
    /// Held by live reservations.
    pub held: u64,
    /// Sold but not shipped, for SKUs that deduct on ship.
    pub committed: u64,
    /// Damaged, quality, quarantine.
    pub unavailable: u64,
    /// Reality below the books.
    pub short: u64,
    /// `available` less the safety stock, at least 0.
    pub sellable: u64,
    /// Units ever received.
    pub received_total: u64,
    /// Units ever sold off on hand.
    pub sold_total: u64,
    /// On their way here from other locations, in no other account.
    pub in_transit: u64,
    /// Announced by receipts to come.
    pub expected: u64,
    /// Date of the first of them.
    pub expected_date: Option<TimeMs>,
}

/// Every pool of a SKU that was asked for, and how fresh the answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// One for each location, kind and lot.
    pub pools: Vec<Pool>,
    /// Receipts announced for them, by pool and document.
    pub expected: Vec<ExpectedReceipt>,
    /// What they are short of.
    pub shortages: Vec<PoolShortage>,
    /// The level the answer really has.
    pub level: Level,
    /// Everything up to here is in it.
    pub position: Position,
    /// The ledger's clock at that position.
    pub as_of: TimeMs,
    /// An upper bound of its age, with [`Level::Bounded`]; else 0.
    pub age: Duration,
}

/// A reservation, and how fresh the answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationRead {
    /// The reservation.
    pub reservation: ReservationInfo,
    /// The level the answer really has.
    pub level: Level,
    /// Everything up to here is in it.
    pub position: Position,
    /// The ledger's clock at that position.
    pub as_of: TimeMs,
    /// An upper bound of its age, with [`Level::Bounded`]; else 0.
    pub age: Duration,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Sees every change acknowledged to anyone before the read began.
    #[default]
    Linearizable,
    /// Sees every change this client was told of; any replica may answer.
    Session,
    /// Any replica; the answer carries its age.
    Bounded,
}

/// The answer to receive, adjust and expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// The pool after the change.
    pub pool: Pool,
    /// Where in the ledger it stands.
    pub position: Position,
    /// The server's clock.
    pub server_time: TimeMs,
    /// The same operation had been done before; this is its answer again.
    pub replayed: bool,
}

/// A reservation as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationInfo {
    /// Which one.
    pub id: ReservationId,
    /// Tenant or brand.
    pub namespace: String,
    /// For whom.
    pub owner: String,
    /// Its state, by the ledger's clock.
    pub state: ReservationState,
    /// Its lines.
    pub lines: Vec<LineInfo>,
    /// When it was made.
    pub created: TimeMs,
    /// When the hold ends.
    pub deadline: TimeMs,
    /// When the state was reached.
    pub since: TimeMs,
    /// Counts changes of the set of lines, from 1.
    pub revision: u32,
    /// Every shard of the cart has carried out what was last decided: units given back can be had at once.
    pub settled: bool,
    /// Its deadline was moved by a grace because the shopper is paying.
    pub paying: bool,
}

/// One line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// Article.
    pub sku: String,
    /// Shop or warehouse.
    pub location: String,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: String,
    /// Units asked for.
    pub asked: u64,
    /// Units held now.
    pub held: u64,
    /// Units committed.
    pub committed: u64,
    /// Units given back by the caller.
    pub released: u64,
    /// Units given back by time.
    pub expired: u64,
    /// Of those committed, units that left the house.
    pub shipped: u64,
    /// Of those committed, units taken back before they left it.
    pub cancelled: u64,
    /// Units that came back and are fit for sale.
    pub returned: u64,
    /// Units that came back and were set apart.
    pub returned_unavailable: u64,
}

/// The answer to whatever changed a reservation after it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The reservation after the change.
    pub reservation: ReservationInfo,
    /// Where in the ledger it stands.
    pub position: Position,
    /// The server's clock.
    pub server_time: TimeMs,
    /// The same operation had been done before; this is its answer again.
    pub replayed: bool,
}

/// How much of a reserve was got. Nothing at all is an error, never an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every unit asked for.
    All,
    /// Some of them, because best effort was asked for.
    Partial,
}

/// What one line of a reserve got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineGot {
    /// Article.
    pub sku: String,
    /// Shop or warehouse.
    pub location: String,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: String,
    /// Units asked for.
    pub asked: u64,
    /// Units held.
    pub got: u64,
    /// Why fewer were got than asked for.
    pub reason: Option<Code>,
    /// Version of the SKU's settings whose policy chose the location, 0 if nothing was ever set; none: the request named
    /// it.
    pub policy: Option<u64>,
}

/// The answer to a reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Which reservation.
    pub id: ReservationId,
    /// How much was got.
    pub extent: Extent,
    /// Per line, lines of the same pool summed.
    pub lines: Vec<LineGot>,
    /// When the hold ends unless extended, by the servers' clock.
    pub deadline: TimeMs,
    /// The server's clock when it answered.
    pub server_time: TimeMs,
    /// Where in the ledger it stands.
    pub position: Position,
    /// The same id had been answered before; this is that answer again.
    pub replayed: bool,
}

/// The state of that number on the wire.
pub(crate) fn state_of(number: i32) -> Option<ReservationState> {
    Some(match v1::ReservationState::try_from(number).ok()? {
        v1::ReservationState::Unspecified => return None,
        v1::ReservationState::Open => ReservationState::Open,
        v1::ReservationState::Rejected => ReservationState::Rejected,
        v1::ReservationState::Held => ReservationState::Held,
        v1::ReservationState::PartlyCommitted => ReservationState::PartlyCommitted,
        v1::ReservationState::Committed => ReservationState::Committed,
        v1::ReservationState::Released => ReservationState::Released,
        v1::ReservationState::Expired => ReservationState::Expired,
    })
}

pub(crate) fn kind_to_wire(kind: PoolKind) -> i32 {
    kind.tag().into()
}

impl Level {
    /// A level that is not told is the weakest.
    fn of(number: i32) -> Self {
        match v1::ReadLevel::try_from(number) {
            Ok(v1::ReadLevel::Linearizable) => Self::Linearizable,
            Ok(v1::ReadLevel::Session) => Self::Session,
            Ok(v1::ReadLevel::Bounded | v1::ReadLevel::Unspecified) | Err(_) => Self::Bounded,
        }
    }

    pub(crate) fn to_wire(self) -> i32 {
        match self {
            Self::Linearizable => v1::ReadLevel::Linearizable,
            Self::Session => v1::ReadLevel::Session,
            Self::Bounded => v1::ReadLevel::Bounded,
        }
        .into()
    }
}

impl Extent {
    fn of(number: i32) -> Result<Self, Unreadable> {
        match v1::Extent::try_from(number) {
            Ok(v1::Extent::All) => Ok(Self::All),
            Ok(v1::Extent::Partial) => Ok(Self::Partial),
            Ok(v1::Extent::Unspecified) | Err(_) => Err("no extent"),
        }
    }
}

/// Absent or 0 counts as "now", as in requests.
fn kind_of(number: i32) -> Result<PoolKind, Unreadable> {
    match v1::PoolKind::try_from(number) {
        Ok(v1::PoolKind::Unspecified | v1::PoolKind::Now) => Ok(PoolKind::Now),
        Ok(v1::PoolKind::Incoming) => Ok(PoolKind::Incoming),
        Ok(v1::PoolKind::Backorder) => Ok(PoolKind::Backorder),
        Ok(v1::PoolKind::Preorder) => Ok(PoolKind::Preorder),
        Err(_) => Err("a kind of pool this build does not know"),
    }
}

fn units(number: i64) -> Result<u64, Unreadable> {
    u64::try_from(number).map_err(|_| "a negative number of units")
}

fn id_of(bytes: &[u8]) -> Result<ReservationId, Unreadable> {
    ReservationId::from_slice(bytes).map_err(|_| "a reservation id that is none")
}

pub(crate) fn position_of(position: v1::Position) -> Position {
    Position {
        shard: ShardId(position.shard),
        epoch: Epoch(position.epoch),
        index: LogIndex(position.index),
        ordinal: position.ordinal,
    }
}

fn position(position: Option<v1::Position>) -> Result<Position, Unreadable> {
    position.map(position_of).ok_or("no position")
}

/// Of every shard that was asked, and at least one was.
fn positions(told: Vec<v1::Position>) -> Result<Vec<Position>, Unreadable> {
    if told.is_empty() {
        return Err("no position");
    }
    Ok(told.into_iter().map(position_of).collect())
}

impl TryFrom<v1::Pool> for Pool {
    type Error = Unreadable;

    fn try_from(pool: v1::Pool) -> Result<Self, Unreadable> {
        Ok(Self {
            kind: kind_of(pool.kind)?,
            on_hand: units(pool.on_hand)?,
            available: units(pool.available)?,
            held: units(pool.held)?,
            committed: units(pool.committed)?,
            unavailable: units(pool.unavailable)?,
            short: units(pool.short)?,
            sellable: units(pool.sellable)?,
            received_total: units(pool.received_total)?,
            sold_total: units(pool.sold_total)?,
            in_transit: units(pool.in_transit)?,
            expected: units(pool.expected)?,
            expected_date: (pool.expected_date_ms != 0).then_some(TimeMs(pool.expected_date_ms)),
            namespace: pool.namespace,
            sku: pool.sku,
            location: pool.location,
            lot: pool.lot,
        })
    }
}

impl TryFrom<v1::ReservationLine> for LineInfo {
    type Error = Unreadable;

    fn try_from(line: v1::ReservationLine) -> Result<Self, Unreadable> {
        Ok(Self {
            kind: kind_of(line.kind)?,
            asked: units(line.asked)?,
            held: units(line.held)?,
            committed: units(line.committed)?,
            released: units(line.released)?,
            expired: units(line.expired)?,
            shipped: units(line.shipped)?,
            cancelled: units(line.cancelled)?,
            returned: units(line.returned)?,
            returned_unavailable: units(line.returned_unavailable)?,
            sku: line.sku,
            location: line.location,
            lot: line.lot,
        })
    }
}

impl TryFrom<v1::Reservation> for ReservationInfo {
    type Error = Unreadable;

    fn try_from(reservation: v1::Reservation) -> Result<Self, Unreadable> {
        Ok(Self {
            id: id_of(&reservation.reservation_id)?,
            state: state_of(reservation.state).ok_or("a state this build does not know")?,
            lines: reservation.lines.into_iter().map(LineInfo::try_from).collect::<Result<_, _>>()?,
            namespace: reservation.namespace,
            owner: reservation.owner,
            created: TimeMs(reservation.created_ms),
            deadline: TimeMs(reservation.deadline_ms),
            since: TimeMs(reservation.state_since_ms),
            revision: reservation.revision,
            settled: reservation.settled,
            paying: reservation.paying,
        })
    }
}

impl TryFrom<v1::GetReservationResponse> for ReservationRead {
    type Error = Unreadable;

    fn try_from(answer: v1::GetReservationResponse) -> Result<Self, Unreadable> {
        Ok(Self {
            reservation: ReservationInfo::try_from(answer.reservation.ok_or("no reservation")?)?,
            level: Level::of(answer.level),
            position: position(answer.position)?,
            as_of: TimeMs(answer.as_of_ms),
            age: Duration::from_millis(answer.age_ms),
        })
    }
}

impl TryFrom<v1::LineResult> for LineGot {
    type Error = Unreadable;

    fn try_from(line: v1::LineResult) -> Result<Self, Unreadable> {
        Ok(Self {
            kind: kind_of(line.kind)?,
            asked: units(line.asked)?,
            got: units(line.got)?,
            reason: (line.reason != 0).then(|| code_of(line.reason)),
            policy: line.policy_version,
            sku: line.sku,
            location: line.location,
            lot: line.lot,
        })
    }
}

impl TryFrom<v1::ReserveResponse> for Reserved {
    type Error = Unreadable;

    fn try_from(answer: v1::ReserveResponse) -> Result<Self, Unreadable> {
        let extent = Extent::of(answer.extent)?;
        Ok(Self {
            id: id_of(&answer.reservation_id)?,
            extent,
            lines: answer.lines.into_iter().map(LineGot::try_from).collect::<Result<_, _>>()?,
            deadline: TimeMs(answer.deadline_ms),
            server_time: TimeMs(answer.server_time_ms),
            position: position(answer.position)?,
            replayed: answer.replayed,
        })
    }
}

/// Receive, adjust and expect answer alike, but in messages of their own; so do commit, release and extend.
macro_rules! alike {
    ($target:ident { $field:ident: $part:ident } from $($message:ident),+) => {$(
        impl TryFrom<v1::$message> for $target {
            type Error = Unreadable;

            fn try_from(answer: v1::$message) -> Result<Self, Unreadable> {
                Ok(Self {
                    $field: $part::try_from(answer.$field.ok_or(concat!("no ", stringify!($field)))?)?,
                    position: position(answer.position)?,
                    server_time: TimeMs(answer.server_time_ms),
                    replayed: answer.replayed,
                })
            }
        }
    )+};
}

alike!(StockChange { pool: Pool } from ReceiveResponse, AdjustResponse, ExpectResponse);
alike!(Change { reservation: ReservationInfo } from CommitResponse, ReleaseResponse, ExtendResponse, ReplaceResponse,
    MarkPayingResponse, ShipResponse, CancelResponse, ReturnUnitsResponse);
