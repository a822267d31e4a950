//! What the runner is told of a step's inputs and outputs. Where a file stands is the launcher's matter.

use std::path::PathBuf;

use tiphys_runner::{Archive, Input, Output, Parameter};

use super::{ArtifactSource, InputArtifact, PodSpec};

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
