//! Whatever bytes come, decoding answers; whatever a decodable entry says, apply answers.

mod support;

use bytes::Bytes;
use earmark_ledger::{
    Ledger,
    codec::*,
    command::*,
    journal::Block,
    settings::{Allocation, Deduct, Settings, Strategy as Rule, UnitLimit},
    types::*,
};
use proptest::{collection::vec, option, prelude::*};
use support::*;

fn text<T: std::str::FromStr + Clone + std::fmt::Debug>(choices: &'static [&'static str]) -> impl Strategy<Value = T>
where
    T::Err: std::fmt::Debug,
{
    prop::sample::select(choices).prop_map(|text: &str| text.parse().expect("is one"))
}

fn moment() -> impl Strategy<Value = TimeMs> {
    prop_oneof![Just(0), Just(u64::MAX), Just(1 << 48), BASE.0..BASE.0 + 100_000, any::<u64>()].prop_map(TimeMs)
}

fn id() -> impl Strategy<Value = ReservationId> {
    let times = prop_oneof![Just(0), Just((1 << 48) - 1), BASE.0..BASE.0 + 100];
    (times, 0..4_u64, any::<bool>()).prop_map(|(time, number, hashed)| {
        let home = Bucket::new(1).expect("below 16,384");
        if hashed { ReservationId::hashed(home, number) } else { ReservationId::timed(TimeMs(time), home, number) }
    })
}

fn operation() -> impl Strategy<Value = OperationId> {
    let times = prop_oneof![Just(0), Just((1 << 48) - 1), BASE.0..BASE.0 + 100];
    (times, 0..4_u64).prop_map(|(time, number)| operation_id(TimeMs(time), number))
}

fn quantity() -> impl Strategy<Value = Quantity> {
    prop_oneof![0..5_u64, Just(1_000_000_000), Just(1 << 53), Just((1 << 53) - 1), 0..1_u64 << 53].prop_map(units)
}

fn ttl() -> impl Strategy<Value = DurationMs> {
    prop_oneof![Just(0), Just(u64::MAX), 1_000..100_000_u64, Just(31 * 86_400_000)].prop_map(DurationMs)
}

fn any_line() -> impl Strategy<Value = Line> {
    (text(&["a", "b"]), text(&["x", "y"]), 1..5_u8, text(&["", "lot"]), quantity(), quantity()).prop_map(
        |(sku, location, kind, lot, quantity, minimum)| Line {
            sku,
            location: Some(location),
            kind: PoolKind::from_tag(kind).expect("1 to 4"),
            lot,
            quantity,
            minimum,
        },
    )
}

fn any_part() -> impl Strategy<Value = Part> {
    any_line().prop_map(|Line { sku, location, kind, lot, quantity, .. }| {
        let location = location.expect("is named");
        Part { sku, location, kind, lot, quantity }
    })
}

fn any_pool() -> BoxedStrategy<PoolKey> {
    any_line()
        .prop_map(|Line { sku, location, kind, lot, .. }| PoolKey {
            namespace: Namespace::default(),
            sku,
            location: location.expect("is named"),
            kind,
            lot,
        })
        .boxed()
}

fn any_settings() -> BoxedStrategy<Settings> {
    let place = || text::<Location>(&["x", "y", "z"]);
    let rule = prop_oneof![
        vec(place(), 0..3).prop_map(Rule::Priority),
        Just(Rule::MostStock),
        Just(Rule::FewestSplits),
        vec((place(), any::<u32>()), 0..3).prop_map(Rule::NearestZone),
    ];
    let allocation = (rule, prop_oneof![0..4_u32, Just(16), any::<u32>()])
        .prop_map(|(strategy, places)| Allocation { strategy, places });
    let limit = (quantity(), ttl()).prop_map(|(units, window)| UnitLimit { units, window });
    let holds = prop_oneof![0..3_u32, any::<u32>()];
    let times = (option::of(ttl()), option::of(ttl()), option::of(ttl()));
    let moments = (option::weighted(0.2, moment()), option::weighted(0.2, moment()));
    let limits = (option::weighted(0.3, limit), option::weighted(0.3, holds));
    let frozen = option::weighted(0.1, text(&["", "recall"]));
    (any::<bool>(), quantity(), times, limits, frozen, moments, option::of(allocation))
        .prop_map(
            |(
                on_ship,
                safety_stock,
                (hold_time, cancel, back),
                (owner_units, owner_holds),
                frozen,
                moments,
                allocation,
            )| {
                Settings {
                    deduct: if on_ship { Deduct::OnShip } else { Deduct::OnCommit },
                    safety_stock,
                    hold_time: hold_time.filter(|time| time.0 > 0),
                    owner_units,
                    owner_holds,
                    frozen,
                    opens: moments.0,
                    closes: moments.1,
                    cancel_window: cancel.filter(|time| time.0 < 1 << 33),
                    return_window: back.filter(|time| time.0 < 1 << 33),
                    allocation,
                }
            },
        )
        .boxed()
}

fn stockkeeping() -> BoxedStrategy<Stockkeeping> {
    let reason = || text::<Reason>(&["", "damaged"]);
    let document = || text::<Document>(&["", "d"]);
    let place = || text::<Location>(&["x", "y", "z"]);
    let at = prop_oneof![
        moment().prop_map(ObservedAt::Time),
        any::<u64>().prop_map(|at| ObservedAt::Position(LogIndex(at)))
    ];
    let seen = option::of((moment(), any::<u64>()).prop_map(|(moment, counts)| Seen { moment, counts }));
    let observed = (at, quantity(), seen).prop_map(|(at, on_hand, seen)| Observed { at, on_hand, seen });
    prop_oneof![
        (operation(), any_pool(), quantity(), option::of(quantity()), any::<bool>(), reason())
            .prop_map(|(operation, pool, on_hand, expected_on_hand, overriding, reason)| {
                Stockkeeping::Set(SetOnHand { operation, pool, on_hand, expected_on_hand, overriding, reason })
            })
            .boxed(),
        (operation(), any_pool(), quantity(), option::of(observed), document(), reason())
            .prop_map(|(operation, pool, counted, observed, document, reason)| {
                Stockkeeping::Count(Count { operation, pool, counted, observed, document, reason })
            })
            .boxed(),
        (operation(), any_pool(), 1..4_u8, quantity(), reason())
            .prop_map(|(operation, pool, step, quantity, reason)| {
                let step = QuarantineStep::from_tag(step).expect("1 to 3");
                Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason })
            })
            .boxed(),
        (operation(), any_pool(), place(), quantity(), any::<bool>(), document(), reason())
            .prop_map(|(operation, from, to, quantity, immediate, document, reason)| {
                Stockkeeping::Transfer(Transfer { operation, from, to, quantity, immediate, document, reason })
            })
            .boxed(),
        (operation(), any_pool(), operation(), quantity(), quantity(), document(), reason())
            .prop_map(|(operation, pool, transfer, received, lost, document, reason)| {
                let PoolKey { namespace, sku, .. } = pool;
                Stockkeeping::Arrive(Arrive { operation, namespace, sku, transfer, received, lost, document, reason })
            })
            .boxed(),
        (operation(), any_pool(), document(), moment(), quantity())
            .prop_map(|(operation, pool, document, date, quantity)| {
                Stockkeeping::Expect(Expect { operation, pool, document, date, quantity })
            })
            .boxed(),
        (operation(), any_pool(), prop_oneof![4 => 0..3_u64, 1 => any::<u64>()], any_settings())
            .prop_map(|(operation, pool, expected_version, settings)| {
                let (PoolKey { namespace, sku, .. }, settings) = (pool, Box::new(settings));
                Stockkeeping::Configure(Configure { operation, namespace, sku, expected_version, settings })
            })
            .boxed(),
    ]
    .boxed()
}

/// What becomes of a hold beside commit, release and extend.
fn sale() -> BoxedStrategy<Body> {
    let reason = || text::<Reason>(&["", "changed"]);
    let parts = || vec(any_part(), 0..3);
    let shards = prop_oneof![3 => Just(Vec::new()), 1 => vec((0..5_u32).prop_map(ShardId), 0..4)];
    let lines = vec((any_line(), any::<bool>()), 0..4).prop_map(|lines| {
        let line = |(line, open): (Line, bool)| Line { location: line.location.clone().filter(|_| !open), ..line };
        lines.into_iter().map(line).collect::<Vec<Line>>()
    });
    prop_oneof![
        (id(), operation(), lines, any::<bool>(), any::<u32>(), shards)
            .prop_map(|(id, operation, lines, best_effort, zone, shards)| {
                let namespace = Namespace::default();
                Body::Replace(Replace { id, operation, namespace, lines, best_effort, zone, shards })
            })
            .boxed(),
        (id(), operation(), ttl())
            .prop_map(|(id, operation, grace)| Body::MarkPaying(MarkPaying { id, operation, grace }))
            .boxed(),
        (id(), option::of(operation()), parts(), any::<bool>())
            .prop_map(|(id, operation, parts, keep_rest)| {
                Body::Commit(Commit { id, operation, parts, keep_rest, revive: true })
            })
            .boxed(),
        (id(), operation(), parts())
            .prop_map(|(id, operation, parts)| Body::Ship(Ship { id, operation, parts }))
            .boxed(),
        (id(), operation(), parts(), reason())
            .prop_map(|(id, operation, parts, reason)| Body::Cancel(Cancel { id, operation, parts, reason }))
            .boxed(),
        (id(), operation(), parts(), any::<bool>(), reason())
            .prop_map(|(id, operation, parts, fit, reason)| {
                let disposition = if fit { Disposition::Sellable } else { Disposition::Unavailable };
                Body::Return(Return { id, operation, parts, disposition, reason })
            })
            .boxed(),
    ]
    .boxed()
}

fn body() -> BoxedStrategy<Body> {
    let node = (any::<u32>(), "[a-z]{0,3}").prop_map(|(node, text)| MetaNode {
        node,
        client_endpoint: text.clone(),
        peer_endpoint: text.clone(),
        region: text.clone(),
        zone: text,
    });
    let meta = (any::<[u8; 16]>(), prop_oneof![0..3_u32, Just(1_024), any::<u32>()], vec(node, 0..4));
    prop_oneof![
        (id(), vec(any_line(), 0..4), ttl(), any::<bool>(), any::<bool>()).prop_map(
            |(id, lines, ttl, best, chosen)| {
                let mut base = reserve(id, lines, ttl);
                // Some lines leave the location to the policy.
                base.lines.iter_mut().filter(|line| line.lot.is_empty()).for_each(|line| line.location = None);
                Body::Reserve(Reserve { best_effort: best, ttl_chosen: chosen, ..base })
            }
        ),
        (id(), option::of(operation()), vec(any_part(), 0..3), any::<bool>()).prop_map(
            |(id, operation, parts, keep_rest)| Body::Commit(Commit { id, operation, parts, keep_rest, revive: false })
        ),
        (id(), option::of(operation()), vec(any_part(), 0..3))
            .prop_map(|(id, operation, parts)| Body::Release(Release { id, operation, parts })),
        (id(), operation(), ttl()).prop_map(|(id, operation, ttl)| extend(id, operation, ttl)),
        (operation(), any_pool(), quantity()).prop_map(|(operation, pool, quantity)| {
            Body::Receive(Receive { operation, pool, quantity, document: Document::default() })
        }),
        (
            operation(),
            any_pool(),
            prop_oneof![-5..5_i64, any::<i64>(), Just(i64::MIN), Just(1 << 53)],
            option::of(quantity())
        )
            .prop_map(|(operation, pool, delta, expected_on_hand)| {
                Body::Adjust(Adjust { operation, pool, delta, reason: Reason::default(), expected_on_hand })
            }),
        (vec(id(), 0..3), vec(operation(), 0..3))
            .prop_map(|(reservations, operations)| Body::Forget(Forget { reservations, operations })),
        stockkeeping().prop_map(Body::Stockkeeping),
        stockkeeping().prop_map(Body::Stockkeeping),
        sale(),
        sale(),
        sale(),
        meta.prop_map(|(cluster, shards, nodes)| Body::Meta(Meta::Form(Form { cluster, shards, nodes }))),
    ]
    .boxed()
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let command = (body(), moment(), any::<u32>(), any::<bool>()).prop_map(|(body, not_after, attempt, heard)| {
        Command { context: Context::default(), not_after, attempt, heard, body }
    });
    let time = prop_oneof![8 => (BASE.0..BASE.0 + 200_000).prop_map(TimeMs), 1 => moment()];
    (time, any::<bool>(), vec(command, 0..12)).prop_map(|(time, digest, commands)| Batch {
        rules: RULES_NEWEST,
        time,
        digest,
        commands,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_entry_is_answered(batches in vec(any_batch(), 1..20), meta in any::<bool>()) {
        let mut ledger = Ledger::new(if meta { ShardId::META } else { SHARD });
        for (index, batch) in (1..).zip(batches) {
            let batch = decode_batch(encode_batch(&batch)).expect("was encoded here");
            let applied = ledger.apply(LogIndex(index), &batch);
            prop_assert_eq!(applied.outcomes.len(), batch.commands.len());
            prop_assert_eq!(applied.digest.is_some(), batch.digest);
            prop_assert_eq!(ledger.violations(), Vec::new());
            prop_assert_eq!(ledger.oversold_units(), 0);
            let namespace = Namespace::default();
            ledger.shortages(&namespace, None, 100);
            ledger.expiring(batch.time, TimeMs::MAX, 100);
            for command in &batch.commands {
                ledger.judge_fresh(command, batch.time);
                ledger.dry_run(command);
            }
            for outcome in &applied.outcomes {
                prop_assert_eq!(&decode_outcome(encode_outcome(outcome)).expect("was encoded here"), outcome);
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let framed = Bytes::from([&[1], &bytes[..]].concat());
        for bytes in [bytes, framed] {
            let _ = (decode_batch(bytes.clone()), decode_command(bytes.clone()), decode_outcome(bytes.clone()));
            prop_assert!(Block::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_changed_byte_of_a_batch_is_answered(batch in any_batch(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode_batch(&batch).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(batch) = decode_batch(Bytes::from(bytes)) && Ledger::supports(batch.rules) {
            Ledger::new(SHARD).apply(LogIndex(1), &batch);
        }
    }

    #[test]
    fn any_record_is_answered(kind in 0..24_u8, rest in vec(any::<u8>(), 0..40), value in vec(any::<u8>(), 0..60)) {
        let key = [&[kind], &rest[..]].concat();
        let framed = [&[1], &value[..]].concat();
        for value in [value, framed] {
            let mut loader = earmark_ledger::Loader::new(SHARD);
            let _ = loader.record(&key, &value);
            let _ = loader.finish();
            let _ = Ledger::new(SHARD).warm(&earmark_ledger::RecordKey(key.clone().into()), Some(&value));
            let _ = earmark_ledger::records::forgettable(&key, &value, BASE);
        }
    }
}
