//! Pulls the images of a pod, and says how far that is.

use std::time::Duration;

use tiphys_core::PodKey;
use tiphys_kit::Backoff;

use super::engine::Trouble;
use super::image::Policy;
use super::plan::Plan;
use super::start::Failure;
use super::{LaunchError, Pod, Shared, error};

/// Progress is told in steps of so many percent.
const STEPS: i64 = 10;

impl Shared {
    /// Says what a pending pod waits for.
    pub(super) async fn wait_because(&self, key: &PodKey, why: String) {
        let news = match self.pods().get_mut(key) {
            Some(Pod::Pending { message, .. }) if *message != why => {
                *message = why;
                true
            }
            _ => false,
        };
        if news {
            self.announce(key).await;
        }
    }

    /// Sees to it that the engine has the images of all containers.
    pub(super) async fn pull_all(&self, plan: &Plan) -> Result<(), Failure> {
        for part in plan.parts() {
            let has = match part.policy {
                Policy::Always => false,
                _ => match self.image(&part.image).await {
                    Ok(_) => true,
                    Err(Trouble::Absent(_)) => false,
                    Err(trouble) => return Err(trouble.into()),
                },
            };
            if !has {
                if part.policy == Policy::Never {
                    return Err(Failure::Launch(never(&part.image)));
                }
                self.pull_one(plan, &part.image).await?;
            }
        }
        Ok(())
    }

    async fn pull_one(&self, plan: &Plan, image: &str) -> Result<(), Failure> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(20));
        loop {
            let text = |percent: i64| format!("Pulling image {image}: {percent}%");
            self.wait_because(&plan.key, format!("Pulling image {image}")).await;
            let (told, mut progress) = tokio::sync::watch::channel(-1);
            let pull = self.pull(image, &plan.credentials, |percent| {
                told.send_if_modified(|last| {
                    let news = percent / STEPS > *last / STEPS || *last < 0;
                    if news {
                        *last = percent;
                    }
                    news
                });
            });
            let mut pull = Box::pin(pull);
            let pulled = loop {
                tokio::select! {
                    pulled = &mut pull => break pulled,
                    Ok(()) = progress.changed() => {
                        let percent = *progress.borrow_and_update();
                        self.wait_because(&plan.key, text(percent)).await;
                    }
                }
            };
            let trouble = match pulled {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            if matches!(trouble, Trouble::Absent(_)) || backoff.attempts() + 1 >= self.config.pulls {
                let message = format!("ErrImagePull: image {image}: {}", trouble.text());
                return Err(Failure::Ended(Box::new(error(None, self.clock.now(), message))));
            }
            let message = format!("ImagePullBackOff: image {image}: {}", trouble.text());
            self.wait_because(&plan.key, message).await;
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

pub(super) fn never(image: &str) -> LaunchError {
    LaunchError::Missing(format!(
        "ErrImageNeverPull: image {image} is not there, and imagePullPolicy Never forbids to pull it"
    ))
}
