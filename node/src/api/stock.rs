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
    let result = execute(router, v1::Operation { body: Some(asked) }, Hop::First, router.server_time()).await;
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

    async fn set(&self, request: Request<v1::SetRequest>) -> Result<Response<v1::StockChangeResponse>, Status> {
        match self.one(Asked::Set(request.into_inner())).await? {
            Answered::Set(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn count(&self, request: Request<v1::CountRequest>) -> Result<Response<v1::StockChangeResponse>, Status> {
        match self.one(Asked::Count(request.into_inner())).await? {
            Answered::Count(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn quarantine(
        &self,
        request: Request<v1::QuarantineRequest>,
    ) -> Result<Response<v1::StockChangeResponse>, Status> {
        match self.one(Asked::Quarantine(request.into_inner())).await? {
            Answered::Quarantine(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn unquarantine(
        &self,
        request: Request<v1::QuarantineRequest>,
    ) -> Result<Response<v1::StockChangeResponse>, Status> {
        match self.one(Asked::Unquarantine(request.into_inner())).await? {
            Answered::Unquarantine(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn write_off(
        &self,
        request: Request<v1::QuarantineRequest>,
    ) -> Result<Response<v1::StockChangeResponse>, Status> {
        match self.one(Asked::WriteOff(request.into_inner())).await? {
            Answered::WriteOff(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn transfer(&self, request: Request<v1::TransferRequest>) -> Result<Response<v1::TransferResponse>, Status> {
        match self.one(Asked::Transfer(request.into_inner())).await? {
            Answered::Transfer(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn arrive(&self, request: Request<v1::ArriveRequest>) -> Result<Response<v1::TransferResponse>, Status> {
        match self.one(Asked::Arrive(request.into_inner())).await? {
            Answered::Arrive(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn expect(&self, request: Request<v1::ExpectRequest>) -> Result<Response<v1::ExpectResponse>, Status> {
        match self.one(Asked::Expect(request.into_inner())).await? {
            Answered::Expect(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn configure_sku(
        &self,
        request: Request<v1::ConfigureSkuRequest>,
    ) -> Result<Response<v1::ConfigureSkuResponse>, Status> {
        match self.one(Asked::ConfigureSku(Box::new(request.into_inner()))).await? {
            Answered::ConfigureSku(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn get_sku_settings(
        &self,
        request: Request<v1::GetSkuSettingsRequest>,
    ) -> Result<Response<v1::GetSkuSettingsResponse>, Status> {
        match self.one(Asked::GetSkuSettings(request.into_inner())).await? {
            Answered::GetSkuSettings(response) => Ok(Response::new(*response)),
            _ => mismatch(),
        }
    }

    async fn list_shortages(
        &self,
        request: Request<v1::ListShortagesRequest>,
    ) -> Result<Response<v1::ListShortagesResponse>, Status> {
        match self.one(Asked::ListShortages(request.into_inner())).await? {
            Answered::ListShortages(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }

    async fn list_in_transit(
        &self,
        request: Request<v1::ListInTransitRequest>,
    ) -> Result<Response<v1::ListInTransitResponse>, Status> {
        match self.one(Asked::ListInTransit(request.into_inner())).await? {
            Answered::ListInTransit(response) => Ok(Response::new(response)),
            _ => mismatch(),
        }
    }
}
