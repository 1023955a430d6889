//! Routes: every path, its method, who may call it, and what serves it.

use super::{
    Gateway,
    auth::{Caller, Role},
    bookings,
    call::Call,
    inbox, people,
    problem::{Code, Problem},
    provider, story, stuck,
    systems::SYSTEMS,
    webhooks,
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

/// One thing that can be asked for.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path; `{}` is a part that varies.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// How it is served.
    pub(super) serve: fn(Arc<Gateway>, Call) -> Answering,
}

/// Every route there is. Where two match, the first counts.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    let systems = SYSTEMS.iter().flat_map(|system| system.routes);
    systems.chain(
        [
            bookings::ROUTES,
            inbox::ROUTES,
            story::ROUTES,
            stuck::ROUTES,
            provider::ROUTES,
            webhooks::ROUTES,
            people::ROUTES,
        ]
        .into_iter()
        .flatten(),
    )
}

pub(super) fn find(method: &Method, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    let mut allowed = Vec::new();
    for route in routes() {
        let Some(parameters) = parameters(route.path, path) else { continue };
        if route.method == *method {
            return Ok((route, parameters));
        }
        allowed.push(route.method.as_str());
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
            (Some("{}"), Some(part)) if !part.is_empty() => parameters.push(part.to_owned()),
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
        assert_eq!(parameters("/a/{}/b", "/a/7/b"), Some(vec!["7".to_owned()]));
        for other in ["/a/7", "/a//b", "/a/7/b/", "/a/7/c", "a/7/b"] {
            assert_eq!(parameters("/a/{}/b", other), None, "{other}");
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
