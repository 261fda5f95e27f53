//! `earmark.v1.ReservationService`: unary calls, the batch, and the session stream.

use super::{
    decode,
    error::{invalid, refused},
    execute, execute_batch, is_fresh, stale,
    stock::{mismatch, unary},
};
use crate::router::{Hop, Router};
use earmark_client::{
    status::to_status,
    wire::v1::{
        self, operation::Body as Asked, operation_result::Body as Answered,
        reservation_service_server::ReservationService,
    },
};
use earmark_ledger::types::ReservationId;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answer frames that wait for a client that does not read.
const FRAMES_AHEAD: usize = 64;

/// Answers in one frame.
const RESULTS_PER_FRAME: usize = 1_024;

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

    async fn batch(&self, request: Request<v1::BatchRequest>) -> Result<Response<v1::BatchResponse>, Status> {
        let answered = execute_batch(&self.router, request.into_inner()).await;
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

type Running = FuturesUnordered<BoxFuture<'static, v1::TaggedResult>>;

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
    let mut running = Running::new();
    let (mut open, mut broken) = (true, None);
    while open || !running.is_empty() {
        let mut results = Vec::new();
        tokio::select! {
            message = requests.message(), if open => match message {
                Ok(Some(request)) => accept(&router, request, (session, credit), &mut running, &mut results),
                // The client is done asking; what runs is still answered.
                Ok(None) => open = false,
                // Too large, no message of ours, or the client is gone: then nobody hears it.
                Err(status) => (open, broken) = (false, Some(status)),
            },
            Some(result) = running.next(), if !running.is_empty() => results.push(result),
        }
        while results.len() < RESULTS_PER_FRAME
            && let Some(Some(result)) = running.next().now_or_never()
        {
            results.push(result);
        }
        if !results.is_empty() {
            let sent = tokio::time::timeout(READ_PATIENCE, frames.send(Ok(frame(results)))).await;
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

/// Starts the operations of a frame; what is beyond the credit is answered at once, and so is what says that it is fresh and
/// was sent in another session: it came here a second time.
fn accept(
    router: &Router,
    request: v1::SessionRequest,
    (session, credit): (u64, u32),
    running: &mut Running,
    results: &mut Vec<v1::TaggedResult>,
) {
    let credit = usize::try_from(credit).unwrap_or(usize::MAX);
    for tagged in request.operations {
        let tag = tagged.tag;
        if running.len() >= credit {
            let error =
                refused(v1::Code::Overloaded, format!("more than {credit} operations are in flight on this stream"));
            let result = v1::OperationResult { body: Some(Answered::Error(error)) };
            results.push(v1::TaggedResult { tag, result: Some(result) });
            continue;
        }
        let mut operation = tagged.operation.unwrap_or_default();
        if request.session != session && is_fresh(&operation) {
            if request.session != 0 {
                let field = "session".to_owned();
                let description = "names another session: this was sent there already".to_owned();
                let error = invalid(vec![v1::FieldViolation { field, description }]);
                let result = v1::OperationResult { body: Some(Answered::Error(error)) };
                results.push(v1::TaggedResult { tag, result: Some(result) });
                continue;
            }
            stale(&mut operation);
        }
        let router = router.clone();
        let task = async move {
            let result = execute(&router, operation, Hop::First).await;
            v1::TaggedResult { tag, result: Some(result) }
        };
        running.push(task.boxed());
    }
}
