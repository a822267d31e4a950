//! A manifest that comes from an input artifact.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;
use tiphys_manifest::load;

use crate::launcher::{Archive, ArtifactSource, ArtifactStore, InputArtifact, LaunchError, PodSpec};

/// The objects in the input artifact of this name.
///
/// # Errors
/// Where it is not there, or holds no manifest.
pub(super) async fn documents(
    store: &dyn ArtifactStore,
    pod: &PodSpec,
    name: &str,
) -> Result<Vec<Value>, LaunchError> {
    let told = |why: String| LaunchError::Missing(format!("manifest from artifact {name}: {why}"));
    let Some(input) = pod.inputs.iter().find(|input| input.name == name) else {
        return Err(told("the step was given none of that name".into()));
    };
    let bytes = match &input.from {
        ArtifactSource::Raw(text) => text.clone().into_bytes(),
        ArtifactSource::Stored { key, .. } => store.get(key).await?.to_vec(),
    };
    let text = text(&bytes, input).map_err(told)?;
    load::values(&text).map_err(told)
}

fn text(bytes: &[u8], input: &InputArtifact) -> Result<String, String> {
    let limit = u64::try_from(load::MAX_TEXT).unwrap_or(u64::MAX);
    let mut out = String::new();
    let packed = match &input.from {
        ArtifactSource::Stored { archive: Archive::Tar | Archive::TarLevel(_), sub_path, .. }
            if bytes.starts_with(&[0x1f, 0x8b]) =>
        {
            Some(sub_path.as_deref())
        }
        _ => None,
    };
    let Some(sub_path) = packed else {
        let read = bytes.take(limit).read_to_string(&mut out);
        read.map_err(|error| format!("it is no text: {error}"))?;
        return Ok(out);
    };
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let entries = archive.entries().map_err(|error| error.to_string())?;
    // Packed, a file stands alone, or below the folder that was packed.
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = entry.path().map_err(|error| error.to_string())?.into_owned();
        let wanted = sub_path.is_none_or(|sub_path| path.ends_with(sub_path));
        if entry.header().entry_type().is_file() && wanted {
            let read = entry.take(limit).read_to_string(&mut out);
            read.map_err(|error| format!("it is no text: {error}"))?;
            return Ok(out);
        }
    }
    Err(format!("it holds no file {}", sub_path.unwrap_or_default()))
}
