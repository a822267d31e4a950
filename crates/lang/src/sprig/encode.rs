//! Encodings and checksums.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotmpl::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::arguments::{Arguments, text};
use super::run::Run;
use super::{Outcome, convert};

pub(super) fn to_json(run: &mut Run, a: Arguments<'_>) -> Outcome {
    json(run, a.any(0), "")
}

pub(super) fn to_pretty_json(run: &mut Run, a: Arguments<'_>) -> Outcome {
    json(run, a.any(0), "  ")
}

fn json(run: &mut Run, value: &Value, indent: &str) -> Outcome {
    run.admit(value)?;
    let json = convert::from_template(value).json_text(indent);
    run.allow(json.len())?;
    Ok(text(json))
}

/// As `toJson`, without the escapes that HTML would want.
pub(super) fn to_raw_json(run: &mut Run, a: Arguments<'_>) -> Outcome {
    run.admit(a.any(0))?;
    let json = convert::from_template(a.any(0)).json_text("");
    run.allow(json.len())?;
    // A backslash in a text is written as two, so that only an odd number of them makes an escape.
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (raw, length) = match escape.get(..6) {
            Some("\\u003c") => ("<", 6),
            Some("\\u003e") => (">", 6),
            Some("\\u0026") => ("&", 6),
            _ => (escape.get(..2).unwrap_or_default(), 2),
        };
        out.push_str(raw);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    Ok(text(out))
}

pub(super) fn from_json(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let json = a.text(run, 0)?;
    run.allow(json.len())?;
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(json) => Ok(convert::from_json(&json)),
        // Plain `fromJson` gives nil for what is no JSON; see `find` for `mustFromJson`.
        Err(_) => Ok(Value::Nil),
    }
}

pub(super) fn must_from_json(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let json = a.text(run, 0)?;
    run.allow(json.len())?;
    match serde_json::from_str::<serde_json::Value>(json) {
        Ok(json) => Ok(convert::from_json(&json)),
        Err(error) => Err(run.fail(format!("mustFromJson: {error}"))),
    }
}

pub(super) fn b64enc(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len() / 3 * 4 + 4)?;
    Ok(text(STANDARD.encode(subject)))
}

/// As in sprig, text that is no base64 gives the text of the error.
pub(super) fn b64dec(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    // Go passes over line ends.
    let joined: String = subject.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    Ok(match STANDARD.decode(joined) {
        Ok(bytes) => text(String::from_utf8_lossy(&bytes)),
        Err(error) => text(format!("illegal base64 data: {error}")),
    })
}

const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) fn b32enc(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len().saturating_mul(2) + 8)?;
    let mut out = String::new();
    for chunk in subject.as_bytes().chunks(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let bits = bits << (8 * (5 - chunk.len()));
        let digits = (chunk.len() * 8).div_ceil(5);
        for place in 0..8 {
            let digit = usize::try_from(bits >> (35 - 5 * place) & 31).unwrap_or(0);
            let character = BASE32.as_bytes().get(digit).copied().unwrap_or(b'=');
            out.push(if place < digits { char::from(character) } else { '=' });
        }
    }
    Ok(text(out))
}

pub(super) fn b32dec(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.allow(subject.len())?;
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for character in subject.trim_end_matches('=').chars() {
        let Some(digit) = BASE32.find(character).and_then(|digit| u32::try_from(digit).ok()) else {
            return Ok(text("illegal base32 data"));
        };
        bits = (bits << 5 | digit) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    Ok(text(String::from_utf8_lossy(&bytes)))
}

fn sum<D: Digest>(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.spend(subject.len() as u64 / 4 + 100)?;
    Ok(text(hex::encode(D::digest(subject))))
}

pub(super) fn sha1sum(run: &mut Run, a: Arguments<'_>) -> Outcome {
    sum::<Sha1>(run, a)
}

pub(super) fn sha256sum(run: &mut Run, a: Arguments<'_>) -> Outcome {
    sum::<Sha256>(run, a)
}

pub(super) fn sha512sum(run: &mut Run, a: Arguments<'_>) -> Outcome {
    sum::<Sha512>(run, a)
}

pub(super) fn adler32sum(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let subject = a.text(run, 0)?;
    run.spend(subject.len() as u64 / 4)?;
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in subject.bytes() {
        low = (low + u32::from(byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    Ok(text((high << 16 | low).to_string()))
}
