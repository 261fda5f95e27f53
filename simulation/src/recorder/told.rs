//! Answers of the SDK as a history tells them.

use earmark_client::{
    Change, Deduct, DryRun, Error, Level, LineGot, Page, Pool, Position, Reservation, ReservationId, ReservationInfo,
    ReservationRead, ReservationState, SettingsChange, SettingsRead, SkuSettings, Stock, StockChange, StockCorrection,
    Transferred,
};
use earmark_jepsen::history::{Balance, End, Held, Line, LineState, Owned, Place, Settings, Shortage, Told, Tried};
use std::time::Duration;

/// Where an answer stands.
pub fn place(position: Position) -> Place {
    Place { shard: position.shard.0, epoch: position.epoch.0, index: position.index.0, ordinal: position.ordinal }
}

fn balance(pool: &Pool) -> Balance {
    Balance {
        sku: super::pool(&pool.sku, &pool.location),
        on_hand: pool.on_hand,
        available: pool.available,
        held: pool.held,
        committed: pool.committed,
        unavailable: pool.unavailable,
        short: pool.short,
        received: pool.received_total,
        sold: pool.sold_total,
        in_transit: pool.in_transit,
        expected: pool.expected,
        told_short: None,
    }
}

/// A state by name.
pub fn state(state: ReservationState) -> String {
    format!("{state:?}").to_lowercase()
}

fn held(reservation: &ReservationInfo) -> Held {
    let lines = reservation.lines.iter().map(|line| LineState {
        sku: super::pool(&line.sku, &line.location),
        asked: line.asked,
        held: line.held,
        committed: line.committed,
        released: line.released,
        expired: line.expired,
        shipped: line.shipped,
        cancelled: line.cancelled,
        returned: line.returned,
        apart: line.returned_unavailable,
    });
    Held {
        state: state(reservation.state),
        lines: lines.collect(),
        deadline_ms: reservation.deadline.0,
        settled: reservation.settled,
        paying: reservation.paying,
    }
}

/// How a reserve ended, and under which id.
pub fn reserved(lines: &[Line], answer: Result<Reservation, Error>) -> (End, Option<String>, Option<ReservationId>) {
    match answer {
        Ok(reservation) => {
            let lines = reservation
                .lines()
                .iter()
                .map(|line| Line { sku: super::pool(&line.sku, &line.location), units: line.got });
            let told = Told::Reserved { lines: lines.collect(), deadline_ms: reservation.deadline().0 };
            let end = End::Done { told, place: place(reservation.position()), replayed: reservation.replayed() };
            (end, Some(reservation.id().to_string()), Some(reservation.id()))
        }
        Err(error) => {
            let id = error.reservation_id();
            let end = lacking(lines, &error);
            (end, id.map(|id| id.to_string()), id.filter(|_| error.is_unknown()))
        }
    }
}

/// A refusal, with what each line lacked.
fn lacking(lines: &[Line], error: &Error) -> End {
    let mut end = failed(error);
    if let End::Refused { short, .. } = &mut end {
        *short = lacks(lines, error);
    }
    end
}

fn lacks(lines: &[Line], error: &Error) -> Vec<Line> {
    let told = error.shortages().iter().filter_map(|shortage| {
        let line = lines.get(usize::try_from(shortage.line).ok()?)?;
        Some(Line { sku: line.sku.clone(), units: u64::try_from(shortage.sellable).unwrap_or(0) })
    });
    told.collect()
}

fn done(told: Told, position: Position, replayed: bool) -> End {
    End::Done { told, place: place(position), replayed }
}

/// How a change of a reservation ended.
pub fn changed(answer: Result<Change, Error>) -> End {
    match answer {
        Ok(change) => done(Told::Reservation(held(&change.reservation)), change.position, change.replayed),
        Err(error) => failed(&error),
    }
}

/// How a replace of these lines ended.
pub fn replaced(lines: &[Line], answer: Result<Change, Error>) -> End {
    answer.map_or_else(|error| lacking(lines, &error), |change| changed(Ok(change)))
}

/// How a receive, an adjust or an announcement ended.
pub fn stocked(answer: Result<StockChange, Error>) -> End {
    match answer {
        Ok(change) => done(Told::Balance(balance(&change.pool)), change.position, change.replayed),
        Err(error) => failed(&error),
    }
}

/// How a correction ended.
pub fn corrected(answer: Result<StockCorrection, Error>) -> End {
    match answer {
        Ok(change) => {
            let shortage = change.shortage.as_ref().map(|shortage| Shortage {
                units: shortage.units,
                at_risk: shortage.at_risk,
                newest: shortage.newest.iter().map(|hold| (hold.reservation.to_string(), hold.held)).collect(),
            });
            let (balance, delta, beyond) = (balance(&change.pool), change.delta, change.beyond);
            done(Told::Corrected { balance, delta, beyond, shortage }, change.position, change.replayed)
        }
        Err(error) => failed(&error),
    }
}

/// How a transfer or an arrival ended.
pub fn moved(answer: Result<Transferred, Error>) -> End {
    match answer {
        Ok(change) => {
            let (from, to, left) = (balance(&change.from), balance(&change.to), change.transfer.in_transit);
            done(Told::Moved { from, to, left }, change.position, change.replayed)
        }
        Err(error) => failed(&error),
    }
}

fn settings_of(told: &SkuSettings) -> Settings {
    Settings {
        on_ship: told.deduct == Deduct::OnShip,
        safety_stock: told.safety_stock,
        owner_units: told.owner_units.map(|limit| limit.units),
        frozen: told.frozen.is_some(),
        cancel: told.cancel_window.is_some_and(|window| !window.is_zero()),
    }
}

/// How a change of settings ended.
pub fn configured(answer: Result<SettingsChange, Error>) -> End {
    match answer {
        Ok(change) => {
            let told = Told::Settings { version: change.version, settings: settings_of(&change.settings) };
            done(told, change.position, change.replayed)
        }
        Err(error) => failed(&error),
    }
}

/// How a read of settings ended.
pub fn settings(answer: Result<SettingsRead, Error>) -> End {
    match answer {
        Ok(read) => {
            let told = Told::Settings { version: read.version, settings: settings_of(&read.settings) };
            done(told, read.position, false)
        }
        Err(error) => failed(&error),
    }
}

/// The pool that was read, with what is told of its shortage.
fn one_pool(stock: &Stock) -> Option<Balance> {
    let [pool] = stock.pools.as_slice() else { return None };
    let short = stock.shortages.iter().map(|shortage| shortage.units).sum();
    Some(Balance { told_short: Some(short), ..balance(pool) })
}

/// How a read of a pool ended.
pub fn stock(answer: Result<Stock, Error>) -> End {
    match answer {
        Ok(stock) => match one_pool(&stock).filter(|_| stock.level == Level::Linearizable) {
            Some(balance) => done(Told::Balance(balance), stock.position, false),
            None => panic!("an answer of another kind than was asked for: {stock:?}"),
        },
        Err(error) => failed(&error),
    }
}

/// How a read of a pool ended that any replica may answer.
pub fn seen_stock(answer: Result<Stock, Error>) -> End {
    match answer {
        Ok(stock) => match one_pool(&stock) {
            Some(balance) => done(seen(stock.age, Told::Balance(balance)), stock.position, false),
            None => panic!("an answer of another kind than was asked for: {stock:?}"),
        },
        Err(error) => failed(&error),
    }
}

fn seen(age: Duration, of: Told) -> Told {
    Told::Seen { age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX), of: Box::new(of) }
}

/// How a read of a reservation ended.
pub fn read(answer: Result<ReservationRead, Error>) -> End {
    match answer {
        Ok(read) if read.level == Level::Linearizable => {
            done(Told::Reservation(held(&read.reservation)), read.position, false)
        }
        Ok(read) => panic!("an answer of another kind than was asked for: {read:?}"),
        Err(error) => failed(&error),
    }
}

/// How a read of a reservation ended that any replica may answer.
pub fn seen_reservation(answer: Result<ReservationRead, Error>) -> End {
    match answer {
        Ok(read) => done(seen(read.age, Told::Reservation(held(&read.reservation))), read.position, false),
        Err(error) => failed(&error),
    }
}

/// How a dry run of these lines ended.
pub fn tried(lines: &[Line], answer: Result<DryRun, Error>) -> End {
    match answer {
        Ok(tried) => {
            let told = match &tried.verdict {
                Ok(would) => {
                    let line = |line: &LineGot| Line { sku: super::pool(&line.sku, &line.location), units: line.got };
                    Tried::Held(would.lines.iter().map(line).collect())
                }
                Err(error) => Tried::Refused { code: error.name().to_owned(), short: lacks(lines, error) },
            };
            gathered(Told::Tried(told), &tried.positions)
        }
        Err(error) => failed(&error),
    }
}

/// What several shards told together stands in the first of them.
fn gathered(told: Told, positions: &[Position]) -> End {
    let first = positions.first().copied().map_or(Place { shard: 0, epoch: 0, index: 0, ordinal: 0 }, place);
    End::Done { told, place: first, replayed: false }
}

/// How a list ended: all its pages, each item as `of` tells it.
pub fn listed<T, U>(pages: Result<Vec<Page<T>>, Error>, of: impl Fn(&T) -> U, told: impl Fn(Vec<U>) -> Told) -> End {
    match pages {
        Ok(pages) => {
            let items = pages.iter().flat_map(|page| &page.items).map(of).collect();
            let positions = pages.first().map(|page| page.positions.clone()).unwrap_or_default();
            gathered(told(items), &positions)
        }
        Err(error) => failed(&error),
    }
}

/// A reservation in a list of its owner's.
pub fn owned(reservation: &ReservationInfo) -> Owned {
    Owned { id: reservation.id.to_string(), owner: reservation.owner.clone(), held: held(reservation) }
}

fn failed(error: &Error) -> End {
    if !error.surely_no_effect() {
        return End::Unknown { why: error.to_string() };
    }
    End::Refused {
        code: error.name().to_owned(),
        logged: error.through_log(),
        short: Vec::new(),
        state: error.state().map(|(found, _)| state(found)),
    }
}
