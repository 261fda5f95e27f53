//! The ledger: what a shard of Earmark knows, and the one function that changes it.
//!
//! A [`Ledger`] is the state of one shard. [`Ledger::apply`] takes one entry of the shard's replicated log, a
//! [`Batch`](command::Batch) of commands with a time, and answers each command with an
//! [`Outcome`](outcome::Outcome). The same entries give the same state, the same answers and the same bytes on every
//! replica, whatever they keep in memory and whenever they write it down.
//!
//! It has no clock, randomness, thread, file or network: time comes in with the entry, records go out as bytes
//! ([`Ledger::take_changes`]) and come back as bytes ([`Loader`], [`Ledger::warm`]). It does not know which buckets are
//! its own, who may do what, or how an answer reaches its caller.
//!
//! ```
//! use earmark_ledger::{
//!     Ledger,
//!     command::{Batch, Body, Command, Context, Line, RULES_NEWEST, Receive, Reserve},
//!     outcome::{Done, Verdict},
//!     types::*,
//! };
//!
//! let now = TimeMs(1_700_000_000_000);
//! let pool = PoolKey {
//!     namespace: Namespace::default(),
//!     sku: "red-shoe-42".parse()?,
//!     location: "berlin".parse()?,
//!     kind: PoolKind::Now,
//!     lot: Lot::default(),
//! };
//! let ask = |body| Command { context: Context::default(), not_after: now.plus(DurationMs::seconds(10)), attempt: 1, heard: false, body };
//!
//! // Three pairs arrive; a shopper asks for two of them for a quarter of an hour.
//! # let mut uuid = (u128::from(now.0) << 80).to_be_bytes();
//! # uuid[6] = 0x70;
//! # uuid[8] = 0x80;
//! # let operation = OperationId::from_slice(&uuid)?;
//! let arrived = Receive {
//!     operation,
//!     pool: pool.clone(),
//!     quantity: Quantity::new(3).ok_or("too many")?,
//!     document: "delivery 7".parse()?,
//! };
//! let wanted = Reserve {
//!     id: ReservationId::timed(now, pool.bucket(), 42),
//!     namespace: pool.namespace.clone(),
//!     lines: vec![Line {
//!         sku: pool.sku.clone(),
//!         location: Some(pool.location.clone()),
//!         kind: pool.kind,
//!         lot: pool.lot.clone(),
//!         quantity: Quantity::new(2).ok_or("too many")?,
//!         minimum: Quantity::ZERO,
//!     }],
//!     owner: "shopper-1".parse()?,
//!     ttl: DurationMs::minutes(15),
//!     ttl_chosen: false,
//!     best_effort: false,
//!     zone: 0,
//!     shards: Vec::new(),
//! };
//! let mut ledger = Ledger::new(ShardId(1));
//! let applied = ledger.apply(
//!     LogIndex(1),
//!     &Batch {
//!         rules: RULES_NEWEST,
//!         time: now,
//!         digest: false,
//!         commands: vec![ask(Body::Receive(arrived)), ask(Body::Reserve(wanted))],
//!     },
//! );
//!
//! let Verdict::Done(Done::Reserved(reserved)) = &applied.outcomes[1].verdict else { return Err("refused".into()) };
//! assert_eq!(reserved.deadline, now.plus(DurationMs::minutes(15)));
//! let view = &ledger.stock(&pool.namespace, &pool.sku, None).map_err(|_| "not stocked")?[0];
//! assert_eq!((view.on_hand.units(), view.held.units(), view.sellable.units()), (3, 2, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod allocation;
mod apply;
pub mod cart;
pub mod codec;
pub mod command;
pub mod digest;
mod hashing;
mod idempotency;
mod invariants;
pub mod journal;
pub mod limits;
pub mod movement;
pub mod outcome;
pub mod planted;
mod query;
pub mod records;
pub mod settings;
mod state;
pub mod types;
mod validate;

pub use apply::{Applied, News};
pub use cart::Number;
pub use codec::Corrupt;
pub use digest::{Accumulator, Digest};
pub use hashing::seed_hash_maps;
pub use invariants::Violation;
pub use journal::BlockHash;
pub use limits::chosen_ttl;
pub use query::{ExpiringPage, ExpiringView, Fresh, LastMovement, Lookup, Remembered, Totals, Untold};
pub use records::RecordKey;
pub use state::{BucketRange, Changes, KEY_ROOM, Ledger, Loader, MetaState, Place, Records};
pub use validate::{validate, validate_settings};
