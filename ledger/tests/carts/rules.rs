//! Each rule of the protocol alone, as a story. `ledger/src/cart/mod.rs` has their numbers.

use crate::{short::*, support::*, world::*};
use earmark_ledger::{
    Fresh, Ledger,
    cart::{Number, message::*},
    command::*,
    limits,
    movement::MovementKind,
    outcome::*,
    records,
    types::*,
};

#[test]
fn gone_is_obeyed_once_and_only_for_the_prepare_it_names() {
    let mut world = stocked();
    // A prepare whose home lost everything: no shard 3 ever sent it.
    let id = cart_id(ShardId(3), world.now, 1);
    let asked = cart(id, &[(&hat(), 1), (&sock(), 2)], TTL);
    let mut other = stocked();
    other.reserve(&asked);
    let prepare = other.row(3, 2);
    world.deliver(prepare.clone());
    assert_eq!(world.units(&sock()), (3, 2, 0));
    world.restart(ShardId(2));
    let gone = |number: Number| {
        let gone = Gone { id, number, home: ShardId(3) };
        Packet { to: ShardId(2), command: command(Body::Cart(Message::Gone(gone))) }
    };
    let Body::Cart(Message::Prepare(Prepare { from, .. })) = &prepare.command.body else { unreachable!("see above") };
    world.deliver(gone(Number { counter: from.number.counter + 1, ..from.number }));
    assert_eq!(world.units(&sock()), (3, 2, 0));
    let ask = world.asks(ShardId(2)).remove(0);
    let told = world.deliver(ask).expect("home knows nothing of it");
    world.deliver(told.clone());
    assert_eq!(world.units(&sock()), (5, 0, 0));
    world.deliver(told);
    assert_eq!(world.units(&sock()), (5, 0, 0));
    // The prepare comes once more: it is not held any more, and nobody is told that it is.
    let late = world.deliver(prepare).expect("the same number is answered");
    assert_eq!(answer(&late).result, Err(Refusal::Contended));
    assert_eq!(world.units(&sock()), (5, 0, 0));
}

#[test]
fn a_prepare_that_is_being_decided_is_kept() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&sock(), 2), (&hat(), 1)], TTL));
    let prepare = world.row(1, 2);
    world.deliver(prepare).expect("an answer, which is lost");
    for wait in [0, 5_000] {
        // Before and after home gave it up: its row tells the participant more than an answer to the question.
        world.wait(wait);
        world.tick(1);
        let ask = world.asks(ShardId(2)).remove(0);
        assert!(world.deliver(ask).is_none());
        assert_eq!(world.units(&sock()), (3, 2, 0));
    }
    world.pump();
    assert_eq!(world.units(&sock()), (5, 0, 0));
}

#[test]
fn a_released_open_cart_is_released_again_and_its_record_goes_in_the_end() {
    let mut world = stocked();
    let id = id(&world, 1);
    let asked = Command {
        not_after: world.now.plus(DurationMs::seconds(10)),
        ..command(Body::Reserve(cart(id, &[(&shoe(), 1), (&sock(), 2)], TTL)))
    };
    let opened = world.entry(ShardId(1), vec![asked.clone()]).outcomes.remove(0);
    for body in [commit(id), extend(id, operation_id(BASE, 1), TTL)] {
        assert_eq!(refusal(&world.one(1, body)), &Refusal::Contended);
    }
    assert_eq!(state(&world, id), ReservationState::Open);
    // A release can be sent for longer than the reserve could.
    let released_until = world.now.plus(DurationMs::seconds(12));
    let released = |world: &mut World| {
        let released = Command { not_after: released_until, ..command(release(id)) };
        world.entry(ShardId(1), vec![released]).outcomes.remove(0)
    };
    let first = released(&mut world);
    let Verdict::Done(Done::Reservation(view)) = &first.verdict else { panic!("was not released: {first:?}") };
    assert_eq!(view.state, ReservationState::Rejected);
    let (of, told) = world.decided.remove(0);
    assert_eq!(of, pending(&opened));
    assert!(matches!(refusal(&told), Refusal::ReservationState { state: ReservationState::Rejected, .. }));
    for settled in [false, true] {
        if settled {
            world.pump();
        }
        world.restart(ShardId(1));
        let again = released(&mut world);
        let Verdict::Done(Done::Reservation(view)) = &again.verdict else { panic!("was released: {again:?}") };
        assert_eq!((view.state, view.settled, again.replayed), (ReservationState::Rejected, settled, true));
        let reserved = world.entry(ShardId(1), vec![asked.clone()]).outcomes.remove(0);
        assert_eq!((refusal(&reserved), reserved.replayed), (refusal(&told), true));
        assert!(matches!(refusal(&world.one(1, commit(id))), Refusal::ReservationState { .. }));
    }
    // However old its id is, it leaves memory only for good, and not before all who were told so can't ask again.
    for wait in [10_501, 1_999] {
        world.wait(wait);
        world.evict(ShardId(1));
        assert_eq!(state(&world, id), ReservationState::Rejected);
        assert!(matches!(released(&mut world).verdict, Verdict::Done(_)));
    }
    world.wait(1);
    world.tick(1);
    assert_eq!(world.view(id), None);
    assert_eq!(world.records(ShardId(1), records::UNSETTLED), 0);
    assert!(matches!(refusal(&world.one(1, release(id))), Refusal::NotFound(_)));
}

#[test]
fn a_rejected_cart_stays_until_everyone_has_heard_of_it() {
    let mut world = stocked();
    let id = id(&world, 1);
    let asked = cart(id, &[(&shoe(), 1), (&sock(), 6)], TTL);
    let sending = |attempt, shards: &[u32]| Command {
        not_after: BASE.plus(DurationMs::seconds(10)),
        attempt,
        ..command(Body::Reserve(Reserve { shards: shards.iter().copied().map(ShardId).collect(), ..asked.clone() }))
    };
    world.entry(ShardId(1), vec![sending(1, &[1, 2])]);
    world.wait(2_000);
    world.tick(1);
    assert_eq!(refusal(&world.decided[0].1), &Refusal::Contended);
    // The same request, routed by a map in which its lines are all at home: only once shard 2 knows.
    let told = world.entry(ShardId(1), vec![sending(2, &[])]).outcomes.remove(0);
    assert_eq!(refusal(&told), &Refusal::Contended);
    world.pump();
    let told = world.entry(ShardId(1), vec![sending(2, &[])]).outcomes.remove(0);
    assert!(matches!(refusal(&told), Refusal::NotFound(_)));
    assert_eq!(world.view(id), None);
}

#[test]
fn only_a_refusal_that_other_shards_may_lift_is_contended() {
    let mut world = stocked();
    let first = id(&world, 1);
    world.reserve(&cart(first, &[(&shoe(), 3), (&sock(), 3)], TTL));
    let prepare = world.row(1, 2);
    world.deliver(prepare).expect("an answer, which is on its way");
    // 2 are free, and 3 are undecided: at the participant and at home.
    let mut next = 10;
    let mut ask = |world: &mut World, home: u32, pool: &PoolKey, units: u64, best: bool| {
        next += 1;
        let id = cart_id(ShardId(home), world.now, next);
        let reserve = cart(id, &[(pool, units)], TTL);
        told(world, &Reserve { best_effort: best, ..reserve })
    };
    for (home, pool) in [(2, sock()), (3, sock()), (1, shoe()), (3, shoe())] {
        let short = ask(&mut world, home, &pool, 6, false);
        let Refusal::InsufficientStock(lines) = refusal(&short) else { panic!("{short:?}") };
        assert_eq!(lines, &[Shortage { line: 0, asked: units(6), sellable: units(2), earliest: None }]);
        assert_eq!(refusal(&ask(&mut world, home, &pool, 5, false)), &Refusal::Contended);
        assert_eq!(refusal(&ask(&mut world, home, &pool, 3, false)), &Refusal::Contended);
    }
    // Nothing at all is never a success; here something may come back.
    for (home, pool) in [(2, sock()), (1, shoe())] {
        assert!(matches!(ask(&mut world, home, &pool, 2, false).verdict, Verdict::Done(_)));
        for from in [home, 3] {
            assert_eq!(refusal(&ask(&mut world, from, &pool, 1, true)), &Refusal::Contended);
        }
    }
    // Once it is decided, what is held is not coming back any moment.
    carry(&mut world, first);
    assert_eq!(state(&world, first), ReservationState::Held);
    for (home, pool) in [(2, sock()), (3, sock()), (1, shoe()), (3, shoe())] {
        for best in [true, false] {
            let short = ask(&mut world, home, &pool, 1, best);
            let Refusal::InsufficientStock(lines) = refusal(&short) else { panic!("{short:?}") };
            assert_eq!(lines, &[Shortage { line: 0, asked: units(1), sellable: units(0), earliest: None }]);
        }
    }
    // Overdue by what home told, and not heard of since. At home itself it is simply over.
    world.wait(TTL.0);
    let fresh = command(Body::Reserve(cart(cart_id(ShardId(2), BASE, 99), &[(&sock(), 5)], TTL)));
    let before = TimeMs(world.now.0 - 1);
    assert!(matches!(world.at(2).judge_fresh(&fresh, before), Fresh::Refuse(Refusal::InsufficientStock(_))));
    assert_eq!(world.at(2).judge_fresh(&fresh, world.now), Fresh::TickFirst);
    for shard in 1..=3 {
        world.tick(shard);
    }
    assert_eq!(world.at(2).judge_fresh(&fresh, world.now), Fresh::Refuse(Refusal::Contended));
    for home in [2, 3] {
        let told = ask(&mut world, home, &sock(), 5, false);
        // Two of them are held by a single-shard reserve that is over, too.
        assert_eq!(refusal(&told), &Refusal::Contended);
        assert!(matches!(refusal(&ask(&mut world, home, &sock(), 6, false)), Refusal::InsufficientStock(_)));
    }
    assert!(matches!(ask(&mut world, 1, &shoe(), 5, false).verdict, Verdict::Done(_)));
    carry(&mut world, first);
    assert!(matches!(ask(&mut world, 2, &sock(), 5, false).verdict, Verdict::Done(_)));
}

#[test]
fn an_old_decision_is_ignored_and_the_newest_is_the_whole_truth() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 3)], TTL));
    let prepare = world.row(1, 2);
    let granted = world.deliver(prepare.clone()).expect("an answer");
    // The same number has the same answer, however often it comes.
    let again = world.deliver(prepare.clone()).expect("an answer");
    assert_eq!(answer(&granted), answer(&again));
    assert_eq!(world.units(&sock()), (2, 3, 0));
    world.deliver(granted);
    assert_eq!(world.decided.len(), 1);
    let held = world.row(1, 2);
    let some = Commit {
        id,
        operation: Some(operation_id(BASE, 1)),
        parts: vec![part(&sock(), 1)],
        keep_rest: true,
        revive: false,
    };
    world.one(1, Body::Commit(some));
    let partly = world.row(1, 2);
    world.one(1, release(id));
    let ended = world.row(1, 2);
    // The last one alone says all; what comes after it is old, and is not answered.
    let done = world.deliver(ended.clone()).expect("an answer");
    assert_eq!(world.units(&sock()), (4, 0, 1));
    for old in [prepare, held, partly] {
        assert!(world.deliver(old).is_none());
    }
    assert_eq!(answer(&world.deliver(ended).expect("an answer")), answer(&done));
    assert_eq!(world.units(&sock()), (4, 0, 1));
    world.deliver(done);
    world.assert_rest();
    let kinds: Vec<_> = chain(&world, 2, id).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [MovementKind::Prepare, MovementKind::Commit, MovementKind::Release]);
}

#[test]
fn a_row_is_closed_only_by_its_own_number() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 3)], TTL));
    world.pump();
    world.one(1, extend(id, operation_id(BASE, 1), DurationMs::seconds(90)));
    let first = world.row(1, 2);
    let of_first = world.deliver(first).expect("an answer");
    world.one(1, extend(id, operation_id(BASE, 2), DurationMs::seconds(120)));
    let second = world.row(1, 2);
    world.deliver(of_first);
    assert_eq!(world.at(1).unanswered(), 1);
    assert!(!world.at(1).is_settled(id));
    let of_second = world.deliver(second).expect("an answer");
    let applied = world.entry(ShardId(1), vec![of_second.command]);
    assert_eq!(applied.news.settled, [id]);
    assert!(world.at(1).is_settled(id));
}

#[test]
fn a_refusal_is_final_for_its_number() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 6)], TTL));
    let prepare = world.row(1, 2);
    let refused = world.deliver(prepare.clone()).expect("an answer");
    world.stock(&[(&sock(), 5)]);
    world.restart(ShardId(2));
    let again = world.deliver(prepare).expect("an answer");
    assert_eq!(answer(&again), answer(&refused));
    assert!(answer(&again).result.is_err());
    assert_eq!(world.units(&sock()), (10, 0, 0));
    // One refusal ends the whole cart, and a grant that comes after it is given back.
    world.deliver(again);
    assert_eq!(state(&world, id), ReservationState::Rejected);
    assert_eq!(world.units(&shoe()), (5, 0, 0));
}

#[test]
fn what_lies_below_the_floor_is_ignored_and_forgotten() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 2), (&sock(), 3)], TTL));
    let prepare = world.row(1, 2);
    world.pump();
    let some = Release { id, operation: Some(operation_id(BASE, 1)), parts: vec![part(&sock(), 3)] };
    world.one(1, Body::Release(some));
    let released = world.row(1, 2);
    // Not heard of: the floor is not above it, so nothing is forgotten.
    let floor = world.floor(ShardId(1), ShardId(2));
    world.deliver(floor);
    assert_eq!(world.records(ShardId(2), records::PART), 1);
    world.pump();
    let floor = world.floor(ShardId(1), ShardId(2));
    world.deliver(floor);
    assert_eq!(world.records(ShardId(2), records::PART), 0);
    for old in [prepare, released] {
        assert!(world.deliver(old).is_none());
    }
    assert_eq!(world.units(&sock()), (5, 0, 0));
    // The cart is still held at home, and its end is of no concern to the other shard.
    assert_eq!(state(&world, id), ReservationState::Held);
    world.one(1, commit(id));
    assert!(world.rows(ShardId(1)).is_empty());
}

#[test]
fn a_forgotten_part_begins_from_what_home_last_heard() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 2), (&sock(), 3)], TTL));
    world.pump();
    world.one(1, commit(id));
    world.pump();
    let floor = world.floor(ShardId(1), ShardId(2));
    world.deliver(floor);
    assert_eq!(world.records(ShardId(2), records::PART), 0);
    // As a later decision about what was sold would say it: nothing moves a second time.
    let number = world.at(1).floor_for(ShardId(2));
    let truth = Truth { committed: 3, ..Truth::default() };
    let from = From { id, number, home: ShardId(1), floor: number, last: None };
    let lines = vec![LineTruth { pool: sock(), now: truth, was: truth }];
    let decide = Decide { from, owner: Owner::default(), deadline: world.now, lines };
    let outcome = world.one(2, Body::Cart(Message::Decide(decide)));
    assert!(matches!(outcome.verdict, Verdict::Done(Done::Answered(Some(_)))));
    assert_eq!(world.units(&sock()), (2, 0, 3));
}

#[test]
fn a_cart_is_given_up_after_two_seconds_swept_or_not() {
    for tick in [false, true] {
        let mut world = stocked();
        let id = id(&world, 1);
        world.reserve(&cart(id, &[(&shoe(), 2), (&sock(), 3)], TTL));
        assert_eq!(world.at(1).next_deadline(), Some(world.now.plus(limits::PREPARE_TIMEOUT)));
        let prepare = world.row(1, 2);
        let granted = world.deliver(prepare).expect("an answer");
        world.wait(limits::PREPARE_TIMEOUT.0);
        if tick {
            world.tick(1);
        }
        world.deliver(granted);
        assert_eq!(refusal(&world.decided[0].1), &Refusal::Contended);
        assert_eq!((state(&world, id), world.units(&shoe())), (ReservationState::Rejected, (5, 0, 0)));
        world.pump();
        assert_eq!(world.units(&sock()), (5, 0, 0));
    }
}

#[test]
fn a_hold_lasts_from_the_moment_at_which_all_is_held() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 2), (&sock(), 3)], TTL));
    world.wait(1_999);
    world.pump();
    let deadline = world.now.plus(TTL);
    let Verdict::Done(Done::Reserved(reserved)) = &world.decided[0].1.verdict else { panic!("was held in time") };
    assert_eq!((reserved.deadline, world.at(1).next_deadline()), (deadline, Some(deadline)));
    // Over at its deadline for its home, whatever the other shard has heard.
    world.wait(TTL.0);
    assert!(matches!(refusal(&world.one(1, commit(id))), Refusal::ReservationExpired { since } if *since == deadline));
    assert_eq!(world.units(&sock()), (2, 3, 0));
    world.pump();
    assert_eq!(world.units(&sock()), (5, 0, 0));
}

#[test]
fn what_one_entry_cannot_give_up_is_over_all_the_same() {
    let mut home = Ledger::new(ShardId(1));
    let count = u64::from(limits::EXPIRY_PER_ENTRY) + 1;
    let open =
        |number| command(Body::Reserve(cart(cart_id(ShardId(1), BASE, number), &[(&shoe(), 1), (&sock(), 1)], TTL)));
    let mut commands = vec![command(receive(operation_id(BASE, 1), &shoe(), count))];
    commands.extend((1..=count).map(open));
    home.apply(LogIndex(1), &batch(BASE, commands));
    let last = cart_id(ShardId(1), BASE, count);
    let Some(Body::Cart(Message::Prepare(prepare))) = home.message(last, ShardId(2)).map(|message| message.body) else {
        panic!("is being prepared");
    };
    let granted = Granted {
        at: 1,
        pool: sock(),
        units: 1,
        contended: false,
        chosen: None,
        terms: earmark_ledger::settings::Terms::default(),
    };
    let (number, from) = (prepare.from.number, ShardId(2));
    let answer = Message::Answer(Answer { id: last, number, from, result: Ok(vec![granted]), last: None });
    let over = BASE.plus(limits::PREPARE_TIMEOUT);
    let applied = home.apply(LogIndex(2), &batch(over, vec![command(Body::Cart(answer))]));
    assert_eq!(applied.news.decided.len(), limits::EXPIRY_PER_ENTRY as usize + 1);
    let (of, outcome) = applied.news.decided.last().expect("the last one too");
    assert_eq!((of.id, refusal(outcome)), (last, &Refusal::Contended));
    assert_eq!(home.violations(), Vec::new());
}
