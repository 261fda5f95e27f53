//! The commonest commands, written into an entry and read from one without messages in between: reserves, and whole commits and
//! releases. The bytes are those of the messages in [`command`](super::command); what is not written as this build writes it
//! is left to them, and so is telling what is wrong.
//!
//! A log entry has thousands of commands and is read on every node. By way of messages each was copied six times, and its
//! lengths were counted again on every level.

use super::{
    pool::{halves, kind, operation_id, quantity, reservation_id},
    reader::{DELIMITED, FIXED_64, Reader, VARINT, key},
    writer::{
        bytes_len, delimited_len, flag_len, number_len, put_bytes, put_fixed, put_flag, put_length, put_number,
        put_varint, varint_len,
    },
};
use crate::{
    command::{Batch, Body, Command, Commit, Context, Line, Release, Reserve},
    types::{
        DurationMs, Location, Lot, Namespace, OperationId, Owner, Principal, RequestId, Session, ShardId, Sku, TimeMs,
        TraceParent,
    },
};
use bytes::Bytes;

/// Tags of a command's bodies.
const RESERVE: u8 = 10;
const COMMIT: u8 = 11;
const RELEASE: u8 = 12;

/// No command has fewer bytes with its length: an id takes as many.
const COMMAND_BYTES_MIN: usize = 16;

/// The zone of a reserve has tag 40.
const ZONE: [u8; 2] = [0xc0, 0x02];

/// How many bytes a command takes, without its own length, and how many of them its body; none if it is not one of the
/// commonest.
pub(super) fn command_len(command: &Command) -> Option<(usize, usize)> {
    let body = body_len(&command.body)?;
    let context = &command.context;
    let texts = [
        context.principal.as_bytes(),
        context.session.as_bytes(),
        context.request_id.as_bytes(),
        context.trace_parent.as_bytes(),
    ];
    let head: usize = texts.into_iter().map(bytes_len).sum();
    let head = head + number_len(command.not_after.0) + number_len(command.attempt.into()) + flag_len(command.heard);
    Some((head + delimited_len(body), body))
}

/// Writes a command that has a [`command_len`], whose body takes so many bytes.
pub(super) fn put_command(out: &mut Vec<u8>, command: &Command, body: usize) {
    let context = &command.context;
    put_bytes(out, 1, context.principal.as_bytes());
    put_bytes(out, 2, context.session.as_bytes());
    put_bytes(out, 3, context.request_id.as_bytes());
    put_bytes(out, 4, context.trace_parent.as_bytes());
    put_number(out, 5, command.not_after.0);
    put_number(out, 6, command.attempt.into());
    put_flag(out, 7, command.heard);
    match &command.body {
        Body::Reserve(reserve) => {
            put_length(out, RESERVE, body);
            put_reserve(out, reserve);
        }
        Body::Commit(commit) => {
            put_length(out, COMMIT, body);
            put_halves(out, commit.id.to_bytes());
            put_operation(out, commit.operation);
            put_flag(out, 5, commit.keep_rest);
            put_flag(out, 6, commit.revive);
        }
        Body::Release(release) => {
            put_length(out, RELEASE, body);
            put_halves(out, release.id.to_bytes());
            put_operation(out, release.operation);
        }
        _ => {}
    }
}

fn body_len(body: &Body) -> Option<usize> {
    match body {
        Body::Reserve(reserve) => Some(reserve_len(reserve)),
        Body::Commit(commit) if commit.parts.is_empty() => {
            let ids = halves_len(commit.id.to_bytes()) + operation_len(commit.operation);
            Some(ids + flag_len(commit.keep_rest) + flag_len(commit.revive))
        }
        Body::Release(release) if release.parts.is_empty() => {
            Some(halves_len(release.id.to_bytes()) + operation_len(release.operation))
        }
        _ => None,
    }
}

fn reserve_len(reserve: &Reserve) -> usize {
    let line = |line: &Line| delimited_len(line_len(line));
    let lines: usize = reserve.lines.iter().map(line).sum();
    let zone = if reserve.zone == 0 { 0 } else { ZONE.len() + varint_len(reserve.zone.into()) };
    let shards = match shards_len(reserve) {
        0 => 0,
        length => delimited_len(length),
    };
    halves_len(reserve.id.to_bytes())
        + bytes_len(reserve.namespace.as_bytes())
        + lines
        + bytes_len(reserve.owner.as_bytes())
        + number_len(reserve.ttl.0)
        + flag_len(reserve.best_effort)
        + flag_len(reserve.ttl_chosen)
        + shards
        + zone
}

fn shards_len(reserve: &Reserve) -> usize {
    reserve.shards.iter().map(|shard| varint_len(shard.0.into())).sum()
}

fn put_reserve(out: &mut Vec<u8>, reserve: &Reserve) {
    put_halves(out, reserve.id.to_bytes());
    put_bytes(out, 3, reserve.namespace.as_bytes());
    for line in &reserve.lines {
        put_length(out, 4, line_len(line));
        put_bytes(out, 1, line.sku.as_bytes());
        put_bytes(out, 2, line.location.as_ref().map_or(&[], Location::as_bytes));
        put_number(out, 3, line.kind.tag().into());
        put_bytes(out, 4, line.lot.as_bytes());
        put_number(out, 5, line.quantity.units());
        put_number(out, 6, line.minimum.units());
    }
    put_bytes(out, 5, reserve.owner.as_bytes());
    put_number(out, 6, reserve.ttl.0);
    put_flag(out, 7, reserve.best_effort);
    put_flag(out, 8, reserve.ttl_chosen);
    if !reserve.shards.is_empty() {
        put_length(out, 9, shards_len(reserve));
        reserve.shards.iter().for_each(|shard| put_varint(out, shard.0.into()));
    }
    if reserve.zone > 0 {
        out.extend_from_slice(&ZONE);
        put_varint(out, reserve.zone.into());
    }
}

fn line_len(line: &Line) -> usize {
    bytes_len(line.sku.as_bytes())
        + bytes_len(line.location.as_ref().map_or(&[], Location::as_bytes))
        + number_len(line.kind.tag().into())
        + bytes_len(line.lot.as_bytes())
        + number_len(line.quantity.units())
        + number_len(line.minimum.units())
}

fn halves_len(id: [u8; 16]) -> usize {
    let (high, low) = halves(id);
    [high, low].into_iter().filter(|half| *half != 0).count() * 9
}

fn operation_len(operation: Option<OperationId>) -> usize {
    // Its length is below 128.
    operation.map_or(0, |id| 2 + halves_len(id.to_bytes()))
}

fn put_halves(out: &mut Vec<u8>, id: [u8; 16]) {
    let (high, low) = halves(id);
    put_fixed(out, 1, high);
    put_fixed(out, 2, low);
}

fn put_operation(out: &mut Vec<u8>, operation: Option<OperationId>) {
    if let Some(id) = operation {
        put_length(out, 3, halves_len(id.to_bytes()));
        put_halves(out, id.to_bytes());
    }
}

/// Reads a batch whose commands are written as this build writes them; none if anything else is there. `other` reads the
/// commands that are not among the commonest.
pub(super) fn batch(bytes: &Bytes, other: impl Fn(Bytes) -> Option<Command>) -> Option<Batch> {
    let mut batch = Batch { rules: 0, time: TimeMs(0), digest: false, commands: Vec::new() };
    let mut reader = Reader::new(bytes);
    batch.commands.reserve_exact(reader.count(KEY_COMMAND)?.min(bytes.len() / COMMAND_BYTES_MIN));
    while let Some(field) = reader.key() {
        match field {
            KEY_RULES => batch.rules = reader.number()?.try_into().ok()?,
            KEY_TIME => batch.time = TimeMs(reader.number()?),
            KEY_DIGEST => batch.digest = reader.flag()?,
            KEY_COMMAND => {
                let inner = reader.inner()?;
                batch.commands.push(match inner.command() {
                    Some(command) => command,
                    None => other(inner.shared())?,
                });
            }
            _ => return None,
        }
    }
    Some(batch)
}

const KEY_RULES: u8 = key(1, VARINT);
const KEY_TIME: u8 = key(2, VARINT);
const KEY_DIGEST: u8 = key(3, VARINT);
const KEY_COMMAND: u8 = key(4, DELIMITED);

impl Reader<'_> {
    fn command(mut self) -> Option<Command> {
        let (mut context, mut not_after, mut attempt, mut heard) = (Context::default(), 0, 0, false);
        let mut body = None;
        while let Some(field) = self.key() {
            match field {
                KEY_PRINCIPAL => context.principal = Principal::new(self.text()?).ok()?,
                KEY_SESSION => context.session = Session::new(self.text()?).ok()?,
                KEY_REQUEST_ID => context.request_id = RequestId::new(self.text()?).ok()?,
                KEY_TRACE_PARENT => context.trace_parent = TraceParent::new(self.text()?).ok()?,
                KEY_NOT_AFTER => not_after = self.number()?,
                KEY_ATTEMPT => attempt = self.number()?.try_into().ok()?,
                KEY_HEARD => heard = self.flag()?,
                KEY_RESERVE if body.is_none() => body = Some(Body::Reserve(self.inner()?.reserve()?)),
                KEY_COMMIT if body.is_none() => body = Some(Body::Commit(self.inner()?.commit()?)),
                KEY_RELEASE if body.is_none() => body = Some(Body::Release(self.inner()?.release()?)),
                _ => return None,
            }
        }
        Some(Command { context, not_after: TimeMs(not_after), attempt, heard, body: body? })
    }

    fn reserve(mut self) -> Option<Reserve> {
        let (mut high, mut low) = (0, 0);
        let mut namespace = Bytes::new();
        let mut owner = Bytes::new();
        let (mut ttl, mut best_effort, mut ttl_chosen, mut zone) = (0, false, false, 0);
        // Most have one line. By itself a vector would make room for four.
        let (mut lines, mut shards) = (Vec::with_capacity(1), Vec::new());
        while let Some(field) = self.key() {
            match field {
                KEY_HIGH => high = self.fixed()?,
                KEY_LOW => low = self.fixed()?,
                KEY_NAMESPACE => namespace = self.text()?,
                KEY_LINE => {
                    let line = self.inner()?.line()?;
                    lines.push(line);
                }
                KEY_OWNER => owner = self.text()?,
                KEY_TTL => ttl = self.number()?,
                KEY_BEST_EFFORT => best_effort = self.flag()?,
                KEY_TTL_CHOSEN => ttl_chosen = self.flag()?,
                KEY_SHARDS if shards.is_empty() => {
                    let mut inner = self.inner()?;
                    while !inner.is_over() {
                        shards.push(ShardId(inner.number()?.try_into().ok()?));
                    }
                }
                first if first == ZONE[0] && self.key() == Some(ZONE[1]) => zone = self.number()?.try_into().ok()?,
                _ => return None,
            }
        }
        Some(Reserve {
            id: reservation_id(high, low).ok()?,
            namespace: Namespace::new(namespace).ok()?,
            lines,
            owner: Owner::new(owner).ok()?,
            ttl: DurationMs(ttl),
            ttl_chosen,
            best_effort,
            zone,
            shards,
        })
    }

    fn line(mut self) -> Option<Line> {
        let (mut sku, mut location, mut lot) = (Bytes::new(), None, Bytes::new());
        let (mut tag, mut units, mut minimum) = (0, 0, 0);
        while let Some(field) = self.key() {
            match field {
                KEY_SKU => sku = self.text()?,
                KEY_LOCATION => location = Some(Location::new(self.text()?).ok()?),
                KEY_KIND => tag = self.number()?,
                KEY_LOT => lot = self.text()?,
                KEY_QUANTITY => units = self.number()?,
                KEY_MINIMUM => minimum = self.number()?,
                _ => return None,
            }
        }
        Some(Line {
            sku: Sku::new(sku).ok()?,
            location,
            kind: kind(tag.try_into().ok()?).ok()?,
            lot: Lot::new(lot).ok()?,
            quantity: quantity(units).ok()?,
            minimum: quantity(minimum).ok()?,
        })
    }

    fn commit(mut self) -> Option<Commit> {
        let (mut high, mut low, mut operation) = (0, 0, None);
        let (mut keep_rest, mut revive) = (false, false);
        while let Some(field) = self.key() {
            match field {
                KEY_HIGH => high = self.fixed()?,
                KEY_LOW => low = self.fixed()?,
                KEY_OPERATION if operation.is_none() => operation = Some(self.inner()?.operation()?),
                KEY_KEEP_REST => keep_rest = self.flag()?,
                KEY_REVIVE => revive = self.flag()?,
                _ => return None,
            }
        }
        Some(Commit { id: reservation_id(high, low).ok()?, operation, parts: Vec::new(), keep_rest, revive })
    }

    fn release(mut self) -> Option<Release> {
        let (mut high, mut low, mut operation) = (0, 0, None);
        while let Some(field) = self.key() {
            match field {
                KEY_HIGH => high = self.fixed()?,
                KEY_LOW => low = self.fixed()?,
                KEY_OPERATION if operation.is_none() => operation = Some(self.inner()?.operation()?),
                _ => return None,
            }
        }
        Some(Release { id: reservation_id(high, low).ok()?, operation, parts: Vec::new() })
    }

    fn operation(mut self) -> Option<OperationId> {
        let (mut high, mut low) = (0, 0);
        while let Some(field) = self.key() {
            match field {
                KEY_HIGH => high = self.fixed()?,
                KEY_LOW => low = self.fixed()?,
                _ => return None,
            }
        }
        operation_id(high, low).ok()
    }
}

// Of a command.
const KEY_PRINCIPAL: u8 = key(1, DELIMITED);
const KEY_SESSION: u8 = key(2, DELIMITED);
const KEY_REQUEST_ID: u8 = key(3, DELIMITED);
const KEY_TRACE_PARENT: u8 = key(4, DELIMITED);
const KEY_NOT_AFTER: u8 = key(5, VARINT);
const KEY_ATTEMPT: u8 = key(6, VARINT);
const KEY_HEARD: u8 = key(7, VARINT);
const KEY_RESERVE: u8 = key(RESERVE, DELIMITED);
const KEY_COMMIT: u8 = key(COMMIT, DELIMITED);
const KEY_RELEASE: u8 = key(RELEASE, DELIMITED);

// Of whatever has an id.
const KEY_HIGH: u8 = key(1, FIXED_64);
const KEY_LOW: u8 = key(2, FIXED_64);

// Of a reserve.
const KEY_NAMESPACE: u8 = key(3, DELIMITED);
const KEY_LINE: u8 = key(4, DELIMITED);
const KEY_OWNER: u8 = key(5, DELIMITED);
const KEY_TTL: u8 = key(6, VARINT);
const KEY_BEST_EFFORT: u8 = key(7, VARINT);
const KEY_TTL_CHOSEN: u8 = key(8, VARINT);
const KEY_SHARDS: u8 = key(9, DELIMITED);

// Of a line.
const KEY_SKU: u8 = key(1, DELIMITED);
const KEY_LOCATION: u8 = key(2, DELIMITED);
const KEY_KIND: u8 = key(3, VARINT);
const KEY_LOT: u8 = key(4, DELIMITED);
const KEY_QUANTITY: u8 = key(5, VARINT);
const KEY_MINIMUM: u8 = key(6, VARINT);

// Of a commit or a release.
const KEY_OPERATION: u8 = key(3, DELIMITED);
const KEY_KEEP_REST: u8 = key(5, VARINT);
const KEY_REVIVE: u8 = key(6, VARINT);
