//! The short road to a contract: `POST /contracts/{name}` with what its activity is told, for the process that hosts the sagas. It
//! does what the activity does, and waits for nothing: 424 means that it is not known yet, and 503 that there is no room. Whoever
//! hears either, or nothing, takes the long road.

use crate::{
    Setup,
    faults::{Faults, Met},
    http::BODY_BYTES_MAX,
};
use process::traces::{self, Traced};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{num::NonZeroUsize, sync::Arc};
use tokio::sync::Semaphore;
use tracing::Instrument;
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, StatusCode},
    reply::{self, Response},
};
use workflows::contracts::{Contract, road::WORKFLOW_HEADER};

/// The short road to one worker.
#[derive(Clone)]
pub(crate) struct Road {
    faults: Option<Faults>,
    /// As much at a time as the worker takes from its queue.
    places: Arc<Semaphore>,
}

impl Road {
    pub(crate) fn of(setup: &Setup) -> Self {
        Self { faults: setup.faults.clone(), places: Arc::new(Semaphore::new(NonZeroUsize::get(setup.activities_max))) }
    }

    /// Keeps a contract.
    pub(crate) fn to<C, S, F, E>(
        &self,
        _contract: C,
        state: &S,
        keep: impl Fn(S, C::Input) -> F + Clone + Send + Sync + 'static,
    ) -> BoxedFilter<(Response,)>
    where
        C: Contract<Input: DeserializeOwned + Send, Output: Serialize>,
        S: Clone + Send + Sync + 'static,
        F: Future<Output = Result<C::Output, E>> + Send + 'static,
        E: std::error::Error,
    {
        let (road, state) = (self.clone(), state.clone());
        warp::path!("contracts" / ..)
            .and(warp::path(C::NAME))
            .and(warp::path::end())
            .and(warp::post())
            .and(warp::header::headers_cloned())
            .and(warp::header::optional(WORKFLOW_HEADER))
            .and(warp::body::content_length_limit(BODY_BYTES_MAX))
            .and(warp::body::json())
            .then(move |headers: HeaderMap, workflow: Option<String>, input: Value| {
                let (road, state, keep) = (road.clone(), state.clone(), keep.clone());
                async move {
                    let Ok(told) = C::Input::deserialize(&input) else {
                        return StatusCode::BAD_REQUEST.into_response();
                    };
                    let Ok(place) = road.places.clone().try_acquire_owned() else {
                        return StatusCode::SERVICE_UNAVAILABLE.into_response();
                    };
                    let span = traces::asked(&headers);
                    traces::name(&span, C::NAME.to_owned());
                    // Named in the log as on the long road.
                    let booking = workflow.as_deref().map(process::logs::booking_of);
                    let logged =
                        tracing::info_span!("activity", activity = C::NAME, booking, trace = traces::id(&span));
                    let work = async move {
                        let answer = keep(state, told).await;
                        drop(place);
                        match &answer {
                            Ok(_) => tracing::debug!("done"),
                            Err(error) => tracing::warn!(error = process::logs::chain(error), "an attempt failed"),
                        }
                        serde_json::to_value(answer.ok()?).ok()
                    };
                    let work = road.meet(C::NAME, workflow, work).instrument(logged);
                    // Whoever asked may have gone: what has begun is brought to its end.
                    let kept = tokio::spawn(work.with_context(span)).await;
                    match kept {
                        Ok(Met::Answer(answer)) => reply::json(&answer).into_response(),
                        Ok(Met::Silence) => std::future::pending().await,
                        Ok(Met::Error) | Err(_) => StatusCode::FAILED_DEPENDENCY.into_response(),
                    }
                }
            })
            .boxed()
    }

    async fn meet(
        self,
        name: &'static str,
        workflow: Option<String>,
        work: impl Future<Output = Option<Value>>,
    ) -> Met {
        match &self.faults {
            Some(faults) => faults.meet(name, workflow.as_deref(), work).await,
            None => work.await.map_or(Met::Error, Met::Answer),
        }
    }
}
