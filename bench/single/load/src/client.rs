//! One connection: a Socket.IO client over a WebSocket, reduced to what the benchmark needs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;

use crate::frames;

/// A confirmation of `subscribe:portfolio`, and the event that is broadcast, as packets begin with them.
const CONFIRMATION: &[u8] = b"42[\"subscribed:portfolio\"";
const UPDATE: &[u8] = b"42[\"portfolio:update\"";
/// What a browser says when its page is closed.
const GOING_AWAY: [u8; 2] = 1001u16.to_be_bytes();

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opening,
    Upgrading,
    Joining,
    Connected,
    Closing,
    Closed,
}

/// What came from the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    Connected,
    Acknowledgement,
    Confirmation,
    Update,
    Closed,
}

pub struct Client {
    pub stream: TcpStream,
    /// When what it does now began.
    pub since: Instant,
    /// Answers that it still waits for.
    pub waits: u32,
    state: State,
    join: Box<[u8]>,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    /// Begin to connect; `session` and `user` go into the Socket.IO CONNECT.
    pub fn open(server: SocketAddr, session: &str, user: &str) -> io::Result<Client> {
        let since = Instant::now();
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let mut join = Vec::new();
        let packet = format!("40{{\"sessionID\":\"{session}\",\"userId\":\"{user}\"}}");
        frames::write(&mut join, frames::TEXT, packet.as_bytes());
        Ok(Client {
            stream,
            since,
            waits: 0,
            state: State::Opening,
            join: join.into_boxed_slice(),
            unread: Vec::new(),
            unsent: Vec::new(),
        })
    }

    /// Send a text message.
    pub fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(text.len() + 14);
        frames::write(&mut out, frames::TEXT, text);
        self.write(&out)
    }

    /// Close as a page does that is left.
    pub fn close(&mut self) -> io::Result<()> {
        self.state = State::Closing;
        let mut out = Vec::new();
        frames::write(&mut out, frames::CLOSE, &GOING_AWAY);
        self.write(&out)
    }

    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The socket can be written: the connection stands, or a full buffer has room again.
    pub fn on_writable(&mut self, upgrade: &[u8]) -> io::Result<()> {
        if self.state == State::Opening {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
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

    /// The socket can be read: read all there is, answer what needs an answer, and tell the rest.
    pub fn on_readable(&mut self, buffer: &mut [u8], mut tell: impl FnMut(&mut Client, Came)) -> io::Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    if self.state != State::Closing && self.state != State::Closed {
                        return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed"));
                    }
                    if self.state == State::Closing {
                        self.state = State::Closed;
                        tell(self, Came::Closed);
                    }
                    return Ok(());
                }
                Ok(count) => {
                    let short = count < buffer.len();
                    if self.unread.is_empty() {
                        let used = self.take(&buffer[..count], &mut tell)?;
                        self.unread.extend_from_slice(&buffer[used..count]);
                    } else {
                        let mut bytes = std::mem::take(&mut self.unread);
                        bytes.extend_from_slice(&buffer[..count]);
                        let used = self.take(&bytes, &mut tell)?;
                        bytes.drain(..used);
                        self.unread = bytes;
                    }
                    // A short read has emptied the socket; what comes later is told anew. A closing one is read to its end.
                    if short && self.state != State::Closing {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset && self.state == State::Closing => {
                    self.state = State::Closed;
                    tell(self, Came::Closed);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Take the frames of `bytes`; how many bytes they were.
    fn take(&mut self, bytes: &[u8], tell: &mut impl FnMut(&mut Client, Came)) -> io::Result<usize> {
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
            used += length;
            match opcode {
                frames::TEXT => self.on_text(payload, tell)?,
                frames::PING => {
                    let mut pong = Vec::new();
                    frames::write(&mut pong, frames::PONG, payload);
                    self.write(&pong)?;
                }
                frames::CLOSE if self.state != State::Closing => return Err(refused(payload)),
                _ => {}
            }
        }
        Ok(used)
    }

    fn on_text(&mut self, text: &[u8], tell: &mut impl FnMut(&mut Client, Came)) -> io::Result<()> {
        if self.state == State::Closing {
            return Ok(());
        }
        match text {
            [b'0', ..] => {
                let join = std::mem::take(&mut self.join);
                return self.write(&join);
            }
            [b'2'] => return self.send(b"3"),
            [b'4', b'0', ..] => {
                self.state = State::Connected;
                tell(self, Came::Connected);
            }
            [b'4', b'3', ..] => tell(self, Came::Acknowledgement),
            _ if text.starts_with(UPDATE) => tell(self, Came::Update),
            _ if text.starts_with(CONFIRMATION) => tell(self, Came::Confirmation),
            [b'6'] => {}
            _ => return Err(refused(text)),
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        match self.stream.write(bytes) {
            Ok(count) => self.unsent.extend_from_slice(&bytes[count..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.unsent.extend_from_slice(bytes),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn refused(bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    io::Error::new(ErrorKind::InvalidData, format!("not expected: {shown}"))
}
