//! `DELETE /v1/products`: all products that pass a filter.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use crate::catalogue::Scope;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::feeds::DeleteProducts;
use crate::service::Clock;

/// Removes all products that pass, or only counts them.
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Parameters(request): Parameters<DeleteProducts>,
) -> Result<Json<Value>, Problem> {
    let filter = scope.and(request.filter)?;
    let deleted = match request.dry_run {
        Some(true) => app.service.count_passing(filter, clock).await?,
        _ => app.service.delete_passing(filter, clock).await?,
    };
    Ok(Json(json!({ "deleted": deleted })))
}
