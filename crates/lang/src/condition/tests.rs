use super::*;

fn holds(text: &str, dependencies: &[&str], present: &[&str]) -> bool {
    let condition = Condition::compile(text, dependencies).unwrap();
    condition.holds(&present.iter().copied().collect())
}

fn error(text: &str) -> String {
    Condition::compile(text, &["push-event", "pull", "tick"]).unwrap_err().to_string()
}

#[test]
fn and_binds_stronger_than_or() {
    let names = ["a", "b", "c"];
    assert!(holds("a || b && c", &names, &["a"]));
    assert!(!holds("(a || b) && c", &names, &["a"]));
    assert!(holds("(a || b) && c", &names, &["b", "c"]));
    assert!(!holds("a || b && c", &names, &["c"]));
    assert!(holds("((a))&&((b||c))", &names, &["a", "c"]));
}

#[test]
fn empty_means_all_dependencies() {
    let condition = Condition::compile("  ", &["a", "b"]).unwrap();
    assert!(condition.needs_state());
    assert_eq!(condition.dependencies(), ["a", "b"]);
    assert!(!condition.holds(&BTreeSet::from(["a"])));
    assert!(condition.holds(&BTreeSet::from(["a", "b"])));
    assert!(!Condition::compile("", &["only"]).unwrap().needs_state());
    assert!(Condition::compile("", &[]).is_err());
}

#[test]
fn state_is_needed_where_an_and_stands() {
    assert!(!Condition::compile("a||b", &["a", "b"]).unwrap().needs_state());
    assert!(Condition::compile("a || (b && a)", &["a", "b"]).unwrap().needs_state());
}

#[test]
fn dash_and_underscore_are_alike_unless_a_name_fits_as_written() {
    let condition = Condition::compile("dep-1a", &["dep_1a"]).unwrap();
    assert_eq!(condition.dependencies(), ["dep_1a"]);
    let condition = Condition::compile("a_b || a-b", &["a-b", "a_b"]).unwrap();
    assert_eq!(condition.dependencies(), ["a_b", "a-b"]);
}

#[test]
fn any_name_can_be_used() {
    let names = ["1st", "v1.2", "in", "and", "all", "müller"];
    assert!(holds("1st && v1.2 && in && and && all && müller", &names, &names));
}

#[test]
fn dependencies_stand_in_order_of_first_mention() {
    let condition = Condition::compile("c && a || c && b", &["a", "b", "c"]).unwrap();
    assert_eq!(condition.dependencies(), ["c", "a", "b"]);
}

#[test]
fn errors_say_what_to_do() {
    assert_eq!(
        error("push-evnt && tick"),
        "condition: there is no dependency `push-evnt`; did you mean `push-event`? at character 0"
    );
    assert_eq!(error("pull and tick"), "condition: write `&&` for `and` at character 5");
    assert_eq!(error("pull & tick"), "condition: write `&&` at character 5");
    assert_eq!(error("pull &&"), "condition: a dependency name is missing at character 7");
    assert_eq!(error("pull tick"), "condition: there is no `&&` or `||` before `tick` at character 5");
    assert!(error("!pull").contains("cannot be negated"));
    assert!(error("(pull || tick").contains("not closed"));
    assert!(error("pull)").contains("no partner"));
    assert!(error("zzz").contains("`push-event`, `pull`, `tick`"));
    assert!(error("()").contains("missing"));
}

#[test]
fn nesting_is_bounded() {
    let text = format!("{}pull{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(error(&text).contains("limit"));
}
