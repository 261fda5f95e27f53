//! Carries a block out: first the settings, then the stock of those rows whose settings are as asked.
//!
//! Settings come first, so that no unit of a new SKU is on sale before its limits are. Rows of one SKU share one change of
//! settings. It is made of what the settings are, and noted with its version before it is sent: a run that goes on repeats
//! it as it was, and what others set since is not undone. Settings that are as asked already are left alone.
//! Rows of the same pool go one after the other, all others at once.

use super::act::{Act, Stock};
use super::ask::{Patience, Told, settle};
use super::ids::Part;
use super::patch::Patch;
use super::progress::{Change, Keeper, State};
use super::row::Row;
use super::source::Block;
use super::verdict::{End, Verdict};
use crate::cli::Failure;
use crate::cli::failure::code_of;
use earmark_client::{Answer, Client, Code, Error, Operation, Pool, PoolKind, SettingsRead, SkuSettings, TimeMs};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How often settings that others change at the same time are read anew.
const ROUNDS_MAX: u32 = 8;

/// Everything a block needs.
pub(super) struct Carrier<'a> {
    pub(super) client: &'a Client,
    pub(super) patience: Patience,
    /// An earlier run may have sent it.
    pub(super) doubt: bool,
}

/// The rows of a block that name settings of one SKU, by their place in the block.
type Groups<'a> = BTreeMap<&'a str, Vec<(usize, &'a Patch)>>;

impl Carrier<'_> {
    /// Does what the rows ask for and tells what became of each. The state has the block open, and is saved before
    /// anything new is sent.
    ///
    /// # Errors
    /// Something on this machine. The block stays open.
    pub(super) async fn carry(
        &self,
        block: &Block,
        state: &mut State,
        keeper: &mut Keeper,
    ) -> Result<Vec<Verdict>, Failure> {
        let mut verdicts: Vec<Option<Verdict>> =
            block.rows.iter().map(|row| row.task.as_ref().err().cloned().map(Verdict::bad)).collect();
        let settings = self.settings(block, state, keeper).await?;
        let mut notes = Vec::new();
        for (place, row) in block.rows.iter().enumerate() {
            let Ok(task) = &row.task else { continue };
            let told = task.settings.as_ref().and_then(|_| settings.get(row.sku.as_str()));
            match told {
                Some(told) if told.end != End::Done || task.stock.is_none() => verdicts[place] = Some(told.clone()),
                Some(told) => notes.push((place, format!("; {}", told.message))),
                None => notes.push((place, String::new())),
            }
        }
        self.stock(block, state, &notes, &mut verdicts).await?;
        let every: Option<Vec<Verdict>> = verdicts.into_iter().collect();
        let mut every = every.ok_or_else(|| Failure::local("a row was left without a verdict"))?;
        if self.doubt {
            every.iter_mut().for_each(doubted);
        }
        Ok(every)
    }

    /// What became of the settings, by SKU.
    async fn settings(
        &self,
        block: &Block,
        state: &mut State,
        keeper: &mut Keeper,
    ) -> Result<HashMap<String, Verdict>, Failure> {
        let mut groups = Groups::new();
        for (place, row) in block.rows.iter().enumerate() {
            if let Ok(task) = &row.task
                && let Some(patch) = &task.settings
            {
                groups.entry(&row.sku).or_default().push((place, patch));
            }
        }
        if groups.is_empty() {
            keeper.save(state)?;
            return Ok(HashMap::new());
        }
        let mut told = HashMap::new();
        // What an earlier run noted is repeated as it was, whatever the settings are by now.
        let mut changes = BTreeMap::new();
        for change in &state.open.as_ref().ok_or_else(no_block)?.changes {
            changes.insert(block.row(change.row).ok_or_else(no_row)?.sku.clone(), change.clone());
        }
        for number in &state.open.as_ref().ok_or_else(no_block)?.kept {
            told.insert(block.row(*number).ok_or_else(no_row)?.sku.clone(), kept());
        }
        let mut doubt = self.doubt;
        for round in 1..=ROUNDS_MAX {
            let open: Groups<'_> = groups
                .iter()
                .filter(|(sku, _)| !told.contains_key(**sku))
                .map(|(sku, rows)| (*sku, rows.clone()))
                .collect();
            if open.is_empty() {
                break;
            }
            let unplanned: Vec<&str> = open.keys().copied().filter(|sku| !changes.contains_key(*sku)).collect();
            if !unplanned.is_empty() || round == 1 {
                changes.extend(self.plan(block, &open, &unplanned, state, &mut told).await?);
                note(state, keeper, &changes)?;
            }
            let sent: Vec<(&str, &Change)> = open
                .keys()
                .filter(|sku| !told.contains_key(**sku))
                .filter_map(|sku| changes.get(*sku).map(|change| (*sku, change)))
                .collect();
            let ends = self.send(block, state, &sent, doubt).await?;
            let last = round == ROUNDS_MAX;
            let mut stale = Vec::new();
            for ((sku, _), end) in sent.iter().zip(ends) {
                match end {
                    // Somebody else changed them meanwhile: read them anew.
                    Told::Refused(error) if error.code() == Code::VersionStale && !last => {
                        stale.push((*sku).to_owned())
                    }
                    end => {
                        told.insert((*sku).to_owned(), verdict_of(end)?);
                    }
                }
            }
            for sku in stale {
                changes.remove(&sku);
            }
            // New rounds have new ids, which nobody has seen.
            doubt = false;
            if self.patience.is_over() {
                break;
            }
        }
        for sku in groups.keys().filter(|sku| !told.contains_key(**sku)).collect::<Vec<_>>() {
            told.insert((*sku).to_owned(), stopped());
        }
        Ok(told)
    }

    /// Reads the settings of SKUs, and makes up what has to change. Where nothing has to, that is the verdict.
    async fn plan(
        &self,
        block: &Block,
        groups: &Groups<'_>,
        skus: &[&str],
        state: &mut State,
        told: &mut HashMap<String, Verdict>,
    ) -> Result<BTreeMap<String, Change>, Failure> {
        let open = state.open.as_mut().ok_or_else(no_block)?;
        open.rounds += 1;
        let round = open.rounds;
        let reads = skus.iter().map(|sku| self.client.settings(*sku).operation()).collect();
        let ends = settle(self.client, reads, false, self.patience.clone()).await?;
        let mut changes = BTreeMap::new();
        for (sku, end) in skus.iter().zip(ends) {
            let (version, before) = match read_of(end) {
                Ok(read) => read,
                Err(verdict) => {
                    told.insert((*sku).to_owned(), verdict);
                    continue;
                }
            };
            let rows = &groups[sku];
            let mut after = before.clone();
            rows.iter().for_each(|(_, patch)| patch.put(&mut after));
            let row = block.rows[rows[0].0].number;
            if after == before {
                open.kept.push(row);
                told.insert((*sku).to_owned(), kept());
            } else {
                changes.insert((*sku).to_owned(), Change::new(row, round, version, &after));
            }
        }
        Ok(changes)
    }

    async fn send(
        &self,
        block: &Block,
        state: &State,
        changes: &[(&str, &Change)],
        doubt: bool,
    ) -> Result<Vec<Told>, Failure> {
        let opened = TimeMs(state.open.as_ref().ok_or_else(no_block)?.opened_ms);
        let mut operations = Vec::new();
        for (sku, change) in changes {
            let row = block.row(change.row).ok_or_else(no_row)?;
            let settings = change.settings().ok_or_else(no_block)?;
            let id = state.import.operation(opened, row, Part::Settings(change.round));
            operations.push(self.client.configure(*sku, change.version, settings).id(id).operation());
        }
        settle(self.client, operations, doubt, self.patience.clone()).await
    }

    /// Does what the rows ask of their pools. `notes`: the places of rows that may go on, and what is told beside.
    async fn stock(
        &self,
        block: &Block,
        state: &State,
        notes: &[(usize, String)],
        verdicts: &mut [Option<Verdict>],
    ) -> Result<(), Failure> {
        let opened = TimeMs(state.open.as_ref().ok_or_else(no_block)?.opened_ms);
        let mut waiting: Vec<(usize, &Row, &Stock, &str)> = Vec::new();
        for (place, note) in notes {
            let row = &block.rows[*place];
            if let Ok(task) = &row.task
                && let Some(stock) = &task.stock
            {
                waiting.push((*place, row, stock, note));
            }
        }
        while !waiting.is_empty() {
            // Of each pool the first row that waits.
            let mut taken: BTreeSet<(&str, &str, PoolKind, &str)> = BTreeSet::new();
            let (wave, rest): (Vec<_>, Vec<_>) = waiting
                .into_iter()
                .partition(|(_, row, stock, _)| taken.insert((&row.sku, &row.location, stock.kind, &stock.lot)));
            waiting = rest;
            let operations = wave.iter().map(|(_, row, stock, _)| {
                let id = state.import.operation(opened, row, Part::Stock);
                self.operation(row, stock, id)
            });
            let ends = settle(self.client, operations.collect(), self.doubt, self.patience.clone()).await?;
            let mut blocked = false;
            for ((place, _, _, note), end) in wave.into_iter().zip(ends) {
                let mut verdict = verdict_of(end)?;
                verdict.message.push_str(note);
                blocked |= verdict.open;
                verdicts[place] = Some(verdict);
            }
            if blocked || self.patience.is_over() {
                for (place, _, _, note) in waiting {
                    let mut verdict = stopped();
                    verdict.message.push_str(note);
                    verdicts[place] = Some(verdict);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn operation(&self, row: &Row, stock: &Stock, id: earmark_client::OperationId) -> Result<Operation, Error> {
        let (client, sku, location) = (self.client, row.sku.as_str(), row.location.as_str());
        let (kind, lot) = (stock.kind, stock.lot.as_str());
        match &stock.act {
            Act::Receive { quantity, document } => {
                let receive = client.receive(sku, location, *quantity).document(document.as_str());
                receive.kind(kind).lot(lot).id(id).operation()
            }
            Act::Set { on_hand, expected, reason } => {
                let set = client.set(sku, location, *on_hand, reason.as_str());
                let set = match expected {
                    Some(units) => set.expected_on_hand(*units),
                    None => set.override_any(),
                };
                set.kind(kind).lot(lot).id(id).operation()
            }
            Act::Adjust { delta, expected, reason } => {
                let mut adjust = client.adjust(sku, location, *delta, reason.as_str());
                if let Some(units) = expected {
                    adjust = adjust.expected_on_hand(*units);
                }
                adjust.kind(kind).lot(lot).id(id).operation()
            }
            Act::Count { counted, document, reason } => {
                let count = client.count(sku, location, *counted).document(document.as_str()).reason(reason.as_str());
                count.kind(kind).lot(lot).id(id).operation()
            }
        }
    }
}

/// Nothing had to be changed.
fn kept() -> Verdict {
    Verdict::done("settings as they were".to_owned(), false)
}

/// The progress file knows of every change before it is sent.
fn note(state: &mut State, keeper: &mut Keeper, changes: &BTreeMap<String, Change>) -> Result<(), Failure> {
    state.open.as_mut().ok_or_else(no_block)?.changes = changes.values().cloned().collect();
    keeper.save(state)
}

fn no_block() -> Failure {
    Failure::local("the progress file has no such block open")
}

fn no_row() -> Failure {
    Failure::local("the progress file speaks of a row that is not there")
}

/// The settings of a SKU and their version. One that is not there yet has none, and can be given some.
pub(super) fn read_of(told: Told) -> Result<(u64, SkuSettings), Verdict> {
    match told {
        Told::Done(answer) => match *answer {
            Answer::Settings(SettingsRead { version, settings, .. }) => Ok((version, settings)),
            _ => Err(stopped()),
        },
        Told::Refused(error) if error.code() == Code::NotFound => Ok((0, SkuSettings::default())),
        other => Err(verdict_of(other).unwrap_or_else(|_| stopped())),
    }
}

/// What nobody was asked in this run, an earlier one may have done.
fn doubted(verdict: &mut Verdict) {
    if verdict.end == End::Unavailable {
        let message = format!("an earlier run may have done it; run the import again: {}", verdict.message);
        *verdict = Verdict { end: End::Unknown, code: "OUTCOME_UNKNOWN", message, ..verdict.clone() };
    }
}

/// The import was stopped before anybody was asked for it.
fn stopped() -> Verdict {
    let message = "not tried: rows before it could not be settled, or the import was stopped".to_owned();
    Verdict { end: End::Unavailable, code: "NOT_TRIED", message, replayed: false, open: true }
}

fn on_hand(pool: &Pool) -> String {
    let short = if pool.short > 0 { format!(", {} short", pool.short) } else { String::new() };
    format!("on hand {}{short}", pool.on_hand)
}

/// # Errors
/// It answers another question.
pub(super) fn verdict_of(told: Told) -> Result<Verdict, Failure> {
    let bad =
        |end, error: &Error, message: String, open| Verdict { end, code: error.name(), message, replayed: false, open };
    Ok(match told {
        Told::Done(answer) => match *answer {
            Answer::Stocked(change) => Verdict::done(on_hand(&change.pool), change.replayed),
            Answer::Corrected(change) => Verdict::done(on_hand(&change.pool), change.replayed),
            Answer::Configured(change) => {
                Verdict::done(format!("settings version {}", change.version), change.replayed)
            }
            _ => return Err(Failure::local("a node answered another question than was asked")),
        },
        Told::Refused(error) => {
            let end = match code_of(&error) {
                2 => End::BadInput,
                3 => End::Unavailable,
                _ => End::Refused,
            };
            bad(end, &error, error.message().to_owned(), end == End::Unavailable)
        }
        Told::Unavailable(error) => bad(End::Unavailable, &error, error.message().to_owned(), true),
        Told::Unknown(error) => {
            let message = format!("nobody could tell yet; run the import again: {}", error.message());
            bad(End::Unknown, &error, message, true)
        }
        Told::Forgotten(error) => {
            let message = "it may have been done more than 7 days ago, which nobody remembers: look at the stock";
            bad(End::Unknown, &error, message.to_owned(), false)
        }
    })
}
