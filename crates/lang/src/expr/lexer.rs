//! Cuts an expression into tokens.

use super::syntax;
use crate::LangError;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Float(f64),
    Text(String),
    /// A name or a word operator such as `in`.
    Word(String),
    Symbol(&'static str),
    End,
}

/// A token and where it starts, in characters.
pub(super) type Placed = (Token, usize);

/// Longer symbols stand before those they begin with.
const SYMBOLS: [&str; 34] = [
    "?.", "??", "..", "**", "==", "!=", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "^", "<", ">", "!",
    "?", ":", "|", ".", ",", ";", "#", "=", "(", ")", "[", "]", "{", "}", "@",
];

struct Lexer {
    characters: Vec<char>,
    at: usize,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, LangError> {
    let mut lexer = Lexer { characters: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip()?;
        let start = lexer.at;
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push((token, start));
        if end {
            return Ok(tokens);
        }
    }
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn looks_at(&self, text: &str) -> bool {
        text.chars().zip(0..).all(|(character, ahead)| self.peek(ahead) == Some(character))
    }

    /// Skips space and comments.
    fn skip(&mut self) -> Result<(), LangError> {
        while let Some(character) = self.peek(0) {
            if character.is_whitespace() {
                self.at += 1;
            } else if self.looks_at("//") {
                self.run(|c| c != '\n');
            } else if self.looks_at("/*") {
                let start = self.at;
                self.at += 2;
                while !self.looks_at("*/") {
                    if self.peek(0).is_none() {
                        return Err(syntax("a comment is not closed", start));
                    }
                    self.at += 1;
                }
                self.at += 2;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn run(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(character) = self.peek(0).filter(|c| fits(*c)) {
            text.push(character);
            self.at += 1;
        }
        text
    }

    fn token(&mut self) -> Result<Token, LangError> {
        let Some(first) = self.peek(0) else {
            return Ok(Token::End);
        };
        let second_is_digit = self.peek(1).is_some_and(|c| c.is_ascii_digit());
        match first {
            '0'..='9' => self.number(),
            '.' if second_is_digit => self.number(),
            '"' | '\'' => self.text(first),
            '`' => self.raw_text(),
            _ if first.is_alphabetic() || matches!(first, '_' | '$') => {
                Ok(Token::Word(self.run(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))))
            }
            _ => match SYMBOLS.iter().find(|symbol| self.looks_at(symbol)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    Ok(Token::Symbol(symbol))
                }
                None => Err(syntax(format!("'{first}' is not understood"), self.at)),
            },
        }
    }

    fn number(&mut self) -> Result<Token, LangError> {
        let start = self.at;
        let radix = match (self.peek(0), self.peek(1)) {
            (Some('0'), Some('x' | 'X')) => 16,
            (Some('0'), Some('o' | 'O')) => 8,
            (Some('0'), Some('b' | 'B')) => 2,
            _ => 10,
        };
        let mut float = false;
        let mut digits = String::new();
        if radix == 10 {
            let digit = |c: char| c.is_ascii_digit() || c == '_';
            digits = self.run(digit);
            // `1..5` is a range.
            if self.peek(0) == Some('.') && self.peek(1) != Some('.') {
                float = true;
                self.at += 1;
                digits.push('.');
                digits += &self.run(digit);
            }
            if matches!(self.peek(0), Some('e' | 'E')) {
                float = true;
                self.at += 1;
                digits.push('e');
                if let Some(sign) = self.peek(0).filter(|c| matches!(c, '+' | '-')) {
                    digits.push(sign);
                    self.at += 1;
                }
                digits += &self.run(digit);
            }
        } else {
            self.at += 2;
            digits += &self.run(|c| c.is_ascii_hexdigit() || c == '_');
        }
        digits.retain(|c| c != '_');
        let wrong = || syntax("this is no number", start);
        if self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return Err(wrong());
        }
        if float {
            return digits.parse().map(Token::Float).map_err(|_| wrong());
        }
        i64::from_str_radix(&digits, radix).map(Token::Int).map_err(|_| wrong())
    }

    fn raw_text(&mut self) -> Result<Token, LangError> {
        let start = self.at;
        self.at += 1;
        let mut text = self.run(|c| c != '`');
        loop {
            if self.peek(0).is_none() {
                return Err(syntax("a string is not closed", start));
            }
            self.at += 1;
            // Two of them stand for one.
            if self.peek(0) != Some('`') {
                return Ok(Token::Text(text));
            }
            self.at += 1;
            text.push('`');
            text += &self.run(|c| c != '`');
        }
    }

    fn text(&mut self, quote: char) -> Result<Token, LangError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(character) = self.peek(0) {
            self.at += 1;
            match character {
                _ if character == quote => return Ok(Token::Text(text)),
                '\n' => break,
                '\\' => text.push(self.escape()?),
                _ => text.push(character),
            }
        }
        Err(syntax("a string is not closed", start))
    }

    fn escape(&mut self) -> Result<char, LangError> {
        let start = self.at;
        let wrong = || syntax("this escape is not understood", start);
        let character = self.peek(0).ok_or_else(wrong)?;
        self.at += 1;
        let (digits, radix) = match character {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '\'' | '"' | '`' | '?' => return Ok(character),
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => {
                self.at -= 1;
                (3, 8)
            }
            _ => return Err(wrong()),
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self.peek(0).and_then(|c| c.to_digit(radix)).ok_or_else(wrong)?;
            self.at += 1;
            code = code.wrapping_mul(radix).wrapping_add(digit);
        }
        char::from_u32(code).ok_or_else(wrong)
    }
}
