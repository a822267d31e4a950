//! What the runner is told of a step's inputs and outputs, and what it tells at the end. Where a file stands is the launcher's matter.

use std::path::PathBuf;

use tiphys_runner::{Archive, Exit, Input, Output, Packed, Parameter, Verdict};

use super::{ArtifactSource, InputArtifact, LaunchError, PodResult, PodSpec, PodVerdict, StoredArtifact};

impl InputArtifact {
    /// What the runner is told of it; `path` is where the step finds it.
    pub(super) fn told(&self, path: PathBuf) -> Input {
        let (archive, sub_path) = match &self.from {
            ArtifactSource::Raw(_) => (Archive::None, None),
            ArtifactSource::Stored { archive, sub_path, .. } => (*archive, sub_path.clone()),
        };
        Input { name: self.name.clone(), path, mode: self.mode, archive, sub_path, optional: self.optional }
    }
}

impl PodSpec {
    /// What the runner is told of the output parameters; `place` says where a file stands that the manifest names.
    pub(super) fn told_parameters(&self, place: impl Fn(&str) -> PathBuf) -> Vec<Parameter> {
        let each = self.output_parameters.iter().map(|wanted| Parameter {
            name: wanted.name.clone(),
            path: place(&wanted.path),
            shown: wanted.path.clone(),
            default: wanted.default.clone(),
        });
        each.collect()
    }

    /// What the runner is told of the output artifacts.
    pub(super) fn told_artifacts(&self, place: impl Fn(&str) -> PathBuf) -> Vec<Output> {
        let each = self.output_artifacts.iter().map(|wanted| Output {
            name: wanted.name.clone(),
            path: place(&wanted.path),
            shown: wanted.path.clone(),
            key: wanted.key.clone(),
            archive: wanted.archive,
            optional: wanted.optional,
        });
        each.collect()
    }
}

impl PodResult {
    /// What a runner reported, and what it packed that is yet to be stored.
    pub(super) fn reported(exit: Exit) -> (Self, Vec<Packed>) {
        let result = Self {
            started: exit.started,
            finished: exit.finished,
            exit_code: exit.exit_code,
            verdict: match exit.verdict {
                Verdict::Succeeded => PodVerdict::Succeeded,
                Verdict::Failed => PodVerdict::Failed,
                Verdict::Error => PodVerdict::Error,
            },
            message: exit.message,
            result: exit.result,
            parameters: exit.parameters,
            artifacts: Vec::with_capacity(exit.artifacts.len()),
            host: None,
        };
        (result, exit.artifacts)
    }

    /// An artifact could not be stored: what went well until then did not.
    pub(super) fn not_stored(&mut self, packed: &Packed, error: &LaunchError) {
        let name = &packed.name;
        if self.verdict != PodVerdict::Succeeded {
            tracing::warn!(artifact = name, key = packed.key, %error, "not stored");
            return;
        }
        self.verdict = PodVerdict::Error;
        self.message = format!("wait: Error (exit code 64): output artifact {name} was not stored: {error}");
    }
}

impl StoredArtifact {
    /// What was packed, once it is in the store.
    pub(super) fn of(packed: &Packed, size: u64, sha256: String) -> Self {
        Self { name: packed.name.clone(), key: packed.key.clone(), archive: packed.archive, size, sha256 }
    }
}
