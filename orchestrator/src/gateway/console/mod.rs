//! The console: what people see in a browser. Another way in, to the same use cases: every page asks the API, within the
//! process and as the one who is signed in, and shows what it answers. It knows nothing that the API does not say.
//!
//! Each page works without JavaScript; with it, pages follow what happens and count down. Nothing comes from another host.

mod booking;
mod catalogue;
mod docs;
mod forms;
mod frame;
mod inbox;
mod lists;
mod live;
mod oidc;
mod session;
mod sign_in;
mod stuck;
mod today;

pub(super) use oidc::Provider;
pub use oidc::Settings as Oidc;

use super::{
    Gateway,
    limits::Place,
    openapi,
    problem::{Code, Problem},
    routes::pick,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use reqwest::Url;
pub(super) use session::Seal;
use session::Session;
use std::{collections::BTreeMap, sync::Arc};
use warp::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    reply::Response,
};

/// What the console is told at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `HOLDFAST_PUBLIC_URL`: where browsers find us. Its scheme says whether cookies are for https only.
    pub public_url: Url,
    /// `HOLDFAST_TEMPORAL_UI_URL`: where Temporal's web UI is, for links.
    pub temporal_ui: Option<Url>,
    /// Sign-in by `OpenID` Connect.
    pub oidc: Option<Oidc>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`process::settings::Error`] for a variable that cannot be used.
    pub fn read() -> Result<Self, process::settings::Error> {
        use process::settings::{optional, required_or};
        Ok(Self {
            public_url: required_or("HOLDFAST_PUBLIC_URL", "where browsers find us", "http://127.0.0.1:8080")?,
            temporal_ui: optional("HOLDFAST_TEMPORAL_UI_URL", "where Temporal's web UI is")?,
            oidc: Oidc::read()?,
        })
    }
}

/// Scripts, styles and pictures are ours alone, and nobody frames us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A visit to a page.
#[derive(Default)]
pub(super) struct Visit {
    /// Who, where somebody is signed in.
    pub session: Option<Session>,
    /// The parts of the path that vary, in order.
    pub parameters: Vec<String>,
    /// The path, as it was asked for.
    pub path: String,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The fields of the form.
    pub form: BTreeMap<String, String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The place of whoever is signed in that it takes.
    pub place: Option<Place>,
}

type Showing = BoxFuture<'static, Result<Response, Problem>>;

/// Who may see a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Whoever comes.
    Anybody,
    /// Whoever is signed in; others are sent to sign in first.
    SignedIn,
}

/// A page, or what a form on one does.
pub(super) struct Page {
    method: Method,
    /// The path; `{name}` is a part that varies.
    pub path: &'static str,
    for_whom: For,
    show: fn(Arc<Gateway>, Arc<Visit>) -> Showing,
}

macro_rules! page {
    // What has nothing to wait for.
    ($method:ident $path:literal, $for_whom:ident, at once $show:expr) => {
        Page {
            method: Method::$method,
            path: $path,
            for_whom: For::$for_whom,
            show: |gateway, visit| Box::pin(std::future::ready($show(&gateway, &visit))),
        }
    };
    ($method:ident $path:literal, $for_whom:ident, $show:expr) => {
        Page {
            method: Method::$method,
            path: $path,
            for_whom: For::$for_whom,
            show: |gateway, visit| Box::pin(async move { $show(&gateway, &visit).await }),
        }
    };
}

const PAGES: &[Page] = &[
    page!(GET "/", Anybody, at once home),
    page!(GET "/openapi.json", Anybody, at once document),
    page!(GET "/docs", Anybody, at once docs::show),
    page!(GET "/assets/{file}", Anybody, at once asset),
    page!(GET "/console/sign-in", Anybody, at once sign_in::show),
    page!(POST "/console/sign-in", Anybody, at once sign_in::develop),
    page!(GET "/console/sign-in/start", Anybody, sign_in::start),
    page!(GET "/console/sign-in/callback", Anybody, sign_in::callback),
    page!(POST "/console/sign-out", SignedIn, at once sign_in::out),
    page!(GET "/console/live", SignedIn, live::follow),
    page!(GET "/console", SignedIn, today::show),
    page!(GET "/console/bookings", SignedIn, lists::bookings),
    page!(GET "/console/bookings/{booking}", SignedIn, booking::show),
    page!(POST "/console/bookings/{booking}/cancel", SignedIn, booking::cancel),
    page!(GET "/console/inbox", SignedIn, inbox::show),
    page!(POST "/console/inbox/{word}", SignedIn, inbox::say),
    page!(GET "/console/stuck", SignedIn, stuck::show),
    page!(POST "/console/stuck/{booking}/{move}", SignedIn, stuck::intervene),
    page!(POST "/console/provider", SignedIn, stuck::turn),
    page!(GET "/console/catalogue/{system}", SignedIn, catalogue::show),
    page!(POST "/console/catalogue/{system}", SignedIn, catalogue::register),
    page!(POST "/console/catalogue/{system}/{item}", SignedIn, catalogue::change),
    page!(POST "/console/catalogue/{system}/{item}/remove", SignedIn, catalogue::remove),
    page!(GET "/console/new/{system}", SignedIn, forms::show),
    page!(POST "/console/new/{system}", SignedIn, forms::book),
];

/// Every page with its method and path, and whether it is for anybody.
pub fn pages() -> impl Iterator<Item = (&'static Method, &'static str, bool)> {
    PAGES.iter().map(|page| (&page.method, page.path, page.for_whom == For::Anybody))
}

/// The page at a path; `None` when it is not ours to serve.
pub(super) fn find(method: &Method, path: &str) -> Option<Result<(&'static Page, Vec<String>), Problem>> {
    match pick(PAGES.iter(), |page| (&page.method, page.path), method, path) {
        Err(problem) if problem.code == Code::NoSuchPath => None,
        found => Some(found),
    }
}

impl Page {
    /// Answers a visit. Whatever goes wrong is shown as a page.
    pub(super) async fn answer(&self, gateway: &Arc<Gateway>, visit: Visit) -> Response {
        let visit = Arc::new(visit);
        let shown = match self.admit(gateway, &visit) {
            Ok(()) => (self.show)(gateway.clone(), visit.clone()).await,
            Err(Closed::SignIn) => Ok(see_other(&session::sign_in_first(&visit))),
            Err(Closed::Refused(problem)) => Err(problem),
        };
        guarded(shown.unwrap_or_else(|problem| frame::trouble(gateway, &visit, problem)))
    }

    fn admit(&self, gateway: &Gateway, visit: &Visit) -> Result<(), Closed> {
        if self.method == Method::POST && !session::is_from_here(&gateway.console, &visit.headers) {
            return Err(Closed::Refused(Problem::new(Code::Forbidden).detail("The form was not sent from here.")));
        }
        if self.for_whom == For::Anybody {
            return Ok(());
        }
        let session = visit.session.as_ref().ok_or(Closed::SignIn)?;
        if self.method == Method::POST && !session.confirms(&visit.form) {
            let stale = "This page is from another session: go back, load it again, and repeat what you did.";
            return Err(Closed::Refused(Problem::new(Code::Forbidden).detail(stale)));
        }
        Ok(())
    }
}

/// Shows that a page could not even be asked for.
pub(super) fn refused(gateway: &Arc<Gateway>, path: &str, problem: Problem) -> Response {
    guarded(frame::trouble(gateway, &Visit { path: path.to_owned(), ..Visit::default() }, problem))
}

/// What browsers may do with a page.
fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

enum Closed {
    SignIn,
    Refused(Problem),
}

impl Visit {
    /// Who visits. Pages for whoever is signed in are not shown to others.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] when nobody is signed in.
    fn session(&self) -> Result<&Session, Problem> {
        self.session.as_ref().ok_or_else(|| Problem::new(Code::Unauthenticated))
    }

    fn parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map(String::as_str).unwrap_or_default()
    }

    fn asked(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    fn said(&self, name: &str) -> &str {
        self.form.get(name).map(|text| text.trim()).unwrap_or_default()
    }
}

/// Reads the fields of a form, or the query of a path.
pub(super) fn fields(text: &[u8]) -> Option<BTreeMap<String, String>> {
    serde_urlencoded::from_bytes(text).ok()
}

/// Sends the browser elsewhere, with GET.
fn see_other(location: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn text(kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[expect(clippy::unnecessary_wraps, reason = "as every page")]
fn home(_: &Gateway, _: &Visit) -> Result<Response, Problem> {
    Ok(see_other("/console"))
}

#[expect(clippy::unnecessary_wraps, reason = "as every page")]
fn document(_: &Gateway, _: &Visit) -> Result<Response, Problem> {
    Ok(text("application/json", openapi::TEXT.as_str()))
}

/// What pages load beside themselves.
fn asset(_: &Gateway, visit: &Visit) -> Result<Response, Problem> {
    let mut response = match visit.parameter(0) {
        "console.css" => text("text/css; charset=utf-8", include_str!("../../../assets/console.css")),
        "console.js" => text("text/javascript; charset=utf-8", include_str!("../../../assets/console.js")),
        "mark.svg" => text("image/svg+xml", include_str!("../../../assets/mark.svg")),
        _ => return Err(Problem::new(Code::NoSuchPath)),
    };
    // They change with the process: an hour at most is shown of the old.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}
