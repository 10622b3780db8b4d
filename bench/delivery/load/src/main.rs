//! The clients of the delivery benchmark and the feed that they watch, all in one thread and by one clock.
//!
//!     delivery-load PORT FEED_PORT SESSIONS TAPE
//!
//! SESSIONS has a session id and a user id a line. TAPE has a quote a line: a symbol's number, a tab, and a JSON object.
//! Each line of input is an order, answered by one line when it is carried out:
//!
//!     {"op": "connect", "clients", "slow", "deltas", "compressed", "symbols", "each", "recovery"}
//!         all connect and subscribe: to `each` of `symbols` symbols, and to their trades
//!     {"op": "subscribe", "symbols", "each", "atOnce"}
//!         to symbols only, for clients that have connected with none; how long the first quote of each took
//!     {"op": "run", "seconds", "warm", "quotes", "trades", "bucket"}
//!         so many quotes and trades a second are written to the server's feed; after a second a line with "progress"
//!     {"op": "portfolios", "count", "everyMs"}
//!         so many large portfolios to everybody
//!
//! A quote carries the microsecond at which it was written to the feed; its age is taken where a client has read it.
//! Slow clients have a receive buffer of 4 KB and read 10 KB a second. A client whose connection is closed comes back
//! as a standard client does, with its pid and offset.

mod client;
mod crowd;
mod feed;
#[path = "../../../single/load/src/frames.rs"]
mod frames;
mod histogram;
mod tally;
mod text;

use std::io::{self, Read, Write};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crowd::Crowd;

const INPUT: Token = Token(usize::MAX - 1);
const EVENTS: usize = 4096;
/// Between two looks at the sockets: see bench/single/load.
const NAP: Duration = Duration::from_millis(1);

fn main() {
    if let Err(error) = run() {
        eprintln!("delivery-load: {error}");
        std::process::exit(1);
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, feed_port, sessions, tape] = arguments.as_slice() else {
        return Err(io::Error::other("delivery-load PORT FEED_PORT SESSIONS TAPE"));
    };
    let mut crowd = Crowd::new(number(port)?, number(feed_port)?, read_sessions(sessions)?, feed::read_tape(tape)?)?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    poll.registry().register(&mut SourceFd(&0), INPUT, Interest::READABLE)?;
    let mut input = Vec::new();
    say("{\"ready\":true}")?;
    loop {
        let sleep = if crowd.is_busy() { Some(Duration::ZERO) } else { Some(Duration::from_millis(20)) };
        match poll.poll(&mut events, sleep) {
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
        let full = events.iter().count() == EVENTS;
        for answer in crowd.on_time(&poll)? {
            say(&answer.to_string())?;
        }
        if crowd.is_busy() && !full {
            std::thread::sleep(NAP);
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
