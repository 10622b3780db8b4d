//! Quotes, trades and portfolios on their way to the server: lines over a connection of their own.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

/// A server that does not take what is published is beyond help when this much is waiting.
const LIMIT: usize = 512 << 20;

/// One quote of the tape.
pub struct Quote {
    pub symbol: usize,
    /// A JSON object without its last bracket.
    pub body: Box<[u8]>,
}

pub struct Feed {
    stream: TcpStream,
    tape: Vec<Quote>,
    next: usize,
    unsent: Vec<u8>,
    sent: usize,
}

impl Feed {
    pub fn open(port: u16, tape: Vec<Quote>) -> io::Result<Feed> {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Feed { stream, tape, next: 0, unsent: Vec::new(), sent: 0 })
    }

    /// The next quote of the tape, stamped; the tape begins anew after its end.
    pub fn quote(&mut self, now: u64) {
        let quote = &self.tape[self.next];
        self.next = (self.next + 1) % self.tape.len();
        let head = format!("{{\"symbol\":\"{}\",\"quote\":", symbol(quote.symbol));
        self.unsent.extend_from_slice(head.as_bytes());
        self.unsent.extend_from_slice(&quote.body);
        self.unsent.extend_from_slice(format!(",\"sent\":{now}}}}}\n").as_bytes());
    }

    /// The `seq`th trade of a user, counted from 1.
    pub fn trade(&mut self, user: &str, seq: u64, now: u64) {
        let line = format!(
            "{{\"user\":\"{user}\",\"trade\":{{\"id\":\"t-{seq}\",\"symbol\":\"S001\",\"side\":\"buy\",\"quantity\":25,\
             \"price\":512.34,\"seq\":{seq},\"sent\":{now}}}}}\n"
        );
        self.unsent.extend_from_slice(line.as_bytes());
    }

    /// A portfolio for everybody, made by the server.
    pub fn portfolio(&mut self, number: u64, now: u64) {
        self.unsent.extend_from_slice(format!("{{\"portfolio\":{number},\"sent\":{now}}}\n").as_bytes());
    }

    /// Write what the server takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.unsent.len() || self.sent > LIMIT / 8 {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        if self.unsent.len() > LIMIT {
            return Err(io::Error::other("the server takes nothing of what is published"));
        }
        Ok(())
    }

    /// Bytes that the server has not taken.
    pub fn waiting(&self) -> usize {
        self.unsent.len() - self.sent
    }
}

pub fn symbol(number: usize) -> String {
    format!("S{number:03}")
}

pub fn read_tape(path: &str) -> io::Result<Vec<Quote>> {
    let text = std::fs::read_to_string(path)?;
    let quote = |line: &str| {
        let (number, body) = line.split_once('\t')?;
        Some(Quote { symbol: number.parse().ok()?, body: body.strip_suffix('}')?.as_bytes().into() })
    };
    text.lines().map(|line| quote(line).ok_or_else(|| io::Error::other("a number, a tab, an object"))).collect()
}
