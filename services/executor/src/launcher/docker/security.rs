//! What a container may do: the manifest's security contexts, and the profile that the operator sets for all.

use std::collections::HashMap;

use bollard::models::HostConfig;
use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SecurityContext};

use super::{Config, LaunchError, refused};

/// What Docker gives every container, so that asking for it asks for nothing.
const USUAL: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Both contexts of a container, its own and its pod's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contexts<'c> {
    pub(super) own: Option<&'c SecurityContext>,
    pub(super) pod: Option<&'c PodSecurityContext>,
}

impl Contexts<'_> {
    /// Whether its root file system may not be written.
    pub(super) fn read_only(self, config: &Config) -> bool {
        config.restricted || self.own.and_then(|own| own.read_only_root_filesystem) == Some(true)
    }

    /// `UID[:GID]`, where the manifest says it.
    pub(super) fn user(self) -> Option<String> {
        let user = self.number(|own| own.run_as_user, |pod| pod.run_as_user);
        let group = self.number(|own| own.run_as_group, |pod| pod.run_as_group);
        match (user, group) {
            (Some(user), Some(group)) => Some(format!("{user}:{group}")),
            (Some(user), None) => Some(user.to_string()),
            // A group alone: the engine takes none without a user.
            (None, Some(group)) => Some(format!("0:{group}")),
            (None, None) => None,
        }
    }

    /// Whether it has to be somebody else than root.
    pub(super) fn must_not_be_root(self) -> bool {
        let own = self.own.and_then(|own| own.run_as_non_root);
        own.or_else(|| self.pod.and_then(|pod| pod.run_as_non_root)) == Some(true)
    }

    fn number(
        self,
        own: impl Fn(&SecurityContext) -> Option<i64>,
        pod: impl Fn(&PodSecurityContext) -> Option<i64>,
    ) -> Option<i64> {
        self.own.and_then(own).or_else(|| self.pod.and_then(pod))
    }

    /// Puts all into a container's settings.
    pub(super) fn put(self, config: &Config, host: &mut HostConfig) -> Result<(), LaunchError> {
        let not = |what: &str| Err(LaunchError::NotAllowed(refused(what)));
        let setting = |what: &str| Err(LaunchError::NotAllowed(needs(what)));
        if let Some(name) = self.impossible() {
            return not(name);
        }
        let own = self.own;
        let privileged = own.and_then(|own| own.privileged) == Some(true);
        if privileged && (!config.trust_manifests || config.restricted) {
            return setting("securityContext.privileged");
        }
        let nothing = Capabilities::default();
        let capabilities = own.and_then(|own| own.capabilities.as_ref()).unwrap_or(&nothing);
        let add = plain(capabilities.add.as_deref());
        let unusual = add.iter().find(|name| config.restricted || !USUAL.contains(&name.as_str()));
        if let Some(name) = unusual.filter(|_| config.restricted || !config.trust_manifests) {
            return setting(&format!("capability {name}"));
        }
        let mut drop = plain(capabilities.drop.as_deref());
        if config.restricted {
            drop = vec!["ALL".to_owned()];
        }
        host.privileged = privileged.then_some(true);
        host.cap_add = (!add.is_empty()).then_some(add);
        host.cap_drop = (!drop.is_empty()).then_some(drop);
        let mut options = Vec::new();
        if config.restricted || own.and_then(|own| own.allow_privilege_escalation) == Some(false) {
            options.push("no-new-privileges:true".to_owned());
        }
        if self.seccomp() == Some("Unconfined") {
            if !config.trust_manifests || config.restricted {
                return setting("seccompProfile Unconfined");
            }
            options.push("seccomp=unconfined".to_owned());
        }
        host.security_opt = (!options.is_empty()).then_some(options);
        let groups = self.pod.into_iter().flat_map(|pod| {
            pod.supplemental_groups.iter().flatten().chain(&pod.fs_group).map(ToString::to_string)
        });
        let groups: Vec<String> = groups.collect();
        host.group_add = (!groups.is_empty()).then_some(groups);
        if self.read_only(config) {
            host.readonly_rootfs = Some(true);
        }
        if config.restricted {
            let options = "rw,nosuid,nodev,mode=1777,size=256m".to_owned();
            host.tmpfs = Some(HashMap::from([("/tmp".to_owned(), options)]));
        }
        Ok(())
    }

    fn seccomp(&self) -> Option<&str> {
        let own = self.own.and_then(|own| own.seccomp_profile.as_ref());
        let profile = own.or_else(|| self.pod.and_then(|pod| pod.seccomp_profile.as_ref()));
        profile.map(|profile| profile.type_.as_str())
    }

    /// The first thing that is asked for and that the engine has not.
    fn impossible(&self) -> Option<&'static str> {
        let own = |has: fn(&SecurityContext) -> bool| self.own.is_some_and(has);
        let pod = |has: fn(&PodSecurityContext) -> bool| self.pod.is_some_and(has);
        let rows = [
            (
                "seLinuxOptions",
                own(|c| c.se_linux_options.is_some()) || pod(|c| c.se_linux_options.is_some()),
            ),
            ("windowsOptions", own(|c| c.windows_options.is_some()) || pod(|c| c.windows_options.is_some())),
            (
                "appArmorProfile",
                own(|c| c.app_armor_profile.is_some()) || pod(|c| c.app_armor_profile.is_some()),
            ),
            ("procMount", own(|c| c.proc_mount.as_deref().is_some_and(|mount| mount != "Default"))),
            ("sysctls", pod(|c| c.sysctls.as_ref().is_some_and(|all| !all.is_empty()))),
            ("seccompProfile Localhost", self.seccomp() == Some("Localhost")),
        ];
        rows.into_iter().find(|(_, asked)| *asked).map(|(name, _)| name)
    }
}

/// What is said of what only the operator may allow.
pub(super) fn needs(what: &str) -> String {
    format!(
        "TIP-EXE-102: {what} gives a step power over the host; leave it out, or let the operator start tiphys with \
         `--trust-manifests` and without `--restricted`"
    )
}

fn plain(names: Option<&[String]>) -> Vec<String> {
    let names = names.unwrap_or_default().iter();
    names.map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_uppercase()).collect()
}
