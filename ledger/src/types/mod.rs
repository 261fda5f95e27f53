//! The small values everything else is made of: newtypes that cannot be mixed up, with their limits.

mod id;
mod place;
mod quantity;
mod text;
mod time;

pub use id::{BadId, IdKind, OperationId, ReservationId};
pub use place::{BUCKETS, Bucket, Epoch, LogIndex, PoolKey, PoolKind, Position, ShardId};
pub use quantity::{LINE_QUANTITY_MAX, POOL_QUANTITY_MAX, Quantity};
pub use text::{
    BadText, Document, Location, Lot, Namespace, Owner, Principal, Reason, RequestId, Session, Sku, Text, TraceParent,
};
pub use time::{DurationMs, TimeMs};
