//! Pools and lines: `SKU[@LOCATION[:KIND][/LOT]]`, and units of them.

use super::{All, Failure, each, line_units, location, name, sku};
use crate::cli::views::kind_name;
use earmark_client::{Line, Part, PoolKind};
use earmark_ledger::{limits::LINES_MAX, types::Lot};
use std::fmt;

/// Where units are when no location is named.
pub(in crate::cli) const LOCATION_DEFAULT: &str = "main";

/// How a pool is written.
const FORM: &str = "SKU, SKU@LOCATION, or SKU@LOCATION:KIND/LOT";

/// A pool by what its name on the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(in crate::cli) sku: String,
    /// Empty only where a policy may choose.
    pub(in crate::cli) location: String,
    pub(in crate::cli) kind: PoolKind,
    pub(in crate::cli) lot: String,
}

/// Reads a place. The last `@` separates, so a SKU may contain others; without one the location is `main`.
pub(in crate::cli) fn place(text: &str) -> Result<Place, Failure> {
    place_or_any(text, false)
}

fn place_or_any(text: &str, anywhere: bool) -> Result<Place, Failure> {
    let empty = |field| Failure::input(field, format!("must not be empty: {text:?} should be {FORM}"));
    let (article, rest) = match text.rsplit_once('@') {
        Some(parts) => parts,
        None => (text, if anywhere { "" } else { LOCATION_DEFAULT }),
    };
    let (rest, lot) = rest.split_once('/').map_or((rest, None), |(rest, lot)| (rest, Some(lot)));
    let (at, kind) = rest.split_once(':').map_or((rest, None), |(at, kind)| (at, Some(kind)));
    let sku = if article.is_empty() { Err(empty("sku")) } else { sku(article) };
    let location = match at {
        "" if anywhere => Ok(String::new()),
        "" => Err(empty("location")),
        at => location(at),
    };
    let kind = kind.map_or(Ok(PoolKind::Now), |kind| pool_kind("kind", kind));
    let lot = match lot {
        Some("") => Err(empty("lot")),
        Some(lot) => name::<Lot>("lot", lot),
        None => Ok(String::new()),
    };
    let (sku, location, kind, lot) = (sku, location, kind, lot).all()?;
    Ok(Place { sku, location, kind, lot })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sku)?;
        if !self.location.is_empty() {
            write!(f, "@{}", self.location)?;
        }
        if self.kind != PoolKind::Now {
            write!(f, ":{}", kind_name(self.kind))?;
        }
        if !self.lot.is_empty() {
            write!(f, "/{}", self.lot)?;
        }
        Ok(())
    }
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
    pub(in crate::cli) fn read(self, texts: &[String]) -> Result<Cart, Failure> {
        let read =
            each(texts, |index, text| self.line(text).map_err(|bad| bad.within(&format!("lines[{index}]"), text)));
        let few = match texts.len() {
            1..=LINES_MAX => Ok(()),
            many => Err(Failure::input("lines", format!("must be 1 to {LINES_MAX}, not {many}"))),
        };
        let (read, ()) = (read, few).all()?;
        let (places, lines) = read.into_iter().unzip();
        Ok(Cart { lines, places })
    }

    fn line(self, text: &str) -> Result<(Place, Line), Failure> {
        let (at, units) = halves(text)?;
        let (minimum, units) = units.split_once("..").map_or((None, units), |(minimum, units)| (Some(minimum), units));
        let quantity = line_units("quantity", units);
        let minimum = minimum.map(|text| self.minimum(text, quantity.as_ref().ok())).transpose();
        let (place, quantity, minimum) = (place_or_any(at, self.anywhere), quantity, minimum).all()?;
        let line = Line::new(&*place.sku, &*place.location, quantity).kind(place.kind).lot(&*place.lot);
        Ok((place, line.minimum(minimum.unwrap_or(0))))
    }

    /// Of so many units, if that could be read.
    fn minimum(self, text: &str, quantity: Option<&u64>) -> Result<u64, Failure> {
        let least = line_units("minimum", text)?;
        if !self.best_effort {
            return Err(Failure::input("minimum", "is for --best-effort; without it all is held or nothing"));
        }
        if quantity.is_some_and(|quantity| least > *quantity) {
            return Err(Failure::input("minimum", "must not be more than what is asked"));
        }
        Ok(least)
    }
}

/// The lines of a reserve or replace, and what they name, for telling of them.
#[derive(Debug)]
pub(in crate::cli) struct Cart {
    pub(in crate::cli) lines: Vec<Line>,
    pub(in crate::cli) places: Vec<Place>,
}

/// `PLACE=UNITS` each: some units of a reservation.
pub(in crate::cli) fn parts(texts: &[String]) -> Result<Vec<Part>, Failure> {
    let part = |text: &str| {
        let (at, units) = halves(text)?;
        let (Place { sku, location, kind, lot }, quantity) = (place(at), line_units("quantity", units)).all()?;
        Ok(Part::new(sku, location, quantity).kind(kind).lot(lot))
    };
    each(texts, |index, text| part(text).map_err(|bad: Failure| bad.within(&format!("parts[{index}]"), text)))
}

fn halves(text: &str) -> Result<(&str, &str), Failure> {
    let form = || Failure::input("", "must be SKU[@LOCATION[:KIND][/LOT]]=UNITS");
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
        let read = |text: &str, anywhere, best_effort| Lines { anywhere, best_effort }.line(text).map(|(_, line)| line);
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
            ("lamp-01", false, ""),
            ("lamp-01=", false, "quantity"),
            ("tea=1..3", false, "minimum"),
            ("tea=4..3", true, "minimum"),
            ("tea=..3", true, "minimum"),
            ("tea=1..", true, "quantity"),
        ] {
            assert_eq!(problem(read(text, false, best_effort)).0, field, "{text:?}");
        }
        assert_eq!(problem(parts(&["tea=1..3".to_owned()])).0, "parts[0].quantity");
    }

    #[test]
    fn every_bad_line_is_told_with_its_place() {
        let lines = ["tea=0", "milk=1", "cup@b d:soon=1..x", "lamp"].map(str::to_owned);
        let bad = Lines { anywhere: false, best_effort: true }.read(&lines).expect_err("bad lines");
        let Failure::Input(fields) = bad else { panic!("{bad:?}") };
        let told: Vec<&str> = fields.iter().map(|bad| bad.field.as_str()).collect();
        let cup = ["lines[2].location", "lines[2].kind", "lines[2].quantity"];
        assert_eq!(told, [&["lines[0].quantity"], &cup[..], &["lines[3]"]].concat());
        assert!(fields[0].problem.ends_with("not \"0\" (in \"tea=0\")"), "{fields:?}");
    }

    #[test]
    fn a_pool_is_told_as_it_is_written() {
        for text in ["tea@main", "lamp@2x@berlin:preorder/lot-7", "lamp@berlin/lot-7"] {
            assert_eq!(place(text).expect(text).to_string(), text);
        }
        assert_eq!(place_or_any("tea", true).expect("good").to_string(), "tea");
    }
}
