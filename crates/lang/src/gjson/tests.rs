use proptest::prelude::*;

use super::*;

const ALERT: &str = r#"{"rule":"Shell","fields":{"proc.pid":1234567890123456789,"k8s":{"pod":"web-1"},"list":
 [{"n":"a","v":1.50},{"n":"b","v":1e3},{"n":"c","v":"2.0"}]},"ok":true,"text":"a\n\u00e9\ud83d\ude00"}"#;

fn raw(json: &str, path: &str) -> Option<String> {
    get(json, path).map(|found| found.raw.into_owned())
}

#[test]
fn plain_paths_borrow_from_the_text() {
    for path in ["rule", "fields.k8s.pod", r"fields.proc\.pid", "fields.list.1.n", "fields.list.#(n==\"b\")"]
    {
        let found = get(ALERT, path).unwrap();
        assert!(matches!(found.raw, Cow::Borrowed(_)), "{path}");
    }
}

#[test]
fn text_forms_are_those_of_go() {
    let text = |json: &str| get(json, "@this").unwrap().text();
    for (json, expected) in [
        ("1e3", "1000"),
        ("1.50", "1.5"),
        ("1.0", "1"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("-0", "-0"),
        ("1e21", "1000000000000000000000"),
        ("1e-7", "0.0000001"),
        ("1e999", "+Inf"),
        ("true", "true"),
        ("null", ""),
        (r#""a\"\u00e9\ud83d\ude00\/""#, "a\"é😀/"),
        (r#""\ud83d \ud83dx""#, "\u{fffd} \u{fffd}x"),
        (r#""cut \x here""#, "cut "),
        (r#"{"a": 1}"#, r#"{"a": 1}"#),
    ] {
        assert_eq!(text(json), expected, "{json}");
    }
}

#[test]
fn numbers_and_truths_are_coerced_as_in_go() {
    let value = |json: &str| get(json, "@this").unwrap().into_owned();
    for (json, number, truth) in [
        (r#""1.0""#, 1.0, false),
        ("true", 1.0, true),
        (r#""true""#, 0.0, true),
        (r#""T""#, 0.0, true),
        (r#""1""#, 1.0, true),
        (r#""yes""#, 0.0, false),
        (r#""0""#, 0.0, false),
        ("1", 1.0, true),
        ("0.0", 0.0, false),
        ("null", 0.0, false),
        ("[1]", 0.0, false),
    ] {
        let found = value(json);
        assert_eq!((found.number(), found.boolean()), (number, truth), "{json}");
    }
}

#[test]
fn a_failed_branch_goes_on_behind_it() {
    let json = r#"{"a":{"x":1},"b":{"y":2},"a":{"y":3}}"#;
    assert_eq!(raw(json, "*.y").as_deref(), Some("2"));
    assert_eq!(raw(json, "a.y").as_deref(), Some("3"));
}

#[test]
fn pipes_and_dots_differ_behind_lists() {
    assert_eq!(raw(ALERT, "fields.list.#.n|0").as_deref(), Some("\"a\""));
    assert_eq!(raw(ALERT, "fields.list.#.n.0").as_deref(), Some("[]"));
    assert_eq!(raw(ALERT, "fields.list.#(v>2)#.n|#").as_deref(), Some("2"));
    assert_eq!(raw(ALERT, "fields.list.#(n=\"z\")#|#").as_deref(), Some("0"));
}

#[test]
fn modifiers_take_arguments() {
    let join = |path| raw(r#"[{"a":1,"b":2},{"a":3}]"#, path).unwrap();
    assert_eq!(join("@join"), r#"{"a":3,"b":2}"#);
    assert_eq!(join(r#"@join:{"preserve":true}"#), r#"{"a":1,"b":2,"a":3}"#);
    assert_eq!(join("@dig:b|0"), "2");
    let flatten = |path| raw("[1,[2],[3,[4,[]]]]", path).unwrap();
    assert_eq!(flatten("@flatten"), "[1,2,3,[4,[]]]");
    assert_eq!(flatten(r#"@flatten:{"deep":true}"#), "[1,2,3,4]");
    assert_eq!(raw(r#"{"@type":1}"#, "@type").as_deref(), Some("1"));
}

#[test]
fn pretty_keeps_short_arrays_on_a_line() {
    let pretty = get(r#"{"b":[1,[2, 3]],"a":[{"x":[]}]}"#, r#"@pretty:{"sortKeys":true}"#).unwrap();
    assert_eq!(pretty.raw, "{\n  \"a\": [\n    {\n      \"x\": []\n    }\n  ],\n  \"b\": [1, [2, 3]]\n}\n");
}

#[test]
fn depth_and_output_are_bounded() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    assert_eq!(raw(&deep, &["a"; 50_000].join(".")), None);
    assert!(raw(&deep, "a.a.a").is_some());
    assert!(get(&deep, "@dig:b").is_some());
    assert!(get(&"[".repeat(100_000), r#"@flatten:{"deep":true}"#).is_some());
    let _ = get(&"[".repeat(100_000), "@pretty");
    let twice = ["[@this,@this]"; 60].join("|");
    assert_eq!(raw("[1]", &twice), None);
    let queries = format!("{}a{}", "#(".repeat(50_000), ")".repeat(50_000));
    assert_eq!(raw("[[[1]]]", &queries), None);
    let digs = "@dig:".repeat(500);
    let _ = raw(&deep, &digs);
}

#[test]
fn star_patterns_do_not_explode() {
    use super::query::matches_pattern;
    let text = "a".repeat(2_000);
    assert!(!matches_pattern(
        &text,
        &"*a".repeat(100).replace("**", "*").chars().chain("b".chars()).collect::<String>()
    ));
    assert!(matches_pattern("héllo", "h?l*"));
    assert!(matches_pattern("a*b", r"a\*b"));
    assert!(!matches_pattern("axb", r"a\*b"));
    assert!(matches_pattern("", "**"));
}

proptest! {
    /// Neither broken documents nor broken paths make it panic.
    #[test]
    fn nothing_panics(
        cut in 0..ALERT.len(),
        junk in r#"(\PC|["\\{}\[\]:,é]){0,6}"#,
        path in r##"(rule|fields|list|n|v|\.|\||#|\*|\?|\\|@this|@keys|@reverse|@join|@flatten|@pretty|@tostr|@fromstr|@dig:|@group|#\(|\)|\[|\]|\{|\}|"|:|,|=|~|!|%|<|1|é|\.\.){0,14}"##,
    ) {
        let at = (0..=cut).rev().find(|at| ALERT.is_char_boundary(*at)).unwrap_or(0);
        let (head, tail) = ALERT.split_at(at);
        let mut characters = tail.chars();
        characters.next();
        for json in [format!("{head}{junk}"), format!("{head}{junk}{}", characters.as_str())] {
            if let Some(found) = get(&json, &path) {
                let _ = (found.text(), found.number(), found.boolean());
            }
        }
    }

    /// Each member of a document is found by its own path, with the text that it was written with.
    #[test]
    fn members_are_found(key in "[a-zé.*?|#@\\\\]{1,8}", value in any::<i64>(), pad in "[a-z{}\\[\\]\\\\\"]{0,20}") {
        let document = serde_json::json!({ "pad": pad, "in": { &key: value }, "tail": 1 }).to_string();
        let escaped: String = key.chars().flat_map(|character| ['\\', character]).collect();
        prop_assert_eq!(raw(&document, &format!("in.{escaped}")), Some(value.to_string()));
        let padding = get(&document, "pad").unwrap().text();
        prop_assert_eq!(padding, pad);
    }
}
