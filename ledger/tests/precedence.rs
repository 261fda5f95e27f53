//! Of several reasons to refuse, the first in the order of `Refusal`'s variants is told. Each test begins with a
//! command that has every reason its kind can have at once, and takes away the first of them again and again.

mod support;

use earmark_ledger::{Ledger, command::*, outcome::*, settings::*, types::*};
use support::*;

const LATER: TimeMs = TimeMs(BASE.0 + 1_000);

fn place(refusal: &Refusal) -> u32 {
    match refusal {
        Refusal::IdempotencyConflict => 1,
        Refusal::IdempotencyTooOld => 2,
        Refusal::InvalidArgument(_) => 3,
        Refusal::WrongShard => 4,
        Refusal::Late => 5,
        Refusal::NotFound(_) => 6,
        Refusal::ReservationExpired { .. } => 7,
        Refusal::ReservationState { .. } => 8,
        Refusal::ExtensionLimit { .. } => 9,
        Refusal::VersionStale { .. } | Refusal::SettingsStale { .. } => 10,
        Refusal::SkuFrozen { .. } => 11,
        Refusal::SaleNotOpen { .. } => 12,
        Refusal::SaleClosed => 13,
        Refusal::LimitExceeded(_) => 14,
        Refusal::PolicyUnsatisfiable => 15,
        Refusal::InsufficientStock(_) => 16,
        Refusal::Contended => 17,
    }
}

/// What each command in turn is refused with; each is judged by a ledger of its own, so that none remembers another.
fn places(prepare: &dyn Fn() -> Shard, commands: Vec<(ShardId, Command)>) -> Vec<u32> {
    let refused = commands.into_iter().map(|(shard_id, command)| {
        let mut shard = prepare();
        if shard_id == ShardId::META {
            shard.ledger = Ledger::new(ShardId::META);
        }
        match shard.one(LATER, command).verdict {
            Verdict::Refused(refusal) => place(&refusal),
            Verdict::Done(done) => panic!("was to be refused: {done:?}"),
        }
    });
    refused.collect()
}

fn late(body: Body) -> Command {
    Command { not_after: BASE, ..command(body) }
}

#[test]
fn reasons_of_a_reserve() {
    let shoe = pool("shoe", "berlin");
    let old = TimeMs(BASE.0 - 8 * 24 * 3_600_000);
    let prepare = || {
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 2)));
        shard
    };
    // An id of last week, still known.
    let prepare_known = || {
        let mut shard = Shard::new();
        shard.one(old, command(receive(operation_id(old, 1), &pool("shoe", "berlin"), 2)));
        let known = reserve(reservation_id(old, 1), vec![line(&pool("shoe", "berlin"), 1)], DurationMs::seconds(60));
        shard.one(old, command(Body::Reserve(known)));
        shard
    };
    let bad = |id| Body::Reserve(reserve(id, vec![line(&pool("hat", "berlin"), 1)], DurationMs(0)));
    assert_eq!(places(&prepare_known, vec![(SHARD, late(bad(reservation_id(old, 1))))]), [1]);

    let ttl = DurationMs::seconds(60);
    let fresh = reservation_id(BASE, 9);
    let unknown = Body::Reserve(reserve(fresh, vec![line(&pool("hat", "berlin"), 1), line(&shoe, 9)], ttl));
    let too_many = Body::Reserve(reserve(fresh, vec![line(&shoe, 9)], ttl));
    let told = places(
        &prepare,
        vec![
            (SHARD, late(bad(reservation_id(old, 2)))),
            (ShardId::META, late(bad(fresh))),
            (ShardId::META, late(unknown.clone())),
            (SHARD, late(unknown.clone())),
            (SHARD, command(unknown)),
            (SHARD, command(too_many)),
        ],
    );
    assert_eq!(told, [2, 3, 4, 5, 6, 16]);
}

#[test]
fn a_true_shortage_comes_before_contended() {
    let (shoe, sock) = (pool("shoe", "berlin"), pool("sock", "berlin"));
    let prepare = || {
        let (shoe, sock) = (pool("shoe", "berlin"), pool("sock", "berlin"));
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 3_000)));
        shard.one(BASE, command(receive(operation_id(BASE, 2), &sock, 1)));
        let holds = (0..3_000).map(|n| {
            let id = reservation_id(BASE, 100 + n);
            command(Body::Reserve(reserve(id, vec![line(&shoe, 1)], DurationMs(1_000))))
        });
        shard.batch(&batch(BASE, holds.collect()));
        shard
    };
    let ttl = DurationMs::seconds(60);
    let both = reserve(reservation_id(BASE, 9), vec![line(&shoe, 3_000), line(&sock, 2)], ttl);
    let contended = reserve(reservation_id(BASE, 9), vec![line(&shoe, 3_000), line(&sock, 1)], ttl);
    let commands = vec![(SHARD, command(Body::Reserve(both))), (SHARD, command(Body::Reserve(contended)))];
    assert_eq!(places(&prepare, commands), [16, 17]);
}

#[test]
fn reasons_of_ending_a_hold() {
    let old = TimeMs(BASE.0 - 8 * 24 * 3_600_000);
    let (overdue, ended, held) = (reservation_id(BASE, 1), reservation_id(BASE, 2), reservation_id(BASE, 3));
    let prepare = || {
        let shoe = pool("shoe", "berlin");
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 9)));
        for (id, ttl) in [(overdue, 1_000), (ended, 60_000), (held, 60_000)] {
            let reserve = reserve(id, vec![line(&shoe, 1)], DurationMs(ttl));
            shard.one(BASE, command(Body::Reserve(reserve)));
        }
        shard.one(BASE, command(release(ended)));
        shard
    };
    let named = |id, time, quantity, location: &str| {
        let parts = vec![part(&pool("shoe", location), quantity)];
        let operation = Some(operation_id(time, 1));
        Body::Commit(Commit { id, operation, parts, keep_rest: false, revive: false })
    };
    let told = places(
        &prepare,
        vec![
            // The operation of that id was a receipt.
            (SHARD, late(named(reservation_id(old, 1), BASE, 0, "paris"))),
            (SHARD, late(named(reservation_id(BASE, 5), old, 0, "paris"))),
            (SHARD, late(named(reservation_id(old, 1), LATER, 0, "paris"))),
            (ShardId::META, late(named(reservation_id(BASE, 5), LATER, 0, "paris"))),
            (ShardId::META, late(named(reservation_id(BASE, 5), LATER, 2, "paris"))),
            (SHARD, late(named(reservation_id(BASE, 5), LATER, 2, "paris"))),
            (SHARD, command(named(reservation_id(BASE, 5), LATER, 2, "paris"))),
            (SHARD, command(named(overdue, LATER, 2, "berlin"))),
            (SHARD, command(named(ended, LATER, 2, "berlin"))),
            (SHARD, command(named(held, LATER, 2, "paris"))),
            (SHARD, command(named(held, LATER, 2, "berlin"))),
        ],
    );
    assert_eq!(told, [1, 2, 2, 3, 4, 5, 6, 7, 8, 6, 16]);

    let long = DurationMs::days(2);
    let told = places(
        &prepare,
        vec![
            (SHARD, command(extend(overdue, operation_id(LATER, 2), long))),
            (SHARD, command(extend(ended, operation_id(LATER, 2), long))),
            (SHARD, command(extend(held, operation_id(LATER, 2), long))),
        ],
    );
    assert_eq!(told, [7, 8, 9]);
}

/// A cart over this shard and the next one, whose home is here: in doubt until the other answers.
fn prepared(shard: &mut Shard, operation: u64, id: ReservationId) {
    let lines = vec![line(&pool("shoe", "berlin"), 1), line(&pool("hat", "berlin"), 1)];
    let (shards, operation) = (vec![SHARD, ShardId(SHARD.0 + 1)], operation_id(BASE, operation));
    let (namespace, best_effort, zone) = (Namespace::default(), false, 0);
    let replace = Replace { id, operation, namespace, lines, best_effort, zone, shards };
    let told = shard.one(BASE, command(Body::Replace(replace)));
    assert!(matches!(told.verdict, Verdict::Done(Done::Pending(_))), "{told:?}");
}

#[test]
fn reasons_of_a_replace() {
    let old = TimeMs(BASE.0 - 8 * 24 * 3_600_000);
    let [overdue, ended, held, busy, brand] = [1, 2, 3, 4, 5].map(|number| reservation_id(BASE, number));
    let prepare = || {
        let mut shard = Shard::new();
        for (number, sku) in [(1, "shoe"), (2, "sock"), (3, "scarf")] {
            shard.one(BASE, command(receive(operation_id(BASE, number), &pool(sku, "berlin"), 9)));
        }
        for (id, ttl) in [(overdue, 1_000), (ended, 60_000), (held, 60_000), (busy, 60_000)] {
            let reserve = reserve(id, vec![line(&pool("shoe", "berlin"), 1)], DurationMs(ttl));
            shard.one(BASE, command(Body::Reserve(reserve)));
        }
        let other = PoolKey { namespace: "brand".parse().expect("a name"), ..pool("shoe", "berlin") };
        shard.one(BASE, command(receive(operation_id(BASE, 4), &other, 9)));
        let other = Reserve {
            namespace: other.namespace.clone(),
            ..reserve(brand, vec![line(&other, 1)], DurationMs::seconds(60))
        };
        shard.one(BASE, command(Body::Reserve(other)));
        shard.one(BASE, command(release(ended)));
        prepared(&mut shard, 5, busy);
        shard.one(BASE, command(configure(operation_id(BASE, 6), "sock", 0, every_rule())));
        shard
    };
    let asked = |id, time, lines: Vec<Line>| {
        let (namespace, operation) = (Namespace::default(), operation_id(time, 1));
        Body::Replace(Replace { id, operation, namespace, lines, best_effort: false, zone: 0, shards: Vec::new() })
    };
    let fresh = reservation_id(BASE, 9);
    let bad = || Vec::new();
    let unknown = || vec![line(&pool("hat", "berlin"), 1), line(&pool("sock", "berlin"), 99)];
    let ruled = || vec![line(&pool("sock", "berlin"), 99), line(&pool("scarf", "berlin"), 99)];
    let short = || vec![line(&pool("scarf", "berlin"), 99)];
    let told = places(
        &prepare,
        vec![
            // The operation of that id was a receipt; then one that is being prepared.
            (SHARD, late(asked(reservation_id(old, 1), BASE, bad()))),
            (SHARD, late(asked(fresh, old, bad()))),
            (SHARD, late(asked(reservation_id(old, 1), LATER, bad()))),
            (ShardId::META, late(asked(fresh, LATER, bad()))),
            (ShardId::META, late(asked(fresh, LATER, unknown()))),
            (SHARD, late(asked(fresh, LATER, unknown()))),
            (SHARD, command(asked(fresh, LATER, unknown()))),
            // Of another tenant there is no such reservation, whatever its state.
            (SHARD, command(asked(brand, LATER, unknown()))),
            (SHARD, command(asked(overdue, LATER, unknown()))),
            (SHARD, command(asked(ended, LATER, unknown()))),
            (SHARD, command(asked(held, LATER, unknown()))),
            (SHARD, command(asked(held, LATER, ruled()))),
            (SHARD, command(asked(held, LATER, short()))),
            // What is under way may change all that the rest depends on.
            (SHARD, command(asked(busy, LATER, unknown()))),
        ],
    );
    assert_eq!(told, [1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 6, 11, 16, 17]);
    let again = Body::Release(Release {
        id: busy,
        operation: Some(operation_id(BASE, 5)),
        parts: vec![part(&pool("shoe", "berlin"), 1)],
    });
    assert_eq!(places(&prepare, vec![(SHARD, late(again))]), [1]);
}

#[test]
fn reasons_of_what_follows_a_sale() {
    let old = TimeMs(BASE.0 - 8 * 24 * 3_600_000);
    let [overdue, held, sold, gone] = [1, 2, 3, 4].map(|number| reservation_id(BASE, number));
    // Shoes wait to be shipped, and so do those of which none is on hand any more; socks were sold at once.
    let prepare = || {
        let mut shard = Shard::new();
        for (number, sku) in [(1, "shoe"), (2, "sock"), (3, "scarf")] {
            shard.one(BASE, command(receive(operation_id(BASE, number), &pool(sku, "berlin"), 9)));
        }
        let on_ship = || Settings { deduct: Deduct::OnShip, ..Settings::default() };
        let returns = Settings { return_window: Some(DurationMs(500)), ..Settings::default() };
        for (number, sku, settings) in [(4, "shoe", on_ship()), (5, "scarf", on_ship()), (6, "sock", returns)] {
            shard.one(BASE, command(configure(operation_id(BASE, number), sku, 0, settings)));
        }
        let lines = || ["shoe", "sock", "scarf"].map(|sku| line(&pool(sku, "berlin"), 1)).to_vec();
        for (id, ttl) in [(overdue, 1_000), (held, 60_000), (sold, 60_000), (gone, 60_000)] {
            shard.one(BASE, command(Body::Reserve(reserve(id, lines(), DurationMs(ttl)))));
        }
        shard.one(BASE, command(commit(sold)));
        shard.one(BASE, command(count(operation_id(BASE, 7), &pool("scarf", "berlin"), 0, None)));
        shard
    };
    let named = |sku: &str, quantity| vec![part(&pool(sku, "berlin"), quantity)];
    let ship = |id, time, parts| Body::Ship(Ship { id, operation: operation_id(time, 1), parts });
    let cancel = |id, time, parts| {
        Body::Cancel(Cancel { id, operation: operation_id(time, 1), parts, reason: Reason::default() })
    };
    let back = |id, time, parts| {
        let (operation, disposition, reason) = (operation_id(time, 1), Disposition::Sellable, Reason::default());
        Body::Return(Return { id, operation, parts, disposition, reason })
    };
    type Ask<'a> = &'a dyn Fn(ReservationId, TimeMs, Vec<Part>) -> Body;
    let fresh = reservation_id(BASE, 9);
    for (ask, closed, last) in [(&ship as Ask<'_>, "sock", "scarf"), (&cancel, "sock", "shoe"), (&back, "sock", "shoe")]
    {
        let told = places(
            &prepare,
            vec![
                (SHARD, late(ask(reservation_id(old, 1), BASE, named("hat", 0)))),
                (SHARD, late(ask(fresh, old, named("hat", 0)))),
                (SHARD, late(ask(reservation_id(old, 1), LATER, named("hat", 0)))),
                (ShardId::META, late(ask(fresh, LATER, named("hat", 0)))),
                (ShardId::META, late(ask(fresh, LATER, named("hat", 2)))),
                (SHARD, late(ask(fresh, LATER, named("hat", 2)))),
                (SHARD, command(ask(fresh, LATER, named("hat", 2)))),
                // Nothing was sold: whatever is named, that comes first.
                (SHARD, command(ask(overdue, LATER, named("hat", 2)))),
                (SHARD, command(ask(held, LATER, named("hat", 2)))),
                (SHARD, command(ask(sold, LATER, [named("hat", 2), named(closed, 9)].concat()))),
                (SHARD, command(ask(sold, LATER, [named(closed, 9), named("shoe", 9)].concat()))),
                (SHARD, command(ask(sold, LATER, named("shoe", 9)))),
                (SHARD, command(ask(sold, LATER, named(last, if last == "scarf" { 1 } else { 2 })))),
            ],
        );
        assert_eq!(told, [1, 2, 2, 3, 4, 5, 6, 8, 8, 6, 8, 16, 16]);
    }
}

#[test]
fn reasons_of_paying_and_of_a_late_commit() {
    let [overdue, sold, held] = [1, 2, 3].map(|number| reservation_id(BASE, number));
    let prepare = || {
        let shoe = pool("shoe", "berlin");
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 3)));
        for (id, ttl) in [(overdue, 1_000), (sold, 60_000), (held, 60_000)] {
            shard.one(BASE, command(Body::Reserve(reserve(id, vec![line(&shoe, 1)], DurationMs(ttl)))));
        }
        shard.one(BASE, command(commit(sold)));
        shard.one(BASE, command(configure(operation_id(BASE, 2), "shoe", 0, every_rule())));
        shard
    };
    let paying =
        |id, grace| Body::MarkPaying(MarkPaying { id, operation: operation_id(LATER, 5), grace: DurationMs(grace) });
    let revive = |id, location: &str, quantity| {
        let parts = vec![part(&pool("shoe", location), quantity)];
        Body::Commit(Commit { id, operation: Some(operation_id(LATER, 5)), parts, keep_rest: false, revive: true })
    };
    let told = places(
        &prepare,
        vec![
            (SHARD, late(paying(overdue, 0))),
            (SHARD, late(paying(overdue, 9_000))),
            (SHARD, command(paying(overdue, 9_000))),
            (SHARD, command(paying(sold, 9_000))),
            (SHARD, command(revive(sold, "paris", 9))),
            (SHARD, command(revive(overdue, "paris", 9))),
            (SHARD, command(revive(overdue, "berlin", 9))),
            // Whatever the rules of the sale say by now: the hold is over.
            (SHARD, command(revive(overdue, "berlin", 1))),
        ],
    );
    assert_eq!(told, [3, 5, 7, 8, 8, 6, 16, 7]);
}

#[test]
fn reasons_of_an_adjust() {
    let prepare = || {
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 3)));
        shard
    };
    let adjust = |operation, sku: &str, delta, expected: Option<u64>| {
        Body::Adjust(Adjust {
            operation,
            pool: pool(sku, "berlin"),
            delta,
            reason: Reason::default(),
            expected_on_hand: expected.map(units),
        })
    };
    let (known, fresh) = (operation_id(BASE, 1), operation_id(BASE, 2));
    let old = operation_id(TimeMs(BASE.0 - 8 * 24 * 3_600_000), 2);
    let told = places(
        &prepare,
        vec![
            (SHARD, late(adjust(known, "hat", 0, Some(9)))),
            (ShardId::META, late(adjust(old, "hat", 0, Some(9)))),
            (ShardId::META, late(adjust(fresh, "hat", 0, Some(9)))),
            (ShardId::META, late(adjust(fresh, "hat", -4, Some(9)))),
            (SHARD, late(adjust(fresh, "hat", -4, Some(9)))),
            (SHARD, command(adjust(fresh, "hat", -4, Some(9)))),
            (SHARD, command(adjust(fresh, "shoe", -4, Some(9)))),
            (SHARD, command(adjust(fresh, "shoe", -4, Some(3)))),
        ],
    );
    assert_eq!(told, [1, 2, 3, 4, 5, 6, 10, 16]);
}

/// Settings that refuse for every reason there is.
fn every_rule() -> Settings {
    let berlin = "berlin".parse().expect("a location");
    Settings {
        owner_units: Some(UnitLimit { units: units(1), window: DurationMs::days(1) }),
        frozen: Some("recall".parse().expect("a reason")),
        opens: Some(TimeMs(LATER.0 + 1)),
        closes: Some(TimeMs(LATER.0 + 2)),
        allocation: Some(Allocation { strategy: Strategy::Priority(vec![berlin]), places: 1 }),
        ..Settings::default()
    }
}

#[test]
fn reasons_of_the_rules_of_a_sale() {
    let prepare = |settings: Settings| {
        move || {
            let mut shard = Shard::new();
            shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 2)));
            shard.one(BASE, command(receive(operation_id(BASE, 2), &pool("shoe", "paris"), 2)));
            shard.one(BASE, command(receive(operation_id(BASE, 3), &pool("sock", "paris"), 2)));
            shard.one(BASE, command(configure(operation_id(BASE, 4), "shoe", 0, settings.clone())));
            shard
        }
    };
    let ttl = DurationMs::seconds(60);
    let id = reservation_id(BASE, 9);
    let lines = |hat: bool, sock: u64, shoe: u64| {
        let hat = hat.then(|| line(&pool("hat", "berlin"), 1));
        let others = [line(&pool("sock", "paris"), sock), open_line("shoe", shoe)];
        hat.into_iter().chain(others).collect::<Vec<Line>>()
    };
    let ask = |lines| (SHARD, command(Body::Reserve(reserve(id, lines, ttl))));
    let nobody = |lines| {
        let reserve = Reserve { owner: Owner::default(), ..reserve(id, lines, ttl) };
        (SHARD, command(Body::Reserve(reserve)))
    };
    let all = every_rule();
    let with = |settings: Settings, asked| places(&prepare(settings), vec![asked])[0];
    assert_eq!(with(all.clone(), nobody(lines(true, 9, 4))), 3);
    assert_eq!(with(all.clone(), ask(lines(true, 9, 4))), 6);
    assert_eq!(with(all.clone(), ask(lines(false, 9, 4))), 11);
    let thawed = Settings { frozen: None, ..all };
    assert_eq!(with(thawed.clone(), ask(lines(false, 9, 4))), 12);
    let (opens, closes) = (Some(BASE), Some(LATER));
    let closed = Settings { opens, closes, ..thawed };
    assert_eq!(with(closed.clone(), ask(lines(false, 9, 4))), 13);
    let open = Settings { closes: None, ..closed };
    assert_eq!(with(open.clone(), ask(lines(false, 9, 4))), 14);
    let free = Settings { owner_units: None, ..open };
    assert_eq!(with(free.clone(), ask(lines(false, 9, 4))), 15);
    assert_eq!(with(free, ask(lines(false, 9, 2))), 16);
}

#[test]
fn reasons_of_what_the_keepers_of_the_stock_ask() {
    let prepare = || {
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 3)));
        shard
    };
    let (known, fresh) = (operation_id(BASE, 1), operation_id(BASE, 2));
    let old = operation_id(TimeMs(BASE.0 - 8 * 24 * 3_600_000), 2);
    type Ask<'a> = &'a dyn Fn(OperationId, &str, bool) -> Stockkeeping;
    // Each with its bad value, and without it.
    let set = |operation, sku: &str, good: bool| {
        let (pool, on_hand, reason) = (pool(sku, "berlin"), units(1), Reason::default());
        let expected_on_hand = good.then(|| units(9));
        Stockkeeping::Set(SetOnHand { operation, pool, on_hand, expected_on_hand, overriding: false, reason })
    };
    let quarantine = |operation, sku: &str, good: bool| {
        let reason = if good { "damaged".parse().expect("a reason") } else { Reason::default() };
        let (pool, quantity, step) = (pool(sku, "berlin"), units(9), QuarantineStep::SetApart);
        Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason })
    };
    let transfer = |operation, sku: &str, good: bool| {
        let to = if good { "paris" } else { "berlin" }.parse().expect("a location");
        let (from, quantity, immediate) = (pool(sku, "berlin"), units(9), false);
        let (document, reason) = (Document::default(), Reason::default());
        Stockkeeping::Transfer(Transfer { operation, from, to, quantity, immediate, document, reason })
    };
    let asks: [(Ask<'_>, u32); 3] = [(&set, 10), (&quarantine, 16), (&transfer, 16)];
    for (ask, last) in asks {
        let body = |operation, sku, good| Body::Stockkeeping(ask(operation, sku, good));
        let told = places(
            &prepare,
            vec![
                (SHARD, late(body(known, "hat", false))),
                (ShardId::META, late(body(old, "hat", false))),
                (ShardId::META, late(body(fresh, "hat", false))),
                (ShardId::META, late(body(fresh, "hat", true))),
                (SHARD, late(body(fresh, "hat", true))),
                (SHARD, command(body(fresh, "hat", true))),
                (SHARD, command(body(fresh, "shoe", true))),
            ],
        );
        assert_eq!(told, [1, 2, 3, 4, 5, 6, last]);
    }
    let mut held = prepare();
    let reserve = reserve(reservation_id(BASE, 3), vec![line(&pool("shoe", "berlin"), 1)], DurationMs::seconds(60));
    held.one(BASE, command(Body::Reserve(reserve)));
    let on_ship = Settings { deduct: Deduct::OnShip, ..Settings::default() };
    let mut told = |settings: Settings, number| match held
        .one(LATER, command(configure(operation_id(BASE, number), "shoe", 7, settings)))
        .verdict
    {
        Verdict::Refused(refusal) => place(&refusal),
        Verdict::Done(done) => panic!("was to be refused: {done:?}"),
    };
    assert_eq!([told(on_ship, 5), told(Settings::default(), 6)], [3, 10]);
}
