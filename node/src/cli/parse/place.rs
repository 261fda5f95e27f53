//! Pools and lines: `SKU[@LOCATION[:KIND][/LOT]]`, and units of them.

use super::{Failure, line_units, location, name, sku};
use crate::cli::views::kind_name;
use earmark_client::{Line, Part, PoolKind};
use earmark_ledger::types::Lot;

/// Where units are when no location is named.
pub(in crate::cli) const LOCATION_DEFAULT: &str = "main";

/// How a pool is written.
const FORM: &str = "SKU, SKU@LOCATION, or SKU@LOCATION:KIND/LOT";

/// A pool by what its name on the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Place {
    pub(in crate::cli) sku: String,
    /// Empty only where a policy may choose.
    pub(in crate::cli) location: String,
    pub(in crate::cli) kind: PoolKind,
    pub(in crate::cli) lot: String,
}

/// Reads a place. The last `@` separates, so a SKU may contain others; without one the location is `main`.
pub(in crate::cli) fn place(text: &str) -> Result<Place, Failure> {
    let place = open_place(text)?;
    if place.location.is_empty() {
        return Err(Failure::input("location", format!("must not be empty: {text:?} should be {FORM}")));
    }
    Ok(place)
}

fn open_place(text: &str) -> Result<Place, Failure> {
    let (article, rest) = text.rsplit_once('@').unwrap_or((text, LOCATION_DEFAULT));
    if article.is_empty() {
        return Err(Failure::input("sku", format!("must not be empty: {text:?} should be {FORM}")));
    }
    let (rest, lot) = rest.split_once('/').map_or((rest, None), |(rest, lot)| (rest, Some(lot)));
    let (at, kind) = rest.split_once(':').map_or((rest, None), |(at, kind)| (at, Some(kind)));
    Ok(Place {
        sku: sku(article)?,
        location: if at.is_empty() { String::new() } else { location(at)? },
        kind: kind.map_or(Ok(PoolKind::Now), |kind| pool_kind("kind", kind))?,
        lot: match lot {
            Some("") => return Err(Failure::input("lot", format!("must not be empty: {text:?} should be {FORM}"))),
            Some(lot) => name::<Lot>("lot", lot)?,
            None => String::new(),
        },
    })
}

/// A kind of stock by its name, in letters of either size.
pub(in crate::cli) fn pool_kind(field: &str, text: &str) -> Result<PoolKind, Failure> {
    let kinds = [PoolKind::Now, PoolKind::Incoming, PoolKind::Backorder, PoolKind::Preorder];
    kinds.into_iter().find(|kind| kind_name(*kind).eq_ignore_ascii_case(text)).ok_or_else(|| {
        let names = kinds.map(kind_name).join(", ");
        Failure::input(field, format!("must be one of {names}, not {text:?}"))
    })
}

/// How lines of a reserve or replace are read.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Lines {
    /// No location means that the SKU's policy chooses.
    pub(in crate::cli) anywhere: bool,
    /// What is there may do, so a line may say how much it needs.
    pub(in crate::cli) best_effort: bool,
}

impl Lines {
    /// `PLACE=UNITS` each, or `PLACE=MINIMUM..UNITS`. The last `=` separates.
    pub(in crate::cli) fn read(self, texts: &[String]) -> Result<Vec<Line>, Failure> {
        texts.iter().map(|text| self.line(text)).collect()
    }

    fn line(self, text: &str) -> Result<Line, Failure> {
        let (at, units) = halves(text)?;
        let place = match self.anywhere {
            true if !at.contains('@') => open_place(&format!("{at}@"))?,
            true => open_place(at)?,
            false => place(at)?,
        };
        let (minimum, units) = units.split_once("..").map_or((None, units), |(minimum, units)| (Some(minimum), units));
        let quantity = line_units("quantity", units)?;
        let Place { sku, location, kind, lot } = place;
        let line = Line::new(sku, location, quantity).kind(kind).lot(lot);
        let Some(minimum) = minimum else { return Ok(line) };
        let least = line_units("minimum", minimum)?;
        if !self.best_effort {
            return Err(Failure::input(
                "minimum",
                format!("is for --best-effort; without it all of {text:?} is held or nothing"),
            ));
        }
        if least > quantity {
            return Err(Failure::input("minimum", format!("must not be more than what is asked: {text:?}")));
        }
        Ok(line.minimum(least))
    }
}

/// `PLACE=UNITS` each: some units of a reservation.
pub(in crate::cli) fn parts(texts: &[String]) -> Result<Vec<Part>, Failure> {
    let part = |text: &String| {
        let (at, units) = halves(text)?;
        let Place { sku, location, kind, lot } = place(at)?;
        Ok(Part::new(sku, location, line_units("quantity", units)?).kind(kind).lot(lot))
    };
    texts.iter().map(part).collect()
}

fn halves(text: &str) -> Result<(&str, &str), Failure> {
    let form = || Failure::input("line", format!("must be SKU[@LOCATION[:KIND][/LOT]]=UNITS, not {text:?}"));
    text.rsplit_once('=').ok_or_else(form)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::problem, *};

    fn at(sku: &str, location: &str, kind: PoolKind, lot: &str) -> Place {
        Place { sku: sku.to_owned(), location: location.to_owned(), kind, lot: lot.to_owned() }
    }

    #[test]
    fn the_last_at_separates_the_sku_from_the_rest_of_the_pool() {
        use PoolKind::{Now, Preorder};
        for (text, expected) in [
            ("lamp-01@berlin", at("lamp-01", "berlin", Now, "")),
            ("lamp-01", at("lamp-01", "main", Now, "")),
            ("lamp@2x@berlin", at("lamp@2x", "berlin", Now, "")),
            ("@@berlin", at("@", "berlin", Now, "")),
            ("a:b/c", at("a:b/c", "main", Now, "")),
            ("lamp@berlin:preorder", at("lamp", "berlin", Preorder, "")),
            ("lamp@berlin/lot-7", at("lamp", "berlin", Now, "lot-7")),
            ("a/b@berlin:preorder/lot-7", at("a/b", "berlin", Preorder, "lot-7")),
        ] {
            assert_eq!(place(text).expect(text), expected);
        }
        for (text, field) in [
            ("@berlin", "sku"),
            ("", "sku"),
            ("lamp-01@", "location"),
            ("lamp-01@:preorder", "location"),
            ("lamp@berlin:", "kind"),
            ("lamp@berlin:soon", "kind"),
            ("lamp@berlin/", "lot"),
            ("lamp@berlin/a b", "lot"),
            ("lamp@ber lin", "location"),
        ] {
            assert_eq!(problem(place(text)).0, field, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_a_pool_and_units_and_perhaps_a_minimum() {
        let read = |text: &str, anywhere, best_effort| Lines { anywhere, best_effort }.line(text);
        let plain = |text: &str| read(text, false, false);
        assert_eq!(plain("lamp-01@berlin=3").expect("good"), Line::new("lamp-01", "berlin", 3));
        assert_eq!(plain("lamp-01=1").expect("good"), Line::new("lamp-01", "main", 1));
        assert_eq!(plain("size=40@berlin=2").expect("good"), Line::new("size=40", "berlin", 2));
        assert_eq!(read("tea=1", true, false).expect("good"), Line::anywhere("tea", 1));
        assert_eq!(read("tea@berlin=1", true, false).expect("good"), Line::new("tea", "berlin", 1));
        let preorder = Line::anywhere("tea", 1).kind(PoolKind::Preorder);
        assert_eq!(read("tea@:preorder=1", true, false).expect("good"), preorder);
        assert_eq!(read("tea=1..3", false, true).expect("good"), Line::new("tea", "main", 3).minimum(1));
        for (text, best_effort, field) in [
            ("lamp-01", false, "line"),
            ("lamp-01=", false, "quantity"),
            ("tea=1..3", false, "minimum"),
            ("tea=4..3", true, "minimum"),
            ("tea=..3", true, "minimum"),
            ("tea=1..", true, "quantity"),
        ] {
            assert_eq!(problem(read(text, false, best_effort)).0, field, "{text:?}");
        }
        assert_eq!(problem(parts(&["tea=1..3".to_owned()])).0, "quantity");
    }
}
