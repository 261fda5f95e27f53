//! Reads that several shards answer: each is asked at the level wanted, and the answers become one page.
//!
//! A page token is the key of an entry: the page goes on after it. A shard answers with entries in the order of their keys,
//! and tells up to which key they are all. So what several shards told is whole up to the lowest of these.

use super::{
    decode, encode, error,
    read::{Found, Source, forward_to, millis, other_than_asked, source_in},
};
use crate::{
    router::{Hop, READ_PATIENCE, Router},
    shard::{machine::Hot, proposer::Failure},
};
use bytes::Bytes;
use earmark_client::wire::v1::{self, operation::Body as Asked, operation_result::Body as Answered};
use earmark_ledger::{
    records::pool_key_bytes,
    types::{DurationMs, Location, Lot, Namespace, PoolKey, PoolKind, ShardId, Sku},
};
use prost::Message;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Bytes of a page: an answer is one message, and most clients take 4 MiB.
const PAGE_BYTES: usize = 1 << 20;

/// Lines of the reservations that one shard puts into a page.
const PAGE_LINES: usize = 5_000;

/// How a read is to be answered.
pub(super) struct Wanted<'a> {
    pub(super) level: v1::ReadLevel,
    pub(super) token: Option<&'a v1::Token>,
}

/// Asks every shard, all at once, and gives their answers. `only` is the one shard that a peer asks for.
pub(super) async fn ask<T>(
    router: &Router,
    shards: impl IntoIterator<Item = ShardId>,
    only: Option<ShardId>,
    wanted: &Wanted<'_>,
    asked: &Asked,
    answers: (impl Fn(&Source) -> T, impl Fn(Answered) -> Result<T, v1::Error>),
) -> Result<Vec<T>, v1::Error> {
    let (here, there) = answers;
    let (here, there) = (&here, &there);
    let hop = if only.is_some() { Hop::Forwarded } else { Hop::First };
    let shards: BTreeSet<ShardId> = match only {
        Some(shard) => BTreeSet::from([shard]),
        None => shards.into_iter().collect(),
    };
    let each = shards.into_iter().map(|shard| async move {
        match source_in(router, shard, wanted.level, wanted.token, hop).await? {
            Found::Here(source) => {
                // What a sale's hours and windows say is asked of this moment, not of the last entry's.
                if matches!(asked, Asked::DryRun(_)) && source.level == v1::ReadLevel::Linearizable {
                    source.replica.catch_up(Instant::now() + READ_PATIENCE).await.map_err(|failure| match failure {
                        Failure::Unknown => error::refused(v1::Code::NoQuorum, "leadership was lost meanwhile"),
                        other => router.failure(other),
                    })?;
                }
                Ok(here(&source))
            }
            Found::There(leader) => {
                let answered = forward_to(router, leader, shard, asked.clone()).await?;
                there(answered)
            }
        }
    });
    let told: Result<Vec<T>, v1::Error> = futures::future::join_all(each).await.into_iter().collect();
    told.map_err(|error| if only.is_some() { error } else { unhinted(error) })
}

/// A list belongs to no leader, so its sender must not take the leader of one shard for its own.
fn unhinted(error: v1::Error) -> v1::Error {
    match error.code() {
        v1::Code::NotLeader => error::refused(v1::Code::NoQuorum, error.message),
        _ => error,
    }
}

/// All shards that own buckets.
fn all_shards(router: &Router) -> Result<Vec<ShardId>, v1::Error> {
    Ok(router.map()?.ranges().map(|(_, _, shard)| shard).collect())
}

/// An entry of a list.
trait Entry: Message {
    /// Where it stands in the list.
    fn key(&self) -> Vec<u8>;
}

impl Entry for v1::PoolShortage {
    fn key(&self) -> Vec<u8> {
        let key = || {
            Some(PoolKey {
                namespace: Namespace::new(self.namespace.clone()).ok()?,
                sku: Sku::new(self.sku.clone()).ok()?,
                location: Location::new(self.location.clone()).ok()?,
                kind: PoolKind::from_tag(u8::try_from(self.kind).ok()?)?,
                lot: Lot::new(self.lot.clone()).ok()?,
            })
        };
        // A node told it, so it names a pool.
        key().map(|key| pool_key_bytes(&key).to_vec()).unwrap_or_default()
    }
}

impl Entry for v1::Reservation {
    fn key(&self) -> Vec<u8> {
        self.reservation_id.to_vec()
    }
}

impl Entry for v1::ExpiringHold {
    fn key(&self) -> Vec<u8> {
        [&self.deadline_ms.to_be_bytes()[..], &self.reservation_id].concat()
    }
}

/// What one shard told, or all of them.
struct Part<T> {
    entries: Vec<T>,
    /// Up to this key they are all; empty: there is no more.
    next: Bytes,
    facts: Facts,
}

/// How fresh it is.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) level: i32,
    pub(super) positions: Vec<v1::Position>,
    pub(super) as_of_ms: u64,
    pub(super) age_ms: u64,
}

impl Facts {
    pub(super) fn of(source: &Source, hot: &Hot) -> Self {
        Self {
            level: source.level.into(),
            positions: vec![encode::position(hot.position())],
            as_of_ms: hot.clock().0,
            age_ms: millis(source.age),
        }
    }

    /// Together they are as fresh as the least fresh.
    pub(super) fn merge(all: impl IntoIterator<Item = Self>) -> Self {
        let mut all = all.into_iter();
        let Some(mut merged) = all.next() else { return Self::default() };
        for other in all {
            // Numbered from the strongest on.
            merged.level = merged.level.max(other.level);
            merged.positions.extend(other.positions);
            merged.as_of_ms = merged.as_of_ms.min(other.as_of_ms);
            merged.age_ms = merged.age_ms.max(other.age_ms);
        }
        merged
    }
}

/// Cuts a page at so many entries and bytes. The first entry is always in it.
fn cut<T: Entry>(part: &mut Part<T>, size: usize) {
    let mut bytes = 0;
    let fits = |entry: &T| {
        bytes += entry.encoded_len() + 8;
        bytes <= PAGE_BYTES
    };
    let kept = part.entries.iter().take(size).map_while({
        let mut fits = fits;
        move |entry| fits(entry).then_some(())
    });
    let kept = kept.count().max(1);
    if part.entries.len() > kept {
        part.entries.truncate(kept);
        part.next = part.entries.last().map(|last| last.key().into()).unwrap_or_default();
    }
}

/// One page of what several shards told.
fn merge<T: Entry>(parts: Vec<Part<T>>, size: usize) -> Part<T> {
    let whole_to = parts.iter().filter(|part| !part.next.is_empty()).map(|part| part.next.clone()).min();
    let (mut keyed, mut facts) = (Vec::new(), Vec::new());
    for part in parts {
        keyed.extend(part.entries.into_iter().map(|entry| (entry.key(), entry)));
        facts.push(part.facts);
    }
    if let Some(whole_to) = &whole_to {
        keyed.retain(|(key, _)| key.as_slice() <= &whole_to[..]);
    }
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    let entries = keyed.into_iter().map(|(_, entry)| entry).collect();
    let mut page = Part { entries, next: whole_to.unwrap_or_default(), facts: Facts::merge(facts) };
    cut(&mut page, size);
    page
}

/// The answers that are a page: each is a message of its own with the same fields.
macro_rules! page {
    ($message:ident, $variant:ident, $field:ident: $entry:ident) => {
        impl From<Part<v1::$entry>> for v1::$message {
            fn from(part: Part<v1::$entry>) -> Self {
                let Facts { level, positions, as_of_ms, age_ms } = part.facts;
                Self { $field: part.entries, next_page_token: part.next, level, positions, as_of_ms, age_ms }
            }
        }

        impl TryFrom<Answered> for Part<v1::$entry> {
            type Error = v1::Error;

            fn try_from(answered: Answered) -> Result<Self, v1::Error> {
                match answered {
                    Answered::$variant(v1::$message {
                        $field,
                        next_page_token,
                        level,
                        positions,
                        as_of_ms,
                        age_ms,
                    }) => {
                        let facts = Facts { level, positions, as_of_ms, age_ms };
                        Ok(Self { entries: $field, next: next_page_token, facts })
                    }
                    other => Err(other_than_asked(other)),
                }
            }
        }
    };
}

page!(ListShortagesResponse, ListShortages, shortages: PoolShortage);
page!(ListReservationsResponse, ListReservations, reservations: Reservation);
page!(ListExpiringResponse, ListExpiring, holds: ExpiringHold);

/// Pools that are short.
///
/// # Errors
/// As told to the client.
pub async fn shortages(
    router: &Router,
    request: v1::ListShortagesRequest,
    only: Option<ShardId>,
) -> Result<v1::ListShortagesResponse, v1::Error> {
    let asked = decode::shortages_of(&request)?;
    let wanted = Wanted { level: asked.level, token: request.token.as_ref() };
    let here = |source: &Source| {
        let hot = source.replica.hot();
        let views = hot.ledger.shortages(&asked.namespace, asked.after.as_ref(), asked.size + 1);
        let entries = views.iter().map(encode::shortage).collect();
        let mut part = Part { entries, next: Bytes::new(), facts: Facts::of(source, &hot) };
        cut(&mut part, asked.size);
        part
    };
    let all = Asked::ListShortages(request.clone());
    let parts = ask(router, all_shards(router)?, only, &wanted, &all, (here, Part::try_from)).await?;
    Ok(merge(parts, asked.size).into())
}

/// Reservations of an owner that hold units.
///
/// # Errors
/// As told to the client.
pub async fn reservations(
    router: &Router,
    request: v1::ListReservationsRequest,
    only: Option<ShardId>,
) -> Result<v1::ListReservationsResponse, v1::Error> {
    let asked = decode::owner_of(&request)?;
    let wanted = Wanted { level: asked.level, token: request.token.as_ref() };
    let here = |source: &Source| {
        let hot = source.replica.hot();
        let (of, after) = (&asked.of, asked.after);
        let views = hot.ledger.reservations_page(&asked.namespace, of, after, asked.size + 1, PAGE_LINES);
        let lines: usize = views.iter().map(|view| view.lines.len()).sum();
        let entries: Vec<_> = views.iter().map(encode::reservation).collect();
        let next = entries.last().filter(|_| lines >= PAGE_LINES).map(|last| last.key().into());
        let mut part = Part { entries, next: next.unwrap_or_default(), facts: Facts::of(source, &hot) };
        cut(&mut part, asked.size);
        part
    };
    let all = Asked::ListReservations(request.clone());
    let parts = ask(router, all_shards(router)?, only, &wanted, &all, (here, Part::try_from)).await?;
    Ok(merge(parts, asked.size).into())
}

/// Holds that end soon.
///
/// # Errors
/// As told to the client.
pub async fn expiring(
    router: &Router,
    request: v1::ListExpiringRequest,
    only: Option<ShardId>,
) -> Result<v1::ListExpiringResponse, v1::Error> {
    let asked = decode::expiring_of(&request)?;
    let wanted = Wanted { level: asked.level, token: request.token.as_ref() };
    let now = router.server_time();
    let until = now.plus(asked.of).plus(DurationMs(1));
    let here = |source: &Source| {
        let hot = source.replica.hot();
        let page = hot.ledger.expiring_in(&asked.namespace, until, asked.after, asked.size);
        let hold = |hold: &earmark_ledger::ExpiringView| v1::ExpiringHold {
            reservation_id: hold.id.to_bytes().to_vec().into(),
            owner: hold.owner.to_string(),
            deadline_ms: hold.deadline.0,
        };
        let key = |(deadline, id): (earmark_ledger::types::TimeMs, earmark_ledger::types::ReservationId)| {
            Bytes::from([&deadline.0.to_be_bytes()[..], &id.to_bytes()].concat())
        };
        Part {
            entries: page.holds.iter().map(hold).collect(),
            next: page.upto.map(key).unwrap_or_default(),
            facts: Facts::of(source, &hot),
        }
    };
    let all = Asked::ListExpiring(request.clone());
    let parts = ask(router, all_shards(router)?, only, &wanted, &all, (here, Part::try_from)).await?;
    Ok(merge(parts, asked.size).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(ends: &[u64], next: Option<u64>) -> Part<v1::ExpiringHold> {
        let hold = |at: &u64| v1::ExpiringHold { deadline_ms: *at, ..Default::default() };
        let next = next.map(|at| Bytes::copy_from_slice(&at.to_be_bytes())).unwrap_or_default();
        Part { entries: ends.iter().map(hold).collect(), next, facts: Facts::default() }
    }

    fn ends(page: &Part<v1::ExpiringHold>) -> Vec<u64> {
        page.entries.iter().map(|hold| hold.deadline_ms).collect()
    }

    #[test]
    fn a_page_has_nothing_beyond_what_every_shard_told_whole() {
        let page = merge(vec![part(&[1, 4, 9], None), part(&[2, 3], Some(5))], 10);
        assert_eq!(ends(&page), [1, 2, 3, 4], "9 may have others of the second shard before it");
        assert_eq!(page.next, Bytes::copy_from_slice(&5_u64.to_be_bytes()));
        let page = merge(vec![part(&[1, 4], None), part(&[2], None)], 10);
        assert_eq!(ends(&page), [1, 2, 4]);
        assert!(page.next.is_empty(), "that is all");
    }

    #[test]
    fn a_page_ends_at_its_size_and_goes_on_there() {
        let page = merge(vec![part(&[1, 4], None), part(&[2, 3], None)], 3);
        assert_eq!(ends(&page), [1, 2, 3]);
        assert_eq!(page.next, Bytes::from(page.entries[2].key()));
        let page = merge(vec![part(&[], Some(7)), part(&[9], None)], 3);
        assert!(page.entries.is_empty(), "nothing up to 7, and it goes on");
        assert!(!page.next.is_empty());
    }

    #[test]
    fn a_page_ends_at_its_bytes() {
        let large = |at: u64| v1::ExpiringHold { deadline_ms: at, owner: "o".repeat(400_000), ..Default::default() };
        let whole = Part { entries: (1..=5).map(large).collect(), next: Bytes::new(), facts: Facts::default() };
        let page = merge(vec![whole], 10);
        assert_eq!(ends(&page), [1, 2]);
        assert_eq!(page.next, Bytes::from(page.entries[1].key()));
    }
}
