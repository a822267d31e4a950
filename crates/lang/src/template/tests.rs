//! Tests of templates and of the sprig functions, beyond the golden vectors.

use serde_json::json;

use super::*;

fn context() -> Context<'static> {
    Context { now: "2026-03-01T12:00:00Z".parse().unwrap(), seed: "event" }
}

fn render(text: &str) -> Result<String, LangError> {
    let data = json!({
        "Input": {
            "name": "Some Body",
            "count": 3,
            "big": 12_345_678_901_u64,
            "list": ["b", "a", "b", ""],
            "map": {"z": 1, "a": {"b": "c"}},
            "time": "2023-11-14T22:13:20Z",
        }
    });
    Template::compile(text)?.render(&data, context())
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(render(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn text() {
    check(&[
        ("{{ .Input.name | nospace | lower }}", "somebody"),
        ("{{ .Input.name | substr 0 4 }}", "Some"),
        ("{{ .Input.name | trunc -4 }}", "Body"),
        ("{{ abbrev 7 .Input.name }}", "Some..."),
        ("{{ initials .Input.name }}", "SB"),
        ("{{ untitle .Input.name }}", "some body"),
        ("{{ swapcase .Input.name }}", "sOME bODY"),
        (
            "{{ snakecase \"HTTPServer2x\" }} {{ kebabcase \"FirstName\" }} {{ camelcase \"http_server\" }}",
            "http_server_2x first-name HttpServer",
        ),
        ("{{ quote \"a\\\"b\" 1 }} {{ squote .Input.name }}", "\"a\\\"b\" \"1\" 'Some Body'"),
        ("{{ nindent 2 \"a\\nb\" }}", "\n  a\n  b"),
        ("{{ trimAll \"$\" \"$5$\" }} {{ trimSuffix \"-\" \"a-\" }}", "5 a"),
        ("{{ plural \"one\" \"many\" (len .Input.list) }}", "many"),
        ("{{ (split \".\" \"a.b\")._1 }} {{ (splitn \".\" 2 \"a.b.c\")._1 }}", "b b.c"),
        ("{{ contains \"me\" .Input.name }} {{ hasPrefix \"S\" .Input.name }}", "true true"),
        ("{{ wrap 5 .Input.name }}", "Some\nBody"),
        ("{{ repeat 3 \"ab\" }}", "ababab"),
        ("{{ title \"it's a-b c_d\" }}", "It'S A-B C_d"),
    ]);
}

#[test]
fn lists_and_maps() {
    check(&[
        ("{{ .Input.list | uniq | compact | sortAlpha | join \",\" }}", "a,b"),
        ("{{ without .Input.list \"b\" | len }}", "2"),
        ("{{ initial (list 1 2 3) }} {{ rest (list 1 2 3) }}", "[1 2] [2 3]"),
        (
            "{{ append (list 1) 2 }} {{ prepend (list 1) 0 }} {{ concat (list 1) (list 2) }}",
            "[1 2] [0 1] [1 2]",
        ),
        ("{{ slice (list 1 2 3) 1 2 }} {{ chunk 2 (list 1 2 3) }}", "[2] [[1 2] [3]]"),
        ("{{ untilStep 0 10 4 }} {{ seq 1 3 }} {{ until 0 }}", "[0 4 8] 1 2 3 []"),
        ("{{ $d := dict \"a\" 1 }}{{ $_ := set $d \"b\" 2 }}{{ $d }}", "map[a:1 b:2]"),
        ("{{ $d := dict \"a\" 1 }}{{ unset $d \"a\" }}|{{ $d }}", "map[]|map[]"),
        ("{{ get .Input.map \"none\" }}|{{ dig \"a\" \"x\" \"no\" .Input.map }}", "|no"),
        ("{{ pick .Input.map \"z\" }} {{ omit .Input.map \"a\" }}", "map[z:1] map[z:1]"),
        (
            "{{ merge (dict \"a\" (dict \"b\" 1)) (dict \"a\" (dict \"b\" 2 \"c\" 3)) }}",
            "map[a:map[b:1 c:3]]",
        ),
        ("{{ mergeOverwrite (dict \"a\" 1) (dict \"a\" 2) }}", "map[a:2]"),
        ("{{ range $k, $v := .Input.map }}{{ $k }} {{ end }}", "a z "),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("{{ .Input.big }} {{ .Input.big | int64 }}", "1.2345678901e+10 12345678901"),
        ("{{ print .Input.big 1 \"x\" }}", "1.2345678901e+10 1x"),
        (
            "{{ printf \"%v %.0f %d\" .Input.big .Input.big (int .Input.big) }}",
            "1.2345678901e+10 12345678901 12345678901",
        ),
        (
            "{{ .Input.big | printf \"%d%% %5v|%v\" 5 3 }} {{ printf \"%v %v\" 1e7 (list 1e7) }}",
            "5%     3|1.2345678901e+10 1e+07 [1e+07]",
        ),
        ("{{ list 1.5 1e7 }}", "[1.5 1e+07]"),
        ("{{ add \"4\" 1.9 }} {{ sub 5 7 }} {{ div 7 2 }} {{ mod 7 2 }} {{ atoi \"x\" }}", "5 -2 3 1 0"),
        ("{{ round 3.14159 2 }} {{ ceil 1.1 }} {{ addf 1.5 2 }} {{ maxf 1 2.5 }}", "3.14 2 3.5 2.5"),
    ]);
    assert!(render("{{ div 1 0 }}").is_err());
    assert!(render("{{ mod 1 0 }}").is_err());
}

#[test]
fn encodings() {
    check(&[
        ("{{ toJson .Input.map }}", "{\"a\":{\"b\":\"c\"},\"z\":1}"),
        ("{{ toJson \"<\\\\u003c\" }} {{ toRawJson \"<\\\\u003c\" }}", "\"\\u003c\\\\u003c\" \"<\\\\u003c\""),
        ("{{ b32enc \"hi\" }} {{ b32dec \"NBUQ====\" }}", "NBUQ==== hi"),
        ("{{ b64dec \"?\" | hasPrefix \"illegal base64 data\" }}", "true"),
        ("{{ sha1sum \"a\" }}", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("{{ adler32sum \"Wikipedia\" }}", "300286872"),
        ("{{ fromJson \"nope\" }}", "<no value>"),
        ("{{ regexFindAll \"[a-z]\" \"a1b2\" -1 }} {{ regexSplit \"-\" \"a-b\" -1 }}", "[a b] [a b]"),
        ("{{ regexReplaceAllLiteral \"b\" \"abc\" \"$1\" }} {{ regexQuoteMeta \"a.b\" }}", "a$1c a\\.b"),
        (
            "{{ base \"/a/b.txt\" }} {{ dir \"/a/b.txt\" }} {{ ext \"b.txt\" }} {{ clean \"/a/../../b\" }}",
            "b.txt /a .txt /b",
        ),
    ]);
    assert!(render("{{ mustFromJson \"nope\" }}").is_err());
    assert!(render("{{ mustRegexMatch \"(\" \"a\" }}").is_err());
}

#[test]
fn times_come_from_the_context() {
    check(&[
        ("{{ now }}", "2026-03-01 12:00:00 +0000 UTC"),
        ("{{ now | date \"2006-01-02T15:04\" }}", "2026-03-01T12:00"),
        ("{{ now | dateModify \"-24h\" | htmlDate }}", "2026-02-28"),
        ("{{ dateInZone \"15:04 MST\" now \"Asia/Tokyo\" }}", "21:00 JST"),
        ("{{ date \"2006\" .Input.time }}", "2023"),
        ("{{ toDate \"02.01.2006\" \"07.03.2026\" | unixEpoch }}", "1772841600"),
        (
            "{{ ago (dateModify \"-90s\" now) }} {{ duration 90 }} {{ durationRound \"2h10m\" }}",
            "1m30s 1m30s 2h",
        ),
    ]);
    assert!(render("{{ toDate \"2006\" \"x\" }}").is_err());
}

#[test]
fn chance_comes_from_the_seed() {
    let text = "{{ uuidv4 }} {{ randAlphaNum 8 }} {{ randInt 1 100 }} {{ shuffle \"abcdef\" }}";
    let first = render(text).unwrap();
    assert_eq!(render(text).unwrap(), first);
    let template = Template::compile(text).unwrap();
    let other = Context { seed: "other", ..context() };
    assert_ne!(template.render(&json!({}), other).unwrap(), first);
    let uuid = first.split(' ').next().unwrap();
    assert_eq!((uuid.len(), uuid.get(14..15)), (36, Some("4")));
    assert_ne!(render("{{ randAlpha 20 }}").unwrap(), render("{{ randAlpha 21 }}").unwrap());
}

#[test]
fn choices() {
    check(&[
        ("{{ default \"x\" .Input.none }} {{ coalesce nil \"\" 2 }} {{ empty (list) }}", "x 2 true"),
        ("{{ ternary 1 2 false }} {{ all 1 \"\" }} {{ any 1 \"\" }}", "2 false true"),
        (
            "{{ kindOf .Input.map }} {{ typeOf .Input.count }} {{ kindIs \"string\" \"a\" }}",
            "map float64 true",
        ),
        ("{{ deepEqual (list 1) (list 1) }}", "true"),
        ("{{ define \"t\" }}{{ .x }}{{ end }}{{ template \"t\" (dict \"x\" 1.0) }}", "1"),
        ("", ""),
        ("{{- if .Input -}} {{ .Input.end }}{{ \"if\" }} {{- end }}", "<no value>if"),
        ("  ", "  "),
        ("{{/* only */}}", ""),
    ]);
    let error = render("{{ fail \"stop here\" }}").unwrap_err();
    assert_eq!(error.to_string(), "template: stop here");
}

#[test]
fn unknown_functions_do_not_compile() {
    for (text, part) in [
        ("{{ env \"HOME\" }}", "the function env is not offered"),
        ("{{ if true }}{{ .x | expandenv }}{{ end }}", "the function expandenv is not offered"),
        ("{{ define \"x\" }}{{ getHostByName \"x\" }}{{ end }}", "the function getHostByName"),
        ("{{ print (upperr .x) }}", "did you mean upper?"),
        ("ab\n{{ whatever }}", "there is no function whatever at character 6"),
        ("{{ .x", "unclosed action"),
        ("{{ if .x }}a", "an end is missing at character 12"),
        ("{{- end }}", "no block open here at character 0"),
        ("a{{ else }}", "no block open here at character 1"),
    ] {
        let error = Template::compile(text).unwrap_err();
        assert!(matches!(error, LangError::Syntax { .. }), "{text}: {error:?}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn limits_hold() {
    let doubling = "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}";
    for text in [
        "{{ range until 50000 }}{{ printf \"%s\" \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" }}{{ end }}".to_owned(),
        "{{ range 1000000000 }}{{ end }}".to_owned(),
        "{{ repeat 100000000 \"x\" }}".to_owned(),
        "{{ $x := 1 }}{{ range until 50000 }}{{ $x = list $x }}{{ end }}".to_owned(),
        doubling.to_owned(),
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}".to_owned(),
        "{{ define \"a\" }}{{ range . }}{{ template \"a\" (rest $) }}{{ end }}{{ end }}{{ template \"a\" (until 40) }}".to_owned(),
        "{{ $x := repeat 1000000 \"x\" }}{{ range until 90000 }}{{ $y := printf \"%s\" $x }}{{ end }}".to_owned(),
        "{{ $x := repeat 1000000 \"x\" }}{{ range until 90000 }}{{ if eq $x $x }}{{ end }}{{ end }}".to_owned(),
        "{{ $x := repeat 1000000 \"x\" }}{{ range until 90000 }}{{ $y := $x | html }}{{ end }}".to_owned(),
        "{{ untilStep 0 1000000000 1 }}".to_owned(),
    ] {
        let result = render(&text);
        assert!(matches!(result, Err(LangError::Limit { .. })), "{text}: {result:?}");
    }
    for text in [
        format!("{{{{ {} }}}}", "(".repeat(100_000)),
        "{{ if true }}".repeat(10_000),
        format!("{{{{ if true }}}}{}", "{{ else if true }}".repeat(10_000)),
        "{{ if true }}{{ \"{{ end }}\" }}".repeat(10_000),
        format!("{{{{ \"{{{{\" | {} }}}}", "(\"{{\"| ".repeat(10_000)),
    ] {
        assert!(Template::compile(&text).is_err());
    }
}

#[test]
fn nothing_is_left_behind_by_a_run_that_failed() {
    assert!(render("{{ fail \"x\" }}").is_err());
    assert_eq!(render("{{ upper \"a\" }}").as_deref(), Ok("A"));
}
