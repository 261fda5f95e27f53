//! How arguments are written: `SKU@LOCATION`, `SKU@LOCATION=UNITS`, signed units, ids, lengths of time.
//!
//! Every error names the field and says what it must be, so that it can be told as text and as JSON.

use super::failure::Failure;
use earmark_client::ReservationId;
use std::time::Duration;

/// Where units are when no location is named.
pub(super) const LOCATION_DEFAULT: &str = "main";

/// The most units a line may have.
const LINE_UNITS_MAX: u64 = 1_000_000_000;

/// The most units a pool may have: 2^53.
const POOL_UNITS_MAX: u64 = 1 << 53;

/// `SKU@LOCATION`. The last `@` separates, so a SKU may contain others; without one the location is `main`.
pub(super) fn place(text: &str) -> Result<(String, String), Failure> {
    let (sku, location) = text.rsplit_once('@').unwrap_or((text, LOCATION_DEFAULT));
    if sku.is_empty() {
        return Err(Failure::input("sku", format!("must not be empty: {text:?} should be SKU or SKU@LOCATION")));
    }
    if location.is_empty() {
        return Err(Failure::input("location", format!("must not be empty: {text:?} should be SKU or SKU@LOCATION")));
    }
    Ok((sku.to_owned(), location.to_owned()))
}

/// `SKU@LOCATION=UNITS`. The last `=` separates.
pub(super) fn line(text: &str) -> Result<(String, String, u64), Failure> {
    let Some((name, units)) = text.rsplit_once('=') else {
        return Err(Failure::input("line", format!("must be SKU[@LOCATION]=UNITS, not {text:?}")));
    };
    let (sku, location) = place(name)?;
    Ok((sku, location, line_units("quantity", units)?))
}

/// 1 to what a line may have.
pub(super) fn line_units(field: &str, text: &str) -> Result<u64, Failure> {
    units(field, text, LINE_UNITS_MAX)
}

/// 1 to what a pool may have.
pub(super) fn pool_units(field: &str, text: &str) -> Result<u64, Failure> {
    units(field, text, POOL_UNITS_MAX)
}

fn units(field: &str, text: &str, max: u64) -> Result<u64, Failure> {
    let refuse = || Failure::input(field, format!("must be a whole number from 1 to {max}, not {text:?}"));
    let units: u64 = text.parse().map_err(|_| refuse())?;
    if (1..=max).contains(&units) { Ok(units) } else { Err(refuse()) }
}

/// `+N` or `-N`. A sign is asked for, because a number without one might be meant as the new value.
pub(super) fn delta(text: &str) -> Result<i64, Failure> {
    let refuse = || {
        let problem = format!("must be +N or -N with N from 1 to {POOL_UNITS_MAX}, not {text:?}");
        Failure::input("delta", problem)
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

/// A length of time as people write it: `15m`, `1h 30m`, `45s`.
pub(super) fn duration(field: &str, text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text)
        .map_err(|why| Failure::input(field, format!("must be a time like 15m or 90s, not {text:?}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T: std::fmt::Debug>(result: Result<T, Failure>) -> (String, String) {
        match result {
            Err(Failure::Input { field, problem }) => (field, problem),
            other => panic!("{other:?} should be bad input"),
        }
    }

    #[test]
    fn the_last_at_separates_sku_and_location() {
        for (text, sku, location) in [
            ("lamp-01@berlin", "lamp-01", "berlin"),
            ("lamp-01", "lamp-01", "main"),
            ("lamp@2x@berlin", "lamp@2x", "berlin"),
            ("@@berlin", "@", "berlin"),
        ] {
            assert_eq!(place(text).expect(text), (sku.to_owned(), location.to_owned()));
        }
        assert_eq!(problem(place("@berlin")).0, "sku");
        assert_eq!(problem(place("lamp-01@")).0, "location");
        assert_eq!(problem(place("")).0, "sku");
    }

    #[test]
    fn a_line_is_a_place_and_units() {
        for (text, sku, location, units) in [
            ("lamp-01@berlin=3", "lamp-01", "berlin", 3),
            ("lamp-01=1", "lamp-01", "main", 1),
            ("size=40@berlin=2", "size=40", "berlin", 2),
        ] {
            assert_eq!(line(text).expect(text), (sku.to_owned(), location.to_owned(), units));
        }
        assert_eq!(problem(line("lamp-01")).0, "line");
        assert_eq!(problem(line("lamp-01=")).0, "quantity");
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
        assert_eq!(delta("+5").expect("more"), 5);
        assert_eq!(delta("-5").expect("less"), -5);
        for bad in ["5", "+0", "-0", "0", "", "+", "-", "+1.5", "-9223372036854775808", "+9223372036854775808"] {
            assert_eq!(problem(delta(bad)).0, "delta", "{bad:?}");
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
        assert_eq!(duration("ttl", "15m").expect("good"), Duration::from_secs(900));
        assert_eq!(problem(duration("ttl", "soon")).0, "ttl");
    }
}
