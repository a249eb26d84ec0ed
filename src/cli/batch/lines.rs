//! Lines of a file of any size, each of bounded length.

use std::io::{self, BufRead};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads line after line; blank ones are counted and left out.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    max_bytes: usize,
    /// The line that was read last, without its end.
    line: Vec<u8>,
    number: u64,
    num_bytes: u64,
    has_end: bool,
}

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its content; nothing if it is too long.
    pub(super) text: Option<&'a [u8]>,
    /// Where it begins in the file.
    pub(super) start: u64,
    /// Whether a line break follows; the last line of a file may have none.
    pub(super) has_end: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, max_bytes: usize) -> Self {
        Self { reader, max_bytes, line: Vec::new(), number: 0, num_bytes: 0, has_end: false }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let start = self.num_bytes;
            let Some(fits) = self.read_line()? else { return Ok(None) };
            if fits && self.content().is_empty() {
                continue;
            }
            let (number, has_end) = (self.number, self.has_end);
            return Ok(Some(Line { number, text: fits.then(|| self.content()), start, has_end }));
        }
    }

    fn content(&self) -> &[u8] {
        let line = self.line.trim_ascii();
        let line = if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        line.trim_ascii()
    }

    /// Reads one line and tells whether it fits; nothing at the end of the file.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        self.has_end = false;
        let (mut fits, mut is_empty) = (true, true);
        while !self.has_end {
            let piece = match self.reader.fill_buf() {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if piece.is_empty() {
                break;
            }
            is_empty = false;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let content = &piece[..end.unwrap_or(piece.len())];
            fits &= self.line.len() + content.len() <= self.max_bytes;
            if fits {
                self.line.extend_from_slice(content);
            }
            let num_read = content.len() + usize::from(end.is_some());
            self.has_end = end.is_some();
            self.reader.consume(num_read);
            self.num_bytes += num_read as u64;
        }
        if is_empty {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, content, start and end of each line, read through a buffer of three bytes.
    fn read(text: &str, max_bytes: usize) -> Vec<(u64, Option<String>, u64, bool)> {
        let mut lines = Lines::new(io::BufReader::with_capacity(3, text.as_bytes()), max_bytes);
        let mut read = Vec::new();
        while let Some(line) = lines.next().expect("memory can be read") {
            let text = line.text.map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"));
            read.push((line.number, text, line.start, line.has_end));
        }
        read
    }

    #[test]
    fn blank_lines_count_and_are_left_out() {
        let content = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("\u{feff}one\r\n\n  \nfour\nend", 9),
            [(1, content("one"), 0, true), (4, content("four"), 12, true), (5, content("end"), 17, false)]
        );
        assert!(read("", 9).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let content = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("12345\n123456\n1", 5),
            [(1, content("12345"), 0, true), (2, None, 6, true), (3, content("1"), 13, false)]
        );
    }
}
