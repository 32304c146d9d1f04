//! The bytes of a file, of which some can be given back.

use std::io::{BufRead, BufReader, Read};

/// How many bytes are read from the file at once.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// A reader that also reads bytes which were given back.
pub(super) struct Source {
    returned: Vec<u8>,
    at: usize,
    file: BufReader<Box<dyn Read + Send>>,
}

impl Source {
    pub(super) fn new(file: Box<dyn Read + Send>) -> Self {
        Self {
            returned: Vec::new(),
            at: 0,
            file: BufReader::with_capacity(READ_BYTES, file),
        }
    }

    /// Gives bytes back. The next read returns them.
    pub(super) fn give_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(&self.returned[self.at..]);
        (self.returned, self.at) = (bytes, 0);
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at < self.returned.len() {
            Ok(&self.returned[self.at..])
        } else {
            self.file.fill_buf()
        }
    }

    fn consume(&mut self, amount: usize) {
        if self.at < self.returned.len() {
            self.at += amount;
        } else {
            self.file.consume(amount);
        }
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
