//! Splits a child's output into lines of bounded length.
//!
//! Invariant: never holds much more than `max` bytes, whatever comes.

use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;

/// A decoder of lines that cuts off what exceeds `max` bytes.
#[derive(Debug)]
pub(super) struct Lines {
    max: usize,
    /// Where to go on looking for the end of the line.
    seen: usize,
    /// The rest of this line has been cut off.
    skipping: bool,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) bytes: BytesMut,
    /// The line went on; its rest is lost.
    pub(super) cut: bool,
}

impl Lines {
    pub(super) fn up_to(max: usize) -> Self {
        Self { max, seen: 0, skipping: false }
    }
}

impl Decoder for Lines {
    type Item = Line;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Line>, Self::Error> {
        loop {
            let end = buffer[self.seen..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end.map(|at| at + self.seen) else {
                if self.skipping {
                    buffer.clear();
                } else if buffer.len() > self.max {
                    self.skipping = true;
                    self.seen = 0;
                    let bytes = buffer.split_to(self.max);
                    buffer.clear();
                    return Ok(Some(Line { bytes, cut: true }));
                }
                self.seen = buffer.len();
                return Ok(None);
            };
            self.seen = 0;
            let mut bytes = buffer.split_to(end);
            buffer.advance(1);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if bytes.last() == Some(&b'\r') {
                bytes.truncate(bytes.len() - 1);
            }
            let cut = bytes.len() > self.max;
            bytes.truncate(self.max);
            return Ok(Some(Line { bytes, cut }));
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Line>, Self::Error> {
        if let Some(line) = self.decode(buffer)? {
            return Ok(Some(line));
        }
        self.seen = 0;
        Ok((!buffer.is_empty()).then(|| Line { bytes: buffer.split(), cut: false }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[Vec<u8>], max: usize) -> Vec<(Vec<u8>, bool)> {
        let mut decoder = Lines::up_to(max);
        let mut buffer = BytesMut::new();
        let mut out = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(line) = decoder.decode(&mut buffer).unwrap() {
                out.push((line.bytes.to_vec(), line.cut));
            }
            assert!(buffer.len() <= max);
        }
        while let Some(line) = decoder.decode_eof(&mut buffer).unwrap() {
            out.push((line.bytes.to_vec(), line.cut));
        }
        out
    }

    proptest! {
        #[test]
        fn splits_as_split_does(
            chunks in prop::collection::vec(
                prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..12), 0..12),
            max in 1_usize..8,
        ) {
            let all = chunks.concat();
            let mut naive: Vec<_> = all
                .split(|byte| *byte == b'\n')
                .map(|line| (line[..line.len().min(max)].to_vec(), line.len() > max))
                .collect();
            if naive.last().is_some_and(|(line, _)| line.is_empty()) {
                naive.pop();
            }
            prop_assert_eq!(lines(&chunks, max), naive);
        }
    }
}
