//! Does what a history says was tried: the one way from an [`Action`] to the SDK, so that whatever was tried can be tried
//! again as it was, by anyone.

use crate::recorder::{self, pool_of};
use earmark_client::{
    Client, Commit, Disposition, Epoch, Error, Extend, Level, Line as Wanted, LogIndex, OperationId, Page, Part,
    Position, Receive, Release, Reservation, ReservationId, Reserve, ShardId, SkuSettings, TimeMs, UnitLimit,
};
use earmark_jepsen::history::{Action, End, Line, Place, Settings, Told, Weak};
use std::{future::Future, time::Duration};

/// Longer than any run.
const LONG: Duration = Duration::from_secs(86_400);

/// Items on a page of a list.
const PAGE: u32 = 50;

/// How an operation ended, and of a reserve which id it went by and whether it may hold something.
pub struct Performed {
    /// The end.
    pub end: End,
    /// The id of the reservation, where the SDK made it.
    pub id: Option<String>,
    /// It is held, or may be.
    pub open: bool,
}

impl From<End> for Performed {
    /// Anything but a reserve.
    fn from(end: End) -> Self {
        Self { end, id: None, open: false }
    }
}

impl Performed {
    /// A reserve of these lines that was answered so.
    pub fn of_reserve(lines: &[Line], answer: Result<Reservation, Error>) -> Self {
        let (end, id, open) = recorder::reserved(lines, answer);
        Self { end, id, open: open.is_some() }
    }
}

/// Sends it and waits for its end.
pub async fn perform(client: &Client, action: &Action) -> Performed {
    if let Action::Reserve { .. } = action {
        return Performed::of_reserve(named(action), reserve(client, action).send().await);
    }
    let end = match action {
        action if action.reservation().is_some() => of_reservation(client, action).await,
        action if action.is_effectful() => of_keeper(client, action).await,
        action => of_reader(client, action).await,
    };
    end.into()
}

fn named(action: &Action) -> &[Line] {
    match action {
        Action::Reserve { lines, .. } | Action::Replace { lines, .. } | Action::DryRun { lines, .. } => lines,
        _ => &[],
    }
}

/// The bytes of a UUID by its text.
pub(super) fn operation_id(text: &str) -> OperationId {
    let hex: String = text.chars().filter(|digit| *digit != '-').collect();
    let number = u128::from_str_radix(&hex, 16).expect("an id of our own");
    OperationId::from_slice(&number.to_be_bytes()).expect("an id of our own")
}

fn reservation_id(text: &str) -> ReservationId {
    text.parse().expect("an id of our own")
}

/// Lines as they are sent: some of them as two of the same pool, which is the same request. The second ones come last, so
/// that a line keeps its place.
fn wanted(lines: &[Line], least: Option<&Vec<Line>>) -> Vec<Wanted> {
    let mut more = Vec::new();
    let mut wanted = Vec::new();
    for line in lines {
        let (sku, location) = pool_of(&line.sku);
        let least = least.into_iter().flatten().find(|least| least.sku == line.sku).map_or(0, |least| least.units);
        let first = if line.units % 3 == 2 { line.units - 1 } else { line.units };
        wanted.push(Wanted::new(sku, location, first).minimum(least.min(first)));
        if first < line.units {
            more.push(Wanted::new(sku, location, line.units - first).minimum(least.saturating_sub(first)));
        }
    }
    wanted.append(&mut more);
    wanted
}

fn parts(lines: &[Line]) -> Vec<Part> {
    let part = |line: &Line| {
        let (sku, location) = pool_of(&line.sku);
        Part::new(sku, location, line.units)
    };
    lines.iter().map(part).collect()
}

/// Gives a change of a reservation the operation id of the action, if that has one. The SDK's builders have the same
/// methods, but no type in common.
macro_rules! identified {
    ($action:expr, $builder:expr) => {{
        let builder = $builder;
        match $action.operation().map($crate::workload::perform::operation_id) {
            Some(own) => builder.operation_id(own),
            None => builder,
        }
    }};
}
pub(super) use identified;

pub(super) fn reserve(client: &Client, action: &Action) -> Reserve {
    let Action::Reserve { id, lines, ttl_ms, owner, least } = action else { unreachable!("only reserves come here") };
    let mut reserve = client.reserve().ttl(Duration::from_millis(*ttl_ms)).owner(owner);
    for line in wanted(lines, least.as_ref()) {
        reserve = reserve.push(line);
    }
    if least.is_some() {
        reserve = reserve.best_effort();
    }
    if !id.is_empty() {
        reserve = reserve.id(reservation_id(id));
    }
    reserve
}

pub(super) fn receive(client: &Client, action: &Action) -> Receive {
    let Action::Receive { id, line } = action else { unreachable!("only receipts come here") };
    let (sku, location) = pool_of(&line.sku);
    client.receive(sku, location, line.units).id(operation_id(id))
}

pub(super) fn commit(client: &Client, action: &Action) -> Commit {
    let Action::Commit { id, parts: named, keep_rest, revive, .. } = action else {
        unreachable!("only commits come here")
    };
    let mut commit = client.commit(reservation_id(id)).parts(parts(named));
    if *keep_rest {
        commit = commit.keep_rest();
    }
    if *revive {
        commit = commit.revive().refund_hint();
    }
    commit
}

pub(super) fn release(client: &Client, action: &Action) -> Release {
    let Action::Release { id, parts: named, .. } = action else { unreachable!("only releases come here") };
    client.release(reservation_id(id)).parts(parts(named))
}

pub(super) fn extend(client: &Client, action: &Action) -> Extend {
    let Action::Extend { id, ttl_ms, .. } = action else { unreachable!("only extensions come here") };
    client.extend(reservation_id(id), Duration::from_millis(*ttl_ms))
}

/// What becomes of a reservation.
async fn of_reservation(client: &Client, action: &Action) -> End {
    let id = reservation_id(action.reservation().expect("asked before"));
    macro_rules! change {
        ($builder:expr) => {
            recorder::changed(identified!(action, $builder).send().await)
        };
    }
    match action {
        Action::Replace { lines, .. } => {
            let mut replace = client.replace(id);
            for line in wanted(lines, None) {
                replace = replace.push(line);
            }
            recorder::replaced(lines, identified!(action, replace).send().await)
        }
        Action::Commit { .. } => change!(commit(client, action)),
        Action::Release { .. } => change!(release(client, action)),
        Action::Extend { .. } => change!(extend(client, action)),
        Action::MarkPaying { grace_ms, .. } => {
            change!(client.mark_paying(id).grace(Duration::from_millis(*grace_ms)))
        }
        Action::Ship { parts: named, .. } => change!(client.ship(id).parts(parts(named))),
        Action::Cancel { parts: named, .. } => change!(client.cancel(id).parts(parts(named))),
        Action::Return { parts: named, fit, .. } => {
            let disposition = if *fit { Disposition::Sellable } else { Disposition::Unavailable };
            change!(client.return_units(id, disposition).parts(parts(named)))
        }
        Action::SeeReservation { level, .. } => {
            recorder::seen_reservation(client.reservation(id).level(weak(*level)).send().await)
        }
        _ => recorder::read(client.reservation(id).send().await),
    }
}

fn weak(level: Weak) -> Level {
    match level {
        Weak::Session => Level::Session,
        Weak::Bounded => Level::Bounded,
    }
}

/// What those do who keep the stock.
async fn of_keeper(client: &Client, action: &Action) -> End {
    let own = operation_id(action.operation().expect("whatever keepers do has an id"));
    let pool = |line: &Line| {
        let (sku, location) = pool_of(&line.sku);
        (sku.to_owned(), location.to_owned(), line.units)
    };
    match action {
        Action::Receive { .. } => recorder::stocked(receive(client, action).send().await),
        Action::ReceiveExpected { line, document, .. } => {
            let (sku, location, units) = pool(line);
            recorder::stocked(client.receive(sku, location, units).document(document).id(own).send().await)
        }
        Action::Expect { line, document, date_ms, .. } => {
            let (sku, location, units) = pool(line);
            recorder::stocked(client.expect(sku, location, units, document, TimeMs(*date_ms)).id(own).send().await)
        }
        Action::Adjust { sku, delta, expected, .. } => {
            let (sku, location) = pool_of(sku);
            let adjust = client.adjust(sku, location, *delta, "found").id(own);
            recorder::stocked(match expected {
                Some(expected) => adjust.expected_on_hand(*expected).send().await,
                None => adjust.send().await,
            })
        }
        Action::Set { sku, units, expected, .. } => {
            let (sku, location) = pool_of(sku);
            let set = client.set(sku, location, *units, "seen").id(own);
            recorder::corrected(match expected {
                Some(expected) => set.expected_on_hand(*expected).send().await,
                None => set.override_any().send().await,
            })
        }
        Action::Count { sku, units, seen, .. } => {
            let (sku, location) = pool_of(sku);
            let count = client.count(sku, location, *units).id(own);
            recorder::corrected(match seen {
                Some((place, _)) => count.at_position(position(place)).send().await,
                None => count.send().await,
            })
        }
        Action::Quarantine { line, .. } => {
            let (sku, location, units) = pool(line);
            recorder::corrected(client.quarantine(sku, location, units, "torn").id(own).send().await)
        }
        Action::Unquarantine { line, .. } => {
            let (sku, location, units) = pool(line);
            recorder::corrected(client.unquarantine(sku, location, units).id(own).send().await)
        }
        Action::WriteOff { line, .. } => {
            let (sku, location, units) = pool(line);
            recorder::corrected(client.write_off(sku, location, units, "scrap").id(own).send().await)
        }
        Action::Transfer { line, to, immediate, .. } => {
            let (sku, from, units) = pool(line);
            let transfer = client.transfer(sku, from, pool_of(to).1, units).id(own);
            recorder::moved(if *immediate { transfer.immediate().send().await } else { transfer.send().await })
        }
        Action::Arrive { transfer, sku, received, lost, .. } => {
            let arrive = client.arrive(sku, operation_id(transfer), *received).id(own);
            recorder::moved(if *lost > 0 { arrive.lost(*lost, "fell off").send().await } else { arrive.send().await })
        }
        Action::Configure { sku, version, settings, .. } => {
            recorder::configured(client.configure(sku, *version, sdk_settings(settings)).id(own).send().await)
        }
        _ => unreachable!("nothing else is done by keepers"),
    }
}

fn position(place: &Place) -> Position {
    Position {
        shard: ShardId(place.shard),
        epoch: Epoch(place.epoch),
        index: LogIndex(place.index),
        ordinal: place.ordinal,
    }
}

fn sdk_settings(settings: &Settings) -> SkuSettings {
    SkuSettings {
        deduct: if settings.on_ship { earmark_client::Deduct::OnShip } else { earmark_client::Deduct::OnCommit },
        safety_stock: settings.safety_stock,
        owner_units: settings.owner_units.map(|units| UnitLimit { units, window: LONG }),
        frozen: settings.frozen.then(|| "recall".to_owned()),
        cancel_window: settings.cancel.then_some(LONG),
        ..SkuSettings::default()
    }
}

/// What changes nothing and is about no one reservation.
async fn of_reader(client: &Client, action: &Action) -> End {
    match action {
        Action::ReadStock { sku } => {
            let (sku, location) = pool_of(sku);
            recorder::stock(client.stock(sku).location(location).send().await)
        }
        Action::SeeStock { sku, level, .. } => {
            let (sku, location) = pool_of(sku);
            recorder::seen_stock(client.stock(sku).location(location).level(weak(*level)).send().await)
        }
        Action::ReadSettings { sku } => recorder::settings(client.settings(sku).send().await),
        Action::DryRun { lines, owner } => {
            let mut reserve = client.reserve().owner(owner);
            for line in wanted(lines, None) {
                reserve = reserve.push(line);
            }
            recorder::tried(lines, reserve.dry_run().send().await)
        }
        Action::ListOwned { owner } => {
            let pages = pages(|after| {
                let list = client.reservations_of(owner).page_size(PAGE);
                async move { with(after, list, |list, after| list.after(after)).send().await }
            });
            recorder::listed(pages.await, recorder::owned, Told::Owned)
        }
        Action::ListInTransit { sku } => {
            let pages = pages(|after| {
                let list = client.in_transit(sku).page_size(PAGE);
                async move { with(after, list, |list, after| list.after(after)).send().await }
            });
            recorder::listed(pages.await, |told| (told.id.to_string(), told.in_transit), Told::InTransit)
        }
        Action::ListShortages => {
            let pages = pages(|after| {
                let list = client.shortages().page_size(PAGE);
                async move { with(after, list, |list, after| list.after(after)).send().await }
            });
            let short = |told: &earmark_client::PoolShortage| Line {
                sku: recorder::pool(&told.sku, &told.location),
                units: told.units,
            };
            recorder::listed(pages.await, short, Told::Short)
        }
        Action::ListExpiring { within_ms } => {
            let pages = pages(|after| {
                let list = client.expiring(Duration::from_millis(*within_ms)).page_size(PAGE);
                async move { with(after, list, |list, after| list.after(after)).send().await }
            });
            recorder::listed(pages.await, |told| (told.id.to_string(), told.deadline.0), Told::Expiring)
        }
        _ => unreachable!("everything else changes something"),
    }
}

fn with<L, A>(after: Option<A>, list: L, go_on: impl FnOnce(L, A) -> L) -> L {
    match after {
        Some(after) => go_on(list, after),
        None => list,
    }
}

/// Every page of a list.
async fn pages<T, F>(page: impl Fn(Option<earmark_client::PageToken>) -> F) -> Result<Vec<Page<T>>, Error>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    let mut pages = vec![page(None).await?];
    while let Some(next) = pages.last().and_then(|last| last.next.clone()) {
        pages.push(page(Some(next)).await?);
    }
    Ok(pages)
}
