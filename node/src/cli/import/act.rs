//! What a row is to do to a pool: read from its cells.

use super::columns::Column;
use super::patch::Cells;
use super::row::{Action, Defaults};
use crate::cli::{Failure, parse};
use earmark_client::PoolKind;
use earmark_ledger::types::{Document, Lot, Reason};

/// What is to become of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) kind: PoolKind,
    pub(super) lot: String,
    pub(super) act: Act,
}

/// What is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Receive {
        quantity: u64,
        document: String,
    },
    /// Without an expected value it is set whatever it was.
    Set {
        on_hand: u64,
        expected: Option<u64>,
        reason: String,
    },
    Adjust {
        delta: i64,
        expected: Option<u64>,
        reason: String,
    },
    Count {
        counted: u64,
        document: String,
        reason: String,
    },
}

/// A cell that the action has no use for is a mistake of one of the two.
pub(super) fn only(action: Action, cells: &mut Cells<'_>) {
    use Column::{Document, ExpectedOnHand, Kind, Lot, Override, Quantity, Reason};
    let useless: &[Column] = match action {
        Action::Receive => &[ExpectedOnHand, Override, Reason],
        Action::Set => &[Document],
        Action::Adjust => &[Document, Override],
        Action::Count => &[ExpectedOnHand, Override],
        Action::Configure => &[Quantity, Kind, Lot, ExpectedOnHand, Override, Document, Reason],
    };
    for column in useless.iter().filter(|column| (cells.cell)(**column).is_some()) {
        cells.problems.push(format!("{}: has no meaning with the action {}", column.name(), action.name()));
    }
}

pub(super) fn stock(action: Action, cells: &mut Cells<'_>, defaults: &Defaults) -> Option<Stock> {
    let kind = match (cells.cell)(Column::Kind) {
        Some(_) => cells.read(Column::Kind, parse::pool_kind),
        None => Some(PoolKind::Now),
    };
    let lot = match (cells.cell)(Column::Lot) {
        Some(_) => cells.read(Column::Lot, parse::name::<Lot>),
        None => Some(String::new()),
    };
    if (cells.cell)(Column::Quantity).is_none() {
        cells.problems.push("quantity: is missing".to_owned());
    }
    let expected = cells.read(Column::ExpectedOnHand, parse::units_or_none);
    let act = match action {
        Action::Receive => {
            let quantity = cells.read(Column::Quantity, parse::pool_units);
            let document = document(cells, defaults);
            quantity.map(|quantity| Act::Receive { quantity, document })
        }
        Action::Set => {
            let on_hand = cells.read(Column::Quantity, parse::units_or_none);
            sure(cells, defaults, expected);
            let reason = reason(cells, defaults, true);
            on_hand.map(|on_hand| Act::Set { on_hand, expected, reason })
        }
        Action::Adjust => {
            // Spreadsheets drop the sign of +5.
            let signed = |name: &str, text: &str| {
                let sign = if text.starts_with(['+', '-']) { "" } else { "+" };
                parse::delta(name, &format!("{sign}{text}"))
            };
            let delta = cells.read(Column::Quantity, signed);
            let reason = reason(cells, defaults, true);
            delta.map(|delta| Act::Adjust { delta, expected, reason })
        }
        Action::Count => {
            let counted = cells.read(Column::Quantity, parse::units_or_none);
            let (document, reason) = (document(cells, defaults), reason(cells, defaults, false));
            counted.map(|counted| Act::Count { counted, document, reason })
        }
        Action::Configure => None,
    };
    Some(Stock { kind: kind?, lot: lot?, act: act? })
}

fn document(cells: &mut Cells<'_>, defaults: &Defaults) -> String {
    cells.read(Column::Document, parse::text::<Document>).unwrap_or_else(|| defaults.document.clone())
}

fn reason(cells: &mut Cells<'_>, defaults: &Defaults, needed: bool) -> String {
    if (cells.cell)(Column::Reason).is_some() {
        return cells.read(Column::Reason, parse::text::<Reason>).unwrap_or_default();
    }
    if needed && defaults.reason.is_empty() {
        cells.problems.push("reason: is missing, here and as --reason".to_owned());
    }
    defaults.reason.clone()
}

/// Who sets on hand knows what it was, or says that it does not matter.
fn sure(cells: &mut Cells<'_>, defaults: &Defaults, expected: Option<u64>) {
    let named = (cells.cell)(Column::ExpectedOnHand).is_some();
    let overriding = cells.read(Column::Override, |name, text| match text.to_lowercase().as_str() {
        "yes" | "true" | "1" | "x" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(Failure::input(name, format!("must be yes or no, not {text:?}"))),
    });
    if expected.is_some() && overriding == Some(true) {
        cells.problems.push("override: can't be yes where expected_on_hand is given".to_owned());
    }
    if !named && !overriding.unwrap_or(defaults.overriding) {
        cells.problems.push("expected_on_hand: is required unless override is yes".to_owned());
    }
}
