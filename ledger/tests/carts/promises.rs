//! What clients were told of their reservations beside the first answer, and what must follow from it: which lines are
//! in force, and what became of the units that were sold.

use crate::{faults::Counts, support::*, world::*};
use earmark_ledger::{command::*, outcome::*, settings::*, types::*};
use std::collections::BTreeMap;

/// How the SKUs of the random runs are sold: what begins with `b` waits to be shipped, and the rest is gone at once.
pub fn settings(sku: &str) -> Settings {
    let plain = Settings::default();
    let limit = |most, seconds| UnitLimit { units: units(most), window: DurationMs::seconds(seconds) };
    let allocation = |strategy, places| Some(Allocation { strategy, places });
    match sku {
        "a1" => Settings { cancel_window: Some(DurationMs::days(1)), ..plain },
        "a2" => Settings {
            cancel_window: Some(DurationMs::days(400)),
            owner_units: Some(limit(LIMIT, 30)),
            allocation: allocation(Strategy::MostStock, 2),
            ..plain
        },
        "a3" => Settings { safety_stock: units(1), return_window: Some(DurationMs::days(3)), ..plain },
        "a4" => Settings {
            cancel_window: Some(DurationMs::seconds(20)),
            allocation: allocation(Strategy::MostStock, 1),
            ..plain
        },
        "b2" => Settings { deduct: Deduct::OnShip, owner_holds: Some(HOLDS), ..plain },
        _ => Settings { deduct: Deduct::OnShip, ..plain },
    }
}

/// Units of `a2` that an owner may have.
pub const LIMIT: u64 = 9;

/// Holds of `b2` that an owner may have.
pub const HOLDS: u32 = 3;

pub fn on_ship(pool: &PoolKey) -> bool {
    settings(pool.sku.as_str()).deduct == Deduct::OnShip
}

/// What became of the committed units of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sold {
    pub committed: u64,
    pub shipped: u64,
    pub cancelled: u64,
    pub returned: u64,
    pub apart: u64,
}

impl Sold {
    pub fn of(line: &LineView) -> Self {
        Self {
            committed: line.committed.units(),
            shipped: line.shipped.units(),
            cancelled: line.cancelled.units(),
            returned: line.returned.units(),
            apart: line.returned_unavailable.units(),
        }
    }

    fn unshipped(&self) -> u64 {
        self.committed - self.shipped - self.cancelled
    }

    /// Units at the customer's.
    fn out(&self, on_ship: bool) -> u64 {
        let out = if on_ship { self.shipped } else { self.committed - self.cancelled };
        out - self.returned - self.apart
    }

    /// What the books of the pool must have of it: committed, sold, back on hand, set apart.
    pub fn in_books(&self, on_ship: bool) -> [u64; 4] {
        let back = self.returned + self.apart;
        match on_ship {
            true => [self.unshipped(), self.shipped, back, self.apart],
            false => [0, self.committed, back + self.cancelled, self.apart],
        }
    }
}

/// A line: its pool, units asked for, and units it got.
type Got = (PoolKey, u64, u64);

#[derive(Default)]
pub struct Promises {
    /// Lines in force.
    pub lines: BTreeMap<ReservationId, Vec<Got>>,
    sold: BTreeMap<(ReservationId, PoolKey), Sold>,
    /// The answer to each operation that was done.
    done: BTreeMap<(ShardId, OperationId), (String, Done)>,
}

impl Promises {
    /// A reserve was told its success, perhaps again.
    pub fn reserved(&mut self, reserved: &Reserved) {
        let line = |line: &LineGot| (line.pool.key(), line.asked.units(), line.got.units());
        self.lines.entry(reserved.id).or_insert_with(|| reserved.lines.iter().map(line).collect());
    }

    pub fn forgotten(&mut self, id: ReservationId) {
        self.lines.remove(&id);
        self.sold.retain(|(of, _), _| *of != id);
    }

    /// An operation was told that it is done: always in the same words.
    pub fn told(&mut self, shard: ShardId, operation: OperationId, body: &str, done: &Done) {
        let first = self.done.entry((shard, operation)).or_insert_with(|| (body.to_owned(), done.clone()));
        assert_eq!((first.0.as_str(), &first.1), (body, done), "{operation}");
    }

    /// The answer that an operation was told before, if it was done.
    pub fn done(&self, shard: ShardId, operation: OperationId) -> Option<&(String, Done)> {
        self.done.get(&(shard, operation))
    }

    /// Something was done about a reservation, for the first time: it is told as it has to be from then on.
    pub fn apply(&mut self, body: &Body, view: &ReservationView, counts: &mut Counts) {
        let id = view.id;
        let parts = |parts: &[Part], pool: &PoolKey| -> Option<u64> {
            let of = |part: &&Part| (&part.sku, &part.location) == (&pool.sku, &pool.location);
            (!parts.is_empty()).then(|| parts.iter().filter(of).map(|part| part.quantity.units()).sum())
        };
        let many = view.lines.iter().any(|line| shard_of_pool(&line.pool) != shard_of(id.home()));
        match body {
            Body::Replace(replace) => {
                check_replaced(replace, view);
                counts.replaced += 1;
                counts.replaced_here += u64::from(!many);
                let line = |line: &LineView| (line.pool.clone(), line.asked.units(), line.held.units());
                let before = self.lines.insert(id, view.lines.iter().map(line).collect());
                assert!(before.is_some(), "{view:?} was never held");
            }
            Body::MarkPaying(_) => {
                assert!(view.paying);
                counts.paying += 1;
            }
            _ => {}
        }
        for line in &view.lines {
            let (pool, waits) = (&line.pool, on_ship(&line.pool));
            let sold = self.sold.entry((id, pool.clone())).or_default();
            match body {
                Body::Commit(commit) => {
                    // What a whole commit sells is what is held, which is not known here.
                    sold.committed = match parts(&commit.parts, pool) {
                        Some(more) => sold.committed + more,
                        None => line.committed.units().max(sold.committed),
                    };
                }
                Body::Ship(ship) if waits => sold.shipped += parts(&ship.parts, pool).unwrap_or(sold.unshipped()),
                Body::Cancel(cancel) => {
                    let most = if waits { sold.unshipped() } else { sold.out(false) };
                    sold.cancelled += parts(&cancel.parts, pool).unwrap_or(most);
                }
                Body::Return(back) => {
                    let units = parts(&back.parts, pool).unwrap_or(sold.out(waits));
                    match back.disposition {
                        Disposition::Sellable => sold.returned += units,
                        Disposition::Unavailable => sold.apart += units,
                    }
                }
                _ => {}
            }
            assert_eq!(Sold::of(line), *sold, "{body:?} was told {view:?}");
        }
        match body {
            Body::Commit(commit) if commit.revive && view.deadline <= view.since => {
                counts.revived += 1;
                counts.revived_here += u64::from(!many);
            }
            Body::Ship(_) => {
                counts.shipped += 1;
                counts.shipped_here += u64::from(!many);
            }
            Body::Cancel(_) => counts.cancelled += 1,
            Body::Return(_) => counts.returned += 1,
            _ => {}
        }
    }

    /// Every reservation stands as it was told last.
    pub fn check(&self, world: &World) {
        for (id, lines) in &self.lines {
            let view = world.view(*id).expect("what was held is known");
            assert!(!matches!(view.state, ReservationState::Open | ReservationState::Rejected), "{view:?}");
            let got = |line: &LineView| {
                let units = [line.held, line.committed, line.released, line.expired].map(Quantity::units);
                (line.pool.clone(), line.asked.units(), units.iter().sum())
            };
            assert_eq!(&view.lines.iter().map(got).collect::<Vec<Got>>(), lines, "{view:?}");
            for line in &view.lines {
                let sold = self.sold.get(&(*id, line.pool.clone())).copied().unwrap_or_default();
                assert_eq!(Sold::of(line), sold, "{view:?}");
            }
        }
    }

    /// With nothing under way, nobody has more than the limits allow.
    pub fn check_limits(&self, world: &World) {
        let mut held = BTreeMap::<(Owner, String), (u64, u32)>::new();
        for view in self.lines.keys().filter_map(|id| world.view(*id)) {
            let mut of_view = BTreeMap::<String, u64>::new();
            for line in view.lines.iter().filter(|line| !line.held.is_zero()) {
                *of_view.entry(line.pool.sku.as_str().to_owned()).or_default() += line.held.units();
            }
            for (sku, units) in of_view {
                let (of_units, of_holds) = held.entry((view.owner.clone(), sku)).or_default();
                *of_units += units;
                *of_holds += 1;
            }
        }
        for ((owner, sku), (of_units, of_holds)) in held {
            let beyond = (sku == "a2" && of_units > LIMIT) || (sku == "b2" && of_holds > HOLDS);
            assert!(!beyond, "{owner:?} holds {of_units} units of {sku} in {of_holds} holds");
        }
    }
}

/// All or nothing; or with best effort no less than the minimum, and something. Lines without a location may become
/// several: their SKU is looked at as a whole.
pub fn check_lines(asked: &[Line], best_effort: bool, got: &[Got]) {
    let mut of_sku = BTreeMap::<&str, [u64; 2]>::new();
    for line in asked {
        let [units, least] = of_sku.entry(line.sku.as_str()).or_default();
        *units += line.quantity.units();
        *least += if best_effort { line.minimum.units() } else { line.quantity.units() };
    }
    let mut told = BTreeMap::<&str, [u64; 2]>::new();
    for (pool, asked, got) in got {
        assert!(got <= asked);
        let [of_asked, of_got] = told.entry(pool.sku.as_str()).or_default();
        *of_asked += asked;
        *of_got += got;
    }
    assert_eq!(of_sku.keys().collect::<Vec<_>>(), told.keys().collect::<Vec<_>>(), "{asked:?} became {got:?}");
    for (sku, [units, least]) in &of_sku {
        let [of_asked, of_got] = told[sku];
        assert_eq!(of_asked, *units, "{asked:?} became {got:?}");
        assert!(of_got >= *least, "{asked:?} became {got:?}");
    }
    assert!(got.iter().any(|(.., units)| *units > 0), "nothing is no success: {asked:?}");
    if asked.iter().any(|line| line.location.is_none()) {
        return;
    }
    // Lines of one pool are one, where the first of them stands.
    let mut pools: Vec<(&Sku, &Location)> = Vec::new();
    for line in asked {
        let pool = (&line.sku, line.location.as_ref().expect("was just seen"));
        if !pools.contains(&pool) {
            pools.push(pool);
        }
    }
    assert_eq!(pools, got.iter().map(|(pool, ..)| (&pool.sku, &pool.location)).collect::<Vec<_>>());
}

fn check_replaced(replace: &Replace, view: &ReservationView) {
    let got: Vec<Got> =
        view.lines.iter().map(|line| (line.pool.clone(), line.asked.units(), line.held.units())).collect();
    check_lines(&replace.lines, replace.best_effort, &got);
    assert_eq!(view.state, ReservationState::Held);
    assert!(view.revision > 1);
    let others = view.lines.iter().map(|line| [line.committed, line.released, line.expired].map(Quantity::units));
    assert!(others.flatten().all(|units| units == 0), "{view:?}");
}
