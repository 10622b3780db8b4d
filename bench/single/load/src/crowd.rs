//! All clients, and the phases that they go through together.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Interest, Poll, Token};
use serde_json::{json, Value};

use crate::client::{Came, Client};
use crate::frames;
use crate::times::{percentiles, Times};

/// A phase that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const BUFFER: usize = 1 << 16;

/// What a client does in a phase.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Connect,
    Echo,
    Subscribe,
    Disconnect,
}

/// The phase that is under way.
enum Phase {
    None,
    /// Every client acts `times` times, `at_once` of them at a time.
    Each {
        act: Act,
        begun: Instant,
        next: usize,
        end: usize,
        left: usize,
        latencies: Times,
    },
    /// The first client asks for `per_tick` broadcasts at a time, and all get them.
    Broadcast {
        begun: Instant,
        tick: Instant,
        every: Duration,
        per_tick: usize,
        ticks: usize,
        missing: usize,
        latencies: Times,
    },
}

pub struct Crowd {
    clients: Vec<Client>,
    sessions: Vec<(String, String)>,
    server: SocketAddr,
    upgrade: Vec<u8>,
    at_once: usize,
    phase: Phase,
    number: u64,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Clients of `server` on this machine, each with a session and a user of its own.
    pub fn new(port: u16, sessions: Vec<(String, String)>, at_once: usize) -> Crowd {
        Crowd {
            clients: Vec::new(),
            sessions,
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            upgrade: frames::upgrade(port),
            at_once,
            phase: Phase::None,
            number: 0,
            buffer: vec![0; BUFFER],
        }
    }

    /// Begin what one line of input asks for.
    pub fn begin(&mut self, poll: &Poll, order: &Value) -> io::Result<()> {
        let count = |name: &str| order[name].as_u64().unwrap_or(0) as usize;
        match order["op"].as_str() {
            Some("connect") => {
                let first = self.clients.len();
                self.each(poll, Act::Connect, first, first + count("clients"))
            }
            Some("echo") => self.each(poll, Act::Echo, 0, self.clients.len()),
            Some("subscribe") => self.each(poll, Act::Subscribe, 0, self.clients.len()),
            Some("disconnect") => self.each(poll, Act::Disconnect, 0, self.clients.len()),
            Some("broadcast") => {
                let now = Instant::now();
                let total = count("ticks") * count("perTick") * self.clients.len();
                self.phase = Phase::Broadcast {
                    begun: now,
                    tick: now,
                    every: Duration::from_millis(count("everyMs") as u64),
                    per_tick: count("perTick"),
                    ticks: count("ticks"),
                    missing: 0,
                    latencies: Times::with_capacity(total),
                };
                self.tick()
            }
            _ => Err(io::Error::other(format!("no such order: {order}"))),
        }
    }

    /// Whether an order is being carried out.
    pub fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::None)
    }

    /// How long the loop may sleep at most; `None`: until something comes.
    pub fn sleep(&self) -> Option<Duration> {
        match &self.phase {
            Phase::None => None,
            Phase::Each { .. } => Some(Duration::from_secs(1)),
            Phase::Broadcast { tick, every, missing, .. } if *missing == 0 => {
                Some((*tick + *every).saturating_duration_since(Instant::now()))
            }
            Phase::Broadcast { .. } => Some(Duration::from_secs(1)),
        }
    }

    /// Take one event of the loop.
    pub fn on_event(&mut self, poll: &Poll, event: &Event) -> io::Result<()> {
        let index = event.token().0;
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        if event.is_writable() {
            client.on_writable(&self.upgrade)?;
        }
        let mut done = 0;
        if event.is_readable() && !client.is_closed() {
            let phase = &mut self.phase;
            client.on_readable(&mut self.buffer, |client, came| done += note(phase, client, came))?;
        }
        for _ in 0..done {
            self.go_on(poll)?;
        }
        Ok(())
    }

    /// Do what is due by the clock; the answer to the order, if it is carried out.
    pub fn on_time(&mut self) -> io::Result<Option<Value>> {
        match &mut self.phase {
            Phase::None => Ok(None),
            Phase::Each { begun, left, latencies, act, .. } => {
                if *left > 0 {
                    check_patience(*begun, &format!("{left} clients are not done"))?;
                    return Ok(None);
                }
                let answer = report(*begun, std::mem::take(latencies));
                if *act == Act::Disconnect {
                    self.clients.clear();
                }
                self.phase = Phase::None;
                Ok(Some(answer))
            }
            Phase::Broadcast { begun, tick, every, ticks, missing, latencies, .. } => {
                if *missing > 0 {
                    check_patience(*tick, &format!("{missing} messages are missing"))?;
                    return Ok(None);
                }
                if *ticks == 0 {
                    let answer = report(*begun, std::mem::take(latencies));
                    self.phase = Phase::None;
                    return Ok(Some(answer));
                }
                if tick.elapsed() >= *every {
                    self.tick()?;
                }
                Ok(None)
            }
        }
    }

    fn each(&mut self, poll: &Poll, act: Act, first: usize, end: usize) -> io::Result<()> {
        if act == Act::Connect && end > self.sessions.len() {
            return Err(io::Error::other("there are fewer sessions than clients"));
        }
        let latencies = Times::with_capacity(end - first);
        self.phase = Phase::Each { act, begun: Instant::now(), next: first, end, left: end - first, latencies };
        for _ in 0..self.at_once.min(end - first) {
            self.go_on(poll)?;
        }
        Ok(())
    }

    /// Let the next client act, if there is one.
    fn go_on(&mut self, poll: &Poll) -> io::Result<()> {
        let Phase::Each { act, next, end, .. } = &mut self.phase else { return Ok(()) };
        if next == end {
            return Ok(());
        }
        let (index, act) = (*next, *act);
        *next += 1;
        self.number += 1;
        if act == Act::Connect {
            let (session, user) = &self.sessions[index];
            let mut client = Client::open(self.server, session, user)?;
            client.waits = 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut client.stream, Token(index), interest)?;
            self.clients.push(client);
            return Ok(());
        }
        let client = &mut self.clients[index];
        client.since = Instant::now();
        client.waits = if act == Act::Subscribe { 2 } else { 1 };
        match act {
            Act::Echo => client.send(format!("42{}[\"echo\",{{\"n\":{}}}]", self.number, self.number).as_bytes()),
            Act::Subscribe => client.send(format!("42{}[\"subscribe:portfolio\"]", self.number).as_bytes()),
            _ => client.close(),
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        let clients = self.clients.len();
        let Phase::Broadcast { tick, per_tick, ticks, missing, .. } = &mut self.phase else { return Ok(()) };
        *tick = Instant::now();
        *ticks -= 1;
        *missing = clients * *per_tick;
        let order = format!("42[\"bench:broadcast\",{{\"count\":{per_tick}}}]");
        self.clients[0].send(order.as_bytes())
    }
}

/// Count what came to a client; how many clients may act for that.
fn note(phase: &mut Phase, client: &mut Client, came: Came) -> usize {
    match (phase, came) {
        (Phase::Broadcast { tick, missing, latencies, .. }, Came::Update) if *missing > 0 => {
            *missing -= 1;
            latencies.push(tick.elapsed().as_micros() as u32);
            0
        }
        (Phase::Each { left, latencies, .. }, _) if client.waits > 0 && came != Came::Update => {
            client.waits -= 1;
            if client.waits > 0 {
                return 0;
            }
            *left -= 1;
            latencies.push(client.since.elapsed().as_micros() as u32);
            1
        }
        _ => 0,
    }
}

fn report(begun: Instant, latencies: Times) -> Value {
    json!({"count": latencies.len(), "seconds": begun.elapsed().as_secs_f64(), "ms": percentiles(latencies)})
}

fn check_patience(since: Instant, what: &str) -> io::Result<()> {
    if since.elapsed() > PATIENCE {
        return Err(io::Error::new(io::ErrorKind::TimedOut, what.to_owned()));
    }
    Ok(())
}
