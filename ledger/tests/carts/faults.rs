//! Long random runs with every fault at once, and then none: whatever was told and held must agree.

use crate::{promises::*, steps::*, support::*, world::*};
use earmark_ledger::{command::*, outcome::*, records, types::*};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence, TestRunner},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// What a sending is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Reserve(ReservationId),
    Operation(ShardId, OperationId),
    /// A commit or release of all that is held; another one under the id is another thing.
    Whole(ShardId, OperationId, String),
}

/// One sending of a reserve or of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sending {
    key: Key,
    /// The request as text.
    body: String,
    attempt: u32,
    not_after: TimeMs,
}

/// How often the interesting things happened in all runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    opened: u64,
    held: u64,
    rejected: u64,
    contended: u64,
    joined: u64,
    commits: u64,
    ends_of_carts: u64,
    forgotten: u64,
    evictions: u64,
    /// Rounds of what is no reserve: begun, done, refused and given up.
    rounds: u64,
    rounds_done: u64,
    rounds_refused: u64,
    rounds_contended: u64,
    rounds_joined: u64,
    pub replaced: u64,
    pub replaced_here: u64,
    pub revived: u64,
    pub revived_here: u64,
    pub shipped: u64,
    pub shipped_here: u64,
    pub cancelled: u64,
    pub returned: u64,
    pub paying: u64,
    limited: u64,
    short: u64,
    sold_short: u64,
    replaced_reserves: u64,
}

impl Counts {
    fn add(&mut self, run: &Self) {
        let pairs: [(&mut u64, u64); 27] = [
            (&mut self.opened, run.opened),
            (&mut self.held, run.held),
            (&mut self.rejected, run.rejected),
            (&mut self.contended, run.contended),
            (&mut self.joined, run.joined),
            (&mut self.commits, run.commits),
            (&mut self.ends_of_carts, run.ends_of_carts),
            (&mut self.forgotten, run.forgotten),
            (&mut self.evictions, run.evictions),
            (&mut self.rounds, run.rounds),
            (&mut self.rounds_done, run.rounds_done),
            (&mut self.rounds_refused, run.rounds_refused),
            (&mut self.rounds_contended, run.rounds_contended),
            (&mut self.rounds_joined, run.rounds_joined),
            (&mut self.replaced, run.replaced),
            (&mut self.replaced_here, run.replaced_here),
            (&mut self.revived, run.revived),
            (&mut self.revived_here, run.revived_here),
            (&mut self.shipped, run.shipped),
            (&mut self.shipped_here, run.shipped_here),
            (&mut self.cancelled, run.cancelled),
            (&mut self.returned, run.returned),
            (&mut self.paying, run.paying),
            (&mut self.limited, run.limited),
            (&mut self.short, run.short),
            (&mut self.sold_short, run.sold_short),
            (&mut self.replaced_reserves, run.replaced_reserves),
        ];
        pairs.into_iter().for_each(|(all, of_run)| *all += of_run);
    }
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
    told: BTreeMap<Key, BTreeMap<Sending, Verdict>>,
    waiting: BTreeMap<Pending, Vec<Command>>,
    reserved: BTreeMap<ReservationId, Reserved>,
    promises: Promises,
    /// Units that came in by receive, adjust and count.
    inflow: BTreeMap<PoolKey, i64>,
    /// What the books have of reservations that were forgotten since.
    gone: BTreeMap<PoolKey, [u64; 4]>,
    counts: Counts,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new(SHARDS);
        world.skew = |shard| [0, 700, -400, 1_500][shard.0 as usize % 4];
        let pools = pools();
        let stocked: Vec<_> = pools.iter().zip([6, 9, 4, 8, 5, 12, 7, 10, 3, 5, 4, 2]).collect();
        world.stock(&stocked);
        let skus: BTreeSet<&Sku> = pools.iter().map(|pool| &pool.sku).collect();
        for (number, sku) in (9_900..).zip(skus) {
            let home = sku.as_str()[1..].parse().expect("a digit");
            let told = world.one(home, configure(operation_id(BASE, number), sku.as_str(), 0, settings(sku.as_str())));
            assert!(done_now(&told), "{told:?}");
        }
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
            promises: Promises::default(),
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
        let id = self.slots[self.aimed(ask)];
        let home = shard_of(id.home());
        // Mostly pools that it has.
        let mut lines = self.asked.get(&id).cloned().unwrap_or_default();
        if let Some(view) = self.world.view(id) {
            let place = |line: &LineView| self.pools.iter().position(|pool| *pool == line.pool);
            lines = view.lines.iter().filter_map(place).collect();
        }
        let at = |at: usize| if at < 10 && !lines.is_empty() { lines[at % lines.len()] } else { at };
        let named = |parts: &[(usize, u64)]| parts.iter().map(|(n, units)| part(&self.pools[at(*n)], *units)).collect();
        let operations = self.operations.clone();
        let own = self.operations[ask.slot];
        let operation = |slot: &usize| if ask.renew.is_some() { own } else { operations[*slot] };
        let (shard, body) = match &ask.what {
            What::Reserve { lines, ttl, best, bob } => {
                self.asked.insert(id, lines.iter().map(|(at, ..)| *at).collect());
                let mut reserve = self.cart(id, lines, *best, DurationMs(*ttl));
                if *bob {
                    reserve.owner = "bob".parse().expect("an owner");
                }
                (home, Body::Reserve(reserve))
            }
            What::Commit { parts, keep_rest, revive, operation: slot } => {
                let commit = Commit {
                    id,
                    operation: Some(operation(slot)),
                    parts: named(parts),
                    keep_rest: *keep_rest && !revive,
                    revive: *revive,
                };
                (home, Body::Commit(commit))
            }
            What::Release { parts, operation: slot } => {
                (home, Body::Release(Release { id, operation: Some(operation(slot)), parts: named(parts) }))
            }
            What::Extend { ttl, operation: slot } => (home, extend(id, operation(slot), DurationMs(*ttl))),
            What::Replace { lines, best, operation: slot } => {
                let Reserve { namespace, lines, shards, best_effort, zone, .. } =
                    self.cart(id, lines, *best, DurationMs(0));
                let operation = operation(slot);
                (home, Body::Replace(Replace { id, operation, namespace, lines, best_effort, zone, shards }))
            }
            What::Paying { grace, operation: slot } => {
                let (operation, grace) = (operation(slot), DurationMs(*grace));
                (home, Body::MarkPaying(MarkPaying { id, operation, grace }))
            }
            What::Ship { parts, operation: slot } => {
                (home, Body::Ship(Ship { id, operation: operation(slot), parts: named(parts) }))
            }
            What::Cancel { parts, operation: slot } => {
                let parts: Vec<Part> = named(parts);
                let operation = operation(slot.as_ref().unwrap_or(&ask.slot));
                (home, Body::Cancel(Cancel { id, operation, parts, reason: Reason::default() }))
            }
            What::Return { parts, fit, operation: slot } => {
                let disposition = if *fit { Disposition::Sellable } else { Disposition::Unavailable };
                let (operation, parts, reason) = (operation(slot), named(parts), Reason::default());
                (home, Body::Return(Return { id, operation, parts, disposition, reason }))
            }
            What::Count { pool, counted } => {
                (shard_of_pool(&self.pools[*pool]), count(own, &self.pools[*pool], *counted, None))
            }
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
        let command = Command { context, not_after, attempt: ask.attempt, heard: true, body };
        self.sent.push((shard, command.clone()));
        (shard, command)
    }

    /// The slot that is meant.
    fn aimed(&self, ask: &Ask) -> usize {
        let fits = |slot: &usize| {
            let view = self.world.view(self.slots[*slot]);
            view.is_some_and(|view| ask.what.fits(view.state))
        };
        let reserve = matches!(ask.what, What::Reserve { .. });
        let mut slots = (0..SLOTS).map(|n| (ask.slot + n) % SLOTS);
        let aimed = if ask.aim && !reserve { slots.find(fits) } else { None };
        aimed.unwrap_or(ask.slot)
    }

    /// The lines of a cart, some without a location.
    fn cart(&self, id: ReservationId, lines: &[Asked], best: bool, ttl: DurationMs) -> Reserve {
        let asked: Vec<_> = lines.iter().map(|(at, units, ..)| (&self.pools[*at], *units)).collect();
        let mut reserve = cart(id, &asked, ttl);
        reserve.best_effort = best;
        for (line, (_, quantity, minimum, open)) in reserve.lines.iter_mut().zip(lines) {
            line.minimum = units(if best { (*minimum).min(*quantity) } else { 0 });
            line.location = line.location.take().filter(|_| !open);
        }
        reserve
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
        self.promises.check(&self.world);
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
        // Who waits is noted first. What is given up is over before the first command, so it is told before all else.
        let answered = || commands.iter().zip(&applied.outcomes);
        let waits = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Done(Done::Pending(_)));
        answered().filter(|(_, told)| waits(told)).for_each(|(command, told)| self.answered(shard, command, told));
        self.hear();
        answered().filter(|(_, told)| !waits(told)).for_each(|(command, told)| self.answered(shard, command, told));
    }

    fn answered(&mut self, shard: ShardId, command: &Command, outcome: &Outcome) {
        match &command.body {
            Body::Receive(receive) if done_now(outcome) => {
                let units = i64::try_from(receive.quantity.units()).expect("small");
                *self.inflow.entry(receive.pool.clone()).or_default() += units;
            }
            Body::Adjust(adjust) if done_now(outcome) => {
                *self.inflow.entry(adjust.pool.clone()).or_default() += adjust.delta;
            }
            _ => {}
        }
        if let (true, Verdict::Done(Done::Stock(change))) = (done_now(outcome), &outcome.verdict) {
            *self.inflow.entry(change.pool.key.clone()).or_default() += change.delta;
            self.counts.short += u64::from(change.shortage.is_some());
        }
        if let (false, Verdict::Done(_), Some(sending)) = (outcome.replayed, &outcome.verdict, sending(shard, command))
        {
            self.must_be_new(&sending);
        }
        match &outcome.verdict {
            Verdict::Done(Done::Pending(pending)) => {
                let reserve = matches!(command.body, Body::Reserve(_));
                let (begun, joined) = (u64::from(!outcome.replayed), u64::from(outcome.replayed));
                match reserve {
                    true => {
                        (self.counts.opened, self.counts.joined) =
                            (self.counts.opened + begun, self.counts.joined + joined)
                    }
                    false => {
                        self.counts.rounds += begun;
                        self.counts.rounds_joined += joined;
                    }
                }
                self.waiting.entry(*pending).or_default().push(command.clone());
            }
            verdict => {
                if !outcome.replayed {
                    self.took_effect(command, verdict);
                }
                self.tell(shard, command, verdict);
            }
        }
    }

    /// What a request does once, if it was done.
    fn took_effect(&mut self, command: &Command, verdict: &Verdict) {
        let Verdict::Done(Done::Reservation(view)) = verdict else { return };
        self.counts.commits += u64::from(matches!(command.body, Body::Commit(_)));
        self.promises.apply(&command.body, view, &mut self.counts);
    }

    fn forgotten(&mut self, id: ReservationId, view: &ReservationView) {
        if view.state == ReservationState::Rejected {
            return;
        }
        self.counts.forgotten += 1;
        for line in &view.lines {
            let in_books = Sold::of(line).in_books(on_ship(&line.pool));
            assert_eq!(in_books[0], 0, "units wait to be shipped: {view:?}");
            let sum = self.gone.entry(line.pool.clone()).or_default();
            sum.iter_mut().zip(in_books).for_each(|(sum, units)| *sum += units);
        }
        self.told.remove(&Key::Reserve(id));
        self.reserved.remove(&id);
        self.promises.forgotten(id);
    }

    /// A sending that was told a refusal never takes effect, and no earlier one that could have been told the same.
    fn must_be_new(&self, sending: &Sending) {
        for (other, verdict) in self.told.get(&sending.key).into_iter().flatten() {
            let Verdict::Refused(refusal) = verdict else {
                // A cart that was released before it was held is forgotten once nobody who was told so can ask again.
                let forgotten = matches!(sending.key, Key::Whole(..)) && other.not_after < sending.not_after;
                assert!(forgotten, "{sending:?} begins anew, but {other:?} was told {verdict:?}");
                continue;
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

    fn tell(&mut self, shard: ShardId, command: &Command, verdict: &Verdict) {
        let Some(sending) = sending(shard, command) else { return };
        self.counts.limited += u64::from(matches!(verdict, Verdict::Refused(Refusal::LimitExceeded(_))));
        match (&command.body, sending.key.clone()) {
            (Body::Reserve(reserve), _) => self.tell_reserve(&sending, reserve, verdict),
            (_, Key::Operation(shard, operation)) => match verdict {
                Verdict::Done(done) => self.promises.told(shard, operation, &sending.body, done),
                Verdict::Refused(refusal) => {
                    let other = matches!(refusal, Refusal::IdempotencyConflict | Refusal::IdempotencyTooOld);
                    let done = self.promises.done(shard, operation);
                    assert!(done.is_none() || other, "{sending:?} is told {refusal:?}, but was told {done:?}");
                }
            },
            (_, Key::Whole(..)) => {}
            other => unreachable!("{other:?} is no sending"),
        }
        self.told.entry(sending.key.clone()).or_default().insert(sending, verdict.clone());
    }

    fn tell_reserve(&mut self, sending: &Sending, reserve: &Reserve, verdict: &Verdict) {
        if let Verdict::Done(done) = verdict {
            let Done::Reserved(reserved) = done else { panic!("no answer to a reserve: {done:?}") };
            let got = |line: &LineGot| (line.pool.key(), line.asked.units(), line.got.units());
            check_lines(&reserve.lines, reserve.best_effort, &reserved.lines.iter().map(got).collect::<Vec<_>>());
            assert_eq!(reserved.all, reserved.lines.iter().all(|line| line.got == line.asked));
            let first = self.reserved.entry(reserve.id).or_insert_with(|| reserved.clone());
            assert_eq!(first, reserved, "{sending:?}");
            self.promises.reserved(reserved);
            let now = &self.promises.lines[&reserve.id];
            let same = now.iter().zip(&reserved.lines).all(|(now, then)| *now == got(then));
            self.counts.replaced_reserves += u64::from(!same);
        } else if let Some(reserved) = self.reserved.get(&reserve.id) {
            let Verdict::Refused(refusal) = verdict else { unreachable!("is no success") };
            let other = matches!(refusal, Refusal::IdempotencyConflict | Refusal::IdempotencyTooOld);
            assert!(other, "{sending:?} is told {refusal:?}, but is held: {reserved:?}");
        }
    }

    /// Whoever waited for a decision is told.
    fn hear(&mut self) {
        for (pending, outcome) in std::mem::take(&mut self.world.decided) {
            let waiting = self.waiting.remove(&pending).expect("somebody waited for it");
            let reserve = matches!(waiting[0].body, Body::Reserve(_));
            let counts = &mut self.counts;
            let count = match (&outcome.verdict, reserve) {
                (Verdict::Done(_), true) => &mut counts.held,
                (Verdict::Refused(Refusal::Contended), true) => &mut counts.contended,
                (Verdict::Refused(_), true) => &mut counts.rejected,
                (Verdict::Done(_), false) => &mut counts.rounds_done,
                (Verdict::Refused(Refusal::Contended), false) => &mut counts.rounds_contended,
                (Verdict::Refused(_), false) => &mut counts.rounds_refused,
            };
            *count += 1;
            self.took_effect(&waiting[0], &outcome.verdict);
            for command in waiting {
                self.tell(shard_of(pending.id.home()), &command, &outcome.verdict);
            }
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
            for kind in [records::LIVE, records::PACK, records::PACK_LEFT] {
                assert_eq!(self.world.records(shard, kind), 0, "carts of {shard} did not end: kind {kind}");
            }
            self.world.restart(shard);
        }
    }

    fn add_up(&mut self) {
        self.world.assert_rest();
        assert!(self.waiting.is_empty(), "never decided: {:?}", self.waiting);
        self.world.assert_books(&self.ids, &self.pools, &self.gone);
        self.promises.check(&self.world);
        self.promises.check_limits(&self.world);
        for pool in &self.pools {
            let view = self.world.pool(pool);
            let there = i128::from(view.on_hand.units()) + i128::from(view.sold_total.units());
            let came_in = i128::from(self.inflow[pool]) + i128::from(view.returned_total.units());
            assert_eq!(there, came_in, "{view:?}");
        }
        for shard in self.world.shards() {
            let movements = &self.world.member(shard).journal.movements;
            self.counts.sold_short += movements.iter().filter(|movement| movement.sold_short > 0).count() as u64;
        }
    }
}

fn done_now(outcome: &Outcome) -> bool {
    !outcome.replayed && matches!(outcome.verdict, Verdict::Done(_))
}

/// What the answer of a command is remembered by, if it is.
fn sending(shard: ShardId, command: &Command) -> Option<Sending> {
    let body = format!("{:?}", command.body);
    let whole = match &command.body {
        Body::Commit(Commit { operation, parts, revive: false, .. })
        | Body::Release(Release { operation, parts, .. })
            if parts.is_empty() =>
        {
            Some((*operation)?)
        }
        _ => None,
    };
    let operation = match &command.body {
        Body::Reserve(_) => None,
        Body::Commit(Commit { operation, .. }) | Body::Release(Release { operation, .. }) => *operation,
        Body::Extend(extend) => Some(extend.operation),
        Body::Receive(receive) => Some(receive.operation),
        Body::Adjust(adjust) => Some(adjust.operation),
        Body::Stockkeeping(asked) => Some(asked.operation()),
        Body::Replace(replace) => Some(replace.operation),
        Body::MarkPaying(paying) => Some(paying.operation),
        Body::Ship(ship) => Some(ship.operation),
        Body::Cancel(cancel) => Some(cancel.operation),
        Body::Return(back) => Some(back.operation),
        Body::Forget(_) | Body::Meta(_) | Body::Cart(_) => return None,
    };
    let key = match (&command.body, whole) {
        (Body::Reserve(reserve), _) => Key::Reserve(reserve.id),
        (_, Some(id)) => Key::Whole(shard, id, body.clone()),
        (_, None) => Key::Operation(shard, operation?),
    };
    Some(Sending { key, body, attempt: command.attempt, not_after: command.not_after })
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
        counts.borrow_mut().add(&run.counts);
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
    let Counts { joined, forgotten, evictions, rounds_done, rounds_refused, rounds_contended, .. } = counts;
    let Counts { replaced, replaced_here, revived, revived_here, shipped, shipped_here, .. } = counts;
    let Counts { cancelled, returned, paying, limited, short, sold_short, replaced_reserves, rounds_joined, .. } =
        counts;
    assert!(joined > 0 && evictions > 0 && rounds_done > 0 && replaced > 0, "{counts:?}");
    // What happens a few times in fifty runs may not happen in them at all.
    if cases < 2_000 {
        return;
    }
    assert!(forgotten > 0, "{counts:?}");
    // In so many runs all of it happens: over several shards, and in one.
    let remote = [replaced - replaced_here, revived - revived_here, shipped - shipped_here];
    let local = [replaced_here, revived_here, shipped_here];
    let others = [rounds_refused, rounds_contended, rounds_joined];
    let kinds = [cancelled, returned, paying, limited, short, sold_short, replaced_reserves];
    assert!(remote.into_iter().chain(local).chain(others).chain(kinds).all(|count| count > 0), "{counts:?}");
}
