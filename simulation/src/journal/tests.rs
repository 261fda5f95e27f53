//! The checker of journals is shown a real one, and then each way in which one can be broken.

use super::*;
use earmark_ledger::{
    command::{Batch, Body, Command, Context, Line, RULES_NEWEST, Receive, Release, Reserve},
    types::{
        Bucket, Document, DurationMs, LogIndex, Lot, Namespace, OperationId, Owner, PoolKind, Quantity, ShardId, TimeMs,
    },
};

const SHARD: u32 = 3;
const BASE: TimeMs = TimeMs(1_700_000_000_000);

fn pool(sku: &str) -> PoolKey {
    PoolKey {
        namespace: Namespace::default(),
        sku: sku.parse().expect("a sku"),
        location: "main".parse().expect("a location"),
        kind: PoolKind::Now,
        lot: Lot::default(),
    }
}

fn units(units: u64) -> Quantity {
    Quantity::new(units).expect("few")
}

fn receive(number: u64, sku: &str, quantity: u64) -> Body {
    let mut bytes = (u128::from(BASE.0) << 80 | u128::from(number)).to_be_bytes();
    (bytes[6], bytes[8]) = (0x70, 0x80);
    let operation = OperationId::from_slice(&bytes).expect("version 7");
    Body::Receive(Receive { operation, pool: pool(sku), quantity: units(quantity), document: Document::default() })
}

fn reserve(id: ReservationId, sku: &str, quantity: u64) -> Body {
    let line = Line {
        sku: pool(sku).sku,
        location: Some(pool(sku).location),
        kind: PoolKind::Now,
        lot: Lot::default(),
        quantity: units(quantity),
        minimum: Quantity::ZERO,
    };
    Body::Reserve(Reserve {
        id,
        namespace: Namespace::default(),
        lines: vec![line],
        owner: Owner::default(),
        ttl: DurationMs(60_000),
        ttl_chosen: false,
        best_effort: false,
        zone: 0,
        shards: Vec::new(),
    })
}

/// A ledger, and the journal of what was done to it.
fn story() -> (Ledger, Vec<(u32, u64, Bytes)>) {
    let id = ReservationId::timed(BASE, Bucket::new(77).expect("a bucket"), 1);
    let release = Body::Release(Release { id, operation: None, parts: Vec::new() });
    let bodies = [receive(1, "a", 5), receive(2, "b", 7), reserve(id, "a", 2), receive(3, "a", 1), release];
    let mut ledger = Ledger::new(ShardId(SHARD));
    let mut journal = Vec::new();
    for (index, body) in (10..).zip(bodies) {
        let command = Command { context: Context::default(), not_after: TimeMs::MAX, attempt: 1, heard: false, body };
        let batch = Batch { rules: RULES_NEWEST, time: BASE, digest: false, commands: vec![command] };
        let applied = ledger.apply(LogIndex(index), &batch);
        journal.push((1, index, applied.journal.expect("something moved")));
    }
    (ledger, journal)
}

fn refused(journal: &[(u32, u64, Bytes)], why: &str) {
    let problem = follow(SHARD, true, journal).err().expect("it is broken");
    assert!(problem.contains(why), "`{problem}` does not say `{why}`");
}

#[test]
fn a_right_journal_is_followed_and_adds_up() {
    let (ledger, journal) = story();
    let followed = follow(SHARD, true, &journal).expect("it is right");
    assert_eq!(agrees(&followed, &ledger), Ok(2));
    // So is the end of one, whose first movements name what is below its floor.
    for from in 1..journal.len() {
        let part = follow(SHARD, false, &journal[from..]).expect("it is right");
        assert_eq!(part.last, followed.last);
        assert_eq!(same(&part, &followed), Ok(()));
        assert_eq!(same(&followed, &part), Ok(()));
    }
}

#[test]
fn a_broken_chain_is_refused() {
    let (_, journal) = story();
    let mut gap = journal.clone();
    gap.remove(1);
    refused(&gap, "is before it");
    refused(&journal[1..], "is before it");
    let mut repeat = journal.clone();
    repeat.insert(2, journal[1].clone());
    refused(&repeat, "after a later one");
    let mut elsewhere = journal.clone();
    elsewhere[4].1 = 99;
    refused(&elsewhere, "it says it stands at");
    let mut flipped = journal.clone();
    let mut bytes = journal[2].2.to_vec();
    bytes[40] ^= 1;
    flipped[2].2 = Bytes::from(bytes);
    refused(&flipped, "checksum");
    assert!(follow(SHARD + 1, true, &journal).is_err(), "another shard's");
}

#[test]
fn movements_that_name_another_one_before_them_are_refused() {
    let (_, journal) = story();
    let blocks: Vec<Block> = journal.iter().map(|(_, _, bytes)| Block::decode(bytes).expect("whole")).collect();
    let movement = |block: usize| blocks[block].movement(0).expect("whole").expect("there");
    let mut followed = Followed::default();
    followed.take(&movement(0), true).expect("the first of its pool");
    // The receive that names the hold, and the hold was left out.
    let why = followed.take(&movement(3), true).expect_err("a movement is missing");
    assert!(why.contains("its pool's"), "{why}");
    let mut followed = Followed::default();
    for block in [0, 2, 3] {
        followed.take(&movement(block), true).expect("right");
    }
    let mut ends = movement(4);
    ends.previous_of_reservation = None;
    let why = followed.take(&ends, true).expect_err("it names nothing");
    assert!(why.contains("its reservation's"), "{why}");
}

/// A part of a cart begins anew once it holds nothing more: here what it held is not known, since its hold lies below the floor.
#[test]
fn what_held_units_from_below_the_floor_may_begin_anew() {
    let (_, journal) = story();
    let blocks: Vec<Block> = journal.iter().map(|(_, _, bytes)| Block::decode(bytes).expect("whole")).collect();
    let movement = |block: usize| blocks[block].movement(0).expect("whole").expect("there");
    let mut followed = Followed { blocks: [((1, 14), BlockHash(7))].into(), ..Followed::default() };
    followed.take(&movement(4), false).expect("its hold lies below the floor");
    let mut again = movement(2);
    again.previous_of_pool = Some(movement(4).position);
    followed.take(&again, false).expect("it begins anew");
    // From here on what it holds is known.
    again.previous_of_pool = Some(again.position);
    let why = followed.take(&again, false).expect_err("it holds units");
    assert!(why.contains("its reservation's"), "{why}");
}

#[test]
fn replicas_with_other_blocks_and_sums_that_are_not_the_books_are_refused() {
    let (mut ledger, journal) = story();
    let followed = || follow(SHARD, true, &journal).expect("it is right");
    let mut other = followed();
    other.blocks.insert((1, 12), BlockHash(7));
    assert!(same(&followed(), &other).is_err());
    let mut fewer = followed();
    fewer.blocks.remove(&(1, 12));
    assert!(same(&followed(), &fewer).is_err());
    let mut wrong = followed();
    wrong.sums.get_mut(&pool("b")).expect("moved")[0] += 1;
    assert!(agrees(&wrong, &ledger).is_err());
    let mut unknown = followed();
    unknown.sums.insert(pool("c"), [0; 7]);
    assert!(agrees(&unknown, &ledger).is_err());
    // The state is further than the journal: nothing is claimed.
    let command = Command {
        context: Context::default(),
        not_after: TimeMs::MAX,
        attempt: 1,
        heard: false,
        body: receive(9, "b", 1),
    };
    ledger.apply(LogIndex(20), &Batch { rules: RULES_NEWEST, time: BASE, digest: false, commands: vec![command] });
    assert_eq!(agrees(&followed(), &ledger), Ok(0));
}
