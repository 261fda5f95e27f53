//! `earmark.v1.ReservationService`: unary calls, the batch, and the session stream.

use super::{
    awaited::{Awaited, Decided, Leaders},
    batch,
    decode::{self, direct::Sent},
    error::refused,
    operation::{Started, finish_encoded, start_encoded},
    stock::{mismatch, unary},
};
use crate::router::Router;
use earmark_client::{
    status::to_status,
    wire::{
        BatchRequest, BatchResponse, Tagged,
        v1::{
            self, operation::Body as Asked, operation_result::Body as Answered,
            reservation_service_server::ReservationService,
        },
    },
};
use earmark_ledger::types::ReservationId;
use futures::{FutureExt, StreamExt, future::Either, stream::FuturesUnordered};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answer frames that wait for a client that does not read.
const FRAMES_AHEAD: usize = 64;

/// Answers in one frame, and about how many bytes of them: a client need not take more than 4 MiB.
const RESULTS_PER_FRAME: usize = 1_024;
const RESULT_BYTES_PER_FRAME: usize = 1 << 20;

/// A client that does not read its answers for this long is hung up on.
const READ_PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Service {
    router: Router,
}

impl Service {
    pub(super) fn new(router: Router) -> Self {
        Self { router }
    }

    async fn one(&self, asked: Asked) -> Result<Answered, Status> {
        unary(&self.router, asked).await
    }
}

#[tonic::async_trait]
impl ReservationService for Service {
    type SessionStream = ReceiverStream<Result<v1::SessionResponse, Status>>;

    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        match self.one(Asked::Reserve(request.into_inner())).await? {
            Answered::Reserve(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn commit(&self, request: Request<v1::CommitRequest>) -> Result<Response<v1::CommitResponse>, Status> {
        match self.one(Asked::Commit(request.into_inner())).await? {
            Answered::Commit(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        match self.one(Asked::Release(request.into_inner())).await? {
            Answered::Release(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn extend(&self, request: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        match self.one(Asked::Extend(request.into_inner())).await? {
            Answered::Extend(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn replace(&self, request: Request<v1::ReplaceRequest>) -> Result<Response<v1::ReplaceResponse>, Status> {
        match self.one(Asked::Replace(request.into_inner())).await? {
            Answered::Replace(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn mark_paying(
        &self,
        request: Request<v1::MarkPayingRequest>,
    ) -> Result<Response<v1::MarkPayingResponse>, Status> {
        match self.one(Asked::MarkPaying(request.into_inner())).await? {
            Answered::MarkPaying(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn ship(&self, request: Request<v1::ShipRequest>) -> Result<Response<v1::ShipResponse>, Status> {
        match self.one(Asked::Ship(request.into_inner())).await? {
            Answered::Ship(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        match self.one(Asked::Cancel(request.into_inner())).await? {
            Answered::Cancel(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn return_units(
        &self,
        request: Request<v1::ReturnUnitsRequest>,
    ) -> Result<Response<v1::ReturnUnitsResponse>, Status> {
        match self.one(Asked::ReturnUnits(request.into_inner())).await? {
            Answered::ReturnUnits(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        match self.one(Asked::GetReservation(request.into_inner())).await? {
            Answered::GetReservation(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn dry_run(&self, request: Request<v1::DryRunRequest>) -> Result<Response<v1::DryRunResponse>, Status> {
        match self.one(Asked::DryRun(Box::new(request.into_inner()))).await? {
            Answered::DryRun(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        match self.one(Asked::ListReservations(request.into_inner())).await? {
            Answered::ListReservations(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn list_expiring(
        &self,
        request: Request<v1::ListExpiringRequest>,
    ) -> Result<Response<v1::ListExpiringResponse>, Status> {
        match self.one(Asked::ListExpiring(request.into_inner())).await? {
            Answered::ListExpiring(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn make_reservation_id(
        &self,
        request: Request<v1::MakeReservationIdRequest>,
    ) -> Result<Response<v1::MakeReservationIdResponse>, Status> {
        let home = decode::home_of(request.into_inner()).map_err(|error| to_status(&error))?;
        let now = self.router.server_time();
        let random = self.router.node().environment().random.next_u64();
        let id = ReservationId::timed(now, home, random);
        Ok(Response::new(v1::MakeReservationIdResponse {
            reservation_id: id.to_bytes().to_vec().into(),
            text: id.to_string(),
            server_time_ms: now.0,
        }))
    }

    async fn batch(&self, request: Request<BatchRequest>) -> Result<Response<BatchResponse>, Status> {
        let answered = batch::execute(&self.router, request.into_inner()).await;
        answered.map(Response::new).map_err(|error| to_status(&error))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (frames, queue) = mpsc::channel(FRAMES_AHEAD);
        tokio::spawn(converse(self.router.clone(), request.into_inner(), frames));
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

/// Serves one session until the client ends it. Answers go back as they come, many in one frame when many are ready. A
/// frame that can't be read ends it too; what was asked before is answered, then the reason is told.
async fn converse(
    router: Router,
    mut requests: Streaming<v1::SessionRequest>,
    frames: mpsc::Sender<Result<v1::SessionResponse, Status>>,
) {
    let credit = router.node().config().limits.session_credit;
    // Not to be guessed by chance, and never 0.
    let session = router.node().environment().random.next_u64() | 1;
    let frame = |results| v1::SessionResponse { results, server_time_ms: router.server_time().0, credit, session };
    if frames.send(Ok(frame(Vec::new()))).await.is_err() {
        return;
    }
    let (mut awaited, mut running) = (Awaited::default(), FuturesUnordered::new());
    let (mut open, mut broken) = (true, None);
    while open || !awaited.is_empty() || !running.is_empty() {
        let mut results = Vec::new();
        tokio::select! {
            message = requests.message(), if open => match message {
                Ok(Some(request)) => {
                    let taken = awaited.len() + running.len();
                    let room = usize::try_from(credit).unwrap_or(usize::MAX).saturating_sub(taken);
                    let accepted = accept(&router, request, session, (room, credit), &mut awaited, &mut results);
                    let accepted = accepted.into_iter().map(|(tag, started)| tagged(router.clone(), tag, started));
                    running.extend(accepted.map(Either::Left));
                }
                // The client is done asking; what runs is still answered.
                Ok(None) => open = false,
                // Too large, no message of ours, or the client is gone: then nobody hears it.
                Err(status) => (open, broken) = (false, Some(status)),
            },
            decided = awaited.next(&router), if !awaited.is_empty() => {
                for decided in decided {
                    if decided.is_settled() {
                        results.push(told(decided));
                    } else {
                        running.push(Either::Right(async { told(decided.settled().await) }));
                    }
                }
            }
            Some(result) = running.next(), if !running.is_empty() => results.push(result),
        }
        while results.len() < RESULTS_PER_FRAME
            && let Some(Some(result)) = running.next().now_or_never()
        {
            results.push(result);
        }
        for part in parts(results) {
            let sent = tokio::time::timeout(READ_PATIENCE, frames.send(Ok(frame(part)))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }
    if let Some(status) = broken {
        // Whoever does not listen needs no reason.
        let _ = tokio::time::timeout(READ_PATIENCE, frames.send(Err(status))).await;
    }
}

/// What goes into one frame each.
fn parts(results: Vec<Tagged>) -> impl Iterator<Item = Vec<Tagged>> {
    let mut rest = results.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while part.len() < RESULTS_PER_FRAME
            && let Some(next) = rest.next_if(|next| bytes == 0 || bytes + next.body.len() <= RESULT_BYTES_PER_FRAME)
        {
            bytes += next.body.len();
            part.push(next);
        }
        (!part.is_empty()).then_some(part)
    })
}

fn told(decided: Decided) -> Tagged {
    let (tag, body) = decided.told();
    Tagged { tag, body }
}

async fn tagged(router: Router, tag: u64, started: Started) -> Tagged {
    Tagged { tag, body: finish_encoded(&router, started).await }
}

/// Starts the operations of a frame, as many as there is room for; what is beyond the credit is answered at once. Gives back
/// those that need more than to be awaited.
fn accept(
    router: &Router,
    request: v1::SessionRequest,
    session: u64,
    (room, credit): (usize, u32),
    awaited: &mut Awaited,
    results: &mut Vec<Tagged>,
) -> Vec<(u64, Started)> {
    let now = router.server_time();
    let sent = match request.session {
        0 => Sent::Anywhere,
        named if named == session => Sent::Here,
        _ => Sent::Elsewhere,
    };
    let beyond = request.operations.iter().skip(room).map(|tagged| {
        let message = format!("more than {credit} operations are in flight on this stream");
        let error = Answered::Error(refused(v1::Code::Overloaded, message));
        Tagged::result(tagged.tag, &v1::OperationResult { body: Some(error) })
    });
    results.extend(beyond);
    let (within, map) = (request.operations.iter().take(room), router.map());
    let mut leaders = Leaders::default();
    let begun = within.filter_map(|tagged| {
        let started = match start_encoded(router, &tagged.body, sent, now, &map) {
            Started::Command(prepared) => {
                Started::Command(awaited.begin(router, &mut leaders, tagged.tag, prepared).err()?)
            }
            other => other,
        };
        Some((tagged.tag, started))
    });
    begun.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_neither_too_many_results_nor_too_many_bytes() {
        let result = |bytes: usize| Tagged { tag: 0, body: vec![7; bytes].into() };
        let sizes = |results| parts(results).map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(Vec::new()), [0; 0]);
        assert_eq!(sizes(vec![result(1); 2 * RESULTS_PER_FRAME + 1]), [RESULTS_PER_FRAME, RESULTS_PER_FRAME, 1]);
        let third = RESULT_BYTES_PER_FRAME / 3;
        assert_eq!(sizes(vec![result(third); 7]), [3, 3, 1]);
        assert_eq!(sizes(vec![result(1), result(5 * third), result(1)]), [1, 1, 1], "one that is larger goes alone");
        assert_eq!(sizes(vec![result(0); 3]), [3]);
    }
}
