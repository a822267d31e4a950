//! Enough of four protocols to know what passes by on a connection: who stores an event, who acks a message, and which
//! answer belongs to which.

use serde_json::Value;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// NATS: events are stored here.
    Nats,
    /// Amazon SQS: `DeleteMessageBatch` acks.
    Sqs,
    /// Pub/Sub's gRPC: `Acknowledge` acks.
    PubSub,
    /// Kafka: `OffsetCommit` acks.
    Kafka,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the event source.
    Up,
    /// To it.
    Down,
}

/// What a frame says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    Nothing,
    /// An event is to be stored: where the answer is awaited, and the message's id in its queue.
    Publish {
        reply: String,
        native: String,
    },
    /// The bus answers there.
    Reply(String),
    /// Messages are acked, by a request of this number on its connection.
    Ack(u64),
    /// The queue has answered the request of this number.
    Answer(u64),
}

/// Reads one direction of a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    wire: Wire,
    way: Way,
    /// Whether the connection has begun, and in HTTP/1.
    begun: Option<bool>,
}

/// With which a client begins HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;
/// Of Kafka.
const OFFSET_COMMIT: u16 = 8;

impl Reader {
    pub(crate) const fn new(wire: Wire, way: Way) -> Self {
        Self { wire, way, begun: None }
    }

    /// The length of the first frame and what it says; nothing while it is not complete.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Option<(usize, Sign)> {
        let (length, sign) = match self.wire {
            Wire::Nats => nats(bytes)?,
            Wire::Sqs => http(bytes, self.way)?,
            Wire::Kafka => kafka(bytes, self.way)?,
            Wire::PubSub => self.pubsub(bytes)?,
        };
        (bytes.len() >= length).then_some((length, sign))
    }

    /// Messages and acks come by gRPC; what is asked of a subscription otherwise, by HTTP/1.
    fn pubsub(&mut self, bytes: &[u8]) -> Option<(usize, Sign)> {
        match self.begun {
            Some(true) => (!bytes.is_empty()).then_some((bytes.len(), Sign::Nothing)),
            Some(false) => grpc(bytes, self.way),
            None if bytes.len() < PREFACE.len() && PREFACE.starts_with(bytes) => None,
            None if bytes.starts_with(PREFACE) => {
                self.begun = Some(false);
                Some((PREFACE.len(), Sign::Nothing))
            }
            None => {
                self.begun = Some(self.way == Way::Up || bytes.starts_with(b"HTTP/1"));
                self.pubsub(bytes)
            }
        }
    }
}

fn nats(bytes: &[u8]) -> Option<(usize, Sign)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let line = String::from_utf8_lossy(&bytes[..end - 2]).into_owned();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |back: usize| words.get(words.len().checked_sub(back)?)?.parse::<usize>().ok();
    match words.first().map(|verb| verb.to_ascii_uppercase()).as_deref() {
        Some("HPUB") if words.len() == 5 => {
            let length = end + number(1)? + 2;
            let payload = bytes.get(end + number(2)?..length.checked_sub(2)?);
            let native = payload.and_then(|payload| native(words[1], payload));
            let sign = native.map(|native| Sign::Publish { reply: words[2].to_owned(), native });
            Some((length, sign.unwrap_or(Sign::Nothing)))
        }
        Some("PUB" | "HPUB") => Some((end + number(1)? + 2, Sign::Nothing)),
        Some("MSG" | "HMSG") => Some((end + number(1)? + 2, Sign::Reply(words[1].to_owned()))),
        _ => Some((end, Sign::Nothing)),
    }
}

/// The queue's id of a message that is stored as an event; nothing where something else is stored.
fn native(subject: &str, payload: &[u8]) -> Option<String> {
    if subject.split('.').nth(1) != Some("events") {
        return None;
    }
    let event: Value = serde_json::from_slice(payload).ok()?;
    Some(event["attributes"]["nativeid"].as_str()?.to_owned())
}

/// A head, and a body of the length that it states.
fn http(bytes: &[u8], way: Way) -> Option<(usize, Sign)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let sign = match way {
        Way::Up if head.contains("amazonsqs.deletemessagebatch") => Sign::Ack(0),
        Way::Up => Sign::Nothing,
        // One request of a connection is under way at a time.
        Way::Down => Sign::Answer(0),
    };
    Some((end + length.unwrap_or(0), sign))
}

fn kafka(bytes: &[u8], way: Way) -> Option<(usize, Sign)> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(number(0)?).ok()? + 4;
    let sign = match way {
        Way::Up if u16::from_be_bytes(bytes.get(4..6)?.try_into().ok()?) == OFFSET_COMMIT => {
            Sign::Ack(number(8)?.into())
        }
        Way::Up => Sign::Nothing,
        Way::Down => Sign::Answer(number(4)?.into()),
    };
    Some((length, sign))
}

/// A frame of HTTP/2. A request is told by its message, an answer by the end of its stream.
fn grpc(bytes: &[u8], way: Way) -> Option<(usize, Sign)> {
    const HEAD: usize = 9;
    let head = bytes.get(..HEAD)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u64::from(u32::from_be_bytes(head[5..HEAD].try_into().ok()?) & 0x7fff_ffff);
    let (kind, flags) = (head[3], head[4]);
    let body = bytes.get(HEAD..HEAD + length).unwrap_or_default();
    let sign = match (kind, way) {
        (0, Way::Up) if flags & PADDED == 0 && acknowledges(body) => Sign::Ack(stream),
        (0 | 1, Way::Down) if flags & END_STREAM != 0 => Sign::Answer(stream),
        _ => Sign::Nothing,
    };
    Some((HEAD + length, sign))
}

/// Whether this is an `AcknowledgeRequest`: a subscription in field 1, and in field 2 the first id, which Google's
/// emulator makes of the subscription. Other requests for a subscription have another field there, or no such text.
fn acknowledges(message: &[u8]) -> bool {
    const TEXT_1: u8 = 0x0a;
    const TEXT_2: u8 = 0x12;
    let Some([TEXT_1, length, rest @ ..]) = message.get(5..) else { return false };
    let Some((subscription, ids)) = rest.split_at_checked(usize::from(*length)) else { return false };
    let Some([TEXT_2, _, id @ ..]) = ids.get(..) else { return false };
    id.starts_with(subscription)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(wire: Wire, bytes: &[u8]) -> Option<(usize, Sign)> {
        Reader { begun: Some(false), ..Reader::new(wire, Way::Up) }.next(bytes)
    }

    fn down(wire: Wire, bytes: &[u8]) -> Option<(usize, Sign)> {
        Reader::new(wire, Way::Down).next(bytes)
    }

    #[test]
    fn an_event_on_its_way_to_nats_is_known_by_its_native_id() {
        let (headers, event) = ("NATS/1.0\r\n\r\n", r#"{"attributes":{"nativeid":"q/1"}}"#);
        let sizes = format!("{} {}", headers.len(), headers.len() + event.len());
        let frame = format!("HPUB tiphys.events.n.s.e _INBOX.1 {sizes}\r\n{headers}{event}\r\n");
        let sign = Sign::Publish { reply: "_INBOX.1".into(), native: "q/1".into() };
        assert_eq!(up(Wire::Nats, format!("{frame}PING\r\n").as_bytes()), Some((frame.len(), sign)));
        assert_eq!(up(Wire::Nats, &frame.as_bytes()[..frame.len() - 1]), None, "it is not complete");
        let other = frame.replace("events", "parts");
        assert_eq!(up(Wire::Nats, other.as_bytes()), Some((other.len(), Sign::Nothing)));
        let answer = b"MSG _INBOX.1 3 2\r\n{}\r\n";
        assert_eq!(down(Wire::Nats, answer), Some((answer.len(), Sign::Reply("_INBOX.1".into()))));
    }

    #[test]
    fn an_ack_is_told_from_other_requests() {
        let delete =
            b"POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.DeleteMessageBatch\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(up(Wire::Sqs, delete), Some((delete.len(), Sign::Ack(0))));
        let receive = b"POST / HTTP/1.1\r\nx-amz-target: AmazonSQS.ReceiveMessage\r\n\r\n";
        assert_eq!(up(Wire::Sqs, receive), Some((receive.len(), Sign::Nothing)));
        let commit = [0, 0, 0, 8, 0, 8, 0, 2, 0, 0, 0, 9];
        assert_eq!(up(Wire::Kafka, &commit), Some((12, Sign::Ack(9))));
        let fetch = [0, 0, 0, 8, 0, 1, 0, 2, 0, 0, 0, 9];
        assert_eq!(up(Wire::Kafka, &fetch), Some((12, Sign::Nothing)));
        assert_eq!(down(Wire::Kafka, &[0, 0, 0, 4, 0, 0, 0, 9]), Some((8, Sign::Answer(9))));
        let request = |field: u8, id: &str| {
            let body =
                [b"\x0a\x01s".as_slice(), &[field, u8::try_from(id.len()).unwrap()], id.as_bytes()].concat();
            let length = u8::try_from(body.len()).unwrap();
            let head = [0, 0, length + 5, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, length];
            [head.as_slice(), &body].concat()
        };
        let ack = request(0x12, "s:1");
        assert_eq!(up(Wire::PubSub, &ack), Some((ack.len(), Sign::Ack(7))));
        for other in [request(0x22, "s:1"), request(0x12, "\x0a\x01h")] {
            assert_eq!(up(Wire::PubSub, &other), Some((other.len(), Sign::Nothing)));
        }
        let (begun, ended) = ([0, 0, 0, 1, 4, 0, 0, 0, 7], [0, 0, 0, 1, 5, 0, 0, 0, 7]);
        assert_eq!(down(Wire::PubSub, &begun), Some((9, Sign::Nothing)));
        assert_eq!(down(Wire::PubSub, &ended), Some((9, Sign::Answer(7))));
        let mut fresh = Reader::new(Wire::PubSub, Way::Up);
        assert_eq!(fresh.next(&PREFACE[..5]), None);
        assert_eq!(fresh.next(PREFACE), Some((PREFACE.len(), Sign::Nothing)));
        assert_eq!(fresh.next(&ack), Some((ack.len(), Sign::Ack(7))));
        let mut plain = Reader::new(Wire::PubSub, Way::Up);
        assert_eq!(plain.next(b"GET / HTTP/1.1\r\n"), Some((16, Sign::Nothing)));
    }
}
