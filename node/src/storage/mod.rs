//! What is durable on a node. `docs/storage.md` gives every key and frame byte by byte.
//!
//! A [`Store`] is one RocksDB with one writer in front, shared by all shards of the node. The writer makes one batch and
//! one sync of whatever waits. Beside RocksDB lies a file of high-water marks that tells at the next opening whether
//! anything that was synced is gone ([`Continuity`]); other nodes remember the same marks.
//!
//! | file | subject |
//! |---|---|
//! | `store`, `replica_store` | the handles that the rest of the node uses |
//! | `log`, `tail` | a shard's Raft log, for openraft |
//! | `install`, `view` | a snapshot on its way in, and on its way out |
//! | `queue`, `writer` | group commit over all shards |
//! | `way` | long work lends its processor |
//! | `mark`, `marks`, `mark_file`, `load` | what must be there at the next start, and is it |
//! | `keys`, `format`, `records` | bytes on disk |
//! | `engine` | the border to the disk |
//! | `folder`, `rocks`, `rocks_view`, `rocks_table`, `direct` | the real disk |
//! | `watch`, `leaving`, `long` | its files |
//! | `simulated` | the simulated one |
//! | `conformance` | one suite for both |
//!
//! After a failed write, sync or checksum a store is *poisoned*: every later operation fails until restart, because a
//! sync that failed once may claim success the next time without having written anything.

#[cfg(test)]
mod conformance;
mod direct;
mod engine;
mod error;
mod folder;
pub mod format;
mod inner;
mod install;
pub mod keys;
mod leaving;
mod load;
mod log;
mod long;
mod mark;
mod mark_file;
mod marks;
mod queue;
pub mod records;
mod replica;
mod replica_store;
mod rocks;
mod rocks_table;
mod rocks_view;
pub mod simulated;
mod sizes;
mod store;
mod tail;
mod thread;
mod view;
mod watch;
mod way;
mod writer;

pub use engine::{Batch, Change, Disk, Engine, Family, Records, Table, View, Visit};
pub use error::{OpenError, Refusal, StoreError};
pub use folder::Folder;
pub use inner::Stats;
pub use install::Install;
pub use load::Continuity;
pub use log::LogStore;
pub use mark::Mark;
pub use replica::{JournalFloor, Restored};
pub use replica_store::{Checkpoint, ReplicaStore};
pub use rocks::RocksOptions;
pub use simulated::{Call, Effect, Failure, Found, Image, PowerLoss, SimulatedDisk};
pub use store::{Identity, Store};
pub use view::StateView;
pub use way::Way;
