//! Cuts a text of the dialect into tokens.

use jiff::tz::TimeZone;

use super::LANGUAGE;
use crate::LangError;
use crate::value::layout;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(String),
    /// A string literal that looks like a date, in seconds since 1970.
    Moment(f64),
    Bool(bool),
    Variable(String),
    In,
    Comma,
    Open,
    Close,
    /// Anything else; which operator it is depends on its place.
    Symbol(String),
}

/// A token and where it starts, in characters.
pub(super) type Placed = (Token, usize);

/// The forms in which a string literal becomes a moment.
const DATES: [&str; 13] = [
    "Mon Jan _2 15:04:05 2006",
    "Mon Jan _2 15:04:05 MST 2006",
    "Mon Jan 02 15:04:05 -0700 2006",
    "3:04PM",
    layout::RFC3339,
    "2006-01-02",
    "2006-01-02 15:04",
    "2006-01-02 15:04:05",
    "2006-01-02 15:04:05-07:00",
    "2006-01-02T15Z0700",
    "2006-01-02T15:04Z0700",
    "2006-01-02T15:04:05Z0700",
    "2006-01-02T15:04:05.999999999Z0700",
];

pub(super) fn syntax(message: impl Into<String>, offset: usize) -> LangError {
    LangError::Syntax { language: LANGUAGE, message: message.into(), offset }
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, LangError> {
    let mut lexer = Lexer { characters: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    while let Some(character) = lexer.peek() {
        if character.is_whitespace() {
            lexer.at += 1;
            continue;
        }
        let start = lexer.at;
        tokens.push((lexer.token(character)?, start));
    }
    Ok(tokens)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.')
}

/// Operators run on until a space, a word, a bracket or a quote.
fn is_symbol(character: char) -> bool {
    !character.is_alphanumeric()
        && !character.is_whitespace()
        && !matches!(character, '(' | ')' | '[' | ']' | '\'' | '"')
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn token(&mut self, first: char) -> Result<Token, LangError> {
        let start = self.at;
        Ok(match first {
            '(' => self.single(Token::Open),
            ')' => self.single(Token::Close),
            ',' => self.single(Token::Comma),
            '[' => {
                let name = self.until(']', "the bracket of a variable is not closed")?;
                Token::Variable(name)
            }
            '\'' | '"' => {
                let text = self.until(first, "a string is not closed")?;
                match layout::parse_any(&DATES, &text, &TimeZone::UTC) {
                    #[expect(clippy::cast_precision_loss, reason = "seconds fit")]
                    Some(time) => Token::Moment(time.timestamp().as_second() as f64),
                    None => Token::Text(text),
                }
            }
            '0'..='9' | '.' => self.number()?,
            _ if first.is_alphabetic() => {
                let word = self.run(is_word);
                match word.as_str() {
                    "true" => Token::Bool(true),
                    "false" => Token::Bool(false),
                    "in" | "IN" => Token::In,
                    _ if word.contains('.') => {
                        return Err(syntax(
                            format!(
                                "'{word}' would be a member of an object, which is not offered; put it in quotes, or in [ ] if it is a variable"
                            ),
                            start,
                        ));
                    }
                    _ => Token::Variable(word),
                }
            }
            _ if is_symbol(first) => Token::Symbol(self.run(is_symbol)),
            _ => return Err(syntax(format!("'{first}' does not fit here"), start)),
        })
    }

    fn single(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    /// What follows up to `end`; a backslash takes the next character as it is.
    fn until(&mut self, end: char, unclosed: &str) -> Result<String, LangError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.at += 1;
            if character == end {
                return Ok(text);
            }
            if character == '\\' {
                text.extend(self.peek());
                self.at += 1;
            } else {
                text.push(character);
            }
        }
        Err(syntax(unclosed, start))
    }

    /// The longest run of fitting characters; a backslash takes the next one as it is.
    fn run(&mut self, fits: fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(character) = self.peek() {
            if character == '\\' {
                text.extend(self.characters.get(self.at + 1));
                self.at += 2;
            } else if fits(character) {
                text.push(character);
                self.at += 1;
            } else {
                break;
            }
        }
        text
    }

    fn number(&mut self) -> Result<Token, LangError> {
        let start = self.at;
        let digits = self.run(|c| c.is_ascii_digit() || c == '.');
        if digits == "0" && self.peek() == Some('x') {
            self.at += 1;
            let digits = self.run(|c| c.is_ascii_hexdigit());
            let number = u64::from_str_radix(&digits, 16)
                .map_err(|_| syntax(format!("'0x{digits}' is no number"), start))?;
            #[expect(clippy::cast_precision_loss, reason = "every number is a float here")]
            return Ok(Token::Number(number as f64));
        }
        match digits.parse() {
            Ok(number) => Ok(Token::Number(number)),
            Err(_) => Err(syntax(format!("'{digits}' is no number; put it in quotes if it is text"), start)),
        }
    }
}
