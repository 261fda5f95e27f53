//! Long random runs of the ledger beside a deliberately naive one, and beside itself: a second ledger that writes
//! checkpoints, lets go of what is old, is given back what commands name, and is restarted in the middle.
//!
//! All three must agree on every answer; the two real ones on every byte and digest as well.

#[path = "model/naive.rs"]
mod naive;
mod support;

use earmark_ledger::{
    Fresh, Ledger, Lookup,
    command::*,
    journal::Block,
    movement::{Delta, Movement},
    outcome::{Done, Refusal, ReservationState, Verdict},
    settings::{Allocation, Deduct, Settings, Strategy as Rule, UnitLimit},
    types::*,
};
use naive::{Naive, Pool};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use support::*;

const SKUS: [&str; 3] = ["shoe", "sock", "scarf"];
const LOCATIONS: [&str; 3] = ["berlin", "paris", "rome"];
const OWNERS: [&str; 3] = ["ann", "bob", ""];
const SLOTS: usize = 9;
const SECOND: u64 = 1_000;
const DAY: u64 = 24 * 60 * 60 * SECOND;

/// One step of a run, as small numbers: the run makes them into commands.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Wait(u64),
    /// One entry.
    Entry(Vec<Ask>),
    /// The second ledger writes what changed, and then lets go of what is old.
    Checkpoint { evict: bool },
    /// The second ledger starts again from what it wrote, and catches up.
    Restart,
}

#[derive(Clone, Debug)]
struct Ask {
    what: What,
    /// Which of the ids in use.
    slot: usize,
    /// Rather one of a reservation in a state in which that can be done.
    aim: bool,
    /// Make a new id for that slot, dated so many milliseconds from now.
    renew: Option<i64>,
    /// Even if this ends or extends a hold: that of a new id is not there.
    in_vain: bool,
    hashed: bool,
    attempt: u32,
    /// Milliseconds from now.
    not_after: i64,
    /// Another sending of something asked before, counted back.
    again: Option<usize>,
}

#[derive(Clone, Debug)]
enum What {
    Reserve {
        lines: Vec<(usize, u64, u64, bool)>,
        ttl: u64,
        best: bool,
        chosen: bool,
        owner: usize,
        zone: u32,
    },
    Commit {
        parts: Vec<(usize, u64)>,
        keep_rest: bool,
        revive: bool,
        operation: Option<usize>,
    },
    Release {
        parts: Vec<(usize, u64)>,
        operation: Option<usize>,
    },
    Extend {
        ttl: u64,
        operation: usize,
    },
    Receive {
        pool: usize,
        units: u64,
    },
    Adjust {
        pool: usize,
        delta: i64,
        expected: Option<u64>,
    },
    Forget,
    Replace {
        lines: Vec<(usize, u64, u64, bool)>,
        best: bool,
        zone: u32,
        operation: usize,
    },
    Paying {
        grace: u64,
        operation: usize,
    },
    Ship {
        parts: Vec<(usize, u64)>,
        operation: usize,
    },
    Cancel {
        parts: Vec<(usize, u64)>,
        operation: Option<usize>,
    },
    Return {
        parts: Vec<(usize, u64)>,
        fit: bool,
        operation: usize,
    },
    Set {
        pool: usize,
        on_hand: u64,
        expected: Option<u64>,
        overriding: bool,
    },
    Count {
        pool: usize,
        counted: u64,
        books: Option<u64>,
        /// Moment, in steps of 700 ms, and counts, as the proposer saw them.
        seen: Option<(u64, u64)>,
    },
    Quarantine {
        pool: usize,
        step: u8,
        units: u64,
        reason: bool,
    },
    Transfer {
        pool: usize,
        to: usize,
        units: u64,
        immediate: bool,
    },
    Arrive {
        transfer: usize,
        pool: usize,
        received: u64,
        lost: u64,
    },
    Expect {
        pool: usize,
        document: usize,
        date: u64,
        units: u64,
    },
    /// The version is counted from that of the SKU at the moment, which is known.
    Configure {
        sku: usize,
        version: u64,
        settings: Settings,
    },
}

fn pools() -> Vec<PoolKey> {
    SKUS.iter().flat_map(|sku| LOCATIONS.iter().map(|location| pool(sku, location))).collect()
}

fn what() -> impl Strategy<Value = What> {
    // Few pools, so that they are stocked.
    let at = prop_oneof![3 => 0..3_usize, 1 => 0..9_usize];
    let ttl = prop_oneof![3 => 1_000..20_000_u64, 1 => 60_000..7_200_000_u64, 1 => Just(0_u64)];
    let parts = prop::collection::vec((at.clone(), 0..4_u64), 0..3);
    let operation = prop_oneof![1 => Just(None), 4 => (0..SLOTS).prop_map(Some)];
    let lines = prop::collection::vec((at.clone(), 1..5_u64, 0..3_u64, prop::bool::weighted(0.4)), 1..4);
    prop_oneof![
        10 => (
            lines.clone(),
            ttl.clone(),
            any::<bool>(),
            any::<bool>(),
            0..OWNERS.len(),
            0..4_u32,
        )
            .prop_map(|(lines, ttl, best, chosen, owner, zone)| What::Reserve {
                lines,
                ttl,
                best,
                chosen,
                owner,
                zone,
            }),
        5 => (parts.clone(), any::<bool>(), prop::bool::weighted(0.4), operation.clone()).prop_map(
            |(parts, keep_rest, revive, operation)| What::Commit { parts, keep_rest, revive, operation }
        ),
        4 => (lines, any::<bool>(), 0..4_u32, 0..SLOTS)
            .prop_map(|(lines, best, zone, operation)| What::Replace { lines, best, zone, operation }),
        3 => (prop_oneof![1 => 0..2_u64, 4 => 1_000..200_000_u64], 0..SLOTS)
            .prop_map(|(grace, operation)| What::Paying { grace, operation }),
        3 => (parts.clone(), 0..SLOTS).prop_map(|(parts, operation)| What::Ship { parts, operation }),
        4 => (parts.clone(), operation.clone()).prop_map(|(parts, operation)| What::Cancel { parts, operation }),
        3 => (parts.clone(), any::<bool>(), 0..SLOTS)
            .prop_map(|(parts, fit, operation)| What::Return { parts, fit, operation }),
        3 => (parts, operation).prop_map(|(parts, operation)| What::Release { parts, operation }),
        2 => (ttl, 0..SLOTS).prop_map(|(ttl, operation)| What::Extend { ttl, operation }),
        6 => (at.clone(), 1..8_u64).prop_map(|(pool, units)| What::Receive { pool, units }),
        3 => (at.clone(), -6..4_i64, prop::option::weighted(0.2, 0..5_u64))
            .prop_map(|(pool, delta, expected)| What::Adjust { pool, delta, expected }),
        1 => Just(What::Forget),
        1 => (at.clone(), 0..9_u64, prop::option::weighted(0.3, 0..6_u64), prop::bool::weighted(0.7))
            .prop_map(|(pool, on_hand, expected, overriding)| What::Set { pool, on_hand, expected, overriding }),
        2 => (at.clone(), 0..9_u64, prop::option::weighted(0.5, 0..12_u64), prop::option::of((0..6_u64, 0..3_u64)))
            .prop_map(|(pool, counted, books, seen)| What::Count { pool, counted, books, seen }),
        3 => (at.clone(), 1..4_u8, 0..4_u64, prop::bool::weighted(0.9))
            .prop_map(|(pool, step, units, reason)| What::Quarantine { pool, step, units, reason }),
        3 => (at.clone(), 0..LOCATIONS.len(), 0..5_u64, prop::bool::weighted(0.3))
            .prop_map(|(pool, to, units, immediate)| What::Transfer { pool, to, units, immediate }),
        4 => (0..8_usize, at.clone(), 0..4_u64, 0..2_u64)
            .prop_map(|(transfer, pool, received, lost)| What::Arrive { transfer, pool, received, lost }),
        2 => (at, 0..4_usize, 0..200_u64, 0..6_u64)
            .prop_map(|(pool, document, date, units)| What::Expect { pool, document, date, units }),
        3 => (0..SKUS.len(), prop_oneof![9 => Just(0_u64), 1 => Just(1)], settings())
            .prop_map(|(sku, version, settings)| What::Configure { sku, version, settings }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    // From the moment it is set, and half a minute earlier.
    let moments = (0..60_u64).prop_map(|seconds| TimeMs(seconds * SECOND));
    let window = prop_oneof![20..200_u64, Just(3_600)].prop_map(DurationMs::seconds);
    let limit = (1..8_u64, window).prop_map(|(most, window)| UnitLimit { units: units(most), window });
    let places = || LOCATIONS.iter().map(|name| name.parse::<Location>().expect("a location"));
    let list = Just(places().collect::<Vec<_>>()).prop_shuffle();
    let zones = prop::collection::vec(0..4_u32, LOCATIONS.len());
    let strategy = prop_oneof![
        (list, 1..LOCATIONS.len() + 1).prop_map(|(list, some)| Rule::Priority(list[..some].to_vec())),
        Just(Rule::MostStock),
        Just(Rule::FewestSplits),
        (zones, 0..LOCATIONS.len())
            .prop_map(move |(zones, from)| { Rule::NearestZone(places().zip(zones).skip(from).collect()) }),
    ];
    let allocation = (strategy, 1..4_u32).prop_map(|(strategy, places)| Allocation { strategy, places });
    let window = |often| prop::option::weighted(often, (1..200_u64).prop_map(DurationMs::seconds));
    (
        prop::bool::weighted(0.3),
        prop_oneof![2 => Just(0_u64), 1 => 0..4_u64],
        prop::option::weighted(0.3, limit),
        prop::option::weighted(0.15, 1..3_u32),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.2, moments.clone()),
        prop::option::weighted(0.1, moments),
        prop::option::weighted(0.7, allocation),
        (window(0.6), window(0.3)),
    )
        .prop_map(|(on_ship, safety, owner_units, owner_holds, frozen, opens, closes, allocation, windows)| {
            Settings {
                deduct: if on_ship { Deduct::OnShip } else { Deduct::OnCommit },
                safety_stock: units(safety),
                hold_time: None,
                owner_units,
                owner_holds,
                frozen: frozen.then(|| "recall".parse().expect("a reason")),
                opens,
                closes,
                cancel_window: windows.0,
                return_window: windows.1,
                allocation,
            }
        })
}

fn ask() -> impl Strategy<Value = Ask> {
    let second = i64::try_from(SECOND).expect("small");
    let day = i64::try_from(DAY).expect("small");
    let age = prop_oneof![
        16 => Just(0),
        1 => -90 * second..300 * second,
        1 => Just(-6 * day),
        1 => Just(-8 * day),
        1 => Just(301 * second),
    ];
    let again = prop::option::weighted(0.2, 1..12_usize);
    let not_after = prop_oneof![12 => Just(10 * second), 1 => Just(-1), 3 => 0..30 * second];
    let renew = (prop::option::weighted(0.75, age), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (what(), (0..SLOTS, prop::bool::weighted(0.7)), renew, 1..4_u32, not_after, again).prop_map(
        |(what, (slot, aim), (renew, in_vain, hashed), attempt, not_after, again)| Ask {
            what,
            slot,
            aim,
            renew,
            in_vain,
            hashed,
            attempt,
            not_after,
            again,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        12 => 0..3 * SECOND,
        4 => 10 * SECOND..90 * SECOND,
        1 => Just(3_600 * SECOND),
        1 => Just(8 * DAY),
        1 => Just(401 * DAY),
    ];
    prop_oneof![
        10 => prop::collection::vec(ask(), 0..5).prop_map(Step::Entry),
        4 => wait.prop_map(Step::Wait),
        2 => any::<bool>().prop_map(|evict| Step::Checkpoint { evict }),
        1 => Just(Step::Restart),
    ]
}

/// Whether something comes of it in that state.
fn fits(what: &What, state: ReservationState) -> bool {
    use ReservationState::*;
    match what {
        What::Commit { revive: true, .. } => state == Expired,
        What::Commit { .. } | What::Release { .. } | What::Extend { .. } => matches!(state, Held | PartlyCommitted),
        What::Replace { .. } | What::Paying { .. } => state == Held,
        _ => state == Committed,
    }
}

/// Makes commands of asks.
struct World {
    now: u64,
    made: u64,
    reservations: Vec<ReservationId>,
    operations: Vec<OperationId>,
    every_reservation: Vec<ReservationId>,
    every_operation: Vec<OperationId>,
    sent: Vec<Command>,
    pools: Vec<PoolKey>,
    /// Operations that may have begun a transfer, the last ones.
    transfers: Vec<OperationId>,
    versions: BTreeMap<Sku, u64>,
    /// How the first SKU is sold, which most is asked of.
    deduct: Deduct,
    /// In which state each reservation is, and its lines.
    states: BTreeMap<ReservationId, (ReservationState, Vec<PoolKey>)>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            now: BASE.0,
            made: 0,
            reservations: Vec::new(),
            operations: Vec::new(),
            every_reservation: Vec::new(),
            every_operation: Vec::new(),
            sent: Vec::new(),
            pools: pools(),
            transfers: Vec::new(),
            versions: BTreeMap::new(),
            deduct: Deduct::OnCommit,
            states: BTreeMap::new(),
        };
        for slot in 0..SLOTS {
            world.reservations.push(reservation_id(TimeMs(0), 0));
            world.operations.push(operation_id(TimeMs(0), 0));
            world.renew(slot, 0, false);
        }
        world
    }

    fn renew(&mut self, slot: usize, age: i64, hashed: bool) {
        self.made += 1;
        let time = TimeMs(self.now.checked_add_signed(age).expect("long after 1970"));
        let home = Bucket::new(77).expect("below 16,384");
        let id = if hashed { ReservationId::hashed(home, self.made) } else { reservation_id(time, self.made) };
        self.reservations[slot] = id;
        self.operations[slot] = operation_id(time, self.made);
        self.every_reservation.push(id);
        self.every_operation.push(self.operations[slot]);
    }

    fn command(&mut self, ask: &Ask) -> Command {
        let not_after = TimeMs(self.now.checked_add_signed(ask.not_after).expect("long after 1970"));
        if let Some(back) = ask.again
            && back <= self.sent.len()
        {
            let before = self.sent[self.sent.len() - back].clone();
            return Command { attempt: ask.attempt, not_after, ..before };
        }
        let ends = matches!(ask.what, What::Commit { .. } | What::Release { .. } | What::Extend { .. })
            || matches!(ask.what, What::Replace { .. } | What::Paying { .. } | What::Ship { .. })
            || matches!(ask.what, What::Cancel { .. } | What::Return { .. });
        if let Some(age) = ask.renew.filter(|_| !ends || ask.in_vain) {
            self.renew(ask.slot, age, ask.hashed);
        }
        // What ends a hold has mostly an operation of its own.
        let fresh = ends && ask.renew.is_some() && !ask.in_vain;
        if fresh {
            self.made += 1;
            self.operations[ask.slot] = operation_id(TimeMs(self.now), self.made);
            self.every_operation.push(self.operations[ask.slot]);
        }
        let mut slots = (0..SLOTS).map(|n| (ask.slot + n) % SLOTS);
        let fits =
            |slot: &usize| self.states.get(&self.reservations[*slot]).is_some_and(|(state, _)| fits(&ask.what, *state));
        let aimed = if ask.aim && ends { slots.find(fits) } else { None };
        let id = self.reservations[aimed.unwrap_or(ask.slot)];
        let named = self.states.get(&id).filter(|_| aimed.is_some()).map_or(Vec::new(), |(_, lines)| lines.clone());
        let own = self.operations[ask.slot];
        let pools = self.pools.clone();
        let operations = if fresh { vec![own; SLOTS] } else { self.operations.clone() };
        // Mostly pools that it has.
        let at = |at: usize| if at < 6 { named.get(at % named.len().max(1)).unwrap_or(&pools[at]) } else { &pools[at] };
        let parts = |parts: &[(usize, u64)]| parts.iter().map(|(n, units)| part(at(*n), *units)).collect();
        let operation = |slot: &Option<usize>| slot.map(|slot| operations[slot]);
        let asked = |lines: &[(usize, u64, u64, bool)], best: bool| -> Vec<Line> {
            let line = |(at, quantity, minimum, open): &(usize, u64, u64, bool)| {
                let named = line(&pools[*at], *quantity);
                let minimum = units(if best { (*minimum).min(*quantity) } else { 0 });
                Line { minimum, location: named.location.clone().filter(|_| !open), ..named }
            };
            lines.iter().map(line).collect()
        };
        let body = match &ask.what {
            What::Reserve { lines, ttl, best, chosen, owner, zone } => {
                let reserve = reserve(id, asked(lines, *best), DurationMs(*ttl));
                let owner = OWNERS[*owner].parse().expect("an owner");
                Body::Reserve(Reserve { best_effort: *best, ttl_chosen: *chosen, owner, zone: *zone, ..reserve })
            }
            What::Replace { lines, best, zone, operation: slot } => Body::Replace(Replace {
                id,
                operation: operations[*slot],
                namespace: Namespace::default(),
                lines: asked(lines, *best),
                best_effort: *best,
                zone: *zone,
                shards: Vec::new(),
            }),
            What::Paying { grace, operation: slot } => {
                Body::MarkPaying(MarkPaying { id, operation: operations[*slot], grace: DurationMs(*grace) })
            }
            What::Ship { parts: named, operation: slot } => {
                Body::Ship(Ship { id, operation: operations[*slot], parts: parts(named) })
            }
            What::Cancel { parts: named, operation: slot } => {
                let (operation, reason) = (operations[slot.unwrap_or(ask.slot)], Reason::default());
                Body::Cancel(Cancel { id, operation, parts: parts(named), reason })
            }
            What::Return { parts: named, fit, operation: slot } => Body::Return(Return {
                id,
                operation: operations[*slot],
                parts: parts(named),
                disposition: if *fit { Disposition::Sellable } else { Disposition::Unavailable },
                reason: Reason::default(),
            }),
            What::Commit { parts: named, keep_rest, revive, operation: slot } => Body::Commit(Commit {
                id,
                operation: operation(slot),
                parts: parts(named),
                keep_rest: *keep_rest && !revive,
                revive: *revive,
            }),
            What::Release { parts: named, operation: slot } => {
                Body::Release(Release { id, operation: operation(slot), parts: parts(named) })
            }
            What::Extend { ttl, operation: slot } => extend(id, self.operations[*slot], DurationMs(*ttl)),
            What::Receive { pool, units } => receive(own, &self.pools[*pool], *units),
            What::Adjust { pool, delta, expected } => Body::Adjust(Adjust {
                operation: own,
                pool: self.pools[*pool].clone(),
                delta: *delta,
                reason: Reason::default(),
                expected_on_hand: expected.map(units),
            }),
            What::Forget => Body::Forget(Forget {
                reservations: self.every_reservation.clone(),
                operations: self.every_operation.clone(),
            }),
            other => Body::Stockkeeping(self.keeping(other, own)),
        };
        let request_id = format!("r{}", self.made).parse().expect("a request id");
        let context = Context { request_id, ..Context::default() };
        let command = Command { context, not_after, attempt: ask.attempt, heard: true, body };
        self.sent.push(command.clone());
        command
    }
}

impl World {
    /// What a keeper of the stock asks.
    fn keeping(&mut self, what: &What, operation: OperationId) -> Stockkeeping {
        let reason: Reason = "damaged".parse().expect("a reason");
        let document = |number: usize| -> Document { format!("d{number}").parse().expect("a document") };
        match what {
            What::Set { pool, on_hand, expected, overriding } => Stockkeeping::Set(SetOnHand {
                operation,
                pool: self.pools[*pool].clone(),
                on_hand: units(*on_hand),
                expected_on_hand: expected.map(units),
                overriding: *overriding,
                reason,
            }),
            What::Count { pool, counted, books, seen } => Stockkeeping::Count(Count {
                operation,
                pool: self.pools[*pool].clone(),
                counted: units(*counted),
                observed: books.map(|books| Observed {
                    at: ObservedAt::Position(LogIndex(1)),
                    on_hand: units(books),
                    seen: seen.map(|(at, counts)| Seen { moment: BASE.plus(DurationMs(at * 700)), counts }),
                }),
                document: Document::default(),
                reason,
            }),
            What::Quarantine { pool, step, units: quantity, reason: told } => Stockkeeping::Quarantine(Quarantine {
                operation,
                pool: self.pools[*pool].clone(),
                step: QuarantineStep::from_tag(*step).expect("1 to 3"),
                quantity: units(*quantity),
                reason: if *told { reason } else { Reason::default() },
            }),
            What::Transfer { pool, to, units: quantity, immediate } => {
                self.transfers.push(operation);
                Stockkeeping::Transfer(Transfer {
                    operation,
                    from: self.pools[*pool].clone(),
                    to: LOCATIONS[*to].parse().expect("a location"),
                    quantity: units(*quantity),
                    immediate: *immediate,
                    document: document(9),
                    reason,
                })
            }
            What::Arrive { transfer, pool, received, lost } => {
                let back = self.transfers.iter().rev().nth(*transfer);
                Stockkeeping::Arrive(Arrive {
                    operation,
                    namespace: Namespace::default(),
                    sku: self.pools[*pool].sku.clone(),
                    transfer: back.copied().unwrap_or(operation),
                    received: units(*received),
                    lost: units(*lost),
                    document: document(8),
                    reason,
                })
            }
            What::Expect { pool, document: number, date, units: quantity } => Stockkeeping::Expect(Expect {
                operation,
                pool: self.pools[*pool].clone(),
                // The first is that of all receipts.
                document: if *number == 0 { "note".parse().expect("a document") } else { document(*number) },
                date: TimeMs(BASE.0 + date * SECOND),
                quantity: units(*quantity),
            }),
            What::Configure { sku, version, settings } => {
                let sku: Sku = SKUS[*sku].parse().expect("a sku");
                let known = self.versions.get(&sku).copied().unwrap_or(0);
                let namespace = Namespace::default();
                let moment = |time: TimeMs| TimeMs(self.now + time.0 - 30 * SECOND);
                let (opens, closes) = (settings.opens.map(moment), settings.closes.map(moment));
                // Once units are promised the way they leave stays, so mostly it is not asked to change.
                let fixed = sku.as_str() == SKUS[0] && !self.made.is_multiple_of(8);
                let deduct = if fixed { self.deduct } else { settings.deduct };
                let settings = Box::new(Settings { deduct, opens, closes, ..settings.clone() });
                let expected_version = known + version;
                Stockkeeping::Configure(Configure { operation, namespace, sku, expected_version, settings })
            }
            other => unreachable!("{other:?} is of another kind"),
        }
    }
}

/// The second ledger, with its disk and the log since its last checkpoint.
struct Second {
    ledger: Ledger,
    store: Store,
    log: Vec<(u64, Batch)>,
}

impl Second {
    fn checkpoint(&mut self) {
        self.store.checkpoint(&mut self.ledger);
        self.log.clear();
        if self.ledger.rules() > 0 {
            assert_eq!(self.store.digest(), self.ledger.digest(), "the records are the state");
        }
    }

    fn restart(&mut self) {
        self.ledger = self.store.load();
        for (index, batch) in std::mem::take(&mut self.log) {
            self.store.follow(&mut self.ledger, index, &batch);
            self.log.push((index, batch));
        }
    }
}

/// Follows the journal: the chain of blocks, the sums of movements, and the links back.
#[derive(Default)]
struct Journal {
    last: earmark_ledger::BlockHash,
    sums: BTreeMap<PoolKey, [i64; 7]>,
    of_pool: BTreeMap<PoolKey, Position>,
    of_reservation: BTreeMap<ReservationId, Position>,
}

impl Journal {
    fn follow(&mut self, block: &bytes::Bytes) {
        let block = Block::decode(block).expect("was written here");
        assert_eq!(block.previous(), self.last);
        self.last = block.hash();
        for (ordinal, movement) in (0_u32..).zip(block.movements()) {
            let movement: Movement = movement.expect("was written here");
            assert_eq!(movement.position, Position { ordinal, ..block.position() });
            assert_eq!(block.movement(ordinal), Ok(Some(movement.clone())));
            assert_eq!(movement.previous_of_pool, self.of_pool.insert(movement.pool.clone(), movement.position));
            if let Some(id) = movement.reservation {
                let before = self.of_reservation.insert(id, movement.position);
                // A hashed id begins anew once it was forgotten.
                let anew = movement.previous_of_reservation.is_none() && id.kind() == IdKind::Hashed;
                assert!(movement.previous_of_reservation == before || anew);
            }
            let Delta { on_hand, available, held, committed, unavailable, short, in_transit } = movement.delta;
            let sum = self.sums.entry(movement.pool).or_default();
            for (sum, delta) in
                sum.iter_mut().zip([on_hand, available, held, committed, unavailable, short, in_transit])
            {
                *sum += delta;
            }
        }
        assert_eq!(block.movement(u32::try_from(block.len()).expect("small")), Ok(None));
    }
}

/// Runs the steps, and tells which kinds of answers there were to which kinds of commands.
fn run(steps: Vec<Step>) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let mut world = World::new();
    let mut steps = steps;
    if steps.iter().filter(|step| matches!(step, Step::Wait(_))).count() % 2 == 0 {
        world.deduct = Deduct::OnShip;
        let settings = Settings { deduct: Deduct::OnShip, ..Settings::default() };
        let what = What::Configure { sku: 0, version: 0, settings };
        let (not_after, renew) = (10_000, Some(0));
        let first =
            Ask { what, slot: 0, aim: false, renew, in_vain: false, hashed: false, attempt: 1, not_after, again: None };
        steps.insert(0, Step::Entry(vec![first]));
    }
    let mut naive = Naive::default();
    let mut first = Ledger::new(SHARD);
    let mut second = Second { ledger: Ledger::new(SHARD), store: Store::default(), log: Vec::new() };
    let mut journal = Journal::default();
    let mut index = 0;
    for step in steps {
        match step {
            Step::Wait(ms) => world.now += ms,
            Step::Checkpoint { evict } => {
                second.checkpoint();
                if evict {
                    second.ledger.evict();
                }
            }
            Step::Restart => second.restart(),
            Step::Entry(asks) => {
                index += 1;
                let commands = asks.iter().map(|ask| world.command(ask)).collect();
                let batch = Batch { rules: RULES_NEWEST, time: TimeMs(world.now), digest: true, commands };
                let decoded = earmark_ledger::codec::decode_batch(earmark_ledger::codec::encode_batch(&batch));
                assert_eq!(decoded.as_ref(), Ok(&batch));
                let fresh = match &batch.commands[..] {
                    [one] => Some(first.judge_fresh(one, batch.time)),
                    _ => None,
                };
                let expected = naive.apply(index, &batch);
                let applied = first.apply(LogIndex(index), &batch);
                if let Some(Fresh::Refuse(refusal)) = fresh {
                    let Verdict::Refused(told) = &applied.outcomes[0].verdict else { panic!("{refusal:?} was told") };
                    // What the id alone decides is decided by the entry's time.
                    let by_id = matches!(told, Refusal::IdempotencyTooOld | Refusal::InvalidArgument(_));
                    assert!(by_id || std::mem::discriminant(told) == std::mem::discriminant(&refusal));
                }
                world.states = world
                    .every_reservation
                    .iter()
                    .filter_map(|id| {
                        let view = naive.view_of(*id)?;
                        Some((*id, (view.state, view.lines.into_iter().map(|line| line.pool).collect())))
                    })
                    .collect();
                world.versions = naive.settings.iter().map(|(sku, version, _)| (sku.clone(), *version)).collect();
                try_dry(&naive, &mut first, &batch);
                for (at, (got, expected)) in applied.outcomes.iter().zip(&expected).enumerate() {
                    assert_eq!(got, expected, "command {at} of entry {index}: {:#?}", batch.commands[at]);
                    told.insert(kind_of(&batch.commands[at].body, &got.verdict));
                    let bytes = earmark_ledger::codec::encode_outcome(got);
                    assert_eq!(earmark_ledger::codec::decode_outcome(bytes).as_ref(), Ok(got));
                }
                assert_eq!(applied.outcomes.len(), expected.len());
                if let Some(block) = &applied.journal {
                    journal.follow(block);
                }
                second.store.apply_also(&mut second.ledger, index, &batch, &applied);
                second.log.push((index, batch));
                compare(&naive, &mut first, &second, &journal, &world);
            }
        }
    }
    second.checkpoint();
    assert_eq!(first.digest(), second.ledger.digest());
    told
}

fn word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

fn late(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Done(Done::Reservation(view)) => view.deadline <= view.since,
        Verdict::Done(_) => false,
        Verdict::Refused(_) => true,
    }
}

fn kind_of(body: &Body, verdict: &Verdict) -> String {
    let asked = match body {
        Body::Stockkeeping(Stockkeeping::Quarantine(asked)) => word(&asked.step),
        Body::Stockkeeping(asked) => word(asked),
        // Told apart by what comes of it: the hold had expired.
        Body::Commit(commit) if commit.revive && late(verdict) => "Revive".to_owned(),
        other => word(other),
    };
    let told = match verdict {
        Verdict::Done(_) => "done".to_owned(),
        Verdict::Refused(refusal) => word(refusal),
    };
    format!("{asked} {told}")
}

/// What every reserve of the batch would be answered under a new id, without an effect.
fn try_dry(naive: &Naive, first: &mut Ledger, batch: &Batch) {
    let digest = first.digest();
    for command in &batch.commands {
        let Body::Reserve(reserve) = &command.body else { continue };
        let id = reservation_id(TimeMs(naive.clock), u64::MAX);
        let command = Command {
            body: Body::Reserve(Reserve { id, ..reserve.clone() }),
            not_after: TimeMs::MAX,
            ..command.clone()
        };
        let expected = match naive.clone().judge(&command) {
            Ok((done, _)) => Verdict::Done(done),
            Err(refusal) => Verdict::Refused(refusal),
        };
        assert_eq!(first.dry_run(&command), expected);
    }
    assert_eq!(first.digest(), digest);
}

fn compare(naive: &Naive, first: &mut Ledger, second: &Second, journal: &Journal, world: &World) {
    assert_eq!(first.violations(), Vec::new());
    assert_eq!(second.ledger.violations(), Vec::new());
    assert_eq!(first.oversold_units(), 0);
    assert_eq!(first.journal_hash(), journal.last);
    for pool in &naive.pools {
        let key = &pool.key;
        let views = first.stock(&key.namespace, &key.sku, Some(&key.location)).expect("is stocked");
        assert_eq!(views, vec![naive.pool_view(pool)]);
        // A pool may have been made by a transfer that is told by its own first movement.
        let sums = journal.sums[key].map(i128::from);
        let Pool { on_hand, available, held, committed, unavailable, short, in_transit, .. } = pool;
        assert_eq!(sums, [*on_hand, *available, *held, *committed, *unavailable, *short, *in_transit]);
        assert!(pool.inflow <= 1 << 53);
    }
    for ledger in [&*first, &second.ledger] {
        compare_stock(naive, ledger);
    }
    for id in &world.every_reservation {
        let expected = naive.view_of(*id);
        let of_first = match first.reservation(*id) {
            Lookup::Found(view) => Some(view),
            Lookup::Absent => None,
            Lookup::Cold(key) => panic!("{key:?} is cold, but nothing was evicted"),
        };
        assert_eq!(of_first, expected);
        let of_second = match second.ledger.reservation(*id) {
            Lookup::Found(view) => Some(view),
            Lookup::Absent => None,
            Lookup::Cold(key) => second
                .store
                .0
                .get(key.as_bytes())
                .map(|value| second.ledger.cold_reservation(value).expect("was written here")),
        };
        assert_eq!(of_second, expected);
    }
}

/// What is read about the stock side, of either ledger.
fn compare_stock(naive: &Naive, ledger: &Ledger) {
    let namespace = Namespace::default();
    let mut shortages: Vec<_> = naive.pools.iter().filter_map(|pool| naive.shortage(pool)).collect();
    shortages.sort_by_key(|view| earmark_ledger::records::pool_key_bytes(&view.pool));
    assert_eq!(ledger.shortages(&namespace, None, 100), shortages);
    if let [first, rest @ ..] = &shortages[..] {
        assert_eq!(ledger.shortages(&namespace, Some(&first.pool), 100), rest);
        assert_eq!(ledger.shortages(&namespace, None, 1), shortages[..1]);
    }
    for sku in SKUS.map(|sku| sku.parse::<Sku>().expect("a sku")) {
        if !naive.knows(&sku) {
            assert!(ledger.settings(&namespace, &sku).is_err());
            continue;
        }
        let told = ledger.settings(&namespace, &sku).expect("is known");
        assert_eq!((told.version, told.settings), (naive.version_of(&sku), naive.settings_of(&sku)));
        let mut transits: Vec<_> = naive.transits.iter().filter(|transit| transit.to.sku == sku).collect();
        transits.sort_by_key(|transit| transit.id);
        let transits: Vec<_> = transits.into_iter().map(Naive::transit_view).collect();
        assert_eq!(ledger.in_transit(&namespace, &sku, None, 100).as_ref(), Ok(&transits));
        let mut of_sku: Vec<_> = naive.pools.iter().filter(|pool| pool.key.sku == sku).collect();
        of_sku.sort_by_key(|pool| earmark_ledger::records::pool_key_bytes(&pool.key));
        let expected = of_sku.iter().flat_map(|pool| pool.expected.iter().map(|one| (pool.key.clone(), one.clone())));
        let told = ledger.expected(&namespace, &sku).expect("is known");
        let told =
            told.into_iter().map(|view| (view.pool, (view.document, view.date.0, i128::from(view.quantity.units()))));
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    for owner in OWNERS.map(|owner| owner.parse::<Owner>().expect("an owner")) {
        let live = naive.live_of(&owner);
        assert_eq!(ledger.reservations_of(&namespace, &owner, None, 100), live);
        if let [first, rest @ ..] = &live[..] {
            assert_eq!(ledger.reservations_of(&namespace, &owner, Some(first.id), 100), rest);
            assert_eq!(ledger.reservations_page(&namespace, &owner, None, 100, 1), live[..1], "ended by its lines");
        }
    }
    let due = naive.due();
    assert_eq!(ledger.expiring(TimeMs(0), TimeMs::MAX, 1_000), due);
    let told = |page: earmark_ledger::ExpiringPage| {
        let holds = page.holds.iter().map(|hold| (hold.deadline, hold.id)).collect::<Vec<_>>();
        (holds, page.upto)
    };
    assert_eq!(told(ledger.expiring_in(&namespace, TimeMs::MAX, None, 1_000)), (due.clone(), None));
    let nobody = "nobody".parse().expect("a namespace");
    assert_eq!(told(ledger.expiring_in(&nobody, TimeMs::MAX, None, 1_000)), (Vec::new(), None));
    if let [first, rest @ ..] = &due[..] {
        let page = told(ledger.expiring_in(&namespace, TimeMs::MAX, None, 1));
        assert_eq!(page, (vec![*first], (!rest.is_empty()).then_some(*first)));
        assert_eq!(told(ledger.expiring_in(&namespace, TimeMs::MAX, Some(*first), 1_000)), (rest.to_vec(), None));
        assert_eq!(told(ledger.expiring_in(&namespace, first.0, None, 1_000)), (Vec::new(), None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_answers_like_a_naive_one(steps in prop::collection::vec(step(), 1..120)) {
        run(steps);
    }
}

/// A model proves nothing about what its runs never reach.
#[test]
fn the_runs_reach_every_answer() {
    let mut runner = TestRunner::deterministic();
    let mut told = BTreeSet::new();
    for _ in 0..400 {
        let steps = prop::collection::vec(step(), 100).new_tree(&mut runner).expect("can be made");
        told.extend(run(steps.current()));
    }
    let done = ["Reserve", "Commit", "Release", "Extend", "Receive", "Adjust", "Set", "Count", "SetApart", "Back"];
    let done = done.iter().chain(&["WriteOff", "Transfer", "Arrive", "Expect", "Configure"]);
    let done = done.chain(&["Replace", "MarkPaying", "Revive", "Ship", "Cancel", "Return"]);
    let refused = [
        "Reserve SkuFrozen",
        "Reserve SaleNotOpen",
        "Reserve SaleClosed",
        "Reserve LimitExceeded",
        "Reserve PolicyUnsatisfiable",
        "Reserve InsufficientStock",
        "Reserve InvalidArgument",
        "Reserve NotFound",
        "Set VersionStale",
        "Count NotFound",
        "Count InvalidArgument",
        "Count Contended",
        "SetApart InsufficientStock",
        "Back InsufficientStock",
        "WriteOff InsufficientStock",
        "Transfer InsufficientStock",
        "Transfer InvalidArgument",
        "Arrive InsufficientStock",
        "Arrive NotFound",
        "Configure SettingsStale",
        "Configure InvalidArgument",
        "Replace SkuFrozen",
        "Replace LimitExceeded",
        "Replace InsufficientStock",
        "Replace NotFound",
        "Replace ReservationExpired",
        "Replace ReservationState",
        "MarkPaying InvalidArgument",
        "MarkPaying ReservationState",
        "MarkPaying ReservationExpired",
        "Revive ReservationExpired",
        "Revive InsufficientStock",
        "Ship ReservationState",
        "Ship InsufficientStock",
        "Cancel ReservationState",
        "Cancel InsufficientStock",
        "Return ReservationState",
        "Return InsufficientStock",
        "Return NotFound",
    ];
    let wanted = done.map(|name| format!("{name} done")).chain(refused.map(str::to_owned));
    let missing: Vec<String> = wanted.filter(|wanted| !told.contains(wanted)).collect();
    assert!(missing.is_empty(), "never told: {missing:?}; told: {told:#?}");
}
