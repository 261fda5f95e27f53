//! Reads: the stock of a SKU, and a reservation by its id.

use super::reserve::TryReserve;
use super::{Answer, Checks, GetSettings, ListExpiring, ListInTransit, ListReservations, ListShortages, Operation};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::{Error, Subject};
use crate::model::{
    DryRun, ExpiringHold, Level, Page, PageToken, PoolShortage, ReservationInfo, ReservationRead, SettingsRead, Stock,
    TransferInfo,
};
use crate::token::Token;
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{Bucket, Location, Position, ReservationId, Sku};
use std::sync::PoisonError;
use std::time::Duration;

/// Reads every pool of one SKU. Made by [`Client::stock`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct GetStock {
    client: Client,
    sku: String,
    location: String,
    level: Level,
    timeout: Option<Duration>,
}

/// Reads one reservation. Made by [`Client::reservation`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct GetReservation {
    client: Client,
    id: ReservationId,
    level: Level,
    timeout: Option<Duration>,
}

impl Client {
    /// Begins a read of a SKU, at all its locations unless one is named.
    pub fn stock(&self, sku: impl Into<String>) -> GetStock {
        GetStock {
            client: self.clone(),
            sku: sku.into(),
            location: String::new(),
            level: Level::default(),
            timeout: None,
        }
    }

    /// Begins a read of a reservation.
    pub fn reservation(&self, id: ReservationId) -> GetReservation {
        GetReservation { client: self.clone(), id, level: Level::default(), timeout: None }
    }

    /// What this client has seen so far. Reads of level "session" see at least that.
    pub fn token(&self) -> Token {
        self.shared.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on reads of level "session" also see what the owner of that token has seen.
    pub fn merge_token(&self, token: &Token) {
        self.shared.token.lock().unwrap_or_else(PoisonError::into_inner).merge(token);
    }

    pub(crate) fn observe(&self, position: Position) {
        self.shared.token.lock().unwrap_or_else(PoisonError::into_inner).observe(position);
    }

    pub(super) fn wire_token(&self, level: Level) -> Option<v1::Token> {
        (level == Level::Session).then(|| self.token().to_wire())
    }
}

/// What all reads have in common.
macro_rules! read {
    ($name:ident, $variant:ident, $answer:ty) => {
        impl $name {
            /// How fresh the answer must be; linearizable if it is not set.
            pub fn level(mut self, level: Level) -> Self {
                self.level = level;
                self
            }

            /// How long it may take with all its tries, instead of the client's own timeout; 30 s at most.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.timeout = Some(timeout);
                self
            }

            /// Sends it and waits for the answer.
            ///
            /// # Errors
            /// [`Code::NotFound`](crate::Code::NotFound) if there is no such thing.
            pub fn send(self) -> impl Future<Output = Result<$answer, Error>> {
                let client = self.client.clone();
                let timeout = self.timeout.unwrap_or(client.shared.timeout).min(crate::config::TIMEOUT_MAX);
                let take = |answer| match answer {
                    Answer::$variant(read) => Some(read),
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
        }
    };
}

/// Which page of a list.
macro_rules! paged {
    ($name:ident) => {
        impl $name {
            /// How many there may be on the page, 1 to 1,000; 100 if it is not set.
            pub fn page_size(mut self, size: u32) -> Self {
                self.page.size = size;
                self
            }

            /// Go on where a page ended: its `next`.
            pub fn after(mut self, token: PageToken) -> Self {
                self.page.after = Some(token);
                self
            }
        }
    };
}

read!(GetStock, Stock, Stock);
read!(GetReservation, Read, ReservationRead);
read!(GetSettings, Settings, SettingsRead);
read!(ListShortages, Shortages, Page<PoolShortage>);
read!(ListInTransit, InTransit, Page<TransferInfo>);
read!(ListReservations, Reservations, Page<ReservationInfo>);
read!(ListExpiring, Expiring, Page<ExpiringHold>);
read!(TryReserve, Tried, DryRun);
paged!(ListShortages);
paged!(ListInTransit);
paged!(ListReservations);
paged!(ListExpiring);

impl GetStock {
    /// Only that location.
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = location.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku: Option<Sku> = checks.text(|| "sku".to_owned(), &self.sku);
        if !self.location.is_empty() {
            checks.fits::<Location>(|| "location".to_owned(), &self.location);
        }
        checks.finish()?;
        let sku = sku.expect("a bad SKU was refused before");
        let shared = &self.client.shared;
        let request = v1::GetStockRequest {
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.sku,
            location: self.location,
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            direct: false,
        };
        Ok(Prepared {
            body: Body::GetStock(request),
            bucket: Bucket::of(&shared.namespace, &sku),
            subject: None,
            made_here: false,
            any_replica: self.level != Level::Linearizable,
        })
    }
}

impl GetReservation {
    fn prepare(self) -> Result<Prepared, Error> {
        let request = v1::GetReservationRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            direct: false,
        };
        Ok(Prepared {
            body: Body::GetReservation(request),
            bucket: self.id.home(),
            subject: Some(Subject::Reservation(self.id)),
            made_here: false,
            any_replica: self.level != Level::Linearizable,
        })
    }
}
