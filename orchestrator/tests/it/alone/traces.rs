//! Traces and logs: one rental followed from the request to the payment provider and back, through every process.

use super::own_stack::OwnStack;
use crate::world::World;
use dev::stack::Part;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value as Said,
    trace::v1::Span,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// A collector of traces, as an operator would have one.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let sent = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(sent.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)),
        );
        address
    }

    /// The spans of a trace that have ended.
    fn of(&self, trace: &str) -> Vec<Span> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| hex(&span.trace_id) == trace).cloned().collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What a span hangs from, the innermost first. A saga's own span is only sent when it has ended.
fn line(spans: &[Span], name: &str) -> Vec<String> {
    let mut at = spans.iter().find(|span| span.name == name);
    let mut names = Vec::new();
    while let Some(span) = at {
        names.push(span.name.clone());
        at = spans.iter().find(|other| other.span_id == span.parent_span_id);
    }
    names
}

fn says(span: &Span, key: &str) -> Option<String> {
    let said = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match said {
        Said::StringValue(text) => text,
        Said::IntValue(number) => number.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

#[tokio::test]
async fn one_rental_is_followed_from_the_request_to_the_provider_and_in_every_log() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const CALLER: &str = "00f067aa0ba902b7";
    const CARD: &str = "tok_planted_card";
    let collector = Collector::default();
    let endpoint = format!("http://{}", collector.start().await);
    let own = OwnStack::with(Part::APART, |at| {
        at.with("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .with("OTEL_BSP_SCHEDULE_DELAY", "100")
            .with("RUST_LOG", "info,process=debug,workers=debug")
    });
    let own = own.await;
    let world = World::at(&own.stack.addresses);

    let book = world.book().await;
    let body = json!({ "bookId": book, "paymentMethod": CARD });
    let request = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token).json(&body);
    // The caller follows it too. What else it says stays here.
    let request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-01")).header("tracestate", "v=planted");
    let rental = world.send(request.header("baggage", "planted=1")).await.assert_status(201).id();
    world.until(&rental, "paid", |booking| booking["stage"] == "paid").await;
    world.reject(book).await.assert_status(200);
    world.ended(&rental).await;

    let all_there = |spans: &Vec<Span>| {
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        has("RunWorkflow:ebook.rental") && has("RunActivity:payment.refund") && has("POST /ebook/rents")
    };
    let spans = world.eventually("its trace", async || collector.of(TRACE), all_there).await;
    let charged = [
        "payment provider",
        "RunActivity:payment.charge",
        "StartActivity:payment.charge",
        "RunWorkflow:ebook.rental",
        "StartWorkflow:ebook.rental",
        "POST /ebook/rents",
    ];
    assert_eq!(line(&spans, "payment provider"), charged);
    // On the short road, from worker to request.
    for (asked, of) in [("catalog.hold", "catalog"), ("notification.send", "notification")] {
        let line = line(&spans, asked);
        assert!(line.len() > 3, "{asked}: {line:?} {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
        assert_eq!(line[1], format!("the short road to {of}"), "{line:?}");
        assert_eq!(line[line.len() - 1], "POST /ebook/rents", "{line:?}");
    }

    let arrived = spans.iter().find(|span| span.name == "POST /ebook/rents").unwrap();
    assert_eq!(hex(&arrived.parent_span_id), CALLER);
    assert_eq!(says(arrived, "booking"), Some(rental.clone()));
    assert_eq!(says(arrived, "http.response.status_code"), Some("201".to_owned()));
    let mut asked: Vec<_> = spans.iter().filter(|span| span.name == "payment provider").collect();
    asked.sort_by_key(|span| span.start_time_unix_nano);
    let asked: Vec<_> = asked.iter().map(|span| (says(span, "operation"), says(span, "outcome"))).collect();
    let said = |operation: &str, outcome: &str| (Some(operation.to_owned()), Some(outcome.to_owned()));
    assert_eq!(asked, [said("charge", "captured"), said("refund", "done")]);
    // Another request is another trace, which names the same booking.
    let everything = collector.0.lock().unwrap().clone();
    let decided = everything.iter().find(|span| span.name == "PATCH /ebook/books/reject/{item}").unwrap();
    assert_ne!(hex(&decided.trace_id), TRACE);
    assert_eq!(says(decided, "booking"), Some(rental.clone()));

    for part in [Part::Orchestrator, Part::Catalog, Part::Payment, Part::Notification] {
        let log = own.stack.log(part).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ours = lines.filter(|line| line["span"]["booking"] == rental.as_str() && line["span"]["trace"] == TRACE);
        assert!(ours.count() > 0, "{} logged nothing of it", part.name());
        for secret in [CARD, &world.member.token, "planted"] {
            assert!(!log.contains(secret), "{} logged {secret}", part.name());
        }
    }
    let everything = format!("{everything:?}");
    for secret in [CARD, &world.member.token, "planted"] {
        assert!(!everything.contains(secret), "{secret} is in a trace");
    }
}
