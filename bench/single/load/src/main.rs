//! The clients of the single-server benchmark, all in one thread.
//!
//!     load PORT SESSIONS AT_ONCE
//!
//! SESSIONS is a file with a session id and a user id a line. Each line of input is an order, answered by one line when
//! it is carried out; between orders clients stay connected and answer heartbeats:
//!
//!     {"op": "connect", "clients"}                        from TCP's connect to Socket.IO's CONNECT
//!     {"op": "echo"} {"op": "subscribe"}                  each client once, until it is acknowledged (and confirmed)
//!     {"op": "broadcast", "ticks", "perTick", "everyMs"}  from asking for it to each recipient
//!     {"op": "disconnect"}                                from a browser's close frame to the end of the connection
//!     → {"count", "seconds", "ms": {"p50", "p95", "p99", "max"}}
//!
//! AT_ONCE clients act at a time; a tick begins when the one before is received by all. Sockets are looked at once a
//! millisecond, which is the grain of the times. Anything unexpected ends it.

mod client;
mod crowd;
mod frames;
mod times;

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crowd::Crowd;

const INPUT: Token = Token(usize::MAX - 1);
const EVENTS: usize = 4096;
/// Between two looks at the sockets. Clients elsewhere would not be woken up by the server's own core: if these waited for
/// each message, the server would pay for that, the more the faster it is.
const NAP: Duration = Duration::from_millis(1);

fn main() {
    if let Err(error) = run() {
        eprintln!("load: {error}");
        std::process::exit(1);
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, sessions, at_once] = arguments.as_slice() else {
        return Err(io::Error::other("load PORT SESSIONS AT_ONCE"));
    };
    let mut crowd = Crowd::new(number(port)?, read_sessions(sessions)?, number(at_once)?);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    poll.registry().register(&mut SourceFd(&0), INPUT, Interest::READABLE)?;
    let mut input = Vec::new();
    say("{\"ready\":true}")?;
    loop {
        match poll.poll(&mut events, crowd.sleep().map(|left| left.max(Duration::from_micros(100)))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() != INPUT {
                crowd.on_event(&poll, event)?;
            } else if !orders(&mut input, &poll, &mut crowd)? {
                return Ok(());
            }
        }
        match crowd.on_time()? {
            Some(answer) => say(&answer.to_string())?,
            // Not all that can be told at once was: there is more.
            None if events.iter().count() == EVENTS => {}
            None if crowd.is_busy() => std::thread::sleep(NAP),
            None => {}
        }
    }
}

/// Take what is there of the input, and begin what it asks for; false at its end.
fn orders(input: &mut Vec<u8>, poll: &Poll, crowd: &mut Crowd) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    let count = io::stdin().lock().read(&mut bytes)?;
    input.extend_from_slice(&bytes[..count]);
    while let Some(end) = input.iter().position(|&byte| byte == b'\n') {
        let line: Vec<u8> = input.drain(..=end).collect();
        crowd.begin(poll, &serde_json::from_slice(&line)?)?;
    }
    Ok(count > 0)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn read_sessions(path: &str) -> io::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path)?;
    let pair = |line: &str| line.split_once(' ').map(|(session, user)| (session.to_owned(), user.to_owned()));
    text.lines().map(|line| pair(line).ok_or_else(|| io::Error::other("a session id and a user id a line"))).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| io::Error::other(format!("not a number: {text}")))
}
