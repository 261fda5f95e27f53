//! Long random runs of the ledger beside a deliberately naive one, and beside itself: a second ledger that writes
//! checkpoints, lets go of what is old, is given back what commands name, and is restarted in the middle.
//!
//! All three must agree on every answer; the two real ones on every byte and digest as well.

#[path = "model/naive.rs"]
mod naive;
mod support;

use earmark_ledger::{
    Ledger, Lookup,
    command::*,
    journal::Block,
    movement::{Delta, Movement},
    types::*,
};
use naive::Naive;
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::*;

const SKUS: [&str; 3] = ["shoe", "sock", "scarf"];
const LOCATIONS: [&str; 2] = ["berlin", "paris"];
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
    /// Make a new id for that slot, dated so many milliseconds from now.
    renew: Option<i64>,
    hashed: bool,
    attempt: u32,
    /// Milliseconds from now.
    not_after: i64,
    /// Another sending of something asked before, counted back.
    again: Option<usize>,
}

#[derive(Clone, Debug)]
enum What {
    Reserve { lines: Vec<(usize, u64, u64)>, ttl: u64, best: bool, chosen: bool },
    Commit { parts: Vec<(usize, u64)>, keep_rest: bool, operation: Option<usize> },
    Release { parts: Vec<(usize, u64)>, operation: Option<usize> },
    Extend { ttl: u64, operation: usize },
    Receive { pool: usize, units: u64 },
    Adjust { pool: usize, delta: i64, expected: Option<u64> },
    Forget,
}

fn pools() -> Vec<PoolKey> {
    SKUS.iter().flat_map(|sku| LOCATIONS.iter().map(|location| pool(sku, location))).collect()
}

fn what() -> impl Strategy<Value = What> {
    let at = 0..6_usize;
    let ttl = prop_oneof![3 => 1_000..20_000_u64, 1 => 60_000..7_200_000_u64, 1 => Just(0_u64)];
    let parts = prop::collection::vec((0..6_usize, 0..4_u64), 0..3);
    let operation = prop_oneof![1 => Just(None), 4 => (0..SLOTS).prop_map(Some)];
    prop_oneof![
        8 => (prop::collection::vec((at.clone(), 1..5_u64, 0..3_u64), 1..4), ttl.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(lines, ttl, best, chosen)| What::Reserve { lines, ttl, best, chosen }),
        4 => (parts.clone(), any::<bool>(), operation.clone())
            .prop_map(|(parts, keep_rest, operation)| What::Commit { parts, keep_rest, operation }),
        3 => (parts, operation).prop_map(|(parts, operation)| What::Release { parts, operation }),
        2 => (ttl, 0..SLOTS).prop_map(|(ttl, operation)| What::Extend { ttl, operation }),
        4 => (at.clone(), 1..8_u64).prop_map(|(pool, units)| What::Receive { pool, units }),
        3 => (at, -6..4_i64, prop::option::weighted(0.2, 0..5_u64))
            .prop_map(|(pool, delta, expected)| What::Adjust { pool, delta, expected }),
        1 => Just(What::Forget),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let second = i64::try_from(SECOND).expect("small");
    let day = i64::try_from(DAY).expect("small");
    let age = prop_oneof![
        8 => Just(0),
        1 => -90 * second..300 * second,
        1 => Just(-6 * day),
        1 => Just(-8 * day),
        1 => Just(301 * second),
    ];
    let again = prop::option::weighted(0.2, 1..12_usize);
    let not_after = prop_oneof![12 => Just(10 * second), 1 => Just(-1), 2 => 0..30 * second];
    (what(), 0..SLOTS, prop::option::weighted(0.35, age), prop::bool::weighted(0.1), 1..4_u32, not_after, again)
        .prop_map(|(what, slot, renew, hashed, attempt, not_after, again)| Ask {
            what,
            slot,
            renew,
            hashed,
            attempt,
            not_after,
            again,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        6 => 0..3 * SECOND,
        3 => 10 * SECOND..90 * SECOND,
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
        if let Some(age) = ask.renew {
            self.renew(ask.slot, age, ask.hashed);
        }
        let id = self.reservations[ask.slot];
        let own = self.operations[ask.slot];
        let parts = |parts: &[(usize, u64)]| parts.iter().map(|(at, units)| part(&self.pools[*at], *units)).collect();
        let operation = |slot: &Option<usize>| slot.map(|slot| self.operations[slot]);
        let body = match &ask.what {
            What::Reserve { lines, ttl, best, chosen } => {
                let lines = lines.iter().map(|(at, quantity, minimum)| Line {
                    minimum: units(if *best { (*minimum).min(*quantity) } else { 0 }),
                    ..line(&self.pools[*at], *quantity)
                });
                let reserve = reserve(id, lines.collect(), DurationMs(*ttl));
                Body::Reserve(Reserve { best_effort: *best, ttl_chosen: *chosen, ..reserve })
            }
            What::Commit { parts: named, keep_rest, operation: slot } => {
                Body::Commit(Commit { id, operation: operation(slot), parts: parts(named), keep_rest: *keep_rest })
            }
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
        };
        let request_id = format!("r{}", self.made).parse().expect("a request id");
        let context = Context { request_id, ..Context::default() };
        let command = Command { context, not_after, attempt: ask.attempt, body };
        self.sent.push(command.clone());
        command
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
            self.store.apply(&mut self.ledger, index, &batch);
            self.log.push((index, batch));
        }
    }
}

/// Follows the journal: the chain of blocks, the sums of movements, and the links back.
#[derive(Default)]
struct Journal {
    last: earmark_ledger::BlockHash,
    sums: BTreeMap<PoolKey, [i64; 6]>,
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
            let Delta { on_hand, available, held, committed, unavailable, short } = movement.delta;
            let sum = self.sums.entry(movement.pool).or_default();
            for (sum, delta) in sum.iter_mut().zip([on_hand, available, held, committed, unavailable, short]) {
                *sum += delta;
            }
        }
        assert_eq!(block.movement(u32::try_from(block.len()).expect("small")), Ok(None));
    }
}

fn run(steps: Vec<Step>) {
    let mut world = World::new();
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
                let expected = naive.apply(index, &batch);
                let applied = first.apply(LogIndex(index), &batch);
                for (at, (got, expected)) in applied.outcomes.iter().zip(&expected).enumerate() {
                    assert_eq!(got, expected, "command {at} of entry {index}: {:#?}", batch.commands[at]);
                    let bytes = earmark_ledger::codec::encode_outcome(got);
                    assert_eq!(earmark_ledger::codec::decode_outcome(bytes).as_ref(), Ok(got));
                }
                assert_eq!(applied.outcomes.len(), expected.len());
                if let Some(block) = &applied.journal {
                    journal.follow(block);
                }
                let also = second.store.apply(&mut second.ledger, index, &batch);
                assert_eq!(also, applied, "what is in memory must not matter");
                second.log.push((index, batch));
                compare(&naive, &mut first, &second, &journal, &world);
            }
        }
    }
    second.checkpoint();
    assert_eq!(first.digest(), second.ledger.digest());
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
        let [on_hand, available, held, committed, unavailable, short] = journal.sums[key];
        let sums = [on_hand, available, held, short].map(i128::from);
        assert_eq!(sums, [pool.on_hand, pool.available, pool.held, pool.short]);
        assert_eq!((committed, unavailable), (0, 0));
        assert!(pool.inflow <= 1 << 53);
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_answers_like_a_naive_one(steps in prop::collection::vec(step(), 1..120)) {
        run(steps);
    }
}
