//! Requests: a builder for each operation, and what the builders share.
//!
//! A builder collects values as they come, checks all of them when it is sent, and tells every bad one at once under the
//! name the contract gives its field. What needs the ledger to judge is left to the servers.

mod change;
mod keeping;
mod lists;
mod moving;
mod read;
mod replace;
mod reserve;
mod sale;
mod sku;
mod stock;

pub use change::{Commit, Extend, MarkPaying, Release};
pub use keeping::{Count, Quarantine, Set};
pub use lists::{ListExpiring, ListInTransit, ListReservations, ListShortages};
pub use moving::{Arrive, Expect, Transfer};
pub use read::{GetReservation, GetStock};
pub use replace::Replace;
pub use reserve::{Line, Reserve, TryReserve};
pub use sale::{Cancel, Disposition, Return, Ship};
pub use sku::{Configure, GetSettings};
pub use stock::{Adjust, Receive};

use crate::call::{self, Prepared};
use crate::client::{Client, Shared};
use crate::error::{Error, FieldViolation, Subject};
use crate::model::{
    Change, DryRun, ExpiringHold, Page, PoolShortage, ReservationInfo, ReservationRead, Reserved, SettingsChange,
    SettingsRead, Stock, StockChange, StockCorrection, TransferInfo, Transferred, kind_to_wire,
};
use crate::reservation::Reservation;
use crate::wire::v1::{self, operation_result::Body};
use earmark_ledger::types::{LINE_QUANTITY_MAX, Location, Lot, PoolKind, Position, Sku, Text};
use std::{fmt::Display, str::FromStr, time::Duration};

/// An operation ready for [`Client::batch`]. Every builder has a method that makes one.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Apart: thousands of them are moved at once.
    pub(crate) prepared: Box<Prepared>,
}

impl Operation {
    fn new(prepared: Prepared) -> Self {
        Self { prepared: Box::new(prepared) }
    }
}

/// What an operation of a batch answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To a reserve.
    Reserved(Reservation),
    /// To whatever changes a reservation.
    Changed(Change),
    /// To receive, adjust and expect.
    Stocked(StockChange),
    /// To a read of a SKU.
    Stock(Stock),
    /// To a read of a reservation.
    Read(ReservationRead),
    /// To set, count, quarantine, unquarantine and write-off.
    Corrected(Box<StockCorrection>),
    /// To transfer and arrive.
    Transferred(Box<Transferred>),
    /// To a change of settings.
    Configured(SettingsChange),
    /// To a read of settings.
    Settings(SettingsRead),
    /// To a list of shortages.
    Shortages(Page<PoolShortage>),
    /// To a list of transfers.
    InTransit(Page<TransferInfo>),
    /// To a list of an owner's reservations.
    Reservations(Page<ReservationInfo>),
    /// To a list of holds that end soon.
    Expiring(Page<ExpiringHold>),
    /// To a dry run.
    Tried(DryRun),
}

/// Some units of a reservation's line, for operations that take a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    sku: String,
    location: String,
    kind: PoolKind,
    lot: String,
    quantity: u64,
}

impl Part {
    /// So many units of that SKU at that location.
    pub fn new(sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Self {
        Self { sku: sku.into(), location: location.into(), kind: PoolKind::Now, lot: String::new(), quantity }
    }

    /// Of another kind of stock than what is on the shelf.
    #[must_use]
    pub fn kind(mut self, kind: PoolKind) -> Self {
        self.kind = kind;
        self
    }

    /// Of that lot.
    #[must_use]
    pub fn lot(mut self, lot: impl Into<String>) -> Self {
        self.lot = lot.into();
        self
    }
}

/// What every mutation may carry beside its own fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) timeout: Option<Duration>,
    pub(crate) request_id: String,
    pub(crate) traceparent: String,
}

impl Options {
    pub(crate) fn context(self, shared: &Shared) -> Option<v1::Context> {
        let context = v1::Context {
            principal: shared.principal.clone(),
            session: shared.session.clone(),
            request_id: self.request_id,
            traceparent: self.traceparent,
        };
        (context != v1::Context::default()).then_some(context)
    }

    /// The whole time for the operation.
    pub(crate) fn timeout(&self, shared: &Shared) -> Duration {
        self.timeout.unwrap_or(shared.timeout).min(crate::config::TIMEOUT_MAX)
    }
}

/// The options of a mutation, as methods of its builder.
macro_rules! options {
    () => {
        /// How long it may take with all its tries, instead of the client's own timeout; 30 s at most.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }

        /// The caller's own request id, for the audit; up to 64 bytes.
        pub fn request_id(mut self, id: impl Into<String>) -> Self {
            self.options.request_id = id.into();
            self
        }

        /// W3C trace context: the value of the header `traceparent`.
        pub fn traceparent(mut self, value: impl Into<String>) -> Self {
            self.options.traceparent = value.into();
            self
        }
    };
}
pub(crate) use options;

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    bad: Vec<FieldViolation>,
}

impl Checks {
    pub(crate) fn refuse(&mut self, field: impl Into<String>, description: impl Display) {
        self.bad.push(FieldViolation { field: field.into(), description: description.to_string() });
    }

    /// It is a text of that type.
    pub(crate) fn fits<T: Text>(&mut self, field: impl FnOnce() -> String, text: &str) {
        if let Err(why) = T::fits(text) {
            self.refuse(field(), why);
        }
    }

    /// The text as its type, if it is one.
    pub(crate) fn text<T>(&mut self, field: impl FnOnce() -> String, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|why| self.refuse(field(), why)).ok()
    }

    /// 1 to the most a line may have.
    pub(crate) fn quantity(&mut self, field: impl FnOnce() -> String, units: u64) -> i64 {
        if units == 0 || units > LINE_QUANTITY_MAX {
            self.refuse(field(), format_args!("must be 1 to {LINE_QUANTITY_MAX}, not {units}"));
        }
        i64::try_from(units).unwrap_or(i64::MAX)
    }

    pub(crate) fn ttl(&mut self, ttl: Duration) -> u64 {
        self.duration("ttl", ttl)
    }

    /// In milliseconds; 0 would mean that none is given.
    pub(crate) fn duration(&mut self, field: &str, length: Duration) -> u64 {
        if length < Duration::from_millis(1) {
            self.refuse(field, "must be at least 1 s");
        }
        u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
    }

    fn part(&mut self, index: usize, part: Part) -> v1::Part {
        self.fits::<Sku>(|| format!("parts[{index}].sku"), &part.sku);
        self.fits::<Location>(|| format!("parts[{index}].location"), &part.location);
        self.fits::<Lot>(|| format!("parts[{index}].lot"), &part.lot);
        let quantity = self.quantity(|| format!("parts[{index}].quantity"), part.quantity);
        v1::Part { sku: part.sku, location: part.location, kind: kind_to_wire(part.kind), lot: part.lot, quantity }
    }

    pub(crate) fn parts(&mut self, parts: Vec<Part>) -> Vec<v1::Part> {
        parts.into_iter().enumerate().map(|(index, part)| self.part(index, part)).collect()
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.bad.is_empty() { Ok(()) } else { Err(Error::invalid(self.bad)) }
    }
}

/// Reads the answer that belongs to the operation.
pub(crate) fn answer(client: &Client, body: Body, subject: Option<Subject>) -> Result<Answer, Error> {
    let read = match body {
        Body::Reserve(told) => Reserved::try_from(told).and_then(|told| reserved(client, told, subject)),
        Body::Commit(told) => Change::try_from(told).map(Answer::Changed),
        Body::Release(told) => Change::try_from(told).map(Answer::Changed),
        Body::Extend(told) => Change::try_from(told).map(Answer::Changed),
        Body::Replace(told) => Change::try_from(told).map(Answer::Changed),
        Body::MarkPaying(told) => Change::try_from(told).map(Answer::Changed),
        Body::Ship(told) => Change::try_from(told).map(Answer::Changed),
        Body::Cancel(told) => Change::try_from(told).map(Answer::Changed),
        Body::ReturnUnits(told) => Change::try_from(told).map(Answer::Changed),
        Body::Receive(told) => StockChange::try_from(told).map(Answer::Stocked),
        Body::Adjust(told) => StockChange::try_from(told).map(Answer::Stocked),
        Body::GetStock(told) => Stock::try_from(told).map(Answer::Stock),
        Body::GetReservation(told) => ReservationRead::try_from(told).map(Answer::Read),
        Body::Set(told)
        | Body::Count(told)
        | Body::Quarantine(told)
        | Body::Unquarantine(told)
        | Body::WriteOff(told) => StockCorrection::try_from(*told).map(|told| Answer::Corrected(Box::new(told))),
        Body::Transfer(told) | Body::Arrive(told) => {
            Transferred::try_from(*told).map(|told| Answer::Transferred(Box::new(told)))
        }
        Body::Expect(told) => StockChange::try_from(told).map(Answer::Stocked),
        Body::ConfigureSku(told) => SettingsChange::try_from(*told).map(Answer::Configured),
        Body::GetSkuSettings(told) => SettingsRead::try_from(*told).map(Answer::Settings),
        Body::ListShortages(told) => Page::try_from(told).map(Answer::Shortages),
        Body::ListInTransit(told) => Page::try_from(told).map(Answer::InTransit),
        Body::ListReservations(told) => Page::try_from(told).map(Answer::Reservations),
        Body::ListExpiring(told) => Page::try_from(told).map(Answer::Expiring),
        Body::DryRun(told) => DryRun::try_from(*told).map(Answer::Tried),
        Body::Error(_) => Err("an error where an answer should be"),
    };
    let answer = read.map_err(|what| Error::unreadable(what, subject))?;
    answer.each_position(|position| client.observe(position));
    Ok(answer)
}

/// The units of another reservation must never be taken for the caller's own.
fn reserved(client: &Client, told: Reserved, subject: Option<Subject>) -> Result<Answer, &'static str> {
    if subject != Some(Subject::Reservation(told.id)) {
        return Err("it is about another reservation");
    }
    Ok(Answer::Reserved(Reservation::new(client.clone(), told)))
}

impl Answer {
    /// Where in the ledger it was seen or stands; of what several shards told, in each of them.
    pub fn positions(&self) -> Vec<Position> {
        let mut positions = Vec::new();
        self.each_position(|position| positions.push(position));
        positions
    }

    fn each_position(&self, mut each: impl FnMut(Position)) {
        match self {
            Self::Reserved(reservation) => each(reservation.position()),
            Self::Changed(change) => each(change.position),
            Self::Stocked(change) => each(change.position),
            Self::Stock(stock) => each(stock.position),
            Self::Read(read) => each(read.position),
            Self::Corrected(change) => each(change.position),
            Self::Transferred(change) => each(change.position),
            Self::Configured(change) => each(change.position),
            Self::Settings(read) => each(read.position),
            Self::Shortages(page) => page.positions.iter().copied().for_each(each),
            Self::InTransit(page) => page.positions.iter().copied().for_each(each),
            Self::Reservations(page) => page.positions.iter().copied().for_each(each),
            Self::Expiring(page) => page.positions.iter().copied().for_each(each),
            Self::Tried(tried) => tried.positions.iter().copied().for_each(each),
        }
    }
}

impl Client {
    /// Sends one prepared operation and reads its answer as the kind that belongs to it.
    ///
    /// No async fn, and those that call it are none: one keeps twice what it is given, and callers move all they wait for.
    fn perform<T>(
        self,
        prepared: Result<Prepared, Error>,
        timeout: Duration,
        take: impl FnOnce(Answer) -> Option<T>,
    ) -> impl Future<Output = Result<T, Error>> {
        let prepared = prepared.map(Box::new);
        async move {
            let mut prepared = prepared?;
            let body = call::run(&self.shared, &mut prepared, timeout).await?;
            let subject = prepared.subject;
            take(answer(&self, body, subject)?).ok_or_else(|| Error::unreadable("it answers another question", subject))
        }
    }
}
