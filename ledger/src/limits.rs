//! Every limit of the ledger, with the place its number comes from.
//!
//! They are part of the rules: two replicas with different limits would diverge, so a change of any of them is a new
//! rules version.

use crate::types::DurationMs;

/// Lines of one reservation, and parts of one commit or release.
pub const LINES_MAX: usize = 500;

/// The shortest time a hold may be asked for.
pub const TTL_MIN: DurationMs = DurationMs::seconds(1);

/// The longest time a hold may be asked for.
pub const TTL_MAX: DurationMs = DurationMs::days(31);

/// How long a hold may live in all by extending it, unless its first time to live was longer.
pub const LIFE_MAX: DurationMs = DurationMs::minutes(60);

/// By how much the deadline of a hold whose shopper is paying moves where nothing else is asked for.
pub const PAYING_GRACE: DurationMs = DurationMs::seconds(120);

/// The longest such grace.
pub const PAYING_GRACE_MAX: DurationMs = DurationMs::minutes(30);

/// How far ahead of the ledger an id may be dated: more is a broken clock.
pub const ID_AHEAD_MAX: DurationMs = DurationMs::minutes(5);

/// The stated bound of the clocks. A remembered refusal outlives its `not_after` by this much.
pub const CLOCK_BOUND: DurationMs = DurationMs(500);

/// How long outcomes that had an effect are remembered.
pub const RETENTION: DurationMs = DurationMs::days(7);

/// How long the record of a reservation with sold units stays, so that they can be returned.
pub const RETURN_WINDOW: DurationMs = DurationMs::days(400);

/// Ids younger than this are always in memory: twice the longest `not_after`.
pub const HOT_WINDOW: DurationMs = DurationMs::seconds(60);

/// How many lines of overdue holds one entry ends before its first command. The hold that reaches it is still ended
/// whole.
pub const EXPIRY_PER_ENTRY: u32 = 1_000;

/// How many more lines of overdue holds the commands of one entry may end because they lack units.
pub const EXPIRY_ON_DEMAND: u32 = 1_000;

/// How long the lines of a cart over several shards may be prepared before it is given up.
pub const PREPARE_TIMEOUT: DurationMs = DurationMs::seconds(2);

/// How many messages of a home one participant may leave unanswered before no more carts with lines there are begun:
/// some megabytes of a home's memory. Decisions about carts that are held go out whatever their number.
pub const UNANSWERED_MAX: usize = 20_000;

/// How many records of carts whose home is elsewhere one message may drop once home's floor is above them. More than a
/// message adds, so they can't pile up.
pub const PARTS_FORGOTTEN_PER_ENTRY: u32 = 16;

/// How many remembered refusals one entry drops once their time is over. More than an entry adds, so they can't pile
/// up.
pub const REFUSALS_DROPPED_PER_ENTRY: u32 = 20_000;

/// Stock shards of a cluster.
pub const SHARDS_MAX: u32 = 1_024;

/// Nodes a cluster may be formed of.
pub const NODES_MAX: usize = 1_024;

/// Bytes of an endpoint or label of a node: a DNS name and a port.
pub const ENDPOINT_BYTES_MAX: usize = 261;

/// Receipts announced for one pool.
pub const EXPECTED_MAX: usize = 32;

/// Transfers of one SKU that are under way.
pub const TRANSFERS_MAX: usize = 1_000;

/// Holds a shortage looks at to tell which are the newest, from the one that is due last. It is told with every count,
/// so it must not depend on how many holds a pool has.
pub const AT_RISK_SEEN: usize = 256;

/// Holds a shortage names.
pub const AT_RISK_TOLD: usize = 20;

/// Over how many locations one line may be split, and how many are chosen from where no policy says.
pub const PLACES_MAX: u32 = 16;

/// Locations a policy may name.
pub const POLICY_LOCATIONS_MAX: usize = 128;

/// Reservations of one owner that are counted at a time for the limits of one SKU.
pub const COUNTED_MAX: u64 = 1_000;

/// The longest time a sale may count for a limit, and the longest cancel or return window.
pub const WINDOW_MAX: DurationMs = RETURN_WINDOW;

/// Of how many owners one entry drops what counts no more. More than an entry adds, so they can't pile up.
pub const USES_DROPPED_PER_ENTRY: u32 = 20_000;

/// The time to live of a hold where neither the request nor the SKU names one.
pub const fn chosen_ttl() -> DurationMs {
    DurationMs::minutes(15)
}

// A duplicate is at most HOT_WINDOW old when it takes effect, so the record that answers it must still be there.
const _: () = assert!(RETENTION.0 > HOT_WINDOW.0 + ID_AHEAD_MAX.0);
const _: () = assert!(RETURN_WINDOW.0 > RETENTION.0);
const _: () = assert!(TTL_MIN.0 <= chosen_ttl().0 && chosen_ttl().0 <= LIFE_MAX.0 && LIFE_MAX.0 <= TTL_MAX.0);
