//! Histories that the model must refuse, each beside one that it must accept.

use super::ClockBound;
use crate::{
    checker::{linearizable::per_sku, tell::*},
    history::{Action, Balance, End, Held, Line, Place, Settings, Told, Tried},
};

type Row = (u64, u64, Action, End);

/// Whether one order explains it.
fn explained(rows: Vec<Row>) -> bool {
    let found = per_sku(&history(rows), ClockBound(500));
    assert_eq!(found.undecided, 0);
    found.broken.is_empty()
}

fn stocked(units: u64) -> Row {
    (0, 1, receive("r", "mug", units), done(Told::Balance(balance("mug", units, 0))))
}

fn held_until(at: u64, id: &str, units: u64, deadline_ms: u64) -> Row {
    let lines: &[(&str, u64)] = &[("mug", units)];
    (at, at + 1, reserve(id, lines, deadline_ms - at), until(lines, deadline_ms))
}

fn reads(at: u64, change: impl FnOnce(&mut Balance)) -> Row {
    let mut seen = balance("mug", 0, 0);
    change(&mut seen);
    (at, at + 1, read("mug"), done(Told::Balance(seen)))
}

fn on_hand(at: u64, on_hand: u64, held: u64) -> Row {
    reads(at, |seen| (seen.on_hand, seen.held) = (on_hand, held))
}

/// A view of one line, changed.
fn shown(state: &str, units: [u64; 4], change: impl FnOnce(&mut Held)) -> End {
    let mut view = view(state, &[("mug", units)]);
    change(&mut view);
    done(Told::Reservation(view))
}

fn configured(at: u64, version: u64, settings: Settings) -> Row {
    let action =
        Action::Configure { id: format!("set {at}"), sku: "mug".to_owned(), version, settings: settings.clone() };
    (at, at + 1, action, done(Told::Settings { version: version + 1, settings }))
}

#[test]
fn a_replace_swaps_all_lines_at_once() {
    let told = |units: u64, left: u64| {
        let lines: &[(&str, u64)] = &[("mug", units)];
        explained(vec![
            stocked(5),
            (2, 3, reserve("a", &[("mug", 4)], 900_000), held(&[("mug", 4)])),
            (4, 5, replace("a", "x", lines), reservation("held", &[("mug", [units, 0, 0, 0])])),
            on_hand(6, 5, left),
        ])
    };
    assert!(told(5, 5), "what it has already is not counted against it");
    assert!(!told(6, 6), "more than there is");
    assert!(!told(1, 4), "what was given up is still held");
}

#[test]
fn what_was_sold_is_not_replaced() {
    let sold = |first: bool| {
        let mut rows = vec![
            stocked(5),
            (2, 3, reserve("a", &[("mug", 4)], 900_000), held(&[("mug", 4)])),
            (6, 7, replace("a", "x", &[("mug", 1)]), reservation("held", &[("mug", [1, 0, 0, 0])])),
        ];
        if first {
            rows.push((4, 5, commit("a"), reservation("committed", &[("mug", [0, 4, 0, 0])])));
        }
        explained(rows)
    };
    assert!(sold(false) && !sold(true));
}

#[test]
fn the_grace_of_paying_moves_the_deadline_once() {
    let paying = |at, operation: &str, deadline_ms| {
        let action = Action::MarkPaying { id: "a".to_owned(), operation: operation.to_owned(), grace_ms: 5_000 };
        let told = shown("held", [2, 0, 0, 0], |view| view.deadline_ms = EPOCH_MS + deadline_ms);
        (at, at + 1, action, told)
    };
    let told = |rows: Vec<Row>| explained([vec![stocked(2), held_until(2, "a", 2, 10_000)], rows].concat());
    assert!(told(vec![paying(4, "x", 15_000), on_hand(13_000, 2, 2)]));
    assert!(!told(vec![paying(4, "x", 15_000), on_hand(13_000, 2, 0)]), "over before its deadline");
    assert!(!told(vec![paying(4, "x", 16_000)]), "by more than the grace");
    assert!(!told(vec![paying(4, "x", 15_000), paying(6, "y", 20_000)]), "twice");
}

#[test]
fn a_late_commit_sells_what_is_there_now() {
    let late = |at: u64, end: End| (at, at + 1, revive("a", "x"), end);
    let sold = || shown("committed", [0, 2, 0, 0], |view| view.deadline_ms = EPOCH_MS + 1_000);
    let expired = || End::Refused { code: "RESERVATION_EXPIRED".to_owned(), logged: true, short: vec![], state: None };
    let told = |taken: bool, end: End, left: u64| {
        let mut rows = vec![stocked(3), held_until(2, "a", 2, 1_000), late(5_000, end)];
        if taken {
            rows.push((3_000, 3_001, reserve("b", &[("mug", 2)], 900_000), held(&[("mug", 2)])));
        }
        rows.push(on_hand(6_000, left, if taken { 2 } else { 0 }));
        explained(rows)
    };
    assert!(told(false, sold(), 1) && told(true, expired(), 3));
    assert!(!told(true, sold(), 1), "somebody else has them");
    assert!(!told(false, sold(), 3), "nothing left the books");
    assert!(!told(false, expired(), 3), "refused though they were there");
}

#[test]
fn a_refused_late_commit_is_told_again_under_its_operation() {
    let expired = || End::Refused { code: "RESERVATION_EXPIRED".to_owned(), logged: true, short: vec![], state: None };
    let again = |operation: &str| {
        explained(vec![
            stocked(3),
            held_until(2, "a", 2, 1_000),
            held_until(3_000, "b", 2, 6_000),
            (5_000, 5_001, revive("a", "x"), expired()),
            (8_000, 8_001, revive("a", operation), expired()),
        ])
    };
    assert!(again("x"));
    assert!(!again("y"), "the units were back");
}

#[test]
fn what_had_expired_is_told_again_under_its_operation_though_it_is_sold_by_then() {
    let expired = || End::Refused { code: "RESERVATION_EXPIRED".to_owned(), logged: true, short: vec![], state: None };
    let extend =
        |operation: &str| Action::Extend { id: "a".to_owned(), operation: Some(operation.to_owned()), ttl_ms: 900 };
    let again = |operation: &str, first: End| {
        explained(vec![
            stocked(3),
            held_until(2, "a", 2, 1_000),
            (3_000, 3_001, extend("x"), first),
            (
                5_000,
                5_001,
                revive("a", "y"),
                shown("committed", [0, 2, 0, 0], |view| view.deadline_ms = EPOCH_MS + 1_000),
            ),
            (6_000, 6_001, extend(operation), expired()),
        ])
    };
    assert!(again("x", expired()) && again("x", unknown()));
    assert!(!again("z", unknown()), "it had been sold");
}

#[test]
fn a_late_commit_of_one_sku_that_is_told_again_gave_the_rest_back() {
    let told = |state: [u64; 4]| {
        let asked = [("mug", 2), ("pot", 1)];
        let shown = |replayed| {
            let mut view = view("committed", &[("mug", state), ("pot", [0, 1, 0, 0])]);
            view.deadline_ms = EPOCH_MS + 1_002;
            End::Done {
                told: Told::Reservation(view),
                place: Place { shard: 1, epoch: 1, index: 1, ordinal: 0 },
                replayed,
            }
        };
        let part = Action::Commit {
            id: "a".to_owned(),
            operation: Some("x".to_owned()),
            parts: vec![line("pot", 1)],
            keep_rest: false,
            revive: true,
        };
        explained(vec![
            stocked(3),
            (0, 1, receive("s", "pot", 1), done(Told::Balance(balance("pot", 1, 0)))),
            (2, 3, reserve("a", &asked, 1_000), until(&asked, 1_002)),
            (4, 5, part, shown(true)),
            (6_000, 6_001, Action::ReadReservation { id: "a".to_owned() }, shown(false)),
        ])
    };
    assert!(told([0, 0, 2, 0]));
    assert!(!told([0, 0, 0, 2]), "its time was not over");
}

#[test]
fn what_was_not_found_is_told_again_under_its_operation_though_it_is_held_by_then() {
    let missing = || End::Refused { code: "NOT_FOUND".to_owned(), logged: true, short: vec![], state: None };
    let cancel =
        |operation: &str| Action::Cancel { id: "a".to_owned(), operation: operation.to_owned(), parts: vec![] };
    let again = |first: End, operation: &str| {
        explained(vec![
            stocked(3),
            (5, 6, cancel("x"), first),
            held_until(7, "a", 2, 900_000),
            (9, 10, cancel(operation), missing()),
        ])
    };
    assert!(again(missing(), "x"));
    assert!(!again(missing(), "y"), "it is there");
    assert!(again(unknown(), "x"), "who heard nothing may have been told so");
    assert!(!again(unknown(), "y"));
}

#[test]
fn best_effort_takes_what_is_there_and_no_less_than_its_minimum() {
    let told = |minimum: u64, got: u64| {
        let action = Action::Reserve {
            id: "a".to_owned(),
            lines: vec![line("mug", 5)],
            ttl_ms: 900_000,
            owner: String::new(),
            least: Some(vec![line("mug", minimum)]),
        };
        explained(vec![stocked(3), (2, 3, action, held(&[("mug", got)]))])
    };
    assert!(told(1, 3));
    assert!(!told(1, 4), "more than there is");
    assert!(!told(1, 2), "less than there is");
    assert!(!told(4, 3), "less than the minimum");
}

fn after(what: &str, at: u64, operation: &str, units: u64, view: End) -> Row {
    let (id, operation, parts) = ("a".to_owned(), operation.to_owned(), vec![line("mug", units)]);
    let action = match what {
        "ship" => Action::Ship { id, operation, parts },
        "cancel" => Action::Cancel { id, operation, parts },
        _ => Action::Return { id, operation, parts, fit: what == "return" },
    };
    (at, at + 1, action, view)
}

/// Four units sold of five, to be shipped or not.
fn sold(on_ship: bool) -> Vec<Row> {
    vec![
        configured(0, 0, Settings { on_ship, cancel: true, ..Settings::default() }),
        stocked(5),
        (2, 3, reserve("a", &[("mug", 4)], 900_000), held(&[("mug", 4)])),
        (4, 5, commit("a"), reservation("committed", &[("mug", [0, 4, 0, 0])])),
    ]
}

fn sale(shipped: u64, cancelled: u64, returned: u64, apart: u64) -> End {
    shown("committed", [0, 4, 0, 0], |view| {
        let line = &mut view.lines[0];
        (line.shipped, line.cancelled, line.returned, line.apart) = (shipped, cancelled, returned, apart);
    })
}

#[test]
fn units_leave_the_books_when_they_are_shipped() {
    let told = |rows: Vec<Row>, on_hand, committed| {
        let seen = reads(90, |seen| (seen.on_hand, seen.committed) = (on_hand, committed));
        explained([sold(true), rows, vec![seen]].concat())
    };
    assert!(told(vec![], 5, 4));
    assert!(!told(vec![], 1, 0), "as if sold on commit");
    assert!(told(vec![after("ship", 6, "s", 3, sale(3, 0, 0, 0))], 2, 1));
    assert!(!told(vec![after("ship", 6, "s", 3, sale(3, 0, 0, 0))], 5, 1), "shipped and still there");
    let twice = vec![after("ship", 6, "s", 3, sale(3, 0, 0, 0)), after("ship", 8, "t", 2, sale(5, 0, 0, 0))];
    assert!(!told(twice, 0, 0), "more than was sold");
}

#[test]
fn what_is_cancelled_can_be_sold_again_and_not_shipped() {
    let told = |rows: Vec<Row>, held_now| {
        let next = (50, 51, reserve("b", &[("mug", held_now)], 900_000), held(&[("mug", held_now)]));
        explained([sold(true), rows, vec![next]].concat())
    };
    let cancelled = || after("cancel", 6, "c", 3, sale(0, 3, 0, 0));
    assert!(told(vec![cancelled()], 4));
    assert!(!told(vec![cancelled()], 5), "one is still sold");
    assert!(!told(vec![cancelled(), after("ship", 8, "s", 2, sale(2, 3, 0, 0))], 1), "shipped though cancelled");
}

#[test]
fn what_comes_back_is_there_or_set_apart() {
    let told = |rows: Vec<Row>, on_hand, unavailable| {
        let seen = reads(90, |seen| (seen.on_hand, seen.unavailable) = (on_hand, unavailable));
        explained([sold(false), rows, vec![seen]].concat())
    };
    assert!(told(vec![after("return", 6, "b", 2, sale(0, 0, 2, 0))], 3, 0));
    assert!(told(vec![after("apart", 6, "b", 2, sale(0, 0, 0, 2))], 3, 2));
    assert!(!told(vec![after("apart", 6, "b", 2, sale(0, 0, 0, 2))], 3, 0), "torn and sold again");
    let both = vec![after("return", 6, "b", 3, sale(0, 0, 3, 0)), after("cancel", 8, "c", 2, sale(0, 2, 3, 0))];
    assert!(!told(both, 6, 0), "more than was sold");
}

fn corrected(on_hand: u64, held: u64, unavailable: u64, delta: i64) -> End {
    let promised = held + unavailable;
    let balance = Balance {
        on_hand,
        held,
        unavailable,
        available: on_hand.saturating_sub(promised),
        short: promised.saturating_sub(on_hand),
        ..balance("mug", on_hand.max(held), held)
    };
    done(Told::Corrected { balance, delta, beyond: 0, shortage: None })
}

fn counted(at: u64, units: u64, end: End) -> Row {
    (at, at + 1, Action::Count { id: format!("c{at}"), sku: "mug".to_owned(), units, seen: None }, end)
}

#[test]
fn a_sale_of_a_short_pool_takes_what_is_there_first() {
    let told = |on_hand_now, held_now| {
        explained(vec![
            stocked(5),
            (2, 3, reserve("a", &[("mug", 4)], 900_000), held(&[("mug", 4)])),
            counted(4, 1, corrected(1, 4, 0, -4)),
            (6, 7, commit("a"), reservation("committed", &[("mug", [0, 4, 0, 0])])),
            on_hand(8, on_hand_now, held_now),
        ])
    };
    assert!(told(0, 0));
    assert!(!told(1, 0), "nothing left the books");
}

#[test]
fn what_was_sold_beyond_and_comes_back_is_not_there() {
    let told = |on_hand_now| {
        explained(vec![
            stocked(5),
            (2, 3, reserve("a", &[("mug", 4)], 900_000), held(&[("mug", 4)])),
            counted(4, 1, corrected(1, 4, 0, -4)),
            (6, 7, commit("a"), reservation("committed", &[("mug", [0, 4, 0, 0])])),
            after("return", 8, "b", 4, sale(0, 0, 4, 0)),
            on_hand(10, on_hand_now, 0),
        ])
    };
    assert!(told(1) && !told(4));
}

#[test]
fn a_set_with_an_expected_value_is_refused_where_it_differs() {
    let told = |expected, end| {
        let (id, sku) = ("s".to_owned(), "mug".to_owned());
        explained(vec![stocked(5), (2, 3, Action::Set { id, sku, units: 9, expected: Some(expected) }, end)])
    };
    assert!(told(5, corrected(9, 0, 0, 4)) && told(4, refused("VERSION_STALE", Vec::new())));
    assert!(!told(4, corrected(9, 0, 0, 4)), "done though it differed");
    assert!(!told(5, refused("VERSION_STALE", Vec::new())), "refused though it did not");
}

#[test]
fn what_is_set_apart_is_not_sold() {
    let told = |units| {
        let line = Line { sku: "mug".to_owned(), units: 3 };
        let apart = Action::Quarantine { id: "q".to_owned(), line };
        let next = (4, 5, reserve("a", &[("mug", units)], 900_000), held(&[("mug", units)]));
        explained(vec![stocked(5), (2, 3, apart, corrected(5, 0, 3, 0)), next])
    };
    assert!(told(2) && !told(3));
}

#[test]
fn a_transfer_is_at_one_place_or_under_way() {
    let at = |sku: &str, on_hand, in_transit| Balance { in_transit, ..balance(sku, on_hand, 0) };
    let told = |first: u64, there: u64, left: u64| {
        let (line, to) = (line("mug", 3), "mug@back".to_owned());
        let transfer = Action::Transfer { id: "t".to_owned(), line, to, immediate: false };
        let moved = Told::Moved { from: at("mug", first, 0), to: at("mug@back", 0, 3), left: 3 };
        let arrive = Action::Arrive {
            id: "v".to_owned(),
            transfer: "t".to_owned(),
            sku: "mug".to_owned(),
            received: 2,
            lost: 0,
        };
        let arrived = Told::Moved { from: at("mug", 2, 0), to: at("mug@back", there, left), left };
        let list = Action::ListInTransit { sku: "mug".to_owned() };
        explained(vec![
            stocked(5),
            (2, 3, transfer, done(moved)),
            (4, 5, arrive, done(arrived)),
            (6, 7, list, done(Told::InTransit(vec![("t".to_owned(), 1)]))),
        ])
    };
    assert!(told(2, 2, 1));
    assert!(!told(5, 2, 1), "they are at both places");
    assert!(!told(2, 3, 0), "more arrived than was said");
}

#[test]
fn an_announced_receipt_is_expected_until_it_comes() {
    let told = |left| {
        let (line, document) = (line("mug", 3), "note".to_owned());
        let mut seen = balance("mug", 5, 0);
        seen.expected = 3;
        let expect = Action::Expect { id: "e".to_owned(), line: line.clone(), document: document.clone(), date_ms: 1 };
        let line = Line { units: 2, ..line };
        let comes = Action::ReceiveExpected { id: "f".to_owned(), line, document };
        let mut after = balance("mug", 7, 0);
        after.expected = left;
        let rows =
            vec![stocked(5), (2, 3, expect, done(Told::Balance(seen))), (4, 5, comes, done(Told::Balance(after)))];
        explained(rows)
    };
    assert!(told(1) && !told(3));
}

#[test]
fn settings_are_replaced_from_the_version_that_is_named() {
    let settings = || Settings { safety_stock: 2, ..Settings::default() };
    let told = |version| explained(vec![stocked(5), configured(2, 0, settings()), configured(4, version, settings())]);
    assert!(told(1) && !told(0));
}

#[test]
fn rules_stand_in_the_way_of_a_reserve_and_only_they() {
    let told = |settings: Settings, units: u64, end: End| {
        let mut action = reserve("a", &[("mug", units)], 900_000);
        if let Action::Reserve { owner, .. } = &mut action {
            owner.push_str("ann");
        }
        explained(vec![stocked(5), configured(2, 0, settings), (4, 5, action, end)])
    };
    let frozen = || Settings { frozen: true, ..Settings::default() };
    let safe = || Settings { safety_stock: 2, ..Settings::default() };
    let limited = || Settings { owner_units: Some(2), ..Settings::default() };
    assert!(told(frozen(), 1, refused("SKU_FROZEN", vec![])) && !told(frozen(), 1, held(&[("mug", 1)])));
    assert!(!told(safe(), 1, refused("SKU_FROZEN", vec![])));
    assert!(told(safe(), 3, held(&[("mug", 3)])) && !told(safe(), 4, held(&[("mug", 4)])));
    assert!(told(safe(), 4, refused("INSUFFICIENT_STOCK", vec![line("mug", 3)])));
    assert!(told(limited(), 2, held(&[("mug", 2)])) && !told(limited(), 3, held(&[("mug", 3)])));
    assert!(told(limited(), 3, refused("LIMIT_EXCEEDED", vec![])));
    assert!(!told(limited(), 2, refused("LIMIT_EXCEEDED", vec![])));
}

#[test]
fn a_dry_run_tells_what_would_be_and_does_nothing() {
    let told = |units: u64, verdict: Tried, left: u64| {
        let dry = Action::DryRun { lines: vec![line("mug", units)], owner: String::new() };
        explained(vec![stocked(5), (2, 3, dry, done(Told::Tried(verdict))), on_hand(4, 5, left)])
    };
    let would = |units| Tried::Held(vec![line("mug", units)]);
    let short = || Tried::Refused { code: "INSUFFICIENT_STOCK".to_owned(), short: vec![line("mug", 5)] };
    assert!(told(3, would(3), 0) && told(6, short(), 0));
    assert!(!told(3, would(3), 3), "something is held");
    assert!(!told(6, would(6), 0) && !told(3, short(), 0));
}

#[test]
fn what_is_not_found_may_be_a_line() {
    let told = |sku: &str| {
        let parts = vec![Line { sku: sku.to_owned(), units: 1 }];
        let action = Action::Return { id: "a".to_owned(), operation: "x".to_owned(), parts, fit: true };
        explained(vec![stocked(5), held_until(2, "a", 3, 900_000), (4, 5, action, refused("NOT_FOUND", Vec::new()))])
    };
    assert!(told("cup"), "it has no cups");
    assert!(!told("mug"), "it has mugs, so it is there");
}
