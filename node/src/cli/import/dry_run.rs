//! A dry run: the whole file is read and checked, what it names is looked up, and each row is told what would become of it.
//! Nothing is changed, in the cluster or in a progress file.
//!
//! Each row is judged for itself, by the stock and the settings as they are now: rows before it in the file are not
//! counted. What only the ledger can judge in the moment is not foreseen.

use super::act::{Act, Stock};
use super::ask::{Patience, Told, settle};
use super::carry::{read_of, verdict_of};
use super::row::Row;
use super::source::Block;
use super::verdict::{End, Verdict};
use crate::cli::Failure;
use earmark_client::{Answer, Client, Code, Pool, SkuSettings};
use std::collections::BTreeMap;

/// What the look-ups of a block found.
struct Found<'a> {
    /// By SKU; none if there is no such SKU.
    stock: BTreeMap<&'a str, Result<Option<Vec<Pool>>, Verdict>>,
    settings: BTreeMap<&'a str, Result<(u64, SkuSettings), Verdict>>,
}

/// Tells of each row what would become of it.
///
/// # Errors
/// Something on this machine.
pub(super) async fn judge(client: &Client, block: &Block, patience: &Patience) -> Result<Vec<Verdict>, Failure> {
    let found = look_up(client, block, patience).await?;
    Ok(block.rows.iter().map(|row| found.verdict(row)).collect())
}

async fn look_up<'a>(client: &Client, block: &'a Block, patience: &Patience) -> Result<Found<'a>, Failure> {
    let mut stock = BTreeMap::new();
    let mut settings = BTreeMap::new();
    for row in &block.rows {
        let Ok(task) = &row.task else { continue };
        if task.stock.is_some() {
            stock.insert(row.sku.as_str(), Ok(None));
        }
        if task.settings.is_some() {
            settings.insert(row.sku.as_str(), Ok((0, SkuSettings::default())));
        }
    }
    let reads = stock.keys().map(|sku| client.stock(*sku).operation());
    let reads = reads.chain(settings.keys().map(|sku| client.settings(*sku).operation())).collect();
    let mut told = settle(client, reads, false, patience.clone()).await?.into_iter();
    for (entry, told) in stock.values_mut().zip(told.by_ref()) {
        *entry = pools_of(told);
    }
    for (entry, told) in settings.values_mut().zip(told) {
        *entry = read_of(told);
    }
    Ok(Found { stock, settings })
}

fn pools_of(told: Told) -> Result<Option<Vec<Pool>>, Verdict> {
    match told {
        Told::Done(answer) => match *answer {
            Answer::Stock(stock) => Ok(Some(stock.pools)),
            _ => Err(Verdict::bad("a node answered another question than was asked".to_owned())),
        },
        Told::Refused(error) if error.code() == Code::NotFound => Ok(None),
        other => Err(verdict_of(other).unwrap_or_else(|failure| Verdict::bad(format!("{failure:?}")))),
    }
}

fn refused(code: &'static str, message: String) -> Verdict {
    Verdict { end: End::Refused, code, message, replayed: false, open: false }
}

impl Found<'_> {
    fn verdict(&self, row: &Row) -> Verdict {
        let task = match &row.task {
            Ok(task) => task,
            Err(problem) => return Verdict::bad(problem.clone()),
        };
        let mut told = Vec::new();
        if let (Some(patch), Some(read)) = (&task.settings, self.settings.get(row.sku.as_str())) {
            match read {
                Err(verdict) => return verdict.clone(),
                Ok((version, before)) => {
                    let mut after = before.clone();
                    patch.put(&mut after);
                    told.push(if after == *before {
                        "settings as they are".to_owned()
                    } else {
                        format!("settings version {}", version + 1)
                    });
                }
            }
        }
        if let (Some(stock), Some(read)) = (&task.stock, self.stock.get(row.sku.as_str())) {
            match read {
                Err(verdict) => return verdict.clone(),
                Ok(pools) => {
                    let pools = pools.as_deref();
                    let pool = pools
                        .unwrap_or_default()
                        .iter()
                        .find(|pool| pool.location == row.location && pool.kind == stock.kind && pool.lot == stock.lot);
                    match stock_verdict(stock, pools.is_some(), pool) {
                        Ok(text) => told.insert(0, text),
                        Err(refusal) => return refusal,
                    }
                }
            }
        }
        Verdict::done(told.join("; "), false)
    }
}

/// What would become of a pool, or why that would be refused.
fn stock_verdict(stock: &Stock, known: bool, pool: Option<&Pool>) -> Result<String, Verdict> {
    if let Act::Receive { quantity, .. } = &stock.act {
        return Ok(match pool {
            Some(pool) => format!("on hand {} -> {}", pool.on_hand, pool.on_hand.saturating_add(*quantity)),
            None if known => format!("new pool, on hand {quantity}"),
            None => format!("new SKU, on hand {quantity}"),
        });
    }
    let Some(pool) = pool else {
        let what = if known { "never stocked at that location, kind and lot" } else { "no such SKU" };
        return Err(refused("NOT_FOUND", format!("{what}; receive it first")));
    };
    let before = pool.on_hand;
    let (after, expected) = match &stock.act {
        Act::Set { on_hand, expected, .. } => (*on_hand, *expected),
        Act::Adjust { delta, expected, .. } if *delta < 0 => {
            let units = delta.unsigned_abs();
            let Some(after) = before.checked_sub(units) else {
                return Err(refused("INSUFFICIENT_STOCK", format!("on hand is {before}, {units} are to go")));
            };
            (after, *expected)
        }
        Act::Adjust { delta, expected, .. } => (before.saturating_add(delta.unsigned_abs()), *expected),
        Act::Count { counted, .. } => (*counted, None),
        Act::Receive { .. } => (before, None),
    };
    match expected.filter(|expected| *expected != before) {
        Some(expected) => Err(refused("VERSION_STALE", format!("on hand is {before}, not {expected}"))),
        None => Ok(format!("on hand {before} -> {after}")),
    }
}
