//! Bytes of batches and commands.
//!
//! Texts are decoded as views of the bytes given, so a batch that is decoded from a log entry copies no text.

use super::{
    Corrupt, FRAME_VERSION,
    cart::CartMsg,
    direct, frame,
    pool::{halves, kind, operation_id, quantity, reservation_id},
    sale::{PayingMsg, ReplaceMsg, SoldMsg},
    stockkeeping::StockkeepingMsg,
    unframe, writer,
};
use crate::{
    command::{
        Adjust, Batch, Body, Command, Commit, Context, Extend, Forget, Form, Line, Meta, MetaNode, Part, Receive,
        Release, Reserve,
    },
    records::{pool_key_bytes, read_pool_key},
    types::{
        BadText, Document, DurationMs, Location, Lot, Namespace, OperationId, Owner, Principal, Reason, RequestId,
        Session, ShardId, Sku, TimeMs, TraceParent,
    },
};
use bytes::Bytes;
use prost::Message;

/// Bytes of one Raft entry.
pub fn encode_batch(batch: &Batch) -> Bytes {
    let written: Vec<Written> = batch.commands.iter().map(Written::from).collect();
    let head =
        writer::number_len(batch.rules.into()) + writer::number_len(batch.time.0) + writer::flag_len(batch.digest);
    let commands: usize = written.iter().map(|one| writer::delimited_len(one.length())).sum();
    let mut out = Vec::with_capacity(1 + head + commands);
    out.push(FRAME_VERSION);
    writer::put_number(&mut out, 1, batch.rules.into());
    writer::put_number(&mut out, 2, batch.time.0);
    writer::put_flag(&mut out, 3, batch.digest);
    for (command, one) in batch.commands.iter().zip(&written) {
        writer::put_length(&mut out, 4, one.length());
        match one {
            Written::Directly { body, .. } => direct::put_command(&mut out, command, *body),
            Written::AsMessage { message, .. } => message.encode_raw(&mut out),
        }
    }
    Bytes::from(out)
}

/// How a command of a batch is written, and in how many bytes.
enum Written {
    Directly { length: usize, body: usize },
    AsMessage { length: usize, message: Box<CommandMsg> },
}

impl Written {
    fn length(&self) -> usize {
        match self {
            Self::Directly { length, .. } | Self::AsMessage { length, .. } => *length,
        }
    }
}

impl From<&Command> for Written {
    fn from(command: &Command) -> Self {
        match direct::command_len(command) {
            Some((length, body)) => Self::Directly { length, body },
            None => {
                let message = Box::new(CommandMsg::from(command));
                Self::AsMessage { length: message.encoded_len(), message }
            }
        }
    }
}

/// Reads what [`encode_batch`] wrote.
///
/// # Errors
/// [`Corrupt`] if it is anything else.
pub fn decode_batch(bytes: Bytes) -> Result<Batch, Corrupt> {
    if bytes.first() == Some(&FRAME_VERSION) {
        let other = |bytes| Command::try_from(CommandMsg::decode(bytes).ok()?).ok();
        if let Some(batch) = direct::batch(&bytes.slice(1..), other) {
            return Ok(batch);
        }
    }
    by_messages(bytes)
}

/// Reads a batch by its messages alone, which tell what is wrong with it.
fn by_messages(bytes: Bytes) -> Result<Batch, Corrupt> {
    let message: BatchMsg = unframe("batch", bytes)?;
    Ok(Batch {
        rules: message.rules,
        time: TimeMs(message.time),
        digest: message.digest,
        commands: message.commands.into_iter().map(Command::try_from).collect::<Result<_, _>>()?,
    })
}

/// Bytes of one command, for sending it to another node.
pub fn encode_command(command: &Command) -> Bytes {
    frame(&CommandMsg::from(command))
}

/// Reads what [`encode_command`] wrote.
///
/// # Errors
/// [`Corrupt`] if it is anything else.
pub fn decode_command(bytes: Bytes) -> Result<Command, Corrupt> {
    unframe::<CommandMsg>("command", bytes)?.try_into()
}

#[derive(Clone, PartialEq, prost::Message)]
struct BatchMsg {
    #[prost(uint32, tag = "1")]
    rules: u32,
    #[prost(uint64, tag = "2")]
    time: u64,
    #[prost(bool, tag = "3")]
    digest: bool,
    #[prost(message, repeated, tag = "4")]
    commands: Vec<CommandMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CommandMsg {
    #[prost(bytes = "bytes", tag = "1")]
    principal: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    session: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    request_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    trace_parent: Bytes,
    #[prost(uint64, tag = "5")]
    not_after: u64,
    #[prost(uint32, tag = "6")]
    attempt: u32,
    #[prost(bool, tag = "7")]
    heard: bool,
    #[prost(oneof = "BodyMsg", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 40")]
    body: Option<BodyMsg>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum BodyMsg {
    #[prost(message, tag = "10")]
    Reserve(ReserveMsg),
    #[prost(message, tag = "11")]
    Commit(CommitMsg),
    #[prost(message, tag = "12")]
    Release(ReleaseMsg),
    #[prost(message, tag = "13")]
    Extend(ExtendMsg),
    #[prost(message, tag = "14")]
    Receive(ReceiveMsg),
    #[prost(message, tag = "15")]
    Adjust(AdjustMsg),
    #[prost(message, tag = "16")]
    Forget(ForgetMsg),
    #[prost(message, tag = "17")]
    Form(FormMsg),
    #[prost(message, tag = "18")]
    Cart(CartMsg),
    #[prost(message, tag = "19")]
    Replace(ReplaceMsg),
    #[prost(message, tag = "20")]
    MarkPaying(PayingMsg),
    #[prost(message, tag = "21")]
    Ship(SoldMsg),
    #[prost(message, tag = "22")]
    Cancel(SoldMsg),
    #[prost(message, tag = "23")]
    Return(SoldMsg),
    #[prost(message, tag = "40")]
    Stockkeeping(StockkeepingMsg),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReserveMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(bytes = "bytes", tag = "3")]
    namespace: Bytes,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<LineMsg>,
    #[prost(bytes = "bytes", tag = "5")]
    owner: Bytes,
    #[prost(uint64, tag = "6")]
    ttl: u64,
    #[prost(bool, tag = "7")]
    best_effort: bool,
    #[prost(bool, tag = "8")]
    ttl_chosen: bool,
    /// The shard of each line; absent: all at home.
    #[prost(uint32, repeated, tag = "9")]
    shards: Vec<u32>,
    #[prost(uint32, tag = "40")]
    zone: u32,
}

/// A line of a reserve, or a part of a commit or release (then without a minimum).
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LineMsg {
    #[prost(bytes = "bytes", tag = "1")]
    sku: Bytes,
    /// Empty: none.
    #[prost(bytes = "bytes", tag = "2")]
    location: Bytes,
    #[prost(uint32, tag = "3")]
    kind: u32,
    #[prost(bytes = "bytes", tag = "4")]
    lot: Bytes,
    #[prost(uint64, tag = "5")]
    quantity: u64,
    #[prost(uint64, tag = "6")]
    minimum: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CommitMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, optional, tag = "3")]
    operation: Option<OperationMsg>,
    #[prost(message, repeated, tag = "4")]
    parts: Vec<LineMsg>,
    #[prost(bool, tag = "5")]
    keep_rest: bool,
    #[prost(bool, tag = "6")]
    revive: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReleaseMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, optional, tag = "3")]
    operation: Option<OperationMsg>,
    #[prost(message, repeated, tag = "4")]
    parts: Vec<LineMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExtendMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, optional, tag = "3")]
    operation: Option<OperationMsg>,
    #[prost(uint64, tag = "4")]
    ttl: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReceiveMsg {
    #[prost(message, optional, tag = "1")]
    operation: Option<OperationMsg>,
    #[prost(bytes = "bytes", tag = "2")]
    pool: Bytes,
    #[prost(uint64, tag = "3")]
    quantity: u64,
    #[prost(bytes = "bytes", tag = "4")]
    document: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AdjustMsg {
    #[prost(message, optional, tag = "1")]
    operation: Option<OperationMsg>,
    #[prost(bytes = "bytes", tag = "2")]
    pool: Bytes,
    #[prost(sint64, tag = "3")]
    delta: i64,
    #[prost(bytes = "bytes", tag = "4")]
    reason: Bytes,
    #[prost(uint64, optional, tag = "5")]
    expected_on_hand: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ForgetMsg {
    #[prost(message, repeated, tag = "1")]
    reservations: Vec<OperationMsg>,
    #[prost(message, repeated, tag = "2")]
    operations: Vec<OperationMsg>,
}

/// Sixteen bytes that name something.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct OperationMsg {
    #[prost(fixed64, tag = "1")]
    pub(super) high: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) low: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FormMsg {
    #[prost(fixed64, tag = "1")]
    cluster_high: u64,
    #[prost(fixed64, tag = "2")]
    cluster_low: u64,
    #[prost(uint32, tag = "3")]
    shards: u32,
    #[prost(message, repeated, tag = "4")]
    nodes: Vec<NodeMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeMsg {
    #[prost(uint32, tag = "1")]
    node: u32,
    #[prost(string, tag = "2")]
    client_endpoint: String,
    #[prost(string, tag = "3")]
    peer_endpoint: String,
    #[prost(string, tag = "4")]
    region: String,
    #[prost(string, tag = "5")]
    zone: String,
}

impl From<&MetaNode> for NodeMsg {
    fn from(node: &MetaNode) -> Self {
        Self {
            node: node.node,
            client_endpoint: node.client_endpoint.clone(),
            peer_endpoint: node.peer_endpoint.clone(),
            region: node.region.clone(),
            zone: node.zone.clone(),
        }
    }
}

impl From<NodeMsg> for MetaNode {
    fn from(message: NodeMsg) -> Self {
        Self {
            node: message.node,
            client_endpoint: message.client_endpoint,
            peer_endpoint: message.peer_endpoint,
            region: message.region,
            zone: message.zone,
        }
    }
}

impl From<[u8; 16]> for OperationMsg {
    fn from(bytes: [u8; 16]) -> Self {
        let (high, low) = halves(bytes);
        Self { high, low }
    }
}

fn optional_operation(message: Option<OperationMsg>) -> Result<Option<OperationId>, Corrupt> {
    message.map(|id| operation_id(id.high, id.low)).transpose()
}

pub(super) fn required_operation(message: Option<OperationMsg>) -> Result<OperationId, Corrupt> {
    optional_operation(message)?.ok_or_else(|| Corrupt::new("operation id", "is absent"))
}

pub(super) fn text<T>(what: &'static str, made: Result<T, BadText>) -> Result<T, Corrupt> {
    made.map_err(|bad| Corrupt::new(what, bad))
}

/// Who asked, where it is kept for a while.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContextMsg {
    #[prost(bytes = "bytes", tag = "1")]
    principal: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    session: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    request_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    trace_parent: Bytes,
}

impl From<&Context> for ContextMsg {
    fn from(context: &Context) -> Self {
        Self {
            principal: context.principal.to_shared(),
            session: context.session.to_shared(),
            request_id: context.request_id.to_shared(),
            trace_parent: context.trace_parent.to_shared(),
        }
    }
}

impl ContextMsg {
    pub(super) fn context(self) -> Result<Context, Corrupt> {
        Ok(Context {
            principal: text("principal", Principal::new(self.principal))?,
            session: text("session", Session::new(self.session))?,
            request_id: text("request id", RequestId::new(self.request_id))?,
            trace_parent: text("trace parent", TraceParent::new(self.trace_parent))?,
        })
    }
}

impl From<&Line> for LineMsg {
    fn from(line: &Line) -> Self {
        Self {
            sku: line.sku.to_shared(),
            location: line.location.as_ref().map(Location::to_shared).unwrap_or_default(),
            kind: u32::from(line.kind.tag()),
            lot: line.lot.to_shared(),
            quantity: line.quantity.units(),
            minimum: line.minimum.units(),
        }
    }
}

impl From<&Part> for LineMsg {
    fn from(part: &Part) -> Self {
        Self {
            sku: part.sku.to_shared(),
            location: part.location.to_shared(),
            kind: u32::from(part.kind.tag()),
            lot: part.lot.to_shared(),
            quantity: part.quantity.units(),
            minimum: 0,
        }
    }
}

impl TryFrom<LineMsg> for Line {
    type Error = Corrupt;

    fn try_from(message: LineMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            sku: text("sku", Sku::new(message.sku))?,
            location: match message.location.is_empty() {
                true => None,
                false => Some(text("location", Location::new(message.location))?),
            },
            kind: kind(message.kind)?,
            lot: text("lot", Lot::new(message.lot))?,
            quantity: quantity(message.quantity)?,
            minimum: quantity(message.minimum)?,
        })
    }
}

impl TryFrom<LineMsg> for Part {
    type Error = Corrupt;

    fn try_from(message: LineMsg) -> Result<Self, Corrupt> {
        let Line { sku, location, kind, lot, quantity, .. } = message.try_into()?;
        let location = location.ok_or_else(|| Corrupt::new("location", "is absent"))?;
        Ok(Self { sku, location, kind, lot, quantity })
    }
}

impl From<&Command> for CommandMsg {
    fn from(command: &Command) -> Self {
        Self {
            principal: command.context.principal.to_shared(),
            session: command.context.session.to_shared(),
            request_id: command.context.request_id.to_shared(),
            trace_parent: command.context.trace_parent.to_shared(),
            not_after: command.not_after.0,
            attempt: command.attempt,
            heard: command.heard,
            body: Some(BodyMsg::from(&command.body)),
        }
    }
}

impl TryFrom<CommandMsg> for Command {
    type Error = Corrupt;

    fn try_from(message: CommandMsg) -> Result<Self, Corrupt> {
        let body = message.body.ok_or_else(|| Corrupt::new("command", "has no body known to this build"))?;
        Ok(Self {
            context: Context {
                principal: text("principal", Principal::new(message.principal))?,
                session: text("session", Session::new(message.session))?,
                request_id: text("request id", RequestId::new(message.request_id))?,
                trace_parent: text("trace parent", TraceParent::new(message.trace_parent))?,
            },
            not_after: TimeMs(message.not_after),
            attempt: message.attempt,
            heard: message.heard,
            body: body.try_into()?,
        })
    }
}

impl From<&Body> for BodyMsg {
    fn from(body: &Body) -> Self {
        match body {
            Body::Reserve(reserve) => {
                let (id_high, id_low) = halves(reserve.id.to_bytes());
                Self::Reserve(ReserveMsg {
                    id_high,
                    id_low,
                    namespace: reserve.namespace.to_shared(),
                    lines: reserve.lines.iter().map(LineMsg::from).collect(),
                    owner: reserve.owner.to_shared(),
                    ttl: reserve.ttl.0,
                    best_effort: reserve.best_effort,
                    ttl_chosen: reserve.ttl_chosen,
                    shards: reserve.shards.iter().map(|shard| shard.0).collect(),
                    zone: reserve.zone,
                })
            }
            Body::Commit(commit) => {
                let (id_high, id_low) = halves(commit.id.to_bytes());
                Self::Commit(CommitMsg {
                    id_high,
                    id_low,
                    operation: commit.operation.map(|id| id.to_bytes().into()),
                    parts: commit.parts.iter().map(LineMsg::from).collect(),
                    keep_rest: commit.keep_rest,
                    revive: commit.revive,
                })
            }
            Body::Release(release) => {
                let (id_high, id_low) = halves(release.id.to_bytes());
                Self::Release(ReleaseMsg {
                    id_high,
                    id_low,
                    operation: release.operation.map(|id| id.to_bytes().into()),
                    parts: release.parts.iter().map(LineMsg::from).collect(),
                })
            }
            Body::Extend(extend) => {
                let (id_high, id_low) = halves(extend.id.to_bytes());
                let operation = Some(extend.operation.to_bytes().into());
                Self::Extend(ExtendMsg { id_high, id_low, operation, ttl: extend.ttl.0 })
            }
            Body::Receive(receive) => Self::Receive(ReceiveMsg {
                operation: Some(receive.operation.to_bytes().into()),
                pool: pool_key_bytes(&receive.pool),
                quantity: receive.quantity.units(),
                document: receive.document.to_shared(),
            }),
            Body::Adjust(adjust) => Self::Adjust(AdjustMsg {
                operation: Some(adjust.operation.to_bytes().into()),
                pool: pool_key_bytes(&adjust.pool),
                delta: adjust.delta,
                reason: adjust.reason.to_shared(),
                expected_on_hand: adjust.expected_on_hand.map(|units| units.units()),
            }),
            Body::Forget(forget) => Self::Forget(ForgetMsg {
                reservations: forget.reservations.iter().map(|id| id.to_bytes().into()).collect(),
                operations: forget.operations.iter().map(|id| id.to_bytes().into()).collect(),
            }),
            Body::Meta(Meta::Form(form)) => {
                let (cluster_high, cluster_low) = halves(form.cluster);
                let nodes = form.nodes.iter().map(NodeMsg::from).collect();
                Self::Form(FormMsg { cluster_high, cluster_low, shards: form.shards, nodes })
            }
            Body::Cart(message) => Self::Cart(CartMsg::from(message)),
            Body::Stockkeeping(asked) => Self::Stockkeeping(asked.into()),
            Body::Replace(replace) => Self::Replace(replace.into()),
            Body::MarkPaying(paying) => Self::MarkPaying(paying.into()),
            Body::Ship(ship) => Self::Ship(ship.into()),
            Body::Cancel(cancel) => Self::Cancel(cancel.into()),
            Body::Return(back) => Self::Return(back.into()),
        }
    }
}

impl TryFrom<BodyMsg> for Body {
    type Error = Corrupt;

    fn try_from(message: BodyMsg) -> Result<Self, Corrupt> {
        Ok(match message {
            BodyMsg::Reserve(message) => Self::Reserve(Reserve {
                id: reservation_id(message.id_high, message.id_low)?,
                namespace: text("namespace", Namespace::new(message.namespace))?,
                lines: message.lines.into_iter().map(Line::try_from).collect::<Result<_, _>>()?,
                owner: text("owner", Owner::new(message.owner))?,
                ttl: DurationMs(message.ttl),
                ttl_chosen: message.ttl_chosen,
                shards: message.shards.into_iter().map(ShardId).collect(),
                best_effort: message.best_effort,
                zone: message.zone,
            }),
            BodyMsg::Commit(message) => Self::Commit(Commit {
                id: reservation_id(message.id_high, message.id_low)?,
                operation: optional_operation(message.operation)?,
                parts: message.parts.into_iter().map(Part::try_from).collect::<Result<_, _>>()?,
                keep_rest: message.keep_rest,
                revive: message.revive,
            }),
            BodyMsg::Release(message) => Self::Release(Release {
                id: reservation_id(message.id_high, message.id_low)?,
                operation: optional_operation(message.operation)?,
                parts: message.parts.into_iter().map(Part::try_from).collect::<Result<_, _>>()?,
            }),
            BodyMsg::Extend(message) => Self::Extend(Extend {
                id: reservation_id(message.id_high, message.id_low)?,
                operation: required_operation(message.operation)?,
                ttl: DurationMs(message.ttl),
            }),
            BodyMsg::Receive(message) => Self::Receive(Receive {
                operation: required_operation(message.operation)?,
                pool: read_pool_key(message.pool)?,
                quantity: quantity(message.quantity)?,
                document: text("document", Document::new(message.document))?,
            }),
            BodyMsg::Adjust(message) => Self::Adjust(Adjust {
                operation: required_operation(message.operation)?,
                pool: read_pool_key(message.pool)?,
                delta: message.delta,
                reason: text("reason", Reason::new(message.reason))?,
                expected_on_hand: message.expected_on_hand.map(quantity).transpose()?,
            }),
            BodyMsg::Forget(message) => Self::Forget(Forget {
                reservations: message
                    .reservations
                    .into_iter()
                    .map(|id| reservation_id(id.high, id.low))
                    .collect::<Result<_, _>>()?,
                operations: message
                    .operations
                    .into_iter()
                    .map(|id| operation_id(id.high, id.low))
                    .collect::<Result<_, _>>()?,
            }),
            BodyMsg::Form(message) => Self::Meta(Meta::Form(Form {
                cluster: super::pool::whole(message.cluster_high, message.cluster_low),
                shards: message.shards,
                nodes: message.nodes.into_iter().map(MetaNode::from).collect(),
            })),
            BodyMsg::Cart(message) => Self::Cart(message.try_into()?),
            BodyMsg::Stockkeeping(message) => Self::Stockkeeping(message.try_into()?),
            BodyMsg::Replace(message) => Self::Replace(message.try_into()?),
            BodyMsg::MarkPaying(message) => Self::MarkPaying(message.try_into()?),
            BodyMsg::Ship(message) => Self::Ship(message.try_into()?),
            BodyMsg::Cancel(message) => Self::Cancel(message.try_into()?),
            BodyMsg::Return(message) => Self::Return(message.try_into()?),
        })
    }
}

#[cfg(test)]
mod tests;
