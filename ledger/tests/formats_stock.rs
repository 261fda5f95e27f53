//! Samples of what the stock side writes, as in `formats.rs`: they are never changed, only added to.
//!
//! `FORMATS=write cargo test -p earmark-ledger --test formats_stock` writes the samples that are not there yet.

mod support;

use bytes::Bytes;
use earmark_ledger::{
    Ledger, Loader, codec::*, command::*, digest::Accumulator, journal::Block, movement::*, outcome::*, records,
    settings::*, types::*,
};
use support::*;

fn reason() -> Reason {
    "damaged".parse().expect("a reason")
}

fn document() -> Document {
    "note 7".parse().expect("a document")
}

fn shoe() -> PoolKey {
    PoolKey { lot: "lot-7".parse().expect("a lot"), ..pool("shoe", "berlin") }
}

fn every_setting(strategy: Strategy) -> Settings {
    Settings {
        deduct: Deduct::OnShip,
        safety_stock: units(2),
        hold_time: Some(DurationMs::minutes(5)),
        owner_units: Some(UnitLimit { units: units(3), window: DurationMs::days(7) }),
        owner_holds: Some(4),
        frozen: Some(reason()),
        opens: Some(TimeMs(BASE.0 + 5)),
        closes: Some(TimeMs(BASE.0 + 6)),
        cancel_window: Some(DurationMs(7)),
        return_window: Some(DurationMs(8)),
        allocation: Some(Allocation { strategy, places: 9 }),
    }
}

fn every_strategy() -> Vec<Strategy> {
    let berlin: Location = "berlin".parse().expect("a location");
    vec![
        Strategy::Priority(vec![berlin.clone()]),
        Strategy::MostStock,
        Strategy::FewestSplits,
        Strategy::NearestZone(vec![(berlin, 3)]),
    ]
}

fn every_ask() -> Vec<Stockkeeping> {
    let (operation, pool) = (operation_id(BASE, 8), shoe());
    let set = SetOnHand {
        operation,
        pool: pool.clone(),
        on_hand: units(3),
        expected_on_hand: Some(units(2)),
        overriding: false,
        reason: reason(),
    };
    let counted = |observed| {
        let (pool, counted) = (pool.clone(), units(4));
        Stockkeeping::Count(Count { operation, pool, counted, observed, document: document(), reason: reason() })
    };
    let quarantine = |step| {
        let (pool, quantity) = (pool.clone(), units(5));
        Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason: reason() })
    };
    let (namespace, sku) = (pool.namespace.clone(), pool.sku.clone());
    let configured = every_strategy().into_iter().map(|strategy| {
        let settings = Box::new(every_setting(strategy));
        let (namespace, sku) = (namespace.clone(), sku.clone());
        Stockkeeping::Configure(Configure { operation, namespace, sku, expected_version: 6, settings })
    });
    let others = [
        Stockkeeping::Set(set.clone()),
        Stockkeeping::Set(SetOnHand { expected_on_hand: None, overriding: true, ..set }),
        counted(None),
        counted(Some(Observed { at: ObservedAt::Time(BASE), on_hand: units(6), seen: None })),
        counted(Some(Observed { at: ObservedAt::Position(LogIndex(9)), on_hand: units(6), seen: None })),
        quarantine(QuarantineStep::SetApart),
        quarantine(QuarantineStep::Back),
        quarantine(QuarantineStep::WriteOff),
        Stockkeeping::Transfer(Transfer {
            operation,
            from: pool.clone(),
            to: "paris".parse().expect("a location"),
            quantity: units(7),
            immediate: true,
            document: document(),
            reason: reason(),
        }),
        Stockkeeping::Arrive(Arrive {
            operation,
            namespace: namespace.clone(),
            sku: sku.clone(),
            transfer: operation_id(BASE, 7),
            received: units(1),
            lost: units(2),
            document: document(),
            reason: reason(),
        }),
        Stockkeeping::Expect(Expect { operation, pool, document: document(), date: BASE, quantity: units(8) }),
    ];
    others.into_iter().chain(configured).collect()
}

#[test]
fn commands() {
    let reserve = reserve(reservation_id(BASE, 1), vec![open_line("shoe", 2)], DurationMs::seconds(60));
    let open = Body::Reserve(Reserve { zone: 3, ..reserve });
    for (at, body) in every_ask().into_iter().map(Body::Stockkeeping).chain([open]).enumerate() {
        let command = command(body);
        let saved = sample(&format!("command-2-{at:02}"), &encode_command(&command));
        assert_eq!(decode_command(saved), Ok(command));
    }
}

#[test]
fn a_count_that_says_what_was_seen() {
    let seen = Some(Seen { moment: BASE, counts: 3 });
    let observed = Some(Observed { at: ObservedAt::Position(LogIndex(9)), on_hand: units(6), seen });
    let command = command(count(operation_id(BASE, 1), &shoe(), 5, observed));
    let saved = sample("command-4-0", &encode_command(&command));
    assert_eq!(decode_command(saved), Ok(command));
}

#[test]
fn the_record_of_a_pool_that_was_counted() {
    let mut ledger = Ledger::new(SHARD);
    let (operation, document) = (operation_id(BASE, 1), Document::default());
    let receive = Body::Receive(Receive { operation, pool: shoe(), quantity: units(9), document });
    ledger.apply(LogIndex(1), &batch(BASE, vec![command(receive)]));
    let count = count(operation_id(BASE, 2), &shoe(), 8, None);
    ledger.apply(LogIndex(2), &batch(BASE.plus(DurationMs(5)), vec![command(count)]));
    let changes = ledger.take_changes();
    let pools = changes.puts.iter().filter(|(key, _)| key[0] == records::POOL);
    let values: Vec<Bytes> = pools.map(|(_, value)| sample("record-4-counted", value)).collect();
    assert_eq!(values.len(), 1);
    let mut loader = Loader::new(SHARD);
    changes.puts.iter().for_each(|(key, value)| loader.record(key, value).expect("was written here"));
    let loaded = loader.finish().expect("a whole state");
    assert_eq!(loaded.last_movement(&shoe()), ledger.last_movement(&shoe()));
    assert_eq!(loaded.last_movement(&shoe()).map(|last| last.counts), Some(1));
}

fn every_verdict() -> Vec<Verdict> {
    let id = reservation_id(BASE, 7);
    let by = Position { shard: SHARD, epoch: Epoch(2), index: LogIndex(3), ordinal: 4 };
    let view = PoolView {
        key: shoe(),
        on_hand: units(1),
        available: units(2),
        held: units(3),
        committed: units(4),
        unavailable: units(5),
        short: units(6),
        sellable: units(7),
        received_total: units(8),
        sold_total: units(9),
        returned_total: Quantity::ZERO,
        in_transit: units(10),
        expected: units(11),
        expected_date: Some(TimeMs(12)),
    };
    let shortage = ShortageView {
        pool: shoe(),
        units: units(3),
        since: BASE,
        by,
        at_risk: units(2),
        newest: vec![AtRisk { reservation: id, held: units(1) }],
    };
    let (pool, delta, beyond) = (view.clone(), -3, units(4));
    let change = StockChange { pool, delta, beyond, shortage: Some(shortage) };
    let to = PoolView { key: pool_at("paris"), ..view.clone() };
    let transfer = TransferView {
        id: operation_id(BASE, 5),
        from: view.key.clone(),
        to: to.key.clone(),
        sent: units(9),
        received: units(2),
        lost: units(3),
        since: BASE,
        document: document(),
    };
    let settings = every_setting(Strategy::MostStock);
    let got = LineGot { pool: shoe().into(), asked: units(2), got: units(1), policy: Some(3) };
    let exceeded = |kind| {
        let (limit, window) = (units(5), DurationMs(6));
        Refusal::LimitExceeded(LimitExceeded { line: 1, kind, limit, window, used: units(4) })
    };
    let (asked, sellable, earliest) = (units(3), units(2), Some(BASE));
    let done = [
        Done::Reserved(Reserved { id, lines: vec![got], all: false, deadline: BASE }),
        Done::Pool(Box::new(view.clone())),
        Done::Stock(Box::new(change)),
        Done::Transfer(Box::new(Transferred { transfer, from: view, to })),
        Done::Settings(Box::new(SettingsView { version: 7, settings })),
    ];
    let refused = [
        Refusal::NotFound(Missing::Transfer(operation_id(BASE, 5))),
        Refusal::SettingsStale { version: 8 },
        Refusal::SkuFrozen { reason: reason() },
        exceeded(LimitKind::Units),
        exceeded(LimitKind::Holds),
        exceeded(LimitKind::Counted),
        Refusal::InsufficientStock(vec![Shortage { line: 1, asked, sellable, earliest }]),
    ];
    done.into_iter().map(Verdict::Done).chain(refused.into_iter().map(Verdict::Refused)).collect()
}

fn pool_at(location: &str) -> PoolKey {
    PoolKey { location: location.parse().expect("a location"), ..shoe() }
}

#[test]
fn outcomes() {
    for (at, verdict) in every_verdict().into_iter().enumerate() {
        let position = Position { shard: SHARD, epoch: Epoch(2), index: LogIndex(3), ordinal: 4 };
        let outcome = Outcome { verdict, replayed: at % 2 == 0, position, time: BASE };
        let saved = sample(&format!("outcome-2-{at:02}"), &encode_outcome(&outcome));
        assert_eq!(decode_outcome(saved), Ok(outcome));
    }
}

/// A state with everything the stock side keeps, and the journal block that led there.
fn state() -> (Ledger, Bytes) {
    let (berlin, paris) = (pool("shoe", "berlin"), pool("shoe", "paris"));
    let limit = UnitLimit { units: units(9), window: DurationMs::days(1) };
    let settings = Settings { owner_units: Some(limit), safety_stock: units(1), ..Settings::default() };
    let asked = |number, ask: &dyn Fn(OperationId) -> Stockkeeping| {
        command(Body::Stockkeeping(ask(operation_id(BASE, number))))
    };
    let [held, sold] = [1, 2].map(|number| reservation_id(BASE, number));
    let hold = |id| command(Body::Reserve(reserve(id, vec![open_line("shoe", 3)], DurationMs::seconds(60))));
    let from = berlin.clone();
    let quarantine = |operation, step, quantity| {
        let (pool, quantity) = (berlin.clone(), units(quantity));
        Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason: reason() })
    };
    let transfer = |operation, to: &str, immediate| {
        let (from, to, quantity) = (from.clone(), to.parse().expect("a location"), units(2));
        let (document, reason) = (document(), reason());
        Stockkeeping::Transfer(Transfer { operation, from, to, quantity, immediate, document, reason })
    };
    let arrive = |operation| {
        let (received, lost, transfer) = (units(1), Quantity::ZERO, operation_id(BASE, 12));
        let (namespace, sku) = (Namespace::default(), berlin.sku.clone());
        let (document, reason) = (document(), reason());
        Stockkeeping::Arrive(Arrive { operation, namespace, sku, transfer, received, lost, document, reason })
    };
    let expect = |operation| {
        let (pool, date, quantity) = (paris.clone(), TimeMs(BASE.0 + 9), units(4));
        Stockkeeping::Expect(Expect { operation, pool, document: document(), date, quantity })
    };
    let set = |operation| {
        let (pool, on_hand, reason) = (berlin.clone(), units(9), reason());
        let (expected_on_hand, overriding) = (None, true);
        Stockkeeping::Set(SetOnHand { operation, pool, on_hand, expected_on_hand, overriding, reason })
    };
    let commands = vec![
        command(receive(operation_id(BASE, 3), &berlin, 20)),
        command(configure(operation_id(BASE, 4), "shoe", 0, settings)),
        hold(held),
        hold(sold),
        command(commit(sold)),
        asked(9, &|operation| quarantine(operation, QuarantineStep::SetApart, 3)),
        asked(10, &|operation| quarantine(operation, QuarantineStep::Back, 1)),
        asked(11, &|operation| quarantine(operation, QuarantineStep::WriteOff, 1)),
        asked(12, &|operation| transfer(operation, "paris", false)),
        asked(13, &|operation| transfer(operation, "london", true)),
        asked(14, &arrive),
        asked(15, &expect),
        asked(16, &set),
        command(count(operation_id(BASE, 17), &berlin, 2, None)),
    ];
    let mut ledger = Ledger::new(SHARD);
    let applied = ledger.apply(LogIndex(5), &batch(BASE, commands));
    for outcome in &applied.outcomes {
        assert!(matches!(outcome.verdict, Verdict::Done(_)), "{outcome:?}");
    }
    (ledger, applied.journal.expect("units moved"))
}

#[test]
fn records() {
    let (mut ledger, _) = state();
    let digest = ledger.digest();
    let mut loader = Loader::new(SHARD);
    let mut sum = Accumulator::new();
    let mut kinds = Vec::new();
    let mut puts = ledger.take_changes().puts.copies();
    puts.sort();
    for (at, (key, value)) in puts.iter().enumerate() {
        let len = u16::try_from(key.len()).expect("keys are short").to_be_bytes();
        let mut saved = sample(&format!("record-7-kind{}-{at:02}", key[0]), &[&len, &key[..], &value[..]].concat());
        let len = usize::from(bytes::Buf::get_u16(&mut saved));
        let key = saved.split_to(len);
        kinds.push(key[0]);
        sum.add(&key, &saved);
        loader.record(&key, &saved).expect("was written once");
    }
    kinds.dedup();
    assert_eq!(kinds, [1, 3, 4, 6, 7, 14, 15, 20, 21]);
    assert_eq!(sum.finish(), digest);

    let mut loaded = loader.finish().expect("is a state");
    assert_eq!(loaded.digest(), digest);
    assert_eq!(loaded.violations(), Vec::new());
    let (namespace, sku) = (Namespace::default(), "shoe".parse().expect("a sku"));
    assert_eq!(loaded.stock(&namespace, &sku, None), ledger.stock(&namespace, &sku, None));
    assert_eq!(loaded.shortages(&namespace, None, 9), ledger.shortages(&namespace, None, 9));
    assert_eq!(loaded.shortages(&namespace, None, 9).len(), 1);
    assert_eq!(loaded.in_transit(&namespace, &sku, None, 9), ledger.in_transit(&namespace, &sku, None, 9));
    assert_eq!(loaded.in_transit(&namespace, &sku, None, 9).map(|transits| transits.len()), Ok(1));
    assert_eq!(loaded.expected(&namespace, &sku), ledger.expected(&namespace, &sku));
    assert_eq!(loaded.expected(&namespace, &sku).map(|expected| expected.len()), Ok(1));
    assert_eq!(loaded.settings(&namespace, &sku), ledger.settings(&namespace, &sku));
    // Six of nine units are used.
    let more = reserve(reservation_id(BASE, 9), vec![line(&pool("shoe", "paris"), 4)], DurationMs::seconds(60));
    let Verdict::Refused(Refusal::LimitExceeded(exceeded)) = loaded.dry_run(&command(Body::Reserve(more))) else {
        panic!("was to be beyond the limit")
    };
    assert_eq!(exceeded.used, units(6));
}

/// Before counts were noted; before holds were packed.
#[test]
fn records_of_builds_before() {
    for name in ["record-2-kind", "record-4-kind"] {
        let (mut loader, mut sum) = (Loader::new(SHARD), Accumulator::new());
        let old = old_records(name);
        assert!(old.len() > 5, "{} samples", old.len());
        for (key, value) in &old {
            sum.add(key, value);
            loader.record(key, value).expect("was written once");
        }
        let mut loaded = loader.finish().expect("is a state");
        assert_eq!(loaded.violations(), Vec::new());
        assert_eq!(loaded.digest(), sum.finish());
    }
}

#[test]
fn a_journal_block() {
    let (_, block) = state();
    let block = Block::decode(&sample("journal-2", &block)).expect("was written once");
    let movements: Vec<_> = block.movements().map(|movement| movement.expect("was written once")).collect();
    let kinds: Vec<_> = movements.iter().map(|movement| movement.kind).collect();
    use MovementKind::*;
    let expected = [
        Receive,
        Reserve,
        Reserve,
        Commit,
        Quarantine,
        Unquarantine,
        WriteOff,
        TransferOut,
        TransferSent,
        TransferOut,
        TransferIn,
        TransferIn,
        Expect,
        Set,
        Count,
    ];
    assert_eq!(kinds, expected);
    let sent = &movements[8];
    assert_eq!(sent.delta, Delta { in_transit: 2, ..Delta::default() });
    assert_eq!((sent.transfer, sent.document.as_str()), (Some(operation_id(BASE, 12)), "note 7"));
    assert_eq!(movements[7].transfer, sent.transfer);
    assert_eq!(movements[11].delta, Delta { in_transit: -1, on_hand: 1, available: 1, ..Delta::default() });
    assert_eq!(movements[11].transfer, sent.transfer);
    let announced = &movements[12];
    assert_eq!((announced.expected, announced.deadline), (Some(units(4)), Some(TimeMs(BASE.0 + 9))));
    assert_eq!(movements[4].reason, reason());
    assert_eq!((movements[13].transfer, movements[13].expected), (None, None));
}
