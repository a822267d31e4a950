//! Every code that a diagnostic of a manifest may carry, with its explanation. Codes are never reused.

use crate::diagnostic::{Diagnostic, Severity};
use crate::lint::support;

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `TIP-MAN-001` and so on.
    pub id: &'static str,
    /// How bad, without `--strict`.
    pub severity: Severity,
    /// Whether `--strict` makes an error of it.
    pub strict: bool,
    /// One paragraph for the reader of `tiphys explain`.
    pub explanation: &'static str,
}

impl Code {
    /// A finding about a whole file.
    #[must_use]
    pub fn finding(self, file: &str, message: String, help: String) -> Diagnostic {
        Diagnostic {
            code: self.id.to_owned(),
            severity: self.severity,
            file: file.to_owned(),
            line: 0,
            column: 0,
            path: String::new(),
            object: String::new(),
            message,
            help,
            source: String::new(),
        }
    }
}

macro_rules! codes {
    ($($name:ident = $id:literal, $severity:ident, strict $strict:literal, $explanation:literal;)*) => {
        $(
            #[doc = $explanation]
            pub const $name: Code = Code {
                id: $id,
                severity: Severity::$severity,
                strict: $strict,
                explanation: $explanation,
            };
        )*
        /// All codes but those of constructs that are not run yet (see [`crate::lint::support`]).
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    SYNTAX = "TIP-MAN-001", Error, strict true,
        "The document is not valid YAML or JSON, so none of it is used. The position is where reading stopped; the \
         mistake is there or shortly before: an indentation that does not match its neighbours, a quote or bracket \
         that is not closed, or a value that holds `: ` and has no quotes.";
    BUDGET = "TIP-MAN-002", Error, strict true,
        "The text is larger, nested deeper, or expands to more than a manifest may: 1.5 MiB, 64 levels, 50,000 values \
         after aliases are expanded, 100 documents. Split the file, or write out what the aliases repeat.";
    DUPLICATE_KEY = "TIP-MAN-003", Warning, strict true,
        "A mapping has the same key twice. The last one is used, as Argo does, and the earlier one has no effect. \
         Remove one of them.";
    NOT_AN_OBJECT = "TIP-MAN-004", Warning, strict false,
        "The document has no `apiVersion` and `kind`, so it is not an object and is skipped.";
    KIND_NOT_READ = "TIP-MAN-005", Warning, strict false,
        "The object is of a kind that is not read here, and is skipped. Read are EventSource, EventBus, Sensor, Workflow, \
         WorkflowTemplate, ClusterWorkflowTemplate and CronWorkflow of argoproj.io/v1alpha1, and ConfigMap, Secret, \
         ServiceAccount and PersistentVolumeClaim of v1.";
    API_VERSION = "TIP-MAN-006", Error, strict true,
        "The kind is known, but stands under another `apiVersion` than the one that is read. Write \
         `argoproj.io/v1alpha1` for Argo's kinds and `v1` for ConfigMap, Secret, ServiceAccount and \
         PersistentVolumeClaim.";
    NO_NAME = "TIP-MAN-007", Error, strict true,
        "The object has neither `metadata.name` nor `metadata.generateName`, or its name or namespace has characters that \
         Kubernetes refuses: lower-case letters, digits, `-` and `.`, at most 253 of them.";
    UNKNOWN_FIELD = "TIP-MAN-008", Warning, strict true,
        "No such field exists here, so what it says has no effect. Mostly it is a misspelt name or a wrong indentation. \
         `--strict` refuses it.";
    WRONG_TYPE = "TIP-MAN-009", Error, strict true,
        "The value is of another type than the field takes: text where a number is wanted, one value where a list is \
         wanted, a number where text is wanted (quote it).";
    LEGACY_FIELD = "TIP-MAN-010", Warning, strict false,
        "The field belongs to an older version of Argo. It is accepted and has no effect; it may be removed.";
    DECLARED_TWICE = "TIP-MAN-011", Warning, strict true,
        "Two documents declare the same kind, namespace and name. The one that was read first is used.";
    SECRET_DATA = "TIP-MAN-012", Error, strict true,
        "A value below `data` of a Secret is not base64 of UTF-8 text. Encode it, or move it to `stringData`, which takes \
         plain text.";
    NO_SPEC = "TIP-MAN-013", Error, strict true,
        "The object has no `spec`, so it says nothing. Mostly the lines below `spec:` have the wrong indentation.";
    UNQUOTED_TAG = "TIP-MAN-014", Error, strict true,
        "A value begins with `{{` and has no quotes. YAML takes it for a mapping. Put the whole value in quotes.";
    TAB = "TIP-MAN-015", Error, strict true,
        "The line is indented with a tab. YAML allows only spaces there.";
    UNNAMED_WORKFLOW = "TIP-MAN-016", Warning, strict true,
        "The Workflow has neither `metadata.name` nor `metadata.generateName`. It gets a name that begins with \
         `workflow-` when it is submitted. Mostly the name stands at a wrong indentation.";
    UNREADABLE = "TIP-MAN-017", Error, strict true,
        "The file cannot be read, or is not UTF-8 text. What it said before stays in force.";
    KEPT = "TIP-MAN-018", Warning, strict true,
        "A file that was good has errors now. All of it stays in force as it was before, so that a slip while editing \
         stops nothing. The errors are reported beside this.";
    EVENT_SOURCE_MISSING = "TIP-MAN-020", Warning, strict true,
        "A dependency names an EventSource that is not among the objects given. The Sensor waits for it, and no event \
         comes until it exists.";
    EVENT_MISSING = "TIP-MAN-021", Warning, strict true,
        "A dependency names an event that its EventSource does not have, so no event ever comes.";
    CONDITION_NAME = "TIP-MAN-022", Error, strict true,
        "The `conditions` of a trigger use a name that no dependency of the Sensor has, so they can never be judged.";
    PARAMETER_DEPENDENCY = "TIP-MAN-023", Error, strict true,
        "A parameter takes its value from a dependency that the Sensor does not have.";
    TEMPLATE_MISSING = "TIP-MAN-024", Error, strict true,
        "A step, task, entrypoint or exit handler names a template that does not exist in the place it is looked for.";
    WORKFLOW_TEMPLATE_MISSING = "TIP-MAN-025", Warning, strict true,
        "A reference names a WorkflowTemplate or ClusterWorkflowTemplate that is not among the objects given. The workflow \
         fails at its start unless it exists by then.";
    UNKNOWN_TAG = "TIP-MAN-026", Warning, strict true,
        "A `{{…}}` tag begins with a word that names nothing, so it is left as it is. Mostly it is misspelt.";
    SPLICED = "TIP-MAN-027", Warning, strict true,
        "A parameter is put into the text of a script or of a shell command. Whoever controls its value (the sender of an \
         event, for example) can run commands. Pass it as an environment variable (`env: [{name: X, value: \
         \"{{inputs.parameters.x}}\"}]`) and write \"$X\" in the script.";
    ENDPOINT_TWICE = "TIP-MAN-028", Warning, strict true,
        "Two events claim the same port and endpoint. The older keeps it; both are served at their own address below \
         /events/.";
    NO_AUTHENTICATION = "TIP-MAN-029", Warning, strict false,
        "A webhook takes requests from anybody who reaches it. Set `authSecret`, or a signature, so that only the sender \
         can cause events.";
    BUS_MAPPED = "TIP-MAN-030", Warning, strict false,
        "The EventBus asks for a kind of bus that is retired or foreign here. The configured bus serves in its place.";
    DEPENDENCY_TWICE = "TIP-MAN-031", Error, strict true,
        "Two dependencies of a Sensor, two triggers, or two templates have the same name, so a reference to it is \
         ambiguous.";
    SCHEDULE = "TIP-MAN-032", Error, strict true,
        "A CronWorkflow has no schedule, one that cannot be read, or a timezone that does not exist, so it never runs by \
         itself.";
    GRAPH = "TIP-MAN-033", Error, strict true,
        "The tasks or steps of a template make no graph: one depends on what is not there or on itself, two have one \
         name, or `depends` cannot be read. A workflow that comes to this template fails.";
    BUS_SETTING = "TIP-MAN-034", Warning, strict false,
        "A setting of the EventBus has no effect here, or another one than in Argo: the server is not installed from here, \
         and EVENTS refuses what it has no room for rather than to drop what is stored.";
    PARAMETER_UNKNOWN = "TIP-MAN-035", Error, strict true,
        "A parameter was given with a submission (`-p NAME=VALUE`) that the workflow neither declares nor uses, so that it \
         would change nothing. Mostly its name is misspelt.";
    NOT_ON_PROCESSES = "TIP-MAN-036", Warning, strict false,
        "Steps run as processes of the host, by the annotation `tiphys.dev/launcher: process`, and the manifest names options \
         of pods that a process is not given. They have no effect; docs/launchers/process.md tells of each.";
}

/// The explanation of a code.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter()
        .find(|known| known.id.eq_ignore_ascii_case(code))
        .map(|known| known.explanation)
        .or_else(|| support::explain(code))
}
