//! `earmark.v1.StockService`.

use super::execute;
use crate::router::{Hop, Router};
use earmark_client::{
    status::to_status,
    wire::v1::{
        self, operation::Body as Asked, operation_result::Body as Answered, stock_service_server::StockService,
    },
};
use tonic::{Request, Response, Status};

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

/// One operation as a unary call: an error becomes a status with rich details.
pub(super) async fn unary(router: &Router, asked: Asked) -> Result<Answered, Status> {
    let result = execute(router, v1::Operation { body: Some(asked) }, Hop::First).await;
    match result.body {
        Some(Answered::Error(error)) => Err(to_status(&error)),
        Some(answered) => Ok(answered),
        None => Err(Status::internal("an operation without an answer")),
    }
}

/// An answer of another kind than asked can't be; if it is, it is a bug and told as one.
pub(super) fn mismatch<T>() -> Result<Response<T>, Status> {
    Err(Status::internal("the answer is not that of the operation; please report this"))
}

#[tonic::async_trait]
impl StockService for Service {
    async fn receive(&self, request: Request<v1::ReceiveRequest>) -> Result<Response<v1::ReceiveResponse>, Status> {
        match self.one(Asked::Receive(request.into_inner())).await? {
            Answered::Receive(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn adjust(&self, request: Request<v1::AdjustRequest>) -> Result<Response<v1::AdjustResponse>, Status> {
        match self.one(Asked::Adjust(request.into_inner())).await? {
            Answered::Adjust(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn get_stock(&self, request: Request<v1::GetStockRequest>) -> Result<Response<v1::GetStockResponse>, Status> {
        match self.one(Asked::GetStock(request.into_inner())).await? {
            Answered::GetStock(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }
}
