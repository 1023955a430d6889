//! Secrets, and what is known of people: markers are planted wherever either is taken in, and then looked for in everything that
//! is kept or told.

use super::own_stack::OwnStack;
use crate::world::World;
use base64::{Engine, engine::general_purpose::STANDARD};
use dev::{
    simulator::faults::{Before, Fault, Operation},
    stack::Part,
};
use reqwest::Method;
use serde_json::json;
use std::{collections::BTreeMap, process::Command};
use uuid::Uuid;

/// A marker, and where it may be: tables by name, `logs`, `temporal`, `metrics`, `answers`.
struct Marker {
    text: String,
    may_be: &'static [&'static str],
}

/// Where a marker was found, by place.
fn found(places: &BTreeMap<String, Vec<u8>>, marker: &Marker) -> Vec<String> {
    let needle = marker.text.as_bytes();
    let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let outside = places.iter().filter(|(place, bytes)| !marker.may_be.contains(&place.as_str()) && has(bytes));
    outside.map(|(place, _)| format!("{} in {place}", marker.text)).collect()
}

/// The tables of a dump, by name.
fn tables(dump: &str) -> BTreeMap<String, Vec<u8>> {
    let copies = dump.split("\nCOPY ").skip(1);
    let table = |copy: &str| {
        let (name, rest) = copy.split_once(' ').unwrap();
        (name.to_owned(), rest.split("\n\\.\n").next().unwrap_or_default().as_bytes().to_vec())
    };
    copies.map(table).collect()
}

#[tokio::test]
async fn no_secret_and_nothing_about_a_person_is_where_it_should_not_be() {
    let mark = |what: &str| format!("{what}-{}", Uuid::now_v7().simple());
    let (signing, service, key) = (mark("signing"), mark("service"), Uuid::now_v7().simple().to_string());
    let keys = format!("marked:{}", STANDARD.encode(&key));
    let mut own = OwnStack::with(Part::APART, |at| {
        let at = at.with("HOLDFAST_JWT_SECRET", &signing).with("HOLDFAST_SERVICE_SECRET", &service);
        // Everything that is said, and not only what matters.
        at.with("HOLDFAST_PAYLOAD_KEYS", &keys).with("RUST_LOG", "debug")
    })
    .await;
    let world = World::at(&own.stack.addresses);
    let mut places = BTreeMap::<String, Vec<u8>>::new();
    let mut markers = Vec::new();
    let mut plant = |text: String, may_be: &'static [&'static str]| {
        markers.push(Marker { text: text.clone(), may_be });
        text
    };
    plant(signing.clone(), &[]);
    plant(service.clone(), &[]);
    plant(key.clone(), &[]);
    plant(STANDARD.encode(&key), &[]);
    for person in [&world.member, &world.librarian, &world.operator] {
        plant(person.token.rsplit('.').next().unwrap().to_owned(), &[]);
    }

    // What people say of themselves.
    let mail = plant(mark("mail"), &["notification.contacts", "notification.messages", "contact"]);
    let contact = json!({ "mail": format!("{mail}@example.com"), "phone": "+82 10 7777 3333", "language": "en" });
    plant("7777 3333".to_owned(), &["notification.contacts", "contact"]);
    let answer = world.put(&world.member, "/me/contact", contact).await.assert_status(200).body;
    places.insert("contact".to_owned(), answer.to_string().into_bytes());
    let card = plant(mark("card"), &["payment.charges"]);
    let callers_key = plant(mark("callers-key"), &[]);
    let book = world.book().await;
    let rent = world.request(Method::POST, "/ebook/rents").bearer_auth(&world.member.token);
    let rent = rent.header("idempotency-key", &callers_key).json(&json!({ "bookId": book, "paymentMethod": card }));
    let rented = world.send(rent).await.assert_status(201);
    let rental = rented.id();
    let guest = plant(mark("guest"), &["board.bookings", "board.history", "resort"]);
    let resort = json!({ "resortName": "Jeju", "resortPrice": 100_000, "resortPeriod": "7/23~25" });
    let resort = world.registered(&world.librarian, "/resort/resorts", resort).await;
    let stay = json!({ "resortId": resort, "memberName": guest });
    let stay = world.post(&world.member, "/resort/reservations", stay).await.assert_status(201);
    places.insert("resort".to_owned(), stay.body.to_string().into_bytes());
    let receiver = json!({ "url": "https://receiver.example.com/", "system": "ebook" });
    let receiver = world.post(&world.operator, "/webhooks", receiver).await.assert_status(201).body;
    plant(receiver["secret"].as_str().unwrap().to_owned(), &["board.receivers"]);

    // What goes wrong on the way: errors say things too.
    let wrong = plant(mark("wrong"), &[]);
    let bad = json!({ "mail": format!("{wrong} no address"), "phone": wrong });
    let refused = world.put(&world.member, "/me/contact", bad).await.assert_status(400);
    places.insert("answers".to_owned(), refused.body.to_string().into_bytes());
    let forged = world.request(Method::GET, "/bookings").bearer_auth(plant(mark("forged"), &[]));
    let refused = world.send(forged).await.assert_status(401);
    places.get_mut("answers").unwrap().extend(refused.body.to_string().into_bytes());
    world.at_stage(&rental, "paid").await;
    let broken =
        Fault { operation: Some(Operation::Refund), before: Some(Before::Error), times: Some(2), ..Fault::default() };
    world.fault(broken).await;
    own.stack.kill(Part::Notification);
    // Heard, and it takes a while.
    assert!(world.reject(book).await.status.is_success());
    world.ended(&rental).await;
    own.stack.run(Part::Notification).await.unwrap();
    let http = reqwest::Client::new();
    let admin = own.stack.addresses.clone();
    let ports =
        [admin.admin, admin.catalog_admin, admin.payment_admin, admin.notification_admin, admin.fulfilment_admin];
    let mut metrics = Vec::new();
    for port in ports {
        let url = format!("http://127.0.0.1:{port}/metrics");
        metrics.extend(http.get(url).send().await.unwrap().bytes().await.unwrap());
    }
    places.insert("metrics".to_owned(), metrics);
    let dump =
        Command::new("pg_dump").args(["--dbname", world.setting("HOLDFAST_ADMIN_DATABASE_URL")]).output().unwrap();
    let dump = String::from_utf8(dump.stdout).unwrap();
    places.extend(tables(&dump));
    assert!(
        places.contains_key("payment.charges") && places.contains_key("notification.contacts"),
        "a dump has tables"
    );
    own.stack.end();
    let mut logs = Vec::new();
    for part in Part::APART.iter().filter(|part| !matches!(part, Part::Simulator)) {
        logs.extend(own.stack.log(*part).unwrap().into_bytes());
    }
    places.insert("logs".to_owned(), logs);
    let mut temporal = Vec::new();
    for entry in std::fs::read_dir(&own.folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("temporal.db") {
            temporal.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    places.insert("temporal".to_owned(), temporal);

    // The search itself finds what is there.
    let there = [("payment.charges", &card), ("board.bookings", &guest), ("temporal", &rental), ("logs", &rental)];
    for (place, text) in there {
        let marker = Marker { text: text.clone(), may_be: &[] };
        assert!(found(&places, &marker).iter().any(|found| found.ends_with(place)), "{text} is not in {place}");
    }
    let misplaced: Vec<String> = markers.iter().flat_map(|marker| found(&places, marker)).collect();
    assert!(misplaced.is_empty(), "{misplaced:#?}");
}
