//! A stand-in of an OpenAI-compatible server: it answers as told, with the oddities that servers and networks have.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// How the stand-in answers a chat completion.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// Whether usage is sent.
    pub(crate) usage: bool,
    /// Send so many bytes at a time, each as a packet of its own; 0 for whole events.
    pub(crate) packet: usize,
    /// Refuse every n-th measured request with this status.
    pub(crate) refuse: Option<(usize, u16)>,
    /// What goes wrong with every n-th measured stream.
    pub(crate) fault: Option<(usize, Fault)>,
    /// Whether `/tokenize` counts tokens.
    pub(crate) tokenize: bool,
    /// Close the connection after every answer, without a word.
    pub(crate) hang_up: bool,
    /// Wanted of the `authorization` header.
    pub(crate) key: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The connection closes in the middle.
    Broken,
    /// Nothing more comes.
    Stalled,
    /// An error event comes.
    Error,
}

/// The name of the only model.
pub(crate) const MODEL: &str = "stand-in";
/// Pieces of every answer, if more are not forbidden.
pub(crate) const NUM_PIECES: usize = 5;

/// The running stand-in and the requests that it saw.
pub(crate) struct StandIn {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl StandIn {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                // A client that has gone ends its connection.
                std::thread::spawn(move || drop(serve(&stream, behaviour, &log)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bodies of the chat completions that were asked for.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: &TcpStream, behaviour: Behaviour, log: &Mutex<Vec<Value>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let (mut length, mut key) = (0, None);
        for line in reader.by_ref().lines() {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "authorization" => key = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let is_authorized = behaviour.key.is_none_or(|wanted| key.as_deref() == Some(wanted));
        match request.split(' ').nth(1).unwrap_or_default() {
            _ if !is_authorized => {
                answer(stream, 401, "", r#"{"error":{"message":"Incorrect API key provided."}}"#)?;
            }
            "/v1/models" => answer(stream, 200, "", &json!({ "data": [{ "id": MODEL }] }).to_string())?,
            "/v1/chat/completions" => {
                let body: Value = serde_json::from_slice(&body).expect("a client sends JSON");
                let number = {
                    let mut log = log.lock().expect("not poisoned");
                    log.push(body.clone());
                    log.len()
                };
                complete(stream, behaviour, number, &body)?;
                if behaviour.hang_up {
                    return Ok(());
                }
            }
            "/tokenize" if behaviour.tokenize => {
                let body: Value = serde_json::from_slice(&body).expect("a client sends JSON");
                let count = num_prompt_tokens(&body);
                answer(stream, 200, "", &json!({ "count": count, "max_model_len": 4096 }).to_string())?;
            }
            _ => answer(stream, 404, "", "nothing here")?,
        }
    }
}

fn answer(mut stream: &TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// Tokens of a prompt: one a word, four a message, three for the answer's beginning.
fn num_prompt_tokens(request: &Value) -> usize {
    let messages = request["messages"].as_array().expect("messages");
    let text = |message: &Value| message["content"].as_str().expect("text").split_whitespace().count();
    messages.iter().map(|message| text(message) + 4).sum::<usize>() + 3
}

/// Answers the `number`-th chat completion, counted from 1.
fn complete(
    mut stream: &TcpStream,
    behaviour: Behaviour,
    number: usize,
    request: &Value,
) -> std::io::Result<()> {
    // The probes of the beginning ask for one token; a fault there would be another test.
    let max_tokens = request["max_tokens"].as_u64().expect("a limit") as usize;
    let is_measured = max_tokens > 1;
    let hits = |nth: usize| is_measured && number.is_multiple_of(nth);
    if let Some((nth, status)) = behaviour.refuse
        && hits(nth)
    {
        let body = r#"{"error":{"message":"The server is busy.","type":"overloaded"}}"#;
        return answer(stream, status, "retry-after: 1\r\n", body);
    }
    let fault = behaviour.fault.filter(|(nth, _)| hits(*nth)).map(|(_, fault)| fault);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    )?;
    let chunk = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
    let mut events =
        vec![": a comment\n\n".to_owned(), event(&chunk(json!({ "role": "assistant", "content": "" })))];
    let num_pieces = NUM_PIECES.min(max_tokens);
    for i in 0..num_pieces {
        events.push(event(&chunk(json!({ "content": format!("조각{i} ") }))));
        let in_the_middle = i + 1 == num_pieces.div_ceil(2);
        match fault.filter(|_| in_the_middle) {
            None => {}
            Some(Fault::Broken) => {
                send(stream, &events.concat(), behaviour.packet)?;
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            Some(Fault::Stalled) => {
                send(stream, &events.concat(), behaviour.packet)?;
                // The client gives up first and closes the connection.
                let mut rest = [0; 1];
                return stream.read(&mut rest).map(drop);
            }
            Some(Fault::Error) => {
                events.push(event(&json!({ "error": { "message": "the engine stopped" } })));
                send(stream, &events.concat(), behaviour.packet)?;
                return write!(stream, "0\r\n\r\n");
            }
        }
    }
    events.push(event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] })));
    if behaviour.usage {
        // Two tokens a piece: usage and pieces must not be taken for each other.
        let usage =
            json!({ "prompt_tokens": num_prompt_tokens(request), "completion_tokens": 2 * num_pieces });
        events.push(event(&json!({ "choices": [], "usage": usage })));
    }
    events.push("data: [DONE]\r\n\r\n".to_owned());
    for event in &events {
        send(stream, event, behaviour.packet)?;
    }
    write!(stream, "0\r\n\r\n")
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// Sends a text as chunks of `packet` bytes.
fn send(mut stream: &TcpStream, text: &str, packet: usize) -> std::io::Result<()> {
    let size = if packet == 0 { text.len() } else { packet };
    for part in text.as_bytes().chunks(size) {
        let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
        chunk.extend_from_slice(part);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk)?;
        if packet != 0 {
            // Long enough for the bytes to leave by themselves.
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    Ok(())
}
