//! Replace, mark paying, late commit, ship, cancel and return.

use super::{
    reservations::{fresh, ids_and_contexts, part},
    roads::{Case, done, refused},
    shapes::{DAY_MS, bad_places, bad_reservation_ids, longest_context, now_ms, reservation_id, tea, with_context},
    world::{LINE_MAX, World},
};
use earmark_client::wire::v1::{self, Code, operation::Body as Asked};
use prost::bytes::Bytes;

fn line(quantity: i64) -> v1::Line {
    let place = tea();
    v1::Line { sku: place.sku, location: place.location, kind: place.kind, lot: place.lot, quantity, minimum: 0 }
}

fn replace(id: &Bytes, lines: Vec<v1::Line>) -> Asked {
    Asked::Replace(v1::ReplaceRequest {
        reservation_id: id.clone(),
        operation_id: fresh(),
        lines,
        ..Default::default()
    })
}

fn paying(id: &Bytes, grace_ms: u64) -> Asked {
    Asked::MarkPaying(v1::MarkPayingRequest {
        reservation_id: id.clone(),
        operation_id: fresh(),
        grace_ms,
        ..Default::default()
    })
}

fn ship(id: &Bytes, parts: Vec<v1::Part>) -> Asked {
    Asked::Ship(v1::ShipRequest { reservation_id: id.clone(), operation_id: fresh(), parts, ..Default::default() })
}

fn cancel(id: &Bytes, parts: Vec<v1::Part>) -> Asked {
    Asked::Cancel(v1::CancelRequest { reservation_id: id.clone(), operation_id: fresh(), parts, ..Default::default() })
}

fn come_back(id: &Bytes, parts: Vec<v1::Part>) -> Asked {
    Asked::ReturnUnits(v1::ReturnUnitsRequest {
        reservation_id: id.clone(),
        operation_id: fresh(),
        parts,
        ..Default::default()
    })
}

fn late(id: &Bytes, parts: Vec<v1::Part>) -> Asked {
    Asked::Commit(v1::CommitRequest {
        reservation_id: id.clone(),
        operation_id: fresh(),
        parts,
        revive: true,
        ..Default::default()
    })
}

/// What all of them can have wrong.
fn ids(id: &Bytes, ask: impl Fn(&Bytes) -> Asked) -> Vec<Case> {
    let bad = bad_reservation_ids().into_iter().chain([reservation_id(now_ms() + 365 * DAY_MS, 77)]);
    let mut cases: Vec<Case> = bad.map(|bad| Case::field(ask(&bad), "reservation_id")).collect();
    cases.push(Case::code(ask(&reservation_id(now_ms(), 77)), Code::NotFound));
    cases.push(Case::code(ask(&reservation_id(now_ms() - 365 * DAY_MS, 77)), Code::IdempotencyTooOld));
    cases.extend(ids_and_contexts(&ask(id)));
    cases
}

/// What those that name parts can have wrong.
fn parts(id: &Bytes, ask: fn(&Bytes, Vec<v1::Part>) -> Asked) -> Vec<Case> {
    let mut cases = ids(id, |id| ask(id, vec![part(1)]));
    for quantity in [0, -1, i64::MIN, LINE_MAX + 1, i64::MAX] {
        cases.push(Case::field(ask(id, vec![part(1), part(quantity)]), "parts[1].quantity"));
    }
    for (place, field) in bad_places() {
        let bad = v1::Part { sku: place.sku, location: place.location, kind: place.kind, lot: place.lot, quantity: 1 };
        cases.push(Case::field(ask(id, vec![bad]), format!("parts[0].{field}")));
    }
    cases.push(Case::field(ask(id, vec![part(0); 501]), "parts"));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_an_order_is_refused_if_it_is_badly_asked() {
    let world = World::new().await;
    let id = &world.five_hundred;
    // It is held, so none of these is possible; what is badly asked is told before that.
    let mut cases = Vec::new();
    for ask in [ship, cancel, come_back] {
        cases.extend(parts(id, ask));
        cases.push(Case::code(ask(id, Vec::new()), Code::ReservationState));
        cases.push(Case::code(ask(id, vec![part(LINE_MAX); 500]), Code::ReservationState));
    }
    cases.extend(parts(id, late));
    let Asked::Commit(commit) = late(id, Vec::new()) else { unreachable!("a commit") };
    cases.push(Case::field(Asked::Commit(v1::CommitRequest { keep_rest: true, ..commit }), "keep_rest"));
    let long = || "x".repeat(257);
    let Asked::Cancel(cancel) = cancel(id, Vec::new()) else { unreachable!("a cancel") };
    cases.push(Case::field(Asked::Cancel(v1::CancelRequest { reason: long(), ..cancel }), "reason"));
    let Asked::ReturnUnits(back) = come_back(id, Vec::new()) else { unreachable!("a return") };
    cases.push(Case::field(Asked::ReturnUnits(v1::ReturnUnitsRequest { reason: long(), ..back.clone() }), "reason"));
    for disposition in [-1, 3, i32::MAX] {
        let bad = v1::ReturnUnitsRequest { disposition, ..back.clone() };
        cases.push(Case::field(Asked::ReturnUnits(bad), "disposition"));
    }
    refused(&world, &cases).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_not_changed_by_what_is_badly_asked() {
    let world = World::new().await;
    let id = &world.five_hundred;
    let mut cases = ids(id, |id| replace(id, vec![line(1)]));
    for quantity in [0, -1, i64::MIN, LINE_MAX + 1, i64::MAX] {
        cases.push(Case::field(replace(id, vec![line(1), line(quantity)]), "lines[1].quantity"));
    }
    for lines in [Vec::new(), vec![line(1); 501], vec![v1::Line::default(); 100_000]] {
        cases.push(Case::field(replace(id, lines), "lines"));
    }
    cases.push(Case::field(replace(id, vec![v1::Line { minimum: 1, ..line(2) }]), "lines[0].minimum"));
    cases.push(Case::field(replace(id, vec![line(LINE_MAX), line(1)]), "lines[1].quantity"));
    let Asked::Replace(request) = replace(id, vec![line(1)]) else { unreachable!("a replace") };
    let named = |namespace: &str| {
        Asked::Replace(v1::ReplaceRequest { namespace: namespace.to_owned(), operation_id: fresh(), ..request.clone() })
    };
    cases.push(Case::field(named("a b"), "namespace"));
    cases.push(Case::code(named("other"), Code::NotFound));
    let coffee = v1::Line { sku: "coffee".to_owned(), ..line(1) };
    cases.push(Case::code(replace(id, vec![coffee]), Code::NotFound));
    cases.extend(ids(id, |id| paying(id, 0)));
    for grace_ms in [1, 999, 30 * 60_000 + 1, u64::MAX] {
        cases.push(Case::field(paying(id, grace_ms), "grace_ms"));
    }
    refused(&world, &cases).await;
    done(
        &world,
        [
            with_context(&replace(id, vec![line(1); 500]), &longest_context()),
            replace(&world.most, vec![line(LINE_MAX)]),
            paying(id, 30 * 60_000),
            paying(&world.most, 1_000),
        ],
    )
    .await;
    world.end().await;
}
