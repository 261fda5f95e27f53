//! The Rust SDK of Earmark, and its public wire contract.
//!
//! Earmark is a distributed ledger for stock. A service *reserves* units of a SKU for a shopper for some minutes, then
//! *commits* them (they are sold) or *releases* them; what is neither expires. However many ask at once, and whatever
//! crashes, the last unit is sold once.
//!
//! ```no_run
//! use earmark_client::{Client, Code};
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), earmark_client::Error> {
//!     let client = Client::connect(["127.0.0.1:7400"]).await?;
//!     client.receive("lamp-01", "main", 10).send().await?;
//!
//!     let held = client.reserve().line("lamp-01", "main", 2).owner("cart-77").ttl(Duration::from_secs(900)).send().await;
//!     match held {
//!         Ok(reservation) => {
//!             // ... the shopper pays ...
//!             reservation.commit().await?;
//!         }
//!         Err(error) if error.code() == Code::InsufficientStock => println!("sold out: {:?}", error.shortages()),
//!         Err(error) => return Err(error),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What an error says
//!
//! The SDK sends an operation again, with the same id, until it has an end or its deadline is over; an id is done at most
//! once. [`Error`] then answers three questions: is it worth a retry ([`Error::retry`]), did it surely have no effect
//! ([`Error::surely_no_effect`]), is its result unknown ([`Error::is_unknown`]). A timeout is never told as a refusal: if
//! a try was sent and not answered, and the log did not settle the matter, the result is unknown, and asking again with the
//! id that the error carries tells it.
//!
//! # How it works
//!
//! One connection and one *session stream* for each node carry all operations: many in flight, each under a tag, as many
//! as the server gives credit for. What gathers while the writer is busy travels as one frame, and nothing waits while it
//! is idle. Operations go to the leader of the shard that owns their bucket, by a map that any node tells and that
//! redirects correct. [`Client::batch`] is for work that comes in bulk.
//!
//! # What it relies on
//!
//! A tokio runtime. Beside the network, a clock and randomness come in by [`Environment`] and connections by
//! [`Connector`], so the same SDK runs in a deterministic simulation.
#![forbid(unsafe_code)]

mod batch;
mod call;
mod client;
mod cluster;
mod config;
mod environment;
mod error;
mod in_flight;
mod link;
mod model;
pub mod outcomes;
mod queue;
mod request;
mod reservation;
mod retry;
mod routing;
mod session;
pub mod status;
mod time;
mod token;
mod transport;
mod window;
pub mod wire;

pub use client::Client;
pub use cluster::{Cluster, Reseed};
pub use config::Builder;
pub use environment::{Environment, System};
pub use error::{Code, Error, FieldViolation, Retry, Shortage, Subject};
pub use model::{
    Allocation, Change, DryRun, ExpectedReceipt, ExpiringHold, Extent, HoldAtRisk, Level, LineGot, LineInfo, Page,
    PageToken, Pool, PoolShortage, ReservationInfo, ReservationRead, Reserved, SettingsChange, SettingsRead,
    SkuSettings, Stock, StockChange, StockCorrection, Strategy, TransferInfo, Transferred, UnitLimit, WouldHold,
};
pub use request::{
    Adjust, Answer, Arrive, Cancel, Commit, Configure, Count, Disposition, Expect, Extend, GetReservation, GetSettings,
    GetStock, Line, ListExpiring, ListInTransit, ListReservations, ListShortages, MarkPaying, Operation, Part,
    Quarantine, Receive, Release, Replace, Reserve, Return, Set, Ship, Transfer, TryReserve,
};
pub use reservation::Reservation;
pub use token::Token;
pub use transport::{BoxError, Connector, endpoint};

pub use earmark_ledger::outcome::ReservationState;
pub use earmark_ledger::settings::Deduct;
pub use earmark_ledger::types::{
    Bucket, Epoch, LogIndex, OperationId, PoolKind, Position, ReservationId, ShardId, TimeMs,
};
