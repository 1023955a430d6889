//! The console, as people use it: with a browser, a mouse, a keyboard or a thumb.

use super::{
    browser::{Driver, Helper, Window, tools},
    own_stack::OwnStack,
};
use crate::world::World;
use dev::{
    addresses::Addresses,
    simulator::faults::{Fault, Operation},
    stack::Part,
};
use fantoccini::key::Key;
use futures::join;
use serde_json::json;
use std::process::Command;

const NASTY: &str = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>'\"{{7*7}}";

/// Everything a rental is, by clicks alone; what happens elsewhere shows by itself.
#[tokio::test]
async fn people_work_in_the_console() {
    let mut own = OwnStack::of(Part::TOGETHER).await;
    let world = World::at(&own.stack.addresses);
    let driver = Driver::start().await;
    let (admin, member) = (driver.open(&own).await, driver.open(&own).await);
    admin.go("/console/inbox?system=ebook").await;
    admin.until("location.pathname === '/console/sign-in'".to_owned()).await;
    admin.assert_accessible("sign in").await;
    admin.picture("sign-in").await;
    join!(admin.sign_in("librarian", &["admin", "operator"]), member.sign_in("ada", &["member"]));

    whole_rental(&admin, &member).await;
    two_decide_at_once(&driver, &own, &admin, &member).await;
    keyboard_only(&world, &driver, &own).await;
    the_shop(&world, &driver, &own).await;
    stuck(&world, &admin).await;
    refusals(&world, &admin).await;
    nothing_nasty(&world, &admin).await;
    phone(&world, &member, &admin).await;
    lost_and_found(&mut own, &world, &admin).await;
}

async fn register(admin: &Window, name: &str) {
    admin.go("/console/catalogue/ebook").await;
    admin.fill("new-bookName", name).await;
    admin.fill("new-rentalFee", "3000").await;
    admin.click("#register").await;
    admin.shows("Done: registered.").await;
}

async fn ask_for(member: &Window, name: &str) {
    member.go("/console/new/ebook").await;
    member.choose("bookId", name).await;
    member.click("#book").await;
    member.until("location.pathname.startsWith('/console/bookings/')".to_owned()).await;
}

async fn whole_rental(admin: &Window, member: &Window) {
    register(admin, "Dune").await;
    admin.assert_accessible("catalogue").await;
    admin.picture("catalogue").await;
    admin.go("/console/inbox").await;
    admin.shows("Nothing waits for you").await;
    admin.shows("Live").await;

    member.go("/console/new/ebook").await;
    member.assert_accessible("new booking").await;
    member.picture("new-booking").await;
    ask_for(member, "Dune").await;
    member.shows("waits for the administrator").await;

    // It shows in the administrator's inbox without a click.
    admin.shows("Dune").await;
    admin.shows("left").await;
    admin.assert_accessible("inbox").await;
    admin.picture("inbox").await;
    admin.go("/console").await;
    admin.shows("3000 KRW").await;
    admin.assert_accessible("today").await;
    admin.picture("today").await;
    admin.go("/console/inbox").await;
    admin.click("button[id^=approve-]").await;
    admin.shows("Done: approve.").await;
    admin.shows("Nothing waits for you").await;

    // And its approval on the member's page.
    member.shows("approved").await;
    member.assert_accessible("booking").await;
    member.picture("booking").await;
    member.click("button[id^=return-]").await;
    member.shows("returned").await;
    member.shows("It has ended: completed").await;
    member.shows("capture").await;
    member.go("/console").await;
    member.shows("My bookings").await;
    member.assert_accessible("my bookings").await;
    admin.go("/console/bookings").await;
    admin.shows("Dune").await;
    admin.assert_accessible("bookings").await;
    admin.go("/docs").await;
    admin.assert_accessible("docs").await;
    admin.picture("docs").await;
}

/// Both see the same request; one click counts, and the other is told so.
async fn two_decide_at_once(driver: &Driver, own: &OwnStack, admin: &Window, member: &Window) {
    let other = driver.open(own).await;
    other.sign_in("second", &["admin"]).await;
    register(admin, "Solaris").await;
    ask_for(member, "Solaris").await;
    member.shows("waits for the administrator").await;
    join!(admin.go("/console/inbox"), other.go("/console/inbox"));
    join!(admin.shows("Solaris"), other.shows("Solaris"));
    let booking = member.run("return location.pathname.split('/').pop()").await;
    let booking = booking.as_str().unwrap();
    admin.fill(&format!("reject-because-{booking}"), "The book is damaged.").await;
    let (reject, approve) = (format!("#reject-{booking}"), format!("#approve-{booking}"));
    join!(admin.click(&reject), other.click(&approve));
    let good = "document.querySelector('.notice.good')";
    let rejected = tokio::select! {
        () = admin.until(good.to_owned()) => true,
        () = other.until(good.to_owned()) => false,
    };
    // Whoever was too late is told so, or saw it go before they could click.
    let late = if rejected { &other } else { admin };
    let over = "document.querySelector('.notice') || document.body.innerText.includes('Nothing waits for you')";
    late.until(over.to_owned()).await;
    assert_eq!(late.run(&format!("return {good} === null")).await, true, "one of two counts");
    member.shows(if rejected { "The book is damaged." } else { "approved" }).await;
    other.page.close().await.unwrap();
}

/// No mouse: sign in, find the way, decide.
async fn keyboard_only(world: &World, driver: &Driver, own: &OwnStack) {
    let book = world.book().await;
    let rental = world.paid(book).await;
    let window = driver.open(own).await;
    window.go("/console/inbox").await;
    window.tab_to("#subject").await;
    window.tab_to("input[name=member]").await;
    window.page.active_element().await.unwrap().send_keys(" ").await.unwrap();
    window.tab_to("input[name=admin]").await;
    window.page.active_element().await.unwrap().send_keys(" ").await.unwrap();
    window.tab_to("form.card button").await;
    window.press(Key::Enter).await;
    // Back where they wanted to go.
    window.until("location.pathname === '/console/inbox'".to_owned()).await;
    window.tab_to(&format!("#approve-{rental}")).await;
    window.press(Key::Enter).await;
    window.shows("Done: approve.").await;
    world.until(&rental, "approved", |booking| booking["stage"] == "approved").await;
    window.page.close().await.unwrap();
}

/// Assign, with a choice of stylists.
async fn the_shop(world: &World, driver: &Driver, own: &OwnStack) {
    world.registered(&world.manager, "/salon/hrSystems", json!({ "stylistName": "Mina" })).await;
    let asked = json!({ "time": "10:00", "userName": "Ada" });
    let id = world.book_and_wait(&world.member, "/salon/reservationSystems", asked).await.assert_status(201).id();
    let shop = driver.open(own).await;
    shop.sign_in("shop", &["manager"]).await;
    shop.go("/console/inbox").await;
    shop.choose(&format!("assign-stylist-{id}"), "Mina").await;
    shop.click(&format!("#assign-{id}")).await;
    shop.shows("Done: assign.").await;
    world.at_stage(&id, "confirmed").await;
    shop.page.close().await.unwrap();
}

/// A refund that the provider refuses: the moves, tried out and made; and the provider's switch.
async fn stuck(world: &World, operator: &Window) {
    let book = world.book().await;
    world.fault(Fault { operation: Some(Operation::Refund), refuse_refunds: true, ..Fault::default() }).await;
    let rental = world.paid(book).await;
    world.reject(book).await;
    world.at_stage(&rental, "stuck").await;
    operator.go("/console/stuck").await;
    operator.shows("at risk").await;
    operator.assert_accessible("stuck").await;
    operator.picture("stuck").await;
    operator.fill(&format!("retry-reason-{rental}"), "The provider is back.").await;
    operator.click(&format!("form[action$='{rental}/retry'] button[name=dry_run]")).await;
    operator.shows("Nothing was done.").await;
    world.no_faults().await;
    operator.fill(&format!("retry-reason-{rental}"), "The provider is back.").await;
    operator.click(&format!("form[action$='{rental}/retry'] button:not([name])")).await;
    world.ended(&rental).await;

    operator.go("/console/stuck").await;
    operator.shows("asked as usual").await;
    operator.fill("provider-reason", "An outage was announced.").await;
    operator.click("#provider-switch").await;
    operator.shows("paused by librarian: An outage was announced.").await;
    operator.fill("provider-reason", "It is over.").await;
    operator.click("#provider-switch").await;
    operator.until("!document.body.innerText.includes('paused by')".to_owned()).await;
}

/// What is refused says so where it was asked, and keeps what was filled in.
async fn refusals(world: &World, admin: &Window) {
    let book = world.book().await;
    world.paid(book).await;
    admin.go("/console/catalogue/ebook").await;
    admin.click(&format!("#remove-{book}")).await;
    admin.shows("A booking holds it, so it cannot be removed.").await;
    admin.assert_accessible("a refusal").await;
    admin.go("/console/catalogue/ebook").await;
    admin.fill("new-bookName", "Kept").await;
    admin.run("document.querySelector('#new-rentalFee').removeAttribute('pattern')").await;
    admin.fill("new-rentalFee", "cheap").await;
    admin.click("#register").await;
    admin.shows("rentalFee: expected").await;
    assert_eq!(admin.run("return document.querySelector('#new-bookName').value").await, "Kept");
    admin.go("/console/bookings/0199b0a1-7c3e-7d0e-9a51-2f6a3c1b7e42").await;
    admin.shows("You have no booking of this id").await;
    admin.go("/console/new/ebook").await;
    admin.shows("Your roles do not allow this").await;
}

/// Whatever is typed into a field is text on every page.
async fn nothing_nasty(world: &World, admin: &Window) {
    let book = world.registered(&world.librarian, "/ebook/books", json!({ "bookName": NASTY, "rentalFee": 1 })).await;
    let rental = world.paid(book).await;
    let said = json!({ "bookings": [rental], "because": NASTY });
    world.post(&world.librarian, "/inbox/reject", said).await.assert_status(200);
    let ended = world.ended(&rental).await;
    assert_eq!(ended["details"]["because"], NASTY);
    for page in ["/console/catalogue/ebook", "/console/bookings", &format!("/console/bookings/{rental}")] {
        admin.go(page).await;
        admin.shows(NASTY).await;
        assert_eq!(admin.run("return window.pwned ?? null").await, json!(null), "{page}");
    }
}

/// On a phone nothing is wider than the screen.
async fn phone(world: &World, member: &Window, admin: &Window) {
    let rental = world.paid(world.book().await).await;
    for window in [member, admin] {
        window.page.set_window_size(390, 844).await.unwrap();
    }
    for page in ["/console/sign-in", "/console", "/console/new/resort"] {
        member.go(page).await;
        member.assert_fits(page).await;
    }
    let booking = format!("/console/bookings/{rental}");
    for page in [
        "/console",
        "/console/inbox",
        "/console/bookings",
        &booking,
        "/console/stuck",
        "/console/catalogue/ebook",
        "/docs",
    ] {
        admin.go(page).await;
        admin.assert_fits(page).await;
    }
    admin.go(&booking).await;
    admin.assert_accessible("a booking on a phone").await;
    admin.picture("phone").await;
    admin.page.set_window_size(1100, 900).await.unwrap();
}

/// A page that is not live says so, and is live again by itself.
async fn lost_and_found(own: &mut OwnStack, world: &World, admin: &Window) {
    admin.go("/console/inbox").await;
    admin.shows("Live").await;
    own.stack.kill(Part::Orchestrator);
    admin.shows("Not live").await;
    own.stack.run(Part::Orchestrator).await.unwrap();
    let name = "Found again";
    let new = json!({ "bookName": name, "rentalFee": 3000 });
    let book = world.registered(&world.librarian, "/ebook/books", new).await;
    world.paid(book).await;
    admin.until("document.querySelector('#live').innerText.startsWith('Live')".to_owned()).await;
    admin.shows(name).await;
}

/// Sign-in at a real provider: the code flow, with roles from its token.
#[tokio::test]
async fn people_sign_in_with_their_organisation() {
    let port = Addresses::free().unwrap().http;
    let issuer = format!("http://127.0.0.1:{port}");
    let own = OwnStack::with(Part::TOGETHER, |at| {
        at.with("HOLDFAST_JWT_SECRET", "")
            .with("HOLDFAST_JWKS_URL", &format!("{issuer}/jwks"))
            .with("HOLDFAST_JWT_ISSUER", &issuer)
            .with("HOLDFAST_JWT_AUDIENCE", "holdfast-console")
            .with("HOLDFAST_OIDC_ISSUER_URL", &issuer)
            .with("HOLDFAST_OIDC_CLIENT_ID", "holdfast-console")
            .with("HOLDFAST_OIDC_CLIENT_SECRET", "not a secret")
    });
    let own = own.await;
    let back = format!("http://127.0.0.1:{}/console/sign-in/callback", own.stack.addresses.http);
    let mut node = Command::new("node");
    node.arg(tools().join("provider.js")).args([&port.to_string(), "holdfast-console", "not a secret", &back]);
    let provider = Helper::start(&mut node);
    provider.answers(&format!("{issuer}/.well-known/openid-configuration")).await;
    let driver = Driver::start().await;
    let window = driver.open(&own).await;

    window.go("/console/bookings").await;
    window.until("location.pathname === '/console/sign-in'".to_owned()).await;
    assert!(!window.text().await.contains("For development"), "anybody could be anybody");
    window.click("main a.button").await;
    window.fill("subject", "grace").await;
    window.fill("roles", "admin operator").await;
    window.click("#enter").await;
    // Back where they wanted to go.
    window.until("location.pathname === '/console/bookings'".to_owned()).await;
    window.shows("grace admin, operator").await;
    assert_eq!(window.run("return document.cookie").await, "", "a script can read the session");
    // A form from elsewhere does nothing.
    let forged =
        "return fetch('/console/sign-out', { method: 'POST', redirect: 'manual' }).then((answer) => answer.status)";
    assert_eq!(window.run(forged).await, 403);
    // Signed out is signed out, and an answer of the provider's that nobody asked for is not taken.
    window.click(".who button").await;
    window.until("location.pathname === '/console/sign-in'".to_owned()).await;
    window.go("/console/sign-in/callback?code=stolen&state=guessed").await;
    window.shows("Try again").await;
    window.go("/console").await;
    window.until("location.pathname === '/console/sign-in'".to_owned()).await;
}
