//! What requests pass through: [`answer`] around all of them, [`guard`] around each route.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::access::{Access, KeyName, Rights, admit, caller};
use super::app::App;
use super::drain;
use super::exported_span::ExportedSpan;
use super::keys::{Admitted, Role};
use super::limits::DRAINED;
use super::listen::OverConnectionLimit;
use super::problem::{Code, Problem};
use super::request::fields::Fields;
use super::request_id::{REQUEST_ID, request_id};
use super::server_timing::{SERVER_TIMING, server_timing};
use super::trace_parent::{TraceParent, new_trace_id};
use super::unread::Connection;
use crate::admission::{CallerId, Stopped};
use crate::catalogue::Scope;
use crate::service::{Clock, ServiceError, Times};

/// How long a route may take to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLimit {
    /// The request's time limit holds for the whole answer.
    Answer,
    /// Body or answer may be of any length, or take long: the handler applies the limit to each piece.
    Piece,
}

/// Who may use a route, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub access: Access,
    pub time: TimeLimit,
}

/// Marks the answer to a request whose handler panicked.
#[derive(Debug, Clone, Copy)]
struct Panicked;

/// What [`guard`] works with.
#[derive(Debug, Clone)]
pub struct Guard {
    pub app: Arc<App>,
    pub policy: Policy,
    /// The names of the route's options.
    pub options: Arc<[&'static str]>,
}

/// Around every request: its id, its trace, its clock, problem documents for refusals, metrics and the access log.
pub async fn answer(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let clock = Clock::start(app.limits.time);
    let id = request_id(request.headers());
    let parent = TraceParent::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route_path = route.as_ref().map(MatchedPath::as_str);
    let exported = ExportedSpan::begin(&request, route_path, &id, parent.as_ref());
    let trace_id = exported.trace_id().or(parent.map(|parent| parent.trace_id));
    let trace_id = trace_id.unwrap_or_else(new_trace_id);
    // At every level of the log: what is logged of a request has its ids.
    let span = tracing::error_span!("request", request_id = id, trace_id);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let over_limit = request.extensions().get::<OverConnectionLimit>().is_some();
    let refusal = if over_limit && !asks_for_state(&request) {
        Some(Problem::overloaded())
    } else {
        check_host(&request).err()
    };
    request.extensions_mut().insert(clock);
    let (request, lent) = drain::lend(request);
    let response = match refusal {
        Some(refusal) => {
            drop(request);
            refusal.into_response()
        }
        None => next.run(request).instrument(span).await,
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        lent.drain(app.limits.body.saturating_mul(DRAINED), clock.deadline());
    }
    if response.extensions().get::<Panicked>().is_some() {
        tracing::error!(request_id = id, trace_id, %method, path, "a handler panicked");
    }
    let key = response.extensions().get::<KeyName>().cloned();
    let times = response.extensions().get::<Times>().copied();
    let mut response = as_problem(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if over_limit {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let (status, took) = (response.status().as_u16(), clock.elapsed());
    let elapsed_ms = took.as_secs_f64() * 1e3;
    let timing = server_timing(times.as_ref(), elapsed_ms);
    response.headers_mut().insert(SERVER_TIMING, timing);
    app.requests.count(&method, route_path, status, took);
    exported.end(response.status(), times.as_ref());
    tracing::info!(
        request_id = id,
        trace_id,
        %method,
        path,
        key = key.as_ref().map(|key| &*key.0),
        status,
        elapsed_ms,
        "answered"
    );
    match connection {
        Some(connection) => response.map(|body| connection.counted(body)),
        None => response,
    }
}

/// Whether a request only asks how the server is: that is told whatever is full.
fn asks_for_state(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && ["/healthz", "/readyz"].contains(&request.uri().path())
}

/// Refuses a request of HTTP/1.1 that does not name one host (RFC 9112, section 3.2).
fn check_host(request: &Request) -> Result<(), Problem> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() != Version::HTTP_11 || hosts == 1 {
        return Ok(());
    }
    Err(Problem::new(
        Code::InvalidRequest,
        format!("the request has {hosts} Host headers; HTTP/1.1 needs exactly one"),
    ))
}

/// Around a route: admits the request by the route's policy, reads its query string, holds its answer to the time limit,
/// and answers for handlers that panic.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let Guard { app, policy, options } = guard;
    let (key, role, scope) = match admit(&app, policy.access, &request) {
        Ok(Some(Admitted { name, role, scope })) => (Some(KeyName(name)), role, scope),
        // Without keys everybody may do everything.
        Ok(None) => (None, Role::Admin, Scope::ALL),
        Err(refusal) => return refusal.into_response(),
    };
    request.extensions_mut().insert(scope.clone());
    request.extensions_mut().insert(Rights { role, scope });
    if let Some(caller) = caller(key.as_ref(), &request)
        && let Some(clock) = request.extensions_mut().get_mut::<Clock>()
    {
        *clock = clock.of(CallerId::of(&caller));
    }
    match Fields::of_query(options, request.uri().query()) {
        Ok(fields) => request.extensions_mut().insert(fields),
        Err(refusal) => return (key.map(Extension), refusal).into_response(),
    };
    let deadline = request.extensions().get::<Clock>().map(|clock| clock.deadline());
    let answered = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .map(|answered| {
            let panicked = |_| (Extension(Panicked), Problem::internal()).into_response();
            answered.unwrap_or_else(panicked)
        });
    let mut response = match (policy.time, deadline) {
        (TimeLimit::Answer, Some(deadline)) => tokio::time::timeout_at(deadline.into(), answered)
            .await
            .unwrap_or_else(|_| Problem::from(ServiceError::from(Stopped::Late)).into_response()),
        _ => answered.await,
    };
    if let Some(key) = key {
        response.extensions_mut().insert(key);
    }
    response
}

/// Answers requests to unknown paths.
pub async fn not_found(state: State<Arc<App>>, request: Request) -> Response {
    unrouted(&state, &request, StatusCode::NOT_FOUND)
}

/// Answers requests with a method that their path does not have; axum adds `Allow`.
pub async fn method_not_allowed(state: State<Arc<App>>, request: Request) -> Response {
    unrouted(&state, &request, StatusCode::METHOD_NOT_ALLOWED)
}

fn unrouted(app: &App, request: &Request, status: StatusCode) -> Response {
    match admit(app, Access::unrouted(request.method()), request) {
        Err(refusal) => refusal.into_response(),
        Ok(key) => {
            let mut response = Problem::of_status(status).into_response();
            if let Some(Admitted { name, .. }) = key {
                response.extensions_mut().insert(KeyName(name));
            }
            response
        }
    }
}

/// Renders the problem that a refusal carries, or makes one for what axum refused itself.
fn as_problem(response: Response, id: &str) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = response
        .extensions()
        .get::<Problem>()
        .cloned()
        .unwrap_or_else(|| Problem::of_status(status));
    let mut rendered = problem.render(id);
    if status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = response.headers().get(header::ALLOW)
    {
        rendered.headers_mut().insert(header::ALLOW, allow.clone());
    }
    rendered
}
