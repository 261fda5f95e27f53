//! What needs the consent of other shards beside a reserve: a replace, a late commit and a shipping, each rule alone.

use crate::{ask::*, short::*, support::*, world::*};
use earmark_ledger::{cart::message::*, command::*, limits, movement::MovementKind, outcome::*, settings::*, types::*};

/// A cart over shards 1 and 2 that is held: two shoes and three socks.
fn held(world: &mut World) -> ReservationId {
    let id = id(world, 1);
    world.reserve(&cart(id, &[(&shoe(), 2), (&sock(), 3)], TTL));
    world.pump();
    world.decided.clear();
    assert_eq!(state(world, id), ReservationState::Held);
    id
}

/// The same, sold, of SKUs that wait to be shipped.
fn unshipped(world: &mut World) -> ReservationId {
    for (shard, sku) in [(1, "a1"), (2, "a2"), (3, "a3")] {
        let on_ship = Settings { deduct: Deduct::OnShip, ..Settings::default() };
        done(&world.one(shard, configure(operation_id(BASE, 900), sku, 0, on_ship)));
    }
    let id = held(world);
    world.one(1, commit(id));
    world.pump();
    id
}

/// A cart that has expired everywhere.
fn expired(world: &mut World) -> ReservationId {
    let id = held(world);
    world.wait(TTL.0);
    world.tick(1);
    world.pump();
    assert_eq!(state(world, id), ReservationState::Expired);
    id
}

fn all_units(world: &World) -> [(u64, u64, u64); 3] {
    [shoe(), sock(), hat()].map(|pool| world.units(&pool))
}

/// Lines as they are told: pool, asked, held, committed, expired.
fn lines(world: &World, id: ReservationId) -> Vec<(PoolKey, [u64; 4])> {
    let view = world.view(id).expect("is known");
    let line = |line: &LineView| {
        (line.pool.clone(), [line.asked, line.held, line.committed, line.expired].map(Quantity::units))
    };
    view.lines.iter().map(line).collect()
}

#[test]
fn a_replace_is_one_swap_everywhere() {
    let mut world = stocked();
    let id = held(&mut world);
    let before = world.view(id).expect("is known");
    let asked = replace(id, 1, &[(&sock(), 5), (&hat(), 4)]);
    let begun = world.one(1, asked.clone());
    let first = pending(&begun);
    // The old lines are in force until it is decided, and the new ones are taken already.
    for to in [2, 3] {
        let row = world.row(1, to);
        let back = world.deliver(row).expect("an answer");
        assert_eq!(world.view(id).expect("is known").lines, before.lines);
        world.deliver(back);
    }
    assert_eq!(all_units(&world), [(5, 0, 0), (0, 5, 0), (1, 4, 0)]);
    let (of, told) = world.decided.remove(0);
    assert_eq!(of, first);
    let view = done_view(&told);
    assert_eq!((view.state, view.revision, view.deadline), (ReservationState::Held, 2, before.deadline));
    assert_eq!(lines(&world, id), [(sock(), [5, 5, 0, 0]), (hat(), [4, 4, 0, 0])]);
    world.pump();
    // Sent again it is told the same, and the reserve is told its own first answer.
    let again = world.one(1, asked);
    assert_eq!((&again.verdict, again.replayed, again.position), (&told.verdict, true, told.position));
    let reserved = world.reserve(&cart(id, &[(&shoe(), 2), (&sock(), 3)], TTL));
    let Verdict::Done(Done::Reserved(reserved)) = &reserved.verdict else { panic!("was held: {reserved:?}") };
    let got: Vec<_> = reserved.lines.iter().map(|line| (line.pool.key(), line.got.units())).collect();
    assert_eq!((got, reserved.deadline), (vec![(shoe(), 2), (sock(), 3)], before.deadline));
    world.one(1, commit(id));
    world.pump();
    world.assert_rest();
    assert_eq!(all_units(&world), [(5, 0, 0), (0, 0, 5), (1, 0, 4)]);
}

#[test]
fn a_hold_of_one_shard_becomes_a_cart_and_one_of_one_shard_again() {
    let mut world = stocked();
    let id = id(&world, 1);
    world.reserve(&cart(id, &[(&shoe(), 2)], TTL));
    world.one(1, replace(id, 1, &[(&sock(), 1), (&hat(), 1)]));
    world.pump();
    assert_eq!(all_units(&world), [(5, 0, 0), (4, 1, 0), (4, 1, 0)]);
    let back = world.one(1, replace(id, 2, &[(&shoe(), 4)]));
    assert_eq!(done_view(&back).revision, 3);
    assert_eq!(all_units(&world), [(1, 4, 0), (4, 1, 0), (4, 1, 0)]);
    world.pump();
    assert_eq!(all_units(&world), [(1, 4, 0), (5, 0, 0), (5, 0, 0)]);
    // Once more, before the others heard of the first.
    world.one(1, replace(id, 3, &[(&shoe(), 1), (&sock(), 5)]));
    world.pump();
    world.one(1, replace(id, 4, &[(&shoe(), 1)]));
    let regained = world.one(1, replace(id, 5, &[(&shoe(), 1), (&sock(), 5)]));
    pending(&regained);
    world.restart(ShardId(2));
    world.pump();
    assert_eq!(all_units(&world), [(4, 1, 0), (0, 5, 0), (5, 0, 0)]);
    world.wait(TTL.0);
    world.tick(1);
    world.pump();
    world.beat();
    assert_eq!(all_units(&world), [(5, 0, 0); 3]);
}

#[test]
fn a_replace_that_is_refused_leaves_the_old_lines_everywhere() {
    let mut world = stocked();
    let id = held(&mut world);
    let before = world.view(id).expect("is known");
    let deeds = |world: &World| (1..=3).map(|shard| chain(world, shard, id).len()).collect::<Vec<_>>();
    // Six hats are not there; the shoes and socks are, and are taken meanwhile.
    for (operation, lines) in
        [(1, [(&shoe(), 4), (&sock(), 4), (&hat(), 6)]), (2, [(&shoe(), 1), (&sock(), 1), (&hat(), 6)])]
    {
        world.one(1, replace(id, operation, &lines));
        world.pump();
        let told = world.decided.remove(0).1;
        let short = vec![Shortage { line: 2, asked: units(6), sellable: units(5), earliest: None }];
        assert_eq!(refusal(&told), &Refusal::InsufficientStock(short));
        assert_eq!(world.view(id).expect("is known"), before);
        assert_eq!(all_units(&world), [(3, 2, 0), (2, 3, 0), (5, 0, 0)]);
        world.assert_rest();
    }
    // Refused at home: nobody is asked.
    let moved = deeds(&world);
    let told = world.one(1, replace(id, 3, &[(&shoe(), 6), (&sock(), 1)]));
    assert!(matches!(refusal(&told), Refusal::InsufficientStock(_)));
    assert!(world.rows(ShardId(1)).is_empty());
    assert_eq!((deeds(&world), world.view(id).expect("is known")), (moved, before));
    // The refusal is remembered, whatever has come since.
    world.stock(&[(&hat(), 9)]);
    let again = world.one(1, replace(id, 1, &[(&shoe(), 4), (&sock(), 4), (&hat(), 6)]));
    assert!(again.replayed);
    assert!(matches!(refusal(&again), Refusal::InsufficientStock(_)));
}

#[test]
fn what_a_replace_stands_in_the_way_of_is_contended() {
    let mut world = stocked();
    let id = held(&mut world);
    pending(&world.one(1, replace(id, 1, &[(&sock(), 1), (&hat(), 1)])));
    let before = world.view(id);
    let parts = || vec![part(&sock(), 1)];
    let partial = |number| Some(operation_id(BASE, number));
    let asks = [
        commit(id),
        Body::Commit(Commit { id, operation: partial(10), parts: Vec::new(), keep_rest: false, revive: true }),
        Body::Commit(Commit { id, operation: partial(11), parts: parts(), keep_rest: true, revive: false }),
        Body::Release(Release { id, operation: partial(12), parts: parts() }),
        extend(id, operation_id(BASE, 13), DurationMs::seconds(90)),
        paying(id, 14, DurationMs::seconds(9)),
        replace(id, 15, &[(&shoe(), 1)]),
        replace(id, 16, &[(&shoe(), 1), (&hat(), 1)]),
    ];
    for ask in &asks {
        assert_eq!(refusal(&world.one(1, ask.clone())), &Refusal::Contended, "{ask:?}");
    }
    // What follows a sale is not possible at all.
    for ask in [ship(id, 17, &[]), cancel(id, None, &[]), give_back(id, 18, &[], Disposition::Sellable)] {
        assert!(matches!(refusal(&world.one(1, ask)), Refusal::ReservationState { .. }));
    }
    assert_eq!(world.view(id), before);
    world.pump();
    world.decided.clear();
    // The same sending is told the same; a later one of the same is judged anew.
    for ask in &asks[4..6] {
        let again = world.one(1, ask.clone());
        assert_eq!((refusal(&again), again.replayed), (&Refusal::Contended, true));
        let later = Command { attempt: 2, ..command(ask.clone()) };
        done(&world.entry(ShardId(1), vec![later]).outcomes[0]);
    }
    assert!(world.view(id).expect("is known").paying);
    done(&world.one(1, commit(id)));
    world.pump();
    assert_eq!(all_units(&world), [(5, 0, 0), (4, 0, 1), (4, 0, 1)]);
}

#[test]
fn a_whole_release_and_the_deadline_end_a_replace() {
    for release_it in [true, false] {
        for answered in [0, 1, 2] {
            let mut world = stocked();
            let id = held(&mut world);
            world.wait(TTL.0 - 1_000);
            let of = pending(&world.one(1, replace(id, 1, &[(&shoe(), 1), (&sock(), 5), (&hat(), 5)])));
            // It can't outlive the hold.
            assert_eq!(world.at(1).next_deadline(), Some(BASE.plus(TTL)));
            let mut unheard = Vec::new();
            for to in [2, 3].into_iter().take(answered) {
                let row = world.row(1, to);
                unheard.extend(world.deliver(row));
            }
            if answered == 1 {
                unheard.drain(..).for_each(|back| drop(world.deliver(back)));
            }
            match release_it {
                true => assert_eq!(done_view(&world.one(1, release(id))).state, ReservationState::Released),
                false => {
                    world.wait(1_000);
                    world.tick(1);
                }
            }
            let told = world.decided.remove(0);
            assert_eq!(told.0, of);
            match refusal(&told.1) {
                Refusal::ReservationState { state: ReservationState::Released, .. } => assert!(release_it),
                Refusal::ReservationExpired { since } => assert!(!release_it && *since == BASE.plus(TTL)),
                other => panic!("was ended: {other:?}"),
            }
            // Answers that come late change nothing any more.
            for back in unheard {
                assert!(world.deliver(back).is_none());
            }
            assert!(world.decided.is_empty());
            world.restart(ShardId(1));
            world.pump();
            world.assert_rest();
            assert_eq!(all_units(&world), [(5, 0, 0); 3]);
        }
    }
}

#[test]
fn a_deadline_that_passes_unswept_ends_a_replace_as_well() {
    let mut world = stocked();
    let id = held(&mut world);
    world.wait(TTL.0 - 500);
    world.one(1, replace(id, 1, &[(&shoe(), 1), (&hat(), 1)]));
    let row = world.row(1, 3);
    let back = world.deliver(row).expect("an answer");
    world.wait(500);
    // The answer comes in the entry in which the deadline passes.
    world.deliver(back);
    assert!(matches!(refusal(&world.decided[0].1), Refusal::ReservationExpired { .. }));
    assert_eq!(state(&world, id), ReservationState::Expired);
    world.pump();
    assert_eq!(all_units(&world), [(5, 0, 0); 3]);
}

#[test]
fn a_replace_that_is_not_answered_is_given_up_and_its_late_messages_do_no_harm() {
    let mut world = stocked();
    let id = held(&mut world);
    let ask = replace(id, 1, &[(&sock(), 5), (&hat(), 2)]);
    world.one(1, ask.clone());
    let late = [2, 3].map(|to| world.row(1, to));
    let backs = late.clone().map(|row| world.deliver(row).expect("an answer"));
    world.wait(limits::PREPARE_TIMEOUT.0);
    world.tick(1);
    assert_eq!(refusal(&world.decided.remove(0).1), &Refusal::Contended);
    assert_eq!(lines(&world, id), [(shoe(), [2, 2, 0, 0]), (sock(), [3, 3, 0, 0])]);
    backs.into_iter().for_each(|back| assert!(world.deliver(back).is_none()));
    world.pump();
    for row in &late {
        assert!(world.deliver(row.clone()).is_none(), "a prepare of before is old");
    }
    assert_eq!(all_units(&world), [(3, 2, 0), (2, 3, 0), (5, 0, 0)]);
    // A higher try begins anew, and it too is followed by what came before it.
    assert_eq!(refusal(&world.one(1, ask.clone())), &Refusal::Contended);
    let higher = Command { attempt: 2, ..command(ask) };
    pending(&world.entry(ShardId(1), vec![higher]).outcomes[0]);
    let newer = [2, 3].map(|to| world.row(1, to));
    world.pump();
    for row in late.into_iter().chain(newer) {
        assert!(world.deliver(row).is_none());
    }
    assert_eq!(all_units(&world), [(5, 0, 0), (0, 5, 0), (3, 2, 0)]);
    world.beat();
    let floor = world.floor(ShardId(1), ShardId(2));
    world.deliver(floor);
    assert_eq!(all_units(&world), [(5, 0, 0), (0, 5, 0), (3, 2, 0)]);
}

#[test]
fn an_operation_that_is_prepared_is_joined_by_itself_alone() {
    let mut world = stocked();
    let id = held(&mut world);
    let ask = replace(id, 1, &[(&sock(), 1), (&hat(), 1)]);
    let first = pending(&world.one(1, ask.clone()));
    for restart in [false, true] {
        if restart {
            world.restart(ShardId(1));
        }
        let again = world.one(1, ask.clone());
        assert_eq!((pending(&again), again.replayed), (first, true));
        let others = [
            replace(id, 1, &[(&sock(), 2), (&hat(), 1)]),
            replace(id, 1, &[(&shoe(), 1)]),
            extend(id, operation_id(BASE, 1), TTL),
            paying(id, 1, TTL),
            ship(id, 1, &[]),
            receive(operation_id(BASE, 1), &shoe(), 1),
        ];
        for other in others {
            assert_eq!(refusal(&world.one(1, other.clone())), &Refusal::IdempotencyConflict, "{other:?}");
        }
    }
    world.pump();
    let told = world.decided.remove(0).1;
    assert_eq!(done_view(&told).revision, 2);
    let again = world.one(1, ask);
    assert_eq!((again.verdict, again.replayed), (told.verdict, true));
}

#[test]
fn whoever_joins_a_replace_is_told_its_refusal_for_as_long_as_the_others() {
    let mut world = stocked();
    let id = held(&mut world);
    let sending = |seconds, attempt| Command {
        not_after: BASE.plus(DurationMs::seconds(seconds)),
        attempt,
        ..command(replace(id, 1, &[(&shoe(), 1), (&hat(), 6)]))
    };
    pending(&world.entry(ShardId(1), vec![sending(5, 1)]).outcomes[0]);
    pending(&world.entry(ShardId(1), vec![sending(20, 3)]).outcomes[0]);
    world.restart(ShardId(1));
    world.pump();
    let told = world.decided.remove(0).1;
    assert!(matches!(refusal(&told), Refusal::InsufficientStock(_)));
    world.stock(&[(&hat(), 5)]);
    world.wait(15_000);
    let again = world.entry(ShardId(1), vec![sending(20, 3)]).outcomes.remove(0);
    assert_eq!((refusal(&again), again.replayed), (refusal(&told), true));
    world.wait(5_501);
    assert_eq!(refusal(&world.entry(ShardId(1), vec![sending(20, 3)]).outcomes[0]), &Refusal::Late);
}

#[test]
fn a_late_commit_sells_everywhere_or_nowhere() {
    let mut world = stocked();
    let id = expired(&mut world);
    let other = cart_id(ShardId(2), world.now, 50);
    world.reserve(&cart(other, &[(&sock(), 3)], TTL));
    let since = BASE.plus(TTL);
    // Of the socks, two are there: nobody sells any.
    pending(&world.one(1, late(id, None, &[])));
    assert_eq!(refusal(&world.one(1, commit(id))), &Refusal::Contended);
    assert_eq!(world.units(&shoe()), (3, 2, 0));
    world.pump();
    assert_eq!(refusal(&world.decided.remove(0).1), &Refusal::ReservationExpired { since });
    assert_eq!(all_units(&world), [(5, 0, 0), (2, 3, 0), (5, 0, 0)]);
    assert_eq!(state(&world, id), ReservationState::Expired);
    // Units come back, and the same is asked again.
    world.one(2, release(other));
    pending(&world.one(1, late(id, None, &[])));
    world.pump();
    let told = world.decided.remove(0).1;
    assert_eq!(done_view(&told).state, ReservationState::Committed);
    assert_eq!(lines(&world, id), [(shoe(), [2, 0, 2, 0]), (sock(), [3, 0, 3, 0])]);
    assert_eq!(all_units(&world), [(3, 0, 2), (2, 0, 3), (5, 0, 0)]);
    // Its end was reached.
    for again in [commit(id), late(id, None, &[])] {
        assert!(world.one(1, again).replayed);
    }
    world.assert_rest();
}

#[test]
fn a_late_commit_of_a_part_leaves_the_rest_expired() {
    let mut world = stocked();
    let id = expired(&mut world);
    world.one(1, late(id, Some(1), &[(&sock(), 2)]));
    world.pump();
    let told = world.decided.remove(0).1;
    assert_eq!(lines(&world, id), [(shoe(), [2, 0, 0, 2]), (sock(), [3, 0, 2, 1])]);
    assert_eq!(all_units(&world), [(5, 0, 0), (3, 0, 2), (5, 0, 0)]);
    let again = world.one(1, late(id, Some(1), &[(&sock(), 2)]));
    assert_eq!((again.verdict, again.replayed), (told.verdict, true));
    // What was not revived is over.
    let more = world.one(1, late(id, Some(2), &[(&shoe(), 1)]));
    assert!(matches!(refusal(&more), Refusal::ReservationState { .. }), "{more:?}");
}

#[test]
fn a_late_commit_needs_no_record_that_a_participant_forgot() {
    let mut world = stocked();
    let id = expired(&mut world);
    world.beat();
    assert_eq!(world.records(ShardId(2), earmark_ledger::records::PART), 0);
    world.wait(120_000);
    for shard in 1..=3 {
        world.tick(shard);
        world.evict(ShardId(shard));
    }
    world.one(1, late(id, None, &[]));
    world.pump();
    assert_eq!(all_units(&world), [(3, 0, 2), (2, 0, 3), (5, 0, 0)]);
    world.beat();
    world.wait(120_000);
    world.tick(1);
    world.evict(ShardId(1));
    done(&world.one(1, give_back(id, 1, &[(&sock(), 1)], Disposition::Unavailable)));
    world.pump();
    assert_eq!(world.pool(&sock()).unavailable, units(1));
    world.assert_rest();
}

#[test]
fn a_shipping_beyond_on_hand_in_one_shard_withdraws_all_of_it() {
    let mut world = stocked();
    let id = unshipped(&mut world);
    world.one(2, count(operation_id(world.now, 70), &sock(), 2, None));
    let books = |world: &World| {
        [shoe(), sock()].map(|pool| {
            let view = world.pool(&pool);
            [view.on_hand, view.committed, view.short, view.sold_total].map(Quantity::units)
        })
    };
    let before = books(&world);
    pending(&world.one(1, ship(id, 1, &[])));
    let view = world.view(id).expect("is known");
    // The shoes have left the house, if it comes to that; nobody is told so yet.
    assert_eq!(world.pool(&shoe()).committed, units(0));
    assert!(view.lines.iter().all(|line| line.shipped.is_zero()));
    for ask in
        [ship(id, 2, &[]), cancel(id, None, &[]), cancel(id, Some(3), &[(&sock(), 1)]), ship(id, 4, &[(&shoe(), 1)])]
    {
        assert_eq!(refusal(&world.one(1, ask)), &Refusal::Contended);
    }
    world.pump();
    let told = world.decided.remove(0).1;
    let short = vec![Shortage { line: 1, asked: units(3), sellable: units(2), earliest: None }];
    assert_eq!(refusal(&told), &Refusal::InsufficientStock(short));
    assert_eq!(books(&world), before);
    world.assert_rest();
    // What is there can leave.
    world.one(1, ship(id, 5, &[(&sock(), 2), (&shoe(), 2)]));
    world.pump();
    done(&world.decided.remove(0).1);
    assert_eq!(books(&world), [[3, 0, 0, 2], [0, 1, 1, 2]]);
    done(&world.one(1, cancel(id, None, &[])));
    world.pump();
    assert_eq!(books(&world), [[3, 0, 0, 2], [0, 0, 0, 2]]);
}

#[test]
fn what_was_sold_is_taken_back_in_every_shard_by_home_alone() {
    let mut world = stocked();
    let id = unshipped(&mut world);
    world.one(1, ship(id, 1, &[(&sock(), 2)]));
    world.pump();
    // None of these asks, and the shards hear of all of them at once.
    done(&world.one(1, cancel(id, Some(2), &[(&sock(), 1), (&shoe(), 1)])));
    done(&world.one(1, give_back(id, 3, &[(&sock(), 1)], Disposition::Unavailable)));
    done(&world.one(1, give_back(id, 4, &[(&sock(), 1)], Disposition::Sellable)));
    let many = world.one(1, give_back(id, 5, &[(&sock(), 1)], Disposition::Sellable));
    assert!(matches!(refusal(&many), Refusal::InsufficientStock(_)));
    assert_eq!(world.rows(ShardId(1)).len(), 1);
    world.restart(ShardId(1));
    world.pump();
    let view = world.pool(&sock());
    let books = [view.on_hand, view.available, view.committed, view.unavailable, view.sold_total, view.returned_total];
    assert_eq!(books.map(Quantity::units), [5, 4, 0, 1, 2, 2]);
    let view = world.pool(&shoe());
    assert_eq!([view.on_hand, view.available, view.committed].map(Quantity::units), [5, 4, 1]);
    use MovementKind::*;
    let kinds: Vec<_> = chain(&world, 2, id).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [Prepare, Reserve, Commit, Prepare, Ship, Cancel, Return, Return]);
}

/// Whatever is lost of memory in the middle of a round, it goes on as if nothing had been.
#[test]
fn a_round_survives_restarts_and_evictions() {
    type Make = fn(&mut World) -> ReservationId;
    type Ask = fn(ReservationId) -> Body;
    let rounds: [(Make, Ask); 3] = [
        (held, |id| replace(id, 1, &[(&shoe(), 1), (&sock(), 4), (&hat(), 2)])),
        (expired, |id| late(id, Some(1), &[])),
        (unshipped, |id| ship(id, 1, &[])),
    ];
    for (make, ask) in rounds {
        let mut ends = Vec::new();
        for disturb in 0..3 {
            let mut world = stocked();
            let id = make(&mut world);
            let upset = |world: &mut World| {
                for shard in world.shards() {
                    match disturb {
                        0 => {}
                        1 => world.restart(shard),
                        _ => {
                            world.evict(shard);
                            world.restart(shard);
                        }
                    }
                }
            };
            upset(&mut world);
            let of = pending(&world.one(1, ask(id)));
            upset(&mut world);
            let rows = world.rows(ShardId(1));
            let mut backs = Vec::new();
            for row in rows {
                backs.extend(world.deliver(row));
                upset(&mut world);
            }
            for back in backs {
                world.deliver(back);
                upset(&mut world);
            }
            let (pending, told) = world.decided.remove(0);
            assert_eq!(pending, of);
            done(&told);
            world.pump();
            upset(&mut world);
            world.assert_rest();
            let digests: Vec<_> = world
                .shards()
                .into_iter()
                .map(|shard| {
                    world.checkpoint(shard);
                    world.member(shard).store.digest()
                })
                .collect();
            ends.push((told, world.view(id), digests));
        }
        assert_eq!(ends[0], ends[1]);
        assert_eq!(ends[0], ends[2]);
    }
}

/// Home lost everything it knew of a round: what is undecided is given back, and nothing else.
#[test]
fn gone_gives_back_what_a_round_prepared_and_keeps_the_rest() {
    let mut world = stocked();
    let id = unshipped(&mut world);
    pending(&world.one(1, ship(id, 1, &[])));
    let row = world.row(1, 2);
    let Body::Cart(Message::Prepare(prepare)) = row.command.body.clone() else { panic!("is a prepare") };
    world.deliver(row);
    assert_eq!(world.pool(&sock()).committed, units(0));
    let gone = Gone { id, number: prepare.from.number, home: ShardId(1) };
    for _ in 0..2 {
        world.one(2, Body::Cart(Message::Gone(gone)));
        let view = world.pool(&sock());
        assert_eq!([view.committed, view.on_hand, view.sold_total].map(Quantity::units), [3, 5, 0]);
    }
}
