//! HTTP: the router and what every request passes through. JSON and status codes live here and nowhere to the left.

pub mod cors;
pub mod imports;
pub mod keys;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod model;
pub mod page;
pub mod problem;
pub mod products;
pub mod request;
pub mod search;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::service::{Service, ServiceError};
use cors::WebOrigin;
use keys::Keys;
use limits::{Bodies, Caller, Limits, Rates};
use listen::{Crowded, Peer};
use metrics::Requests;
use model::ReembeddingAnswer;
use problem::{Code, Problem};
use request::Endpoint;
use search::ModelName;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    pub service: Arc<Service>,
    pub limits: Limits,
    pub bodies: Bodies,
    /// None where each may ask as often as they like.
    pub rates: Option<Rates>,
    /// None where anybody may do everything.
    pub keys: Option<Arc<Keys>>,
    /// Whose web pages may ask, beside those of this server.
    pub origins: Vec<WebOrigin>,
    /// Counted for `/metrics`.
    pub requests: Requests,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where imports are sent: streams of any length, which have a time limit for every piece instead of one for all.
const IMPORTS: &str = "/v1/imports";

/// Every route, with what all of them pass through.
pub fn router(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/v1/embeddings", post(search::embeddings))
        .route("/v1/search", post(search::search))
        .route("/v1/recommend", post(products::recommend))
        .route("/v1/products", get(products::list))
        .route(
            "/v1/products/{id}",
            get(products::get)
                .put(products::put)
                .patch(products::patch)
                .delete(products::delete),
        )
        .route("/v1/products/{id}/similar", get(products::similar))
        .route("/v1/products/{id}/pictures", post(products::add_picture))
        .route(
            "/v1/products/{id}/pictures/{picture_id}",
            get(products::picture).delete(products::delete_picture),
        )
        .route(IMPORTS, post(imports::create))
        .route("/v1/imports/{id}", get(imports::get))
        .route("/v1/model", get(model::model))
        .route("/v1/chip", get(model::chip))
        .route("/v1/stats", get(stats))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.yaml", get(openapi))
        .route("/", get(page::search))
        .route("/status", get(page::status))
        .route("/assets/{version}/{file}", get(page::asset))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), pass))
        // Pictures of others are served as what they are, never as what a browser guesses.
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ));
    // Outermost: a browser asks without a key whether it may ask.
    let router = match cors::layer(&app.origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.with_state(app)
}

async fn stats(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    let app = &app.service;
    let stats = app.stats().await?;
    let imports = app.open_imports().await?;
    let imports: Vec<_> = imports.into_iter().map(imports::OpenImportAnswer::of).collect();
    let mut answer = json!({
        "imports": imports,
        "products": stats.products,
        "pictures": stats.pictures,
        "index": stats.index,
        "recall": stats.recall,
        "model": ModelName::of(&stats.maker.model),
        "probe": stats.maker.origin.probe,
        "time_steps": stats.maker.origin.time_steps.get(),
    });
    add_reembedding(&mut answer, app);
    Ok(axum::Json(answer).into_response())
}

async fn healthz() -> Response {
    axum::Json(json!({"status": "alive"})).into_response()
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.service.ready() {
        Ok(()) => {
            let mut answer = json!({
                "status": "ready",
                "pictures": app.service.pictures(),
                "chips": app.service.chips(),
            });
            add_reembedding(&mut answer, &app.service);
            axum::Json(answer).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

/// The field `reembedding`, while other embeddings are on their way.
fn add_reembedding(answer: &mut Value, service: &Service) {
    if let Some(reembedding) = service.reembedding() {
        answer["reembedding"] = json!(ReembeddingAnswer::of(&reembedding));
    }
}

async fn openapi() -> Response {
    let content_type = HeaderValue::from_static("application/yaml");
    let document = include_str!("../../openapi.yaml");
    ([(header::CONTENT_TYPE, content_type)], document).into_response()
}

/// Around every request: its id, its key, its time limit, a net for panics, problem documents, the access log.
async fn pass(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let crowded = request.extensions().get::<Crowded>().is_some();
    let admitted = if crowded {
        Err(Problem::from(ServiceError::Overloaded))
    } else {
        admit(&app, &request)
    };
    let (response, key) = match admitted {
        Err(refusal) => (refusal.into_response(), None),
        Ok(key) => {
            let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
            let limit = match path.as_str() {
                IMPORTS => Duration::MAX,
                _ => app.limits.time,
            };
            let response = match tokio::time::timeout(limit, answered).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => {
                    tracing::error!(request_id = id, %method, path, "a handler panicked");
                    Problem::new(Code::Internal, "the cause is in the server's log").into_response()
                }
                Err(_) => Problem::from(ServiceError::DeadlineExceeded).into_response(),
            };
            (response, key)
        }
    };
    let mut response = as_problem(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if crowded {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    let (status, took) = (response.status().as_u16(), start.elapsed());
    app.requests
        .count(&method, route.as_ref().map(MatchedPath::as_str), status, took);
    tracing::info!(
        request_id = id,
        %method,
        path,
        key = key.as_deref(),
        status,
        elapsed_ms = took.as_secs_f64() * 1e3,
        "answered"
    );
    response
}

/// The name of the key that a request comes with, if it may ask, and may ask now.
fn admit(app: &App, request: &Request) -> Result<Option<Arc<str>>, Problem> {
    if keys::is_open(request.method(), request.uri().path()) {
        return Ok(None);
    }
    let key = match &app.keys {
        None => None,
        Some(keys) => Some(keys.admit(request.method(), request.uri().path(), request.headers())?),
    };
    if let Some(rates) = &app.rates {
        let caller = match (&key, request.extensions().get::<Peer>()) {
            (Some(key), _) => Caller::Key(Arc::clone(key)),
            (None, Some(Peer(address))) => Caller::at(address.ip()),
            (None, None) => return Ok(None),
        };
        rates.admit(&caller)?;
    }
    Ok(key)
}

/// The client's id where it is short and plain, otherwise a new one.
fn request_id(request: &Request) -> String {
    let plain = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(plain)
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// Renders the problem that a refusal carries, or makes one for what the framework refused itself.
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
