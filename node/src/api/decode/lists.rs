//! What lists ask for: of what, how many, and where the page begins.

use crate::api::check::Check;
use bytes::Bytes;
use earmark_client::wire::v1;
use earmark_ledger::{
    limits::TTL_MAX,
    records::read_pool_key,
    types::{DurationMs, Namespace, OperationId, Owner, PoolKey, ReservationId, Sku, TimeMs},
};

/// Entries of a page if the caller leaves it open, and at most.
const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// Which part of a list is asked for.
pub struct Asked<T, After> {
    /// Tenant.
    pub namespace: Namespace,
    /// Of what.
    pub of: T,
    /// The last entry of the page before.
    pub after: Option<After>,
    /// How many at most.
    pub size: usize,
    /// How fresh.
    pub level: v1::ReadLevel,
}

/// A list of shortages: of what namespace, after which pool, how many, how fresh.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn shortages_of(request: &v1::ListShortagesRequest) -> Result<Asked<(), PoolKey>, v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    let after = check.page_token(&request.page_token, |token| read_pool_key(token).ok());
    if let (Some(namespace), Some(Some(after))) = (&namespace, &after)
        && after.namespace != *namespace
    {
        check.fail("page_token", "is of another namespace");
    }
    let size = check.page_size(request.page_size);
    let level = check.level(request.level);
    check.whole((|| Some(Asked { namespace: namespace?, of: (), after: after?, size: size?, level: level? }))())
}

/// A list of transfers: of what SKU, after which transfer, how many, how fresh.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn transfers_of(request: &v1::ListInTransitRequest) -> Result<Asked<Sku, OperationId>, v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    let sku = check.text("sku", request.sku.clone(), Sku::new);
    let after = check.page_token(&request.page_token, |token| OperationId::from_slice(&token).ok());
    let size = check.page_size(request.page_size);
    let level = check.level(request.level);
    check.whole((|| Some(Asked { namespace: namespace?, of: sku?, after: after?, size: size?, level: level? }))())
}

/// A list of reservations: of whom, after which one, how many, how fresh.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn owner_of(request: &v1::ListReservationsRequest) -> Result<Asked<Owner, ReservationId>, v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    if request.owner.is_empty() {
        check.fail("owner", "must not be empty");
    }
    let owner = check.text("owner", request.owner.clone(), Owner::new);
    let after = check.page_token(&request.page_token, |token| ReservationId::from_slice(&token).ok());
    let size = check.page_size(request.page_size);
    let level = check.level(request.level);
    check.whole((|| Some(Asked { namespace: namespace?, of: owner?, after: after?, size: size?, level: level? }))())
}

/// A list of holds that end soon: of what namespace, within what time, after which one, how many, how fresh.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn expiring_of(request: &v1::ListExpiringRequest) -> Result<Asked<DurationMs, (TimeMs, ReservationId)>, v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    if !(1..=TTL_MAX.0).contains(&request.within_ms) {
        check.fail("within_ms", format!("is {}, must be 1 to {}", request.within_ms, TTL_MAX.0));
    }
    let after = check.page_token(&request.page_token, |token| {
        let (deadline, id) = token.split_at_checked(8)?;
        let deadline = u64::from_be_bytes(deadline.try_into().ok()?);
        Some((TimeMs(deadline), ReservationId::from_slice(id).ok()?))
    });
    let size = check.page_size(request.page_size);
    let level = check.level(request.level);
    let within = DurationMs(request.within_ms);
    check.whole((|| Some(Asked { namespace: namespace?, of: within, after: after?, size: size?, level: level? }))())
}

impl Check {
    fn page_size(&mut self, size: u32) -> Option<usize> {
        let size = if size == 0 { PAGE_DEFAULT } else { size };
        if size > PAGE_MAX {
            self.fail("page_size", format!("is {size}, must be 1 to {PAGE_MAX}"));
            return None;
        }
        usize::try_from(size).ok()
    }

    fn page_token<T>(&mut self, token: &Bytes, read: impl FnOnce(Bytes) -> Option<T>) -> Option<Option<T>> {
        if token.is_empty() {
            return Some(None);
        }
        let read = read(token.clone());
        if read.is_none() {
            self.fail("page_token", "was not given by this list");
        }
        read.map(Some)
    }

    fn whole<T>(self, read: Option<T>) -> Result<T, v1::Error> {
        match read {
            Some(read) if self.is_good() => Ok(read),
            _ => Err(self.refuse()),
        }
    }
}
