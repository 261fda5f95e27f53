//! The file of orders, read whole: usable lines in the order they are played, and the pools they touch.
//!
//! A row that can't be used is noted with its line number and left out; the rest of its basket is the order. A file that
//! lacks a column, or can't be read, is bad input.

use super::factor::Factor;
use crate::cli::Failure;
use csv::{ByteRecord, ReaderBuilder, Trim};
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// The columns, in the order a row is looked at.
const COLUMNS: [&str; 6] = ["transaction_timestamp", "basket_id", "household_id", "store_id", "product_id", "quantity"];

/// The most units one line may ask for.
const LINE_UNITS_MAX: u64 = 1_000_000_000;

/// Bytes read ahead. The files are long and read once.
const READ_AHEAD: usize = 1 << 18;

/// One usable line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Line number in the file, the header being 1.
    pub(super) number: u64,
    /// Index into the pools.
    pub(super) pool: usize,
    /// Index into the owners.
    pub(super) owner: usize,
    /// Units asked for.
    pub(super) units: u64,
}

/// A SKU at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Index into the SKUs.
    pub(super) sku: usize,
    pub(super) location: String,
    /// Units all lines together ask for.
    pub(super) asked: u64,
}

/// Everything usable of a file.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// As they are played: order by order, by the first row of each.
    pub(super) lines: Vec<Line>,
    /// For each order where its lines begin among them.
    pub(super) starts: Vec<usize>,
    pub(super) pools: Vec<Pool>,
    pub(super) skus: Vec<String>,
    pub(super) owners: Vec<String>,
    /// Baskets with at least one usable line.
    pub(super) orders: usize,
    /// Rows left out.
    pub(super) invalid: u64,
}

impl Orders {
    /// Units to receive, by pool.
    pub(super) fn receipts(&self, factor: Factor) -> Vec<u64> {
        self.pools.iter().map(|pool| factor.times(pool.asked)).collect()
    }

    /// The lines of an order.
    pub(super) fn order(&self, order: usize) -> Range<usize> {
        self.starts[order]..self.starts.get(order + 1).copied().unwrap_or(self.lines.len())
    }

    /// Units of all lines.
    pub(super) fn units_asked(&self) -> u64 {
        self.lines.iter().map(|line| line.units).sum()
    }
}

/// Called with the line number and the reason of each row that is left out.
pub(super) type Note<'a> = &'a mut dyn FnMut(u64, &str) -> Result<(), Failure>;

/// Reads a file, gzipped or not.
pub(super) fn read(path: &Path, fold: Option<u64>, note: Note<'_>) -> Result<Orders, Failure> {
    let problem = |error: std::io::Error| Failure::input(path.display().to_string(), format!("can't be read: {error}"));
    let mut file = BufReader::with_capacity(READ_AHEAD, File::open(path).map_err(problem)?);
    // By its first bytes, not its name: a name may lie.
    let gzipped = file.fill_buf().map_err(problem)?.starts_with(&[0x1f, 0x8b]);
    let text: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    read_from(text, &path.display().to_string(), fold, note)
}

fn read_from(text: impl Read, name: &str, fold: Option<u64>, note: Note<'_>) -> Result<Orders, Failure> {
    let problem = |error: csv::Error| Failure::input(name, format!("can't be read: {error}"));
    let mut rows = ReaderBuilder::new().flexible(true).trim(Trim::All).buffer_capacity(READ_AHEAD).from_reader(text);
    let columns = columns(rows.byte_headers().map_err(problem)?, name)?;
    let mut gathering = Gathering { fold, ..Gathering::default() };
    let mut row = ByteRecord::new();
    while rows.read_byte_record(&mut row).map_err(problem)? {
        let number = row.position().map_or(0, csv::Position::line);
        match Row::read(&row, &columns) {
            Ok(row) => gathering.take(number, &row),
            Err(reason) => {
                gathering.orders.invalid += 1;
                note(number, &reason)?;
            }
        }
    }
    Ok(gathering.finish())
}

/// Where each of [`COLUMNS`] stands.
fn columns(header: &ByteRecord, name: &str) -> Result<[usize; 6], Failure> {
    let names: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let mut places = [0; 6];
    let mut missing = Vec::new();
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        // Spreadsheets put a byte order mark before the first name.
        match names.iter().position(|name| name.trim_start_matches('\u{feff}') == column) {
            Some(found) => *place = found,
            None => missing.push(column),
        }
    }
    if missing.is_empty() {
        return Ok(places);
    }
    Err(Failure::input(name, format!("has no column {}; its columns are: {}", missing.join(", "), names.join(", "))))
}

/// One usable row.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    basket: &'a str,
    household: &'a str,
    store: &'a str,
    product: &'a str,
    product_number: u64,
    units: u64,
}

impl<'a> Row<'a> {
    fn read(row: &'a ByteRecord, columns: &[usize; 6]) -> Result<Self, String> {
        let field = |index: usize| {
            let bytes = row.get(columns[index]).filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| format!("{} is missing", COLUMNS[index]))
        };
        let number = |index: usize| -> Result<(&'a str, u64), String> {
            let bytes = field(index)?;
            let refuse = |what| format!("{} {what}: {:?}", COLUMNS[index], String::from_utf8_lossy(bytes));
            let text = std::str::from_utf8(bytes).map_err(|_| refuse("is not a number"))?;
            if !bytes.iter().all(u8::is_ascii_digit) {
                return Err(refuse("is not a whole number"));
            }
            Ok((text, text.parse().map_err(|_| refuse("is too large"))?))
        };
        field(0)?;
        let (basket, _) = number(1)?;
        let (household, _) = number(2)?;
        let (store, _) = number(3)?;
        let (product, product_number) = number(4)?;
        let (_, units) = number(5)?;
        if units == 0 {
            return Err("quantity is 0".to_owned());
        }
        if units > LINE_UNITS_MAX {
            return Err(format!("quantity is above {LINE_UNITS_MAX}: {units}"));
        }
        Ok(Self { basket, household, store, product, product_number, units })
    }
}

/// Gives equal texts the same number.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len();
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Gathering {
    fold: Option<u64>,
    baskets: Names,
    skus: Names,
    locations: Names,
    owners: Names,
    pools: HashMap<(usize, usize), usize>,
    /// The basket of each line.
    line_baskets: Vec<usize>,
    orders: Orders,
}

impl Gathering {
    fn take(&mut self, number: u64, row: &Row<'_>) {
        let (sku, location) = match self.fold {
            Some(n) => (self.skus.number(&format!("fold-{}", row.product_number % n)), self.locations.number("all")),
            None => (self.skus.number(row.product), self.locations.number(row.store)),
        };
        let pools = &mut self.orders.pools;
        let pool = *self.pools.entry((sku, location)).or_insert_with(|| {
            pools.push(Pool { sku, location: self.locations.names[location].clone(), asked: 0 });
            pools.len() - 1
        });
        pools[pool].asked += row.units;
        self.line_baskets.push(self.baskets.number(row.basket));
        self.orders.lines.push(Line { number, pool, owner: self.owners.number(row.household), units: row.units });
    }

    /// Brings the lines of a basket together, at the place of its first: baskets are numbered as they came.
    fn finish(mut self) -> Orders {
        let mut lines: Vec<(usize, Line)> = self.line_baskets.into_iter().zip(self.orders.lines).collect();
        lines.sort_by_key(|(basket, _)| *basket);
        let first = |at: &usize| *at == 0 || lines[at - 1].0 != lines[*at].0;
        self.orders.starts = (0..lines.len()).filter(first).collect();
        self.orders.lines = lines.into_iter().map(|(_, line)| line).collect();
        self.orders.skus = self.skus.names;
        self.orders.owners = self.owners.names;
        self.orders.orders = self.baskets.names.len();
        self.orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const HEADER: &str = "transaction_timestamp,basket_id,household_id,store_id,product_id,quantity";

    fn read_text(text: &str, fold: Option<u64>) -> (Result<Orders, Failure>, Vec<(u64, String)>) {
        let mut rejects = Vec::new();
        let orders = read_from(text.as_bytes(), "orders.csv", fold, &mut |line, reason| {
            rejects.push((line, reason.to_owned()));
            Ok(())
        });
        (orders, rejects)
    }

    fn good(rows: &[&str], fold: Option<u64>) -> Orders {
        let (orders, rejects) = read_text(&format!("{HEADER}\n{}\n", rows.join("\n")), fold);
        assert_eq!(rejects, []);
        orders.expect("a good file")
    }

    #[test]
    fn an_order_is_played_whole_at_the_place_of_its_first_row() {
        let orders = good(&["t,1,7,10,100,2", "t,2,8,10,100,3", "t,1,7,11,101,4"], None);
        let played: Vec<(u64, u64)> = orders.lines.iter().map(|line| (line.number, line.units)).collect();
        assert_eq!(played, [(2, 2), (4, 4), (3, 3)]);
        assert_eq!((orders.orders, orders.units_asked()), (2, 9));
        assert_eq!((orders.order(0), orders.order(1)), (0..2, 2..3));
        let first = &orders.pools[orders.lines[0].pool];
        assert_eq!((orders.skus[first.sku].as_str(), first.location.as_str(), first.asked), ("100", "10", 5));
        assert_eq!(orders.owners[orders.lines[2].owner], "8");
    }

    #[test]
    fn folded_skus_meet_at_one_location() {
        let orders = good(&["t,1,7,10,100,2", "t,2,8,11,103,3", "t,3,8,12,101,1"], Some(3));
        let pools: Vec<(&str, &str, u64)> = orders
            .pools
            .iter()
            .map(|pool| (orders.skus[pool.sku].as_str(), pool.location.as_str(), pool.asked))
            .collect();
        assert_eq!(pools, [("fold-1", "all", 5), ("fold-2", "all", 1)]);
    }

    #[test]
    fn rows_that_cannot_be_used_stop_nothing() {
        let rows = [
            "t,1,7,10,100,0",
            "t,1,7,10,100,-2",
            "t,1,7,10,100,1.5",
            "t,1,7,10,100,",
            "t,1,7,10,,1",
            "t,1,7,10,abc,1",
            "t,1,7",
            ",1,7,10,100,1",
            "t,1,7,10,100,1000000001",
            "t,1,7,10,100,99999999999999999999",
            "t,2,7,10,100,5,superfluous",
            "t,3,7,10,100,0",
        ];
        let (orders, rejects) = read_text(&format!("{HEADER}\n{}\n", rows.join("\n")), None);
        let orders = orders.expect("bad rows are no bad file");
        assert_eq!((orders.invalid, orders.lines.len(), orders.orders), (11, 1, 1));
        let expected = [
            (2, "quantity is 0"),
            (3, "quantity is not a whole number: \"-2\""),
            (4, "quantity is not a whole number: \"1.5\""),
            (5, "quantity is missing"),
            (6, "product_id is missing"),
            (7, "product_id is not a whole number: \"abc\""),
            (8, "store_id is missing"),
            (9, "transaction_timestamp is missing"),
            (10, "quantity is above 1000000000: 1000000001"),
            (11, "quantity is too large: \"99999999999999999999\""),
            (13, "quantity is 0"),
        ];
        assert_eq!(rejects, expected.map(|(line, reason)| (line, reason.to_owned())));
    }

    #[test]
    fn the_rest_of_a_basket_with_a_bad_row_is_the_order() {
        let (orders, _) = read_text(&format!("{HEADER}\nt,1,7,10,100,0\nt,2,7,10,100,1\nt,1,7,10,101,2\n"), None);
        let orders = orders.expect("a good file");
        assert_eq!(orders.orders, 2);
        // The bad row was the first of its basket; the first usable one gives the place.
        assert_eq!(orders.lines.iter().map(|line| line.number).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let (orders, _) = read_text(
            "quantity,product_id,store_id,household_id,basket_id,transaction_timestamp\n4,100,10,7,1,t\n",
            None,
        );
        assert_eq!(orders.expect("a good file").units_asked(), 4);
        let (orders, _) = read_text(&format!("\u{feff}{HEADER}\r\nt, 1 ,7,10,100,4\r\n"), None);
        assert_eq!(orders.expect("a spreadsheet's file").units_asked(), 4);
    }

    #[test]
    fn a_missing_column_is_told_at_once() {
        for (text, missing) in [
            ("transaction_timestamp,basket_id,household_id,store_id,product_id\nt,1,2,3,4\n", "quantity"),
            ("", "transaction_timestamp, basket_id"),
        ] {
            let (orders, rejects) = read_text(text, None);
            let Err(failure) = orders else { panic!("bad input") };
            let told = failure.only();
            assert_eq!(told.field, "orders.csv");
            assert!(told.problem.starts_with(&format!("has no column {missing}")), "{told:?}");
            assert_eq!(rejects, []);
        }
    }

    #[test]
    fn a_gzipped_file_is_known_by_its_bytes() {
        let path = std::env::temp_dir().join(format!("earmark-orders-{}.csv", std::process::id()));
        let mut file = flate2::write::GzEncoder::new(File::create(&path).expect("a file"), flate2::Compression::fast());
        write!(file, "{HEADER}\nt,1,7,10,100,4\n").expect("written");
        file.finish().expect("written");
        let orders = read(&path, None, &mut |_, _| Ok(()));
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(orders.expect("a good file").units_asked(), 4);
    }

    #[test]
    fn a_file_that_is_not_there_is_bad_input() {
        let orders = read(Path::new("/nowhere/orders.csv"), None, &mut |_, _| Ok(()));
        let Err(failure) = orders else { panic!("bad input") };
        assert_eq!(failure.only().field, "/nowhere/orders.csv");
    }
}
