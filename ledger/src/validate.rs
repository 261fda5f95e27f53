//! Is a request well formed? All its bad fields at once, named as in the public contract.
//!
//! Asked twice: by the first node at the border, with its own time, and by apply, with the ledger's clock, because what
//! stands in the log is not trusted to have passed the border.

mod sale;
mod stock;

pub use stock::validate_settings;

use crate::{
    command::{Adjust, Body, Command, Form, Line, Meta, Part, Reserve},
    limits::{ENDPOINT_BYTES_MAX, ID_AHEAD_MAX, LINES_MAX, NODES_MAX, SHARDS_MAX, TTL_MAX, TTL_MIN},
    outcome::BadField,
    types::{DurationMs, LINE_QUANTITY_MAX, OperationId, POOL_QUANTITY_MAX, Quantity, ShardId, TimeMs},
};
use std::{collections::BTreeMap, fmt};

/// Every bad field of `command` at `server_time`; none if it is well formed.
pub fn validate(command: &Command, server_time: TimeMs) -> Vec<BadField> {
    let mut fields = Fields(Vec::new());
    match &command.body {
        Body::Reserve(reserve) => fields.reserve(reserve, server_time),
        Body::Commit(commit) => fields.commit(commit, server_time),
        Body::Release(release) => fields.parts(&release.parts, release.operation, server_time),
        Body::Extend(extend) => {
            fields.operation(extend.operation, server_time);
            fields.ttl(extend.ttl);
        }
        Body::Receive(receive) => {
            fields.operation(receive.operation, server_time);
            if receive.quantity.is_zero() {
                fields.bad("quantity", "must be at least 1");
            }
        }
        Body::Adjust(adjust) => fields.adjust(adjust, server_time),
        Body::Forget(_) | Body::Cart(_) => {}
        Body::Meta(Meta::Form(form)) => fields.form(form),
        Body::Stockkeeping(asked) => fields.stockkeeping(asked, server_time),
        Body::Replace(replace) => fields.replace(replace, server_time),
        Body::MarkPaying(paying) => fields.paying(paying, server_time),
        Body::Ship(ship) => fields.ship(ship, server_time),
        Body::Cancel(cancel) => fields.cancel(cancel, server_time),
        Body::Return(back) => fields.take_return(back, server_time),
    }
    fields.0
}

/// A bad field as plain data.
pub(crate) fn bad_field(field: impl fmt::Display, problem: impl fmt::Display) -> BadField {
    BadField { field: field.to_string(), problem: problem.to_string() }
}

struct Fields(Vec<BadField>);

impl Fields {
    #[cold]
    fn bad(&mut self, field: impl fmt::Display, problem: impl fmt::Display) {
        self.0.push(bad_field(field, problem));
    }

    fn id_time(&mut self, field: &str, made: TimeMs, now: TimeMs) {
        if made > now.plus(ID_AHEAD_MAX) {
            self.bad(field, format_args!("is dated {} ahead of the server", made.since(now)));
        }
    }

    fn operation(&mut self, id: OperationId, now: TimeMs) {
        self.id_time("operation_id", id.time(), now);
    }

    fn ttl(&mut self, ttl: DurationMs) {
        if ttl < TTL_MIN || ttl > TTL_MAX {
            self.bad("ttl_ms", format_args!("must be {} to {}", TTL_MIN.0, TTL_MAX.0));
        }
    }

    fn reserve(&mut self, reserve: &Reserve, now: TimeMs) {
        self.id_time("reservation_id", reserve.id.time(), now);
        self.ttl(reserve.ttl);
        self.lines(&reserve.lines, &reserve.shards, reserve.best_effort);
    }

    fn lines(&mut self, lines: &[Line], shards: &[ShardId], best_effort: bool) {
        if lines.is_empty() || lines.len() > LINES_MAX {
            self.bad("lines", format_args!("must be 1 to {LINES_MAX}"));
        }
        if !shards.is_empty() && shards.len() != lines.len() {
            self.bad("shards", "must be as many as the lines, or none");
        }
        let mut total = 0_u64;
        for (at, line) in lines.iter().enumerate() {
            let good = self.quantity("lines", at, line.quantity);
            total = total.saturating_add(line.quantity.units());
            if line.minimum.is_zero() {
                continue;
            }
            if !best_effort {
                self.bad(format_args!("lines[{at}].minimum"), "needs best_effort");
            } else if good && line.minimum > line.quantity {
                self.bad(format_args!("lines[{at}].minimum"), "must be at most the quantity");
            }
        }
        if total > LINE_QUANTITY_MAX && self.0.is_empty() {
            self.sums(lines);
        }
    }

    /// Lines of one pool together are one line, and so limited as one.
    fn sums(&mut self, lines: &[Line]) {
        let mut sums = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            let sum = sums.entry((&line.sku, &line.location, line.kind, &line.lot)).or_insert(0_u64);
            // At most 500 lines of 10^9 each.
            *sum += line.quantity.units();
            if *sum > LINE_QUANTITY_MAX {
                let problem = format_args!("with the lines of the same pool before it is beyond {LINE_QUANTITY_MAX}");
                self.bad(format_args!("lines[{at}].quantity"), problem);
            }
        }
    }

    fn quantity(&mut self, list: &str, at: usize, quantity: Quantity) -> bool {
        let good = (1..=LINE_QUANTITY_MAX).contains(&quantity.units());
        if !good {
            self.bad(format_args!("{list}[{at}].quantity"), format_args!("must be 1 to {LINE_QUANTITY_MAX}"));
        }
        good
    }

    fn parts(&mut self, parts: &[Part], operation: Option<OperationId>, now: TimeMs) {
        if parts.is_empty() {
            return;
        }
        match operation {
            Some(id) => self.operation(id, now),
            None => self.bad("operation_id", "is required where parts are named"),
        }
        self.named(parts);
    }

    fn named(&mut self, parts: &[Part]) {
        if parts.len() > LINES_MAX {
            self.bad("parts", format_args!("must be at most {LINES_MAX}"));
        }
        for (at, part) in parts.iter().enumerate() {
            self.quantity("parts", at, part.quantity);
        }
    }

    fn adjust(&mut self, adjust: &Adjust, now: TimeMs) {
        self.operation(adjust.operation, now);
        if adjust.delta == 0 {
            self.bad("delta", "must not be 0");
        }
        if adjust.delta.unsigned_abs() > POOL_QUANTITY_MAX {
            self.bad("delta", "is beyond 2^53");
        }
    }

    fn form(&mut self, form: &Form) {
        if form.shards == 0 || form.shards > SHARDS_MAX {
            self.bad("shards", format_args!("must be 1 to {SHARDS_MAX}"));
        }
        if form.nodes.is_empty() || form.nodes.len() > NODES_MAX {
            self.bad("nodes", format_args!("must be 1 to {NODES_MAX}"));
        }
        let mut numbers = BTreeMap::new();
        for (at, node) in form.nodes.iter().enumerate() {
            if node.node == 0 {
                self.bad(format_args!("nodes[{at}].node"), "must be at least 1");
            }
            if let Some(before) = numbers.insert(node.node, at) {
                self.bad(format_args!("nodes[{at}].node"), format_args!("is that of nodes[{before}] too"));
            }
            for (name, text, min) in [
                ("client_endpoint", &node.client_endpoint, 1),
                ("peer_endpoint", &node.peer_endpoint, 1),
                ("region", &node.region, 0),
                ("zone", &node.zone, 0),
            ] {
                if text.len() < min || text.len() > ENDPOINT_BYTES_MAX {
                    let problem = format_args!("must have {min} to {ENDPOINT_BYTES_MAX} bytes");
                    self.bad(format_args!("nodes[{at}].{name}"), problem);
                }
            }
        }
    }
}
