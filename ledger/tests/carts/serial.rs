//! Without faults and one after the other, carts over several shards are told what a naive ledger tells that has all
//! pools in one map.

use crate::{support::*, world::*};
use earmark_ledger::{command::*, outcome::*, types::*};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SHARDS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        home: u32,
        lines: Vec<(usize, u64, u64)>,
        best: bool,
        ttl: u64,
    },
    /// Of the n-th cart so far; the parts by their place in the cart.
    Commit {
        cart: usize,
        parts: Vec<(usize, u64)>,
        keep_rest: bool,
    },
    Release {
        cart: usize,
        parts: Vec<(usize, u64)>,
    },
    Receive {
        pool: usize,
        units: u64,
    },
    Wait(u64),
}

fn pools() -> Vec<PoolKey> {
    (1..=SHARDS).flat_map(|shard| [pool(&format!("a{shard}"), "berlin"), pool(&format!("b{shard}"), "paris")]).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let parts = prop::collection::vec((0..6_usize, 1..4_u64), 0..3);
    prop_oneof![
        6 => (1..=SHARDS, prop::collection::vec((0..6_usize, 1..5_u64, 0..3_u64), 1..6), any::<bool>(), 1_000..9_000_u64)
            .prop_map(|(home, lines, best, ttl)| Step::Reserve { home, lines, best, ttl }),
        3 => (0..8_usize, parts.clone(), any::<bool>())
            .prop_map(|(cart, parts, keep_rest)| Step::Commit { cart, parts, keep_rest }),
        2 => (0..8_usize, parts).prop_map(|(cart, parts)| Step::Release { cart, parts }),
        1 => (0..6_usize, 1..6_u64).prop_map(|(pool, units)| Step::Receive { pool, units }),
        2 => (0..4_000_u64).prop_map(Step::Wait),
    ]
}

/// A cart as the naive ledger has it: place of the pool, asked, held, sold.
struct Naive {
    id: ReservationId,
    lines: Vec<(usize, u64, u64, u64)>,
    deadline: TimeMs,
}

struct Run {
    world: World,
    pools: Vec<PoolKey>,
    available: Vec<u64>,
    sold: Vec<u64>,
    carts: Vec<Naive>,
    made: u64,
}

impl Run {
    fn end(&mut self) {
        for cart in self.carts.iter_mut().filter(|cart| cart.deadline <= self.world.now) {
            for (pool, _, held, _) in &mut cart.lines {
                self.available[*pool] += std::mem::take(held);
            }
        }
    }

    fn reserve(&mut self, home: u32, lines: &[(usize, u64, u64)], best: bool, ttl: u64) {
        self.made += 1;
        let id = cart_id(ShardId(home), self.world.now, self.made);
        let asked: Vec<_> = lines.iter().map(|(at, units, _)| (&self.pools[*at], *units)).collect();
        let mut reserve = cart(id, &asked, DurationMs(ttl));
        reserve.best_effort = best;
        let mut summed: Vec<(usize, u64, u64)> = Vec::new();
        for (line, (at, quantity, minimum)) in reserve.lines.iter_mut().zip(lines) {
            let minimum = if best { (*minimum).min(*quantity) } else { 0 };
            line.minimum = units(minimum);
            match summed.iter_mut().find(|(pool, ..)| pool == at) {
                Some((_, sum, least)) => (*sum, *least) = (*sum + quantity, *least + minimum),
                None => summed.push((*at, *quantity, minimum)),
            }
        }
        let outcome = self.world.reserve(&reserve);
        self.world.pump();
        let outcome = match outcome.verdict {
            Verdict::Done(Done::Pending(of)) => {
                let (pending, outcome) = self.world.decided.pop().expect("was decided");
                assert_eq!(pending, of);
                outcome
            }
            _ => outcome,
        };
        let got: Vec<u64> = summed.iter().map(|(at, asked, _)| self.available[*at].min(*asked)).collect();
        let least = |(_, asked, minimum): &(usize, u64, u64)| if best { *minimum } else { *asked };
        let fits = summed.iter().zip(&got).all(|(line, got)| *got >= least(line)) && got.iter().any(|got| *got > 0);
        match (&outcome.verdict, fits) {
            (Verdict::Done(Done::Reserved(reserved)), true) => {
                let told: Vec<_> = reserved.lines.iter().map(|line| (line.pool.key(), line.got.units())).collect();
                let expected: Vec<_> =
                    summed.iter().zip(&got).map(|((at, ..), got)| (self.pools[*at].clone(), *got)).collect();
                assert_eq!(told, expected);
                assert_eq!(reserved.deadline, self.world.now.plus(DurationMs(ttl)));
                for ((at, ..), got) in summed.iter().zip(&got) {
                    self.available[*at] -= got;
                }
                let lines = summed.iter().zip(&got).map(|((at, asked, _), got)| (*at, *asked, *got, 0)).collect();
                self.carts.push(Naive { id, lines, deadline: reserved.deadline });
            }
            (Verdict::Refused(Refusal::InsufficientStock(short)), false) => {
                // Of the first shard that refused: each line it names is truly short.
                assert!(!short.is_empty());
                for short in short {
                    let at = lines[usize::try_from(short.line).expect("small")].0;
                    assert_eq!(short.sellable.units(), self.available[at]);
                    assert!(short.sellable < short.asked);
                }
            }
            (verdict, fits) => panic!("{verdict:?}, but that it fits is {fits}: {reserve:?}"),
        }
    }

    /// Ends units of a cart: all, or parts, of which `sell` are sold, and the rest as told.
    fn end_units(&mut self, cart: usize, parts: &[(usize, u64)], sell: bool, keep_rest: bool) {
        let Some(naive) = self.carts.get_mut(cart) else { return };
        self.made += 1;
        let id = naive.id;
        let operation = Some(operation_id(self.world.now, self.made));
        let mut named = BTreeMap::<usize, u64>::new();
        let mut asked = Vec::new();
        for (place, units) in parts {
            let place = place % naive.lines.len();
            *named.entry(place).or_default() += units;
            asked.push(part(&self.pools[naive.lines[place].0], *units));
        }
        let live = naive.lines.iter().any(|(_, _, held, _)| *held > 0);
        let fits = live && named.iter().all(|(place, units)| naive.lines[*place].2 >= *units);
        let body = match sell {
            true => Body::Commit(Commit { id, operation, parts: asked.clone(), keep_rest, revive: false }),
            false => Body::Release(Release { id, operation, parts: asked.clone() }),
        };
        let outcome = self.world.one(shard_of(id.home()).0, body);
        self.world.pump();
        let done = matches!(outcome.verdict, Verdict::Done(_));
        assert_eq!(done && !outcome.replayed, fits, "{outcome:?}");
        if !fits {
            return;
        }
        for (place, (pool, _, held, sold)) in naive.lines.iter_mut().enumerate() {
            let units = if asked.is_empty() { *held } else { named.get(&place).copied().unwrap_or(0) };
            *held -= units;
            if sell {
                *sold += units;
                self.sold[*pool] += units;
                if !keep_rest || asked.is_empty() {
                    self.available[*pool] += std::mem::take(held);
                }
            } else {
                self.available[*pool] += units;
            }
        }
    }

    fn compare(&mut self) {
        for shard in 1..=SHARDS {
            self.world.tick(shard);
        }
        self.world.pump();
        self.world.assert_rest();
        for (at, pool) in self.pools.iter().enumerate() {
            let held: u64 =
                self.carts.iter().flat_map(|cart| &cart.lines).filter(|line| line.0 == at).map(|line| line.2).sum();
            assert_eq!(self.world.units(pool), (self.available[at], held, self.sold[at]), "{pool:?}");
        }
        for cart in &self.carts {
            let view = self.world.view(cart.id).expect("is known");
            let told: Vec<_> = view.lines.iter().map(|line| (line.held.units(), line.committed.units())).collect();
            let expected: Vec<_> = cart.lines.iter().map(|(_, _, held, sold)| (*held, *sold)).collect();
            assert_eq!(told, expected, "{view:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn one_after_the_other_many_shards_are_as_one(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(SHARDS);
        let pools = pools();
        let available = vec![4, 9, 3, 8, 6, 5];
        world.stock(&pools.iter().zip(available.iter().copied()).collect::<Vec<_>>());
        let mut run = Run { world, pools, sold: vec![0; available.len()], available, carts: Vec::new(), made: 0 };
        for step in steps {
            run.end();
            match step {
                Step::Reserve { home, lines, best, ttl } => run.reserve(home, &lines, best, ttl),
                Step::Commit { cart, parts, keep_rest } => run.end_units(cart, &parts, true, keep_rest),
                Step::Release { cart, parts } => run.end_units(cart, &parts, false, true),
                Step::Receive { pool, units } => {
                    run.made += 1;
                    let key = run.pools[pool].clone();
                    let operation = operation_id(run.world.now, run.made);
                    run.world.one(shard_of_pool(&key).0, receive(operation, &key, units));
                    run.available[pool] += units;
                }
                Step::Wait(ms) => run.world.wait(ms),
            }
            run.end();
            run.compare();
        }
    }
}
