//! Long random runs with every fault at once, and then none: whatever was told and held must agree.

use crate::{steps::*, support::*, world::*};
use earmark_ledger::{command::*, outcome::*, records, types::*};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence, TestRunner},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// One sending of a reserve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sending {
    id: ReservationId,
    /// The request as text.
    body: String,
    attempt: u32,
    not_after: TimeMs,
}

/// How often the interesting things happened in all runs.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    opened: u64,
    held: u64,
    rejected: u64,
    contended: u64,
    joined: u64,
    commits: u64,
    ends_of_carts: u64,
    forgotten: u64,
    evictions: u64,
}

struct Run {
    world: World,
    pools: Vec<PoolKey>,
    made: u64,
    slots: Vec<ReservationId>,
    operations: Vec<OperationId>,
    ids: BTreeSet<ReservationId>,
    /// Places in `pools` of the lines of each.
    asked: BTreeMap<ReservationId, Vec<usize>>,
    every_operation: Vec<OperationId>,
    sent: Vec<(ShardId, Command)>,
    /// Refusals and successes that each sending was told.
    told: BTreeMap<Sending, Verdict>,
    waiting: BTreeMap<Pending, Vec<(Sending, Reserve)>>,
    reserved: BTreeMap<ReservationId, Reserved>,
    /// Whole commits that were told to be done, with what they sold.
    committed: BTreeMap<ReservationId, Vec<(PoolKey, u64)>>,
    /// Units that came in by receive and adjust.
    inflow: BTreeMap<PoolKey, i64>,
    /// Units sold by reservations that were forgotten since.
    gone: BTreeMap<PoolKey, u64>,
    counts: Counts,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new(SHARDS);
        world.skew = |shard| [0, 700, -400, 1_500][shard.0 as usize % 4];
        let pools = pools();
        let stocked: Vec<_> = pools.iter().zip([6, 9, 4, 8, 5, 12, 7, 10]).collect();
        world.stock(&stocked);
        let inflow = stocked.iter().map(|(pool, units)| ((*pool).clone(), i64::try_from(*units).expect("small")));
        let mut run = Self {
            world,
            inflow: inflow.collect(),
            pools: pools.clone(),
            made: 0,
            slots: vec![cart_id(ShardId(1), TimeMs(0), 0); SLOTS],
            operations: vec![operation_id(TimeMs(0), 0); SLOTS],
            ids: BTreeSet::new(),
            asked: BTreeMap::new(),
            every_operation: Vec::new(),
            sent: Vec::new(),
            told: BTreeMap::new(),
            waiting: BTreeMap::new(),
            reserved: BTreeMap::new(),
            committed: BTreeMap::new(),
            gone: BTreeMap::new(),
            counts: Counts::default(),
        };
        for slot in 0..SLOTS {
            let home = u32::try_from(slot).expect("small") % SHARDS + 1;
            run.renew(slot, home, false, 0);
        }
        run
    }

    fn renew(&mut self, slot: usize, home: u32, hashed: bool, age: u64) {
        self.made += 1;
        let home = ShardId(home);
        let time = TimeMs(self.world.now.0 - age);
        // There are few hashed ids, so that they come back after they were forgotten.
        let id = if hashed {
            ReservationId::hashed(home_bucket(home), self.made % 3)
        } else {
            cart_id(home, time, self.made)
        };
        self.slots[slot] = id;
        self.ids.insert(id);
        self.renew_operation(slot, time);
    }

    fn renew_operation(&mut self, slot: usize, time: TimeMs) {
        self.made += 1;
        self.operations[slot] = operation_id(time, self.made);
        self.every_operation.push(self.operations[slot]);
    }

    /// The shard a command goes to, and the command.
    fn command(&mut self, ask: &Ask) -> (ShardId, Command) {
        let not_after = TimeMs(self.world.now.0 + ask.not_after);
        if let Some((back, same)) = ask.again
            && back <= self.sent.len()
        {
            let (shard, before) = self.sent[self.sent.len() - back].clone();
            let other = Command { attempt: ask.attempt, not_after, ..before.clone() };
            return (shard, if same { before } else { other });
        }
        match (&ask.what, ask.renew) {
            (What::Reserve { .. }, Some(home)) => self.renew(ask.slot, home, ask.hashed, ask.age),
            (_, Some(_)) => self.renew_operation(ask.slot, self.world.now),
            (_, None) => {}
        }
        let id = self.slots[ask.slot];
        let home = shard_of(id.home());
        // Mostly pools that it has.
        let lines = self.asked.entry(id).or_default();
        let at = |at: usize| if at < 7 && !lines.is_empty() { lines[at % lines.len()] } else { at };
        let named = |parts: &[(usize, u64)]| parts.iter().map(|(n, units)| part(&self.pools[at(*n)], *units)).collect();
        let operation = |slot: &usize| Some(self.operations[*slot]);
        let own = self.operations[ask.slot];
        let (shard, body) = match &ask.what {
            What::Reserve { lines, ttl, best } => {
                self.asked.insert(id, lines.iter().map(|(at, ..)| *at).collect());
                let asked: Vec<_> = lines.iter().map(|(at, units, _)| (&self.pools[*at], *units)).collect();
                let mut reserve = cart(id, &asked, DurationMs(*ttl));
                reserve.best_effort = *best;
                for (line, (_, quantity, minimum)) in reserve.lines.iter_mut().zip(lines) {
                    line.minimum = units(if *best { (*minimum).min(*quantity) } else { 0 });
                }
                (home, Body::Reserve(reserve))
            }
            What::Commit { parts, keep_rest, operation: slot } => {
                let commit = Commit {
                    id,
                    operation: operation(slot),
                    parts: named(parts),
                    keep_rest: *keep_rest,
                    revive: false,
                };
                (home, Body::Commit(commit))
            }
            What::Release { parts, operation: slot } => {
                (home, Body::Release(Release { id, operation: operation(slot), parts: named(parts) }))
            }
            What::Extend { ttl, operation: slot } => (home, extend(id, self.operations[*slot], DurationMs(*ttl))),
            What::Receive { pool, units } => {
                (shard_of_pool(&self.pools[*pool]), receive(own, &self.pools[*pool], *units))
            }
            What::Adjust { pool, delta } => {
                (shard_of_pool(&self.pools[*pool]), adjust(own, &self.pools[*pool], *delta))
            }
            What::Forget => {
                let reservations = self.ids.iter().copied().filter(|id| shard_of(id.home()) == home).collect();
                (home, Body::Forget(Forget { reservations, operations: self.every_operation.clone() }))
            }
        };
        let context = Context { request_id: format!("r{}", self.made).parse().expect("an id"), ..Context::default() };
        let command = Command { context, not_after, attempt: ask.attempt, body };
        self.sent.push((shard, command.clone()));
        (shard, command)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(ms) => self.world.wait(*ms),
            Step::Tick(shard) => {
                self.world.tick(*shard);
            }
            Step::Clients(asks) => {
                let mut entries = BTreeMap::<ShardId, Vec<Command>>::new();
                for ask in asks {
                    let (shard, command) = self.command(ask);
                    entries.entry(shard).or_default().push(command);
                }
                for (shard, commands) in entries {
                    // What is forgotten has to be seen right before and after.
                    let forget = |command: &Command| matches!(command.body, Body::Forget(_));
                    let (forgets, others): (Vec<_>, Vec<_>) = commands.into_iter().partition(forget);
                    self.clients(shard, others);
                    self.clients(shard, forgets);
                }
            }
            Step::Send(home) => {
                let rows = self.world.rows(ShardId(*home));
                self.world.net.extend(rows);
            }
            Step::Deliver { at, keep } => {
                if !self.world.net.is_empty() {
                    let at = at % self.world.net.len();
                    let packet = if *keep { self.world.net[at].clone() } else { self.world.net.swap_remove(at) };
                    let back = self.world.deliver(packet);
                    self.world.net.extend(back);
                }
            }
            Step::DeliverAll { to, reverse } => self.deliver_all(ShardId(*to), *reverse),
            Step::Lose(at) => {
                if !self.world.net.is_empty() {
                    let at = at % self.world.net.len();
                    self.world.net.swap_remove(at);
                }
            }
            Step::Beat { home, to } if home != to => {
                let packet = self.world.floor(ShardId(*home), ShardId(*to));
                self.world.net.push(packet);
            }
            Step::Beat { .. } => {}
            Step::AskHomes(shard) => {
                let asks = self.world.asks(ShardId(*shard));
                self.world.net.extend(asks);
            }
            Step::Checkpoint { shard, evict: false } => self.world.checkpoint(ShardId(*shard)),
            Step::Checkpoint { shard, evict: true } => {
                self.world.evict(ShardId(*shard));
                self.counts.evictions += 1;
            }
            Step::Restart(shard) => self.world.restart(ShardId(*shard)),
            Step::Pump => self.world.pump(),
        }
        self.hear();
    }

    fn deliver_all(&mut self, to: ShardId, reverse: bool) {
        let net = std::mem::take(&mut self.world.net);
        let (mut here, rest): (Vec<_>, Vec<_>) = net.into_iter().partition(|packet| packet.to == to);
        self.world.net = rest;
        if reverse {
            here.reverse();
        }
        let commands: Vec<Command> = here.into_iter().map(|packet| packet.command).collect();
        let applied = self.world.entry(to, commands.clone());
        for (command, outcome) in commands.iter().zip(&applied.outcomes) {
            let back = self.world.reply(to, command, outcome);
            self.world.net.extend(back);
        }
    }

    fn clients(&mut self, shard: ShardId, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let forgets = commands.iter().any(|command| matches!(command.body, Body::Forget(_)));
        // What is about to be forgotten has to be known, or nobody can add up afterwards.
        let before: Vec<_> = if forgets {
            self.ids.iter().filter_map(|id| self.world.view(*id).map(|view| (*id, view))).collect()
        } else {
            Vec::new()
        };
        let applied = self.world.entry(shard, commands.clone());
        for (id, view) in before {
            if self.world.view(id).is_none_or(|now| now.created != view.created) {
                self.forgotten(id, &view);
            }
        }
        for (command, outcome) in commands.iter().zip(&applied.outcomes) {
            match &command.body {
                Body::Reserve(reserve) => self.reserve_told(command, reserve, outcome),
                Body::Commit(commit) => self.commit_told(commit, outcome),
                Body::Receive(receive) if done_now(outcome) => {
                    let units = i64::try_from(receive.quantity.units()).expect("small");
                    *self.inflow.entry(receive.pool.clone()).or_default() += units;
                }
                Body::Adjust(adjust) if done_now(outcome) => {
                    *self.inflow.entry(adjust.pool.clone()).or_default() += adjust.delta;
                }
                _ => {}
            }
        }
    }

    fn forgotten(&mut self, id: ReservationId, view: &ReservationView) {
        if view.state == ReservationState::Rejected {
            return;
        }
        self.counts.forgotten += 1;
        for line in &view.lines {
            *self.gone.entry(line.pool.clone()).or_default() += line.committed.units();
        }
        self.told.retain(|sending, _| sending.id != id);
        self.reserved.remove(&id);
        self.committed.remove(&id);
    }

    fn reserve_told(&mut self, command: &Command, reserve: &Reserve, outcome: &Outcome) {
        let plain = Reserve { shards: Vec::new(), ..reserve.clone() };
        let sending = Sending {
            id: reserve.id,
            body: format!("{plain:?}"),
            attempt: command.attempt,
            not_after: command.not_after,
        };
        if !outcome.replayed && matches!(outcome.verdict, Verdict::Done(_)) {
            self.must_be_new(&sending);
        }
        match &outcome.verdict {
            Verdict::Done(Done::Pending(pending)) => {
                self.counts.opened += u64::from(!outcome.replayed);
                self.counts.joined += u64::from(outcome.replayed);
                assert_eq!(pending.id, reserve.id);
                self.waiting.entry(*pending).or_default().push((sending, reserve.clone()));
            }
            verdict => self.tell(sending, reserve, verdict),
        }
    }

    /// A sending that was told a refusal never takes effect, and no earlier one that could have been told the same.
    fn must_be_new(&self, sending: &Sending) {
        for (other, verdict) in self.told.iter().filter(|(other, _)| other.id == sending.id) {
            let Verdict::Refused(refusal) = verdict else {
                panic!("{sending:?} begins anew, but {other:?} was told {verdict:?}");
            };
            let contended = *refusal == Refusal::Contended;
            let covers = other.body == sending.body
                && other.not_after >= sending.not_after
                && (!contended || other.attempt >= sending.attempt);
            let remembered =
                !matches!(refusal, Refusal::Late | Refusal::IdempotencyConflict | Refusal::IdempotencyTooOld);
            assert!(!(covers && remembered), "{sending:?} begins anew, but {other:?} was told {refusal:?}");
        }
    }

    fn tell(&mut self, sending: Sending, reserve: &Reserve, verdict: &Verdict) {
        if let Verdict::Done(done) = verdict {
            let Done::Reserved(reserved) = done else { panic!("no answer to a reserve: {done:?}") };
            check_lines(reserve, reserved);
            let first = self.reserved.entry(reserve.id).or_insert_with(|| reserved.clone());
            assert_eq!(first, reserved, "{sending:?}");
        } else if let Some(reserved) = self.reserved.get(&sending.id) {
            let Verdict::Refused(refusal) = verdict else { unreachable!("is no success") };
            let other = matches!(refusal, Refusal::IdempotencyConflict | Refusal::IdempotencyTooOld);
            assert!(other, "{sending:?} is told {refusal:?}, but is held: {reserved:?}");
        }
        self.told.insert(sending, verdict.clone());
    }

    fn commit_told(&mut self, commit: &Commit, outcome: &Outcome) {
        let Verdict::Done(Done::Reservation(view)) = &outcome.verdict else { return };
        self.counts.commits += u64::from(!outcome.replayed);
        if commit.parts.is_empty() {
            let sold = view.lines.iter().map(|line| (line.pool.clone(), line.committed.units())).collect();
            let before = self.committed.insert(commit.id, sold);
            assert!(before.is_none_or(|before| before == self.committed[&commit.id]));
        }
    }

    /// Whoever waited for a decision is told.
    fn hear(&mut self) {
        for (pending, outcome) in std::mem::take(&mut self.world.decided) {
            match &outcome.verdict {
                Verdict::Done(_) => self.counts.held += 1,
                Verdict::Refused(Refusal::Contended) => self.counts.contended += 1,
                Verdict::Refused(_) => self.counts.rejected += 1,
            }
            for (sending, reserve) in self.waiting.remove(&pending).unwrap_or_default() {
                self.tell(sending, &reserve, &outcome.verdict);
            }
        }
        for reserved in self.reserved.values() {
            let view = self.world.view(reserved.id).expect("what was held is known");
            assert!(!matches!(view.state, ReservationState::Open | ReservationState::Rejected), "{view:?}");
            for (line, got) in view.lines.iter().zip(&reserved.lines) {
                let units = [line.held, line.committed, line.released, line.expired].map(Quantity::units);
                assert_eq!((&line.pool, units.iter().sum()), (&got.pool, got.got.units()), "{view:?}");
            }
            assert_eq!(view.lines.len(), reserved.lines.len());
        }
    }

    /// No fault any more: everything must come to rest, and add up.
    fn heal(&mut self) {
        self.world.pump();
        self.hear();
        self.world.wait(3 * SECOND);
        for shard in 1..=SHARDS {
            self.world.tick(shard);
        }
        self.world.pump();
        self.hear();
        self.add_up();
        let live = self.ids.iter().filter_map(|id| self.world.view(*id)).filter(|view| view.lines.len() > 1).count();
        self.counts.ends_of_carts += u64::try_from(live).expect("small");
        // Then all that is held ends.
        self.world.wait(3 * 3_600 * SECOND);
        for shard in 1..=SHARDS {
            self.world.tick(shard);
        }
        self.world.pump();
        self.add_up();
        for pool in &self.pools {
            let view = self.world.pool(pool);
            assert_eq!(view.held.units(), 0, "{view:?}");
        }
        self.world.beat();
        for shard in self.world.shards() {
            assert_eq!(self.world.records(shard, records::PART), 0, "parts of {shard} were not forgotten");
            assert_eq!(self.world.records(shard, records::UNSETTLED), 0, "carts of {shard} did not settle");
            assert_eq!(self.world.records(shard, records::LIVE), 0, "carts of {shard} did not end");
            self.world.restart(shard);
        }
    }

    fn add_up(&self) {
        self.world.assert_rest();
        assert!(self.waiting.is_empty(), "never decided: {:?}", self.waiting);
        self.world.assert_books(&self.ids, &self.pools, &self.gone);
        for pool in &self.pools {
            let view = self.world.pool(pool);
            let on_hand = i64::try_from(view.on_hand.units() + view.sold_total.units()).expect("small");
            assert_eq!(on_hand, self.inflow[pool], "{view:?}");
        }
        for (id, sold) in &self.committed {
            let view = self.world.view(*id).expect("what was sold is known");
            let now: Vec<_> = view.lines.iter().map(|line| (line.pool.clone(), line.committed.units())).collect();
            assert_eq!(&now, sold, "{view:?}");
        }
    }
}

fn done_now(outcome: &Outcome) -> bool {
    !outcome.replayed && matches!(outcome.verdict, Verdict::Done(_))
}

/// All or nothing; or with best effort no less than the minimum, and something.
fn check_lines(reserve: &Reserve, reserved: &Reserved) {
    let mut asked: Vec<(PoolKey, u64, u64)> = Vec::new();
    for line in &reserve.lines {
        let location = line.location.as_ref().expect("names its location");
        let key = pool_of(&reserve.namespace, &line.sku, location, line.kind, &line.lot);
        match asked.iter_mut().find(|(pool, ..)| *pool == key) {
            Some((_, units, minimum)) => {
                *units += line.quantity.units();
                *minimum += line.minimum.units();
            }
            None => asked.push((key, line.quantity.units(), line.minimum.units())),
        }
    }
    let got: Vec<_> = reserved.lines.iter().map(|line| (line.pool.clone(), line.asked.units())).collect();
    let wanted: Vec<_> = asked.iter().map(|(pool, units, _)| (pool.clone(), *units)).collect();
    assert_eq!(got, wanted, "{reserve:?}");
    let total: u64 = reserved.lines.iter().map(|line| line.got.units()).sum();
    let all = asked.iter().map(|(_, units, _)| units).sum::<u64>() == total;
    assert_eq!(reserved.all, all);
    assert!(total > 0);
    for (line, (_, units, minimum)) in reserved.lines.iter().zip(&asked) {
        let least = if reserve.best_effort { minimum } else { units };
        assert!((*least..=*units).contains(&line.got.units()), "{reserved:?}");
    }
}

#[test]
fn whatever_the_network_does_all_shards_agree_in_the_end() {
    let cases = std::env::var_os("CARTS_CASES")
        .map_or(50, |cases| cases.to_str().and_then(|cases| cases.parse().ok()).expect("a number"));
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        max_shrink_iters: 20_000,
        source_file: Some(file!()),
        ..Config::default()
    };
    let counts = RefCell::new(Counts::default());
    let steps = prop::collection::vec(step(), 20..260);
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        let mut run = Run::new();
        steps.iter().for_each(|step| run.step(step));
        run.heal();
        let mut all = counts.borrow_mut();
        let of_run = run.counts;
        all.opened += of_run.opened;
        all.held += of_run.held;
        all.rejected += of_run.rejected;
        all.contended += of_run.contended;
        all.joined += of_run.joined;
        all.commits += of_run.commits;
        all.ends_of_carts += of_run.ends_of_carts;
        all.forgotten += of_run.forgotten;
        all.evictions += of_run.evictions;
        Ok(())
    });
    let counts = counts.into_inner();
    println!("{counts:?}");
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    // Runs in which nothing happens prove nothing.
    let least = u64::from(cases / 5);
    for count in [counts.opened, counts.held, counts.rejected, counts.contended, counts.commits] {
        assert!(count >= least, "{counts:?}");
    }
    assert!(counts.joined > 0 && counts.forgotten > 0 && counts.evictions > 0, "{counts:?}");
}
