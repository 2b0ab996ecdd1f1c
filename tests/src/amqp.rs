//! A client of AMQP 0-9-1 that writes its frames byte by byte, because a proper library refuses to send what some
//! programs do send: short strings that are no text, tables of every type, lengths that are not true.
//!
//! It knows just enough to publish with confirms and to take a message with its properties as they are on the wire:
//! <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, sections 2.3.5 and 4.2.

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// The longest frame, with its seven bytes of head and one of end: what RabbitMQ offers.
pub const FRAME_BYTES_MAX: usize = 131_072;
/// What a frame takes besides its payload, in bytes.
const AROUND: usize = 8;
const CHANNEL: u16 = 1;
const FRAME_END: u8 = 0xce;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// The class `basic`, whose messages these are.
const BASIC: u16 = 60;

/// One connection with one channel, in confirm mode.
#[derive(Debug)]
pub struct RawAmqp {
    stream: BufReader<TcpStream>,
}

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The broker has it, for good.
    Confirmed,
    /// It said no, and goes on.
    Nacked,
    /// It closed the channel or the connection, with its reason: this one is of no use any more.
    Closed(String),
}

/// A message as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Flags and properties.
    pub properties: Vec<u8>,
    /// The content.
    pub body: Vec<u8>,
}

impl RawAmqp {
    /// Connects to the node and vhost of a URL of [`crate::rabbit::RabbitNode`], as the user that it names.
    ///
    /// # Errors
    /// The broker is not there, or does not speak AMQP 0-9-1.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let (login, address) = url
            .strip_prefix("amqp://")
            .and_then(|url| url.split_once('@'))
            .context("a URL of the harness")?;
        let (address, vhost) = address.split_once('/').context("a URL with a vhost")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut amqp = Self { stream: BufReader::new(stream) };
        amqp.write(b"AMQP\x00\x00\x09\x01").await?;
        amqp.expect((10, 10)).await?;
        let mut start = table(&[]);
        start.extend(short(b"PLAIN"));
        start.extend(long(format!("\0{}", login.replacen(':', "\0", 1)).as_bytes()));
        start.extend(short(b"en_US"));
        amqp.method(0, (10, 11), &start).await?;
        amqp.expect((10, 30)).await?;
        // One channel (0 would ask for more than the broker offers), the longest frame, no heartbeat.
        let mut tune = CHANNEL.to_be_bytes().to_vec();
        tune.extend((FRAME_BYTES_MAX as u32).to_be_bytes());
        tune.extend(0_u16.to_be_bytes());
        amqp.method(0, (10, 31), &tune).await?;
        let mut open = short(if vhost == "%2f" { b"/" } else { vhost.as_bytes() });
        open.extend([0, 0]);
        amqp.method(0, (10, 40), &open).await?;
        amqp.expect((10, 41)).await?;
        amqp.method(CHANNEL, (20, 10), &[0]).await?;
        amqp.expect((20, 11)).await?;
        amqp.method(CHANNEL, (85, 10), &[0]).await?;
        amqp.expect((85, 11)).await?;
        Ok(amqp)
    }

    /// Publishes one message, `mandatory`, and waits for what becomes of it.
    ///
    /// # Errors
    /// The broker answers something that it should not.
    pub async fn publish(
        &mut self,
        exchange: &[u8],
        key: &[u8],
        message: &RawMessage,
    ) -> anyhow::Result<Published> {
        let mut publish = vec![0, 0];
        publish.extend(short(exchange));
        publish.extend(short(key));
        publish.push(1); // mandatory
        let mut frames = frame(METHOD, CHANNEL, &method((60, 40), &publish));
        let mut header = BASIC.to_be_bytes().to_vec();
        header.extend([0, 0]);
        header.extend((message.body.len() as u64).to_be_bytes());
        header.extend(&message.properties);
        frames.extend(frame(HEADER, CHANNEL, &header));
        for part in message.body.chunks(FRAME_BYTES_MAX - AROUND) {
            frames.extend(frame(BODY, CHANNEL, part));
        }
        if self.write(&frames).await.is_err() {
            return Ok(Published::Closed(String::new()));
        }
        loop {
            let Ok((kind, payload)) = self.frame().await else { return Ok(Published::Closed(String::new())) };
            match (kind, name_of(&payload)) {
                (METHOD, (60, 80)) => return Ok(Published::Confirmed),
                (METHOD, (60, 120)) => return Ok(Published::Nacked),
                (METHOD, (20, 40) | (10, 50)) => return Ok(Published::Closed(text_of_close(&payload))),
                // A returned message and its content come before its confirm.
                (METHOD, (60, 50)) => bail!("the broker has no queue for it"),
                (HEARTBEAT, _) => {}
                (_, name) => bail!("an answer to a publish is not {name:?}"),
            }
        }
    }

    /// Takes the first message of a queue away, if there is one.
    ///
    /// # Errors
    /// There is no such queue, or the broker answers something that it should not.
    pub async fn take(&mut self, queue: &str) -> anyhow::Result<Option<RawMessage>> {
        let mut get = vec![0, 0];
        get.extend(short(queue.as_bytes()));
        get.push(1); // no-ack
        self.method(CHANNEL, (60, 70), &get).await?;
        let (_, answer) = self.frame().await?;
        match name_of(&answer) {
            (60, 71) => {}
            (60, 72) => return Ok(None),
            name => bail!("an answer to a get is not {name:?}"),
        }
        let (kind, header) = self.frame().await?;
        ensure!(kind == HEADER && header.len() >= 14, "a message begins with its header");
        let size = u64::from_be_bytes(header[4..12].try_into()?);
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            let (kind, part) = self.frame().await?;
            ensure!(kind == BODY, "a body follows");
            body.extend(part);
        }
        Ok(Some(RawMessage { properties: header[12..].to_vec(), body }))
    }

    async fn method(&mut self, channel: u16, name: (u16, u16), arguments: &[u8]) -> anyhow::Result<()> {
        self.write(&frame(METHOD, channel, &method(name, arguments))).await
    }

    async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    async fn frame(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        self.stream.read_u16().await?;
        let len = self.stream.read_u32().await? as usize;
        ensure!(len <= FRAME_BYTES_MAX, "a frame of {len} bytes");
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).await?;
        ensure!(self.stream.read_u8().await? == FRAME_END, "a frame has an end");
        Ok((kind, payload))
    }

    async fn expect(&mut self, name: (u16, u16)) -> anyhow::Result<()> {
        let (kind, payload) = self.frame().await?;
        let found = name_of(&payload);
        ensure!(kind == METHOD && found == name, "expected method {name:?}, found {found:?}");
        Ok(())
    }
}

/// After the method comes a code, and then the reason.
fn text_of_close(payload: &[u8]) -> String {
    let text = payload.get(7..).unwrap_or_default();
    let len = payload.get(6).copied().map_or(0, usize::from).min(text.len());
    String::from_utf8_lossy(&text[..len]).into_owned()
}

fn name_of(payload: &[u8]) -> (u16, u16) {
    match payload {
        [a, b, c, d, ..] => (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])),
        _ => (0, 0),
    }
}

fn method((class, method): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    let mut payload = class.to_be_bytes().to_vec();
    payload.extend(method.to_be_bytes());
    payload.extend(arguments);
    payload
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(FRAME_END);
    frame
}

/// A short string: a byte of length, and at most 255 bytes of whatever.
pub fn short(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(255)];
    let mut out = vec![bytes.len() as u8];
    out.extend(bytes);
    out
}

/// A long string.
pub fn long(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u32).to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

/// A table of names and values, each value with its type before it.
pub fn table(entries: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    long(&entries.iter().flat_map(|(name, value)| [short(name), value.clone()].concat()).collect::<Vec<u8>>())
}

/// A value of a type: its letter, and what the letter promises.
pub fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(bytes);
    out
}

/// The properties of a message, in the order they have on the wire. Each is the bytes of its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(pub [Option<Vec<u8>>; 14]);

/// The places of [`Properties`].
#[allow(missing_docs)]
pub mod place {
    pub const CONTENT_TYPE: usize = 0;
    pub const CONTENT_ENCODING: usize = 1;
    pub const HEADERS: usize = 2;
    pub const DELIVERY_MODE: usize = 3;
    pub const PRIORITY: usize = 4;
    pub const CORRELATION_ID: usize = 5;
    pub const REPLY_TO: usize = 6;
    pub const EXPIRATION: usize = 7;
    pub const MESSAGE_ID: usize = 8;
    pub const TIMESTAMP: usize = 9;
    pub const TYPE: usize = 10;
    pub const USER_ID: usize = 11;
    pub const APP_ID: usize = 12;
    pub const CLUSTER_ID: usize = 13;
    /// Those that are short strings.
    pub const TEXTS: [usize; 10] = [0, 1, 5, 6, 7, 8, 10, 11, 12, 13];
}

impl Properties {
    /// With one more.
    #[must_use]
    pub fn with(mut self, place: usize, value: Vec<u8>) -> Self {
        self.0[place] = Some(value);
        self
    }

    /// With a short string.
    #[must_use]
    pub fn text(self, place: usize, text: &[u8]) -> Self {
        self.with(place, short(text))
    }

    /// Flags and values, as they follow the size of the body.
    pub fn encode(&self) -> Vec<u8> {
        let present = self.0.iter().enumerate().filter(|(_, value)| value.is_some());
        let flags: u16 = present.map(|(place, _)| 1 << (15 - place)).sum();
        let mut out = flags.to_be_bytes().to_vec();
        out.extend(self.0.iter().flatten().flatten());
        out
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// It is cut short.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        let (flags, mut rest) = bytes.split_at_checked(2).context("flags")?;
        let flags = u16::from_be_bytes(flags.try_into()?);
        let mut properties = Self::default();
        for place in (0..14).filter(|place| flags & (1 << (15 - place)) != 0) {
            let len = match place {
                place::HEADERS => {
                    4 + u32::from_be_bytes(rest.get(..4).context("a table")?.try_into()?) as usize
                }
                place::DELIVERY_MODE | place::PRIORITY => 1,
                place::TIMESTAMP => 8,
                _ => 1 + usize::from(*rest.first().context("a short string")?),
            };
            let (value, after) = rest.split_at_checked(len).context("a property")?;
            properties.0[place] = Some(value.to_vec());
            rest = after;
        }
        ensure!(rest.is_empty(), "{} bytes more than the flags promise", rest.len());
        Ok(properties)
    }
}

/// The entries of a table: names, and values with their type before them.
///
/// # Errors
/// It is cut short, or of a type that RabbitMQ does not write.
pub fn entries(table: &[u8]) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut rest = table.get(4..).context("a table")?;
    let mut entries = Vec::new();
    while let Some(len) = rest.first() {
        let (name, after) = rest[1..].split_at_checked(usize::from(*len)).context("a name")?;
        let kind = *after.first().context("a type")?;
        let len = 1 + match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'u' | b'U' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'S' | b'A' | b'F' | b'x' => {
                4 + u32::from_be_bytes(after.get(1..5).context("a length")?.try_into()?) as usize
            }
            b'V' => 0,
            other => bail!("a value of type {:?}", char::from(other)),
        };
        let (value, after) = after.split_at_checked(len).context("a value")?;
        entries.push((name.to_vec(), value.to_vec()));
        rest = after;
    }
    Ok(entries)
}

#[test]
fn properties_are_read_as_they_were_written() -> anyhow::Result<()> {
    let headers = table(&[(b"\xff", value(b'S', &long(b"x"))), (b"n", value(b'V', b""))]);
    let properties = Properties::default()
        .text(place::CONTENT_TYPE, b"application/json")
        .with(place::HEADERS, headers.clone())
        .with(place::PRIORITY, vec![7])
        .text(place::CLUSTER_ID, b"\xfe");
    assert_eq!(Properties::decode(&properties.encode())?, properties);
    assert_eq!(entries(&headers)?.len(), 2);
    for cut in 2..properties.encode().len() {
        assert!(Properties::decode(&properties.encode()[..cut]).is_err(), "cut at {cut}");
    }
    Ok(())
}
