//! The columns of the file: which there are, and where each stands.
//!
//! Names are those of the command line's options. Case, and whether words are separated by `_`, `-` or a space, do not
//! count, and their order is free. A name nobody knows is an error, because a mistyped column would else be left out in
//! silence.

use crate::cli::Failure;
use csv::ByteRecord;

macro_rules! columns {
    ($($column:ident = $name:literal,)+) => {
        /// A column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column { $($column,)+ }

        impl Column {
            /// Every column there is.
            pub(super) const ALL: [Self; [$($name),+].len()] = [$(Self::$column),+];

            /// What the header calls it.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$column => $name,)+ }
            }
        }
    };
}

columns! {
    Action = "action",
    Sku = "sku",
    Location = "location",
    Kind = "kind",
    Lot = "lot",
    Quantity = "quantity",
    ExpectedOnHand = "expected_on_hand",
    Override = "override",
    Document = "document",
    Reason = "reason",
    Deduct = "deduct",
    SafetyStock = "safety_stock",
    HoldTime = "hold_time",
    UnitsPerOwner = "units_per_owner",
    UnitsWindow = "units_window",
    HoldsPerOwner = "holds_per_owner",
    Frozen = "frozen",
    Opens = "opens",
    Closes = "closes",
    CancelWindow = "cancel_window",
    ReturnWindow = "return_window",
    Allocation = "allocation",
    Places = "places",
}

/// Where each column stands.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// By [`Column`].
    places: [Option<usize>; Column::ALL.len()],
    /// By place; none where the header has no name.
    names: Vec<Option<Column>>,
}

impl Columns {
    /// Reads the header of the file of that name.
    ///
    /// # Errors
    /// Unknown names, a name that stands twice, no SKU.
    pub(super) fn read(header: &ByteRecord, file: &str) -> Result<Self, Failure> {
        let mut places = [None; Column::ALL.len()];
        let mut names = Vec::new();
        let mut unknown = Vec::new();
        for (place, cell) in header.iter().enumerate() {
            let told = String::from_utf8_lossy(cell);
            let name = plain(&told);
            let column = Column::ALL.into_iter().find(|column| column.name() == name);
            names.push(column);
            match column {
                Some(column) if places[column as usize].is_some() => {
                    return Err(Failure::input(file, format!("has the column {name} twice")));
                }
                Some(column) => places[column as usize] = Some(place),
                None if name.is_empty() => {}
                None => unknown.push(format!("{:?}", told.trim())),
            }
        }
        if !unknown.is_empty() {
            let known = Column::ALL.map(Column::name).join(", ");
            return Err(Failure::input(
                file,
                format!("has unknown columns: {}; known are {known}", unknown.join(", ")),
            ));
        }
        if places[Column::Sku as usize].is_none() {
            return Err(Failure::input(file, "has no column sku"));
        }
        Ok(Self { places, names })
    }

    /// A cell; none if it is empty or missing.
    ///
    /// # Errors
    /// It is no text.
    pub(super) fn cell<'a>(&self, record: &'a ByteRecord, column: Column) -> Result<Option<&'a str>, String> {
        let Some(bytes) = self.places[column as usize].and_then(|place| record.get(place)) else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Err(_) => Err(format!("{}: is not UTF-8; save the file as CSV UTF-8", column.name())),
        }
    }

    /// What stands where the header has no name, if anything does.
    pub(super) fn stray<'a>(&self, record: &'a ByteRecord) -> Option<&'a [u8]> {
        let nameless = |place: usize| self.names.get(place).is_none_or(Option::is_none);
        record.iter().enumerate().find(|(place, cell)| nameless(*place) && !blank(cell)).map(|(_, cell)| cell)
    }
}

/// Nothing but white space.
pub(super) fn blank(cell: &[u8]) -> bool {
    cell.iter().all(u8::is_ascii_whitespace)
}

/// Spreadsheets put a byte order mark before the first name.
fn plain(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &[&str]) -> Result<Columns, String> {
        Columns::read(&ByteRecord::from(header), "stock.csv").map_err(|failure| match failure {
            Failure::Input(_) => failure.message(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn order_case_and_separators_are_free() {
        let columns = read(&["\u{feff}Quantity", "SKU", "Safety Stock", "expected-on-hand", ""]).expect("good");
        let row = ByteRecord::from(vec!["5", " tea ", "", "7", ""]);
        assert_eq!(columns.cell(&row, Column::Sku), Ok(Some("tea")));
        assert_eq!(columns.cell(&row, Column::Quantity), Ok(Some("5")));
        assert_eq!(columns.cell(&row, Column::SafetyStock), Ok(None));
        assert_eq!(columns.cell(&row, Column::ExpectedOnHand), Ok(Some("7")));
        assert_eq!(columns.cell(&row, Column::Location), Ok(None), "there is none");
        assert_eq!(columns.stray(&row), None);
    }

    #[test]
    fn a_bad_header_is_told_by_its_names() {
        let told = read(&["sku", "qty", "color"]).expect_err("unknown");
        assert!(told.contains(r#""qty", "color""#) && told.contains("quantity"), "{told}");
        assert!(read(&["sku", "lot", "Lot"]).expect_err("twice").contains("lot twice"));
        assert!(read(&["location"]).expect_err("missing").contains("no column sku"));
    }

    #[test]
    fn short_rows_are_padded_and_long_ones_noticed() {
        let columns = read(&["sku", "", "quantity"]).expect("good");
        let short = ByteRecord::from(vec!["tea"]);
        assert_eq!((columns.cell(&short, Column::Quantity), columns.stray(&short)), (Ok(None), None));
        assert_eq!(columns.stray(&ByteRecord::from(vec!["tea", "x", "5"])), Some(&b"x"[..]));
        assert_eq!(columns.stray(&ByteRecord::from(vec!["tea", "", "5", "", "y"])), Some(&b"y"[..]));
        assert!(columns.cell(&ByteRecord::from(vec![&b"t\xe4"[..]]), Column::Sku).is_err());
    }
}
