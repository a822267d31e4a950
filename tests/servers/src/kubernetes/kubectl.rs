//! The client that people use.

use std::path::Path;
use std::process::Command;

use super::Kubernetes;
use crate::{missing, program, tools};

impl Kubernetes {
    /// A `kubectl` of somebody who may do everything.
    ///
    /// # Panics
    /// When it is missing under CI.
    #[must_use]
    pub fn kubectl(&self) -> Option<Command> {
        self.kubectl_with(&self.kubeconfig())
    }

    /// A `kubectl` of whom a kubeconfig is.
    ///
    /// # Panics
    /// When it is missing under CI.
    #[must_use]
    pub fn kubectl_with(&self, kubeconfig: &Path) -> Option<Command> {
        let built = tools().map(|tools| tools.join("kubernetes/kubectl")).filter(|file| file.is_file());
        let Some(path) = built.or_else(|| program("kubectl")) else {
            missing("kubectl");
            return None;
        };
        let mut command = Command::new(path);
        // What it keeps in mind of a server is another's the next time that there is one on the port.
        command.arg("--cache-dir").arg(self.folder.join("discovery")).arg("--kubeconfig").arg(kubeconfig);
        Some(command)
    }
}
