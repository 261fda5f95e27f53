//! A row of the file: what it asks for, or what is wrong with it. Judged without a cluster; every bad cell is told.

use super::act::{Stock, only, stock};
use super::columns::{Column, Columns, blank};
use super::patch::{Cells, Patch};
use crate::cli::{Failure, parse};
use clap::ValueEnum;
use csv::ByteRecord;
use earmark_ledger::types::{Document, Reason};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Adds units that arrived; makes the SKU and the pool if they are new.
    Receive,
    /// Sets on hand to a value.
    Set,
    /// Changes on hand by a number of units.
    Adjust,
    /// Tells what was counted just now.
    Count,
    /// Changes settings of the SKU only.
    Configure,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Set => "set",
            Self::Adjust => "adjust",
            Self::Count => "count",
            Self::Configure => "configure",
        }
    }
}

/// What rows mean where a cell is empty. Part of an import's identity: with others, the rows would be others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Defaults {
    pub(super) action: Option<Action>,
    pub(super) location: String,
    pub(super) document: String,
    pub(super) reason: String,
    pub(super) overriding: bool,
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Among the rows of the file, from 1.
    pub(super) number: u64,
    /// Where it begins in the file, the header being line 1.
    pub(super) line: u64,
    /// Hash of its cells as they stand.
    pub(super) content: u128,
    /// As far as it could be read.
    pub(super) action: Option<Action>,
    pub(super) sku: String,
    pub(super) location: String,
    /// What it asks for, or every problem it has.
    pub(super) task: Result<Task, String>,
}

/// What a good row asks for: stock, settings, or both.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) stock: Option<Stock>,
    pub(super) settings: Option<Patch>,
}

/// Whether nothing stands in a row. Spreadsheets leave such rows at the end; they are none.
pub(super) fn is_blank(record: &ByteRecord) -> bool {
    record.iter().all(blank)
}

impl Row {
    /// Reads a record, whose number and line are given.
    pub(super) fn read(
        (number, line): (u64, u64),
        content: u128,
        record: &ByteRecord,
        columns: &Columns,
        defaults: &Defaults,
    ) -> Self {
        let mut problems = Vec::new();
        let texts = |column| columns.cell(record, column);
        // What is no text counts as empty here, and is a problem once.
        for column in Column::ALL {
            problems.extend(texts(column).err());
        }
        if let Some(stray) = columns.stray(record) {
            problems.push(format!("{:?} stands in no named column", String::from_utf8_lossy(stray).trim()));
        }
        let cell = |column| texts(column).unwrap_or(None);
        let mut cells = Cells { cell: &cell, problems: &mut problems };
        let sku = match cell(Column::Sku) {
            Some(_) => cells.read(Column::Sku, |_, text| parse::sku(text)),
            None => {
                cells.problems.push("sku: is missing".to_owned());
                None
            }
        };
        let location = match cell(Column::Location) {
            Some(_) => cells.read(Column::Location, |_, text| parse::location(text)),
            None => Some(defaults.location.clone()),
        };
        let settings = Some(Patch::read(&mut cells)).filter(|patch| !patch.is_empty());
        let action = action(&mut cells, defaults, settings.is_some());
        let task = task(action, &mut cells, defaults, settings);
        let shown = |read: Option<String>, column| {
            // What is not good enough to be sent is shown as far as it can be.
            read.or_else(|| cell(column).map(|text| text.chars().take(64).collect())).unwrap_or_default()
        };
        Self {
            number,
            line,
            content,
            action,
            sku: shown(sku, Column::Sku),
            location: shown(location, Column::Location),
            task: if problems.is_empty() { Ok(task) } else { Err(together(&problems)) },
        }
    }
}

/// A row without an action of its own receives, unless it has settings and no quantity.
fn action(cells: &mut Cells<'_>, defaults: &Defaults, settings: bool) -> Option<Action> {
    if (cells.cell)(Column::Action).is_some() {
        return cells.read(Column::Action, |name, text| {
            Action::from_str(text, true).map_err(|_| {
                let known = "receive, set, adjust, count or configure";
                Failure::input(name, format!("must be {known}, not {text:?}"))
            })
        });
    }
    let quantity = (cells.cell)(Column::Quantity).is_some();
    Some(defaults.action.unwrap_or(if settings && !quantity { Action::Configure } else { Action::Receive }))
}

fn task(action: Option<Action>, cells: &mut Cells<'_>, defaults: &Defaults, settings: Option<Patch>) -> Task {
    let Some(action) = action else { return Task { stock: None, settings } };
    only(action, cells);
    let stock = match action {
        Action::Configure => {
            if settings.is_none() {
                cells.problems.push("names no setting".to_owned());
            }
            None
        }
        _ => stock(action, cells, defaults),
    };
    Task { stock, settings }
}

/// Bounded: a row of bad cells must not become a page of text.
fn together(problems: &[String]) -> String {
    const TOLD_MAX: usize = 8;
    let mut text = problems.iter().take(TOLD_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
    if problems.len() > TOLD_MAX {
        let _ = write!(text, "; and {} more", problems.len() - TOLD_MAX);
    }
    text.chars().take(1_000).collect()
}

impl Defaults {
    /// Checks what was given as options.
    pub(super) fn check(&self) -> Result<(), Failure> {
        parse::location(&self.location)?;
        parse::text::<Document>("document", &self.document)?;
        parse::text::<Reason>("reason", &self.reason)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::act::Act;
    use super::*;
    use earmark_client::PoolKind;

    fn defaults() -> Defaults {
        Defaults {
            action: None,
            location: "main".to_owned(),
            document: String::new(),
            reason: String::new(),
            overriding: false,
        }
    }

    fn read_with(defaults: &Defaults, header: &str, row: &str) -> Row {
        let record = |text: &str| ByteRecord::from(text.split(',').collect::<Vec<_>>());
        let Ok(columns) = Columns::read(&record(header), "x.csv") else { panic!("a good header") };
        Row::read((1, 2), 0, &record(row), &columns, defaults)
    }

    fn read(header: &str, row: &str) -> Row {
        read_with(&defaults(), header, row)
    }

    fn act(header: &str, row: &str) -> Act {
        read(header, row).task.expect("a good row").stock.expect("stock").act
    }

    #[test]
    fn a_quantity_is_received_and_settings_alone_configure() {
        let row = read("sku,quantity,safety_stock", "tea,5,2");
        assert_eq!((row.sku.as_str(), row.location.as_str(), row.action), ("tea", "main", Some(Action::Receive)));
        let task = row.task.expect("good");
        assert_eq!(task.stock.expect("stock").act, Act::Receive { quantity: 5, document: String::new() });
        assert!(task.settings.is_some());
        let row = read("sku,quantity,safety_stock", "tea,,2");
        assert_eq!(row.action, Some(Action::Configure));
        assert!(row.task.expect("good").stock.is_none());
    }

    #[test]
    fn each_action_reads_its_cells() {
        let header = "action,sku,location,kind,lot,quantity,expected_on_hand,override,document,reason";
        assert_eq!(
            act(header, "set,tea,berlin,,,5,7,,,year end"),
            Act::Set { on_hand: 5, expected: Some(7), reason: "year end".to_owned() }
        );
        assert_eq!(
            act(header, "SET,tea,berlin,,,0,,yes,,year end"),
            Act::Set { on_hand: 0, expected: None, reason: "year end".to_owned() }
        );
        assert_eq!(
            act(header, "adjust,tea,,,,-5,,,,broken"),
            Act::Adjust { delta: -5, expected: None, reason: "broken".to_owned() }
        );
        assert_eq!(
            act(header, "adjust,tea,,,,5,9,,,found"),
            Act::Adjust { delta: 5, expected: Some(9), reason: "found".to_owned() }
        );
        assert_eq!(
            act(header, "count,tea,,,,5,,,list 4,"),
            Act::Count { counted: 5, document: "list 4".to_owned(), reason: String::new() }
        );
        let row = read(header, "receive,tea,,Preorder,L-1,5,,,note 4,");
        let stock = row.task.expect("good").stock.expect("stock");
        assert_eq!((stock.kind, stock.lot.as_str()), (PoolKind::Preorder, "L-1"));
    }

    #[test]
    fn options_stand_in_for_empty_cells() {
        let defaults = Defaults {
            action: Some(Action::Set),
            location: "berlin".to_owned(),
            reason: "first load".to_owned(),
            overriding: true,
            ..defaults()
        };
        let row = read_with(&defaults, "sku,quantity", "tea,5");
        assert_eq!(row.location, "berlin");
        let expected = Act::Set { on_hand: 5, expected: None, reason: "first load".to_owned() };
        assert_eq!(row.task.expect("good").stock.expect("stock").act, expected);
        let row = read_with(&defaults, "sku,quantity,override", "tea,5,no");
        assert!(row.task.expect_err("it says no").contains("expected_on_hand"));
    }

    #[test]
    fn every_problem_of_a_row_is_told() {
        for (row, fields) in [
            (",,,,,,,,,r", "sku|quantity: is missing|reason: has no meaning"),
            ("set,tea,,,,5,,,,", "reason|expected_on_hand"),
            ("set,tea,,,,5,5,yes,,r", "override"),
            ("receive,tea,ma/in,later,a b,0,,,,", "location|kind|lot|quantity"),
            ("receive,tea,,,,1.5,3,,,r", "expected_on_hand|reason|quantity"),
            ("receive,tea,,,,,,,,", "quantity: is missing"),
            ("order,tea,,,,5,,,,", "action"),
            ("configure,tea,,,,5,,,,", "quantity: has no meaning|names no setting"),
            ("adjust,tea,,,,0,,,,r", "quantity"),
            ("count,tea,,,,x,,yes,,", "override|quantity"),
        ] {
            let header = "action,sku,location,kind,lot,quantity,expected_on_hand,override,document,reason";
            let told = read(header, row).task.expect_err(row);
            for field in fields.split('|') {
                assert!(told.contains(field), "{row}: {told} does not tell {field}");
            }
        }
        let told = read("sku,quantity", "tea,5,6").task.expect_err("one cell too many");
        assert!(told.contains("\"6\" stands in no named column"), "{told}");
        let row = read("sku,quantity", &format!("{},5", "x".repeat(70)));
        assert_eq!(row.sku.len(), 64, "shown in part");
        assert!(row.task.expect_err("too long").contains("70 bytes"));
    }
}
