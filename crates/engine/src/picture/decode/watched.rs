//! Bytes that decoders read, and whether they shall go on: no library asks, but all of them read.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// Asked now and then whether decoding shall stop; it costs a caller nothing to have no answer but no.
pub(super) struct Stop<'a> {
    ask: &'a dyn Fn() -> bool,
    stopped: Cell<bool>,
}

impl<'a> Stop<'a> {
    pub(super) fn new(ask: &'a dyn Fn() -> bool) -> Self {
        Self {
            ask,
            stopped: Cell::new(false),
        }
    }

    /// Whether to stop; from the first yes on.
    pub(super) fn now(&self) -> bool {
        if !self.stopped.get() {
            self.stopped.set((self.ask)());
        }
        self.stopped.get()
    }

    /// Whether the answer has been yes.
    pub(super) fn was_asked_for(&self) -> bool {
        self.stopped.get()
    }
}

/// Bytes between two questions: they stand for 5 million pixels at most, which take some 10 ms.
const PIECE: usize = 4 << 10;

/// The bytes of a file, which end in an error once decoding shall stop.
pub(super) struct Watched<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where to ask again.
    next: usize,
    stop: &'a Stop<'a>,
}

impl<'a> Watched<'a> {
    pub(super) fn new(bytes: &'a [u8], stop: &'a Stop<'a>) -> Self {
        Self {
            bytes,
            at: 0,
            next: 0,
            stop,
        }
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.next {
            if self.stop.now() {
                return Err(io::Error::other("decoding was stopped"));
            }
            self.next = self.at + PIECE;
        }
        let end = self.next.min(self.bytes.len());
        Ok(self.bytes.get(self.at..end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut cursor = io::Cursor::new(self.bytes);
        cursor.set_position(self.at as u64);
        let at = cursor.seek(to)?;
        self.at = usize::try_from(at).unwrap_or(usize::MAX - PIECE);
        self.next = self.at;
        Ok(at)
    }
}
