//! Tests of the expr-lang dialect, beyond the golden vectors.

use serde_json::{Value, json};

use super::*;

fn context() -> Context<'static> {
    Context { now: "2026-03-01T12:00:00Z".parse().unwrap(), seed: "event" }
}

fn environment() -> Value {
    json!({
        "inputs": {"parameters": {"should-print": "true", "num": "3"}},
        "list": [3, 1, 2],
        "words": ["b", "a", "b"],
        "nested": [[1, 2], [3]],
        "user": {"name": "ann", "age": 42.0},
        "nothing": null,
        "since": "2026-03-01T11:50:00Z",
        "config": "{\"people\":[{\"name\":\"Ann\",\"age\":43},{\"name\":\"Bob\",\"age\":7}]}",
    })
}

fn eval(text: &str) -> Result<Value, LangError> {
    Program::compile(text)?.eval(&environment(), context())
}

fn check(cases: &[(&str, Value)]) {
    for (text, expected) in cases {
        assert_eq!(eval(text).as_ref(), Ok(expected), "{text}");
    }
}

fn fails(cases: &[(&str, &str)]) {
    for (text, part) in cases {
        let error = eval(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn operators_bind_and_group_as_in_the_original() {
    check(&[
        ("-2 ** 2", json!(-4)),
        ("2 ** 3 ** 2", json!(512)),
        ("10 - 4 - 3", json!(3)),
        ("1 + 2 * 3", json!(7)),
        ("not true or true", json!(true)),
        ("1 < 2 && 2 < 3", json!(true)),
        ("1 < 2 < 3 <= 3", json!(true)),
        ("3 > 2 > 2", json!(false)),
        ("'a' not in words", json!(false)),
        ("'ab' not contains 'c'", json!(true)),
        ("nil ?? nil ?? 2", json!(2)),
        ("true ? 1 : false ? 2 : 3", json!(1)),
        ("nothing == nil ?: 5", json!(true)),
        ("if list[0] == 3 { 'yes' } else if true { 'x' } else { 'no' }", json!("yes")),
        ("1; 2; 3", json!(3)),
        ("let x = 2; let y = x * 2; x + y", json!(6)),
        ("1..3 | map(# * 2) | sum()", json!(12)),
        ("0x10 + 1_000 + 0b11", json!(1019)),
        (".5 + 1e1", json!(10.5)),
        ("'a' < 'b' /* so */ // it is", json!(true)),
    ]);
}

#[test]
fn integers_and_floats_stay_apart_and_print_alike() {
    check(&[
        ("7 / 2", json!(3.5)),
        ("type(7 / 7)", json!("float")),
        ("type(7 * 7)", json!("int")),
        ("7 % 4", json!(3)),
        ("user.age + 1", json!(43)),
        ("string(1000000.0)", json!("1e+06")),
        ("string(asInt('1000000'))", json!("1000000")),
        ("9223372036854775807 + 1", json!(i64::MIN)),
        ("round(2.5)", json!(3)),
        ("1 in [1.0]", json!(true)),
    ]);
    fails(&[
        ("7.5 % 2", "invalid operation: float64 % int"),
        ("7 % 0", "divide by zero"),
        ("1 + 'a'", "invalid operation: int + string"),
        ("nothing < 1", "invalid operation: <nil> < int"),
        ("1 && true", "expected true or false"),
        ("asInt('x')", "is no integer"),
    ]);
}

#[test]
fn members_elements_and_slices() {
    check(&[
        ("inputs.parameters['should-print'] == 'true'", json!(true)),
        ("inputs.missing", Value::Null),
        ("inputs?.missing?.deep.deeper", Value::Null),
        ("user['na' + 'me']", json!("ann")),
        ("list[-1]", json!(2)),
        ("list[1:]", json!([1, 2])),
        ("list[:-1]", json!([3, 1])),
        ("list[5:9]", json!([])),
        ("'hello'[1:3]", json!("el")),
        ("'grüße'[2]", json!("ü")),
        ("{a: 1, 'b': 2}.b", json!(2)),
        ("{'in': 1}.in", json!(1)),
    ]);
    fails(&[
        ("list[7]", "index out of range"),
        ("nothing.deep", "cannot fetch deep from <nil>"),
        ("nothing[0]", "cannot fetch 0 from <nil>"),
        ("user.name.first", "cannot fetch first from string"),
        ("unknown", "unknown name unknown"),
        ("true || unknown", "unknown name unknown"),
    ]);
}

#[test]
fn closures() {
    check(&[
        ("filter(list, {# > 1})", json!([3, 2])),
        ("filter(list, # > 1)", json!([3, 2])),
        ("map(list, #index)", json!([0, 1, 2])),
        ("none(list, # > 5)", json!(true)),
        ("one(list, # == 1)", json!(true)),
        ("count([true, false, true])", json!(2)),
        ("find(list, # < 3)", json!(1)),
        ("findIndex(list, # == 9)", json!(-1)),
        ("findLast(list, # < 3)", json!(2)),
        ("findLastIndex(list, # == 3)", json!(0)),
        ("sum(list, # * 2)", json!(12)),
        ("reduce(list, #acc + #)", json!(6)),
        ("reduce([], #acc + #, 7)", json!(7)),
        ("groupBy(words, #)", json!({"a": ["a"], "b": ["b", "b"]})),
        ("sortBy(list, -#)", json!([3, 2, 1])),
        ("map(nested, {filter(#, {# > 1})})", json!([[2], [3]])),
        ("all([], false)", json!(true)),
        ("map(words, {let w = #; w + '!'})[1]", json!("a!")),
    ]);
    fails(&[
        ("filter(user, true)", "cannot run over"),
        ("filter(list, #)", "expected true or false"),
        ("reduce([], #acc)", "needs an initial value"),
        ("filter(list)", "a closure is missing"),
        ("#", "not fit"),
    ]);
}

#[test]
fn functions_on_lists_maps_and_text() {
    check(&[
        ("sort(list, 'desc')", json!([3, 2, 1])),
        ("uniq(words)", json!(["b", "a"])),
        ("reverse(list)", json!([2, 1, 3])),
        ("flatten(nested)", json!([1, 2, 3])),
        ("concat(list, [4])", json!([3, 1, 2, 4])),
        ("take(list, 2)", json!([3, 1])),
        ("first([])", Value::Null),
        ("last(list)", json!(2)),
        ("fromPairs([['a', 1]])", json!({"a": 1})),
        ("toPairs({'a': 1})", json!([["a", 1]])),
        ("median(list)", json!(2)),
        ("mean([1, 2])", json!(1.5)),
        ("max(list, 9)", json!(9)),
        ("get(nothing, 'x')", Value::Null),
        ("trim('__a_', '_')", json!("a")),
        ("split('a,b,c', ',', 2)", json!(["a", "b,c"])),
        ("splitAfter('a,b', ',')", json!(["a,", "b"])),
        ("replace('aaa', 'a', 'b', 2)", json!("bba")),
        ("repeat('ab', 2)", json!("abab")),
        ("lastIndexOf('abab', 'ab')", json!(2)),
        ("toBase64('hi') | fromBase64()", json!("hi")),
        ("fromJSON('[1]')[0]", json!(1)),
        ("toJson({'a': '<'})", json!("{\"a\":\"\\u003c\"}")),
        ("bitand(6, 3) + bitshl(1, 4)", json!(18)),
        ("len('grüße')", json!(5)),
    ]);
}

#[test]
fn moments_and_durations() {
    check(&[
        ("now()", json!("2026-03-01T12:00:00Z")),
        ("(now() - since).Seconds() > 360", json!(true)),
        ("now() > since", json!(true)),
        ("(now() + duration('1h')).Hour()", json!(13)),
        ("date('2026-03-07') - date('2026-03-06') == duration('24h')", json!(true)),
        ("date('2026-03-07 10:00', '2006-01-02 15:04', 'Europe/Berlin').UTC().Hour()", json!(9)),
        ("date('2026-01-31').AddDate(0, 1, 0).Format('2006-01-02')", json!("2026-03-03")),
        ("duration('90s').String()", json!("1m30s")),
        ("now().Unix()", json!(1_772_366_400)),
    ]);
    fails(&[
        ("date('yesterday')", "invalid date"),
        ("duration('5')", "is no duration"),
        ("list.Year()", "has no method Year"),
        ("now().Nothing()", "there is no method Nothing"),
    ]);
}

#[test]
fn what_argo_adds() {
    check(&[
        ("asInt(inputs.parameters.num) * 10", json!(30)),
        ("jsonpath(config, '$.people[0].name')", json!("Ann")),
        ("jsonpath(config, '$.people[?(@.name==\"Ann\")].age')", json!([43])),
        ("jsonpath(config, '$.people[?(@.age>42 && @.age<44)].age')", json!([43])),
        ("jsonpath(config, '$.people[*].name')", json!(["Ann", "Bob"])),
        ("jsonpath(config, '$.people[0:1]')[0].age", json!(43)),
        ("sprig.date('2006', since)", json!("2026")),
        ("sprig.mustToJson(list)", json!("[3,1,2]")),
        ("sprig.now() | len() > 10", json!(true)),
    ]);
    fails(&[
        ("sprig.env('HOME')", "it would read from the host"),
        ("sprig.uper('x')", "did you mean upper?"),
        ("jsonpath(config, '$.nobody')", "nothing is at"),
        ("jsonpath('{', '$.a')", "this is no JSON"),
        ("jsonpath(config, 'people')", "is no path"),
        ("sprig.upper(1)", "expected string; got int"),
        ("sprig.trunc(1)", "does not take 1 arguments"),
    ]);
}

#[test]
fn what_is_not_of_the_language_does_not_compile() {
    for text in [
        "",
        "1 +",
        "(1",
        "[1",
        "{a",
        "'x",
        "`x",
        "a b",
        "a ? b",
        "1abc",
        "let x = 1",
        "f(1)",
        "trim()",
        "a.",
        "a[",
        "'x' matches '('",
        "'\\q'",
        "a | b",
        "/* x",
        "\u{0}",
        "list[1:2:3]",
    ] {
        assert!(matches!(Program::compile(text), Err(LangError::Syntax { .. })), "{text}");
    }
}

#[test]
fn limits_hold() {
    let limit = |text: &str| {
        let result = eval(text);
        assert!(matches!(result, Err(LangError::Limit { .. })), "{text}: {result:?}");
    };
    limit("1..100000000");
    limit("repeat('x', 100000000)");
    limit("replace(repeat('x', 1000000), '', 'yyyy')");
    limit("reduce(1..100000, [#acc], 0)");
    limit("map(1..1000, map(1..1000, map(1..1000, #)))");
    limit("reduce(1..60, [#acc, #acc], 0) == reduce(1..60, [#acc, #acc], 0)");
    limit("toJson(reduce(1..40, [#acc, #acc], 0))");
    limit("string(reduce(1..40, [#acc, #acc], 0))");
    limit("reduce(1..40, [#acc, #acc], 0)");
    limit("sprig.toJson(reduce(1..40, [#acc, #acc], 0))");
    // What is let through fits on the stack of a thread.
    let deepest = format!("1{}", " + 1".repeat(98));
    assert_eq!(eval(&deepest), Ok(json!(99)));
    let nested = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    assert!(eval(&nested).is_ok());
    let closures = format!("{}1{}", "map(list, {[".repeat(30), "][0]})".repeat(30));
    assert!(matches!(eval(&closures), Err(LangError::Limit { .. } | LangError::Syntax { .. })));
    for text in [
        "(".repeat(100_000),
        "-".repeat(100_000),
        "[".repeat(100_000),
        format!("1{}", "+1".repeat(100_000)),
        format!("a{}", ".a".repeat(100_000)),
        "if true {".repeat(10_000),
        "let a = 1; ".repeat(10_000),
        "true ? ".repeat(10_000),
    ] {
        assert!(Program::compile(&text).is_err());
    }
}

#[test]
fn variables_are_listed_as_paths() {
    let program = Program::compile("steps['a-b'].outputs.result == 'x' && item.x + list[i].y > len(steps)");
    let expected = ["steps.a-b.outputs.result", "item.x", "list", "i", "steps"];
    assert_eq!(program.unwrap().variables(), expected);
    let program = Program::compile("let x = a; x + b?.c + sprig.now()").unwrap();
    assert_eq!(program.variables(), ["a", "b.c"]);
}

#[test]
fn expressions_of_published_examples() {
    let environment = json!({
        "lastRetry": {"status": "Error", "exitCode": "2", "duration": "5"},
        "data": ["a/main.log", "b"],
        "cronworkflow": {"lastScheduledTime": "2026-03-01T11:50:00Z"},
        "workflow": {"parameters": {"data": "[{\"day\":\"mon\",\"temps\":[1,3]}]"}},
        "steps": {"flip-coin": {"outputs": {"result": "tails"}}, "tails": {"outputs": {"result": "t"}}},
        "tasks": {"producer": {"outputs": {"parameters": {}}}},
    });
    for (text, expected) in [
        (
            "lastRetry.status == \"Error\" or (lastRetry.status == \"Failed\" and asInt(lastRetry.exitCode) not in [0, 1, 2])",
            json!(true),
        ),
        ("filter(data, {# endsWith \"main.log\"})", json!(["a/main.log"])),
        ("toJson(filter([1, 3], {# > 1}))", json!("[3]")),
        (
            "cronworkflow.lastScheduledTime == nil || (now() - cronworkflow.lastScheduledTime).Seconds() > 360",
            json!(true),
        ),
        (
            "steps['flip-coin'].outputs.result == 'heads' ? steps.heads.outputs.result : steps.tails.outputs.result",
            json!("t"),
        ),
        ("tasks.producer.outputs.parameters.msg ?? 'expr-fallback'", json!("expr-fallback")),
        (
            "let temps = jsonpath(workflow.parameters.data, '$[*].temps[*]'); toJson({'avg': sum(temps) / len(temps), 'max': max(temps)})",
            json!("{\"avg\":2,\"max\":3}"),
        ),
        ("map([fromJSON('[1,2]')], {toJson({avg: sprig.add(#[0], #[1]) / 2})})[0]", json!("{\"avg\":1.5}")),
    ] {
        let value = Program::compile(text).unwrap().eval(&environment, context());
        assert_eq!(value.as_ref(), Ok(&expected), "{text}");
    }
}
