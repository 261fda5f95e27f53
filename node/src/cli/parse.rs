//! How arguments are written: signed units, ids, lengths of time, texts; `place` has pools and lines.
//!
//! Every error names the field and says what it must be, so that it can be told as text and as JSON. What can be judged
//! here is judged before a node is looked for: bad input is bad input whether or not the cluster is up.

mod place;

use super::failure::Failure;
use earmark_client::{Epoch, LogIndex, OperationId, Position, ReservationId, ShardId, Strategy, TimeMs};
use earmark_ledger::{
    limits::{PAYING_GRACE_MAX, TTL_MAX, TTL_MIN, WINDOW_MAX},
    types::{BadText, DurationMs, Location, Sku},
};
pub(super) use place::{LOCATION_DEFAULT, Lines, Place, parts, place, pool_kind};
use std::{ops::RangeInclusive, str::FromStr, time::Duration};

/// Values that were read, each or not.
pub(super) trait All {
    /// The values themselves.
    type Values;

    /// All of them, or everything that is wrong with any.
    ///
    /// # Errors
    /// At least one could not be read.
    fn all(self) -> Result<Self::Values, Failure>;
}

macro_rules! all {
    ($($value:ident)+) => {
        #[allow(non_snake_case, reason = "a type and its value have one name here")]
        impl<$($value),+> All for ($(Result<$value, Failure>,)+) {
            type Values = ($($value,)+);

            fn all(self) -> Result<Self::Values, Failure> {
                match self {
                    ($(Ok($value),)+) => Ok(($($value,)+)),
                    ($($value,)+) => Err(Failure::together([$($value.err()),+].into_iter().flatten())),
                }
            }
        }
    };
}

all!(A B);
all!(A B C);
all!(A B C D);
all!(A B C D E);
all!(A B C D E F);
all!(A B C D E F G);
all!(A B C D E F G H);

/// The same of many values of one type.
fn each<T>(texts: &[String], read: impl Fn(usize, &str) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    let (good, bad): (Vec<_>, Vec<_>) =
        texts.iter().enumerate().map(|(index, text)| read(index, text)).partition(Result::is_ok);
    if bad.is_empty() {
        Ok(good.into_iter().flatten().collect())
    } else {
        Err(Failure::together(bad.into_iter().filter_map(Result::err)))
    }
}

/// The most units a line may have.
const LINE_UNITS_MAX: u64 = 1_000_000_000;

/// The most units a pool may have: 2^53.
const POOL_UNITS_MAX: u64 = 1 << 53;

/// A SKU.
pub(super) fn sku(text: &str) -> Result<String, Failure> {
    self::text::<Sku>("sku", text)
}

/// A location.
pub(super) fn location(text: &str) -> Result<String, Failure> {
    name::<Location>("location", text)
}

/// A text with the ledger's limits for its kind.
pub(super) fn text<T: FromStr<Err = BadText>>(field: &str, text: &str) -> Result<String, Failure> {
    checked::<T>(field, text, "control characters are not")
}

/// The same for a kind that has letters, digits, `.`, `_` and `-` only.
pub(super) fn name<T: FromStr<Err = BadText>>(field: &str, text: &str) -> Result<String, Failure> {
    checked::<T>(field, text, "letters, digits, `.`, `_` and `-` are")
}

fn checked<T: FromStr<Err = BadText>>(field: &str, text: &str, allowed: &str) -> Result<String, Failure> {
    match text.parse::<T>() {
        Ok(_) => Ok(text.to_owned()),
        Err(bad @ BadText::Character) => Err(Failure::input(field, format!("{bad} ({allowed}): {text:?}"))),
        Err(bad) => Err(Failure::input(field, format!("{bad}: {text:?}"))),
    }
}

/// Why stock is changed by hand; required.
pub(super) fn reason(text: &str) -> Result<String, Failure> {
    if text.is_empty() {
        return Err(Failure::input("reason", "must not be empty: say why"));
    }
    self::text::<earmark_ledger::types::Reason>("reason", text)
}

/// `HOST:PORT`, perhaps with a scheme before it.
pub(super) fn endpoint(text: &str) -> Result<String, Failure> {
    let refuse = || Failure::input("endpoints", format!("must be HOST:PORT, with commas between, not {text:?}"));
    let address = text.split_once("://").map_or(text, |(_, address)| address).trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').ok_or_else(refuse)?;
    let good =
        !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/') && port.parse::<u16>().is_ok();
    if good { Ok(text.to_owned()) } else { Err(refuse()) }
}

/// 1 to what a line may have.
pub(super) fn line_units(field: &str, text: &str) -> Result<u64, Failure> {
    units(field, text, 1..=LINE_UNITS_MAX)
}

/// 1 to what a pool may have.
pub(super) fn pool_units(field: &str, text: &str) -> Result<u64, Failure> {
    units(field, text, 1..=POOL_UNITS_MAX)
}

/// 0 to what a pool may have.
pub(super) fn units_or_none(field: &str, text: &str) -> Result<u64, Failure> {
    units(field, text, 0..=POOL_UNITS_MAX)
}

fn units(field: &str, text: &str, range: RangeInclusive<u64>) -> Result<u64, Failure> {
    let refuse = || {
        let (least, most) = (range.start(), range.end());
        Failure::input(field, format!("must be a whole number from {least} to {most}, not {text:?}"))
    };
    let units: u64 = text.parse().map_err(|_| refuse())?;
    if range.contains(&units) { Ok(units) } else { Err(refuse()) }
}

/// `+N` or `-N`. A sign is asked for, because a number without one might be meant as the new value.
pub(super) fn delta(field: &str, text: &str) -> Result<i64, Failure> {
    let refuse = || {
        let problem = format!("must be +N or -N with N from 1 to {POOL_UNITS_MAX}, not {text:?}");
        Failure::input(field, problem)
    };
    if !text.starts_with(['+', '-']) {
        return Err(refuse());
    }
    let delta: i64 = text.parse().map_err(|_| refuse())?;
    if (1..=POOL_UNITS_MAX).contains(&delta.unsigned_abs()) { Ok(delta) } else { Err(refuse()) }
}

/// The text form of a reservation id.
pub(super) fn reservation_id(text: &str) -> Result<ReservationId, Failure> {
    text.parse().map_err(|why| Failure::input("id", format!("{why} ({text:?})")))
}

/// How long a hold is to live, as people write it: `15m`, `1h 30m`, `45s`.
pub(super) fn ttl(text: &str) -> Result<Duration, Failure> {
    ttl_of("ttl", text)
}

/// The same under another name.
pub(super) fn ttl_of(field: &str, text: &str) -> Result<Duration, Failure> {
    bounded(field, text, TTL_MAX, "1s to 31days")
}

/// By how much the deadline moves while the shopper pays.
pub(super) fn grace(text: &str) -> Result<Duration, Failure> {
    bounded("grace", text, PAYING_GRACE_MAX, "1s to 30min")
}

/// A time from the shortest one to `most`; `bounds` says so.
fn bounded(field: &str, text: &str, most: DurationMs, bounds: &str) -> Result<Duration, Failure> {
    let time = duration(field, text)?;
    if (Duration::from_millis(TTL_MIN.0)..=Duration::from_millis(most.0)).contains(&time) {
        Ok(time)
    } else {
        Err(Failure::input(field, format!("must be {bounds}, not {text:?}")))
    }
}

fn duration(field: &str, text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text)
        .map_err(|why| Failure::input(field, format!("must be a time like 15m or 90s, not {text:?}: {why}")))
}

/// A length of time up to what the ledger remembers, 400 days.
pub(super) fn length(field: &str, text: &str) -> Result<DurationMs, Failure> {
    let length = u64::try_from(duration(field, text)?.as_millis()).unwrap_or(u64::MAX);
    if length <= WINDOW_MAX.0 {
        Ok(DurationMs(length))
    } else {
        Err(Failure::input(field, format!("must be at most 400days, not {text:?}")))
    }
}

/// A moment as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// By its date and time.
    At(TimeMs),
    /// So long from now.
    In(DurationMs),
}

impl Moment {
    /// By the servers' clock.
    pub(super) fn by(self, now: TimeMs) -> TimeMs {
        match self {
            Self::At(time) => time,
            Self::In(length) => now.plus(length),
        }
    }
}

/// `now`, `+2h`, or `2026-11-27T09:00:00Z`.
pub(super) fn moment(field: &str, text: &str) -> Result<Moment, Failure> {
    if text == "now" {
        return Ok(Moment::In(DurationMs(0)));
    }
    if let Some(from_now) = text.strip_prefix('+') {
        return length(field, from_now).map(Moment::In);
    }
    let refuse = || Failure::input(field, format!("must be like 2026-11-27T09:00:00Z, +2h or now, not {text:?}"));
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| refuse())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| refuse())?;
    Ok(Moment::At(TimeMs(u64::try_from(since.as_millis()).map_err(|_| refuse())?)))
}

/// The id of an operation: a UUID of version 7.
pub(super) fn operation_id(field: &str, text: &str) -> Result<OperationId, Failure> {
    let id = uuid::Uuid::try_parse(text).ok().and_then(|id| OperationId::from_slice(id.as_bytes()).ok());
    id.ok_or_else(|| Failure::input(field, format!("must be a UUID of version 7, not {text:?}")))
}

/// `SHARD/EPOCH/INDEX`.
pub(super) fn position(text: &str) -> Result<Position, Failure> {
    let read = || {
        let mut parts = text.split('/');
        let position = Position {
            shard: ShardId(parts.next()?.parse().ok()?),
            epoch: Epoch(parts.next()?.parse().ok()?),
            index: LogIndex(parts.next()?.parse().ok()?),
            ordinal: 0,
        };
        parts.next().is_none().then_some(position)
    };
    read().ok_or_else(|| Failure::input("position", format!("must be SHARD/EPOCH/INDEX, not {text:?}")))
}

/// A value, or `none` for no value.
pub(super) fn or_none<T>(text: &str, read: impl FnOnce(&str) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
    if text == "none" { Ok(None) } else { read(text).map(Some) }
}

/// `most-stock`, `fewest-splits`, `priority:A,B` or `nearest:A=ZONE,B=ZONE`.
pub(super) fn strategy(text: &str) -> Result<Strategy, Failure> {
    let refuse = || {
        let ways = "most-stock, fewest-splits, priority:A,B or nearest:A=ZONE,B=ZONE";
        Failure::input("allocation", format!("must be {ways}, not {text:?}"))
    };
    match text.split_once(':') {
        None if text == "most-stock" => Ok(Strategy::MostStock),
        None if text == "fewest-splits" => Ok(Strategy::FewestSplits),
        Some(("priority", list)) => list.split(',').map(location).collect::<Result<_, _>>().map(Strategy::Priority),
        Some(("nearest", list)) => {
            let zone = |one: &str| {
                let (name, zone) = one.split_once('=').ok_or_else(refuse)?;
                Ok((location(name)?, zone.parse().map_err(|_| refuse())?))
            };
            list.split(',').map(zone).collect::<Result<_, _>>().map(Strategy::NearestZone)
        }
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field of bad input, and what is wrong with it.
    pub(super) fn problem<T: std::fmt::Debug>(result: Result<T, Failure>) -> (String, String) {
        let bad = result.expect_err("bad input").only();
        (bad.field, bad.problem)
    }

    #[test]
    fn units_are_one_to_the_limit_and_an_error_names_the_field() {
        assert_eq!(line_units("quantity", "1000000000").expect("the most"), 1_000_000_000);
        for bad in ["0", "-1", "1.5", "", "many", "1000000001", "9223372036854775808", "18446744073709551616"] {
            let (field, text) = problem(line_units("quantity", bad));
            assert_eq!(field, "quantity");
            assert!(text.contains("from 1 to 1000000000") && text.contains(&format!("{bad:?}")), "{text}");
        }
        assert_eq!(pool_units("quantity", "9007199254740992").expect("2^53"), 1 << 53);
        assert_eq!(problem(pool_units("quantity", "9223372036854775808")).0, "quantity");
    }

    #[test]
    fn a_delta_has_a_sign() {
        assert_eq!(delta("delta", "+5").expect("more"), 5);
        assert_eq!(delta("delta", "-5").expect("less"), -5);
        for bad in ["5", "+0", "-0", "0", "", "+", "-", "+1.5", "-9223372036854775808", "+9223372036854775808"] {
            assert_eq!(problem(delta("delta", bad)).0, "delta", "{bad:?}");
        }
    }

    #[test]
    fn a_mistyped_id_is_told() {
        let (field, text) = problem(reservation_id("01HZZZZZZZZZZZZZZZZZZZZZZZ*"));
        assert_eq!(field, "id");
        assert!(!text.is_empty());
    }

    #[test]
    fn times_are_as_people_write_them() {
        assert_eq!(ttl("15m").expect("good"), Duration::from_secs(900));
        assert_eq!(ttl("1s").expect("the shortest"), Duration::from_secs(1));
        assert_eq!(ttl("31days").expect("the longest"), Duration::from_secs(31 * 86_400));
        for bad in ["soon", "0s", "999ms", "31days 1ms", "10years", "-5m", ""] {
            assert_eq!(problem(ttl(bad)).0, "ttl", "{bad:?}");
        }
    }

    #[test]
    fn a_grace_has_bounds_of_its_own() {
        assert_eq!(grace("30min").expect("the longest"), Duration::from_secs(1_800));
        for bad in ["0s", "31min"] {
            let (field, text) = problem(grace(bad));
            assert!(field == "grace" && text.contains("1s to 30min"), "{field} {text}");
        }
    }

    #[test]
    fn a_moment_is_a_date_a_time_from_now_or_now() {
        let now = TimeMs(5_000);
        assert_eq!(moment("at", "now").expect("good").by(now), now);
        assert_eq!(moment("at", "+2s").expect("good").by(now), TimeMs(7_000));
        assert_eq!(moment("at", "2026-11-27T09:00:00Z").expect("good").by(now), TimeMs(1_795_770_000_000));
        assert_eq!(moment("at", "2026-11-27 09:00:00").expect("good").by(now), TimeMs(1_795_770_000_000));
        for bad in ["", "soon", "+", "+soon", "-2h", "+401days", "2026-13-01T00:00:00Z", "1795770000000"] {
            assert_eq!(problem(moment("at", bad)).0, "at", "{bad:?}");
        }
    }

    #[test]
    fn a_position_is_three_numbers_and_an_operation_a_uuid() {
        assert_eq!(position("3/1/4711").expect("good").index, LogIndex(4_711));
        for bad in ["", "3", "3/1", "3/1/4/5", "a/1/2", "3/1/-2"] {
            assert_eq!(problem(position(bad)).0, "position", "{bad:?}");
        }
        let id = "0192f3c1-6d2e-7c4b-9d0a-3f5b8e7a1c22";
        assert_eq!(operation_id("id", id).expect("good").to_string(), id);
        for bad in ["", "0192f3c1", "0192f3c1-6d2e-4c4b-9d0a-3f5b8e7a1c22"] {
            assert_eq!(problem(operation_id("id", bad)).0, "id", "{bad:?}");
        }
    }

    #[test]
    fn a_policy_is_named_with_its_locations() {
        assert_eq!(strategy("most-stock").expect("good"), Strategy::MostStock);
        let list = vec!["berlin".to_owned(), "hamburg".to_owned()];
        assert_eq!(strategy("priority:berlin,hamburg").expect("good"), Strategy::Priority(list));
        assert_eq!(strategy("nearest:a=1").expect("good"), Strategy::NearestZone(vec![("a".to_owned(), 1)]));
        for (bad, field) in [
            ("", "allocation"),
            ("cheapest", "allocation"),
            ("priority", "allocation"),
            ("priority:", "location"),
            ("priority:a b", "location"),
            ("nearest:a", "allocation"),
            ("nearest:a=x", "allocation"),
            ("most-stock:a", "allocation"),
        ] {
            assert_eq!(problem(strategy(bad)).0, field, "{bad:?}");
        }
    }

    #[test]
    fn texts_have_the_limits_of_the_ledger() {
        let long = |bytes: usize| "x".repeat(bytes);
        assert_eq!(sku(&long(64)).expect("the longest"), long(64));
        assert_eq!(problem(sku(&long(65))).0, "sku");
        assert_eq!(problem(sku("te\u{7}a")).0, "sku");
        assert_eq!(problem(location(&long(33))).0, "location");
        let (field, text) = problem(location("a b"));
        assert_eq!(field, "location");
        assert!(text.contains("letters, digits"), "{text}");
        assert_eq!(problem(reason("")).0, "reason");
        assert_eq!(problem(reason(&long(257))).0, "reason");
    }

    #[test]
    fn an_endpoint_has_a_host_and_a_port() {
        for good in ["a:1", "10.0.0.1:7400", "[::1]:7400", "http://a:1", "https://node.internal:7400/"] {
            assert_eq!(endpoint(good).expect(good), good);
        }
        for bad in ["", "a", ":7400", "a:", "a:x", "a:65536", "a b:1", "http://a", "a:1/b:2"] {
            assert_eq!(problem(endpoint(bad)).0, "endpoints", "{bad:?}");
        }
    }
}
