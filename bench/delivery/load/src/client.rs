//! One client: a Socket.IO client over a WebSocket that watches symbols and its own trades.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::FromRawFd;

use mio::net::TcpStream;

use crate::frames;
use crate::tally::{Kind, Tally};
use crate::text::{number_after, offset, string_after};

/// As the issue says: what a slow client's kernel takes, in bytes.
const RECEIVE_BUFFER: libc::c_int = 4096;
const RSV1: u8 = 0x40;
const QUOTE: &[u8] = b"42[\"watchlist:quote\",";
const DELTA: &[u8] = b"42[\"watchlist:quote:delta\",";
const TRADE: &[u8] = b"42[\"trade:executed\",";
const PORTFOLIO: &[u8] = b"42[\"portfolio:update\",";
const ERROR: &[u8] = b"42[\"error\",";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opening,
    Upgrading,
    Joining,
    Subscribing,
    Ready,
    Closed,
}

/// What a client is like, for all its connections.
pub struct Traits {
    pub slow: bool,
    pub deltas: bool,
    pub recovery: bool,
    pub session: String,
    pub user: String,
    /// Numbers of its symbols.
    pub symbols: Vec<usize>,
}

pub struct Client {
    pub stream: TcpStream,
    pub traits: Traits,
    /// When the newest quote of each of its symbols was published; 0: none came.
    pub newest: Vec<u64>,
    /// When it asked for its symbols, and how long it took until the first quote of each came.
    pub asked: u64,
    pub first: Vec<u64>,
    /// The number of the last trade that came.
    pub last_trade: u64,
    pub recovered: u64,
    state: State,
    waits: u32,
    pid: Option<String>,
    offset: Vec<u8>,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    /// Begin to connect.
    pub fn open(server: SocketAddr, traits: Traits) -> io::Result<Client> {
        let count = traits.symbols.len();
        Ok(Client {
            stream: connect(server, traits.slow)?,
            traits,
            newest: vec![0; count],
            asked: 0,
            first: Vec::new(),
            last_trade: 0,
            recovered: 0,
            state: State::Opening,
            waits: 0,
            pid: None,
            offset: Vec::new(),
            unread: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Come back, after its connection was closed.
    pub fn reopen(&mut self, server: SocketAddr) -> io::Result<()> {
        self.stream = connect(server, self.traits.slow)?;
        self.state = State::Opening;
        self.unread.clear();
        self.unsent.clear();
        Ok(())
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The socket may be writable: the connection stands, or a full buffer has room again.
    pub fn on_writable(&mut self, upgrade: &[u8]) -> io::Result<()> {
        if self.state == State::Opening {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            if self.stream.peer_addr().is_err() {
                return Ok(());
            }
            self.state = State::Upgrading;
            return self.write(upgrade);
        }
        if !self.unsent.is_empty() {
            let rest = std::mem::take(&mut self.unsent);
            return self.write(&rest);
        }
        Ok(())
    }

    /// Read up to `most` bytes, and count what they are; how many there were.
    pub fn on_readable(&mut self, buffer: &mut [u8], most: usize, now: u64, tally: &mut Tally) -> io::Result<usize> {
        let mut total = 0;
        while total < most && self.state != State::Closed && self.state != State::Opening {
            let room = buffer.len().min(most - total);
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => self.state = State::Closed,
                Ok(count) => {
                    total += count;
                    if self.unread.is_empty() {
                        let used = self.take(&buffer[..count], now, tally)?;
                        self.unread.extend_from_slice(&buffer[used..count]);
                    } else {
                        let mut bytes = std::mem::take(&mut self.unread);
                        bytes.extend_from_slice(&buffer[..count]);
                        let used = self.take(&bytes, now, tally)?;
                        bytes.drain(..used);
                        self.unread = bytes;
                    }
                    if count < room {
                        break; // the socket is empty; what comes later is told anew
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.state = State::Closed,
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Take the frames of `bytes`; how many bytes they were.
    fn take(&mut self, bytes: &[u8], now: u64, tally: &mut Tally) -> io::Result<usize> {
        let mut used = 0;
        if self.state == State::Upgrading {
            let Some(length) = frames::head_length(bytes) else { return Ok(0) };
            if !bytes.starts_with(b"HTTP/1.1 101 ") {
                return Err(refused(bytes));
            }
            self.state = State::Joining;
            used = length;
        }
        while let Some((opcode, payload, length)) = frames::read(&bytes[used..]) {
            let is_compressed = bytes[used] & RSV1 != 0;
            used += length;
            match opcode {
                frames::TEXT if is_compressed => tally.came(Kind::Compressed, length),
                frames::TEXT => self.on_text(payload, length, now, tally)?,
                frames::PING => {
                    let mut pong = Vec::new();
                    frames::write(&mut pong, frames::PONG, payload);
                    self.write(&pong)?;
                }
                frames::CLOSE => self.state = State::Closed,
                _ => {}
            }
        }
        Ok(used)
    }

    fn on_text(&mut self, text: &[u8], length: usize, now: u64, tally: &mut Tally) -> io::Result<()> {
        match text {
            [b'0', ..] => return self.join(),
            [b'2'] => return self.send(b"3"),
            [b'4', b'0', ..] => return self.on_connected(text, now),
            [b'4', b'3', ..] => {
                self.waits = self.waits.saturating_sub(1);
                if self.waits == 0 && self.state == State::Subscribing {
                    self.state = State::Ready;
                }
                return Ok(());
            }
            [b'4', b'2', ..] => {}
            [b'6'] => return Ok(()),
            _ => return Err(refused(text)),
        }
        if text.starts_with(ERROR) {
            return Err(refused(text));
        }
        if let Some(found) = offset(text) {
            self.offset.clear();
            self.offset.extend_from_slice(found);
        }
        let slow = self.traits.slow;
        if text.starts_with(QUOTE) {
            tally.came(if self.traits.deltas { Kind::Whole } else { Kind::Quote }, length);
            self.on_quote(text, now, tally)
        } else if text.starts_with(DELTA) {
            tally.came(Kind::Delta, length);
            self.on_quote(text, now, tally)
        } else if text.starts_with(TRADE) {
            tally.came(Kind::Trade, length);
            let (Some(seq), Some(sent)) = (number_after(text, b"\"seq\":"), number_after(text, b"\"sent\":")) else {
                return Err(refused(text));
            };
            if seq <= self.last_trade {
                tally.group(slow).doubled += 1;
            } else {
                tally.group(slow).disordered += seq - self.last_trade - 1;
                self.last_trade = seq;
            }
            tally.trade(slow, now.saturating_sub(sent));
            Ok(())
        } else {
            if text.starts_with(PORTFOLIO) {
                tally.came(Kind::Portfolio, length);
            }
            Ok(())
        }
    }

    fn on_quote(&mut self, text: &[u8], now: u64, tally: &mut Tally) -> io::Result<()> {
        let symbol =
            string_after(text, b"\"symbol\":\"S").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let (Some(symbol), Some(sent)) = (symbol, number_after(text, b"\"sent\":")) else {
            return Err(refused(text));
        };
        let Some(at) = self.traits.symbols.iter().position(|&one| one == symbol) else { return Err(refused(text)) };
        let slow = self.traits.slow;
        if self.newest[at] == 0 {
            self.first.push(now.saturating_sub(self.asked));
        }
        if sent < self.newest[at] {
            tally.group(slow).older += 1;
        }
        self.newest[at] = self.newest[at].max(sent);
        tally.age(slow, symbol, now.saturating_sub(sent), now);
        Ok(())
    }

    fn join(&mut self) -> io::Result<()> {
        let mut auth = serde_json::json!({"sessionID": self.traits.session, "userId": self.traits.user});
        if self.traits.deltas {
            auth["deltas"] = true.into();
        }
        if !self.traits.recovery {
            auth["recovery"] = false.into();
        } else if let Some(pid) = &self.pid {
            auth["pid"] = pid.as_str().into();
            auth["offset"] = String::from_utf8_lossy(&self.offset).into();
        }
        self.send(format!("40{auth}").as_bytes())
    }

    fn on_connected(&mut self, text: &[u8], now: u64) -> io::Result<()> {
        let pid = string_after(text, b"\"pid\":\"").map(|pid| String::from_utf8_lossy(pid).into_owned());
        if pid.is_some() && pid == self.pid {
            self.recovered += 1;
            self.state = State::Ready;
            return Ok(());
        }
        self.pid = pid;
        if self.traits.symbols.is_empty() {
            self.state = State::Ready;
            return Ok(());
        }
        self.waits = 1;
        self.subscribe(now)?;
        self.send(b"422[\"subscribe:trades\"]")
    }

    /// Watch its symbols.
    pub fn subscribe(&mut self, now: u64) -> io::Result<()> {
        self.state = State::Subscribing;
        self.waits += 1;
        self.asked = now;
        let names: Vec<String> = self.traits.symbols.iter().map(|&one| crate::feed::symbol(one)).collect();
        self.send(format!("421[\"subscribe:watchlist\",{{\"symbols\":{}}}]", serde_json::json!(names)).as_bytes())
    }

    /// Choose other symbols.
    pub fn choose(&mut self, symbols: Vec<usize>) {
        self.newest = vec![0; symbols.len()];
        self.first.clear();
        self.traits.symbols = symbols;
    }

    fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(text.len() + 14);
        frames::write(&mut out, frames::TEXT, text);
        self.write(&out)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        match self.stream.write(bytes) {
            Ok(count) => self.unsent.extend_from_slice(&bytes[count..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.unsent.extend_from_slice(bytes),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                self.state = State::Closed;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A connection that is under way; of a slow client with a small receive buffer, which has to be set before.
fn connect(server: SocketAddr, slow: bool) -> io::Result<TcpStream> {
    if !slow {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        return Ok(stream);
    }
    let SocketAddr::V4(address) = server else { return Err(io::Error::other("IPv4")) };
    // SAFETY: plain system calls on a descriptor of our own, which the stream takes over.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = std::net::TcpStream::from_raw_fd(fd);
        let size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
        let value: *const libc::c_int = &RECEIVE_BUFFER;
        if libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, value.cast(), size) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut name: libc::sockaddr_in = std::mem::zeroed();
        name.sin_family = libc::AF_INET as libc::sa_family_t;
        name.sin_port = address.port().to_be();
        name.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
        let pointer: *const libc::sockaddr_in = &name;
        if libc::connect(fd, pointer.cast(), std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t) != 0 {
            return Err(io::Error::last_os_error());
        }
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(TcpStream::from_std(stream))
    }
}

fn refused(bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    io::Error::new(ErrorKind::InvalidData, format!("not expected: {shown}"))
}
