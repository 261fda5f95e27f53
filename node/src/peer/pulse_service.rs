//! What a peer asks all the time, answered on its lasting stream (`pulse`).

use super::{
    convert, service,
    wire::{self, pulse_reply::Answer, pulse_request::Question},
};
use crate::{beacon, node::Node};
use earmark_ledger::types::ShardId;
use futures::{StreamExt, stream::FuturesUnordered};
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

/// Heartbeats that are being answered at once; further questions wait in the stream.
const AT_ONCE: usize = 1_024;

/// Answers until the peer hangs up.
pub async fn run(
    node: Arc<Node>,
    digests: Arc<beacon::DigestBook>,
    from: u32,
    mut questions: Streaming<wire::PulseRequest>,
    answers: mpsc::Sender<Result<wire::PulseReply, Status>>,
) {
    let mut pending = FuturesUnordered::new();
    loop {
        let reply = tokio::select! {
            question = questions.message(), if pending.len() < AT_ONCE => {
                let Ok(Some(wire::PulseRequest { number, question: Some(question) })) = question else { return };
                match question {
                    Question::Beacon(request) => {
                        let answer = Some(Answer::Beacon(beacon::answer(&node, &digests, from, &request)));
                        wire::PulseReply { number, answer }
                    }
                    // A shard that is slow to answer does not hold up the others.
                    Question::Heartbeat(request) => {
                        pending.push(heartbeat(node.clone(), number, request));
                        continue;
                    }
                }
            }
            Some(reply) = pending.next() => match reply {
                Ok(reply) => reply,
                Err(_) => return,
            },
        };
        if answers.send(Ok(reply)).await.is_err() {
            return;
        }
    }
}

async fn heartbeat(node: Arc<Node>, number: u64, request: wire::AppendRequest) -> Result<wire::PulseReply, Status> {
    let open = node.replica(ShardId(request.shard)).filter(|replica| replica.id().raft_id() == request.target);
    let reply = match open {
        None => service::closed(&node, request.shard),
        Some(replica) => {
            let request = service::append_request(request)?;
            let previous = request.prev_log_id;
            match replica.raft().append_entries(request).await {
                Ok(response) => convert::append_result(response.into_stream_result(previous, previous)),
                Err(_) => service::closed(&node, replica.shard().0),
            }
        }
    };
    Ok(wire::PulseReply { number, answer: Some(Answer::Heartbeat(reply)) })
}
