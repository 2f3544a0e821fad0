//! The span of a request for a collector, in builds with the feature `otlp`; in others, nothing.
//!
//! Attributes have the names of OpenTelemetry's conventions for HTTP, and of a `timing` of an answer.

#[cfg(not(feature = "otlp"))]
pub use disabled::ExportedSpan;
#[cfg(feature = "otlp")]
pub use enabled::ExportedSpan;

#[cfg(not(feature = "otlp"))]
mod disabled {
    use axum::extract::Request;
    use axum::http::StatusCode;

    use crate::http::trace_parent::TraceParent;
    use crate::service::Times;

    /// No span.
    #[derive(Debug)]
    pub struct ExportedSpan;

    impl ExportedSpan {
        pub fn begin(_: &Request, _: Option<&str>, _: &str, _: Option<&TraceParent>) -> Self {
            Self
        }

        pub fn trace_id(&self) -> Option<String> {
            None
        }

        pub fn end(self, _: StatusCode, _: Option<&Times>) {}
    }
}

#[cfg(feature = "otlp")]
mod enabled {
    use axum::extract::Request;
    use axum::http::{HeaderMap, StatusCode};
    use opentelemetry::global::{self, BoxedSpan};
    use opentelemetry::trace::{
        Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    };
    use opentelemetry::{Context, KeyValue};

    use crate::http::trace_parent::TraceParent;
    use crate::service::Times;

    /// A span that is sent when it ends, if the server was started with a collector.
    #[derive(Debug)]
    pub struct ExportedSpan(BoxedSpan);

    impl ExportedSpan {
        /// Begins the span of a request, below the caller's.
        pub fn begin(
            request: &Request,
            route: Option<&str>,
            request_id: &str,
            parent: Option<&TraceParent>,
        ) -> Self {
            let method = request.method().to_string();
            let name = match route {
                Some(route) => format!("{method} {route}"),
                None => method.clone(),
            };
            let mut attributes = vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("url.path", request.uri().path().to_owned()),
                KeyValue::new("spikelens.request_id", request_id.to_owned()),
            ];
            attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
            let caller = parent.and_then(|parent| context(parent, request.headers()));
            let caller = caller.map_or_else(Context::new, |caller| {
                Context::new().with_remote_span_context(caller)
            });
            let tracer = global::tracer("spikelens");
            let span = tracer
                .span_builder(name)
                .with_kind(SpanKind::Server)
                .with_attributes(attributes)
                .start_with_context(&tracer, &caller);
            Self(span)
        }

        /// The trace of the span; none without a collector.
        pub fn trace_id(&self) -> Option<String> {
            let context = self.0.span_context();
            context.is_valid().then(|| context.trace_id().to_string())
        }

        /// Ends the span with its answer.
        pub fn end(mut self, status: StatusCode, times: Option<&Times>) {
            let span = &mut self.0;
            if !span.is_recording() {
                return;
            }
            span.set_attribute(KeyValue::new(
                "http.response.status_code",
                i64::from(status.as_u16()),
            ));
            if status.is_server_error() {
                span.set_attribute(KeyValue::new("error.type", status.as_u16().to_string()));
                span.set_status(Status::error(""));
            }
            if let Some(times) = times {
                span.set_attributes([
                    KeyValue::new("spikelens.decode_ms", times.decode_ms),
                    KeyValue::new("spikelens.queue_ms", times.queue_ms),
                    KeyValue::new("spikelens.emulation_ms", times.emulation_ms),
                    KeyValue::new("spikelens.search_ms", times.search_ms),
                ]);
            }
            span.end();
        }
    }

    /// The caller's span, with the `tracestate` that belongs to it.
    fn context(parent: &TraceParent, headers: &HeaderMap) -> Option<SpanContext> {
        let states = headers.get_all("tracestate").iter();
        let states: Option<Vec<&str>> = states.map(|state| state.to_str().ok()).collect();
        let state: Option<TraceState> = states.and_then(|states| states.join(",").parse().ok());
        let flags = match parent.is_sampled {
            true => TraceFlags::SAMPLED,
            false => TraceFlags::NOT_SAMPLED,
        };
        Some(SpanContext::new(
            TraceId::from_hex(&parent.trace_id).ok()?,
            SpanId::from_hex(&parent.span_id).ok()?,
            flags,
            true,
            state.unwrap_or_default(),
        ))
    }
}
