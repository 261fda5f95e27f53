//! What the keepers of the stock set holds for the lines of a cart in the shard where each line lives.

use crate::{support::*, world::*};
use earmark_ledger::{Fresh, cart::message::*, command::*, outcome::*, settings::*, types::*};

const TTL: DurationMs = DurationMs::seconds(60);
const WINDOW: DurationMs = DurationMs::minutes(10);

fn shoe() -> PoolKey {
    pool("a1", "berlin")
}

fn sock() -> PoolKey {
    pool("a2", "berlin")
}

/// Two shards with 9 units each; the socks, in shard 2, have these settings.
fn socks(settings: Settings) -> World {
    let mut world = World::new(2);
    world.stock(&[(&shoe(), 9), (&sock(), 9)]);
    set(&mut world, 0, settings);
    world
}

fn set(world: &mut World, version: u64, settings: Settings) {
    let told = world.one(2, configure(operation_id(world.now, 1 + version), "a2", version, settings));
    assert!(matches!(told.verdict, Verdict::Done(Done::Settings(_))), "{told:?}");
}

fn limited(most: u64) -> Settings {
    Settings { owner_units: Some(UnitLimit { units: units(most), window: WINDOW }), ..Settings::default() }
}

fn id(world: &World, number: u64) -> ReservationId {
    cart_id(ShardId(1), world.now, number)
}

/// A shoe and so many socks.
fn ask(world: &World, number: u64, units: u64) -> Reserve {
    cart(id(world, number), &[(&shoe(), 1), (&sock(), units)], TTL)
}

/// What becomes of a cart that is carried to its end.
fn end(world: &mut World, reserve: &Reserve) -> Verdict {
    let told = world.reserve(reserve);
    assert!(matches!(told.verdict, Verdict::Done(Done::Pending(_))), "{told:?}");
    world.pump();
    world.assert_rest();
    let (pending, outcome) = world.decided.pop().expect("was decided");
    assert_eq!(pending.id, reserve.id);
    outcome.verdict
}

fn held(verdict: &Verdict) -> &Reserved {
    match verdict {
        Verdict::Done(Done::Reserved(reserved)) => reserved,
        other => panic!("is not held: {other:?}"),
    }
}

fn refused(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("was not refused: {other:?}"),
    }
}

fn exceeded(used: u64) -> Refusal {
    let (limit, used) = (units(3), units(used));
    Refusal::LimitExceeded(LimitExceeded { line: 1, kind: LimitKind::Units, limit, window: WINDOW, used })
}

#[test]
fn a_limit_holds_for_a_line_in_another_shard() {
    let mut world = socks(limited(3));
    let first = ask(&world, 1, 2);
    held(&end(&mut world, &first));
    let second = ask(&world, 2, 2);
    assert_eq!(refused(end(&mut world, &second)), exceeded(2));
    assert_eq!((world.units(&shoe()), world.units(&sock())), ((8, 1, 0), (7, 2, 0)));
    // Another owner is not in the way; nobody at all can't be judged.
    let bob = Reserve { owner: "bob".parse().expect("an owner"), ..ask(&world, 3, 2) };
    held(&end(&mut world, &bob));
    let nobody = Reserve { owner: Owner::default(), ..ask(&world, 4, 1) };
    assert!(matches!(refused(end(&mut world, &nobody)), Refusal::InvalidArgument(_)));
    // What was sold counts on, over a restart; what was released does not.
    world.one(1, commit(first.id));
    world.pump();
    world.restart(ShardId(2));
    let third = ask(&world, 5, 2);
    assert_eq!(refused(end(&mut world, &third)), exceeded(2));
    let fourth = ask(&world, 6, 1);
    held(&end(&mut world, &fourth));
    world.one(1, release(fourth.id));
    world.pump();
    let fifth = ask(&world, 7, 1);
    held(&end(&mut world, &fifth));
    // And no longer than its window.
    world.wait(WINDOW.0);
    world.tick(1);
    world.pump();
    world.tick(2);
    let last = ask(&world, 8, 3);
    held(&end(&mut world, &last));
}

#[test]
fn what_is_being_prepared_counts_for_a_limit_until_it_is_withdrawn() {
    let mut world = socks(limited(3));
    let first = ask(&world, 1, 2);
    world.reserve(&first);
    let prepare = world.row(1, 2);
    world.deliver(prepare).expect("an answer, which is lost");
    // Its units may come back any moment: that is no plain refusal.
    let alone = |world: &World, number| {
        let reserve = reserve(cart_id(ShardId(2), world.now, number), vec![line(&sock(), 2)], TTL);
        command(Body::Reserve(reserve))
    };
    let second = alone(&world, 2);
    assert_eq!(world.at(2).judge_fresh(&second, world.now), Fresh::Refuse(Refusal::Contended));
    let told = world.entry(ShardId(2), vec![second]).outcomes.remove(0);
    assert_eq!(told.verdict, Verdict::Refused(Refusal::Contended));
    // Home gives it up.
    world.wait(5_000);
    world.tick(1);
    world.pump();
    world.assert_rest();
    let third = alone(&world, 3);
    let told = world.entry(ShardId(2), vec![third]).outcomes.remove(0);
    held(&told.verdict);
    assert_eq!((world.units(&shoe()), world.units(&sock())), ((9, 0, 0), (7, 2, 0)));
}

#[test]
fn what_home_prepares_counts_for_a_limit_until_it_is_rejected() {
    let mut world = socks(limited(3));
    let id = cart_id(ShardId(2), world.now, 1);
    let own = cart(id, &[(&sock(), 2), (&shoe(), 99)], TTL);
    world.reserve(&own);
    let other = reserve(cart_id(ShardId(2), world.now, 2), vec![line(&sock(), 2)], TTL);
    let told = world.reserve(&other);
    assert_eq!(told.verdict, Verdict::Refused(Refusal::Contended));
    world.pump();
    let again = Command { attempt: 2, ..command(Body::Reserve(other)) };
    let told = world.entry(ShardId(2), vec![again]).outcomes.remove(0);
    held(&told.verdict);
}

#[test]
fn units_whose_home_is_gone_count_no_more() {
    let mut world = socks(limited(3));
    let mut other = socks(limited(3));
    other.reserve(&ask(&other, 1, 3));
    let prepare = other.row(1, 2);
    world.deliver(prepare);
    assert_eq!(world.units(&sock()), (6, 3, 0));
    let question = world.asks(ShardId(2)).remove(0);
    let gone = world.deliver(question).expect("home knows nothing of it");
    world.deliver(gone);
    let next = ask(&world, 2, 3);
    held(&end(&mut world, &next));
}

#[test]
fn a_freeze_holds_for_a_line_in_another_shard_and_leaves_what_is_held() {
    let mut world = socks(Settings::default());
    let before = ask(&world, 1, 2);
    held(&end(&mut world, &before));
    let reason: Reason = "recall".parse().expect("a reason");
    set(&mut world, 1, Settings { frozen: Some(reason.clone()), ..Settings::default() });
    let after = ask(&world, 2, 1);
    assert_eq!(refused(end(&mut world, &after)), Refusal::SkuFrozen { reason });
    assert_eq!(world.units(&shoe()), (8, 1, 0));
    let told = world.one(1, commit(before.id));
    assert!(matches!(told.verdict, Verdict::Done(_)), "{told:?}");
    world.pump();
    assert_eq!(world.units(&sock()), (7, 0, 2));
    // Nor before it opens.
    let opens = TimeMs(world.now.0 + 1_000);
    set(&mut world, 2, Settings { opens: Some(opens), ..Settings::default() });
    let early = ask(&world, 3, 1);
    assert_eq!(refused(end(&mut world, &early)), Refusal::SaleNotOpen { opens });
}

#[test]
fn a_line_in_another_shard_is_dealt_to_locations() {
    let mut world = World::new(3);
    let (paris, hat) = (pool("a2", "paris"), pool("a3", "berlin"));
    world.stock(&[(&shoe(), 9), (&sock(), 2), (&paris, 3), (&hat, 9)]);
    let order = vec!["paris".parse().expect("a location"), "berlin".parse().expect("a location")];
    let allocation = Allocation { strategy: Strategy::Priority(order), places: 9 };
    set(&mut world, 0, Settings { allocation: Some(allocation), ..Settings::default() });
    let asked = |world: &World, number, socks, best_effort| {
        let id = id(world, number);
        let lines = vec![line(&shoe(), 1), open_line("a2", socks), line(&hat, 1), line(&shoe(), 1)];
        let shards = vec![ShardId(1), ShardId(2), ShardId(3), ShardId(1)];
        Reserve { shards, best_effort, ..reserve(id, lines, TTL) }
    };
    // Not enough anywhere, in the number of the request's line.
    let first = asked(&world, 1, 6, false);
    let short = Shortage { line: 1, asked: units(6), sellable: units(5), earliest: None };
    assert_eq!(refused(end(&mut world, &first)), Refusal::InsufficientStock(vec![short]));
    // The last pool is asked for what nobody can give.
    let second = asked(&world, 2, 7, true);
    let verdict = end(&mut world, &second);
    let told = held(&verdict);
    let lines: Vec<_> = told.lines.iter().map(|line| (line.pool.key(), line.asked.units(), line.got.units())).collect();
    assert_eq!(lines, [(shoe(), 2, 2), (paris.clone(), 3, 3), (sock(), 4, 2), (hat.clone(), 1, 1)]);
    assert_eq!(told.lines.iter().map(|line| line.policy).collect::<Vec<_>>(), [None, Some(1), Some(1), None]);
    assert!(!told.all);
    // The same is told again, by a home that was restarted.
    world.checkpoint(ShardId(1));
    world.restart(ShardId(1));
    let again = world.reserve(&second);
    assert!(again.replayed);
    assert_eq!(again.verdict, verdict);
    // It is sold by pool.
    let part = Part { quantity: units(1), ..part(&paris, 1) };
    let operation = Some(operation_id(world.now, 50));
    world.one(1, Body::Commit(Commit { id: second.id, operation, parts: vec![part], keep_rest: true, revive: false }));
    world.pump();
    assert_eq!((world.units(&paris), world.units(&sock())), ((0, 2, 1), (0, 2, 0)));
    world.one(1, release(second.id));
    world.pump();
    assert_eq!((world.units(&paris), world.units(&sock())), ((2, 0, 1), (2, 0, 0)));
    world.assert_rest();
}

#[test]
fn a_named_and_an_unnamed_line_may_meet_in_a_pool_of_another_shard() {
    let mut world = World::new(2);
    let paris = pool("a2", "paris");
    world.stock(&[(&shoe(), 9), (&sock(), 5), (&paris, 2)]);
    let lines = vec![open_line("a2", 4), line(&shoe(), 1), line(&sock(), 1), open_line("a2", 1)];
    let shards = vec![ShardId(2), ShardId(1), ShardId(2), ShardId(2)];
    let asked = Reserve { shards, ..reserve(id(&world, 1), lines, TTL) };
    let verdict = end(&mut world, &asked);
    let told = held(&verdict);
    let mut lines: Vec<_> =
        told.lines.iter().map(|line| (line.pool.key(), line.asked.units(), line.got.units())).collect();
    lines.sort();
    assert_eq!(lines, [(shoe(), 1, 1), (sock(), 5, 5), (paris.clone(), 1, 1)]);
    world.one(1, commit(asked.id));
    world.pump();
    assert_eq!((world.units(&sock()), world.units(&paris)), ((0, 0, 5), (1, 0, 1)));
}

#[test]
fn an_unnamed_line_of_a_home_is_dealt_too() {
    let mut world = World::new(2);
    let paris = pool("a1", "paris");
    world.stock(&[(&shoe(), 2), (&paris, 3), (&sock(), 9)]);
    let lines = vec![line(&sock(), 1), open_line("a1", 4), line(&sock(), 1)];
    let shards = vec![ShardId(2), ShardId(1), ShardId(2)];
    let asked = Reserve { shards, ..reserve(id(&world, 1), lines, TTL) };
    let verdict = end(&mut world, &asked);
    let told = held(&verdict);
    let lines: Vec<_> = told.lines.iter().map(|line| (line.pool.key(), line.asked.units(), line.policy)).collect();
    assert_eq!(lines, [(sock(), 2, None), (paris.clone(), 3, Some(0)), (shoe(), 1, Some(0))]);
    assert_eq!(world.view(asked.id).expect("is held").lines.len(), 3);
}

#[test]
fn an_unnamed_line_waits_for_units_that_may_come_back() {
    let mut world = World::new(2);
    let paris = pool("a2", "paris");
    world.stock(&[(&shoe(), 9), (&sock(), 2), (&paris, 2)]);
    let first = cart(id(&world, 1), &[(&shoe(), 1), (&paris, 2)], TTL);
    world.reserve(&first);
    let prepare = world.row(1, 2);
    world.deliver(prepare).expect("an answer, which is lost");
    let alone = |world: &mut World, number, units| {
        let reserve = reserve(cart_id(ShardId(2), world.now, number), vec![open_line("a2", units)], TTL);
        world.reserve(&reserve).verdict
    };
    assert_eq!(refused(alone(&mut world, 2, 4)), Refusal::Contended);
    // That much is not there whatever comes back.
    assert!(matches!(refused(alone(&mut world, 3, 5)), Refusal::InsufficientStock(_)));
    held(&alone(&mut world, 4, 2));
}

#[test]
fn the_zone_of_whoever_asks_reaches_the_other_shard() {
    let mut world = World::new(2);
    let paris = pool("a2", "paris");
    world.stock(&[(&shoe(), 9), (&sock(), 5), (&paris, 5)]);
    let zones = vec![("berlin".parse().expect("a location"), 10), ("paris".parse().expect("a location"), 20)];
    let allocation = Allocation { strategy: Strategy::NearestZone(zones), places: 1 };
    set(&mut world, 0, Settings { allocation: Some(allocation), ..Settings::default() });
    for (number, zone, there) in [(1, 11, sock()), (2, 19, paris)] {
        let shards = vec![ShardId(1), ShardId(2)];
        let lines = vec![line(&shoe(), 1), open_line("a2", 1)];
        let asked = Reserve { shards, zone, ..reserve(id(&world, number), lines, TTL) };
        // Home is restarted while it is being prepared.
        world.reserve(&asked);
        world.checkpoint(ShardId(1));
        world.restart(ShardId(1));
        world.pump();
        let (_, outcome) = world.decided.pop().expect("was decided");
        assert_eq!(held(&outcome.verdict).lines[1].pool, there.into());
    }
}

#[test]
fn what_is_sold_on_ship_stays_committed_in_another_shard() {
    let mut world = socks(Settings { deduct: Deduct::OnShip, ..Settings::default() });
    let asked = ask(&world, 1, 2);
    held(&end(&mut world, &asked));
    world.one(1, commit(asked.id));
    world.pump();
    let socks = world.pool(&sock());
    let counts = [socks.on_hand, socks.available, socks.held, socks.committed, socks.sold_total];
    assert_eq!(counts, [9, 7, 0, 2, 0].map(units));
    assert_eq!(world.units(&shoe()), (8, 0, 1));
    let view = world.view(asked.id).expect("is known");
    assert_eq!(view.lines[1].committed, units(2));
}

#[test]
fn a_prepare_without_news_is_written_as_before() {
    let mut world = socks(Settings::default());
    world.reserve(&ask(&world, 1, 1));
    let row = world.row(1, 2);
    let Body::Cart(Message::Prepare(prepare)) = &row.command.body else { panic!("is a prepare: {row:?}") };
    let zoned = Prepare { zone: 7, ..prepare.clone() };
    let bytes = |prepare: &Prepare| {
        let body = Body::Cart(Message::Prepare(prepare.clone()));
        earmark_ledger::codec::encode_command(&Command { body, ..row.command.clone() })
    };
    // A tag and a value, in a message of one byte of length.
    assert_eq!(bytes(&zoned).len(), bytes(prepare).len() + 2);
}

/// A shortage names the holds that make it up, wherever their homes are, newest first.
#[test]
fn a_shortage_names_carts_whose_home_is_elsewhere() {
    let mut world = socks(Settings::default());
    let ids: Vec<_> = (1..=3).map(|number| cart_id(ShardId(1), world.now, number)).collect();
    for (at, id) in ids.iter().enumerate() {
        let lines: [(&PoolKey, u64); 2] = [(&shoe(), 1), (&sock(), 2)];
        world.reserve(&cart(*id, &lines, DurationMs::seconds(60 - u64::try_from(at).expect("small"))));
        world.pump();
    }
    let told = world.one(2, count(operation_id(world.now, 99), &sock(), 3, None));
    let Verdict::Done(Done::Stock(change)) = &told.verdict else { panic!("was not counted: {told:?}") };
    let shortage = change.shortage.as_ref().expect("six are held, and three are there");
    assert_eq!((shortage.units.units(), shortage.at_risk.units()), (3, 3));
    let named: Vec<_> = shortage.newest.iter().map(|hold| (hold.reservation, hold.held.units())).collect();
    // The two newest make it up.
    assert_eq!(named, [(ids[2], 2), (ids[1], 2)]);
}
