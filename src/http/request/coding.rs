//! Content codings of bodies (RFC 9110, section 8.4): compressed bodies are decoded as they come, piece by piece.
//!
//! tower-http's layer would do the same, but cannot bound a decoder's memory, and keeps decoding a body that is refused.

use std::io;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::stream::MapErr;
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::{StreamReader, read_buf};

use crate::http::problem::{Code, Problem};

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// Those that are decoded, as the header `Accept-Encoding` of a refusal lists them.
    pub const KNOWN: &str = "gzip, deflate, br, zstd";

    /// The coding of a request's body.
    ///
    /// # Errors
    /// Refuses a coding that is not known, and several of them.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all(header::CONTENT_ENCODING);
        let values: Vec<_> = values
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let refuse = |given: &str| {
            Err(Problem {
                accept_encoding: Some(Self::KNOWN),
                ..Problem::new(
                    Code::UnsupportedMediaType,
                    format!(
                        "the Content-Encoding is {given:?}; send one of {}, or none",
                        Self::KNOWN
                    ),
                )
            })
        };
        let named = values.iter().flat_map(|value| value.split(',')).map(str::trim);
        let mut found = Self::Identity;
        for name in named.filter(|name| !name.is_empty()) {
            let coding = match name.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "br" => Self::Brotli,
                "zstd" => Self::Zstd,
                _ => return refuse(name),
            };
            if found != Self::Identity {
                return refuse(&values.join(", "));
            }
            found = coding;
        }
        Ok(found)
    }

    /// Bytes that its decoder keeps of what it has decoded, at most.
    #[must_use]
    pub fn window(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Gzip | Self::Deflate => 32 << 10,
            // RFC 7932, section 9.1.
            Self::Brotli => 1 << 24,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// The largest window of zstd, as a power of two: what decoders should have at least (RFC 8878, section 3.1.1.1.2).
const ZSTD_WINDOW_LOG: u32 = 23;

/// Bytes that are decoded at a time.
const PIECE: usize = 32 << 10;

type Raw = StreamReader<MapErr<BodyDataStream, fn(axum::Error) -> io::Error>, Bytes>;

/// The bytes of a body, decoded.
#[derive(Debug)]
pub struct Pieces {
    coding: Coding,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Raw(BodyDataStream),
    Gzip(GzipDecoder<Raw>),
    Deflate(ZlibDecoder<Raw>),
    Brotli(BrotliDecoder<Raw>),
    Zstd(ZstdDecoder<Raw>),
    Ended,
}

impl Pieces {
    /// The pieces of `body`, decoded by `coding`.
    #[must_use]
    pub fn new(body: Body, coding: Coding) -> Self {
        let stream = body.into_data_stream();
        let raw = |stream: BodyDataStream| Raw::new(stream.map_err(io::Error::other));
        let source = match coding {
            Coding::Identity => Source::Raw(stream),
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(raw(stream));
                // Files that were compressed in parts and joined.
                decoder.multiple_members(true);
                Source::Gzip(decoder)
            }
            Coding::Deflate => Source::Deflate(ZlibDecoder::new(raw(stream))),
            Coding::Brotli => Source::Brotli(BrotliDecoder::new(raw(stream))),
            Coding::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(raw(stream), &window);
                decoder.multiple_members(true);
                Source::Zstd(decoder)
            }
        };
        Self { coding, source }
    }

    /// Whether they are decoded: a decoder takes memory, too.
    #[must_use]
    pub fn are_decoded(&self) -> bool {
        !matches!(self.source, Source::Raw(_))
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// If the stream breaks off, or cannot be decoded.
    pub async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        let mut piece = Vec::new();
        let read = match &mut self.source {
            Source::Raw(stream) => {
                let piece = stream.next().await?;
                return Some(piece.map_err(|_| Problem::broken_body()));
            }
            Source::Gzip(decoder) => decode(decoder, &mut piece).await,
            Source::Deflate(decoder) => decode(decoder, &mut piece).await,
            Source::Brotli(decoder) => decode(decoder, &mut piece).await,
            Source::Zstd(decoder) => decode(decoder, &mut piece).await,
            Source::Ended => return None,
        };
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(piece.into())),
            Err(error) => Some(Err(self.refusal(&error))),
        }
    }

    /// From here on the pieces are given as they come: a refused body is only read to its end.
    pub fn stop_decoding(&mut self) {
        self.source = match std::mem::replace(&mut self.source, Source::Ended) {
            Source::Gzip(decoder) => Source::Raw(undecoded(decoder.into_inner())),
            Source::Deflate(decoder) => Source::Raw(undecoded(decoder.into_inner())),
            Source::Brotli(decoder) => Source::Raw(undecoded(decoder.into_inner())),
            Source::Zstd(decoder) => Source::Raw(undecoded(decoder.into_inner())),
            source @ (Source::Raw(_) | Source::Ended) => source,
        };
    }

    fn refusal(&self, error: &io::Error) -> Problem {
        if error.get_ref().is_some_and(|cause| cause.is::<axum::Error>()) {
            return Problem::broken_body();
        }
        let coding = self.coding.name();
        let detail = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("the body ends before its {coding} data are complete"),
            _ => format!("the body is not valid {coding}: {error}"),
        };
        Problem::new(Code::InvalidRequest, detail)
    }
}

async fn decode(decoder: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> io::Result<usize> {
    into.reserve_exact(PIECE);
    read_buf(decoder, into).await
}

fn undecoded(raw: Raw) -> BodyDataStream {
    raw.into_inner().into_inner()
}
