//! Every route, in groups by who may use it and how long it may take.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{self, MethodFilter, MethodRouter};
use tower_http::set_header::SetResponseHeaderLayer;

use super::access::Access;
use super::app::App;
use super::handlers::{backup, export, imports, metrics, model, pictures, products, removal, search, status};
use super::keys::Role;
use super::middleware::{Guard, Policy, TimeLimit, answer, guard, method_not_allowed, not_found};
use super::page;
use super::request::arguments::Arguments;
use super::server_timing::TIMING_ALLOW_ORIGIN;
use super::{compression, cors};

/// A method of a path, and what answers it.
#[derive(Debug)]
struct Route {
    method: Method,
    path: &'static str,
    /// The names of its options: those that the handler's arguments read.
    options: Vec<&'static str>,
    handler: MethodRouter<Arc<App>>,
}

impl Route {
    fn new<H, T, A>(method: Method, filter: MethodFilter, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>> + Arguments<A>,
        T: 'static,
    {
        Self {
            method,
            path,
            options: H::names(),
            handler: routing::on(filter, handler),
        }
    }
}

/// Routes of one policy.
#[derive(Debug)]
struct Group {
    policy: Policy,
    routes: Vec<Route>,
}

/// Declares routes: `METHOD "path" => handler`.
macro_rules! routes {
    ($($method:ident $path:literal => $handler:expr,)*) => {
        vec![$(Route::new(Method::$method, MethodFilter::$method, $path, $handler)),*]
    };
}

fn groups() -> [Group; 8] {
    let group = |access, time, routes| Group {
        policy: Policy { access, time },
        routes,
    };
    let open = routes![
        GET "/" => page::search,
        GET "/catalogue" => page::catalogue,
        GET "/status" => page::status,
        GET "/assets/{version}/{file}" => page::asset,
        GET "/healthz" => status::healthz,
        GET "/readyz" => status::readyz,
        GET "/openapi.yaml" => status::openapi,
    ];
    let read = routes![
        POST "/v1/embeddings" => search::embed,
        POST "/v1/search" => search::search,
        POST "/v1/recommend" => search::recommend,
        GET "/v1/products" => products::list,
        GET "/v1/products/{id}" => products::get,
        GET "/v1/products/{id}/similar" => search::similar,
        GET "/v1/products/{id}/pictures/{picture_id}" => pictures::get,
        GET "/v1/model" => model::model,
        GET "/v1/chip" => model::chip,
        GET "/v1/stats" => status::stats,
    ];
    let whole = routes![
        GET "/metrics" => metrics::metrics,
    ];
    let write = routes![
        PUT "/v1/products/{id}" => products::put,
        PATCH "/v1/products/{id}" => products::patch,
        DELETE "/v1/products/{id}" => products::delete,
        POST "/v1/products/{id}/pictures" => pictures::add,
        DELETE "/v1/products/{id}/pictures/{picture_id}" => pictures::delete,
    ];
    let read_long = routes![
        GET "/v1/export" => export::export,
        GET "/v1/imports/{id}" => imports::get,
    ];
    let write_long = routes![
        DELETE "/v1/products" => removal::delete,
        POST "/v1/imports" => imports::create,
    ];
    let admin = routes![
        POST "/v1/model" => model::change,
    ];
    let admin_long = routes![
        GET "/v1/backup" => backup::backup,
    ];
    [
        group(Access::Open, TimeLimit::Answer, open),
        group(Access::Key(Role::Read), TimeLimit::Answer, read),
        group(Access::Whole(Role::Read), TimeLimit::Answer, whole),
        group(Access::Key(Role::Write), TimeLimit::Answer, write),
        group(Access::Key(Role::Read), TimeLimit::Piece, read_long),
        group(Access::Key(Role::Write), TimeLimit::Piece, write_long),
        group(Access::Whole(Role::Admin), TimeLimit::Answer, admin),
        group(Access::Whole(Role::Admin), TimeLimit::Piece, admin_long),
    ]
}

/// The method and path of every route.
pub fn served() -> impl Iterator<Item = (Method, &'static str)> {
    let routes = groups().into_iter().flat_map(|group| group.routes);
    routes.map(|route| (route.method, route.path))
}

/// Every route, with what all requests pass through.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for Group { policy, routes } in groups() {
        for Route {
            path,
            options,
            handler,
            ..
        } in routes
        {
            let guarded = Guard {
                app: Arc::clone(&app),
                policy,
                options: options.into(),
            };
            let guard = middleware::from_fn_with_state(guarded, guard);
            router = router.route(path, handler.route_layer(guard));
        }
    }
    router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), answer))
        // Browsers use the content type of a stored picture, and never guess another.
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(compression::layer());
    // Outermost: the preflight requests of browsers have no key.
    if let Some(cors) = cors::layer(&app.origins) {
        router = router
            .layer(cors)
            // Times, too, are shown to the pages that may read the answer.
            .layer(SetResponseHeaderLayer::if_not_present(
                TIMING_ALLOW_ORIGIN,
                |response: &Response| {
                    response
                        .headers()
                        .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
                        .cloned()
                },
            ));
    }
    router.with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_changes_something_needs_a_write_key() {
        let (write, other): (Vec<Group>, Vec<Group>) =
            groups().into_iter().partition(|group| match group.policy.access {
                Access::Key(role) | Access::Whole(role) => role > Role::Read,
                Access::Open => false,
            });
        let posted: Vec<&str> = other
            .iter()
            .flat_map(|group| &group.routes)
            .filter(|route| route.method != Method::GET)
            .map(|route| route.path)
            .collect();
        assert_eq!(posted, ["/v1/embeddings", "/v1/search", "/v1/recommend"]);
        let written = write.iter().flat_map(|group| &group.routes);
        let read = written.filter(|route| route.method == Method::GET);
        assert!(read.map(|route| route.path).eq(["/v1/backup"]));
    }

    #[test]
    fn a_route_knows_the_options_that_its_handler_reads_and_no_other() {
        let known = |wanted: (Method, &str)| {
            let routes = groups().into_iter().flat_map(|group| group.routes);
            let mut found = routes.filter(|route| (&route.method, route.path) == (&wanted.0, wanted.1));
            found.next().expect("a route").options
        };
        assert_eq!(known((Method::GET, "/v1/products")), ["limit", "after", "filter"]);
        assert_eq!(
            known((Method::POST, "/v1/products/{id}/pictures")),
            ["image", "prepare"]
        );
        assert_eq!(known((Method::GET, "/v1/imports/{id}")), ["wait"]);
        for path in ["/healthz", "/v1/model", "/v1/chip"] {
            assert!(known((Method::GET, path)).is_empty(), "{path}");
        }
    }

    #[test]
    fn routes_without_a_key_are_those_of_the_page_and_of_monitoring() {
        let open: Vec<&str> = groups()
            .iter()
            .filter(|group| group.policy.access == Access::Open)
            .flat_map(|group| group.routes.iter().map(|route| route.path))
            .collect();
        let page = ["/", "/catalogue", "/status", "/assets/{version}/{file}"];
        let monitoring = ["/healthz", "/readyz", "/openapi.yaml"];
        assert_eq!(open, [&page[..], &monitoring].concat());
    }
}
