//! Messages, frames and headers beyond their size, and bytes that are no message at all.

use super::{
    roads::ours,
    shapes::{now_ms, reservation_id},
    world::World,
};
use crate::support::{channel, line};
use bytes::Bytes;
use earmark_client::wire::{
    BatchRequest, Tagged,
    v1::{
        self, operation::Body as Asked, operation_result::Body as Answered,
        reservation_service_client::ReservationServiceClient,
    },
};
use std::{io::Write, net::TcpStream, time::Duration};
use tokio_stream::{StreamExt, iter};
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

/// Bytes of a message.
const MESSAGE_MAX: usize = 4 << 20;

fn reserve() -> v1::ReserveRequest {
    v1::ReserveRequest { lines: vec![line("tea", 1)], ..Default::default() }
}

/// A reserve whose message has exactly that many bytes. The request id makes it long, and is refused for it.
fn of_size(bytes: usize) -> v1::ReserveRequest {
    use prost::Message;
    let with = |request_id| v1::ReserveRequest {
        context: Some(v1::Context { request_id, ..Default::default() }),
        ..reserve()
    };
    let around = with("x".repeat(bytes / 2)).encoded_len() - bytes / 2;
    let request = with("x".repeat(bytes - around));
    assert_eq!(request.encoded_len(), bytes);
    request
}

async fn a_message_has_four_mebibytes_at_most(world: &World) {
    let before = world.seen().await;
    let told = ours(&world.reservations().reserve(of_size(MESSAGE_MAX)).await.expect_err("the request id is too long"));
    assert_eq!(told.fields[0].field, "context.request_id");
    let beyond = world.reservations().reserve(of_size(MESSAGE_MAX + 1)).await.expect_err("too large");
    assert_eq!(beyond.code(), Code::OutOfRange, "{beyond}");
    let half = v1::Operation { body: Some(Asked::Reserve(of_size(MESSAGE_MAX / 2))) };
    let batch: BatchRequest = [&half; 3].into_iter().collect();
    assert_eq!(world.reservations().batch(batch).await.expect_err("too large").code(), Code::OutOfRange);
    world.unchanged_since(&before).await;
}

async fn a_batch_has_ten_thousand_operations_at_most(world: &World) {
    let before = world.seen().await;
    // Empty ones are refused each in its place.
    let empty = BatchRequest { operations: vec![Bytes::new(); 10_000] };
    let answered = world.reservations().batch(empty).await.expect("answered").into_inner();
    let results = answered.to_results().expect("results");
    assert_eq!(results.len(), 10_000);
    for result in results {
        let Some(Answered::Error(told)) = result.body else { panic!("an empty operation was done") };
        assert_eq!((told.code(), told.fields[0].field.as_str()), (v1::Code::InvalidArgument, "operation"));
    }
    let beyond = BatchRequest { operations: vec![Bytes::new(); 10_001] };
    let told = ours(&world.reservations().batch(beyond).await.expect_err("too many"));
    assert_eq!(told.fields[0].field, "operations");
    let none = world.reservations().batch(BatchRequest::default()).await.expect("nothing is done");
    assert!(none.into_inner().results.is_empty());
    world.unchanged_since(&before).await;
}

/// A session that sends these frames: how it ended, and the results.
async fn session(world: &World, sent: Vec<v1::SessionRequest>) -> (Vec<Tagged>, Option<Status>) {
    let frames = world.reservations().session(iter(sent)).await.expect("a session");
    let mut frames = frames.into_inner();
    let mut results = Vec::new();
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => results.extend(frame.results),
            Err(status) => return (results, Some(status)),
        }
    }
    (results, None)
}

fn tagged(tag: u64, asked: v1::ReserveRequest) -> Tagged {
    Tagged::operation(tag, &v1::Operation { body: Some(Asked::Reserve(asked)) })
}

fn answered(result: &Tagged) -> Option<Answered> {
    result.to_result().expect("a result").body
}

async fn a_session_tells_why_it_ended(world: &World) {
    let before = world.seen().await;
    let frame = |operations| v1::SessionRequest { operations, session: 0 };
    let (results, ended) = session(world, vec![frame(Vec::new()), frame(vec![Tagged::default()])]).await;
    assert!(ended.is_none(), "{ended:?}");
    let Some(Answered::Error(told)) = answered(&results[0]) else { panic!("done") };
    assert_eq!(told.fields[0].field, "operation");

    let (results, ended) = session(world, vec![frame(vec![tagged(1, of_size(MESSAGE_MAX))])]).await;
    assert!(results.is_empty(), "{results:?}");
    assert_eq!(ended.map(|status| status.code()), Some(Code::OutOfRange), "a frame has 4 MiB at most");
    world.unchanged_since(&before).await;

    // What was asked before is answered.
    let good = v1::ReserveRequest { reservation_id: reservation_id(now_ms(), 5), ..reserve() };
    let frames = vec![frame(vec![tagged(7, good)]), frame(vec![tagged(8, of_size(MESSAGE_MAX))])];
    let (results, ended) = session(world, frames).await;
    assert_eq!(results.len(), 1, "{results:?}");
    assert!(matches!(answered(&results[0]), Some(Answered::Reserve(_))));
    assert_eq!(ended.map(|status| status.code()), Some(Code::OutOfRange));
}

/// Bytes that are no operation are refused like any other bad one, and those beside them are done.
async fn what_is_no_operation_is_refused_alone(world: &World) {
    let before = world.seen().await;
    let broken = [vec![0xff; 40], vec![0x0a, 0x05, 0x1a], vec![0x0a, 0x02, 0x12, 0x7f], vec![0x0b; 16]];
    let operations = (0..).zip(&broken).map(|(tag, bytes)| Tagged { tag, body: bytes.clone().into() }).collect();
    let (results, ended) = session(world, vec![v1::SessionRequest { operations, session: 0 }]).await;
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(results.len(), broken.len());
    for result in &results {
        let Some(Answered::Error(told)) = answered(result) else { panic!("done: {result:?}") };
        assert_eq!((told.code(), told.fields[0].field.as_str()), (v1::Code::InvalidArgument, "operation"));
    }
    world.unchanged_since(&before).await;
}

async fn what_was_sent_in_another_session_is_not_fresh_here(world: &World) {
    let before = world.seen().await;
    let fresh = |random| v1::ReserveRequest {
        reservation_id: reservation_id(now_ms(), random),
        delivery: Some(v1::Delivery { fresh: true, ..Default::default() }),
        ..reserve()
    };
    let frame = |session, random| v1::SessionRequest { operations: vec![tagged(1, fresh(random))], session };
    let (results, _) = session(world, vec![frame(77, 21)]).await;
    let Some(Answered::Error(told)) = answered(&results[0]) else { panic!("done") };
    assert_eq!((told.code(), told.fields[0].field.as_str()), (v1::Code::InvalidArgument, "session"));
    world.unchanged_since(&before).await;
    // Whoever names none may send it once more, so it goes by the log.
    let (results, _) = session(world, vec![frame(0, 22)]).await;
    assert!(matches!(answered(&results[0]), Some(Answered::Reserve(_))));
}

async fn more_than_the_credit_is_overloaded_and_not_done(world: &World) {
    let before = world.seen().await;
    let credit = usize::try_from(earmark_node::config::Limits::default().session_credit).expect("small");
    let bad = v1::ReserveRequest::default();
    let operations = (0..).map(|tag| tagged(tag, bad.clone())).take(credit + 1_000).collect();
    let (results, ended) = session(world, vec![v1::SessionRequest { operations, session: 0 }]).await;
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(results.len(), credit + 1_000);
    let code = |result: &Tagged| match answered(result) {
        Some(Answered::Error(told)) => told.code(),
        other => panic!("{other:?}"),
    };
    let overloaded = results.iter().filter(|result| code(result) == v1::Code::Overloaded).count();
    assert_eq!(overloaded, 1_000, "of one frame just what is beyond the credit");
    world.unchanged_since(&before).await;
}

/// The same tags as a reserve, other types.
#[derive(Clone, PartialEq, prost::Message)]
struct NotText {
    #[prost(bytes = "vec", tag = "2")]
    namespace: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NotLines {
    #[prost(uint64, tag = "3")]
    lines: u64,
}

async fn raw<M: prost::Message + Default + 'static>(channel: &Channel, message: M) -> Status {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.expect("connected");
    let path = "/earmark.v1.ReservationService/Reserve".parse().expect("a path");
    let codec = ProstCodec::<M, v1::ReserveResponse>::default();
    grpc.unary(Request::new(message), path, codec).await.expect_err("no such message")
}

async fn bytes_that_are_no_message_do_no_harm(world: &World) {
    let before = world.seen().await;
    let status = raw(&world.channel, NotText { namespace: vec![0xff, 0xfe, 0x00] }).await;
    assert_eq!(status.code(), Code::Internal, "{status}");
    let status = raw(&world.channel, NotLines { lines: u64::MAX }).await;
    assert_eq!(status.code(), Code::Internal, "{status}");

    let mut large = Request::new(reserve());
    large.metadata_mut().insert("x-large", "x".repeat(64 << 10).parse().expect("a header"));
    // For so many headers a node may close the connection, under whatever else was asked on it.
    let mut hostile = ReservationServiceClient::new(channel(&world.ports).await);
    let status = hostile.reserve(large).await.expect_err("headers beyond 16 KiB");
    assert_ne!(status.code(), Code::Ok, "{status}");

    for port in &world.ports {
        for bytes in
            [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 4_096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"]
        {
            let mut stream = TcpStream::connect(("127.0.0.1", *port)).expect("connected");
            stream.set_write_timeout(Some(Duration::from_secs(5))).expect("set");
            stream.write_all(bytes).expect("written");
        }
    }
    world.unchanged_since(&before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_does_no_harm() {
    let world = World::new().await;
    a_message_has_four_mebibytes_at_most(&world).await;
    a_batch_has_ten_thousand_operations_at_most(&world).await;
    a_session_tells_why_it_ended(&world).await;
    what_is_no_operation_is_refused_alone(&world).await;
    what_was_sent_in_another_session_is_not_fresh_here(&world).await;
    more_than_the_credit_is_overloaded_and_not_done(&world).await;
    bytes_that_are_no_message_do_no_harm(&world).await;
    world.end().await;
}
