//! What a contract test needs: the stack's databases, a provider of its own, and fresh bookings.

use deadpool_postgres::Pool;
use dev::{
    addresses::Addresses,
    simulator::{self, books::Charge, faults::Fault},
};
use iso_currency::Currency;
use std::{collections::HashMap, path::Path, time::Duration};
use tokio::net::TcpListener;
use uuid::Uuid;
use workers::payment::Simulator;
use workflows::{booking::BookingId, contracts::payment::ChargeRequest, money::Money};

/// The settings of this test run's stack.
pub fn settings() -> HashMap<String, String> {
    let stack = std::env::var("HOLDFAST_STACK").expect("no stack: run the tests with `make test`");
    serde_json::from_str::<Addresses>(&stack).unwrap().environment().into_iter().collect()
}

/// The database of a worker, as that worker sees it.
pub fn database(worker: &str) -> Pool {
    let name = format!("HOLDFAST_{worker}_DATABASE_URL");
    process::postgres::pool(&settings()[name.as_str()].clone().into()).unwrap()
}

pub fn booking() -> BookingId {
    BookingId(Uuid::now_v7())
}

pub fn won(amount: i64) -> Money {
    Money::new(amount, Currency::KRW).unwrap()
}

/// A provider process of this test's own, with its own books.
pub struct Provider {
    pub url: String,
    pub client: Simulator,
    http: reqwest::Client,
}

impl Provider {
    pub async fn start() -> Self {
        Self::forgetting_keys_after(Duration::from_hours(24)).await
    }

    pub async fn forgetting_keys_after(key_memory: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let books =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("holdfast-books-{}.jsonl", Uuid::now_v7().simple()));
        tokio::spawn(simulator::serve(listener, simulator::Settings { books, key_memory }));
        Self { client: Simulator::new(&url).unwrap(), url, http: reqwest::Client::new() }
    }

    pub async fn fault(&self, fault: Fault) {
        self.http.put(format!("{}/faults", self.url)).json(&fault).send().await.unwrap().error_for_status().unwrap();
    }

    pub async fn books(&self) -> Vec<Charge> {
        self.http.get(format!("{}/books", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Somebody gives it back at the provider's own console.
    pub async fn refund_by_hand(&self, booking: BookingId) {
        let url = format!("{}/books/{booking}/refund", self.url);
        self.http.post(url).send().await.unwrap().error_for_status().unwrap();
    }
}

/// A charge of 3,000 won.
pub fn charge_request(booking: BookingId) -> ChargeRequest {
    ChargeRequest {
        booking,
        workflow: format!("test/{booking}"),
        customer: "c".parse().unwrap(),
        amount: won(3000),
        method: None,
        was_captured: false,
    }
}
