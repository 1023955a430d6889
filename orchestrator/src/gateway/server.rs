//! Server: connections, and the limits that hold before a request is one.
//!
//! Whoever connects gets so much time to say what they want, and so much room to say it in. One who sends a header byte by
//! byte, never reads an answer, or only holds a connection, loses it; the others never notice.

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use warp::{filters::BoxedFilter, reply::Response};

/// All headers of a request, and how many there are.
const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;
/// How long a request's headers may take to arrive; so long a connection may be idle between two requests too.
const HEADERS_WITHIN: Duration = Duration::from_secs(15);
/// How long somebody may leave an answer unread.
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// A connection is closed after this time, once it has been answered: so that those of a new process get their share.
const CONNECTION_LASTS: Duration = Duration::from_mins(10);
/// How long an answer that has begun may go on after that.
const CONNECTION_ENDS_WITHIN: Duration = Duration::from_mins(6);
/// Accepting fails while the process has no file descriptors left: a moment later some are free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Sent to whoever is one too many, without a look at what they want.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How connections are taken, and how they end.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `HOLDFAST_CONNECTIONS_MAX`: one more is refused at once.
    pub connections_max: NonZeroUsize,
    /// `HOLDFAST_DRAIN_LEAD_SECONDS`: how long requests are still taken when the process is to end and is no longer ready, so
    /// that balancers notice.
    pub drain_lead: Duration,
    /// `HOLDFAST_DRAIN_SECONDS`: how long requests may finish after that.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: NonZeroUsize::new(15_000).expect("not zero"),
            drain_lead: Duration::ZERO,
            drain: Duration::from_secs(15),
        }
    }
}

/// Serves connections until told to stop, and then finishes what runs, within bounds.
pub(super) async fn serve(
    listener: TcpListener,
    settings: Settings,
    filter: BoxedFilter<(Response,)>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(settings.connections_max.get()));
    let (connections, closing) = (TaskTracker::new(), CancellationToken::new());
    let mut asked = pin!(async {
        stop.cancelled().await;
        sleep(settings.drain_lead).await;
    });
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = process::logs::chain(&error), "a connection could not be taken");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = &mut asked => break,
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            // The kernel's buffer takes so little at once, or the peer is gone.
            let _unsent = stream.try_write(FULL);
            continue;
        };
        let (filter, closing) = (filter.clone(), closing.clone());
        connections.spawn(async move {
            serve_one(stream, filter, closing).await;
            drop(place);
        });
    }
    drop(listener);
    closing.cancel();
    connections.close();
    if timeout(settings.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "some requests did not end in time and are cut off");
    }
}

/// Serves one connection until its peer has had enough, it is old, or all are to be closed. What goes wrong on it is the
/// peer's doing, and only theirs.
async fn serve_one(stream: TcpStream, filter: BoxedFilter<(Response,)>, closing: CancellationToken) {
    let _slower = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD_MAX));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    http.max_headers(HEADERS_MAX).max_buf_size(HEADER_BYTES_MAX).keep_alive(true);
    let service = TowerToHyperService::new(warp::service(filter));
    let mut connection = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = closing.cancelled() => {}
        () = sleep(CONNECTION_LASTS) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended = timeout(CONNECTION_ENDS_WITHIN, connection).await;
}
