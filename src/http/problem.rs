//! Refusals as `application/problem+json` (RFC 9457); the one table of codes and their statuses.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::admission::Stopped;
use crate::catalogue::CatalogueError;
use crate::chips::ChipError;
use crate::service::ServiceError;
use engine::picture::PictureError;

/// The kinds of refusal that clients can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    UndecodableImage,
    EmptyEmbedding,
    RateLimited,
    Overloaded,
    NotReady,
    ShuttingDown,
    StoreUnavailable,
    DeadlineExceeded,
    StorageFull,
    Internal,
}

impl Code {
    /// Every code, in the order of `openapi.yaml`.
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UndecodableImage,
        Self::EmptyEmbedding,
        Self::RateLimited,
        Self::Overloaded,
        Self::NotReady,
        Self::ShuttingDown,
        Self::StoreUnavailable,
        Self::DeadlineExceeded,
        Self::StorageFull,
        Self::Internal,
    ];

    /// Code, status and title.
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => (
                "invalid_request",
                StatusCode::BAD_REQUEST,
                "The request is not valid",
            ),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "A key is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The key does not permit this"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not have this method",
            ),
            Self::Conflict => (
                "conflict",
                StatusCode::CONFLICT,
                "The stored state does not allow it",
            ),
            Self::PreconditionFailed => (
                "precondition_failed",
                StatusCode::PRECONDITION_FAILED,
                "The request's condition does not hold",
            ),
            Self::TooLarge => (
                "too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "This content type is not supported",
            ),
            Self::UndecodableImage => (
                "undecodable_image",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The picture cannot be read",
            ),
            Self::EmptyEmbedding => (
                "empty_embedding",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The embedding is all zeros",
            ),
            Self::RateLimited => (
                "rate_limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests from one caller",
            ),
            Self::Overloaded => (
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests are waiting",
            ),
            Self::NotReady => (
                "not_ready",
                StatusCode::SERVICE_UNAVAILABLE,
                "The catalogue is not ready",
            ),
            Self::ShuttingDown => (
                "shutting_down",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is shutting down",
            ),
            Self::StoreUnavailable => (
                "store_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be reached",
            ),
            Self::DeadlineExceeded => (
                "deadline_exceeded",
                StatusCode::GATEWAY_TIMEOUT,
                "The request took too long",
            ),
            Self::StorageFull => (
                "storage_full",
                StatusCode::INSUFFICIENT_STORAGE,
                "The storage is full",
            ),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
        }
    }

    /// The code's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that it is sent with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().1
    }
}

/// What was wrong with one field or parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: String,
    pub detail: String,
}

/// A refusal. The request id is added when it is rendered.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub retry_after_s: Option<u32>,
    /// The codings of a body that would be decoded, where another one is refused.
    pub accept_encoding: Option<&'static str>,
}

impl Problem {
    /// A refusal that is not about one field.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
            accept_encoding: None,
        }
    }

    /// A refusal of one field or parameter.
    #[must_use]
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        Self {
            errors: vec![FieldError {
                field: field.clone(),
                detail: detail.clone(),
            }],
            ..Self::new(Code::InvalidRequest, format!("{field}: {detail}"))
        }
    }

    /// The refusal of a body whose stream failed.
    #[must_use]
    pub fn broken_body() -> Self {
        Self::new(Code::InvalidRequest, "the body ended before it was complete")
    }

    /// The answer to a request that the server failed on; the cause is logged where it occurs, and not sent.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Code::Internal, "the cause is in the server's log")
    }

    /// A refusal that need not be repeated for so many seconds.
    fn retry_after(seconds: u32, code: Code, detail: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..Self::new(code, detail)
        }
    }

    /// The refusal of work that there is no room for.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::retry_after(1, Code::Overloaded, "the server is busy and its queue is full")
    }

    /// A failure of the server, whose cause is logged here and nowhere else.
    fn failed(cause: &str) -> Self {
        tracing::error!(error = cause, "a request failed");
        Self::internal()
    }

    /// A refusal by axum itself, of which only the status is known.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(
                Code::NotFound,
                "there is no such route; GET /openapi.yaml lists them",
            ),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "this route has the methods in the Allow header",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::UnsupportedMediaType, "this content type is not supported")
            }
            status if status.is_client_error() => Self::new(Code::InvalidRequest, "the request is malformed"),
            _ => Self::internal(),
        }
    }

    /// The response, with the request's id.
    #[must_use]
    pub fn render(&self, request_id: &str) -> Response {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(rename = "type")]
            kind: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
            request_id: &'a str,
            errors: &'a [FieldError],
        }
        let (code, status, title) = self.code.row();
        let document = Document {
            kind: format!("urn:spikelens:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            request_id,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&document).expect("a problem is plain data");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if self.code == Code::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after_s {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Some(codings) = self.accept_encoding {
            let codings = HeaderValue::from_static(codings);
            response.headers_mut().insert(header::ACCEPT_ENCODING, codings);
        }
        response
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem in its extensions: the outermost middleware, which knows the request's
    /// id, renders it.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Full => Self::overloaded(),
            // Nobody reads the answer to a client that has left.
            Stopped::Late | Stopped::Left => Self::new(Code::DeadlineExceeded, Stopped::Late.to_string()),
        }
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Chip(error) => Self::from(error),
            ServiceError::Catalogue(error) => Self::from(error),
            ServiceError::NotReady { .. } => Self::retry_after(5, Code::NotReady, detail),
            ServiceError::NoNext | ServiceError::NextNotReady { .. } => Self::new(Code::Conflict, detail),
            ServiceError::ShuttingDown => Self::retry_after(5, Code::ShuttingDown, detail),
            ServiceError::Stopped(stopped) => Self::from(stopped),
            ServiceError::OtherOrigin { .. }
            | ServiceError::NoModel { .. }
            | ServiceError::NoThread(_)
            | ServiceError::Panicked => Self::failed(&detail),
        }
    }
}

impl From<ChipError> for Problem {
    fn from(error: ChipError) -> Self {
        let detail = error.to_string();
        match error {
            ChipError::Picture(error) => Self::from(error),
            ChipError::Emulator(_) => Self::field("time_steps", detail),
            ChipError::Embedding(_) => Self::field("probe", detail),
            ChipError::EmptyEmbedding => Self::new(Code::EmptyEmbedding, detail),
            ChipError::Stopped(stopped) => Self::from(stopped),
            ChipError::ShuttingDown => Self::retry_after(5, Code::ShuttingDown, detail),
            ChipError::WorkerPanicked => Self::failed(&detail),
        }
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        let detail = error.to_string();
        match error {
            CatalogueError::Invalid { field, reason } => Self::field(field, reason),
            CatalogueError::NoProduct { .. }
            | CatalogueError::NoPicture { .. }
            | CatalogueError::NoImport { .. } => Self::new(Code::NotFound, detail),
            CatalogueError::NoBackup => Self::new(Code::Conflict, detail),
            CatalogueError::OutOfScope { .. } => Self::new(Code::Forbidden, detail),
            CatalogueError::Exists { .. } => Self::new(Code::PreconditionFailed, detail),
            CatalogueError::PicturesFull { .. } | CatalogueError::LastPicture { .. } => {
                Self::new(Code::Conflict, detail)
            }
            CatalogueError::Full { .. } => Self::new(
                Code::StorageFull,
                "the disk, or what this server may use of it, is full; nothing of the write was stored",
            ),
            CatalogueError::Dimensions { .. } => Self::field("embedding", detail),
            CatalogueError::EmptyEmbedding => Self::new(Code::EmptyEmbedding, detail),
            CatalogueError::Busy => Self::overloaded(),
            CatalogueError::Stopped(stopped) => Self::from(stopped),
            CatalogueError::Closed => Self::from(ServiceError::ShuttingDown),
            CatalogueError::Unavailable { .. } => Self::retry_after(1, Code::StoreUnavailable, detail),
            CatalogueError::Locked => Self::retry_after(1, Code::Overloaded, detail),
            CatalogueError::NotLoaded | CatalogueError::Lost { .. } => {
                Self::retry_after(5, Code::NotReady, detail)
            }
            CatalogueError::Open { .. }
            | CatalogueError::Store(_)
            | CatalogueError::NotStored { .. }
            | CatalogueError::OtherOrigin
            | CatalogueError::NotACopy { .. }
            | CatalogueError::Panicked
            | CatalogueError::Damaged { .. } => Self::failed(&detail),
        }
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        let code = match error {
            PictureError::TooManyPixels { .. }
            | PictureError::TooLong { .. }
            | PictureError::TooLarge { .. } => Code::TooLarge,
            PictureError::Stopped => Code::DeadlineExceeded,
            _ => Code::UndecodableImage,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_reached_is_asked_again_soon() {
        let reason = "connection refused".to_owned();
        let problem = Problem::from(CatalogueError::Unavailable { reason });
        let response = problem.render("id");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(problem.code.as_str(), "store_unavailable");
        assert_eq!(problem.detail, "the store cannot be reached: connection refused");
    }
}
