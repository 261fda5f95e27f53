//! Lists: shortages, what is in transit, reservations of an owner, holds that end soon. They come in pages.

use super::Checks;
use crate::call::Prepared;
use crate::client::Client;
use crate::error::Error;
use crate::model::{Level, PageToken};
use crate::wire::v1::{self, operation::Body};
use earmark_ledger::types::{Bucket, Owner, Sku};
use std::time::Duration;

/// Lists the pools of the client's namespace that are short, in a fixed order. Made by [`Client::shortages`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ListShortages {
    pub(super) client: Client,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
    pub(super) page: PageOf,
}

/// Lists the transfers of a SKU that are under way, the earliest first. Made by [`Client::in_transit`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ListInTransit {
    pub(super) client: Client,
    sku: String,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
    pub(super) page: PageOf,
}

/// Lists the reservations of an owner that hold units, the earliest first. Made by [`Client::reservations_of`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ListReservations {
    pub(super) client: Client,
    owner: String,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
    pub(super) page: PageOf,
}

/// Lists the holds whose deadline is near, the nearest first. Made by [`Client::expiring`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct ListExpiring {
    pub(super) client: Client,
    within: Duration,
    pub(super) level: Level,
    pub(super) timeout: Option<Duration>,
    pub(super) page: PageOf,
}

/// Which page.
#[derive(Clone, Debug, Default)]
pub(super) struct PageOf {
    pub(super) size: u32,
    pub(super) after: Option<PageToken>,
}

impl PageOf {
    fn token(self) -> bytes::Bytes {
        self.after.map(|token| token.0).unwrap_or_default()
    }
}

impl Client {
    /// Begins a list of the pools that are short.
    pub fn shortages(&self) -> ListShortages {
        ListShortages { client: self.clone(), level: Level::default(), timeout: None, page: PageOf::default() }
    }

    /// Begins a list of a SKU's transfers that are under way.
    pub fn in_transit(&self, sku: impl Into<String>) -> ListInTransit {
        ListInTransit {
            client: self.clone(),
            sku: sku.into(),
            level: Level::default(),
            timeout: None,
            page: PageOf::default(),
        }
    }

    /// Begins a list of an owner's reservations that hold units. Those that ended are found by their ids.
    pub fn reservations_of(&self, owner: impl Into<String>) -> ListReservations {
        ListReservations {
            client: self.clone(),
            owner: owner.into(),
            level: Level::default(),
            timeout: None,
            page: PageOf::default(),
        }
    }

    /// Begins a list of the holds that end within that time from now.
    pub fn expiring(&self, within: Duration) -> ListExpiring {
        ListExpiring { client: self.clone(), within, level: Level::default(), timeout: None, page: PageOf::default() }
    }

    /// A list over all shards: any node gathers it.
    fn gathered(&self, body: Body) -> Prepared {
        Prepared {
            body,
            bucket: Bucket::new(0).expect("the first bucket"),
            subject: None,
            made_here: false,
            any_replica: true,
        }
    }
}

impl ListShortages {
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let request = v1::ListShortagesRequest {
            namespace: self.client.shared.namespace.as_str().to_owned(),
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            page_size: self.page.size,
            page_token: self.page.token(),
        };
        Ok(self.client.gathered(Body::ListShortages(request)))
    }
}

impl ListInTransit {
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku: Option<Sku> = checks.text(|| "sku".to_owned(), &self.sku);
        checks.finish()?;
        let sku = sku.expect("a bad SKU was refused before");
        let namespace = &self.client.shared.namespace;
        let request = v1::ListInTransitRequest {
            namespace: namespace.as_str().to_owned(),
            sku: self.sku,
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            direct: false,
            page_size: self.page.size,
            page_token: self.page.token(),
        };
        Ok(Prepared {
            body: Body::ListInTransit(request),
            bucket: Bucket::of(namespace, &sku),
            subject: None,
            made_here: false,
            any_replica: self.level != Level::Linearizable,
        })
    }
}

impl ListReservations {
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        if self.owner.is_empty() {
            checks.refuse("owner", "must not be empty");
        }
        checks.fits::<Owner>(|| "owner".to_owned(), &self.owner);
        checks.finish()?;
        let request = v1::ListReservationsRequest {
            namespace: self.client.shared.namespace.as_str().to_owned(),
            owner: self.owner,
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            page_size: self.page.size,
            page_token: self.page.token(),
        };
        Ok(self.client.gathered(Body::ListReservations(request)))
    }
}

impl ListExpiring {
    pub(super) fn prepare(self) -> Result<Prepared, Error> {
        let request = v1::ListExpiringRequest {
            namespace: self.client.shared.namespace.as_str().to_owned(),
            within_ms: u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX),
            level: self.level.to_wire(),
            token: self.client.wire_token(self.level),
            page_size: self.page.size,
            page_token: self.page.token(),
        };
        Ok(self.client.gathered(Body::ListExpiring(request)))
    }
}
