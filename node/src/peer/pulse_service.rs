//! What a peer asks all the time, answered on its lasting stream (`pulse`).

use super::{
    convert, service,
    wire::{self, pulse_reply::Answer, pulse_request::Question},
};
use crate::{beacon, node::Node, shard::Replica};
use earmark_ledger::types::ShardId;
use futures::{
    StreamExt,
    future::{AbortHandle, abortable},
    stream::FuturesUnordered,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

/// Answers until the peer hangs up or this node stops. One heartbeat of a shard is being answered at a time: nobody waits for
/// an older one any more. So a shard that is slow to answer holds up no other, and what is open is bounded.
pub async fn run(
    node: Arc<Node>,
    digests: Arc<beacon::DigestBook>,
    from: u32,
    mut questions: Streaming<wire::PulseRequest>,
    answers: mpsc::Sender<Result<wire::PulseReply, Status>>,
) {
    let mut stopping = node.watch_stopping();
    let mut pending = FuturesUnordered::new();
    let mut newest: BTreeMap<ShardId, AbortHandle> = BTreeMap::new();
    loop {
        let reply = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = answers.closed() => return,
            question = questions.message() => {
                let Ok(Some(wire::PulseRequest { number, question })) = question else { return };
                let answer = match question {
                    Some(Question::Beacon(request)) => {
                        Some(Answer::Beacon(beacon::answer(&node, &digests, from, &request)))
                    }
                    Some(Question::Heartbeat(request)) => {
                        let shard = ShardId(request.shard);
                        match node.replica(shard).filter(|replica| replica.id().raft_id() == request.target) {
                            Some(replica) => {
                                let (reply, handle) = abortable(heartbeat(node.clone(), replica, number, request));
                                if let Some(older) = newest.insert(shard, handle) {
                                    older.abort();
                                }
                                pending.push(reply);
                                continue;
                            }
                            None => Some(Answer::Heartbeat(service::closed(&node, request.shard))),
                        }
                    }
                    // Of a kind this node does not know: whoever asks is told that there is no answer.
                    None => None,
                };
                wire::PulseReply { number, answer }
            }
            Some(reply) = pending.next() => {
                let Ok(reply) = reply else { continue };
                reply
            }
        };
        if answers.send(Ok(reply)).await.is_err() {
            return;
        }
    }
}

/// No answer to what is no heartbeat.
async fn heartbeat(
    node: Arc<Node>,
    replica: Arc<Replica>,
    number: u64,
    request: wire::AppendRequest,
) -> wire::PulseReply {
    let empty = request.entries.is_empty();
    let Some(request) = service::append_request(request).ok().filter(|_| empty) else {
        return wire::PulseReply { number, answer: None };
    };
    let previous = request.prev_log_id;
    let reply = match replica.raft().append_entries(request).await {
        Ok(response) => convert::append_result(response.into_stream_result(previous, previous)),
        Err(_) => service::closed(&node, replica.shard().0),
    };
    wire::PulseReply { number, answer: Some(Answer::Heartbeat(reply)) }
}
