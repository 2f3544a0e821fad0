//! A server in this process, and a collector that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::Endpoint;
use crate::catalogue::{Catalogue, Room};
use crate::http::limits::Limits;
use crate::http::{App, listen, router};
use crate::service::{Service, ServiceOptions, Wanted};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::picture::DecodeLimits;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const CALLER: u64 = 0x00f0_67aa_0ba9_02b7;

/// A collector's address, and the head and the body of each request to it.
fn collector() -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let length = head.to_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length = length.lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .unwrap();
            let _ = send.send((head, body));
        }
    });
    (address, received)
}

async fn app(folder: &std::path::Path) -> Arc<App> {
    let model = Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper).unwrap();
    let wanted = Wanted {
        model: Arc::new(model),
        probe: None,
        time_steps: None,
        given: false,
        hold: false,
    };
    let options = ServiceOptions {
        chips: 1,
        waiting: Duration::from_millis(100),
        threads: 1,
        limits: DecodeLimits::default(),
    };
    let catalogue = Catalogue::open(folder, Room::ONE).unwrap();
    let service = Service::open(catalogue, wanted, options).await.unwrap();
    let limits = Limits {
        body: 1 << 20,
        bodies: 1 << 20,
        head: 64 << 10,
        time: Duration::from_secs(10),
        unread: Duration::from_secs(10),
        connections: 8,
        rate: None,
    };
    Arc::new(App::new(service, limits, None, Vec::new()))
}

/// Sends a request with these further lines in its head.
fn ask(server: SocketAddr, path: &str, lines: &str) {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{lines}\r\n"
    )
    .unwrap();
    assert!(std::io::read_to_string(stream).unwrap().starts_with("HTTP/1.1 "));
}

/// Whether a message has these bytes: protobuf writes texts and ids as they are.
fn has(message: &[u8], bytes: &[u8]) -> bool {
    message.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn spans_of_requests_are_sent_below_their_callers_at_the_latest_at_the_end() {
    let (address, received) = collector();
    let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let spans = endpoint.send_spans(runtime.handle()).unwrap();
    let server = runtime.block_on(async {
        let app = app(folder.path()).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (limits, unread) = (app.limits, Arc::clone(&app.unread));
        tokio::spawn(async move {
            listen::serve(listener, router(app), &limits, &unread, std::future::pending()).await;
        });
        address
    });
    let parent =
        |flags| format!("traceparent: 00-{TRACE:032x}-{CALLER:016x}-{flags}\r\ntracestate: shop=cart\r\n");
    ask(server, "/v1/products/boot", &parent("01"));
    ask(server, "/healthz", "x-request-id: begins-a-trace\r\n");
    ask(server, "/v1/model", &parent("00"));
    // Both have ended long before the next batch is due.
    drop(spans);
    let (head, body) = received.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_lowercase()
            .contains("content-type: application/x-protobuf"),
        "{head}"
    );
    for expected in [
        &TRACE.to_be_bytes()[..],
        &CALLER.to_be_bytes(),
        b"shop=cart",
        b"GET /v1/products/{id}",
        b"/v1/products/boot",
        b"GET /healthz",
        b"begins-a-trace",
        b"http.response.status_code",
        b"service.name",
        b"spikelens",
    ] {
        assert!(has(&body, expected), "{:?}", String::from_utf8_lossy(expected));
    }
    // The catalogue is not loaded: 503.
    assert!(has(&body, b"error.type"));
    // Its caller does not record it.
    assert!(!has(&body, b"/v1/model"));
}
