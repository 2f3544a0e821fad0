//! Frames of HTTP/2 (RFC 9113) on a connection of its own, as a client sends them that no library would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// A connection whose client answers pings and settings.
pub struct Http2 {
    stream: TcpStream,
    read: Vec<u8>,
    next: u32,
    /// Bytes of answers that came.
    pub data: usize,
    /// The reason with which the server said goodbye.
    pub goodbye: Option<u32>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

impl Http2 {
    /// Connects; each stream may send `window` bytes.
    pub fn connect(address: SocketAddr, window: u32) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let initial_window = [&[0, 4], &window.to_be_bytes()[..]].concat();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &initial_window)).unwrap();
        Self {
            stream,
            read: Vec::new(),
            next: 1,
            data: 0,
            goodbye: None,
        }
    }

    /// Asks for a path, and takes the request back at once if `reset`.
    pub fn get(&mut self, path: &str, reset: bool) -> u32 {
        let mut block = vec![0x82, 0x86];
        for (name, value) in [(&b"\x04"[..], path), (&b"\x01"[..], "test")] {
            block.extend(name);
            block.push(u8::try_from(value.len()).unwrap());
            block.extend(value.as_bytes());
        }
        let stream = self.next;
        self.next += 2;
        let mut bytes = frame(HEADERS, 5, stream, &block);
        if reset {
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        // The server may have closed the connection.
        let _ = self.stream.write_all(&bytes);
        stream
    }

    /// Lets a stream send so many bytes more.
    pub fn widen(&mut self, stream: u32, bytes: u32) {
        let _ = self
            .stream
            .write_all(&frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()));
    }

    /// Reads and answers for some time. False once the server has closed the connection.
    pub fn pump(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < time {
            let mut piece = [0; 1 << 14];
            match self.stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(read) => self.read.extend(&piece[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return false,
            }
            while let Some(length) = self.read.get(..3) {
                let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
                if self.read.len() < 9 + length {
                    break;
                }
                let frame: Vec<u8> = self.read.drain(..9 + length).collect();
                self.answer(frame[3], frame[4], &frame[9..]);
            }
        }
        true
    }

    fn answer(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        match kind {
            DATA => self.data += payload.len(),
            SETTINGS | PING if flags & 1 == 0 => {
                let payload = if kind == PING { payload } else { &[] };
                let _ = self.stream.write_all(&frame(kind, 1, 0, payload));
            }
            GOAWAY => self.goodbye = payload[4..8].try_into().ok().map(u32::from_be_bytes),
            _ => {}
        }
    }
}
