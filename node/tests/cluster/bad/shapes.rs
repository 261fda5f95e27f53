//! What requests have in common, bad and at its limit: contexts, places, ids and their times.

use earmark_client::wire::v1::{self, operation::Body as Asked};
use earmark_ledger::types::{Bucket, Namespace, ReservationId, Sku, TimeMs};
use prost::bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};

pub const MINUTE_MS: u64 = 60_000;
pub const DAY_MS: u64 = 86_400_000;

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("64 bits")
}

/// A reservation id made at that time.
pub fn reservation_id(ms: u64, random: u64) -> Bytes {
    let sku: Sku = "tea".parse().expect("a SKU");
    ReservationId::timed(TimeMs(ms), Bucket::of(&Namespace::default(), &sku), random).to_bytes().to_vec().into()
}

/// A UUID of version 7 made at that time.
pub fn operation_id(ms: u64, random: u8) -> Bytes {
    let uuid = uuid::Builder::from_unix_timestamp_millis(ms, &[random; 10]).into_uuid();
    uuid.as_bytes().to_vec().into()
}

/// A place that exists, and one bad value of it.
#[derive(Clone)]
pub struct Place {
    pub sku: String,
    pub location: String,
    pub kind: i32,
    pub lot: String,
}

pub fn tea() -> Place {
    Place { sku: "tea".to_owned(), location: "main".to_owned(), kind: 0, lot: String::new() }
}

/// Every way a place can be bad, with the field.
pub fn bad_places() -> Vec<(Place, &'static str)> {
    let mut places = Vec::new();
    for sku in ["", "te\u{7}a", "te\u{85}a", "tea\n", &"x".repeat(65), &"é".repeat(33)] {
        places.push((Place { sku: sku.to_owned(), ..tea() }, "sku"));
    }
    for location in ["", "a b", "ma/in", "é", "main\0", &"x".repeat(33)] {
        places.push((Place { location: location.to_owned(), ..tea() }, "location"));
    }
    for kind in [5, 77, -1, i32::MAX, i32::MIN] {
        places.push((Place { kind, ..tea() }, "kind"));
    }
    for lot in ["a b", "a\t", &"x".repeat(33)] {
        places.push((Place { lot: lot.to_owned(), ..tea() }, "lot"));
    }
    places
}

/// Every way a context can be bad, with the field.
pub fn bad_contexts() -> Vec<(v1::Context, &'static str)> {
    let context = v1::Context::default;
    let mut contexts = Vec::new();
    for text in ["x".repeat(65), "é".repeat(33), "a\u{1b}[2J".to_owned(), "a\r\nb".to_owned()] {
        contexts.push((v1::Context { principal: text.clone(), ..context() }, "context.principal"));
        contexts.push((v1::Context { session: text.clone(), ..context() }, "context.session"));
        contexts.push((v1::Context { request_id: text, ..context() }, "context.request_id"));
    }
    for text in ["x".repeat(56), "00-\u{0}".to_owned()] {
        contexts.push((v1::Context { traceparent: text, ..context() }, "context.traceparent"));
    }
    contexts
}

/// A context whose every text is as long as it may be.
pub fn longest_context() -> v1::Context {
    v1::Context {
        principal: "p".repeat(64),
        session: "é".repeat(32),
        request_id: "r".repeat(64),
        traceparent: "t".repeat(55),
    }
}

/// Every way an operation id can be bad; it is always the field `operation_id`.
pub fn bad_operation_ids() -> Vec<Bytes> {
    let mut version_4 = operation_id(now_ms(), 1).to_vec();
    version_4[6] = version_4[6] & 0x0f | 0x40;
    let mut variant = operation_id(now_ms(), 1).to_vec();
    variant[8] &= 0x3f;
    vec![
        vec![7; 15].into(),
        vec![7; 17].into(),
        vec![0; 16].into(),
        version_4.into(),
        variant.into(),
        vec![7; 100_000].into(),
        operation_id(now_ms() + 6 * MINUTE_MS, 2),
        operation_id(now_ms() + 365 * DAY_MS, 3),
        operation_id((1 << 48) - 1, 4),
    ]
}

/// Every way a reservation id can be bad for whoever names one; it is always the field `reservation_id`.
pub fn bad_reservation_ids() -> Vec<Bytes> {
    let mut kind = reservation_id(now_ms(), 1).to_vec();
    kind[7] |= 0b11;
    vec![Bytes::new(), vec![1; 15].into(), vec![1; 17].into(), kind.into(), vec![1; 100_000].into()]
}

/// The same request with another context.
pub fn with_context(asked: &Asked, context: &v1::Context) -> Asked {
    let context = Some(context.clone());
    match asked.clone() {
        Asked::Reserve(request) => Asked::Reserve(v1::ReserveRequest { context, ..request }),
        Asked::Commit(request) => Asked::Commit(v1::CommitRequest { context, ..request }),
        Asked::Release(request) => Asked::Release(v1::ReleaseRequest { context, ..request }),
        Asked::Extend(request) => Asked::Extend(v1::ExtendRequest { context, ..request }),
        Asked::Receive(request) => Asked::Receive(v1::ReceiveRequest { context, ..request }),
        Asked::Adjust(request) => Asked::Adjust(v1::AdjustRequest { context, ..request }),
        Asked::Replace(request) => Asked::Replace(v1::ReplaceRequest { context, ..request }),
        Asked::MarkPaying(request) => Asked::MarkPaying(v1::MarkPayingRequest { context, ..request }),
        Asked::Ship(request) => Asked::Ship(v1::ShipRequest { context, ..request }),
        Asked::Cancel(request) => Asked::Cancel(v1::CancelRequest { context, ..request }),
        Asked::ReturnUnits(request) => Asked::ReturnUnits(v1::ReturnUnitsRequest { context, ..request }),
        Asked::Set(request) => Asked::Set(v1::SetRequest { context, ..request }),
        Asked::Count(request) => Asked::Count(v1::CountRequest { context, ..request }),
        Asked::Quarantine(request) => Asked::Quarantine(v1::QuarantineRequest { context, ..request }),
        Asked::Unquarantine(request) => Asked::Unquarantine(v1::QuarantineRequest { context, ..request }),
        Asked::WriteOff(request) => Asked::WriteOff(v1::QuarantineRequest { context, ..request }),
        Asked::Transfer(request) => Asked::Transfer(v1::TransferRequest { context, ..request }),
        Asked::Arrive(request) => Asked::Arrive(v1::ArriveRequest { context, ..request }),
        Asked::Expect(request) => Asked::Expect(v1::ExpectRequest { context, ..request }),
        Asked::ConfigureSku(request) => Asked::ConfigureSku(Box::new(v1::ConfigureSkuRequest { context, ..*request })),
        read => read,
    }
}

/// The same request with another operation id.
pub fn with_operation_id(asked: &Asked, id: &Bytes) -> Asked {
    let operation_id = id.clone();
    match asked.clone() {
        Asked::Commit(request) => Asked::Commit(v1::CommitRequest { operation_id, ..request }),
        Asked::Release(request) => Asked::Release(v1::ReleaseRequest { operation_id, ..request }),
        Asked::Extend(request) => Asked::Extend(v1::ExtendRequest { operation_id, ..request }),
        Asked::Receive(request) => Asked::Receive(v1::ReceiveRequest { operation_id, ..request }),
        Asked::Adjust(request) => Asked::Adjust(v1::AdjustRequest { operation_id, ..request }),
        Asked::Replace(request) => Asked::Replace(v1::ReplaceRequest { operation_id, ..request }),
        Asked::MarkPaying(request) => Asked::MarkPaying(v1::MarkPayingRequest { operation_id, ..request }),
        Asked::Ship(request) => Asked::Ship(v1::ShipRequest { operation_id, ..request }),
        Asked::Cancel(request) => Asked::Cancel(v1::CancelRequest { operation_id, ..request }),
        Asked::ReturnUnits(request) => Asked::ReturnUnits(v1::ReturnUnitsRequest { operation_id, ..request }),
        Asked::Set(request) => Asked::Set(v1::SetRequest { operation_id, ..request }),
        Asked::Count(request) => Asked::Count(v1::CountRequest { operation_id, ..request }),
        Asked::Quarantine(request) => Asked::Quarantine(v1::QuarantineRequest { operation_id, ..request }),
        Asked::Unquarantine(request) => Asked::Unquarantine(v1::QuarantineRequest { operation_id, ..request }),
        Asked::WriteOff(request) => Asked::WriteOff(v1::QuarantineRequest { operation_id, ..request }),
        Asked::Transfer(request) => Asked::Transfer(v1::TransferRequest { operation_id, ..request }),
        Asked::Arrive(request) => Asked::Arrive(v1::ArriveRequest { operation_id, ..request }),
        Asked::Expect(request) => Asked::Expect(v1::ExpectRequest { operation_id, ..request }),
        Asked::ConfigureSku(request) => {
            Asked::ConfigureSku(Box::new(v1::ConfigureSkuRequest { operation_id, ..*request }))
        }
        other => other,
    }
}

/// The same request delivered in another way.
pub fn delivered(asked: &Asked, delivery: v1::Delivery) -> Asked {
    let delivery = Some(delivery);
    match asked.clone() {
        Asked::Reserve(request) => Asked::Reserve(v1::ReserveRequest { delivery, ..request }),
        Asked::Commit(request) => Asked::Commit(v1::CommitRequest { delivery, ..request }),
        Asked::Release(request) => Asked::Release(v1::ReleaseRequest { delivery, ..request }),
        Asked::Extend(request) => Asked::Extend(v1::ExtendRequest { delivery, ..request }),
        Asked::Receive(request) => Asked::Receive(v1::ReceiveRequest { delivery, ..request }),
        Asked::Adjust(request) => Asked::Adjust(v1::AdjustRequest { delivery, ..request }),
        Asked::Replace(request) => Asked::Replace(v1::ReplaceRequest { delivery, ..request }),
        Asked::MarkPaying(request) => Asked::MarkPaying(v1::MarkPayingRequest { delivery, ..request }),
        Asked::Ship(request) => Asked::Ship(v1::ShipRequest { delivery, ..request }),
        Asked::Cancel(request) => Asked::Cancel(v1::CancelRequest { delivery, ..request }),
        Asked::ReturnUnits(request) => Asked::ReturnUnits(v1::ReturnUnitsRequest { delivery, ..request }),
        Asked::Set(request) => Asked::Set(v1::SetRequest { delivery, ..request }),
        Asked::Count(request) => Asked::Count(v1::CountRequest { delivery, ..request }),
        Asked::Quarantine(request) => Asked::Quarantine(v1::QuarantineRequest { delivery, ..request }),
        Asked::Unquarantine(request) => Asked::Unquarantine(v1::QuarantineRequest { delivery, ..request }),
        Asked::WriteOff(request) => Asked::WriteOff(v1::QuarantineRequest { delivery, ..request }),
        Asked::Transfer(request) => Asked::Transfer(v1::TransferRequest { delivery, ..request }),
        Asked::Arrive(request) => Asked::Arrive(v1::ArriveRequest { delivery, ..request }),
        Asked::Expect(request) => Asked::Expect(v1::ExpectRequest { delivery, ..request }),
        Asked::ConfigureSku(request) => Asked::ConfigureSku(Box::new(v1::ConfigureSkuRequest { delivery, ..*request })),
        read => read,
    }
}
