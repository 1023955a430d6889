//! Routes: every path, its method, who may call it, and what serves it.

use super::{
    Gateway,
    auth::{Caller, Role},
    bookings,
    call::Call,
    forget, inbox, people,
    problem::{Code, Problem},
    provider,
    shape::{Field, Shape},
    story, stuck,
    systems::SYSTEMS,
    today, webhooks,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use warp::{
    http::{Method, header},
    reply::Response,
};

/// Who may call a route. Whether a booking is theirs is looked at where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever is signed in.
    SignedIn,
    /// Whoever has one of these roles.
    Any(&'static [Role]),
}

impl Access {
    pub(super) fn admit(self, caller: &Caller) -> Result<(), Problem> {
        match self {
            Self::SignedIn => Ok(()),
            Self::Any(roles) if caller.is_any(roles) => Ok(()),
            Self::Any(_) => Err(Problem::new(Code::Forbidden)),
        }
    }
}

type Answering = BoxFuture<'static, Result<Response, Problem>>;

/// One thing that can be asked for, and what is to be known about it.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; `{name}` is a part that varies.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What may stand in its query.
    pub query: &'static [Field],
    /// What its body holds; empty where none is read.
    pub body: &'static [Field],
    /// May the body be left out?
    pub body_optional: bool,
    /// The statuses of its answers, the usual one first.
    pub statuses: &'static [u16],
    /// What it answers.
    pub gives: Gives,
    /// Why it may refuse, beside what any route of its kind refuses.
    pub refuses: &'static [&'static [Code]],
    /// How it is served.
    pub(super) serve: Serve,
}

/// What a route answers.
#[derive(Clone, Copy, Debug)]
pub enum Gives {
    /// Nothing.
    Nothing,
    /// An object.
    One(&'static Shape),
    /// A booking, with its version as the entity tag.
    Row(&'static Shape),
    /// A page of objects under a name.
    Page(&'static str, &'static Shape),
    /// Server-sent events with such objects.
    Events(&'static Shape),
}

type Serve = fn(Arc<Gateway>, Call) -> Answering;

impl Route {
    const fn new(method: Method, path: &'static str, access: Access, about: &'static str, serve: Serve) -> Self {
        let (query, body, refuses): (&[Field], &[Field], &[&[Code]]) = (&[], &[], &[]);
        Self {
            method,
            path,
            access,
            about,
            query,
            body,
            body_optional: false,
            statuses: &[204],
            gives: Gives::Nothing,
            refuses,
            serve,
        }
    }

    pub(super) const fn get(path: &'static str, access: Access, about: &'static str, serve: Serve) -> Self {
        Self::new(Method::GET, path, access, about, serve)
    }

    pub(super) const fn post(path: &'static str, access: Access, about: &'static str, serve: Serve) -> Self {
        Self::new(Method::POST, path, access, about, serve)
    }

    pub(super) const fn put(path: &'static str, access: Access, about: &'static str, serve: Serve) -> Self {
        Self::new(Method::PUT, path, access, about, serve)
    }

    pub(super) const fn patch(path: &'static str, access: Access, about: &'static str, serve: Serve) -> Self {
        Self::new(Method::PATCH, path, access, about, serve)
    }

    pub(super) const fn delete(path: &'static str, access: Access, about: &'static str, serve: Serve) -> Self {
        Self::new(Method::DELETE, path, access, about, serve)
    }

    /// Reads a body with these fields.
    pub(super) const fn takes(mut self, body: &'static [Field]) -> Self {
        self.body = body;
        self
    }

    /// Reads a body with these fields, where there is one.
    pub(super) const fn may_take(mut self, body: &'static [Field]) -> Self {
        self.body_optional = true;
        self.takes(body)
    }

    /// Does it move one booking on? Then it can be told which version of it is meant.
    pub(super) const fn moves_one(&self) -> bool {
        matches!(
            (&self.gives, &self.method),
            (Gives::Row(_), &Method::POST | &Method::PUT | &Method::PATCH | &Method::DELETE)
        )
    }

    /// Reads these from the query.
    pub(super) const fn asks(mut self, query: &'static [Field]) -> Self {
        self.query = query;
        self
    }

    /// Answers with something.
    pub(super) const fn gives(mut self, statuses: &'static [u16], gives: Gives) -> Self {
        self.statuses = statuses;
        self.gives = gives;
        self
    }

    /// May refuse for these reasons too.
    pub(super) const fn refuses(mut self, codes: &'static [&'static [Code]]) -> Self {
        self.refuses = codes;
        self
    }

    /// A page of objects.
    pub(super) const fn lists(self, name: &'static str, shape: &'static Shape) -> Self {
        self.gives(&[200], Gives::Page(name, shape))
    }

    /// One booking of the path's id, that the caller may see.
    pub(super) const fn shows(self, shape: &'static Shape) -> Self {
        self.gives(&[200], Gives::Row(shape)).refuses(&[SEEN])
    }

    /// A booking that begins.
    pub(super) const fn begins(self, shape: &'static Shape) -> Self {
        self.gives(&[201, 202], Gives::Row(shape))
    }

    /// What a word to a booking has come to.
    pub(super) const fn moves(self, shape: &'static Shape) -> Self {
        self.gives(&[200, 202], Gives::Row(shape))
    }
}

/// Why a booking is not shown.
pub const SEEN: &[Code] = &[Code::NoSuchBooking, Code::VersionNotReached];
/// Why a booking does not begin.
pub const BEGUN: &[Code] = &[Code::PaymentDeclined, Code::TurnedBack, Code::IdempotencyKeyReused, Code::OutcomeUnknown];
/// Why a booking of something in a catalogue does not begin.
pub const HELD: &[Code] = &[Code::UnknownItem, Code::ItemTaken];
/// Why a word to a booking is refused.
pub const TOLD: &[Code] = &[Code::NoSuchBooking, Code::TooLate, Code::NotYet, Code::VersionDiffers];

/// Every route there is. Where two match, the first counts.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    let systems = SYSTEMS.iter().flat_map(|system| system.routes);
    systems.chain(
        [
            bookings::ROUTES,
            inbox::ROUTES,
            story::ROUTES,
            today::ROUTES,
            stuck::ROUTES,
            provider::ROUTES,
            webhooks::ROUTES,
            people::ROUTES,
            forget::ROUTES,
        ]
        .into_iter()
        .flatten(),
    )
}

pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    pick(routes(), |route| (&route.method, route.path), method, path)
}

/// What is at a path for a method, with what stands for the varying parts.
///
/// # Errors
/// [`Code::NoSuchPath`], or [`Code::MethodNotAllowed`] with the methods that the path takes.
pub(super) fn pick<T>(
    all: impl Iterator<Item = &'static T>,
    at: impl Fn(&'static T) -> (&'static Method, &'static str),
    method: &Method,
    path: &str,
) -> Result<(&'static T, Vec<String>), Problem> {
    let mut allowed = Vec::new();
    for one in all {
        let (takes, shape) = at(one);
        let Some(parameters) = parameters(shape, path) else { continue };
        if takes == method {
            return Ok((one, parameters));
        }
        allowed.push(takes.as_str());
    }
    if allowed.is_empty() {
        return Err(Problem::new(Code::NoSuchPath));
    }
    allowed.sort_unstable();
    allowed.dedup();
    Err(Problem::new(Code::MethodNotAllowed).header(header::ALLOW, allowed.join(", ")))
}

/// What stands for the varying parts, when a path is of a route's shape.
fn parameters(shape: &str, path: &str) -> Option<Vec<String>> {
    let (mut shape, mut path) = (shape.split('/'), path.split('/'));
    let mut parameters = Vec::new();
    loop {
        match (shape.next(), path.next()) {
            (None, None) => return Some(parameters),
            (Some(varies), Some(part)) if varies.starts_with('{') && !part.is_empty() => {
                parameters.push(part.to_owned());
            }
            (Some(expected), Some(part)) if expected == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_the_shape_it_has_and_no_other() {
        assert_eq!(parameters("/a/{number}/b", "/a/7/b"), Some(vec!["7".to_owned()]));
        for other in ["/a/7", "/a//b", "/a/7/b/", "/a/7/c", "a/7/b"] {
            assert_eq!(parameters("/a/{number}/b", other), None, "{other}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_names_those_it_takes() {
        let problem = find(&Method::DELETE, "/ebook/books").err().unwrap();
        let response = problem.into_response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET, POST");
    }
}
