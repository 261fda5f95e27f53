//! Several shards, the network between them, and a pretended courier: nothing of it is lost, late, twice or out of
//! order unless a test says so.

#![allow(dead_code, reason = "each test uses a part of it")]

use crate::{
    journal::Journal,
    promises::{Sold, on_ship},
    support::*,
};
use earmark_ledger::{
    Applied, Ledger, Lookup, News,
    cart::{Number, message::*},
    codec::*,
    command::*,
    movement::{Movement, MovementKind},
    outcome::*,
    types::*,
};
use std::collections::{BTreeMap, BTreeSet};

/// One replica that is never restarted, one that is, and the disk of the latter.
pub struct Member {
    pub ledger: Ledger,
    twin: Ledger,
    pub store: Store,
    /// The log since the last checkpoint.
    log: Vec<(u64, Batch)>,
    pub index: u64,
    pub journal: Journal,
}

/// A command on its way to a shard.
#[derive(Clone, Debug)]
pub struct Packet {
    pub to: ShardId,
    pub command: Command,
}

pub struct World {
    pub now: TimeMs,
    members: BTreeMap<ShardId, Member>,
    pub net: Vec<Packet>,
    /// What was decided, in the order of its telling.
    pub decided: Vec<(Pending, Outcome)>,
    /// Milliseconds each shard's clock is off.
    pub skew: fn(ShardId) -> i64,
    /// Commands say for themselves what was heard, instead of what is true.
    pub as_said: bool,
}

/// The shard that keeps a bucket: in these tests they have the same number.
pub fn shard_of(bucket: Bucket) -> ShardId {
    ShardId(u32::from(bucket.number()))
}

/// An id whose home is that shard.
pub fn cart_id(home: ShardId, time: TimeMs, number: u64) -> ReservationId {
    ReservationId::timed(time, home_bucket(home), number)
}

pub fn home_bucket(home: ShardId) -> Bucket {
    Bucket::new(u16::try_from(home.0).expect("small")).expect("below 16,384")
}

/// The pools are named after their shards: `a1@berlin` is in shard 1.
pub fn shard_of_pool(pool: &PoolKey) -> ShardId {
    ShardId(pool.sku.as_str()[1..2].parse().expect("a digit"))
}

/// A reserve of these lines, with the shard of each.
pub fn cart(id: ReservationId, lines: &[(&PoolKey, u64)], ttl: DurationMs) -> Reserve {
    let shards = lines.iter().map(|(pool, _)| shard_of_pool(pool)).collect();
    let lines = lines.iter().map(|(pool, units)| line(pool, *units)).collect();
    Reserve { shards, ..reserve(id, lines, ttl) }
}

impl World {
    pub fn new(shards: u32) -> Self {
        let member = |shard| Member {
            ledger: Ledger::new(shard),
            twin: Ledger::new(shard),
            store: Store::default(),
            log: Vec::new(),
            index: 0,
            journal: Journal::default(),
        };
        let members = (1..=shards).map(ShardId).map(|shard| (shard, member(shard))).collect();
        Self { now: BASE, members, net: Vec::new(), decided: Vec::new(), skew: |_| 0, as_said: false }
    }

    pub fn shards(&self) -> Vec<ShardId> {
        self.members.keys().copied().collect()
    }

    pub fn at(&self, shard: u32) -> &Ledger {
        &self.members[&ShardId(shard)].ledger
    }

    pub fn member(&self, shard: ShardId) -> &Member {
        &self.members[&shard]
    }

    /// Applies one entry everywhere it is to be applied, and looks at everything that must hold after any entry.
    pub fn entry(&mut self, shard: ShardId, mut commands: Vec<Command>) -> Applied {
        let time = TimeMs(self.now.0.checked_add_signed((self.skew)(shard)).expect("long after 1970"));
        if !self.as_said {
            let heard = self.nothing_is_untold(shard);
            commands.iter_mut().for_each(|command| command.heard = heard);
        }
        let member = self.members.get_mut(&shard).expect("is a shard");
        for command in &commands {
            let [heard, unheard] = [true, false].map(|heard| Command { heard, ..command.clone() });
            assert!(!member.ledger.wants_hearing(&heard));
            if !member.ledger.wants_hearing(&unheard) {
                let [with, without] = [heard, unheard].map(|command| member.ledger.judge_fresh(&command, time));
                assert_eq!(with, without, "nobody would have asked");
            }
        }
        let batch = Batch { rules: RULES_NEWEST, time, digest: true, commands };
        let bytes = encode_batch(&batch);
        assert_eq!(decode_batch(bytes.clone()).as_ref(), Ok(&batch));
        let batch = decode_batch(bytes).expect("was encoded here");
        member.index += 1;
        let applied = member.store.apply(&mut member.ledger, member.index, &batch);
        member.store.apply_also(&mut member.twin, member.index, &batch, &applied);
        member.log.push((member.index, batch));
        for outcome in applied.outcomes.iter().chain(applied.news.decided.iter().map(|(_, outcome)| outcome)) {
            assert_eq!(decode_outcome(encode_outcome(outcome)).as_ref(), Ok(outcome));
        }
        if let Some(block) = &applied.journal {
            member.journal.follow(block);
        }
        assert_eq!(member.ledger.violations(), Vec::new());
        assert_eq!(member.twin.violations(), Vec::new());
        assert_eq!(member.ledger.oversold_units(), 0);
        for participant in member.ledger.unsettled_participants() {
            assert!(member.ledger.outbox(participant, Number::default()).next().is_some());
        }
        let News { decided, .. } = &applied.news;
        self.decided.extend(decided.iter().cloned());
        applied
    }

    /// Whether a shard knows all that the others have decided about what it holds for them.
    pub fn nothing_is_untold(&self, shard: ShardId) -> bool {
        let homes = self.members[&shard].ledger.homes_of_holds();
        homes.iter().all(|home| self.members[home].ledger.untold(shard, 0).all)
    }

    /// One command, and its outcome.
    pub fn one(&mut self, shard: u32, body: Body) -> Outcome {
        self.entry(ShardId(shard), vec![command(body)]).outcomes.remove(0)
    }

    pub fn tick(&mut self, shard: u32) -> Applied {
        self.entry(ShardId(shard), Vec::new())
    }

    pub fn wait(&mut self, ms: u64) {
        self.now = TimeMs(self.now.0 + ms);
    }

    /// Stocks pools.
    pub fn stock(&mut self, pools: &[(&PoolKey, u64)]) {
        for (number, (pool, units)) in (9_000..).zip(pools) {
            let operation = operation_id(self.now, number);
            let outcome = self.one(shard_of_pool(pool).0, receive(operation, pool, *units));
            assert!(matches!(outcome.verdict, Verdict::Done(_)), "{outcome:?}");
        }
    }

    /// A reserve sent to its home.
    pub fn reserve(&mut self, reserve: &Reserve) -> Outcome {
        self.one(shard_of(reserve.id.home()).0, Body::Reserve(reserve.clone()))
    }

    /// Everything the outbox of a shard has, as packets.
    pub fn rows(&self, home: ShardId) -> Vec<Packet> {
        let ledger = &self.members[&home].ledger;
        let mut rows = Vec::new();
        for to in ledger.unsettled_participants() {
            for (number, id) in ledger.outbox(to, Number::default()) {
                let command = ledger.message(id, to).expect("a row has a message");
                let Body::Cart(Message::Prepare(Prepare { from, .. }) | Message::Decide(Decide { from, .. })) =
                    &command.body
                else {
                    panic!("a row is a prepare or a decision: {command:?}");
                };
                assert_eq!((from.id, from.number, from.home), (id, number, home));
                assert!(from.floor <= number);
                rows.push(Packet { to, command });
            }
        }
        rows
    }

    /// The only row there is from one shard to another.
    pub fn row(&self, home: u32, to: u32) -> Packet {
        let mut rows: Vec<_> = self.rows(ShardId(home)).into_iter().filter(|row| row.to == ShardId(to)).collect();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }

    /// Carries a packet to its end, and gives what is to be sent back.
    pub fn deliver(&mut self, packet: Packet) -> Option<Packet> {
        let Packet { to, command } = packet;
        let outcome = self.entry(to, vec![command.clone()]).outcomes.remove(0);
        self.reply(to, &command, &outcome)
    }

    /// What follows from a message that was carried out.
    pub fn reply(&self, at: ShardId, command: &Command, outcome: &Outcome) -> Option<Packet> {
        let Body::Cart(message) = &command.body else { panic!("is a message: {command:?}") };
        let Verdict::Done(done) = &outcome.verdict else { panic!("a message is never refused: {outcome:?}") };
        let sent = |to, message| Some(Packet { to, command: crate::support::command(Body::Cart(message)) });
        match (message, done) {
            (Message::Prepare(Prepare { from, .. }) | Message::Decide(Decide { from, .. }), Done::Answered(answer)) => {
                let answer = answer.as_deref()?.clone();
                assert_eq!((answer.id, answer.number, answer.from), (from.id, from.number, at));
                sent(from.home, Message::Answer(answer))
            }
            (Message::Ask(_), Done::Asked(Asked::Keep)) => None,
            (Message::Ask(ask), Done::Asked(Asked::Gone)) => {
                sent(ask.from, Message::Gone(Gone { id: ask.id, number: ask.number, home: at }))
            }
            (Message::Answer(_) | Message::Gone(_) | Message::Floor(_), Done::Noted) => None,
            other => panic!("no answer to that: {other:?}"),
        }
    }

    pub fn floor(&self, home: ShardId, to: ShardId) -> Packet {
        let floor = self.members[&home].ledger.floor_for(to);
        Packet { to, command: command(Body::Cart(Message::Floor(Floor { home, floor }))) }
    }

    /// Everything a participant has in doubt, as questions to the homes.
    pub fn asks(&self, from: ShardId) -> Vec<Packet> {
        let undecided = self.members[&from].ledger.undecided_before(TimeMs::MAX);
        let ask =
            |(id, to, number)| Packet { to, command: command(Body::Cart(Message::Ask(Ask { id, number, from }))) };
        undecided.map(ask).collect()
    }

    /// Carries everything to its end, without faults, until nothing is left to do. Time stands still.
    pub fn pump(&mut self) {
        for round in 0.. {
            assert!(round < 1_000, "the shards never come to rest");
            let mut packets: Vec<Packet> = std::mem::take(&mut self.net);
            packets.extend(self.shards().into_iter().flat_map(|home| self.rows(home)));
            if packets.is_empty() {
                return;
            }
            for packet in packets {
                let mut next = Some(packet);
                while let Some(packet) = next {
                    next = self.deliver(packet);
                }
            }
        }
    }

    /// Every home tells every other shard its floor, often enough for all that is to be forgotten.
    pub fn beat(&mut self) {
        for home in self.shards() {
            for to in self.shards().into_iter().filter(|to| *to != home) {
                for _ in 0..40 {
                    let packet = self.floor(home, to);
                    self.deliver(packet);
                }
            }
        }
    }

    pub fn checkpoint(&mut self, shard: ShardId) {
        let member = self.members.get_mut(&shard).expect("is a shard");
        member.store.checkpoint(&mut member.ledger);
        member.log.clear();
        if member.ledger.rules() > 0 {
            assert_eq!(member.store.digest(), member.ledger.digest(), "the records are the state");
            assert_eq!(member.twin.digest(), member.ledger.digest());
        }
    }

    pub fn evict(&mut self, shard: ShardId) {
        self.checkpoint(shard);
        self.members.get_mut(&shard).expect("is a shard").ledger.evict();
    }

    pub fn restart(&mut self, shard: ShardId) {
        let member = self.members.get_mut(&shard).expect("is a shard");
        let digest = member.ledger.digest();
        let journal = member.ledger.journal_hash();
        member.ledger = member.store.load_as(shard);
        for (index, batch) in &member.log {
            member.store.follow(&mut member.ledger, *index, batch);
        }
        assert_eq!(member.ledger.digest(), digest, "a restart changes nothing");
        assert_eq!(member.ledger.journal_hash(), journal);
    }

    /// A reservation as its home tells it, from disk if need be.
    pub fn view(&self, id: ReservationId) -> Option<ReservationView> {
        let member = &self.members[&shard_of(id.home())];
        let found = match member.ledger.reservation(id) {
            Lookup::Found(view) => Some(view),
            Lookup::Absent => None,
            Lookup::Cold(key) => {
                let value = member.store.0.get(key.as_bytes());
                value.map(|value| member.ledger.cold_reservation(value).expect("was written here"))
            }
        };
        let of_twin = match member.twin.reservation(id) {
            Lookup::Found(view) => Some(view),
            Lookup::Absent => None,
            Lookup::Cold(key) => panic!("{key:?} is cold, but nothing was evicted"),
        };
        assert_eq!(found, of_twin);
        found
    }

    pub fn pool(&self, pool: &PoolKey) -> PoolView {
        let ledger = &self.members[&shard_of_pool(pool)].ledger;
        let mut views = ledger.stock(&pool.namespace, &pool.sku, Some(&pool.location)).expect("is stocked");
        assert_eq!(views.len(), 1);
        views.remove(0)
    }

    /// Units of a pool: available, held, sold.
    pub fn units(&self, pool: &PoolKey) -> (u64, u64, u64) {
        let view = self.pool(pool);
        (view.available.units(), view.held.units(), view.sold_total.units())
    }

    /// Nothing is undecided, and nothing waits to be told.
    pub fn assert_rest(&self) {
        for (shard, member) in &self.members {
            assert_eq!(member.ledger.unanswered(), 0, "{shard} waits for answers");
            assert_eq!(member.ledger.in_doubt().0, 0, "{shard} is in doubt");
        }
    }

    /// What all homes say of these reservations is what the books of all pools say. `gone`: what the books have of
    /// reservations that were forgotten, as in [`Sold::in_books`](crate::promises::Sold::in_books).
    pub fn assert_books(&self, ids: &BTreeSet<ReservationId>, pools: &[PoolKey], gone: &BTreeMap<PoolKey, [u64; 4]>) {
        let mut held = BTreeMap::<PoolKey, u64>::new();
        let mut sold = gone.clone();
        for view in ids.iter().filter_map(|id| self.view(*id)) {
            for line in view.lines {
                *held.entry(line.pool.clone()).or_default() += line.held.units();
                let in_books = Sold::of(&line).in_books(on_ship(&line.pool));
                let sum = sold.entry(line.pool).or_default();
                sum.iter_mut().zip(in_books).for_each(|(sum, units)| *sum += units);
            }
        }
        for pool in pools {
            let view = self.pool(pool);
            let movements = &self.members[&shard_of_pool(pool)].journal.movements;
            let short = |kinds: &[MovementKind]| -> u64 {
                let of = |movement: &&Movement| movement.pool == *pool && kinds.contains(&movement.kind);
                movements.iter().filter(of).map(|movement| movement.sold_short).sum()
            };
            let sold_short = short(&[MovementKind::Commit, MovementKind::Revive]);
            let back_short = short(&[MovementKind::Cancel, MovementKind::Return]);
            assert!(back_short <= sold_short);
            assert_eq!(view.held.units(), held.get(pool).copied().unwrap_or(0), "held of {pool:?}");
            let told = [view.committed, view.sold_total, view.returned_total, view.unavailable].map(Quantity::units);
            let [committed, sold_total, returned, unavailable] = told;
            let expected = sold.get(pool).copied().unwrap_or_default();
            let [.., apart] = expected;
            // What was sold beyond on hand is not set apart when it comes back: it was never there.
            assert!((apart.saturating_sub(back_short)..=apart).contains(&unavailable), "of {pool:?}");
            let told = [committed, sold_total + sold_short, returned + back_short, apart];
            assert_eq!(told, expected, "of {pool:?}");
        }
    }

    /// How many records of that kind are on a shard's disk, after a checkpoint.
    pub fn records(&mut self, shard: ShardId, kind: u8) -> usize {
        self.checkpoint(shard);
        self.members[&shard].store.0.keys().filter(|key| key[0] == kind).count()
    }
}
