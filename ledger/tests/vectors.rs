//! Ids in text and buckets of SKUs: what every other implementation must get too. The same vectors stand in
//! `docs/decisions/0101-ids-and-buckets.md`.

use earmark_ledger::types::*;

/// Milliseconds, home bucket, hashed, low bits, text.
const IDS: [(u64, u16, bool, u64, &str); 6] = [
    (0, 0, false, 0, "000000000000000000000000000"),
    (1_700_000_000_000, 77, false, 42, "01HF7YAT0004T000000000001A7"),
    (1_700_000_000_000, 16_383, false, u64::MAX, "01HF7YAT00ZZYFZZZZZZZZZZZZ3"),
    ((1 << 48) - 1, 16_383, false, u64::MAX, "7ZZZZZZZZZZZYFZZZZZZZZZZZZ~"),
    (0, 1, true, 0x0123_4567_89ab_cdef, "0000000000002G28T5CY4TQKFF~"),
    (0, 16_383, true, u64::MAX, "0000000000ZZYZZZZZZZZZZZZZ9"),
];

/// Namespace, SKU, bucket.
const BUCKETS_OF: [(&str, &str, u16); 6] = [
    ("default", "shoe", 14049),
    ("default", "red-shoe-42", 3853),
    ("brand", "red-shoe-42", 8287),
    ("default", "Schuh, rot ✓", 11041),
    ("a", "b", 4945),
    ("default", "0123456789012345678901234567890123456789012345678901234567890123", 15612),
];

fn id(vector: (u64, u16, bool, u64, &str)) -> ReservationId {
    let (ms, home, hashed, low, _) = vector;
    let home = Bucket::new(home).expect("below 16,384");
    if hashed { ReservationId::hashed(home, low) } else { ReservationId::timed(TimeMs(ms), home, low) }
}

#[test]
fn ids_in_text() {
    for vector in IDS {
        let id = id(vector);
        assert_eq!(id.to_string(), vector.4);
        assert_eq!(vector.4.parse(), Ok(id));
        assert_eq!(vector.4.to_lowercase().parse(), Ok(id));
        assert_eq!(ReservationId::from_slice(&id.to_bytes()), Ok(id));
        assert_eq!((id.time().0, id.home().number(), id.kind() == IdKind::Hashed), (vector.0, vector.1, vector.2));
    }
}

#[test]
fn mistyped_ids_are_found() {
    let text = IDS[1].4;
    for at in 0..26 {
        for digit in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|digit| !text[at..].starts_with(*digit)) {
            let mistyped = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
            assert!(mistyped.parse::<ReservationId>().is_err(), "{mistyped}");
        }
    }
    assert_eq!(text[1..].parse::<ReservationId>(), Err(BadId::Length));
    assert_eq!(text.replace('0', "U").parse::<ReservationId>(), Err(BadId::Character));
}

#[test]
fn buckets_of_skus() {
    for (namespace, sku, bucket) in BUCKETS_OF {
        let (namespace, sku) = (namespace.parse().expect("a namespace"), sku.parse().expect("a sku"));
        assert_eq!(Bucket::of(&namespace, &sku).number(), bucket, "{namespace} {sku}");
    }
}

#[test]
fn carts_with_the_same_buckets_share_a_home_whatever_their_order_and_all_are_homes_in_turn() {
    let bucket = |number| Bucket::new(number).expect("below 16,384");
    let (one, other) = (bucket(3), bucket(16_000));
    let mut homes = [0, 0];
    for window in 0..1_000 {
        let time = TimeMs(window * 600_000);
        let home = ReservationId::home_among(time, [one, other]);
        assert_eq!(home, ReservationId::home_among(TimeMs(time.0 + 599_999), [other, one, other]));
        homes[usize::from(home == Some(other))] += 1;
    }
    assert!(homes.iter().all(|count| (400..600).contains(count)), "{homes:?}");
    assert_eq!(ReservationId::home_among(TimeMs(0), []), None);
}
