//! Which fields a type knows at a path. Asks the type's own `Deserialize` by walking it down the path; at its end
//! the type says which fields it takes.

use std::cell::Cell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::path::{Path, Segment};

type Fields = &'static [&'static str];

/// The fields that `T` takes at `path`; none where that cannot be said (a free mapping, an untagged choice).
pub(super) fn known<T: DeserializeOwned>(path: &Path) -> Fields {
    let found: Cell<Fields> = Cell::new(&[]);
    let _ = T::deserialize(Walk { rest: &path.0, found: &found });
    found.get()
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    rest: &'a [Segment],
    found: &'a Cell<Fields>,
}

/// The end of the walk, good or bad; what was found stands in the cell.
#[derive(Debug)]
struct End;

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("end of the walk")
    }
}

impl std::error::Error for End {}

impl de::Error for End {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = End;

    /// A type that takes more than one shape is shown the one that the path goes through.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        match self.rest {
            [Segment::Key(_), ..] => visitor.visit_map(self),
            [Segment::Index(_), ..] => visitor.visit_seq(self),
            [] => Err(End),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, End> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: Fields,
        visitor: V,
    ) -> Result<V::Value, End> {
        if self.rest.is_empty() {
            self.found.set(fields);
            return Err(End);
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        match self.rest {
            [Segment::Key(_), ..] => visitor.visit_map(self),
            _ => Err(End),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, End> {
        match self.rest {
            [Segment::Index(_), ..] => visitor.visit_seq(self),
            _ => Err(End),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Walk<'_> {
    type Error = End;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, End> {
        let Some((Segment::Key(key), _)) = self.rest.split_first() else {
            return Err(End);
        };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, End> {
        self.step(seed)
    }
}

impl<'de> SeqAccess<'de> for Walk<'_> {
    type Error = End;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, End> {
        self.step(seed).map(Some)
    }
}

impl Walk<'_> {
    /// Goes one step down. What a type answers there ends the walk, whatever it is.
    fn step<'de, T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, End> {
        let Some((_, rest)) = self.rest.split_first() else {
            return Err(End);
        };
        seed.deserialize(Walk { rest, ..*self })?;
        Err(End)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its fields' names are looked at")]
    struct Outer {
        list: Option<Vec<Inner>>,
        map: BTreeMap<String, Box<Inner>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "only its fields' names are looked at")]
    struct Inner {
        one_two: u8,
        free: serde_json::Value,
    }

    #[test]
    fn down_a_path() {
        let root = Path::root();
        assert_eq!(known::<Outer>(&root), ["list", "map"]);
        assert_eq!(known::<Outer>(&root.key("list").index(7)), ["oneTwo", "free"]);
        assert_eq!(known::<Outer>(&root.key("map").key("x")), ["oneTwo", "free"]);
        let free = root.key("list").index(0).key("free");
        assert!(known::<Outer>(&free).is_empty());
        assert!(known::<Outer>(&root.key("nothing")).is_empty());
    }
}
