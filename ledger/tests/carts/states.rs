//! The state machine of a reservation as a table: every state, every operation, and what comes of it, as the semantics
//! have it; in one shard, and over two.

use crate::{ask::*, short::*, support::*, world::*};
use earmark_ledger::{command::*, outcome::*, settings::*, types::*};

/// The state a reservation is in, and how it got there where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Open,
    /// Refused for good.
    Rejected,
    /// Given up: it may be tried again.
    GivenUp,
    Held,
    Partly,
    /// By a whole commit, of units that wait to be shipped.
    Sold,
    Shipped,
    /// Some committed, and the rest expired.
    SoldInPart,
    Released,
    Expired,
}

use At::*;
const ALL: [At; 10] = [Open, Rejected, GivenUp, Held, Partly, Sold, Shipped, SoldInPart, Released, Expired];

/// In the shard of the shoes.
fn boot() -> PoolKey {
    pool("b1", "paris")
}

/// What comes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Done, and the reservation is in that state.
    Now(ReservationState),
    /// Its end was reached before.
    Again(ReservationState),
    /// The first answer of the reserve.
    FirstHeld,
    /// It is joined.
    Waits,
    Contended,
    Conflict,
    NotFound,
    Expired,
    /// RESERVATION_STATE with that state.
    State(ReservationState),
    Short,
}

use ReservationState as Is;

/// Every operation, by name. Parts name one unit of the last line.
const OPERATIONS: [&str; 16] = [
    "reserve",
    "reserve otherwise",
    "replace",
    "extend",
    "mark paying",
    "commit",
    "commit a part",
    "commit late",
    "commit a part late",
    "release",
    "release a part",
    "ship",
    "ship a part",
    "cancel",
    "cancel a part",
    "return",
];

/// The table of the semantics.
fn expected(at: At, operation: &str) -> Told {
    // The state that is told of it.
    let is = match at {
        Open => Is::Open,
        Rejected | GivenUp => Is::Rejected,
        Held => Is::Held,
        Partly => Is::PartlyCommitted,
        Sold | Shipped | SoldInPart => Is::Committed,
        Released => Is::Released,
        Expired => Is::Expired,
    };
    match (at, operation) {
        (_, "reserve otherwise") => Told::Conflict,
        (Open, "reserve") => Told::Waits,
        (Rejected, "reserve") => Told::Short,
        // The same try; a higher one has a test of its own.
        (GivenUp, "reserve") => Told::Contended,
        (_, "reserve") => Told::FirstHeld,
        (Open, "release") => Told::Now(Is::Rejected),
        (Open, _) => Told::Contended,
        (Held, "replace" | "extend" | "mark paying" | "release a part") => Told::Now(Is::Held),
        (Partly, "extend" | "release a part" | "commit a part") => Told::Now(is),
        (Held, "commit a part") => Told::Now(Is::PartlyCommitted),
        // A late commit keeps no rest.
        (Held | Partly, "commit" | "commit late" | "commit a part late") => Told::Now(Is::Committed),
        (Held, "release") => Told::Now(Is::Released),
        (Partly, "release") => Told::Now(Is::Committed),
        (Sold | Shipped, "commit" | "commit late") | (Released, "release") => Told::Again(is),
        (Expired, "commit late" | "commit a part late") => Told::Now(Is::Committed),
        // Of a hold that expired in part, the rest was sold: that is its state.
        (Expired, "replace" | "extend" | "mark paying" | "commit" | "commit a part") => Told::Expired,
        (Sold | SoldInPart, "ship" | "ship a part" | "cancel" | "cancel a part") => Told::Now(is),
        (Shipped, "ship a part" | "cancel a part") => Told::Short,
        (Shipped, "return") => Told::Now(is),
        _ => Told::State(is),
    }
}

/// A world in which a reservation is in that state: two shoes, and as many of the other pool. Both SKUs wait to be
/// shipped.
fn make(at: At, cart_of: &[(&PoolKey, u64)]) -> Option<(World, ReservationId)> {
    let mut world = stocked();
    done(&world.one(1, receive(operation_id(BASE, 950), &boot(), 5)));
    for (shard, sku) in [(1, "a1"), (2, "a2"), (1, "b1")] {
        let on_ship = Settings { deduct: Deduct::OnShip, ..Settings::default() };
        done(&world.one(shard, configure(operation_id(BASE, 900 + u64::from(sku == "b1")), sku, 0, on_ship)));
    }
    let id = id(&world, 1);
    let other = cart_of[1].0;
    let spans = shard_of_pool(other) != ShardId(1);
    if at == Rejected {
        world.reserve(&cart(cart_id(shard_of_pool(other), BASE, 2), &[(other, 4)], TTL));
    }
    world.reserve(&cart(id, cart_of, TTL));
    match at {
        // In one shard nothing is ever prepared.
        Open | GivenUp if !spans => return None,
        Open => return Some((world, id)),
        GivenUp => {
            world.wait(2_000);
            world.tick(1);
        }
        _ => {}
    }
    world.pump();
    let part_of = |operation| Commit {
        id,
        operation: Some(operation_id(BASE, operation)),
        parts: vec![part(&shoe(), 1)],
        keep_rest: true,
        revive: false,
    };
    match at {
        Open | GivenUp | Rejected | Held => {}
        Partly => assert!(!world.one(1, Body::Commit(part_of(800))).replayed),
        Sold => assert!(!world.one(1, commit(id)).replayed),
        Shipped => {
            done(&world.one(1, commit(id)));
            world.pump();
            world.one(1, ship(id, 801, &[]));
        }
        Released => assert!(!world.one(1, release(id)).replayed),
        SoldInPart | Expired => {
            if at == SoldInPart {
                done(&world.one(1, Body::Commit(Commit { parts: vec![part(other, 1)], ..part_of(800) })));
            }
            world.wait(TTL.0);
            world.tick(1);
        }
    }
    world.pump();
    world.decided.clear();
    Some((world, id))
}

fn body(operation: &str, id: ReservationId, cart_of: &[(&PoolKey, u64)]) -> Body {
    let other = cart_of[1].0;
    let named = [(other, 1)];
    let some = |keep_rest, revive| {
        let (operation, parts) = (Some(operation_id(BASE, 1)), vec![part(other, 1)]);
        Body::Commit(Commit { id, operation, parts, keep_rest, revive })
    };
    match operation {
        "reserve" => Body::Reserve(cart(id, cart_of, TTL)),
        "reserve otherwise" => Body::Reserve(cart(id, &[(&shoe(), 1)], TTL)),
        "replace" => replace(id, 1, &[(&shoe(), 1), (other, 3)]),
        "extend" => extend(id, operation_id(BASE, 1), DurationMs::seconds(90)),
        "mark paying" => paying(id, 1, DurationMs::seconds(30)),
        "commit" => commit(id),
        "commit a part" => some(true, false),
        "commit late" => late(id, None, &[]),
        "commit a part late" => some(false, true),
        "release" => release(id),
        "release a part" => {
            Body::Release(Release { id, operation: Some(operation_id(BASE, 1)), parts: vec![part(other, 1)] })
        }
        "ship" => ship(id, 1, &[]),
        "ship a part" => ship(id, 1, &named),
        "cancel" => cancel(id, None, &[]),
        "cancel a part" => cancel(id, Some(1), &named),
        "return" => give_back(id, 1, &[], Disposition::Sellable),
        other => unreachable!("{other} is no operation"),
    }
}

/// What was told, once everything is decided.
fn told(world: &mut World, outcome: Outcome, first: bool) -> Told {
    let outcome = match &outcome.verdict {
        Verdict::Done(Done::Pending(pending)) => {
            let pending = *pending;
            if outcome.replayed {
                return Told::Waits;
            }
            world.pump();
            let at = world.decided.iter().position(|(of, _)| *of == pending).expect("was decided");
            world.decided.remove(at).1
        }
        _ => outcome,
    };
    match outcome.verdict {
        Verdict::Done(Done::Reserved(_)) if first && outcome.replayed => Told::FirstHeld,
        Verdict::Done(Done::Reservation(view)) if outcome.replayed => Told::Again(view.state),
        Verdict::Done(Done::Reservation(view)) => Told::Now(view.state),
        Verdict::Refused(Refusal::Contended) => Told::Contended,
        Verdict::Refused(Refusal::IdempotencyConflict) => Told::Conflict,
        Verdict::Refused(Refusal::NotFound(_)) => Told::NotFound,
        Verdict::Refused(Refusal::ReservationExpired { .. }) => Told::Expired,
        Verdict::Refused(Refusal::ReservationState { state, .. }) => Told::State(state),
        Verdict::Refused(Refusal::InsufficientStock(_)) => Told::Short,
        other => panic!("is in no table: {other:?}"),
    }
}

/// In one shard there is no record of a refused reserve: nothing of that id is known but the refusal.
fn expected_in(at: At, operation: &str, spans: bool) -> Told {
    match (at, operation) {
        (Rejected, "reserve" | "reserve otherwise") => expected(at, operation),
        (Rejected, _) if !spans => Told::NotFound,
        _ => expected(at, operation),
    }
}

#[test]
fn every_operation_in_every_state_is_answered_as_the_table_says() {
    let mut wrong = Vec::new();
    for spans in [false, true] {
        let (shoe, other) = (shoe(), if spans { sock() } else { boot() });
        let lines = [(&shoe, 2), (&other, 2)];
        for at in ALL {
            for operation in OPERATIONS {
                let Some((mut world, id)) = make(at, &lines) else { continue };
                let before = world.view(id);
                let outcome = world.one(1, body(operation, id, &lines));
                let got = told(&mut world, outcome, operation == "reserve");
                let expected = expected_in(at, operation, spans);
                if got != expected {
                    wrong.push(format!("{operation} of {at:?}, over shards: {spans}: {got:?}, not {expected:?}"));
                }
                let refused = !matches!(got, Told::Now(_) | Told::Waits | Told::FirstHeld | Told::Again(_));
                world.pump();
                if refused && at != Open {
                    assert_eq!(world.view(id), before, "{operation} of {at:?} was refused");
                }
                world.assert_rest();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_was_given_up_is_tried_again_with_a_higher_try_and_nothing_else_is() {
    let (shoe, sock) = (shoe(), sock());
    let lines = [(&shoe, 2), (&sock, 2)];
    for at in [Rejected, GivenUp] {
        let (mut world, id) = make(at, &lines).expect("spans shards");
        let again = Command { attempt: 2, ..command(body("reserve", id, &lines)) };
        let outcome = world.entry(ShardId(1), vec![again]).outcomes.remove(0);
        match at {
            GivenUp => {
                pending(&outcome);
                world.pump();
                assert_eq!(state(&world, id), ReservationState::Held);
            }
            _ => assert!(matches!(refusal(&outcome), Refusal::InsufficientStock(_))),
        }
    }
}
