//! Reserve: hold units for a while.

use super::{Answer, Checks, Operation, Options, options};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::{Error, Subject};
use crate::model::{Level, kind_to_wire};
use crate::reservation::Reservation;
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{Bucket, LINE_QUANTITY_MAX, Location, Lot, Owner, PoolKind, ReservationId, Sku};
use std::time::Duration;

/// One line of a reserve: units of one pool, or of the pools a policy chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub(super) sku: String,
    location: String,
    kind: PoolKind,
    lot: String,
    quantity: u64,
    minimum: u64,
}

impl Line {
    /// So many units of that SKU, at the locations its policy chooses.
    pub fn anywhere(sku: impl Into<String>, quantity: u64) -> Self {
        Self::new(sku, String::new(), quantity)
    }

    /// So many units of that SKU at that location.
    pub fn new(sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Self {
        let (sku, location) = (sku.into(), location.into());
        Self { sku, location, kind: PoolKind::Now, lot: String::new(), quantity, minimum: 0 }
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

    /// With best effort: refuse the whole unless at least so many can be held.
    #[must_use]
    pub fn minimum(mut self, quantity: u64) -> Self {
        self.minimum = quantity;
        self
    }
}

/// Holds every line or none, unless best effort is asked for. Made by [`Client::reserve`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Reserve {
    client: Client,
    id: Option<ReservationId>,
    lines: Vec<Line>,
    owner: String,
    ttl: Option<Duration>,
    best_effort: bool,
    zone: u32,
    options: Options,
}

/// Tells what a reserve would be answered. Made by [`Reserve::dry_run`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct TryReserve {
    pub(super) client: Client,
    reserve: Reserve,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
}

impl Client {
    /// Begins a reserve. It needs at least one line.
    pub fn reserve(&self) -> Reserve {
        Reserve {
            client: self.clone(),
            id: None,
            lines: Vec::new(),
            owner: String::new(),
            ttl: None,
            best_effort: false,
            zone: 0,
            options: Options::default(),
        }
    }
}

impl Reserve {
    /// So many units of that SKU at that location.
    pub fn line(self, sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Self {
        self.push(Line::new(sku, location, quantity))
    }

    /// So many units of that SKU, at the locations its policy chooses.
    pub fn line_anywhere(self, sku: impl Into<String>, quantity: u64) -> Self {
        self.push(Line::anywhere(sku, quantity))
    }

    /// A line with more to say.
    pub fn push(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// For whom: opaque, up to 64 bytes. Not personal data.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// How long to hold. If it is not set, the setting of the SKU decides (of several the shortest), else 15 minutes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Hold what is there instead of all or nothing.
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// Zone of whoever asks, for policies that choose by it.
    pub fn zone(mut self, zone: u32) -> Self {
        self.zone = zone;
        self
    }

    /// What would be answered now under a new id, with no effect: nothing is held or remembered.
    pub fn dry_run(self) -> TryReserve {
        let (client, timeout) = (self.client.clone(), self.options.timeout);
        TryReserve { client, reserve: self, level: Level::default(), timeout }
    }

    /// The id to go by, from [`Client::make_id`]. Sending the same id and lines again, from anywhere, asks for the first
    /// outcome. Without it the SDK makes one, which an error then carries.
    pub fn id(mut self, id: ReservationId) -> Self {
        self.id = Some(id);
        self
    }

    options!();

    /// Sends it and waits for the end.
    ///
    /// # Errors
    /// [`Error`] says why, and whether it surely had no effect.
    pub fn send(self) -> impl Future<Output = Result<Reservation, Error>> {
        let client = self.client.clone();
        let timeout = self.options.timeout(&client.shared);
        let take = |answer| match answer {
            Answer::Reserved(reservation) => Some(reservation),
            _ => None,
        };
        client.perform(self.prepare(), timeout, take)
    }

    /// The same as an operation of a batch.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument) with every bad field.
    pub fn operation(self) -> Result<Operation, Error> {
        Ok(Operation::new(self.prepare()?))
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let shared = &self.client.shared;
        let mut checks = Checks::default();
        if self.lines.is_empty() {
            checks.refuse("lines", "must have at least one line");
        }
        checks.fits::<Owner>(|| "owner".to_owned(), &self.owner);
        let ttl_ms = self.ttl.map_or(0, |ttl| checks.ttl(ttl));
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.into_iter().enumerate() {
            lines.push(wire_line(&mut checks, index, line));
        }
        checks.finish()?;
        let made_here = self.id.is_none();
        let id = self.id.unwrap_or_else(|| {
            let now = shared.time.now();
            let buckets = lines.iter().map(|line: &v1::Line| Bucket::of_texts(shared.namespace.as_str(), &line.sku));
            let home = ReservationId::home_among(now, buckets).expect("a reserve without lines was refused");
            shared.reservation_id(now, home)
        });
        let request = v1::ReserveRequest {
            reservation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            lines,
            owner: self.owner,
            ttl_ms,
            best_effort: self.best_effort,
            context: self.options.context(shared),
            delivery: None,
            zone: self.zone,
        };
        Ok(Prepared {
            body: Body::Reserve(request),
            bucket: id.home(),
            subject: Some(Subject::Reservation(id)),
            made_here,
            any_replica: false,
        })
    }
}

impl TryReserve {
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let token = self.client.wire_token(self.level);
        let prepared = self.reserve.prepare()?;
        let Body::Reserve(mut reserve) = prepared.body else { unreachable!("a reserve is prepared as one") };
        reserve.reservation_id = Bytes::new();
        reserve.context = None;
        let request = v1::DryRunRequest { reserve: Some(reserve), level: self.level.to_wire(), token };
        Ok(Prepared {
            body: Body::DryRun(Box::new(request)),
            subject: None,
            made_here: false,
            any_replica: true,
            ..prepared
        })
    }
}

pub(super) fn wire_line(checks: &mut Checks, index: usize, line: Line) -> v1::Line {
    checks.fits::<Sku>(|| format!("lines[{index}].sku"), &line.sku);
    if !line.location.is_empty() {
        checks.fits::<Location>(|| format!("lines[{index}].location"), &line.location);
    }
    checks.fits::<Lot>(|| format!("lines[{index}].lot"), &line.lot);
    let quantity = checks.quantity(|| format!("lines[{index}].quantity"), line.quantity);
    if line.minimum > line.quantity.min(LINE_QUANTITY_MAX) {
        checks.refuse(format!("lines[{index}].minimum"), "must not be above the quantity");
    }
    v1::Line {
        sku: line.sku,
        location: line.location,
        kind: kind_to_wire(line.kind),
        lot: line.lot,
        quantity,
        minimum: i64::try_from(line.minimum).unwrap_or(i64::MAX),
    }
}
