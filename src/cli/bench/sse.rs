//! Server-sent events as any server may send them: any line ends, any packet borders, comments, fields of no interest.

/// Longest event that is read, in bytes.
const MAX_EVENT_BYTES: usize = 16 << 20;

/// Puts the `data` of events together from the bytes of a body.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The data lines of the event that has not ended yet.
    data: Option<Vec<u8>>,
    /// Whether the last byte was a carriage return: a line feed after it ends no second line.
    after_return: bool,
}

/// An event is longer than anything that a server of language models sends.
#[derive(Debug, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
pub(super) struct EventTooLong;

impl SseReader {
    /// Takes the next bytes of the body and returns the data of the events that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, EventTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                _ if is_second_half => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        let pending = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if pending > MAX_EVENT_BYTES { Err(EventTooLong) } else { Ok(events) }
    }

    /// Takes the end of the body: a last event without an empty line after it counts, as most clients have it.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        // An unended line is a data line or the end of one.
        self.end_line().or(self.data)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Vec<String> {
        let mut reader = SseReader::default();
        let mut events = Vec::new();
        for part in bytes.chunks(piece) {
            events.extend(reader.feed(part).expect("short events"));
        }
        events.extend(reader.finish());
        events.into_iter().map(|event| String::from_utf8(event).expect("UTF-8")).collect()
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let body = ": ping\n\ndata: {\"a\":1}\n\nevent: x\r\nid: 7\r\ndata:안녕\r\n\r\n\ndata: one\rdata: two\r\rdata: [DONE]";
        let expected = ["{\"a\":1}", "안녕", "one\ntwo", "[DONE]"];
        for piece in 1..=body.len() {
            assert_eq!(read(body.as_bytes(), piece), expected, "pieces of {piece} bytes");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_no_events() {
        assert_eq!(read(b": ping\n\n\n\r\n: pong\n\nretry: 3\n\n", 1), [""; 0]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = SseReader::default();
        let megabyte = vec![b'x'; 1 << 20];
        assert!((0..16).all(|_| reader.feed(&megabyte).is_ok()));
        assert!(reader.feed(&megabyte).is_err());
    }
}
