//! Compressed bodies.

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use futures_util::stream;
use tokio::io::AsyncRead;
use tokio_util::io::read_buf;

use super::super::coding::Coding;
use super::super::endpoints::{AddPicture, FromBody};
use super::super::fields::FromFields;
use super::super::{body, fields::Fields};
use super::{bodies, of_query};
use crate::http::limits::Bodies;
use crate::http::problem::{Code, Problem};

async fn encoded(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 16);
    while read_buf(&mut encoder, &mut out).await.unwrap() > 0 {
        out.reserve(1 << 16);
    }
    out
}

fn headers(codings: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/png"));
    for coding in codings {
        headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    headers
}

/// Sends a body in pieces of seven bytes.
async fn send(bodies: &Bodies, codings: &[&'static str], sent: Vec<u8>) -> Result<Bytes, Problem> {
    let pieces: Vec<_> = sent
        .chunks(7)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let mut fields: Fields = of_query::<AddPicture>("")?;
    let stream = Body::from_stream(stream::iter(pieces));
    let sent = body::receive(AddPicture::ACCEPTS, &headers(codings), stream, bodies).await?;
    sent.add_to(&mut fields)?;
    AddPicture::from_fields(&mut fields).map(|request| request.image.into_inner())
}

#[tokio::test]
async fn every_known_coding_is_decoded_whatever_its_pieces() {
    let picture: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let gzip = encoded(GzipEncoder::new(&picture[..])).await;
    let halves = [
        encoded(GzipEncoder::new(&picture[..50_000])).await,
        encoded(GzipEncoder::new(&picture[50_000..])).await,
    ];
    for (codings, sent) in [
        (&[][..], picture.clone()),
        (&["identity"], picture.clone()),
        (&["gzip"], gzip.clone()),
        (&["X-GZIP"], gzip.clone()),
        (&["identity, GZip"], gzip.clone()),
        (&["", "gzip"], gzip.clone()),
        (&["gzip"], halves.concat()),
        (&["deflate"], encoded(ZlibEncoder::new(&picture[..])).await),
        (&["br"], encoded(BrotliEncoder::new(&picture[..])).await),
        (&["zstd"], encoded(ZstdEncoder::new(&picture[..])).await),
    ] {
        let bodies = bodies();
        let read = send(&bodies, codings, sent).await.unwrap();
        assert!(read == picture, "{codings:?}");
        assert_eq!(
            bodies.spent(),
            100_000,
            "{codings:?}: what decodes a body is counted only meanwhile"
        );
        drop(read);
        assert_eq!(bodies.spent(), 0);
    }
}

#[tokio::test]
async fn other_codings_and_several_are_refused_with_the_known_ones() {
    for (codings, named) in [
        (&["compress"][..], "\"compress\""),
        (&["gzip, lz4"], "\"lz4\""),
        (&["gzip, gzip"], "\"gzip, gzip\""),
        (&["gzip", "br"], "\"gzip, br\""),
    ] {
        let refusal = send(&bodies(), codings, vec![0]).await.unwrap_err();
        assert_eq!(refusal.code, Code::UnsupportedMediaType, "{codings:?}");
        assert_eq!(refusal.accept_encoding, Some("gzip, deflate, br, zstd"));
        let expected =
            format!("the Content-Encoding is {named}; send one of gzip, deflate, br, zstd, or none");
        assert_eq!(refusal.detail, expected);
    }
    assert_eq!(Coding::of(&headers(&[])).unwrap(), Coding::Identity);
}

#[tokio::test]
async fn what_is_not_of_its_coding_or_cut_short_is_refused_with_the_cause() {
    let gzip = encoded(GzipEncoder::new(&[7; 1000][..])).await;
    let mut flipped = gzip.clone();
    *flipped.iter_mut().nth_back(6).unwrap() ^= 1;
    let wide = [CParameter::window_log(24), CParameter::content_size_flag(false)];
    let wide = encoded(ZstdEncoder::with_quality_and_params(
        &[7; 1000][..],
        Level::Fastest,
        &wide,
    ))
    .await;
    for (coding, sent, expected) in [
        (
            "gzip",
            b"\xff\xd8\xff plain".to_vec(),
            "the body is not valid gzip: ",
        ),
        ("deflate", b"plain".to_vec(), "the body is not valid deflate: "),
        ("br", b"\xff plain".to_vec(), "the body is not valid br: "),
        ("zstd", b"plain".to_vec(), "the body is not valid zstd: "),
        ("gzip", flipped, "the body is not valid gzip: "),
        (
            "gzip",
            gzip[..gzip.len() - 9].to_vec(),
            "the body ends before its gzip data are complete",
        ),
        (
            "gzip",
            [&gzip[..], b"rest"].concat(),
            "the body is not valid gzip: ",
        ),
        // A decoder would take 16 MiB for it.
        ("zstd", wide, "the body is not valid zstd: "),
    ] {
        let refusal = send(&bodies(), &[coding], sent).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest, "{coding}: {}", refusal.detail);
        assert!(
            refusal.detail.starts_with(expected),
            "{coding}: {}",
            refusal.detail
        );
    }
}

#[tokio::test]
async fn the_limits_hold_for_the_decoded_bytes() {
    let bodies = bodies();
    // A tenth more than a body may have, in a thousandth of its size.
    let zeros = vec![0; (1 << 20) / 10 * 11];
    for (coding, sent) in [
        ("gzip", encoded(GzipEncoder::new(&zeros[..])).await),
        ("br", encoded(BrotliEncoder::new(&zeros[..])).await),
        ("zstd", encoded(ZstdEncoder::new(&zeros[..])).await),
    ] {
        assert!(sent.len() < 2000);
        let refusal = send(&bodies, &[coding], sent).await.unwrap_err();
        assert_eq!(refusal.code, Code::TooLarge, "{coding}: {}", refusal.detail);
        assert_eq!(bodies.spent(), 0);
    }
    // Alone, a body fits although its decoder counts as well.
    let half = encoded(GzipEncoder::new(&zeros[..600_000])).await;
    let held = send(&bodies, &[], vec![1; 500_000]).await.unwrap();
    let refusal = send(&bodies, &["gzip"], half.clone()).await.unwrap_err();
    assert_eq!(refusal.code, Code::Overloaded);
    drop(held);
    assert_eq!(send(&bodies, &["gzip"], half).await.unwrap().len(), 600_000);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_called_damaged() {
    let gzip = encoded(GzipEncoder::new(&[7; 1000][..])).await;
    let pieces = [Ok(gzip[..10].to_vec()), Err(std::io::Error::other("gone"))];
    let stream = Body::from_stream(stream::iter(pieces));
    let (headers, bodies) = (headers(&["gzip"]), bodies());
    let refusal = body::receive(AddPicture::ACCEPTS, &headers, stream, &bodies);
    assert_eq!(
        refusal.await.unwrap_err().detail,
        "the body ended before it was complete"
    );
}
