//! What can go wrong with a store. A refusal of the ledger is not among it: these say that the disk, or what was read
//! from it, failed.

use std::{fmt, io, sync::Arc};

/// Why an operation on an open store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An earlier write, sync or read failed: nothing is served until restart. A write answered so may be there after it.
    #[error("the store stopped after a failure: {0}")]
    Poisoned(Arc<str>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Bytes on disk are not what was written. The store is poisoned.
    #[error("{place} is damaged: {reason}")]
    Corrupt {
        /// Family and key.
        place: Arc<str>,
        /// What does not fit.
        reason: Arc<str>,
    },
    /// A newer snapshot took this operation's place: it had no effect.
    #[error("a newer snapshot of the shard took its place")]
    Superseded,
    /// The operation contradicts what the store holds, and had no effect.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The disk failed. The store is poisoned; a write may be there after restart.
    #[error("disk: {0}")]
    Io(Arc<str>),
}

/// What an operation contradicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An incarnation never falls.
    IncarnationFalls {
        /// The one in force.
        present: u32,
        /// The one asked for.
        asked: u32,
    },
    /// A new incarnation begins empty: wipe first.
    NotEmpty,
    /// A node keeps the identity it was given.
    OtherIdentity,
    /// Records of a snapshot come in the order of their keys.
    Disorder,
    /// A log has no hole.
    Hole {
        /// The only index that can follow.
        expected: u64,
        /// The one that came.
        found: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IncarnationFalls { present, asked } => write!(f, "incarnation {asked} after {present}"),
            Self::NotEmpty => f.write_str("the replica still holds data of its last incarnation"),
            Self::OtherIdentity => f.write_str("the node has another identity"),
            Self::Disorder => f.write_str("the records of a snapshot are not in order"),
            Self::Hole { expected, found } => write!(f, "log entry {found} where {expected} must follow"),
        }
    }
}

impl StoreError {
    /// Bytes at `place` are not what was written.
    pub(super) fn corrupt(place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Corrupt { place: place.to_string().into(), reason: reason.to_string().into() }
    }

    /// The disk failed.
    pub(crate) fn io(reason: impl fmt::Display) -> Self {
        Self::Io(reason.to_string().into())
    }

    /// Whether the store must not be used any further.
    pub(super) fn poisons(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Io(_))
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}

/// Why a data folder could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// What is there cannot be trusted: set it aside and re-seed the node.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Written by a newer version of the program.
    #[error("the store has format {found}, this program knows {known}")]
    NewerFormat {
        /// Format of the store.
        found: u32,
        /// Newest format this program reads.
        known: u32,
    },
    /// Another process, or an earlier opening in this one, holds the folder.
    #[error("the folder is in use by another process")]
    Busy,
    /// The disk failed.
    #[error("disk: {0}")]
    Io(String),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::Damaged(error.to_string()),
            StoreError::Poisoned(_)
            | StoreError::Closed
            | StoreError::Superseded
            | StoreError::Refused(_)
            | StoreError::Io(_) => Self::Io(error.to_string()),
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}
