//! What is read directly is what is read by way of the message.

use super::*;
use crate::api::decode;
use earmark_client::wire::v1::{Operation, operation::Body as Asked};
use earmark_ledger::types::{Bucket, TimeMs};
use proptest::{collection::vec, option, prelude::*, sample::select};
use prost::Message;

const NOW: TimeMs = TimeMs(1_764_000_000_000);

fn arrival() -> Arrival<'static> {
    Arrival { now: NOW, random: &|| 7 }
}

/// Everything a reader tells of an operation.
fn told(decoded: Decoded) -> (Bucket, earmark_ledger::command::Command, bool, bool, u64) {
    let Decoded { bucket, command, fresh, direct, map_version } = decoded;
    (bucket, command, fresh, direct, map_version)
}

fn by_message(bytes: &[u8], sent: Sent) -> Option<Decoded> {
    match Operation::decode(bytes).ok()?.body? {
        Asked::Reserve(mut request) => {
            if let Some(delivery) = &mut request.delivery {
                delivery.fresh &= sent == Sent::Here;
            }
            decode::reserve(request, &arrival()).ok()
        }
        _ => None,
    }
}

fn encoded(request: v1::ReserveRequest) -> Bytes {
    Operation { body: Some(Asked::Reserve(request)) }.encode_to_vec().into()
}

/// As the SDK fills it in.
fn usual() -> v1::ReserveRequest {
    let id = ReservationId::timed(NOW, Bucket::new(77).expect("below 16,384"), 5);
    let line = |sku: &str, quantity| v1::Line {
        sku: sku.to_owned(),
        location: "main".to_owned(),
        kind: v1::PoolKind::Now.into(),
        quantity,
        ..Default::default()
    };
    v1::ReserveRequest {
        reservation_id: id.to_bytes().to_vec().into(),
        namespace: "default".to_owned(),
        lines: vec![line("lamp-01", 1), line("shoe-42", 3)],
        owner: "cart-77".to_owned(),
        ttl_ms: 900_000,
        context: Some(v1::Context { session: "s-1".to_owned(), request_id: "r-9".to_owned(), ..Default::default() }),
        delivery: Some(v1::Delivery {
            not_after_ms: NOW.0 + 2_000,
            r#try: 1,
            fresh: true,
            direct: true,
            map_version: 3,
        }),
        ..Default::default()
    }
}

#[test]
fn what_the_sdk_writes_is_read_directly() {
    let without = v1::ReserveRequest { ttl_ms: 0, context: None, owner: String::new(), ..usual() };
    for request in [usual(), without] {
        let bytes = encoded(request);
        let direct = operation(&bytes, &arrival(), Sent::Here).map(told);
        assert!(direct.is_some());
        assert_eq!(direct, by_message(&bytes, Sent::Here).map(told));
    }
}

#[test]
fn what_is_fresh_elsewhere_is_left_to_the_message() {
    let bytes = encoded(usual());
    assert!(operation(&bytes, &arrival(), Sent::Elsewhere).is_none());
    assert!(!operation(&bytes, &arrival(), Sent::Anywhere).expect("good").fresh);
    let again = v1::Delivery { fresh: false, ..usual().delivery.expect("one") };
    let again = encoded(v1::ReserveRequest { delivery: Some(again), ..usual() });
    assert!(operation(&again, &arrival(), Sent::Elsewhere).is_some());
}

fn sent() -> impl Strategy<Value = Sent> {
    select(vec![Sent::Here, Sent::Elsewhere, Sent::Anywhere])
}

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(choices).prop_map(str::to_owned)
}

fn id() -> impl Strategy<Value = Vec<u8>> {
    let home = || Bucket::new(9).expect("small");
    let timed = (0..3_u64).prop_map(move |minutes| ReservationId::timed(TimeMs(NOW.0 + minutes * 60_000), home(), 5));
    let hashed = any::<u64>().prop_map(move |key| ReservationId::hashed(home(), key));
    prop_oneof![3 => timed, 1 => hashed].prop_map(|id| id.to_bytes().to_vec())
}

fn line_asked() -> impl Strategy<Value = v1::Line> {
    let texts = (text(&["a", "lamp-01", "a b"]), text(&["", "main"]), text(&["", "lot"]));
    (texts, 0..5_i32, 1..300_i64, any::<bool>()).prop_map(|((sku, location, lot), kind, quantity, whole)| v1::Line {
        sku,
        location,
        kind,
        lot,
        quantity,
        minimum: if whole { 0 } else { quantity / 2 },
    })
}

fn context() -> impl Strategy<Value = v1::Context> {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let texts = (text(&["", "svc"]), text(&["", "s-1"]), text(&["", "r-9"]), text(&["", TRACE]));
    texts.prop_map(|(principal, session, request_id, traceparent)| v1::Context {
        principal,
        session,
        request_id,
        traceparent,
    })
}

fn delivery() -> impl Strategy<Value = v1::Delivery> {
    let not_after = select(vec![0, NOW.0 + 5_000, u64::MAX]);
    (not_after, 0..3_u32, any::<[bool; 2]>(), 0..300_u64).prop_map(
        |(not_after_ms, r#try, [fresh, direct], map_version)| v1::Delivery {
            not_after_ms,
            r#try,
            fresh,
            direct,
            map_version,
        },
    )
}

/// A request that is good.
fn good() -> impl Strategy<Value = v1::ReserveRequest> {
    let texts = (text(&["", "default", "tenant"]), text(&["", "ann"]));
    let lasts = (select(vec![0, 1_000, 900_000]), any::<bool>());
    let around = (option::of(context()), option::of(delivery()), prop_oneof![Just(0), 1..300_u32]);
    (id(), texts, vec(line_asked(), 1..4), lasts, around).prop_map(
        |(id, (namespace, owner), mut lines, (ttl_ms, best_effort), (context, delivery, zone))| {
            if !best_effort {
                lines.iter_mut().for_each(|line| line.minimum = 0);
            }
            let reservation_id = id.into();
            v1::ReserveRequest { reservation_id, namespace, lines, owner, ttl_ms, best_effort, context, delivery, zone }
        },
    )
}

type Spoil = fn(&mut v1::ReserveRequest, String, i64);

/// One thing about it that is unusual, and mostly bad.
const SPOILS: &[Spoil] = &[
    |request, text, _| request.namespace = text,
    |request, text, _| request.owner = text,
    |request, text, _| request.lines[0].sku = text,
    |request, text, _| request.lines[0].location = text,
    |request, text, _| request.lines[0].lot = text,
    |request, _, number| request.lines[0].kind = i32::try_from(number).unwrap_or(i32::MIN),
    |request, _, number| request.lines[0].quantity = number,
    |request, _, number| request.lines[0].minimum = number,
    |request, _, number| request.ttl_ms = number.unsigned_abs(),
    |request, text, _| request.reservation_id = text.into_bytes().into(),
    |request, _, _| request.lines.clear(),
    |request, _, number| request.lines = vec![request.lines[0].clone(); number.clamp(499, 502).unsigned_abs() as usize],
    |request, text, _| request.context = Some(v1::Context { principal: text, ..Default::default() }),
    |request, text, _| request.context = Some(v1::Context { traceparent: text, ..Default::default() }),
    |request, _, number| {
        request.delivery = Some(v1::Delivery { not_after_ms: number.unsigned_abs(), ..Default::default() });
    },
    |request, _, _| {
        let ahead = TimeMs(NOW.0 + 3_600_000);
        let id = ReservationId::timed(ahead, Bucket::new(9).expect("small"), 5);
        request.reservation_id = id.to_bytes().to_vec().into();
    },
];

fn spoiled() -> impl Strategy<Value = v1::ReserveRequest> {
    let long = "x".repeat(300);
    let texts = ["", " ", " a", "a ", "Zo\u{eb}", "a\u{202e}b", "a\u{0}b", "x\ny", "\u{7f}", &long].map(str::to_owned);
    let numbers = vec![0, 1, -1, 7, 501, 1_000_000_000, 1_000_000_001, i64::MAX, i64::MIN];
    (good(), select(SPOILS), select(texts.to_vec()), select(numbers)).prop_map(|(mut request, spoil, text, number)| {
        spoil(&mut request, text, number);
        request
    })
}

proptest! {
    #[test]
    fn what_is_good_is_read_directly_and_as_the_message_says(request in good(), sent in sent()) {
        let is_fresh = request.delivery.as_ref().is_some_and(|delivery| delivery.fresh);
        let bytes = encoded(request);
        match operation(&bytes, &arrival(), sent) {
            Some(direct) => prop_assert_eq!(Some(told(direct)), by_message(&bytes, sent).map(told)),
            None => prop_assert!(is_fresh && sent == Sent::Elsewhere),
        }
    }

    #[test]
    fn what_is_not_good_is_left_to_the_message(request in spoiled(), sent in sent()) {
        let bytes = encoded(request);
        if let Some(direct) = operation(&bytes, &arrival(), sent) {
            prop_assert_eq!(Some(told(direct)), by_message(&bytes, sent).map(told));
        }
    }

    #[test]
    fn so_are_damaged_bytes(
        request in good(),
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
        grow: bool,
    ) {
        let mut bytes = encoded(request).to_vec();
        let place = at.index(bytes.len());
        if grow {
            bytes.insert(place, byte);
        } else {
            bytes[place] = byte;
        }
        for bytes in [bytes.clone(), bytes[..cut.index(bytes.len())].to_vec(), [bytes.clone(), bytes].concat()] {
            let bytes = Bytes::from(bytes);
            if let Some(direct) = operation(&bytes, &arrival(), Sent::Here) {
                prop_assert_eq!(Some(told(direct)), by_message(&bytes, Sent::Here).map(told));
            }
        }
    }
}
