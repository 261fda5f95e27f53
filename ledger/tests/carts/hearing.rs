//! What is held for carts of other homes is in doubt until their homes were heard.

use crate::{short::*, support::*, world::*};
use earmark_ledger::{
    cart::message::Message,
    command::*,
    outcome::*,
    settings::{Allocation, Settings, Strategy},
    types::*,
};

fn insufficient(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Refused(Refusal::InsufficientStock(_)))
}

/// A cart of shard 1 holds all units of `sock()`, which is in shard 2; both know.
fn sold_out() -> (World, ReservationId) {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 5)], TTL));
    world.pump();
    assert_eq!(state(&world, id), ReservationState::Held);
    assert_eq!(world.units(&sock()), (0, 5, 0));
    world.as_said = true;
    (world, id)
}

/// A reserve of one `sock()` at its own shard, and whether its proposer had heard.
fn one_sock(world: &World, number: u64, attempt: u32, heard: bool) -> Command {
    let id = cart_id(ShardId(2), world.now, number);
    Command { heard, attempt, ..command(Body::Reserve(cart(id, &[(&sock(), 1)], TTL))) }
}

/// What an inquiry does: the homes' decisions come first.
fn hear(world: &mut World, shard: ShardId) -> bool {
    let mut all = true;
    for home in world.at(shard.0).homes_of_holds() {
        let untold = world.at(home.0).untold(shard, 100);
        all &= untold.all;
        let new: Vec<Command> =
            untold.decisions.into_iter().filter(|command| !world.at(shard.0).has_obeyed(command)).collect();
        world.entry(shard, new);
    }
    all
}

#[test]
fn a_refusal_for_the_sake_of_unsettled_units_is_contended_until_home_was_heard() {
    let (mut world, id) = sold_out();
    world.one(1, release(id));
    // Shard 2 was told nothing of it yet.
    let ask = one_sock(&world, 1, 1, false);
    assert!(world.at(2).wants_hearing(&ask));
    let told = world.entry(ShardId(2), vec![ask]).outcomes.remove(0);
    assert_eq!(refusal(&told), &Refusal::Contended);
    assert!(hear(&mut world, ShardId(2)));
    let again = one_sock(&world, 1, 2, true);
    let told = world.entry(ShardId(2), vec![again]).outcomes.remove(0);
    assert!(matches!(told.verdict, Verdict::Done(Done::Reserved(_))), "{told:?}");
    // The message that was on its way all the time comes to nothing, and the answer to it settles the cart.
    world.pump();
    world.assert_rest();
    assert_eq!(world.units(&sock()), (4, 1, 0));
}

#[test]
fn once_home_was_heard_what_is_held_is_held() {
    let (mut world, id) = sold_out();
    assert!(hear(&mut world, ShardId(2)));
    let told = world.entry(ShardId(2), vec![one_sock(&world, 1, 1, true)]).outcomes.remove(0);
    assert!(insufficient(&told), "{told:?}");
    assert_eq!(state(&world, id), ReservationState::Held);
    // What was sold is no hold any more, and needs no asking.
    world.one(1, commit(id));
    world.pump();
    let ask = one_sock(&world, 2, 1, false);
    assert!(!world.at(2).wants_hearing(&ask));
    let told = world.entry(ShardId(2), vec![ask]).outcomes.remove(0);
    assert!(insufficient(&told), "{told:?}");
}

#[test]
fn nobody_is_asked_while_there_is_enough() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&sock(), 2)], TTL));
    world.pump();
    let ask = |units| {
        let lines = [(&sock(), units)];
        command(Body::Reserve(cart(cart_id(ShardId(2), world.now, 1), &lines, TTL)))
    };
    assert!(!world.at(2).wants_hearing(&ask(3)));
    assert!(world.at(2).wants_hearing(&ask(4)));
    // Lines of one pool are summed before they are judged.
    let twice = [(&sock(), 2), (&sock(), 2)];
    let ask = command(Body::Reserve(cart(cart_id(ShardId(2), world.now, 1), &twice, TTL)));
    assert!(world.at(2).wants_hearing(&ask));
}

#[test]
fn a_prepare_that_lacks_unsettled_units_is_contended_too() {
    let (mut world, id) = sold_out();
    world.one(1, release(id));
    for (heard, contended) in [(false, true), (true, false)] {
        let other = cart_id(ShardId(3), world.now, u64::from(heard) + 5);
        world.reserve(&cart(other, &[(&hat(), 1), (&sock(), 1)], TTL));
        let is_prepare = |row: &Packet| matches!(row.command.body, Body::Cart(Message::Prepare(_)));
        let mut prepare = world.rows(ShardId(3)).into_iter().find(is_prepare).expect("only shard 2 is asked");
        assert!(world.at(2).wants_hearing(&prepare.command));
        prepare.command.heard = heard;
        let answer = world.deliver(prepare).expect("an answer");
        world.deliver(answer);
        let (_, told) = world.decided.pop().expect("was decided");
        assert_eq!(matches!(refusal(&told), Refusal::Contended), contended, "{told:?}");
        assert_eq!(insufficient(&told), !contended);
    }
}

#[test]
fn what_is_overdue_at_home_and_not_swept_is_not_told_as_held() {
    let (mut world, _) = sold_out();
    assert!(hear(&mut world, ShardId(2)));
    world.wait(TTL.0);
    // Nothing has happened at home since, so by its clock the hold is live; whoever asks lets it tick first.
    assert!(world.at(1).untold(ShardId(2), 10).all);
    world.tick(1);
    let untold = world.at(1).untold(ShardId(2), 10);
    assert_eq!((untold.decisions.len(), untold.all), (1, true));
    assert!(!world.at(1).untold(ShardId(2), 0).all);
}

#[test]
fn a_decision_whose_message_was_replaced_can_not_be_told() {
    let (mut world, id) = sold_out();
    let some = Release { id, operation: Some(operation_id(world.now, 3)), parts: vec![part(&sock(), 2)] };
    world.one(1, Body::Release(some));
    assert_eq!(world.at(1).untold(ShardId(2), 10).decisions.len(), 1);
    let Reserve { lines, shards, .. } = cart(id, &[(&shoe(), 1), (&sock(), 4)], TTL);
    let (operation, namespace) = (operation_id(world.now, 4), Namespace::default());
    let more = Replace { id, operation, namespace, lines, best_effort: false, zone: 0, shards };
    pending(&world.one(1, Body::Replace(more)));
    let untold = world.at(1).untold(ShardId(2), 10);
    assert_eq!((untold.decisions.len(), untold.all), (0, false));
}

#[test]
fn the_home_of_what_is_undecided_is_asked_too() {
    let (mut world, _) = sold_out();
    world.one(2, receive(operation_id(world.now, 7), &sock(), 1));
    // A cart of shard 3 is held by home's word, released again, and shard 2 has heard of neither.
    let other = cart_id(ShardId(3), world.now, 1);
    world.reserve(&cart(other, &[(&hat(), 1), (&sock(), 1)], TTL));
    let prepare = world.row(3, 2);
    let answer = world.deliver(prepare).expect("an answer");
    world.deliver(answer);
    let held = world.row(3, 2);
    world.one(3, release(other));
    assert_eq!(world.at(2).homes_of_holds(), [ShardId(1), ShardId(3)]);
    // The first of its two decisions arrives late, between the hearing and the reserve that waited for it.
    assert!(hear(&mut world, ShardId(2)));
    world.deliver(held);
    let told = world.entry(ShardId(2), vec![one_sock(&world, 1, 1, true)]).outcomes.remove(0);
    assert!(matches!(told.verdict, Verdict::Done(Done::Reserved(_))), "{told:?}");
    world.pump();
    world.assert_rest();
    assert_eq!(world.at(2).homes_of_holds(), [ShardId(1)]);
}

#[test]
fn a_transfer_that_lacks_unsettled_units_is_contended() {
    let (mut world, id) = sold_out();
    world.one(1, release(id));
    let transfer = |world: &World, number| {
        Body::Stockkeeping(Stockkeeping::Transfer(Transfer {
            operation: operation_id(world.now, number),
            from: sock(),
            to: "paris".parse().expect("a location"),
            quantity: units(5),
            immediate: true,
            document: Document::default(),
            reason: Reason::default(),
        }))
    };
    let ask = command(transfer(&world, 70));
    assert!(world.at(2).wants_hearing(&ask));
    let told = world.entry(ShardId(2), vec![ask]).outcomes.remove(0);
    assert_eq!(refusal(&told), &Refusal::Contended);
    assert!(hear(&mut world, ShardId(2)));
    let again = Command { attempt: 2, heard: true, ..command(transfer(&world, 70)) };
    let told = world.entry(ShardId(2), vec![again]).outcomes.remove(0);
    assert!(matches!(told.verdict, Verdict::Done(_)), "{told:?}");
}

#[test]
fn where_a_policy_chooses_nobody_is_contended_for_ever() {
    let mut world = stocked();
    let paris = pool("a2", "paris");
    world.stock(&[(&paris, 9)]);
    // Only berlin may serve, and it is sold out; paris has plenty, and holds some for a cart of shard 1.
    let allocation = Allocation { strategy: Strategy::Priority(vec![sock().location]), places: 1 };
    let settings = Settings { allocation: Some(allocation), ..Settings::default() };
    world.one(2, configure(operation_id(world.now, 1), "a2", 0, settings));
    world.one(2, Body::Reserve(cart(cart_id(ShardId(2), world.now, 1), &[(&sock(), 5)], TTL)));
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 1), (&paris, 1)], TTL));
    world.pump();
    for best_effort in [true, false] {
        let (shards, owner) = (vec![ShardId(2)], Owner::default());
        let asked = reserve(cart_id(ShardId(2), world.now, 2), vec![open_line("a2", 1)], TTL);
        let ask = command(Body::Reserve(Reserve { shards, best_effort, owner, ..asked }));
        let judged = |heard| world.at(2).judge_fresh(&Command { heard, ..ask.clone() }, world.now);
        assert!(judged(true) == judged(false) || world.at(2).wants_hearing(&ask), "{:?}", judged(false));
    }
}

#[test]
fn a_reserve_that_is_made_again_does_not_put_others_in_doubt() {
    let (mut world, _) = sold_out();
    let other = cart_id(ShardId(3), world.now, 1);
    let asked = cart(other, &[(&hat(), 1), (&sock(), 1)], TTL);
    world.reserve(&asked);
    let prepare = world.row(3, 2);
    let answer = world.deliver(prepare).expect("an answer");
    world.deliver(answer);
    // It was refused, shard 2 has not answered that, and it is tried again.
    assert_eq!(state(&world, other), ReservationState::Rejected);
    let again = Command { attempt: 2, ..command(Body::Reserve(asked)) };
    pending(&world.entry(ShardId(3), vec![again]).outcomes.remove(0));
    let untold = world.at(3).untold(ShardId(2), 10);
    assert_eq!((untold.decisions.len(), untold.all), (0, true));
}
