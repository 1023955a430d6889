//! Deploy: under load, every process is replaced by a new one, one after the other. Every request is answered, and every booking
//! goes on.
//!
//! Before each part stands what a platform has there: connections go to the processes that say that they are ready. Run by `make
//! test-deploy`, with the programs of `HOLDFAST_PROGRAMS`, which are replaced by those of `HOLDFAST_PROGRAMS_NEW`.

use super::{
    own_stack::OwnStack,
    people::{self, Outcome, Seen},
};
use crate::world::World;
use dev::{addresses::Addresses, stack::Part};
use futures::future::join_all;
use reqwest::Client;
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{Instant, interval, sleep},
};

/// People who look at their bookings again and again, and people who rent.
const READERS: u32 = 97;
const RENTERS: usize = 3;
/// As often as a platform looks at readiness. A process still takes what comes for longer than that after it is told to end.
const READY_EVERY: Duration = Duration::from_millis(200);
const READY_MAX: Duration = Duration::from_secs(2);
const DRAIN_LEAD_SECONDS: &str = "1";
/// Load before, between and after the replacements.
const CALM: Duration = Duration::from_secs(2);

/// One process: where it serves, and where it says that it is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Backend {
    port: u16,
    admin: u16,
}

/// Where a process of a part is.
type At = fn(&Addresses) -> Backend;

/// What stands before the processes of a part.
#[derive(Clone)]
struct Front {
    port: u16,
    ready: Arc<Mutex<Vec<Backend>>>,
    all: Arc<Mutex<Vec<Backend>>>,
}

impl Front {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let front = Self { port, ready: Arc::default(), all: Arc::default() };
        tokio::spawn(front.clone().look());
        tokio::spawn(front.clone().balance(listener));
        front
    }

    fn add(&self, backend: Backend) {
        self.all.lock().unwrap().push(backend);
        // It was waited for until it was ready.
        self.ready.lock().unwrap().push(backend);
    }

    async fn look(self) {
        let client = Client::builder().timeout(READY_MAX).build().unwrap();
        let mut look = interval(READY_EVERY);
        loop {
            look.tick().await;
            let all = self.all.lock().unwrap().clone();
            let ready = join_all(all.iter().map(async |backend| {
                let url = format!("http://127.0.0.1:{}/health/ready", backend.admin);
                client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
            }));
            let ready = ready.await;
            let ready = all.into_iter().zip(ready).filter_map(|(backend, ready)| ready.then_some(backend));
            *self.ready.lock().unwrap() = ready.collect();
        }
    }

    async fn balance(self, listener: TcpListener) {
        let turn = AtomicUsize::new(0);
        while let Ok((mut stream, _)) = listener.accept().await {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let ready = self.ready.lock().unwrap().clone();
            tokio::spawn(async move {
                for next in 0..ready.len() {
                    let backend = ready[(turn + next) % ready.len()];
                    if let Ok(mut there) = TcpStream::connect(("127.0.0.1", backend.port)).await {
                        let _closed = copy_bidirectional(&mut stream, &mut there).await;
                        return;
                    }
                }
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make test-deploy"]
async fn every_process_is_replaced_under_load_and_no_request_is_lost() {
    let fronts = join_all((0..5).map(|_| Front::start())).await;
    let [gateways, catalog, payment, notification, fulfilment] = &fronts[..] else { unreachable!("five") };
    let own = OwnStack::with(Part::APART, |at| {
        let at = at.with("HOLDFAST_DRAIN_LEAD_SECONDS", DRAIN_LEAD_SECONDS).with("HOLDFAST_ANSWER_SECONDS", "1");
        Addresses {
            catalog_url_port: catalog.port,
            payment_url_port: payment.port,
            notification_url_port: notification.port,
            fulfilment_url_port: fulfilment.port,
            ..at
        }
    });
    let mut own = own.await;
    let parts: [(Part, &Front, At); 5] = [
        (Part::Catalog, catalog, |at| Backend { port: at.catalog_http, admin: at.catalog_admin }),
        (Part::Payment, payment, |at| Backend { port: at.payment_http, admin: at.payment_admin }),
        (Part::Notification, notification, |at| Backend { port: at.notification_http, admin: at.notification_admin }),
        (Part::Fulfilment, fulfilment, |at| Backend { port: at.fulfilment_http, admin: at.fulfilment_admin }),
        (Part::Orchestrator, gateways, |at| Backend { port: at.http, admin: at.admin }),
    ];
    for (_, front, at) in &parts {
        front.add(at(&own.stack.addresses));
    }
    let second = own.stack.run_replica(Part::Orchestrator).await.unwrap();
    gateways.add(Backend { port: second.http, admin: second.admin });
    let world = &World::at(&Addresses { http: gateways.port, ..own.stack.addresses.clone() });
    let book = world.book().await;
    let (kept, cancelled) = (world.paid(book).await, world.paid(world.book().await).await);
    let seen = &Seen::default();

    let load = async {
        let readers = join_all((0..READERS).map(|number| people::read(world, seen, number, READERS)));
        let renters = join_all((0..RENTERS).map(|_| people::rent(world, seen)));
        let (_, rentals) = tokio::join!(readers, renters);
        rentals.concat()
    };
    let roll = async {
        let began = Instant::now();
        sleep(CALM).await;
        if let Some(new) = std::env::var_os("HOLDFAST_PROGRAMS_NEW") {
            own.stack.use_programs(PathBuf::from(new));
        }
        for (part, front, at) in parts {
            // Both gateways, and the one process of every other part.
            for _ in 0..if part == Part::Orchestrator { 2 } else { 1 } {
                let new = own.stack.run_replica(part).await.unwrap();
                front.add(at(&new));
                tokio::task::block_in_place(|| own.stack.stop(part));
                sleep(CALM).await;
            }
        }
        seen.end();
        began.elapsed()
    };
    let (rentals, took) = tokio::join!(load, roll);

    let asked = seen.take();
    let lost: Vec<&Outcome> = asked.iter().map(|one| &one.outcome).filter(|what| **what != Outcome::Answered).collect();
    let answered = asked.len() - lost.len();
    println!(
        "six processes replaced in {took:.1?}: {answered} requests answered, {} lost, {} rentals",
        lost.len(),
        rentals.len()
    );
    assert!(lost.is_empty(), "{} of {answered} were lost: {:#?}", lost.len(), &lost[..lost.len().min(10)]);
    assert!(rentals.len() >= RENTERS, "{} rentals", rentals.len());
    for rental in &rentals {
        assert_eq!(world.booking(rental).await["ending"], "completed");
        world.assert_agrees(rental).await;
    }
    // What waited all the time goes on, on what it was told by others.
    for (id, ending) in [(&kept, "completed"), (&cancelled, "undone")] {
        assert_eq!(world.booking(id).await["stage"], "paid");
        if ending == "undone" {
            world.cancel(id).await.assert_status(200);
        } else {
            world.decide(book, id, "approve").await.assert_status(200);
            world.bring_back(id).await;
        }
        assert_eq!(world.ended(id).await["ending"], ending);
        world.assert_agrees(id).await;
    }
}
