//! What was found and mended: each as the smallest story that showed it.

use crate::{ask::*, short::*, support::*, world::*};
use earmark_ledger::{
    Ledger, News, cart::message::*, command::*, limits, movement::MovementKind, outcome::*, records, settings::*,
    types::*,
};

#[test]
fn a_prepared_unit_is_counted_once() {
    let mut world = stocked();
    world.reserve(&cart(id(&world, 1), &[(&shoe(), 1), (&sock(), 2)], TTL));
    // The world looks at the books after each entry.
    let row = world.row(1, 2);
    world.deliver(row);
    assert_eq!(world.units(&sock()), (3, 2, 0));
}

#[test]
fn only_the_answer_to_an_open_message_changes_anything() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 2), (&hat(), 1)], TTL));
    let row = world.row(1, 2);
    let granted = world.deliver(row).expect("an answer");
    assert_eq!(answer(&granted).result.as_ref().map(Vec::len), Ok(1));
    world.pump();
    assert_eq!(state(&world, id), ReservationState::Held);
    world.one(1, commit(id));
    world.pump();
    world.assert_rest();
    world.checkpoint(ShardId(1));
    // Home knows nothing of it in memory any more: it must not be needed.
    world.wait(90_000);
    world.tick(1);
    world.evict(ShardId(1));
    let before = world.view(id);
    let applied = world.entry(ShardId(1), vec![granted.command]);
    assert_eq!(applied.news, News::default());
    assert_eq!(world.view(id), before);
}

#[test]
fn whoever_joins_a_reserve_that_is_prepared_is_told_its_refusal_for_as_long_as_the_others() {
    let mut world = stocked();
    let id = id(&world, 1);
    let asked = cart(id, &[(&shoe(), 1), (&sock(), 6)], TTL);
    let sending = |seconds, attempt| Command {
        not_after: BASE.plus(DurationMs::seconds(seconds)),
        attempt,
        ..command(Body::Reserve(asked.clone()))
    };
    let first = world.entry(ShardId(1), vec![sending(5, 1)]).outcomes.remove(0);
    let joined = world.entry(ShardId(1), vec![sending(20, 3)]).outcomes.remove(0);
    assert_eq!(pending(&first), pending(&joined));
    assert!(joined.replayed);
    world.restart(ShardId(1));
    world.pump();
    let told = world.decided.remove(0).1;
    assert!(matches!(refusal(&told), Refusal::InsufficientStock(_)));
    // The units come, but both sendings were told that they are not there.
    world.wait(15_000);
    world.stock(&[(&sock(), 5)]);
    let again = world.entry(ShardId(1), vec![sending(20, 3)]).outcomes.remove(0);
    assert_eq!((refusal(&again), again.replayed), (refusal(&told), true));
    world.wait(5_501);
    let late = world.entry(ShardId(1), vec![sending(20, 3)]).outcomes.remove(0);
    assert_eq!(refusal(&late), &Refusal::Late);
}

#[test]
fn whoever_joined_with_a_higher_try_and_was_told_contended_is_told_so_again() {
    let mut world = stocked();
    let id = id(&world, 1);
    let asked = cart(id, &[(&shoe(), 1), (&sock(), 1)], TTL);
    let sending = |attempt| Command { attempt, ..command(Body::Reserve(asked.clone())) };
    world.entry(ShardId(1), vec![sending(1)]);
    world.entry(ShardId(1), vec![sending(3)]);
    world.wait(2_000);
    world.tick(1);
    world.pump();
    assert_eq!(refusal(&world.decided[0].1), &Refusal::Contended);
    for attempt in [1, 2, 3] {
        let again = world.entry(ShardId(1), vec![sending(attempt)]).outcomes.remove(0);
        assert_eq!((refusal(&again), again.replayed), (&Refusal::Contended, true));
    }
    let anew = world.entry(ShardId(1), vec![sending(4)]).outcomes.remove(0);
    pending(&anew);
    world.pump();
    assert_eq!(state(&world, id), ReservationState::Held);
    assert_eq!([shoe(), sock()].map(|pool| world.units(&pool)), [(4, 1, 0), (4, 1, 0)]);
}

#[test]
fn what_was_obeyed_is_not_forgotten_before_home_knows() {
    let mut world = stocked();
    let id = id(&world, 1);
    let asked = cart(id, &[(&shoe(), 1), (&sock(), 2)], TTL);
    world.reserve(&asked);
    let prepare = world.row(1, 2);
    world.deliver(prepare);
    world.one(1, release(id));
    // The participant gives the units back, but its answer is lost, and the same reserve begins anew.
    let given_up = world.row(1, 2);
    let unheard = world.deliver(given_up).expect("an answer");
    world.wait(30_000);
    let again = Command { attempt: 2, ..command(Body::Reserve(asked.clone())) };
    let told = world.entry(ShardId(1), vec![again]).outcomes.remove(0);
    // It was released, so that is what it is told.
    assert!(matches!(refusal(&told), Refusal::ReservationState { .. }));
    let open = world.row(1, 2);
    assert!(world.deliver(open).is_some());
    world.deliver(unheard);

    // The same after a refusal that may be tried again.
    let id = cart_id(ShardId(1), world.now, 2);
    let asked = cart(id, &[(&shoe(), 1), (&sock(), 2)], TTL);
    world.reserve(&asked);
    let prepare = world.row(1, 2);
    world.deliver(prepare);
    world.wait(2_000);
    world.tick(1);
    let given_up = world.row(1, 2);
    world.deliver(given_up);
    let withdrawn = world.member(ShardId(2)).journal.movements.last().expect("moved").position.index.0;
    let again = Command { attempt: 2, ..command(Body::Reserve(asked)) };
    world.entry(ShardId(1), vec![again]);
    world.restart(ShardId(1));
    // Home's floor must not say that what it has not heard of is over.
    for _ in 0..3 {
        let floor = world.floor(ShardId(1), ShardId(2));
        world.deliver(floor);
    }
    world.pump();
    let of = chain(&world, 2, id);
    let kinds: Vec<_> = of.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [MovementKind::Prepare, MovementKind::Withdraw, MovementKind::Prepare, MovementKind::Reserve]);
    assert_eq!(of[2].1, Some(withdrawn));
}

#[test]
fn a_hashed_id_begins_anew_even_where_its_old_life_was_not_forgotten() {
    let mut world = stocked();
    // Something that is never answered keeps the floor down.
    let stuck = id(&world, 1);
    world.reserve(&cart(stuck, &[(&shoe(), 1), (&sock(), 1)], TTL));
    world.one(1, release(stuck));
    let id = ReservationId::hashed(home_bucket(ShardId(1)), 7);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 2)], TTL));
    carry(&mut world, id);
    world.one(1, commit(id));
    carry(&mut world, id);
    assert_eq!(world.units(&sock()), (3, 0, 2));
    // Home forgets it once nothing can be returned any more. The participant can't.
    world.wait(401 * 24 * 3_600_000);
    world.one(1, Body::Forget(Forget { reservations: vec![id], operations: Vec::new() }));
    assert_eq!(world.view(id), None);
    assert_eq!(world.records(ShardId(2), records::PART), 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 1)], TTL));
    carry(&mut world, id);
    assert_eq!(state(&world, id), ReservationState::Held);
    assert_eq!(world.units(&sock()), (2, 1, 2));
    world.one(1, commit(id));
    carry(&mut world, id);
    assert_eq!(world.units(&sock()), (2, 0, 3));
}

#[test]
fn the_position_of_an_answer_is_that_of_its_decision() {
    let mut world = stocked();
    let id = id(&world, 1);
    // Home has no line of its own, so nothing moves there.
    let asked = cart(id, &[(&sock(), 2), (&hat(), 1)], TTL);
    world.reserve(&asked);
    world.pump();
    let held = world.decided.remove(0).1;
    let index = |outcome: &Outcome| outcome.position.index.0;
    let of_entry = world.member(ShardId(1)).index;
    assert!(index(&held) > 2 && index(&held) < of_entry, "it was decided with the last answer to a prepare");
    let again = world.reserve(&asked);
    assert!(again.replayed);
    assert_eq!((again.position, again.time, &again.verdict), (held.position, held.time, &held.verdict));

    let sold = world.one(1, commit(id));
    assert_eq!(index(&sold), world.member(ShardId(1)).index);
    world.pump();
    let again = world.one(1, commit(id));
    assert!(again.replayed);
    assert_eq!((again.position, again.time), (sold.position, sold.time));
}

#[test]
fn each_participant_notes_who_asked_for_what_it_does() {
    let mut world = stocked();
    let id = id(&world, 1);
    let by = |name: &str, body| {
        let context = Context { principal: name.parse().expect("a principal"), ..Context::default() };
        Command { context, ..command(body) }
    };
    let asked = cart(id, &[(&sock(), 2), (&hat(), 2)], TTL);
    world.entry(ShardId(1), vec![by("ann", Body::Reserve(asked))]);
    world.pump();
    let commit = |number, pool: &PoolKey| {
        Body::Commit(Commit {
            id,
            operation: Some(operation_id(BASE, number)),
            parts: vec![part(pool, 1)],
            keep_rest: true,
            revive: false,
        })
    };
    // Both are decided before either participant hears of it.
    world.entry(ShardId(1), vec![by("bob", commit(1, &sock())), by("cyd", commit(2, &hat()))]);
    world.restart(ShardId(1));
    world.pump();
    world.wait(TTL.0);
    world.tick(1);
    world.pump();
    for (shard, name) in [(2, "bob"), (3, "cyd")] {
        let movements = world.member(ShardId(shard)).journal.movements.iter();
        let of = movements.filter(|movement| movement.reservation == Some(id));
        let of: Vec<_> = of.map(|movement| (movement.kind, movement.context.principal.as_str())).collect();
        use MovementKind::*;
        assert_eq!(of, [(Prepare, "ann"), (Reserve, "ann"), (Commit, name), (Expire, "")]);
    }
}

#[test]
fn units_that_only_pay_off_a_shortage_are_not_coming_back() {
    let mut world = stocked();
    let first = id(&world, 1);
    world.reserve(&cart(first, &[(&shoe(), 1), (&sock(), 5)], TTL));
    let prepare = world.row(1, 2);
    world.deliver(prepare);
    world.one(2, adjust(operation_id(BASE, 1), &sock(), -4));
    let single = |world: &mut World, number, units| {
        let id = cart_id(ShardId(2), world.now, number);
        told(world, &cart(id, &[(&sock(), units)], TTL))
    };
    assert_eq!(refusal(&single(&mut world, 1, 1)), &Refusal::Contended);
    assert!(matches!(refusal(&single(&mut world, 2, 2)), Refusal::InsufficientStock(_)));
    world.one(1, release(first));
    world.pump();
    assert!(matches!(single(&mut world, 3, 1).verdict, Verdict::Done(_)));
}

#[test]
fn a_best_effort_cart_that_finds_nothing_is_told_every_line() {
    let mut world = World::new(3);
    world.stock(&[(&shoe(), 1), (&sock(), 1), (&hat(), 1)]);
    let all = cart(id(&world, 1), &[(&shoe(), 1), (&sock(), 1), (&hat(), 1)], TTL);
    assert!(matches!(told(&mut world, &all).verdict, Verdict::Done(_)));
    let none = cart(id(&world, 2), &[(&sock(), 2), (&shoe(), 3), (&hat(), 4), (&shoe(), 1)], TTL);
    let none = told(&mut world, &Reserve { best_effort: true, ..none });
    let line = |line, asked| Shortage { line, asked: units(asked), sellable: units(0), earliest: None };
    assert_eq!(refusal(&none), &Refusal::InsufficientStock(vec![line(0, 2), line(1, 4), line(2, 4)]));
}

#[test]
fn a_silent_shard_makes_its_homes_keep_only_so_much_for_it() {
    // Without the checks after each entry: there are many carts.
    let mut home = Ledger::new(ShardId(1));
    let max = u64::try_from(limits::UNANSWERED_MAX).expect("small");
    let open = |number, pool: &PoolKey| {
        command(Body::Reserve(cart(cart_id(ShardId(1), BASE, number), &[(&shoe(), 1), (pool, 1)], TTL)))
    };
    let mut commands = vec![command(receive(operation_id(BASE, 1), &shoe(), 1_000_000))];
    commands.extend((0..=max).map(|number| open(number, &sock())));
    // Carts elsewhere are begun.
    commands.push(open(1 << 40, &hat()));
    let outcomes = home.apply(LogIndex(1), &batch(BASE, commands)).outcomes;
    let begun = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Done(Done::Pending(_)));
    assert_eq!(outcomes.iter().filter(|outcome| begun(outcome)).count(), limits::UNANSWERED_MAX + 1);
    assert_eq!(refusal(&outcomes[limits::UNANSWERED_MAX + 1]), &Refusal::Contended);
    // What was begun is decided all the same, and then there is room for as many as were answered.
    let first = cart_id(ShardId(1), BASE, 0);
    let outcomes =
        home.apply(LogIndex(2), &batch(BASE, vec![command(release(first)), open(1 << 41, &sock())])).outcomes;
    assert_eq!((home.unanswered(), begun(&outcomes[1])), (limits::UNANSWERED_MAX + 1, false));
    let message = home.message(first, ShardId(2)).expect("its row is open");
    let Body::Cart(Message::Decide(Decide { from, .. })) = message.body else { panic!("is decided: {message:?}") };
    let answer = Answer { id: first, number: from.number, from: ShardId(2), result: Ok(Vec::new()), last: None };
    let answer = command(Body::Cart(Message::Answer(answer)));
    let outcomes = home.apply(LogIndex(3), &batch(BASE, vec![answer, open(1 << 42, &sock())])).outcomes;
    assert!(begun(&outcomes[1]));
    assert_eq!(home.violations(), Vec::new());
}

#[test]
fn the_first_movement_of_a_reservation_follows_none() {
    let mut world = stocked();
    let held = id(&world, 1);
    // Home has no line of its own, so nothing moves there: not with the reserve, but with a replace.
    world.reserve(&cart(held, &[(&sock(), 2)], TTL));
    world.pump();
    for (operation, lines, moved) in
        [(1, vec![(&hat(), 6), (&shoe(), 1)], 2), (2, vec![(&shoe(), 3)], 3), (3, vec![(&shoe(), 1)], 4)]
    {
        world.one(1, replace(held, operation, &lines));
        world.pump();
        let of = chain(&world, 1, held);
        assert_eq!(of.len(), moved);
        assert!(of[0].1.is_none() && of[1..].iter().all(|(_, before)| before.is_some()), "{of:?}");
    }
}

#[test]
fn an_operation_that_waits_for_other_shards_is_known_by_its_id() {
    let mut world = stocked();
    let held = id(&world, 1);
    world.reserve(&cart(held, &[(&shoe(), 1)], TTL));
    pending(&world.one(1, replace(held, 1, &[(&sock(), 1), (&hat(), 1)])));
    world.checkpoint(ShardId(1));
    let other = receive(operation_id(BASE, 1), &shoe(), 7);
    assert_eq!(refusal(&world.one(1, other.clone())), &Refusal::IdempotencyConflict);
    world.checkpoint(ShardId(1));
    world.restart(ShardId(1));
    assert_eq!(refusal(&world.one(1, other.clone())), &Refusal::IdempotencyConflict);
    world.pump();
    // Its record is one, whatever was asked under its id.
    world.checkpoint(ShardId(1));
    assert_eq!(refusal(&world.one(1, other)), &Refusal::IdempotencyConflict);
    assert_eq!(world.units(&shoe()), (5, 0, 0));
}

#[test]
fn a_whole_cancel_is_told_again_whatever_left_the_house_or_came_back() {
    let mut world = stocked();
    let on_ship = Settings { deduct: Deduct::OnShip, ..Settings::default() };
    let cancelled = Settings { cancel_window: Some(DurationMs::seconds(5)), ..Settings::default() };
    done(&world.one(1, configure(operation_id(BASE, 900), "a1", 0, on_ship)));
    done(&world.one(2, configure(operation_id(BASE, 900), "a2", 0, cancelled)));
    let sold = id(&world, 1);
    world.reserve(&cart(sold, &[(&shoe(), 3), (&sock(), 3)], TTL));
    world.pump();
    world.one(1, commit(sold));
    done(&world.one(1, ship(sold, 1, &[(&shoe(), 1)])));
    done(&world.one(1, give_back(sold, 2, &[(&sock(), 1)], Disposition::Sellable)));
    let first = world.one(1, cancel(sold, None, &[]));
    assert!(!first.replayed);
    // Its answer may be lost, so it may be sent again: also when nothing could be cancelled any more.
    for wait in [0, 9_000] {
        world.wait(wait);
        let again = world.one(1, cancel(sold, None, &[]));
        assert_eq!((&again.verdict, again.replayed), (&first.verdict, true));
    }
    world.pump();
    let again = world.one(1, cancel(sold, None, &[]));
    assert!(again.replayed && done_view(&again).settled);
    assert_eq!([shoe(), sock()].map(|pool| world.units(&pool)), [(4, 0, 1), (5, 0, 3)]);
}

#[test]
fn a_best_effort_replace_that_finds_nothing_is_told_every_line() {
    let mut world = stocked();
    let all = cart(id(&world, 1), &[(&shoe(), 1), (&sock(), 5), (&hat(), 5)], TTL);
    assert!(matches!(told(&mut world, &all).verdict, Verdict::Done(_)));
    let mine = id(&world, 2);
    world.reserve(&cart(mine, &[(&shoe(), 4)], TTL));
    let Body::Replace(asked) = replace(mine, 1, &[(&sock(), 2), (&hat(), 3)]) else { unreachable!("is one") };
    world.one(1, Body::Replace(Replace { best_effort: true, ..asked }));
    world.pump();
    let short = |line, asked| Shortage { line, asked: units(asked), sellable: units(0), earliest: None };
    let told = world.decided.pop().expect("was decided").1;
    assert_eq!(refusal(&told), &Refusal::InsufficientStock(vec![short(0, 2), short(1, 3)]));
    assert_eq!(world.units(&shoe()), (0, 5, 0));
    // With units in doubt it is worth another try.
    let Body::Replace(asked) = replace(mine, 2, &[(&sock(), 2), (&hat(), 3)]) else { unreachable!("is one") };
    world.one(1, Body::Replace(Replace { best_effort: true, ..asked }));
    world.stock(&[(&sock(), 1)]);
    let open = cart_id(ShardId(2), BASE, 3);
    world.reserve(&cart(open, &[(&sock(), 1), (&hat(), 1)], TTL));
    carry(&mut world, mine);
    assert_eq!(refusal(&world.decided.pop().expect("was decided").1), &Refusal::Contended);
}

#[test]
fn what_a_replace_prepares_is_no_firm_use_of_a_limit() {
    let mut world = stocked();
    let limit = UnitLimit { units: units(3), window: DurationMs::days(1) };
    let limited = Settings { owner_units: Some(limit), ..Settings::default() };
    done(&world.one(1, configure(operation_id(BASE, 900), "a1", 0, limited)));
    let (first, second) = (id(&world, 1), cart(id(&world, 2), &[(&shoe(), 2)], TTL));
    world.reserve(&cart(first, &[(&shoe(), 1)], TTL));
    pending(&world.one(1, replace(first, 1, &[(&shoe(), 3), (&hat(), 9)])));
    // Three are counted, but two of them may come back any moment.
    assert_eq!(refusal(&world.reserve(&second)), &Refusal::Contended);
    world.pump();
    assert!(matches!(refusal(&world.decided.remove(0).1), Refusal::InsufficientStock(_)));
    let again = Command { attempt: 2, ..command(Body::Reserve(second)) };
    done(&world.entry(ShardId(1), vec![again]).outcomes[0]);
}

#[test]
fn what_was_sold_beyond_on_hand_is_not_on_hand_when_it_comes_back() {
    let cancelled = Settings { cancel_window: Some(DurationMs::days(1)), ..Settings::default() };
    let books = |world: &World| {
        let view = world.pool(&sock());
        [view.on_hand, view.available, view.unavailable, view.returned_total].map(Quantity::units)
    };
    for back in 0..3 {
        let mut world = stocked();
        done(&world.one(2, configure(operation_id(BASE, 900), "a2", 0, cancelled.clone())));
        let sold = id(&world, 1);
        world.reserve(&cart(sold, &[(&shoe(), 1), (&sock(), 5)], TTL));
        world.pump();
        done(&world.one(2, count(operation_id(BASE, 901), &sock(), 3, None)));
        world.one(1, commit(sold));
        world.pump();
        assert_eq!(books(&world), [0; 4]);
        // Three of the five were there.
        let ask = |operation, units| {
            let named = &[(&sock(), units)];
            match back {
                0 => cancel(sold, Some(operation), named),
                1 => give_back(sold, operation, named, Disposition::Sellable),
                _ => give_back(sold, operation, named, Disposition::Unavailable),
            }
        };
        for (operation, units, there) in [(1, 1, 0), (2, 2, 1), (3, 2, 3)] {
            done(&world.one(1, ask(operation, units)));
            world.restart(ShardId(2));
            world.pump();
            let (fit, apart) = if back < 2 { (there, 0) } else { (0, there) };
            assert_eq!(books(&world), [there, fit, apart, there]);
        }
        let movements = world.member(ShardId(2)).journal.movements.iter();
        let beyond: Vec<u64> = movements.map(|movement| movement.sold_short).filter(|units| *units > 0).collect();
        assert_eq!(beyond, [2, 1, 1]);
    }
}

#[test]
fn no_cancel_of_units_that_were_set_apart_when_they_were_sold_stops_a_full_pool() {
    let mut world = World::new(1);
    let most = POOL_QUANTITY_MAX;
    world.stock(&[(&shoe(), most)]);
    let cancelled = Settings { cancel_window: Some(DurationMs::days(1)), ..Settings::default() };
    done(&world.one(1, configure(operation_id(BASE, 900), "a1", 0, cancelled)));
    for number in 1..3 {
        let sold = id(&world, number);
        world.reserve(&cart(sold, &[(&shoe(), 9)], TTL));
        let quarantine = |world: &mut World, step, more| {
            let (operation, reason) = (operation_id(BASE, 10 * number + more), "damaged".parse().expect("a reason"));
            let (pool, quantity) = (shoe(), units(most));
            let asked = Quarantine { operation, pool, step, quantity, reason };
            done(&world.one(1, Body::Stockkeeping(Stockkeeping::Quarantine(asked))));
        };
        quarantine(&mut world, QuarantineStep::SetApart, 1);
        done(&world.one(1, commit(sold)));
        quarantine(&mut world, QuarantineStep::Back, 2);
        done(&world.one(1, cancel(sold, None, &[])));
        assert_eq!(world.units(&shoe()), (most, 0, 0));
    }
}
