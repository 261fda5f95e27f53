//! The bytes of the file on their way to the parser: counted, unpacked, and never more than a row may have.

use flate2::read::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one row. More is no row but a quote that is not closed.
pub(super) const ROW_BYTES_MAX: u64 = 64 << 10;

/// Bytes read at a time.
pub(super) const READ_AHEAD: usize = 64 << 10;

/// Unpacks what is gzipped, by its first bytes and not its name: a name may lie.
pub(super) fn unpacked(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut head = Vec::new();
    raw.by_ref().take(2).read_to_end(&mut head)?;
    let gzipped = head == [0x1f, 0x8b];
    let whole = BufReader::with_capacity(READ_AHEAD, Cursor::new(head).chain(raw));
    if !gzipped {
        return Ok(Box::new(whole));
    }
    Ok(Box::new(BufReader::with_capacity(READ_AHEAD, MultiGzDecoder::new(whole))))
}

/// The header, or as much of it as a row may have.
pub(super) fn first_line(text: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    text.take(ROW_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// What separates the names of the header. Spreadsheets write `;` where `,` is the decimal sign.
pub(super) fn delimiter(header: &[u8]) -> u8 {
    header.iter().copied().find(|byte| matches!(byte, b',' | b';' | b'\t')).unwrap_or(b',')
}

/// Counts what is read.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Gives no more than one row may have. The parser asks for more only when it has used up what it was given, so what was
/// given when it asks is where it stands.
pub(super) struct Leash<R> {
    pub(super) inner: R,
    pub(super) given: u64,
    pub(super) limit: Arc<AtomicU64>,
}

impl<R: Read> Read for Leash<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given > self.limit.load(Ordering::Relaxed) {
            let problem = format!("a row is longer than {} KiB; is a quote not closed?", ROW_BYTES_MAX >> 10);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        Ok(count)
    }
}
