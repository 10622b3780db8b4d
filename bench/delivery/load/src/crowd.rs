//! All clients, the feed, and what they are told to do.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Interest, Poll, Token};
use serde_json::{json, Value};

use crate::client::{Client, Traits};
use crate::feed::{Feed, Quote};
use crate::frames;
use crate::histogram::Histogram;
use crate::tally::Tally;

const AT_ONCE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);
const BUFFER: usize = 1 << 16;
const SECOND: u64 = 1_000_000;
/// A slow client reads 10 KB a second, in steps.
const SLOW_RATE: u64 = 10_000;
const SLOW_STEP: Duration = Duration::from_millis(25);
/// How long after the last one is published trades are waited for, with everybody reading as fast as it comes.
const DRAIN: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_millis(500);

enum Phase {
    None,
    Connect { begun: Instant, count: usize },
    Subscribe { begun: Instant, at_once: usize, next: usize, done: Option<Instant> },
    Run(Box<Run>),
    Portfolios { begun: Instant, next: Instant, every: Duration, left: u64, due: u64, since: u64 },
}

struct Run {
    begun: Instant,
    length: Duration,
    quotes: f64,
    trades: f64,
    quotes_sent: u64,
    trades_sent: u64,
    shown: Instant,
    reported: Instant,
    most_waiting: usize,
    /// Since when nothing is published any more.
    ended: Option<Instant>,
    packets_at_end: u64,
    last_packet: Instant,
}

pub struct Crowd {
    clients: Vec<Client>,
    sessions: Vec<(String, String)>,
    server: SocketAddr,
    upgrade: Vec<u8>,
    feed: Feed,
    phase: Phase,
    tally: Tally,
    traits: Value,
    closed: u64,
    slow_at: Instant,
    /// Whether slow clients read slowly; at the end of a run they do not.
    is_slow: bool,
    clock: Instant,
    buffer: Vec<u8>,
}

impl Crowd {
    pub fn new(port: u16, feed: u16, sessions: Vec<(String, String)>, tape: Vec<Quote>) -> io::Result<Crowd> {
        Ok(Crowd {
            clients: Vec::new(),
            sessions,
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            upgrade: frames::upgrade(port),
            feed: Feed::open(feed, tape)?,
            phase: Phase::None,
            tally: Tally::new(0, 0, Duration::from_secs(1), Duration::ZERO),
            traits: Value::Null,
            closed: 0,
            slow_at: Instant::now(),
            is_slow: true,
            clock: Instant::now(),
            buffer: vec![0; BUFFER],
        })
    }

    pub fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::None)
    }

    /// Microseconds since the start.
    fn now(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    /// Begin what one line of input asks for.
    pub fn begin(&mut self, _poll: &Poll, order: &Value) -> io::Result<()> {
        let now = Instant::now();
        let seconds = |name: &str| Duration::from_secs_f64(order[name].as_f64().unwrap_or(0.0));
        match order["op"].as_str() {
            Some("connect") => {
                if order["compressed"] == true {
                    let end = self.upgrade.len() - 2;
                    self.upgrade.splice(
                        end..,
                        *b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
                    );
                }
                let count = count(order, "clients");
                if count > self.sessions.len() {
                    return Err(io::Error::other("there are fewer sessions than clients"));
                }
                self.traits = order.clone();
                self.phase = Phase::Connect { begun: now, count };
            }
            Some("subscribe") => {
                let (symbols, each) = (count(order, "symbols"), count(order, "each"));
                for (index, client) in self.clients.iter_mut().enumerate() {
                    client.choose(symbols_of(index, symbols, each));
                }
                let at_once = count(order, "atOnce").max(1);
                self.phase = Phase::Subscribe { begun: now, at_once, next: 0, done: None };
            }
            Some("run") => {
                let symbols = count(&self.traits, "symbols");
                self.tally =
                    Tally::new(symbols, self.now(), seconds("bucket").max(Duration::from_secs(1)), seconds("warm"));
                self.closed = 0;
                self.phase = Phase::Run(Box::new(Run {
                    begun: now,
                    length: seconds("seconds"),
                    quotes: order["quotes"].as_f64().unwrap_or(0.0),
                    trades: order["trades"].as_f64().unwrap_or(0.0),
                    quotes_sent: 0,
                    trades_sent: 0,
                    shown: now + Duration::from_secs(1),
                    reported: now + Duration::from_secs(1),
                    most_waiting: 0,
                    ended: None,
                    packets_at_end: 0,
                    last_packet: now,
                }));
            }
            Some("portfolios") => {
                self.tally = Tally::new(0, self.now(), Duration::from_secs(1), Duration::ZERO);
                self.phase = Phase::Portfolios {
                    begun: now,
                    next: now,
                    every: Duration::from_millis(count(order, "everyMs") as u64),
                    left: count(order, "count") as u64,
                    due: (count(order, "count") * self.clients.len()) as u64,
                    since: self.now(),
                };
            }
            _ => return Err(io::Error::other(format!("no such order: {order}"))),
        }
        Ok(())
    }

    /// Take one event of the loop.
    pub fn on_event(&mut self, poll: &Poll, event: &Event) -> io::Result<()> {
        let index = event.token().0;
        let now = self.now();
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        if client.is_closed() {
            return Ok(());
        }
        if event.is_writable() {
            client.on_writable(&self.upgrade)?;
        }
        if event.is_readable() {
            client.on_readable(&mut self.buffer, usize::MAX, now, &mut self.tally)?;
        }
        if client.is_closed() {
            self.come_back(poll, index)?;
        }
        Ok(())
    }

    /// Do what is due by the clock; what there is to be told.
    pub fn on_time(&mut self, poll: &Poll) -> io::Result<Vec<Value>> {
        self.read_slow(poll)?;
        let mut answers = Vec::new();
        match std::mem::replace(&mut self.phase, Phase::None) {
            Phase::None => {}
            Phase::Connect { begun, count } => {
                let open = self.clients.iter().filter(|client| !client.is_ready()).count();
                if open == 0 && self.clients.len() == count {
                    answers.push(json!({"count": count, "seconds": begun.elapsed().as_secs_f64()}));
                    return Ok(answers);
                }
                if begun.elapsed() > PATIENCE {
                    return Err(io::Error::other(format!("{open} clients are not connected and subscribed")));
                }
                for _ in open..AT_ONCE.min(open + count - self.clients.len()) {
                    self.connect(poll)?;
                }
                self.phase = Phase::Connect { begun, count };
            }
            Phase::Subscribe { begun, at_once, mut next, mut done } => {
                let open = self.clients[..next].iter().filter(|client| !client.is_ready()).count();
                for _ in open..at_once.min(open + self.clients.len() - next) {
                    let now = self.now();
                    self.clients[next].subscribe(now)?;
                    next += 1;
                }
                if open == 0 && next == self.clients.len() {
                    done.get_or_insert_with(Instant::now);
                }
                if begun.elapsed() > PATIENCE {
                    return Err(io::Error::other(format!("{open} clients are not subscribed")));
                }
                match done {
                    // What is sent behind the acknowledgement comes at once.
                    Some(at) if at.elapsed() > QUIET => {
                        let mut first = Histogram::new();
                        self.clients.iter().flat_map(|client| &client.first).for_each(|&one| first.add(one));
                        answers.push(json!({"seconds": (at - begun).as_secs_f64(), "first": first.report()}));
                    }
                    _ => self.phase = Phase::Subscribe { begun, at_once, next, done },
                }
            }
            Phase::Run(mut run) => match self.go_on(&mut run, &mut answers)? {
                Some(answer) => answers.push(answer),
                None => self.phase = Phase::Run(run),
            },
            Phase::Portfolios { begun, mut next, every, mut left, due, since } => {
                if left > 0 && Instant::now() >= next {
                    left -= 1;
                    next = Instant::now() + every;
                    self.feed.portfolio(left, self.now());
                }
                self.feed.flush()?;
                if left == 0 && self.tally.packets() >= due {
                    let mut answer = self.tally.report();
                    answer["seconds"] = json!((self.now() - since) as f64 / SECOND as f64);
                    answers.push(answer);
                } else if begun.elapsed() > PATIENCE {
                    return Err(io::Error::other(format!("{} of {due} portfolios came", self.tally.packets())));
                } else {
                    self.phase = Phase::Portfolios { begun, next, every, left, due, since };
                }
            }
        }
        Ok(answers)
    }

    fn connect(&mut self, poll: &Poll) -> io::Result<()> {
        let index = self.clients.len();
        let (session, user) = self.sessions[index].clone();
        let (symbols, each) = (count(&self.traits, "symbols"), count(&self.traits, "each"));
        let slow = count(&self.traits, "slow");
        let traits = Traits {
            slow: index < slow,
            deltas: (slow..slow + count(&self.traits, "deltas")).contains(&index),
            recovery: self.traits["recovery"] != false,
            session,
            user,
            symbols: symbols_of(index, symbols, each),
        };
        self.clients.push(Client::open(self.server, traits)?);
        self.register(poll, index)
    }

    fn register(&mut self, poll: &Poll, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        if client.traits.slow {
            return Ok(()); // it is looked at by the clock
        }
        poll.registry().register(&mut client.stream, Token(index), Interest::READABLE | Interest::WRITABLE)
    }

    fn come_back(&mut self, poll: &Poll, index: usize) -> io::Result<()> {
        self.closed += 1;
        self.clients[index].reopen(self.server)?;
        self.register(poll, index)
    }

    fn read_slow(&mut self, poll: &Poll) -> io::Result<()> {
        let passed = self.slow_at.elapsed();
        if passed < SLOW_STEP {
            return Ok(());
        }
        self.slow_at = Instant::now();
        // One that was kept waiting for long does not make up for it.
        let most =
            if self.is_slow { (SLOW_RATE * passed.as_millis().min(100) as u64 / 1000) as usize } else { usize::MAX };
        let now = self.now();
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if !client.traits.slow {
                continue;
            }
            client.on_writable(&self.upgrade)?;
            client.on_readable(&mut self.buffer, most, now, &mut self.tally)?;
            if client.is_closed() {
                self.come_back(poll, index)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self, run: &mut Run, answers: &mut Vec<Value>) -> io::Result<Option<Value>> {
        let passed = run.begun.elapsed();
        let now = self.now();
        if run.ended.is_none() {
            let due = |rate: f64| (passed.min(run.length).as_secs_f64() * rate) as u64;
            while run.quotes_sent < due(run.quotes) {
                self.feed.quote(self.now());
                run.quotes_sent += 1;
            }
            let count = self.clients.len() as u64;
            while run.trades_sent < due(run.trades) {
                let user = &self.clients[(run.trades_sent % count) as usize].traits.user;
                self.feed.trade(user, run.trades_sent / count + 1, self.clock.elapsed().as_micros() as u64);
                run.trades_sent += 1;
            }
        }
        self.feed.flush()?;
        run.most_waiting = run.most_waiting.max(self.feed.waiting());
        if run.shown.elapsed() >= Duration::from_secs(1) && run.ended.is_none() {
            run.shown = Instant::now();
            for client in &self.clients {
                for &sent in client.newest.iter().filter(|&&sent| sent > 0) {
                    self.tally.shown(client.traits.slow, now.saturating_sub(sent), now);
                }
            }
        }
        if run.reported.elapsed() >= Duration::from_secs(1) {
            run.reported = Instant::now();
            answers.push(json!({
                "progress": passed.as_secs_f64(), "packets": self.tally.packets(), "waiting": self.feed.waiting(),
                "ended": run.ended.is_some(),
            }));
        }
        if passed < run.length {
            return Ok(None);
        }
        let ended = *run.ended.get_or_insert_with(Instant::now);
        if self.is_slow {
            self.is_slow = false;
            answers.push(json!({"progress": passed.as_secs_f64(), "packets": self.tally.packets(), "ended": true}));
            run.packets_at_end = self.tally.packets();
            run.last_packet = Instant::now();
        }
        if self.tally.packets() != run.packets_at_end {
            run.packets_at_end = self.tally.packets();
            run.last_packet = Instant::now();
        }
        let missing = self.missing_trades(run, |client| client.traits.slow);
        if (missing > 0 || run.last_packet.elapsed() < QUIET) && ended.elapsed() < DRAIN {
            return Ok(None);
        }
        self.is_slow = true;
        let mut answer = self.tally.report();
        answer["seconds"] = json!(run.length.as_secs_f64());
        answer["bucket"] = json!(self.tally.bucket_seconds());
        answer["slow"]["missing"] = json!(missing);
        answer["others"]["missing"] = json!(self.missing_trades(run, |client| !client.traits.slow));
        answer["quotesPublished"] = json!(run.quotes_sent);
        answer["tradesPublished"] = json!(run.trades_sent);
        answer["mostWaiting"] = json!(run.most_waiting);
        answer["closed"] = json!(self.closed);
        answer["recovered"] = json!(self.clients.iter().map(|client| client.recovered).sum::<u64>());
        for client in &mut self.clients {
            client.last_trade = 0;
        }
        Ok(Some(answer))
    }

    /// How many trades some clients have not got, by the last one that came.
    fn missing_trades(&self, run: &Run, of: impl Fn(&Client) -> bool) -> u64 {
        let count = self.clients.len() as u64;
        let due = |index: u64| (run.trades_sent + count - 1 - index) / count;
        let some = self.clients.iter().enumerate().filter(|(_, client)| of(client));
        some.map(|(index, client)| due(index as u64).saturating_sub(client.last_trade)).sum()
    }
}

fn symbols_of(index: usize, symbols: usize, each: usize) -> Vec<usize> {
    (0..each).map(|number| (index * each + number) % symbols).collect()
}

fn count(order: &Value, name: &str) -> usize {
    order[name].as_u64().unwrap_or(0) as usize
}
