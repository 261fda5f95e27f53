//! What the fake answers to those who keep the stock.

use super::{Reply, SERVER_START_MS, got, pool, position, reservation};
use earmark_client::wire::v1::{self, operation::Body, operation_result::Body as Told};

fn changed(sku: &str, location: &str, on_hand: i64) -> Box<v1::StockChangeResponse> {
    let change = v1::StockChange { pool: Some(pool(sku, location, on_hand)), delta: 1, ..Default::default() };
    Box::new(v1::StockChangeResponse {
        change: Some(change),
        position: Some(position()),
        server_time_ms: SERVER_START_MS,
        replayed: false,
    })
}

fn transferred(id: &[u8], sku: &str, from: &str, to: &str, quantity: i64) -> Box<v1::TransferResponse> {
    let transfer = v1::StockTransfer {
        transfer_id: id.to_vec().into(),
        sku: sku.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        sent: quantity,
        in_transit: quantity,
        ..Default::default()
    };
    Box::new(v1::TransferResponse {
        transfer: Some(transfer),
        from: Some(pool(sku, from, 0)),
        to: Some(pool(sku, to, 0)),
        position: Some(position()),
        ..Default::default()
    })
}

pub fn shortage(sku: &str, by: &[u8]) -> v1::PoolShortage {
    v1::PoolShortage {
        sku: sku.to_owned(),
        location: "main".to_owned(),
        units: 3,
        since_ms: SERVER_START_MS,
        since_position: Some(position()),
        at_risk: 2,
        newest: vec![v1::HoldAtRisk { reservation_id: by.to_vec().into(), held: 2 }],
        ..Default::default()
    }
}

/// Says yes to everything that is not answered elsewhere.
pub fn accept(body: &Body) -> Reply {
    Reply::Tell(match body {
        Body::Set(request) => Told::Set(changed(&request.sku, &request.location, request.on_hand)),
        Body::Count(request) => Told::Count(changed(&request.sku, &request.location, request.counted)),
        Body::Quarantine(request) => Told::Quarantine(changed(&request.sku, &request.location, 0)),
        Body::Unquarantine(request) => Told::Unquarantine(changed(&request.sku, &request.location, 0)),
        Body::WriteOff(request) => Told::WriteOff(changed(&request.sku, &request.location, 0)),
        Body::Transfer(request) => Told::Transfer(transferred(
            &request.operation_id,
            &request.sku,
            &request.location,
            &request.to,
            request.quantity,
        )),
        Body::Arrive(request) => Told::Arrive(transferred(&request.transfer_id, &request.sku, "main", "shop", 9)),
        Body::Expect(request) => Told::Expect(v1::ExpectResponse {
            pool: Some(v1::Pool {
                expected: request.quantity,
                expected_date_ms: request.date_ms,
                ..pool(&request.sku, &request.location, 0)
            }),
            position: Some(position()),
            ..Default::default()
        }),
        Body::ConfigureSku(request) => Told::ConfigureSku(Box::new(v1::ConfigureSkuResponse {
            version: request.expected_version + 1,
            settings: request.settings.clone(),
            position: Some(position()),
            ..Default::default()
        })),
        Body::GetSkuSettings(request) => Told::GetSkuSettings(Box::new(v1::GetSkuSettingsResponse {
            version: 4,
            settings: Some(v1::SkuSettings { frozen: Some("recall".to_owned()), ..Default::default() }),
            level: request.level,
            position: Some(position()),
            ..Default::default()
        })),
        Body::ListShortages(request) => Told::ListShortages(v1::ListShortagesResponse {
            shortages: vec![shortage("lamp-01", &[0; 16])],
            next_page_token: if request.page_token.is_empty() { "more".into() } else { "".into() },
            level: request.level,
            positions: vec![position(), v1::Position { shard: 2, ..position() }],
            ..Default::default()
        }),
        Body::ListInTransit(request) => Told::ListInTransit(v1::ListInTransitResponse {
            level: request.level,
            position: Some(position()),
            ..Default::default()
        }),
        Body::ListReservations(request) => Told::ListReservations(v1::ListReservationsResponse {
            reservations: vec![reservation(&[0; 16], v1::ReservationState::Held)],
            level: request.level,
            positions: vec![position()],
            ..Default::default()
        }),
        Body::ListExpiring(request) => Told::ListExpiring(v1::ListExpiringResponse {
            level: request.level,
            positions: vec![position()],
            ..Default::default()
        }),
        Body::DryRun(request) => Told::DryRun(Box::new(v1::DryRunResponse {
            extent: v1::Extent::All.into(),
            lines: request.reserve.as_ref().map(|reserve| reserve.lines.iter().map(got).collect()).unwrap_or_default(),
            deadline_ms: SERVER_START_MS,
            positions: vec![position()],
            ..Default::default()
        })),
        other => panic!("the fake has no answer to {other:?}"),
    })
}

pub fn delivery(body: &Body) -> Option<v1::Delivery> {
    match body {
        Body::Set(request) => request.delivery,
        Body::Count(request) => request.delivery,
        Body::Quarantine(request) | Body::Unquarantine(request) | Body::WriteOff(request) => request.delivery,
        Body::Transfer(request) => request.delivery,
        Body::Arrive(request) => request.delivery,
        Body::Expect(request) => request.delivery,
        Body::ConfigureSku(request) => request.delivery,
        _ => None,
    }
}

pub fn id(body: &Body) -> Vec<u8> {
    match body {
        Body::Set(request) => request.operation_id.to_vec(),
        Body::Count(request) => request.operation_id.to_vec(),
        Body::Quarantine(request) | Body::Unquarantine(request) | Body::WriteOff(request) => {
            request.operation_id.to_vec()
        }
        Body::Transfer(request) => request.operation_id.to_vec(),
        Body::Arrive(request) => request.operation_id.to_vec(),
        Body::Expect(request) => request.operation_id.to_vec(),
        Body::ConfigureSku(request) => request.operation_id.to_vec(),
        _ => Vec::new(),
    }
}
