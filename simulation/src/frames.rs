//! Cuts what is written to a connection into HTTP/2 frames (RFC 9113, section 4.1), so that a trace tells messages.
//!
//! Headers are told with their content, a server's date among them: the machine's clock is replaced where this runs.

/// What a client says before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
const HEAD: usize = 9;

/// A frame that was written whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type number: 0 is data, 1 headers, 3 reset, 6 ping, 7 going away, 8 window.
    pub kind: u8,
    /// Stream number.
    pub stream: u32,
    /// Hash of its content and length.
    pub content: u64,
}

/// Reads frames out of bytes as they come.
pub struct Frames {
    skip: usize,
    head: [u8; HEAD],
    have: usize,
    left: usize,
    hash: u64,
}

impl Frames {
    /// Of the side that opened the connection, or of the other.
    pub fn new(client: bool) -> Self {
        Self { skip: if client { PREFACE } else { 0 }, head: [0; HEAD], have: 0, left: 0, hash: 0 }
    }

    /// Takes bytes and tells each frame that ends in them.
    pub fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame)) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.have < HEAD {
                self.head[self.have] = bytes[0];
                self.have += 1;
                bytes = &bytes[1..];
                if self.have == HEAD {
                    self.left =
                        usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
                    self.hash = self.left as u64;
                }
            } else {
                let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
                // FNV-1a: a trace needs no more, and nothing is kept between parts but the hash.
                self.hash =
                    part.iter().fold(self.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
                self.left -= part.len();
                bytes = rest;
            }
            if self.have == HEAD && self.left == 0 {
                self.have = 0;
                tell(self.frame());
            }
        }
    }

    fn frame(&self) -> Frame {
        let kind = self.head[3];
        let stream = u32::from_be_bytes([self.head[5] & 0x7f, self.head[6], self.head[7], self.head[8]]);
        Frame { kind, stream, content: self.hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = vec![b'P'; PREFACE];
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 3, 0, 1, 0, 0, 0, 5, 7, 8, 9]);
        bytes.extend([0, 0, 2, 1, 4, 0, 0, 1, 0, 1, 2]);
        let told = |size: usize| {
            let mut told = Vec::new();
            let mut frames = Frames::new(true);
            bytes.chunks(size).for_each(|part| frames.read(part, |frame| told.push(frame)));
            told
        };
        let whole = told(bytes.len());
        assert_eq!(
            whole.iter().map(|frame| (frame.kind, frame.stream)).collect::<Vec<_>>(),
            [(4, 0), (0, 5), (1, 256)]
        );
        assert!(whole[1].content != 0 && whole[2].content != 0, "headers have a content, too");
        for size in 1..bytes.len() {
            assert_eq!(told(size), whole);
        }
    }
}
