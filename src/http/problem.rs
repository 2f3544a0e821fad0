//! Every refusal as `application/problem+json` (RFC 9457); the only place that knows status codes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::catalogue::CatalogueError;
use crate::service::ServiceError;
use engine::picture::PictureError;

/// What clients can tell apart; one line of the contract's table each.
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
    DeadlineExceeded,
    StorageFull,
    Internal,
}

impl Code {
    /// Every code, in the contract's order.
    pub const ALL: [Self; 18] = [
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
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The key does not open this"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This method is not served here",
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
                "This kind of content is not taken",
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
                "Too many requests of one caller",
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
            Self::DeadlineExceeded => (
                "deadline_exceeded",
                StatusCode::GATEWAY_TIMEOUT,
                "The request took too long",
            ),
            Self::StorageFull => (
                "storage_full",
                StatusCode::INSUFFICIENT_STORAGE,
                "There is no room to store it",
            ),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server failed"),
        }
    }

    /// The code's name.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that it is sent with.
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

/// A refusal on its way out. The request id is added where the response leaves.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A refusal that belongs to no single field.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// A refusal of one field or parameter.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let (field, detail) = (field.into(), detail.into());
        Self {
            code: Code::InvalidRequest,
            detail: format!("{field}: {detail}"),
            errors: vec![FieldError { field, detail }],
            retry_after_s: None,
        }
    }

    /// What the framework refused by itself, told from the status alone.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(
                Code::NotFound,
                "there is no such route; GET /openapi.yaml lists them",
            ),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "this route is served for the methods in the Allow header",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::UnsupportedMediaType, "this content type is not taken")
            }
            status if status.is_client_error() => Self::new(Code::InvalidRequest, "the request is malformed"),
            _ => Self::new(Code::Internal, "the cause is in the server's log"),
        }
    }

    /// The whole response.
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
        response
    }
}

impl IntoResponse for Problem {
    /// A bare status that carries the problem: the outermost layer renders it with the request's id.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Picture(error) => Self::from(error),
            ServiceError::Emulator(_) => Self::field("time_steps", detail),
            ServiceError::Embedding(_) => Self::field("probe", detail),
            ServiceError::Dimensions { .. } => Self::field("embedding", detail),
            ServiceError::EmptyEmbedding => Self::new(Code::EmptyEmbedding, detail),
            ServiceError::Overloaded => Self {
                retry_after_s: Some(1),
                ..Self::new(Code::Overloaded, detail)
            },
            ServiceError::NotReady { .. } => Self {
                retry_after_s: Some(5),
                ..Self::new(Code::NotReady, detail)
            },
            ServiceError::ShuttingDown => Self {
                retry_after_s: Some(5),
                ..Self::new(Code::ShuttingDown, detail)
            },
            ServiceError::DeadlineExceeded => Self::new(Code::DeadlineExceeded, detail),
            ServiceError::Catalogue(error) => Self::from(error),
            ServiceError::Neighbours(_)
            | ServiceError::File { .. }
            | ServiceError::OtherOrigin { .. }
            | ServiceError::WorkerPanicked => {
                tracing::error!(error = %detail, "a request failed");
                Self::new(Code::Internal, "the cause is in the server's log")
            }
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
            CatalogueError::Exists { .. } => Self::new(Code::PreconditionFailed, detail),
            CatalogueError::PicturesFull { .. } | CatalogueError::LastPicture { .. } => {
                Self::new(Code::Conflict, detail)
            }
            CatalogueError::Full { .. } => Self::new(
                Code::StorageFull,
                "the disk, or what this server may use of it, is full; nothing of the write was stored",
            ),
            CatalogueError::Folder { .. }
            | CatalogueError::InUse { .. }
            | CatalogueError::NewerSchema { .. }
            | CatalogueError::Database(_)
            | CatalogueError::NotStored { .. }
            | CatalogueError::OtherEmbeddings
            | CatalogueError::Damaged { .. } => {
                tracing::error!(error = %detail, "a request failed");
                Self::new(Code::Internal, "the cause is in the server's log")
            }
        }
    }
}

impl From<PictureError> for Problem {
    fn from(error: PictureError) -> Self {
        let code = match error {
            PictureError::TooManyPixels { .. } | PictureError::TooLarge { .. } => Code::TooLarge,
            _ => Code::UndecodableImage,
        };
        Self::new(code, error.to_string())
    }
}
